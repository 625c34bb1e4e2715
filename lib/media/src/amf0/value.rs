use core::fmt::{self, Write as _};

use super::{Items, Members};

/// One value. Strings, objects and arrays borrow the message.
///
/// Two values are equal if they are encoded alike (strings: if they read alike).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A double.
    Number(f64),
    /// True or false; on the wire any byte but 0 is true.
    Boolean(bool),
    /// A string, short or long.
    String(Text<'a>),
    /// An anonymous object.
    Object(Object<'a>),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// The object or array with this number in the message, counted from 0 in the order of their beginnings. Left
    /// as a number, so that a reference to itself is harmless.
    Reference(u16),
    /// An array by names; the count on the wire means nothing.
    EcmaArray(Object<'a>),
    /// An array by positions.
    StrictArray(Array<'a>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970, UTC.
        millis: f64,
        /// The time zone in minutes; reserved, 0.
        zone: i16,
    },
    /// Something that the sender could not encode.
    Unsupported,
    /// An XML document as text.
    Xml(Text<'a>),
    /// An object with the name of its class.
    TypedObject(Text<'a>, Object<'a>),
    /// A value in AMF3: all bytes after the marker, to the end of the message. Whatever it is part of, and the
    /// message, end with it.
    Amf3(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number, if it is one.
    pub const fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub const fn as_bool(self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// The string, if it is one and valid UTF-8.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::String(text) => text.to_str(),
            _ => None,
        }
    }

    /// The members, if it is an object, a typed object or an ECMA array.
    pub const fn as_object(self) -> Option<Object<'a>> {
        match self {
            Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject(_, object) => Some(object),
            _ => None,
        }
    }

    /// The elements, if it is a strict array.
    pub const fn as_array(self) -> Option<Array<'a>> {
        match self {
            Self::StrictArray(array) => Some(array),
            _ => None,
        }
    }
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::String(text.into())
    }
}

impl<'a> From<Text<'a>> for Value<'a> {
    fn from(text: Text<'a>) -> Self {
        Self::String(text)
    }
}

/// Text as it came: UTF-8 by the specification, any bytes from some old encoders.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Text of these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text, if it is valid UTF-8.
    pub fn to_str(self) -> Option<&'a str> {
        core::str::from_utf8(self.0).ok()
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// The text, with U+FFFD in place of what is not UTF-8.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// The members of an object or ECMA array: a view of bytes that a [`Reader`](super::Reader) has checked.
#[derive(Clone, Copy, PartialEq)]
pub struct Object<'a> {
    /// Keys and values with the end marker, which is missing if the last value is AMF3.
    raw: &'a [u8],
}

impl<'a> Object<'a> {
    /// `raw` must have been checked for nesting.
    pub(super) const fn checked(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The encoded members with the end marker.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The members in their order.
    pub const fn members(self) -> Members<'a> {
        Members::new(self.raw)
    }

    /// The member `key`. Of several the last, which is the one that remains when the sender's peers assign them in
    /// their order.
    pub fn get(self, key: &str) -> Option<Value<'a>> {
        self.members().filter(|(name, _)| name == key).last().map(|(_, value)| value)
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.members()).finish()
    }
}

/// The elements of a strict array: a view of bytes that a [`Reader`](super::Reader) has checked.
#[derive(Clone, Copy, PartialEq)]
pub struct Array<'a> {
    count: u32,
    raw: &'a [u8],
}

impl<'a> Array<'a> {
    /// `raw` must have been checked for nesting.
    pub(super) const fn checked(count: u32, raw: &'a [u8]) -> Self {
        Self { count, raw }
    }

    /// How many elements the sender announced: as many as there are, unless one of them is AMF3.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The encoded elements.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The elements in their order.
    pub const fn items(self) -> Items<'a> {
        Items::new(self.raw)
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items()).finish()
    }
}
