//! Flash clients, librtmfp and MonaServer write in AMF3 where RTMP servers and players read AMF0.

use bytes::Bytes;
use log::{Level, debug, log};
use rtmfp_media::amf0::{self, Value, set_member};
use rtmfp_media::amf3;
use rtmfp_media::command::Command;
use rtmfp_media::message::{CONTROL_STREAM, kind};
use rtmfp_netconn::TcMessage;

use crate::relay::client::Who;
use crate::relay::shared::Shared;

/// Between a client that may use AMF3 and a destination that is told nothing of it.
#[derive(Debug, Default)]
pub(super) struct Encoding {
    /// The client's connect, which waits for its answer: its transaction, and the object encoding that it asked for.
    asked: Option<(f64, f64)>,
    /// A message that cannot be converted was warned of.
    warned: bool,
}

impl Encoding {
    /// A message as plain AMF0 for the destination.
    ///
    /// A `connect` asks the destination for object encoding 0, as it will get nothing else and shall send nothing else.
    pub(super) fn upstream(&mut self, shared: &mut Shared, who: Who, message: TcMessage) -> TcMessage {
        let message = self.plain(shared, who, message);
        self.ask_for_amf0(&message).unwrap_or(message)
    }

    /// A message as plain AMF0. What cannot be converted stays as it is, and is warned of once.
    pub(super) fn plain(&mut self, shared: &mut Shared, who: Who, message: TcMessage) -> TcMessage {
        let converted = match message.kind {
            // They hold values between numbers and lengths of their own.
            kind::SHARED_OBJECT_EXTENDED => Err("shared objects in AMF3 are not converted".to_owned()),
            _ => amf3::plain(&message, &shared.config.amf3).map_err(|error| error.to_string()),
        };
        match converted {
            Ok(None) => message,
            Ok(Some(plain)) => {
                shared.counters.converted += 1;
                plain
            }
            Err(error) => {
                // Broken AMF0 is no news.
                if matches!(message.kind, kind::COMMAND | kind::DATA) {
                    debug!("{who}: {message:?} is not converted: {error}");
                    return message;
                }
                shared.counters.not_converted += 1;
                let level =
                    if core::mem::replace(&mut self.warned, true) { Level::Debug } else { Level::Warn };
                log!(level, "{who}: {message:?} with AMF3 goes on over RTMP as it came: {error}");
                message
            }
        }
    }

    fn ask_for_amf0(&mut self, message: &TcMessage) -> Option<TcMessage> {
        if message.kind != kind::COMMAND || message.stream_id != CONTROL_STREAM {
            return None;
        }
        let command = Command::parse(message.kind, &message.payload, &LIMITS).ok()?;
        let object = command.object().filter(|_| command.name == "connect")?;
        let asked = object.get(MEMBER).and_then(Value::as_number).filter(|encoding| *encoding != 0.0)?;
        let payload = command.with_object_member(MEMBER, 0.0).ok()?;
        self.asked = Some((command.transaction, asked));
        Some(TcMessage { payload: Bytes::from(payload), ..message.clone() })
    }

    /// A message of the destination. The answer to the `connect` grants the object encoding that the client asked for:
    /// it may use AMF3, which is converted, and AMF0, which it gets, is allowed with any encoding.
    pub(super) fn downstream(&mut self, message: TcMessage) -> TcMessage {
        let Some((transaction, encoding)) = self.asked else { return message };
        let Ok(command) = Command::parse(message.kind, &message.payload, &LIMITS) else { return message };
        if command.transaction != transaction || !matches!(command.name, "_result" | "_error") {
            return message;
        }
        self.asked = None;
        if command.name == "_error" {
            return message;
        }
        let mut values = command.values();
        let _properties = values.next();
        let info = values.rest();
        let Ok(changed) = set_member(info, MEMBER, encoding, &LIMITS) else { return message };
        let before = message.payload.strip_suffix(info).unwrap_or_default();
        let payload = [before, &changed].concat().into();
        TcMessage { payload, ..message }
    }
}

const MEMBER: &str = "objectEncoding";
const LIMITS: amf0::Limits = amf0::Limits::DEFAULT;

#[cfg(test)]
mod tests {
    use rtmfp_media::command::{self, Info};

    use super::*;

    fn up(encoding: &mut Encoding, message: TcMessage) -> TcMessage {
        encoding.ask_for_amf0(&message).unwrap_or(message)
    }

    fn connect(object_encoding: f64) -> TcMessage {
        command::connect(|o| _ = o.put("app", "live").put(MEMBER, object_encoding).put("tcUrl", "u"))
            .message(0)
    }

    fn accepted(object_encoding: Option<f64>) -> TcMessage {
        let info = Info::status("NetConnection.Connect.Success", "");
        let answer = command::result(1.0).value(Value::Null);
        let answer = answer.object(|o| {
            info.write(o);
            object_encoding.into_iter().for_each(|encoding| _ = o.put(MEMBER, encoding));
        });
        answer.message(0)
    }

    #[test]
    fn the_destination_is_asked_for_amf0_and_the_client_granted_what_it_asked_for() {
        for granted in [None, Some(0.0)] {
            let mut encoding = Encoding::default();
            assert_eq!(up(&mut encoding, connect(3.0)), connect(0.0));
            let other = command::result(2.0).value(Value::Null).message(0);
            assert_eq!(encoding.downstream(other.clone()), other);
            assert_eq!(encoding.downstream(accepted(granted)), accepted(Some(3.0)));
            assert_eq!(encoding.downstream(accepted(granted)), accepted(granted), "once");
        }
    }

    #[test]
    fn who_asks_for_amf0_gets_the_answer_as_it_is() {
        let mut encoding = Encoding::default();
        assert_eq!(up(&mut encoding, connect(0.0)), connect(0.0));
        assert_eq!(encoding.downstream(accepted(Some(0.0))), accepted(Some(0.0)));
        assert_eq!(encoding.downstream(accepted(None)), accepted(None));
    }
}
