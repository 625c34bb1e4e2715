//! Command messages (types 20 and 17; RTMP section 7.1.1): a name, a transaction id, a command object or null, and
//! arguments, in AMF0. In the extended type a format byte comes first, and 0 is the only format there is.
//!
//! ```
//! use rtmfp_media::amf0::{Limits, Value};
//! use rtmfp_media::command::{self, Command, Info};
//!
//! let message = command::play("live").value(-2.0).message(5);
//! let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT)?;
//! assert_eq!((command.name, command.transaction), ("play", 0.0));
//! assert_eq!(command.argument(0).and_then(Value::as_str), Some("live"));
//!
//! let info = Info::status("NetConnection.Connect.Success", "connected");
//! let answer = command::result(1.0).value(Value::Null).object(|object| {
//!     info.write(object);
//!     object.put("objectEncoding", 0.0);
//!     object.member("videoFourCcInfoMap").object(|map| _ = map.put("*", 4.0));
//! });
//! let answer = answer.payload();
//! let answer = Command::parse(20, &answer, &Limits::DEFAULT)?;
//! assert_eq!(answer.info(), Some(info));
//! # Ok::<(), command::CommandError>(())
//! ```

mod build;

#[cfg(test)]
mod tests;

pub use build::{
    Builder, close_stream, connect, create_stream, delete_stream, error, fc_publish, fc_unpublish, on_status,
    play, publish, release_stream, result, set_peer_info,
};

use crate::amf0::{self, EditError, Limits, Object, ObjectWriter, Reader, Value, set_member};
use crate::message::kind;

/// A received command.
///
/// The name and the transaction id have been read; the values after them are read when asked for, so that a bad one
/// among them does not make the command unusable.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// The name, such as `connect`, `_result` or `onStatus`.
    pub name: &'a str,
    /// The transaction id: 0 wants no answer; `_result` and `_error` carry the one they answer.
    pub transaction: f64,
    payload: &'a [u8],
    arguments: Reader<'a>,
    limits: Limits,
}

impl<'a> Command<'a> {
    /// Reads the beginning of a message of this type. The limits also hold for the values that follow.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn parse(kind: u8, payload: &'a [u8], limits: &Limits) -> Result<Self, CommandError> {
        if !matches!(kind, kind::COMMAND | kind::COMMAND_EXTENDED) {
            return Err(CommandError::Kind(kind));
        }
        let mut reader = Reader::new(amf0_part(kind, payload)?, limits);
        let name = reader.next().transpose()?.and_then(Value::as_str).ok_or(CommandError::Name)?;
        let transaction =
            reader.next().transpose()?.and_then(Value::as_number).ok_or(CommandError::Transaction)?;
        Ok(Self { name, transaction, payload, arguments: reader, limits: *limits })
    }

    /// The values after the transaction id: the command object (null in most commands), then the arguments.
    pub fn values(&self) -> Reader<'a> {
        self.arguments.clone()
    }

    /// The encoded values after the transaction id. A part of the payload, see `Bytes::slice_ref`.
    pub fn rest(&self) -> &'a [u8] {
        self.arguments.rest()
    }

    /// The command object, if it is one and readable.
    pub fn object(&self) -> Option<Object<'a>> {
        self.values().next()?.ok()?.as_object()
    }

    /// The argument `index`, counted from 0 after the command object, if all values up to it are readable.
    pub fn argument(&self, index: usize) -> Option<Value<'a>> {
        self.values().nth(index.checked_add(1)?)?.ok()
    }

    /// The information object of `onStatus`, `_result` or `_error`: the first argument.
    pub fn info(&self) -> Option<Info<'a>> {
        self.argument(0)?.as_object().map(Info::read)
    }

    /// The payload with one member of the command object set to a new value, and every other byte as it is.
    ///
    /// # Errors
    /// See [`set_member`].
    pub fn with_object_member<'v>(
        &self,
        key: &str,
        value: impl Into<Value<'v>>,
    ) -> Result<Vec<u8>, EditError> {
        let rest = self.rest();
        let mut changed = self.payload.strip_suffix(rest).unwrap_or_default().to_vec();
        changed.extend(set_member(rest, key, value, &self.limits)?);
        Ok(changed)
    }
}

/// What an information object says. Members that are missing, or no text, read as empty.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Info<'a> {
    /// `status`, `warning` or `error`.
    pub level: &'a str,
    /// What happened, such as `NetStream.Play.Start`.
    pub code: &'a str,
    /// The same for people.
    pub description: &'a str,
}

impl<'a> Info<'a> {
    /// Information of level `status`.
    pub const fn status(code: &'a str, description: &'a str) -> Self {
        Self { level: "status", code, description }
    }

    /// Information of level `error`.
    pub const fn error(code: &'a str, description: &'a str) -> Self {
        Self { level: "error", code, description }
    }

    /// Reads an information object.
    pub fn read(object: Object<'a>) -> Self {
        let text = |key| object.get(key).and_then(Value::as_str).unwrap_or_default();
        Self { level: text("level"), code: text("code"), description: text("description") }
    }

    /// Writes the three members.
    pub fn write(&self, object: &mut ObjectWriter<'_>) {
        object.put("level", self.level).put("code", self.code).put("description", self.description);
    }
}

/// Why a message is no usable command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Messages of this type are not commands.
    #[error("messages of type {0} are not commands")]
    Kind(u8),
    /// An extended message of an unknown format, or without its format byte.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// It does not begin with a string, or one that is not UTF-8.
    #[error("no command name")]
    Name,
    /// No number follows the name.
    #[error("no transaction id")]
    Transaction,
    /// The name or the transaction id cannot be read.
    #[error(transparent)]
    Amf(#[from] amf0::Error),
}

/// An extended message whose format byte is not 0, or missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown format of an extended message")]
pub struct UnknownFormat;

/// The AMF0 values of a command, data or shared object message: the payload without the format byte with which the
/// extended types begin.
pub(crate) fn amf0_part(kind: u8, payload: &[u8]) -> Result<&[u8], UnknownFormat> {
    match kind {
        kind::COMMAND_EXTENDED | kind::DATA_EXTENDED => payload.strip_prefix(&[0]).ok_or(UnknownFormat),
        _ => Ok(payload),
    }
}
