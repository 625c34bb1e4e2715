//! What messages mean to the links that carry them.

use std::borrow::Cow;

use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::amf3;
use rtmfp_media::command::Command;
use rtmfp_media::control::UserControl;
use rtmfp_media::message::kind;

/// What a message means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// `connect`.
    Connect { transaction: f64 },
    /// `_result`.
    Result { transaction: f64 },
    /// `_error`.
    Error { transaction: f64 },
    /// `setPeerInfo` (RFC 7425 section 5.3.3).
    SetPeerInfo { transaction: f64 },
    /// It ends a stream, or all streams, so it must not overtake their media.
    Ends { stream: Option<u32>, deletes: bool },
    /// Any other command.
    Command,
    /// RFC 7425 section 5.2.
    FlowSync { id: u32, count: u32 },
    /// RFC 7425 section 5.3.4.
    SetKeepalive { server: u32 },
    /// To be answered with the same number.
    Ping { echo: u32 },
    /// The answer.
    Pong { echo: u32 },
    /// Of RTMP's chunk layer: it means nothing elsewhere.
    ChunkLayer,
    /// Several messages in one.
    Aggregate,
    /// Media, data and the rest.
    Other,
}

impl Meaning {
    pub(crate) fn of(message: &TcMessage) -> Self {
        match message.kind {
            kind::SET_CHUNK_SIZE
            | kind::ABORT
            | kind::ACKNOWLEDGEMENT
            | kind::WINDOW_ACK_SIZE
            | kind::SET_PEER_BANDWIDTH => Self::ChunkLayer,
            kind::AGGREGATE => Self::Aggregate,
            kind::USER_CONTROL => match UserControl::parse(&message.payload) {
                Ok(UserControl::FlowSync { id, count }) => Self::FlowSync { id, count },
                Ok(UserControl::SetKeepalive { server, .. }) => Self::SetKeepalive { server },
                Ok(UserControl::PingRequest(echo)) => Self::Ping { echo },
                Ok(UserControl::PingResponse(echo)) => Self::Pong { echo },
                Ok(UserControl::StreamEof(stream)) => Self::Ends { stream: Some(stream), deletes: false },
                _ => Self::Other,
            },
            kind::COMMAND | kind::COMMAND_EXTENDED => Self::of_command(message),
            _ => Self::Other,
        }
    }

    /// Looks at no more of a command than it has to: anybody can send long ones, and each passes here several times.
    fn of_command(message: &TcMessage) -> Self {
        let head = &*readable(message, HEAD);
        let Ok(command) = Command::parse(head.kind, &head.payload, &LIMITS) else {
            return Self::Command;
        };
        let transaction = command.transaction;
        let own = Some(message.stream_id);
        match command.name {
            "connect" => Self::Connect { transaction },
            "_result" => Self::Result { transaction },
            "_error" => Self::Error { transaction },
            "setPeerInfo" => Self::SetPeerInfo { transaction },
            "closeStream" => Self::Ends { stream: own, deletes: false },
            // It names the stream by its name.
            "FCUnpublish" => Self::Ends { stream: None, deletes: false },
            "deleteStream" | "publish" | "onStatus" => Self::of_argument(message),
            _ => Self::Command,
        }
    }

    /// That of a command whose first argument says what it means.
    fn of_argument(message: &TcMessage) -> Self {
        let message = &*readable(message, FIRST_ARGUMENT);
        let Ok(command) = Command::parse(message.kind, &message.payload, &LIMITS) else {
            return Self::Command;
        };
        let own = Some(message.stream_id);
        match command.name {
            "deleteStream" => Self::Ends { stream: stream_argument(&command), deletes: true },
            "publish" if command.argument(0).and_then(Value::as_str).is_none() => {
                Self::Ends { stream: own, deletes: false }
            }
            "onStatus" if command.info().is_some_and(|info| ENDS.contains(&info.code)) => {
                Self::Ends { stream: own, deletes: false }
            }
            _ => Self::Command,
        }
    }
}

/// A command whose first so many values are plain AMF0, if they can be had so: old programs write names and other text
/// in AMF3. What follows may be missing.
pub(crate) fn readable(message: &TcMessage, values: u32) -> Cow<'_, TcMessage> {
    match amf3::first_plain(message, values, &amf3::Limits::DEFAULT) {
        Ok(Some(plain)) => Cow::Owned(plain),
        Ok(None) | Err(_) => Cow::Borrowed(message),
    }
}

/// The values of a command up to its transaction, to its command object, and to its first argument.
pub(crate) const HEAD: u32 = 2;
pub(crate) const OBJECT: u32 = 3;
pub(crate) const FIRST_ARGUMENT: u32 = 4;

/// What a server says when a stream has ended for its players, or was taken from its publisher.
const ENDS: [&str; 4] = [
    "NetStream.Play.Stop",
    "NetStream.Play.Complete",
    "NetStream.Play.UnpublishNotify",
    "NetStream.Unpublish.Success",
];

const LIMITS: Limits = Limits::DEFAULT;

/// The stream that `deleteStream` names; `None` when it names none that there can be.
pub(crate) fn stream_argument(command: &Command<'_>) -> Option<u32> {
    let number = command.argument(0)?.as_number()?;
    (number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0).then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use rtmfp_media::command::{self, Builder, Info};

    use super::*;

    /// A `publish` whose arguments are in AMF3.
    fn publish_of_librtmfp() -> TcMessage {
        let head = Builder::new("publish", 0.0).value(Value::Null).extended_message(3);
        let payload = [&head.payload[..], b"\x11\x06\x03s\x11\x06\x09live"].concat().into();
        TcMessage { payload, ..head }
    }

    #[test]
    fn what_follows_the_first_argument_costs_nothing_and_may_be_anything() {
        for tail in [&b"\x11"[..], b"\xff", b"\x0a\xff\xff\xff\xff\x05"] {
            let whole = publish_of_librtmfp();
            let message = TcMessage { payload: [&whole.payload[..], tail].concat().into(), ..whole };
            assert_eq!(Meaning::of(&message), Meaning::Command);
            let name = crate::StreamUse::parse(&message);
            assert_eq!(name, Some(crate::StreamUse::Publish("s".into())), "{tail:?}");
            let other = Builder::new("call", 3.0).message(0);
            let message = TcMessage { payload: [&other.payload[..], tail].concat().into(), ..other };
            assert_eq!(Meaning::of(&message), Meaning::Command);
        }
    }

    #[test]
    fn a_name_in_amf3_is_read_as_well() {
        let payload = b"\0\x11\x06\x19deleteStream\x11\x04\0\x05\x11\x04\x07";
        let message =
            TcMessage { kind: 17, timestamp: 0, stream_id: 0, payload: bytes::Bytes::from_static(payload) };
        assert_eq!(Meaning::of(&message), Meaning::Ends { stream: Some(7), deletes: true });
        assert_eq!(crate::StreamUse::parse(&message), Some(crate::StreamUse::Delete(Some(7))));
    }

    #[test]
    fn names_in_amf3_are_read() {
        let publish = crate::StreamUse::parse(&publish_of_librtmfp());
        assert_eq!(publish, Some(crate::StreamUse::Publish("s".into())));
    }

    #[test]
    fn commands_that_end_streams_are_recognised() {
        let ends = |stream, deletes| Meaning::Ends { stream, deletes };
        for (message, meaning) in [
            (command::delete_stream(7).message(0), ends(Some(7), true)),
            (Builder::new("deleteStream", 0.0).value(Value::Null).value(1.5).message(0), ends(None, true)),
            (command::fc_unpublish(5.0, "live").message(0), ends(None, false)),
            (command::close_stream().message(3), ends(Some(3), false)),
            (Builder::new("publish", 0.0).value(Value::Null).value(false).message(3), ends(Some(3), false)),
            (UserControl::StreamEof(4).message(), ends(Some(4), false)),
            (
                command::on_status(&Info::status("NetStream.Play.UnpublishNotify", "")).message(2),
                ends(Some(2), false),
            ),
            (command::on_status(&Info::status("NetStream.Play.Start", "")).message(2), Meaning::Command),
            (command::publish("live", "live").message(3), Meaning::Command),
            (publish_of_librtmfp(), Meaning::Command),
            (command::result(4.0).message(0), Meaning::Result { transaction: 4.0 }),
            (command::connect(|_| {}).message(0), Meaning::Connect { transaction: 1.0 }),
            (command::set_peer_info([]).message(0), Meaning::SetPeerInfo { transaction: 0.0 }),
        ] {
            assert_eq!(Meaning::of(&message), meaning, "{message:?}");
        }
    }
}
