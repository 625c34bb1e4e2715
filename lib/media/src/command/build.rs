use core::net::SocketAddr;

use bytes::Bytes;

use super::Info;
use crate::amf0::{ObjectWriter, Value, Writer};
use crate::message::{TcMessage, kind};

/// A command being put together.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    /// The payload of the extended type: the format byte, then that of the plain type.
    extended: Vec<u8>,
}

impl Builder {
    /// A command without command object and arguments yet.
    pub fn new(name: &str, transaction: f64) -> Self {
        Self { extended: vec![0] }.value(name).value(transaction)
    }

    /// Adds a value: first the command object, then the arguments.
    pub fn value<'v>(self, value: impl Into<Value<'v>>) -> Self {
        self.values(|values| _ = values.put(value))
    }

    /// Adds an object.
    pub fn object(self, fill: impl FnOnce(&mut ObjectWriter<'_>)) -> Self {
        self.values(|values| values.value().object(fill))
    }

    /// Adds an information object.
    pub fn info(self, info: &Info<'_>) -> Self {
        self.object(|object| info.write(object))
    }

    /// Adds any values.
    pub fn values(mut self, fill: impl FnOnce(&mut Writer<'_>)) -> Self {
        fill(&mut Writer::new(&mut self.extended));
        self
    }

    /// The payload of a message of type 20.
    pub fn payload(self) -> Bytes {
        Bytes::from(self.extended).slice(1..)
    }

    /// A message of type 20 at time 0.
    pub fn message(self, stream_id: u32) -> TcMessage {
        TcMessage { kind: kind::COMMAND, timestamp: 0, stream_id, payload: self.payload() }
    }

    /// A message of type 17 at time 0, for peers that agreed on object encoding 3. The values are AMF0 all the same,
    /// as format 0 says.
    pub fn extended_message(self, stream_id: u32) -> TcMessage {
        TcMessage { kind: kind::COMMAND_EXTENDED, timestamp: 0, stream_id, payload: self.extended.into() }
    }
}

/// `connect`, transaction 1, with the command object that `fill` writes (app, tcUrl, objectEncoding and so on). User
/// arguments may be added.
pub fn connect(fill: impl FnOnce(&mut ObjectWriter<'_>)) -> Builder {
    Builder::new("connect", 1.0).object(fill)
}

/// `createStream`. The result's argument is the stream id.
pub fn create_stream(transaction: f64) -> Builder {
    Builder::new("createStream", transaction).value(Value::Null)
}

/// `deleteStream`, for stream 0. There is no answer.
pub fn delete_stream(stream_id: u32) -> Builder {
    Builder::new("deleteStream", 0.0).value(Value::Null).value(f64::from(stream_id))
}

/// `releaseStream`: encoders ask by it that an earlier publisher of the name be forgotten.
pub fn release_stream(transaction: f64, name: &str) -> Builder {
    Builder::new("releaseStream", transaction).value(Value::Null).value(name)
}

/// `FCPublish`: encoders announce a publish by it.
pub fn fc_publish(transaction: f64, name: &str) -> Builder {
    Builder::new("FCPublish", transaction).value(Value::Null).value(name)
}

/// `FCUnpublish`: encoders announce the end of a publish by it.
pub fn fc_unpublish(transaction: f64, name: &str) -> Builder {
    Builder::new("FCUnpublish", transaction).value(Value::Null).value(name)
}

/// `publish`, for the stream's id. `how` is `live`, `record` or `append`. It is answered by `onStatus`.
pub fn publish(name: &str, how: &str) -> Builder {
    Builder::new("publish", 0.0).value(Value::Null).value(name).value(how)
}

/// `play`, for the stream's id. Start, duration and reset may be added. It is answered by `onStatus`.
pub fn play(name: &str) -> Builder {
    Builder::new("play", 0.0).value(Value::Null).value(name)
}

/// `closeStream`, for the stream's id: ends publishing or playing, and leaves the stream for reuse.
pub fn close_stream() -> Builder {
    Builder::new("closeStream", 0.0).value(Value::Null)
}

/// `setPeerInfo`, for stream 0: the addresses at which the client may be reachable (RFC 7425 section 5.3.3).
pub fn set_peer_info(addresses: impl IntoIterator<Item = SocketAddr>) -> Builder {
    addresses.into_iter().fold(Builder::new("setPeerInfo", 0.0).value(Value::Null), |builder, address| {
        builder.value(&*address.to_string())
    })
}

/// `_result` of the command with this transaction id. To be added: properties or null, then what was asked for.
pub fn result(transaction: f64) -> Builder {
    Builder::new("_result", transaction)
}

/// `_error` of the command with this transaction id, with null and an information object.
pub fn error(transaction: f64, info: &Info<'_>) -> Builder {
    Builder::new("_error", transaction).value(Value::Null).info(info)
}

/// `onStatus` with null and an information object.
pub fn on_status(info: &Info<'_>) -> Builder {
    Builder::new("onStatus", 0.0).value(Value::Null).info(info)
}
