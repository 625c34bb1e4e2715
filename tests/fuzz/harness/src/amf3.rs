//! AMF3 (`rtmfp-media`).

use std::borrow::Cow;

use rtmfp_media::amf0;
use rtmfp_media::amf3::{Limits, Reader, Store, Value, Writer, plain, to_amf0};
use rtmfp_media::message::{TcMessage, kind};

use crate::Tape;

/// As much as AMF3 can say.
const BOUNDLESS: Limits = Limits {
    depth: u8::MAX,
    values: u32::MAX,
    references: u32::MAX,
    string_bytes: u32::MAX,
    total_bytes: u32::MAX,
};

/// The values of a message under limits that the first bytes choose; then the same bytes as an AMF0 message, in which
/// marker 0x11 begins a value of AMF3.
pub fn amf3(data: &[u8]) {
    let mut tape = Tape::new(data);
    let limits = match tape.u8() {
        0..192 => Limits::DEFAULT,
        depth => Limits {
            depth: depth - 192,
            values: tape.u8().into(),
            references: tape.u8().into(),
            string_bytes: tape.u8().into(),
            total_bytes: tape.u8().into(),
        },
    };
    let bytes = tape.rest();
    let mut reader = Reader::new(&limits);
    let (mut input, mut values) = (bytes, Vec::new());
    while !input.is_empty() {
        let before = input.len();
        let Ok(value) = reader.read(&mut input) else {
            assert_eq!(input.len(), before, "a bad value is not passed");
            break;
        };
        assert!(input.len() < before);
        values.push(value);
    }
    assert!(reader.visited() <= limits.values);
    assert!(reader.store().len() <= limits.references as usize);
    let written = write(&values, reader.store());
    let mut again = Reader::new(&BOUNDLESS);
    let (mut input, mut read) = (&written[..], Vec::new());
    while !input.is_empty() {
        read.push(again.read(&mut input).expect("a value that was written"));
    }
    assert_eq!(read.len(), values.len());
    assert_eq!(write(&read, again.store()), written);
    convert(bytes, &limits);
}

fn write<'a>(values: &[Value<'a>], store: &Store<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(store, &BOUNDLESS);
    for value in values {
        writer.put(&mut out, *value).expect("a value that was read");
    }
    out
}

/// What is converted is AMF0 that can be read, without AMF3 in it, and converted no further.
fn convert(bytes: &[u8], limits: &Limits) {
    // Values without the marker are not looked at.
    let Ok(Cow::Owned(converted)) = to_amf0(bytes, limits) else { return };
    let boundless = amf0::Limits { depth: u8::MAX, values: u32::MAX, string_bytes: u32::MAX };
    let values: Result<Vec<_>, _> = amf0::Reader::new(&converted, &boundless).collect();
    assert!(!values.expect("values that were written").into_iter().any(holds_amf3));
    assert_eq!(to_amf0(&converted, &BOUNDLESS).as_deref(), Ok(&converted[..]));
    let payload = [b"\0", bytes].concat().into();
    let message = TcMessage { kind: kind::DATA_EXTENDED, timestamp: 1, stream_id: 2, payload };
    let plain = plain(&message, limits).expect("the same again").expect("another type");
    assert_eq!((plain.kind, &plain.payload[..]), (kind::DATA, &converted[..]));
}

fn holds_amf3(value: amf0::Value<'_>) -> bool {
    match (value, value.as_object(), value.as_array()) {
        (amf0::Value::Amf3(_), ..) => true,
        (_, Some(object), _) => object.members().any(|(_, value)| holds_amf3(value)),
        (_, _, Some(array)) => array.items().any(holds_amf3),
        _ => false,
    }
}
