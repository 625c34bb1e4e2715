use super::*;

/// A message with these values in AMF3, in AMF0, as JSON.
fn converted(bytes: &[u8]) -> String {
    let message = [b"\x11", bytes].concat();
    let plain = to_amf0(&message, &LIMITS).unwrap();
    let values: Result<Vec<_>, _> = amf0::Reader::new(&plain, &amf0::Limits::DEFAULT).collect();
    let [value] = values.unwrap()[..] else { panic!("not one value") };
    value.to_string()
}

#[test]
fn values_become_what_comes_nearest_in_amf0() {
    for (bytes, json) in [
        (&b"\x04\xff\xff\xff\xff"[..], "-1"),
        (b"\x09\x05\x01\x04\x01\x06\x03x", r#"[1,"x"]"#),
        (b"\x09\x03\x03k\x03\x01\x04\x07", r#"{"k":true,"0":7}"#),
        (b"\x0a\x1b\x01\x03x\x04\x01\x03y\x04\x02\x01", r#"{"x":1,"y":2}"#),
        (b"\x0d\x05\x00\xff\xff\xff\xfe\0\0\0\x03", "[-2,3]"),
        (b"\x10\x05\x01\x01\x01\x02", "[null,false]"),
        (b"\x11\x07\x00\x04\x05\x01\x06\x03k\x03\x0c\x01\x02", r#"{"5":null,"k":true,"[object]":false}"#),
        (b"\x0b\x09<b/>", r#""<b/>""#),
        (b"\x0c\x07a\xe9\x00", "\"a\u{e9}\\u0000\""),
    ] {
        assert_eq!(converted(bytes), json);
    }
    let date = to_amf0(b"\x11\x08\x01\x3f\xf0\0\0\0\0\0\0", &LIMITS).unwrap();
    assert_eq!(&date[..], b"\x0b\x3f\xf0\0\0\0\0\0\0\0\0");
    let typed = to_amf0(b"\x11\x0a\x13\x03C\x03x\x01", &LIMITS).unwrap();
    assert_eq!(&typed[..], b"\x10\0\x01C\0\x01x\x05\0\0\x09");
    let name = "flex.messaging.io.ObjectProxy";
    assert_eq!(
        converted(&[b"\x0a\x07\x3b", name.as_bytes(), b"\x0a\x0b\x01\x03a\x03\x01"].concat()),
        r#"{"a":true}"#
    );
}

#[test]
fn what_is_shared_is_written_again_and_cycles_are_cut() {
    // Two elements that are one date; an array that contains itself.
    assert_eq!(converted(b"\x09\x05\x01\x08\x01\x40\0\0\0\0\0\0\0\x08\x02"), "[2,2]");
    assert_eq!(converted(b"\x09\x05\x01\x09\x00\x04\x01"), "[null,1]");
}

#[test]
fn names_that_amf0_cannot_express_are_left_out() {
    assert_eq!(converted(b"\x11\x05\x00\x06\x01\x04\x01\x06\x03k\x04\x02"), r#"{"k":2}"#);
    assert_eq!(converted(b"\x0a\x23\x01\x01\x03y\x04\x01\x04\x02"), r#"{"y":2}"#);
}

#[test]
fn the_amf0_around_keeps_its_bytes_and_its_references_follow() {
    // An object with an AMF3 array in it, another object, and references to both and to nothing.
    let message = b"\x03\0\x01a\x11\x09\x01\x01\0\x01b\x05\0\0\x09\x03\0\0\x09\x07\0\0\x07\0\x01\x07\0\x02\x0f\0\0\0\x01\x11";
    let plain = to_amf0(message, &LIMITS).unwrap();
    assert_eq!(
        &plain[..],
        b"\x03\0\x01a\x0a\0\0\0\0\0\x01b\x05\0\0\x09\x03\0\0\x09\x07\0\0\x07\0\x02\x05\x0f\0\0\0\x01\x11"
    );
    let without = b"\x02\0\x01\x11\x08\0\0\0\0\0\x01k\x0a\0\0\0\x01\x01\x11\0\0\x09";
    assert!(matches!(to_amf0(without, &LIMITS), Ok(std::borrow::Cow::Borrowed(_))));
}

#[test]
fn tables_of_references_last_for_the_message() {
    let message = b"\x11\x06\x09live\x05\x11\x06\x00";
    assert_eq!(&to_amf0(message, &LIMITS).unwrap()[..], b"\x02\0\x04live\x05\x02\0\x04live");
}

#[test]
fn a_publish_of_librtmfp_becomes_a_plain_command() {
    // Its name, transaction id and null in AMF0, its arguments in AMF3.
    let payload =
        [&b"\0"[..], &command::play("").payload()[..0], b"\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05"].concat();
    let payload = [&payload[..], b"\x11\x06\x0dstream\x11\x06\x09live"].concat();
    let message =
        TcMessage { kind: kind::COMMAND_EXTENDED, timestamp: 7, stream_id: 1, payload: payload.into() };
    let plain = plain(&message, &LIMITS).unwrap().unwrap();
    assert_eq!((plain.kind, plain.timestamp, plain.stream_id), (kind::COMMAND, 7, 1));
    assert_eq!(plain.payload, command::publish("stream", "live").payload());
}

#[test]
fn messages_lose_their_format_byte_and_those_that_are_plain_stay() {
    let extended = command::publish("s", "live").extended_message(1);
    let shorter = plain(&extended, &LIMITS).unwrap().unwrap();
    assert_eq!(shorter, command::publish("s", "live").message(1));
    assert_eq!(plain(&shorter, &LIMITS), Ok(None));
    let command = Command::parse(shorter.kind, &shorter.payload, &amf0::Limits::DEFAULT).unwrap();
    assert_eq!(command.name, "publish");
    let data = |kind, payload: &'static [u8]| TcMessage {
        kind,
        timestamp: 0,
        stream_id: 1,
        payload: payload.into(),
    };
    let plain_data =
        plain(&data(kind::DATA_EXTENDED, b"\0\x02\0\x01h\x11\x04\x05"), &LIMITS).unwrap().unwrap();
    assert_eq!(plain_data, data(kind::DATA, b"\x02\0\x01h\0\x40\x14\0\0\0\0\0\0"));
    assert_eq!(plain(&data(kind::VIDEO, b"\x11\x04\x05"), &LIMITS), Ok(None));
    let unknown = plain(&data(kind::COMMAND_EXTENDED, b"\x01\x05"), &LIMITS);
    assert_eq!(unknown, Err(Error::Format(command::UnknownFormat)));
}

#[test]
fn what_cannot_be_converted_says_why() {
    for (message, error) in [
        (&b"\x11\x0a\x07\x07Foo\x01"[..], Error::External { class: "Foo".into() }),
        (b"\x11", Error::Truncated),
        (b"\x03\0\x01a\x11\x04", Error::Truncated),
        (b"\x04\x11", Error::Marker(4)),
        (b"\x11\x06\x00", Error::Reference(0)),
    ] {
        assert_eq!(to_amf0(message, &LIMITS), Err(error));
    }
    let shallow = Limits { depth: 1, ..LIMITS };
    assert_eq!(to_amf0(b"\x03\0\x01a\x11\x09\x01\x01\0\0\x09", &shallow), Err(Error::Depth), "levels add up");
}

#[test]
fn the_first_values_are_those_of_the_whole_and_what_follows_them_may_be_anything() {
    let values: [&[u8]; 6] = [
        b"\x02\0\x01a",
        b"\x11\x06\x03b",
        b"\x05",
        b"\x11\x0a\x01",
        b"\x07\0\0",
        b"\x0a\0\0\0\x01\x11\x04\x05",
    ];
    let message = values.concat();
    for count in 0..=6 {
        let first = to_amf0(&message[..values[..count].concat().len()], &LIMITS);
        for tail in [&b""[..], b"\xff", b"\x11"] {
            let message = [&values[..count].concat(), tail].concat();
            let got = first_to_amf0(&message, count as u32, &LIMITS);
            match &got {
                Ok(std::borrow::Cow::Borrowed(all)) => assert_eq!(*all, &message[..]),
                _ => assert_eq!(got, first, "{count}"),
            }
        }
    }
}

#[test]
fn what_stays_is_copied_between_what_does_not() {
    let message = b"\x02\0\x01a\x11\x04\x01\x02\0\x01b\x05\x11\x04\x02\x07\0\x09\x02\0\x01c";
    let plain = to_amf0(message, &LIMITS).unwrap();
    let one = b"\0\x3f\xf0\0\0\0\0\0\0";
    let two = b"\0\x40\0\0\0\0\0\0\0";
    // The reference means nothing.
    let wanted = [&b"\x02\0\x01a"[..], one, b"\x02\0\x01b\x05", two, b"\x05\x02\0\x01c"].concat();
    assert_eq!(plain, wanted);
}
