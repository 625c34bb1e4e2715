//! AMF0, the encoding of command and data messages.
//!
//! Reading borrows and allocates nothing: a [`Reader`] checks one value of a message at a time and hands it out as
//! a [`Value`], whose objects and arrays are views of the checked bytes, with members in their order and
//! duplicates kept. A value that is bad or beyond the [`Limits`] ends the reading; the values before it stay
//! usable. So a hostile message costs no memory and at most [`Limits::values`] steps. Walking into the views reads
//! a byte once more for each level that it is nested, which [`Limits::depth`] bounds.
//!
//! Writing appends to a `Vec<u8>` through a [`Writer`]; [`set_member`] changes one member of an encoded object and
//! keeps every other byte, for relays.
//!
//! AMF3 is recognised (marker 0x11) but not decoded: such a value is the opaque rest of the message. See
//! [`amf3`](crate::amf3) for what is in it, and [`amf3::to_amf0`](crate::amf3::to_amf0) for how to get rid of it.

mod edit;
mod json;
mod read;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use edit::{EditError, set_member};
pub use read::{Items, Members, Reader};
pub use value::{Array, Object, Text, Value};
pub use write::{ObjectWriter, Slot, Writer};

use thiserror::Error;

/// What one message may demand of its reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How deep objects and arrays may nest; 0 refuses all of them.
    pub depth: u8,
    /// How many values there may be in the whole message, members and elements included.
    pub values: u32,
    /// The longest string or key, in bytes.
    pub string_bytes: u32,
}

impl Limits {
    /// 64 levels, 65,536 values, strings of 1 MiB.
    pub const DEFAULT: Self = Self { depth: 64, values: 65_536, string_bytes: 1 << 20 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Why a value cannot be read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The message ends within the value.
    #[error("the message ends within a value")]
    Truncated,
    /// No value begins with this byte (movie clips and record sets, which are reserved, included).
    #[error("no value begins with marker {0:#04x}")]
    Marker(u8),
    /// Beyond [`Limits::depth`].
    #[error("nested too deeply")]
    Depth,
    /// Beyond [`Limits::values`].
    #[error("too many values")]
    Values,
    /// Beyond [`Limits::string_bytes`].
    #[error("string too long")]
    StringLength,
}

mod marker {
    pub(super) const NUMBER: u8 = 0x00;
    pub(super) const BOOLEAN: u8 = 0x01;
    pub(super) const STRING: u8 = 0x02;
    pub(super) const OBJECT: u8 = 0x03;
    pub(super) const NULL: u8 = 0x05;
    pub(super) const UNDEFINED: u8 = 0x06;
    pub(super) const REFERENCE: u8 = 0x07;
    pub(super) const ECMA_ARRAY: u8 = 0x08;
    pub(super) const OBJECT_END: u8 = 0x09;
    pub(super) const STRICT_ARRAY: u8 = 0x0a;
    pub(super) const DATE: u8 = 0x0b;
    pub(super) const LONG_STRING: u8 = 0x0c;
    pub(super) const UNSUPPORTED: u8 = 0x0d;
    pub(super) const XML: u8 = 0x0f;
    pub(super) const TYPED_OBJECT: u8 = 0x10;
    pub(super) const AMF3: u8 = 0x11;
}
