use core::iter::FusedIterator;

use super::{Array, Error, Limits, Object, Text, Value, marker};

/// The values of a message, one by one.
///
/// After an error or an AMF3 value there are no more.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: Input<'a>,
    depth: u8,
    values: u32,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from their beginning.
    pub const fn new(bytes: &'a [u8], limits: &Limits) -> Self {
        Self {
            input: Input::new(bytes, limits.values, limits.string_bytes),
            depth: limits.depth,
            values: limits.values,
            ended: false,
        }
    }

    /// Where the next value begins, in bytes. The span of a value is from here before to here after it was read;
    /// after an error this is where the bad value begins.
    pub const fn position(&self) -> usize {
        self.input.at
    }

    /// The bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.input.rest()
    }

    /// How many values were visited so far, members and elements and the one that failed included: the work done.
    pub const fn visited(&self) -> u32 {
        self.values.saturating_sub(self.input.values_left)
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Value<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.input.rest().is_empty() {
            return None;
        }
        let begin = self.input.at;
        let value = self.input.value(self.depth);
        if value.is_err() {
            self.input.at = begin;
            self.ended = true;
        }
        Some(value)
    }
}

impl FusedIterator for Reader<'_> {}

/// The members of an [`Object`] in their order.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    input: Input<'a>,
}

impl<'a> Members<'a> {
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self { input: Input::checked(raw) }
    }

    /// Where in the object's raw bytes the next member, or the end marker, begins.
    pub(super) const fn position(&self) -> usize {
        self.input.at
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.input.rest() == END {
            return None;
        }
        let key = self.input.key().ok()?;
        let value = self.input.value(u8::MAX).ok()?;
        Some((key, value))
    }
}

/// The elements of an [`Array`] in their order.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    input: Input<'a>,
}

impl<'a> Items<'a> {
    pub(super) const fn new(raw: &'a [u8]) -> Self {
        Self { input: Input::checked(raw) }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.input.value(u8::MAX).ok()
    }
}

/// What follows the last member: the empty key and the end marker.
pub(super) const END: &[u8] = &[0, 0, marker::OBJECT_END];

/// The unread part of some bytes, and what reading it may still cost.
#[derive(Clone, Debug)]
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    values_left: u32,
    string_bytes: u32,
    /// An AMF3 value took the rest: whatever is being read ends here.
    opaque: bool,
}

impl<'a> Input<'a> {
    const fn new(bytes: &'a [u8], values: u32, string_bytes: u32) -> Self {
        Self { bytes, at: 0, values_left: values, string_bytes, opaque: false }
    }

    /// Bytes within a value that was within the limits once.
    const fn checked(bytes: &'a [u8]) -> Self {
        Self::new(bytes, u32::MAX, u32::MAX)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let taken = self.rest().get(..count).ok_or(Error::Truncated)?;
        self.at = self.at.saturating_add(count);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = *self.rest().first_chunk().ok_or(Error::Truncated)?;
        self.at = self.at.saturating_add(N);
        Ok(bytes)
    }

    fn double(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }

    fn text(&mut self, length: u32) -> Result<Text<'a>, Error> {
        if length > self.string_bytes {
            return Err(Error::StringLength);
        }
        self.take(length as usize).map(Text::new)
    }

    fn key(&mut self) -> Result<Text<'a>, Error> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(length.into())
    }

    fn long_text(&mut self) -> Result<Text<'a>, Error> {
        let length = u32::from_be_bytes(self.array()?);
        self.text(length)
    }

    /// Reads a value in which objects and arrays may nest `depth` deep. Every level of recursion takes one off.
    fn value(&mut self, depth: u8) -> Result<Value<'a>, Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::Values)?;
        let [marker] = self.array()?;
        Ok(match marker {
            marker::NUMBER => Value::Number(self.double()?),
            marker::BOOLEAN => Value::Boolean(self.array()? != [0]),
            marker::STRING => Value::String(self.key()?),
            marker::OBJECT => Value::Object(self.members(depth)?),
            marker::NULL => Value::Null,
            marker::UNDEFINED => Value::Undefined,
            marker::REFERENCE => Value::Reference(u16::from_be_bytes(self.array()?)),
            marker::ECMA_ARRAY => {
                let _count: [u8; 4] = self.array()?;
                Value::EcmaArray(self.members(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.items(depth)?),
            marker::DATE => Value::Date { millis: self.double()?, zone: i16::from_be_bytes(self.array()?) },
            marker::LONG_STRING => Value::String(self.long_text()?),
            marker::UNSUPPORTED => Value::Unsupported,
            marker::XML => Value::Xml(self.long_text()?),
            marker::TYPED_OBJECT => {
                let class = self.key()?;
                Value::TypedObject(class, self.members(depth)?)
            }
            marker::AMF3 => {
                let rest = self.rest();
                self.at = self.bytes.len();
                self.opaque = true;
                Value::Amf3(rest)
            }
            other => return Err(Error::Marker(other)),
        })
    }

    fn members(&mut self, depth: u8) -> Result<Object<'a>, Error> {
        let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
        let bytes = self.rest();
        let begin = self.at;
        while !self.opaque {
            if self.rest().starts_with(END) {
                self.at = self.at.saturating_add(END.len());
                break;
            }
            self.key()?;
            self.value(depth)?;
        }
        Ok(Object::checked(bytes.get(..self.at.saturating_sub(begin)).unwrap_or_default()))
    }

    fn items(&mut self, depth: u8) -> Result<Array<'a>, Error> {
        let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
        let count = u32::from_be_bytes(self.array()?);
        let bytes = self.rest();
        let begin = self.at;
        // An element takes a byte at least: a count that cannot be true is refused at once.
        if count as usize > bytes.len() {
            return Err(Error::Truncated);
        }
        for _ in 0..count {
            self.value(depth)?;
            if self.opaque {
                break;
            }
        }
        Ok(Array::checked(count, bytes.get(..self.at.saturating_sub(begin)).unwrap_or_default()))
    }
}
