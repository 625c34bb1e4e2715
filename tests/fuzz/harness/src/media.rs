//! AMF0, commands, events and media messages (`rtmfp-media`).

use rtmfp_media::amf0::{EditError, Limits, Reader, Value, Writer, set_member};
use rtmfp_media::classify::{Class, Media};
use rtmfp_media::command::{Builder, Command};
use rtmfp_media::control::UserControl;
use rtmfp_media::data::{self, Data};
use rtmfp_media::message::{TcMessage, kind};
use rtmfp_netconn::{ConnectRequest, public_uri};

use crate::Tape;

/// As much as AMF0 can say.
const BOUNDLESS: Limits = Limits { depth: u8::MAX, values: u32::MAX, string_bytes: u32::MAX };

/// The values of a message under limits that the first bytes choose.
pub fn amf0(data: &[u8]) {
    let mut tape = Tape::new(data);
    let limits = match tape.u8() {
        0..192 => Limits::DEFAULT,
        depth => Limits { depth: depth - 192, values: tape.u8().into(), string_bytes: tape.u8().into() },
    };
    let bytes = tape.rest();
    let mut reader = Reader::new(bytes, &limits);
    let mut position = 0;
    while let Some(value) = reader.next() {
        assert!(reader.visited() <= limits.values);
        let Ok(value) = value else {
            assert_eq!(reader.position(), position, "a bad value is not passed");
            assert!(reader.next().is_none(), "nothing follows a bad value");
            break;
        };
        assert!(reader.position() > position);
        let span = reader.position() - position;
        position = reader.position();
        assert!(walk(value) <= reader.visited());
        assert!(value.to_string().len() <= 330 * (span + 1), "a long number is the longest");
        let canonical = encode(value);
        assert_eq!(encode(decode(&canonical)), canonical);
    }
    assert!(reader.rest().len() == bytes.len() - position);
}

/// How many values there are in it, itself included.
fn walk(value: Value<'_>) -> u32 {
    let inner = match (value.as_object(), value.as_array()) {
        (Some(object), _) => object.members().map(|(_, value)| walk(value)).sum(),
        (_, Some(array)) => array.items().map(walk).sum(),
        _ => 0,
    };
    1 + inner
}

fn encode(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).put(value);
    out
}

fn decode(bytes: &[u8]) -> Value<'_> {
    let mut reader = Reader::new(bytes, &BOUNDLESS);
    let value = reader.next().expect("a value that was written").expect("a good one");
    assert_eq!(reader.rest(), b"");
    value
}

/// Sets a member of an object and looks for it.
pub fn amf0_edit(data: &[u8]) {
    let mut tape = Tape::new(data);
    let key = String::from_utf8_lossy(tape.field()).into_owned();
    let text = tape.field();
    let value = match text.first() {
        None => Value::Null,
        Some(0) => Value::Number(text.len() as f64),
        Some(_) => Value::String(rtmfp_media::amf0::Text::new(text)),
    };
    let encoded = tape.rest();
    let before = Reader::new(encoded, &Limits::DEFAULT).next();
    let changed = match set_member(encoded, &key, value, &Limits::DEFAULT) {
        Ok(changed) => changed,
        Err(EditError::Amf(error)) => return assert_eq!(before, Some(Err(error))),
        Err(EditError::NotAnObject) => {
            return assert!(before.and_then(Result::ok).and_then(Value::as_object).is_none());
        }
        Err(_) => return,
    };
    let mut reader = Reader::new(encoded, &Limits::DEFAULT);
    let before = reader.next().and_then(Result::ok).and_then(Value::as_object).expect("an object");
    let after = reader.rest();
    let mut reader = Reader::new(&changed, &BOUNDLESS);
    let now = reader.next().and_then(Result::ok).and_then(Value::as_object).expect("an object still");
    assert_eq!(reader.rest(), after, "what follows is kept");
    assert_eq!(now.get(&key).map(encode), Some(encode(value)));
    let kept = |object: rtmfp_media::amf0::Object<'_>| {
        let others = object.members().filter(|(name, _)| *name != *key);
        others.map(|(name, value)| (name.as_bytes().to_vec(), encode(value))).collect::<Vec<_>>()
    };
    assert_eq!(kept(now), kept(before), "all other members are kept");
    let had = before.get(&key).is_some();
    assert_eq!(now.members().count(), before.members().count() + usize::from(!had));
    assert_eq!(set_member(&changed, &key, value, &BOUNDLESS).as_ref(), Ok(&changed));
}

/// A command or data message; the first byte says which.
pub fn command(data: &[u8]) {
    let mut tape = Tape::new(data);
    let kind = tape.pick(&[kind::COMMAND, kind::COMMAND_EXTENDED, kind::DATA, kind::DATA_EXTENDED]);
    let payload = tape.rest();
    if let Ok(command) = Command::parse(kind, payload, &Limits::DEFAULT) {
        let values: Vec<Value<'_>> = command.values().map_while(Result::ok).collect();
        assert!(payload.ends_with(command.rest()));
        assert_eq!(command.object().is_some(), values.first().is_some_and(|v| v.as_object().is_some()));
        assert_eq!(command.argument(0).map(encode), values.get(1).copied().map(encode));
        let _ = command.info();
        let _ = command.with_object_member("tcUrl", "rtmp://127.0.0.1/live");
        let rebuilt = values
            .iter()
            .fold(Builder::new(command.name, command.transaction), |builder, value| builder.value(*value));
        let rebuilt = rebuilt.payload();
        let again = Command::parse(kind::COMMAND, &rebuilt, &BOUNDLESS).expect("a command that was written");
        assert_eq!(again.name, command.name);
        assert_eq!(again.transaction.to_bits(), command.transaction.to_bits());
        let again: Vec<_> = again.values().map_while(Result::ok).map(encode).collect();
        assert_eq!(again, values.into_iter().map(encode).collect::<Vec<_>>());
    }
    let message = TcMessage { kind, timestamp: 0, stream_id: 0, payload: payload.to_vec().into() };
    if let Some(request) = ConnectRequest::parse(&message) {
        let public = public_uri(&request.tc_url);
        assert!(public.len() <= request.tc_url.len());
        assert_eq!(public_uri(&public), public);
    }
    if let Ok(message) = Data::parse(kind, payload, &Limits::DEFAULT) {
        let _ = message.values().count();
        assert!(payload.ends_with(message.rest()));
        let kept = data::set_data_frame(payload);
        let outer = Data::parse(kind::DATA, &kept, &Limits::DEFAULT).expect("a message that was written");
        assert_eq!((outer.name, outer.rest()), (data::SET_DATA_FRAME, payload));
    }
}

/// A user control event.
pub fn user_control(data: &[u8]) {
    if let Ok(event) = UserControl::parse(data) {
        let payload = event.payload();
        assert!(data.starts_with(&payload));
        assert_eq!(UserControl::parse(&payload), Ok(event));
    }
}

/// An audio or video message; the first byte says which.
pub fn classify(data: &[u8]) {
    let mut tape = Tape::new(data);
    let kind = tape.pick(&[kind::AUDIO, kind::VIDEO]);
    let payload = tape.rest();
    let message = TcMessage { kind, timestamp: 0, stream_id: 1, payload: payload.to_vec().into() };
    let media = Media::of(&message).expect("audio and video are media");
    assert!(media.nanoseconds <= 999_999);
    let tracks = media.tracks().count();
    match media.class {
        Class::Malformed => assert!(tracks == 0 && media.codec.is_none() && media.may_expire()),
        Class::KeyFrame => assert!(media.is_keyframe() && kind == kind::VIDEO),
        Class::Config => assert!(media.is_config() && !media.may_expire()),
        _ => {}
    }
    assert!(media.tracks().map(|track| track.body.len()).sum::<usize>() <= payload.len());
    assert_eq!(media.tracks().next().map(|track| track.codec), media.codec.filter(|_| tracks > 0));
    if let Some(codec) = media.codec.filter(|_| kind == kind::VIDEO) {
        let end = codec.video_end();
        assert_eq!(Media::video(&end).class, Class::End);
    }
    let _ = media.codec.map(|codec| codec.to_string());
}
