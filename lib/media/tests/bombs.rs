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
