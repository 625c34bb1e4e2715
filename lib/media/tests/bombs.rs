//! Messages made to exhaust their reader. What counts is the work, in values visited: reading holds no memory of
//! its own, whatever a message says.

use rtmfp_media::amf0::{Error, Limits, Reader, Value};
use rtmfp_media::message::MAX_PAYLOAD;

/// Reads to the end or the first error, and answers the outcome and the values visited.
fn read(bytes: &[u8], limits: &Limits) -> (Result<usize, Error>, u32) {
    let mut reader = Reader::new(bytes, limits);
    let outcome = reader.by_ref().try_fold(0, |count, value| value.map(|_| count + 1));
    (outcome, reader.visited())
}

fn repeated(unit: &[u8]) -> Vec<u8> {
    unit.repeat(MAX_PAYLOAD / unit.len())
}

#[test]
fn nests_of_millions_stop_at_the_depth_limit() {
    // An object in a member with an empty key, or with key "a"; an array of one array; the same as ECMA arrays and
    // typed objects.
    for unit in [&b"\x03\0\0"[..], b"\x03\0\x01a", b"\x0a\0\0\0\x01", b"\x08\0\0\0\0\0\0", b"\x10\0\0\0\x01a"]
    {
        let bomb = repeated(unit);
        assert_eq!(read(&bomb, &Limits::DEFAULT), (Err(Error::Depth), 65));
    }
    let deepest = Limits { depth: u8::MAX, ..Limits::DEFAULT };
    assert_eq!(read(&repeated(b"\x03\0\0"), &deepest), (Err(Error::Depth), 256));
}

#[test]
fn a_nest_as_deep_as_allowed_can_be_walked_and_printed() {
    let bytes = [b"\x0a\0\0\0\x01".repeat(64), b"\x05".to_vec()].concat();
    let value = Reader::new(&bytes, &Limits::DEFAULT).next().unwrap().unwrap();
    assert_eq!(value.to_string(), format!("{}null{}", "[".repeat(64), "]".repeat(64)));
}

#[test]
fn a_count_that_cannot_be_true_costs_nothing() {
    let (outcome, visited) = read(b"\x0a\xff\xff\xff\xff\x05\x05", &Limits::DEFAULT);
    assert_eq!((outcome, visited), (Err(Error::Truncated), 1));
    // 2³² elements of one byte each would fit into no message; as many as do fit are counted.
    let mut bomb = vec![0x05; MAX_PAYLOAD];
    bomb[..5].copy_from_slice(b"\x0a\x00\xff\xff\xfa");
    assert_eq!(read(&bomb, &Limits::DEFAULT), (Err(Error::Values), 65_536));
}

#[test]
fn millions_of_one_byte_keys_stop_at_the_limit_of_values() {
    let bomb = [&b"\x03"[..], &repeated(b"\0\x01k\x05")[..MAX_PAYLOAD / 4 * 4 - 4], b"\0\0\x09"].concat();
    assert_eq!(read(&bomb, &Limits::DEFAULT), (Err(Error::Values), 65_536));
    let unlimited = Limits { values: u32::MAX, ..Limits::DEFAULT };
    let (outcome, visited) = read(&bomb, &unlimited);
    assert_eq!(outcome, Ok(1), "the bomb is well-formed");
    assert!(visited > 4_000_000);
}

#[test]
fn millions_of_values_in_a_row_stop_at_the_limit_of_values() {
    assert_eq!(read(&vec![0x05; MAX_PAYLOAD], &Limits::DEFAULT), (Err(Error::Values), 65_536));
    assert_eq!(read(&repeated(b"\x03\0\0\x09"), &Limits::DEFAULT), (Err(Error::Values), 65_536));
}

#[test]
fn an_object_that_refers_to_itself_is_one_reference() {
    let bytes = b"\x03\0\x04self\x07\0\0\0\0\x09";
    let value = Reader::new(bytes, &Limits::DEFAULT).next().unwrap().unwrap();
    assert_eq!(value.as_object().unwrap().get("self"), Some(Value::Reference(0)));
    assert_eq!(value.to_string(), r#"{"self":{"reference":0}}"#);
    assert_eq!(read(&repeated(b"\x07\0\0"), &Limits::DEFAULT), (Err(Error::Values), 65_536));
}

#[test]
fn long_strings_are_refused_by_their_announced_length() {
    for marker in [0x0c, 0x0f] {
        let mut bomb = vec![b'x'; MAX_PAYLOAD];
        bomb[..5].copy_from_slice(&[marker, 0x00, 0xff, 0xff, 0xfa]);
        assert_eq!(read(&bomb, &Limits::DEFAULT), (Err(Error::StringLength), 1));
        bomb[..5].copy_from_slice(&[marker, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(read(&bomb, &Limits::DEFAULT), (Err(Error::StringLength), 1));
        let boundless = Limits { string_bytes: u32::MAX, ..Limits::DEFAULT };
        assert_eq!(read(&bomb, &boundless), (Err(Error::Truncated), 1));
    }
}

mod amf3 {
    use rtmfp_media::amf3::{Error, Limits, Reader, to_amf0};
    use rtmfp_media::message::MAX_PAYLOAD;

    const LIMITS: Limits = Limits::DEFAULT;

    /// Reads to the end or the first error, and answers it and the values visited.
    fn read(bytes: &[u8], limits: &Limits) -> (Result<(), Error>, u32) {
        let mut reader = Reader::new(limits);
        let mut input = bytes;
        let mut outcome = Ok(());
        while !input.is_empty() && outcome.is_ok() {
            outcome = reader.read(&mut input).map(drop);
        }
        (outcome, reader.visited())
    }

    /// The same bytes as a value within AMF0.
    fn within_amf0(bytes: &[u8]) -> Vec<u8> {
        [b"\x11", bytes].concat()
    }

    #[test]
    fn nests_of_millions_stop_at_the_depth_limit() {
        // Arrays by position and by name, dynamic objects, vectors of objects, dictionaries.
        for unit in
            [&b"\x09\x03\x01"[..], b"\x09\x01\x03a", b"\x0a\x0b\x01\x03a", b"\x10\x03\0\x01", b"\x11\x03\0"]
        {
            let bomb = unit.repeat(MAX_PAYLOAD / unit.len());
            assert_eq!(read(&bomb, &LIMITS), (Err(Error::Depth), 65));
            assert_eq!(to_amf0(&within_amf0(&bomb), &LIMITS), Err(Error::Depth));
        }
        let deepest = Limits { depth: u8::MAX, ..LIMITS };
        assert_eq!(read(&b"\x09\x03\x01".repeat(1 << 20), &deepest), (Err(Error::Depth), 256));
    }

    #[test]
    fn counts_and_lengths_that_cannot_be_true_cost_nothing() {
        // 2²⁸−1 elements, members of a class, entries; bytes of text and of numbers.
        for head in [&b"\x09\xff\xff\xff\xff\x01"[..], b"\x0a\xff\xff\xff\xf3\x01", b"\x11\xff\xff\xff\xff\0"]
        {
            assert_eq!(read(head, &LIMITS), (Err(Error::Truncated), 1));
        }
        for head in [&b"\x06\xff\xff\xff\xff"[..], b"\x0c\xff\xff\xff\xff", b"\x0f\xff\xff\xff\xff\0"] {
            assert_eq!(read(head, &LIMITS), (Err(Error::StringLength), 1));
        }
    }

    #[test]
    fn millions_of_values_stop_at_the_limit_of_values() {
        assert_eq!(read(&vec![0x01; MAX_PAYLOAD], &LIMITS), (Err(Error::Values), 65_536));
        let mut bomb = vec![0x01; MAX_PAYLOAD];
        bomb[..6].copy_from_slice(b"\x09\x84\x80\x80\x01\x01");
        assert_eq!(read(&bomb, &LIMITS), (Err(Error::Values), 65_536));
        let single = within_amf0(b"\x01").repeat(1 << 20);
        assert_eq!(to_amf0(&single, &LIMITS), Err(Error::Values));
    }

    #[test]
    fn names_of_classes_that_are_never_used_stop_at_the_limit_of_values() {
        // A class of one object has a million names.
        let mut bomb = vec![0x01; MAX_PAYLOAD];
        bomb[..6].copy_from_slice(b"\x0a\x81\x80\x80\x03\x01");
        assert_eq!(read(&bomb, &LIMITS).0, Err(Error::Values));
    }

    #[test]
    fn tables_stop_at_the_limit_of_references() {
        let few = Limits { references: 100, ..LIMITS };
        for unit in [&b"\x06\x03a"[..], b"\x0c\x01", b"\x0a\x03\x01"] {
            let (outcome, visited) = read(&unit.repeat(1000), &few);
            assert_eq!(outcome, Err(Error::References));
            assert!(visited <= 101);
        }
    }

    #[test]
    fn a_small_message_that_refers_to_much_is_no_large_one() {
        // A text of 64 KiB and 60,000 references to it.
        let text = [&b"\x06\x88\x80\x01"[..], &[b'x'; 1 << 16]].concat();
        let bomb = [&text[..], &b"\x06\x00".repeat(60_000)].concat();
        assert_eq!(read(&bomb, &LIMITS).0, Err(Error::Size));
        let references = within_amf0(b"\x06\x00").repeat(60_000);
        assert_eq!(to_amf0(&[within_amf0(&text), references].concat(), &LIMITS), Err(Error::Size));
        // Each array holds the next one twice: 2⁶⁰ nulls, written out.
        let mut billion = b"\x09\x03\x01\x01".to_vec();
        for number in (0..60).rev() {
            billion = [b"\x09\x05\x01", &billion[..], b"\x09", &[number * 2 + 2]].concat();
        }
        assert!(billion.len() < 400);
        assert_eq!(to_amf0(&within_amf0(&billion), &LIMITS), Err(Error::Values));
    }

    #[test]
    fn byte_arrays_that_are_written_again_stop_at_the_limit_of_bytes() {
        let bytes = [&b"\x0c\x88\x80\x01"[..], &[0; 1 << 16]].concat();
        let bomb = [within_amf0(&bytes), within_amf0(b"\x0c\x00").repeat(100)].concat();
        assert!(read(&bytes, &LIMITS).0.is_ok());
        assert_eq!(to_amf0(&bomb, &LIMITS), Err(Error::Size));
    }
}
