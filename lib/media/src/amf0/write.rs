use super::{Text, Value, marker, read::END};

/// Appends values to a buffer: those of a message, or the elements of a strict array.
#[derive(Debug)]
pub struct Writer<'w> {
    out: &'w mut Vec<u8>,
    count: u32,
}

impl<'w> Writer<'w> {
    /// Appends to `out`.
    pub const fn new(out: &'w mut Vec<u8>) -> Self {
        Self { out, count: 0 }
    }

    /// Appends a value.
    pub fn put<'v>(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
        self.value().put(value);
        self
    }

    /// The place of the next value, for objects and arrays made on the spot.
    pub const fn value(&mut self) -> Slot<'_, 'static> {
        Slot { out: self.out, count: &mut self.count, key: None }
    }
}

/// Appends the members of an object or ECMA array.
#[derive(Debug)]
pub struct ObjectWriter<'w> {
    out: &'w mut Vec<u8>,
    count: u32,
}

impl<'w> ObjectWriter<'w> {
    pub(super) const fn new(out: &'w mut Vec<u8>) -> Self {
        Self { out, count: 0 }
    }

    /// Appends a member. One whose key is longer than the 65,535 bytes that AMF0 can express is left out.
    pub fn put<'v, 'k>(&mut self, key: impl Into<Text<'k>>, value: impl Into<Value<'v>>) -> &mut Self {
        self.member(key).put(value);
        self
    }

    /// The place of the next member's value, for objects and arrays made on the spot. One whose key is longer than
    /// the 65,535 bytes that AMF0 can express is left out.
    pub fn member<'k>(&mut self, key: impl Into<Text<'k>>) -> Slot<'_, 'k> {
        Slot { out: self.out, count: &mut self.count, key: Some(key.into()) }
    }
}

/// The place for one value.
#[derive(Debug)]
#[must_use = "nothing is written, not even the key, unless a value is put here"]
pub struct Slot<'w, 'k> {
    out: &'w mut Vec<u8>,
    count: &'w mut u32,
    key: Option<Text<'k>>,
}

impl<'w> Slot<'w, '_> {
    /// Writes a value.
    ///
    /// An ECMA array gets its true count. Text beyond 2³²−1 bytes, and the name of a class beyond 65,535, is cut.
    pub fn put<'v>(self, value: impl Into<Value<'v>>) {
        let Some(out) = self.begin() else { return };
        write(out, value.into());
    }

    /// Writes an anonymous object with the members that `fill` puts in.
    pub fn object(self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let Some(out) = self.begin() else { return };
        out.push(marker::OBJECT);
        members(out, fill);
    }

    /// Writes an object of a class with the members that `fill` puts in. The name of the class is cut to 65,535
    /// bytes.
    pub fn typed_object<'c>(self, class: impl Into<Text<'c>>, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let Some(out) = self.begin() else { return };
        out.push(marker::TYPED_OBJECT);
        short_text(out, class.into());
        members(out, fill);
    }

    /// Writes an ECMA array with the members that `fill` puts in, their count and the end marker.
    pub fn ecma_array(self, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        let Some(out) = self.begin() else { return };
        out.push(marker::ECMA_ARRAY);
        counted(out, |out| members(out, fill));
    }

    /// Writes a strict array with the elements that `fill` puts in.
    pub fn strict_array(self, fill: impl FnOnce(&mut Writer<'_>)) {
        let Some(out) = self.begin() else { return };
        out.push(marker::STRICT_ARRAY);
        counted(out, |out| {
            let mut items = Writer::new(out);
            fill(&mut items);
            items.count
        });
    }

    /// Writes the key, if there is one, and counts the value.
    fn begin(self) -> Option<&'w mut Vec<u8>> {
        if let Some(key) = self.key {
            let length = u16::try_from(key.as_bytes().len()).ok()?;
            self.out.extend_from_slice(&length.to_be_bytes());
            self.out.extend_from_slice(key.as_bytes());
        }
        *self.count = self.count.saturating_add(1);
        Some(self.out)
    }
}

fn members(out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>)) -> u32 {
    let mut members = ObjectWriter::new(out);
    fill(&mut members);
    let count = members.count;
    out.extend_from_slice(END);
    count
}

/// Leaves room for a count and fills it in with what `body` answers.
fn counted(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> u32) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    let count = body(out);
    if let Some(place) = out.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = count.to_be_bytes();
    }
}

fn write(out: &mut Vec<u8>, value: Value<'_>) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(value) => out.extend_from_slice(&[marker::BOOLEAN, value.into()]),
        Value::String(text) if text.as_bytes().len() <= 0xffff => {
            out.push(marker::STRING);
            short_text(out, text);
        }
        Value::String(text) => {
            out.push(marker::LONG_STRING);
            long_text(out, text);
        }
        Value::Object(object) => {
            out.push(marker::OBJECT);
            out.extend_from_slice(object.raw());
        }
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Reference(index) => {
            out.push(marker::REFERENCE);
            out.extend_from_slice(&index.to_be_bytes());
        }
        Value::EcmaArray(object) => {
            out.push(marker::ECMA_ARRAY);
            counted(out, |out| {
                out.extend_from_slice(object.raw());
                u32::try_from(object.members().count()).unwrap_or(u32::MAX)
            });
        }
        Value::StrictArray(array) => {
            out.push(marker::STRICT_ARRAY);
            out.extend_from_slice(&array.count().to_be_bytes());
            out.extend_from_slice(array.raw());
        }
        Value::Date { millis, zone } => {
            out.push(marker::DATE);
            out.extend_from_slice(&millis.to_be_bytes());
            out.extend_from_slice(&zone.to_be_bytes());
        }
        Value::Unsupported => out.push(marker::UNSUPPORTED),
        Value::Xml(text) => {
            out.push(marker::XML);
            long_text(out, text);
        }
        Value::TypedObject(class, object) => {
            out.push(marker::TYPED_OBJECT);
            short_text(out, class);
            out.extend_from_slice(object.raw());
        }
        Value::Amf3(rest) => {
            out.push(marker::AMF3);
            out.extend_from_slice(rest);
        }
    }
}

fn short_text(out: &mut Vec<u8>, text: Text<'_>) {
    let length = u16::try_from(text.as_bytes().len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(text.as_bytes().iter().take(length.into()));
}

fn long_text(out: &mut Vec<u8>, text: Text<'_>) {
    let length = u32::try_from(text.as_bytes().len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend(text.as_bytes().iter().take(length as usize));
}
