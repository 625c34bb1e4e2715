//! From AMF3 to AMF0.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Complex, ComplexId, Error, Limits, Reader, Store, Value};
use crate::amf0::{self, ObjectWriter, Slot, Text};
use crate::command::amf0_part;
use crate::message::{TcMessage, kind};

/// A command or data message as plain AMF0 has it: type 20 instead of 17, 18 instead of 15, and all values as
/// [`to_amf0`] has them. `None` if it is so already, or neither a command nor data.
///
/// # Errors
/// See [`enum@Error`]: then the message cannot be expressed, or understood.
pub fn plain(message: &TcMessage, limits: &Limits) -> Result<Option<TcMessage>, Error> {
    let kind = match message.kind {
        kind::COMMAND | kind::COMMAND_EXTENDED => kind::COMMAND,
        kind::DATA | kind::DATA_EXTENDED => kind::DATA,
        _ => return Ok(None),
    };
    let part = amf0_part(message.kind, &message.payload)?;
    let payload = match to_amf0(part, limits)? {
        Cow::Borrowed(_) if kind == message.kind => return Ok(None),
        Cow::Borrowed(same) => message.payload.slice_ref(same),
        Cow::Owned(changed) => Bytes::from(changed),
    };
    Ok(Some(TcMessage { kind, timestamp: message.timestamp, stream_id: message.stream_id, payload }))
}

/// The beginning of a command or data message as plain AMF0 has it: its first values. `None` if they are so already,
/// or the message is neither a command nor data. See [`first_to_amf0`].
///
/// # Errors
/// See [`plain`].
pub fn first_plain(message: &TcMessage, count: u32, limits: &Limits) -> Result<Option<TcMessage>, Error> {
    let kind = match message.kind {
        kind::COMMAND | kind::COMMAND_EXTENDED => kind::COMMAND,
        kind::DATA | kind::DATA_EXTENDED => kind::DATA,
        _ => return Ok(None),
    };
    let part = amf0_part(message.kind, &message.payload)?;
    Ok(match first_to_amf0(part, count, limits)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(first) => Some(TcMessage { kind, payload: first.into(), ..message.clone() }),
    })
}

/// The values of an AMF0 message with those that are in AMF3 (marker 0x11) rewritten in AMF0, and every other byte as
/// it is. Nothing is copied if there are none.
///
/// What AMF0 lacks becomes what comes nearest: integers, doubles; arrays with named elements, and dictionaries, ECMA
/// arrays (positions and keys as text); vectors, strict arrays; both kinds of XML, XML documents; wrappers such as
/// `ArrayCollection`, what they wrap; byte arrays, strings in which each byte is the character of that number (U+0000 to
/// U+00FF), so that nothing is lost and the text is valid. Members with an empty name are left out, as readers would
/// take them for the end of the object, and so are those with a name of more than 65,535 bytes. What is referred to
/// several times is written several times, as few readers of AMF0 know references; where a value is within itself there
/// is null instead.
///
/// # Errors
/// See [`enum@Error`], also for what is wrong with the AMF0 around the AMF3.
pub fn to_amf0<'p>(values: &'p [u8], limits: &Limits) -> Result<Cow<'p, [u8]>, Error> {
    if !values.contains(&AMF3) {
        return Ok(Cow::Borrowed(values));
    }
    convert(values, u32::MAX, limits)
}

/// The same of the first values only, for who wants to know no more: what it costs does not depend on what follows.
/// Where they are plain AMF0 already these are all the bytes, where they are not the first values alone.
///
/// # Errors
/// See [`to_amf0`].
pub fn first_to_amf0<'p>(values: &'p [u8], count: u32, limits: &Limits) -> Result<Cow<'p, [u8]>, Error> {
    convert(values, count, limits)
}

fn convert<'p>(values: &'p [u8], count: u32, limits: &Limits) -> Result<Cow<'p, [u8]>, Error> {
    let mut walk = Walk {
        all: values,
        input: values,
        out: Vec::new(),
        copied: 0,
        reader: Reader::new(limits),
        values_left: limits.values,
        bytes_left: limits.total_bytes,
        places: Vec::new(),
        within: Vec::new(),
        containers: 0,
        changed: false,
    };
    for _ in 0..count {
        if walk.input.is_empty() {
            break;
        }
        walk.value(limits.depth)?;
    }
    if !walk.changed {
        return Ok(Cow::Borrowed(values));
    }
    walk.catch_up();
    Ok(Cow::Owned(walk.out))
}

/// The marker by which AMF0 changes to AMF3 for one value.
const AMF3: u8 = 0x11;

/// AMF0 being copied.
struct Walk<'p> {
    all: &'p [u8],
    /// What was not read yet.
    input: &'p [u8],
    out: Vec<u8>,
    /// How much of all is in `out`, or has something else in its place there: what is to be the same is copied when
    /// something follows that is not, and never if nothing does.
    copied: usize,
    reader: Reader<'p>,
    values_left: u32,
    bytes_left: u32,
    /// The containers read in AMF0: which of those written each of them is, for references to them.
    places: Vec<u32>,
    /// What [`Emit::within`] borrows.
    within: Vec<bool>,
    /// How many containers were written.
    containers: u32,
    changed: bool,
}

impl<'p> Walk<'p> {
    fn value(&mut self, depth: u8) -> Result<(), Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::Values)?;
        let marker = *self.input.first().ok_or(Error::Truncated)?;
        match marker {
            0x00 => self.skip(9),
            0x01 => self.skip(2),
            0x02 => {
                self.skip(1)?;
                self.text().map(drop)
            }
            0x05 | 0x06 | 0x0d => self.skip(1),
            0x07 => self.reference(),
            0x0b => self.skip(11),
            0x0c | 0x0f => {
                let length = self.input.get(1..).and_then(<[u8]>::first_chunk).ok_or(Error::Truncated)?;
                self.skip((u32::from_be_bytes(*length) as usize).saturating_add(5))
            }
            0x03 => self.members(1, depth),
            0x08 => self.members(5, depth),
            0x10 => {
                let depth = self.begin(1, depth)?;
                self.text()?;
                self.rest_of_members(depth)
            }
            0x0a => self.items(depth),
            AMF3 => self.amf3(depth),
            other => Err(Error::Marker(other)),
        }
    }

    /// Bytes that stay as they are.
    fn skip(&mut self, count: usize) -> Result<(), Error> {
        self.input = self.input.get(count..).ok_or(Error::Truncated)?;
        Ok(())
    }

    const fn position(&self) -> usize {
        self.all.len().saturating_sub(self.input.len())
    }

    /// Copies what was skipped.
    fn catch_up(&mut self) {
        let position = self.position();
        self.out.extend_from_slice(self.all.get(self.copied..position).unwrap_or_default());
        self.copied = position;
    }

    /// A key, or a string without its marker; answers its length.
    fn text(&mut self) -> Result<usize, Error> {
        let length = usize::from(u16::from_be_bytes(*self.input.first_chunk().ok_or(Error::Truncated)?));
        self.skip(length.saturating_add(2))?;
        Ok(length)
    }

    /// The head of a container, so many bytes. Answers how deep it may go on.
    fn begin(&mut self, head: usize, depth: u8) -> Result<u8, Error> {
        let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
        self.places.push(self.containers);
        self.containers = self.containers.saturating_add(1);
        self.skip(head)?;
        Ok(depth)
    }

    fn members(&mut self, head: usize, depth: u8) -> Result<(), Error> {
        let depth = self.begin(head, depth)?;
        self.rest_of_members(depth)
    }

    fn rest_of_members(&mut self, depth: u8) -> Result<(), Error> {
        while !self.input.starts_with(&[0, 0, 9]) {
            self.text()?;
            self.value(depth)?;
        }
        self.skip(3)
    }

    fn items(&mut self, depth: u8) -> Result<(), Error> {
        let count = *self.input.get(1..).and_then(<[u8]>::first_chunk).ok_or(Error::Truncated)?;
        let depth = self.begin(5, depth)?;
        for _ in 0..u32::from_be_bytes(count) {
            self.value(depth)?;
        }
        Ok(())
    }

    /// A reference follows the container that it means to its new number.
    fn reference(&mut self) -> Result<(), Error> {
        let number =
            u16::from_be_bytes(*self.input.get(1..).and_then(<[u8]>::first_chunk).ok_or(Error::Truncated)?);
        let place = self.places.get(usize::from(number)).and_then(|place| u16::try_from(*place).ok());
        if place != Some(number) {
            self.catch_up();
            match place {
                Some(place) => amf0::Writer::new(&mut self.out).put(amf0::Value::Reference(place)),
                None => amf0::Writer::new(&mut self.out).put(amf0::Value::Null),
            };
            self.copied = self.copied.saturating_add(3);
        }
        self.skip(3)
    }

    fn amf3(&mut self, depth: u8) -> Result<(), Error> {
        self.changed = true;
        self.catch_up();
        self.skip(1)?;
        let value = self.reader.read_within(&mut self.input, depth)?;
        self.copied = self.position();
        let store = self.reader.store();
        self.within.resize(store.len(), false);
        let mut emit = Emit {
            store,
            within: &mut self.within,
            values_left: self.values_left,
            bytes_left: self.bytes_left,
            containers: self.containers,
            failed: None,
        };
        emit.value(amf0::Writer::new(&mut self.out).value(), value, depth);
        (self.values_left, self.bytes_left, self.containers) =
            (emit.values_left, emit.bytes_left, emit.containers);
        emit.failed.map_or(Ok(()), Err)
    }
}

/// Values of AMF3 being written in AMF0.
struct Emit<'s, 'p> {
    store: &'s Store<'p>,
    /// Of which values the one to be written is a part.
    within: &'s mut [bool],
    values_left: u32,
    bytes_left: u32,
    containers: u32,
    /// From then on nothing is written.
    failed: Option<Error>,
}

impl<'p> Emit<'_, 'p> {
    fn value(&mut self, slot: Slot<'_, '_>, value: Value<'p>, depth: u8) {
        if self.failed.is_some() {
            return;
        }
        let Some(left) = self.values_left.checked_sub(1) else { return self.fail(Error::Values) };
        self.values_left = left;
        match value {
            Value::Undefined => slot.put(amf0::Value::Undefined),
            Value::Null => slot.put(amf0::Value::Null),
            Value::Boolean(value) => slot.put(value),
            Value::Integer(number) => slot.put(f64::from(number)),
            Value::Double(number) => slot.put(number),
            Value::String(text) => {
                if self.may_write(text.as_bytes().len()) {
                    slot.put(text);
                }
            }
            Value::Complex(id) => match self.within.get_mut(id.0 as usize) {
                Some(within) if !*within => {
                    *within = true;
                    self.complex(slot, id, depth);
                    if let Some(within) = self.within.get_mut(id.0 as usize) {
                        *within = false;
                    }
                }
                _ => slot.put(amf0::Value::Null),
            },
        }
    }

    fn complex(&mut self, slot: Slot<'_, '_>, id: ComplexId, depth: u8) {
        let Some(depth) = depth.checked_sub(1) else { return self.fail(Error::Depth) };
        let store = self.store;
        match store.get(id) {
            None => slot.put(amf0::Value::Null),
            Some(Complex::Date(millis)) => slot.put(amf0::Value::Date { millis: *millis, zone: 0 }),
            Some(Complex::XmlDocument(text) | Complex::Xml(text)) => {
                if self.may_write(text.as_bytes().len()) {
                    slot.put(amf0::Value::Xml(*text));
                }
            }
            Some(Complex::Bytes(bytes)) => {
                // Characters above U+007F take two bytes.
                let high = bytes.iter().filter(|byte| !byte.is_ascii()).count();
                if self.may_write(bytes.len().saturating_add(high)) {
                    let text: String = bytes.iter().copied().map(char::from).collect();
                    slot.put(&*text);
                }
            }
            Some(Complex::Wrapper { value, .. }) => self.value(slot, *value, depth),
            Some(Complex::Array { named, items }) if named.is_empty() => self.items(slot, items, depth),
            Some(Complex::Objects { items, .. }) => self.items(slot, items, depth),
            Some(Complex::Numbers(numbers)) => {
                self.count_container();
                slot.strict_array(|out| {
                    for number in numbers.iter() {
                        self.value(out.value(), Value::Double(number), depth);
                    }
                });
            }
            Some(Complex::Array { named, items }) => {
                self.count_container();
                slot.ecma_array(|out| {
                    self.members(out, named, depth);
                    for (position, item) in items.iter().enumerate() {
                        self.member(out, position.to_string().as_str().into(), *item, depth);
                    }
                });
            }
            Some(Complex::Dictionary { entries, .. }) => {
                self.count_container();
                slot.ecma_array(|out| {
                    for (key, value) in entries {
                        let key = self.key(*key);
                        self.member(out, Text::new(&key), *value, depth);
                    }
                });
            }
            Some(Complex::Object { traits, sealed, dynamic }) => {
                let class = store.traits(*traits);
                let names = class.map(|class| &class.sealed[..]).unwrap_or_default();
                self.count_container();
                let fill = |out: &mut ObjectWriter<'_>| {
                    for (name, value) in names.iter().zip(sealed) {
                        self.member(out, *name, *value, depth);
                    }
                    self.members(out, dynamic, depth);
                };
                match class.map(|class| class.class).filter(|class| !class.as_bytes().is_empty()) {
                    Some(class) => slot.typed_object(class, fill),
                    None => slot.object(fill),
                }
            }
        }
    }

    fn items(&mut self, slot: Slot<'_, '_>, items: &[Value<'p>], depth: u8) {
        self.count_container();
        slot.strict_array(|out| {
            for item in items {
                self.value(out.value(), *item, depth);
            }
        });
    }

    fn members(&mut self, out: &mut ObjectWriter<'_>, members: &[(Text<'p>, Value<'p>)], depth: u8) {
        for (name, value) in members {
            self.member(out, *name, *value, depth);
        }
    }

    fn member(&mut self, out: &mut ObjectWriter<'_>, name: Text<'_>, value: Value<'p>, depth: u8) {
        let length = name.as_bytes().len();
        // What cannot be written must not count its containers.
        if (1..=0xffff).contains(&length) && self.may_write(length) {
            self.value(out.member(name), value, depth);
        }
    }

    /// The key of a dictionary, as ActionScript turns it into text.
    fn key(&self, key: Value<'p>) -> Cow<'p, [u8]> {
        let text = match key {
            Value::String(text) => return Cow::Borrowed(text.as_bytes()),
            Value::Undefined => "undefined".to_owned(),
            Value::Null => "null".to_owned(),
            Value::Boolean(value) => value.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Double(number) => number.to_string(),
            Value::Complex(_) => "[object]".to_owned(),
        };
        Cow::Owned(text.into_bytes())
    }

    fn may_write(&mut self, bytes: usize) -> bool {
        let left = u32::try_from(bytes).ok().and_then(|bytes| self.bytes_left.checked_sub(bytes));
        match left {
            Some(left) => self.bytes_left = left,
            None => self.fail(Error::Size),
        }
        left.is_some()
    }

    const fn count_container(&mut self) {
        self.containers = self.containers.saturating_add(1);
    }

    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }
}
