//! Data messages (types 18 and 15; RTMP section 7.1.2): a handler's name and arguments, in AMF0.

use bytes::Bytes;

use crate::amf0::{self, Limits, Reader, Value, Writer};
use crate::command::{UnknownFormat, amf0_part};
use crate::message::kind;

/// The handler by which a publisher has the server keep the rest of the message, from the next string on, for later
/// subscribers, and forward it to present ones.
pub const SET_DATA_FRAME: &str = "@setDataFrame";

/// The handler by which a publisher has the server forget what it kept for the handler that is named next.
pub const CLEAR_DATA_FRAME: &str = "@clearDataFrame";

/// The handler of a stream's description, in FLV files and in messages.
pub const ON_META_DATA: &str = "onMetaData";

/// A received data message.
#[derive(Clone, Debug)]
pub struct Data<'a> {
    /// The name of the handler, such as [`SET_DATA_FRAME`] or [`ON_META_DATA`].
    pub name: &'a str,
    arguments: Reader<'a>,
}

impl<'a> Data<'a> {
    /// Reads the beginning of a message of this type. The limits also hold for the values that follow.
    ///
    /// # Errors
    /// See [`DataError`].
    pub fn parse(kind: u8, payload: &'a [u8], limits: &Limits) -> Result<Self, DataError> {
        if !matches!(kind, kind::DATA | kind::DATA_EXTENDED) {
            return Err(DataError::Kind(kind));
        }
        let mut reader = Reader::new(amf0_part(kind, payload)?, limits);
        let name = reader.next().transpose()?.and_then(Value::as_str).ok_or(DataError::Name)?;
        Ok(Self { name, arguments: reader })
    }

    /// The values after the name.
    pub fn values(&self) -> Reader<'a> {
        self.arguments.clone()
    }

    /// The encoded values after the name. A part of the payload, see `Bytes::slice_ref`.
    ///
    /// After [`SET_DATA_FRAME`] this is the payload of the message (of type 18) to keep and to forward.
    pub fn rest(&self) -> &'a [u8] {
        self.arguments.rest()
    }
}

/// The payload of a data message of type 18.
pub fn payload(name: &str, fill: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut out = Vec::new();
    fill(Writer::new(&mut out).put(name));
    out.into()
}

/// The payload of a data message of type 18 that has the server keep `frame`, which is the payload of another: its
/// handler's name and arguments, as in the script tags of FLV files.
pub fn set_data_frame(frame: &[u8]) -> Bytes {
    const NAME: usize = SET_DATA_FRAME.len() + 3;
    let mut out = Vec::with_capacity(frame.len().saturating_add(NAME));
    Writer::new(&mut out).put(SET_DATA_FRAME);
    out.extend_from_slice(frame);
    out.into()
}

/// Why a message is no usable data message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Messages of this type carry no data.
    #[error("messages of type {0} carry no data")]
    Kind(u8),
    /// An extended message of an unknown format, or without its format byte.
    #[error(transparent)]
    Format(#[from] UnknownFormat),
    /// It does not begin with a string, or one that is not UTF-8.
    #[error("no handler name")]
    Name,
    /// The name cannot be read.
    #[error(transparent)]
    Amf(#[from] amf0::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits::DEFAULT;

    #[test]
    fn a_data_frame_to_keep_is_the_rest_of_its_message() {
        let frame = payload(ON_META_DATA, |w| {
            w.value().ecma_array(|o| _ = o.put("width", 640.0).put("height", 360.0))
        });
        let message = set_data_frame(&frame);
        let data = Data::parse(kind::DATA, &message, &LIMITS).unwrap();
        assert_eq!(data.name, "@setDataFrame");
        assert_eq!(data.rest(), frame);
        let kept = Data::parse(kind::DATA, &frame, &LIMITS).unwrap();
        assert_eq!(kept.name, "onMetaData");
        let array = kept.values().next().unwrap().unwrap().as_object().unwrap();
        assert_eq!(array.get("width"), Some(640.0.into()));
    }

    #[test]
    fn extended_data_has_a_format_byte() {
        let plain = payload("h", |w| _ = w.put(true));
        let extended = [b"\0", &plain[..]].concat();
        let data = Data::parse(kind::DATA_EXTENDED, &extended, &LIMITS).unwrap();
        assert_eq!((data.name, data.rest()), ("h", &b"\x01\x01"[..]));
        let parse = |kind, payload| Data::parse(kind, payload, &LIMITS).unwrap_err();
        assert_eq!(parse(kind::DATA_EXTENDED, &plain), DataError::Format(UnknownFormat));
        assert_eq!(parse(kind::COMMAND, &plain), DataError::Kind(20));
        assert_eq!(parse(kind::DATA, b""), DataError::Name);
        assert_eq!(parse(kind::DATA, b"\x02\0"), DataError::Amf(amf0::Error::Truncated));
    }
}
