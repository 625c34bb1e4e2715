//! AMF3, the encoding of ActionScript 3 values, as it occurs in AMF0 messages behind marker 0x11.
//!
//! A [`Reader`] reads the values of one message into a [`Store`]; text and binary content borrow the message. Values
//! that AMF3 can refer to again (objects, arrays, dates, XML, byte arrays, vectors, dictionaries) stand in the store
//! in the order of their beginnings, and a [`Value`] only names them: so what was shared stays shared, and an object
//! that contains itself is harmless. A [`Writer`] writes values of a store, each string, object and class once. The
//! tables of references last for a message, not for a value, as the installed base has it.
//!
//! Memory is taken for what has arrived, never for what is announced, and bounded by the [`Limits`].
//!
//! [`to_amf0`] rewrites the values of a message in plain AMF0, and [`plain`] whole command and data messages, for
//! peers that know nothing else.

mod plain;
mod read;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use plain::{first_plain, first_to_amf0, plain, to_amf0};
pub use read::Reader;
pub use value::{Complex, ComplexId, Element, NumberVector, Store, Traits, TraitsId, Value};
pub use write::Writer;

use thiserror::Error;

/// What one message may demand of its reader, and of its conversion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How deep values may nest, those of AMF0 around them included; 0 refuses everything but single numbers, strings
    /// and the like. Default 64.
    pub depth: u8,
    /// How many values there may be in the whole message: members, elements, and the names in class definitions
    /// included. A conversion counts what it writes, so what is referred to again counts again. Default 65,536.
    pub values: u32,
    /// How many strings, classes and values there may be that can be referred to. Default 65,536.
    pub references: u32,
    /// The longest string, XML document, byte array or vector of numbers, in bytes. Default 1 MiB.
    pub string_bytes: u32,
    /// All of those together, in bytes; what is referred to again counts again. A conversion counts what it writes.
    /// Default 4 MiB.
    pub total_bytes: u32,
}

impl Limits {
    /// 64 levels, 65,536 values and references, strings of 1 MiB and 4 MiB of them together.
    pub const DEFAULT: Self =
        Self { depth: 64, values: 65_536, references: 65_536, string_bytes: 1 << 20, total_bytes: 4 << 20 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a value cannot be read, written or converted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The message ends within the value.
    #[error("the message ends within a value")]
    Truncated,
    /// No value begins with this byte.
    #[error("no value begins with marker {0:#04x}")]
    Marker(u8),
    /// Nothing with this number came before.
    #[error("reference {0} to nothing")]
    Reference(u32),
    /// An object of a class with an encoding of its own that is not known here, so that its end is not known either.
    #[error("objects of class {class:?} have an encoding of their own")]
    External {
        /// The name of the class, its first 64 characters.
        class: String,
    },
    /// An extended message whose format byte is not 0, or missing.
    #[error(transparent)]
    Format(#[from] crate::command::UnknownFormat),
    /// Beyond [`Limits::depth`].
    #[error("nested too deeply")]
    Depth,
    /// Beyond [`Limits::values`].
    #[error("too many values")]
    Values,
    /// Beyond [`Limits::references`].
    #[error("too many references")]
    References,
    /// Beyond [`Limits::string_bytes`], or what AMF3 can express.
    #[error("string too long")]
    StringLength,
    /// Beyond [`Limits::total_bytes`].
    #[error("too much text")]
    Size,
}

mod marker {
    pub(super) const UNDEFINED: u8 = 0x00;
    pub(super) const NULL: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x02;
    pub(super) const TRUE: u8 = 0x03;
    pub(super) const INTEGER: u8 = 0x04;
    pub(super) const DOUBLE: u8 = 0x05;
    pub(super) const STRING: u8 = 0x06;
    pub(super) const XML_DOCUMENT: u8 = 0x07;
    pub(super) const DATE: u8 = 0x08;
    pub(super) const ARRAY: u8 = 0x09;
    pub(super) const OBJECT: u8 = 0x0a;
    pub(super) const XML: u8 = 0x0b;
    pub(super) const BYTE_ARRAY: u8 = 0x0c;
    pub(super) const INT_VECTOR: u8 = 0x0d;
    pub(super) const UINT_VECTOR: u8 = 0x0e;
    pub(super) const DOUBLE_VECTOR: u8 = 0x0f;
    pub(super) const OBJECT_VECTOR: u8 = 0x10;
    pub(super) const DICTIONARY: u8 = 0x11;
}

/// Classes whose own encoding is just one value, the one that they wrap.
const WRAPPERS: [&str; 3] =
    ["flex.messaging.io.ArrayCollection", "flex.messaging.io.ArrayList", "flex.messaging.io.ObjectProxy"];
