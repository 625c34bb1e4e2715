use std::collections::HashMap;

use super::{Complex, ComplexId, Element, Error, Limits, Store, TraitsId, Value, marker};
use crate::amf0::Text;

/// Writes the values of one message: each string, class and value of the store in full the first time, by reference
/// from then on.
#[derive(Debug)]
pub struct Writer<'s, 'a> {
    store: &'s Store<'a>,
    depth: u8,
    strings: HashMap<Text<'a>, u32>,
    complex: HashMap<ComplexId, u32>,
    traits: HashMap<TraitsId, u32>,
}

impl<'s, 'a> Writer<'s, 'a> {
    /// For values of this store. Of the limits only the depth matters.
    pub fn new(store: &'s Store<'a>, limits: &Limits) -> Self {
        Self {
            store,
            depth: limits.depth,
            strings: HashMap::new(),
            complex: HashMap::new(),
            traits: HashMap::new(),
        }
    }

    /// Appends a value to `out`, without the marker 0x11 by which AMF0 changes to AMF3.
    ///
    /// Members with an empty name, which only a class may have, are left out where they would end the list; missing
    /// values of a class's members are undefined, surplus ones and the dynamic members of a class that is not dynamic
    /// are left out.
    ///
    /// # Errors
    /// When something is not in the store ([`Error::Reference`]), nested too deeply, or longer than the 2²⁸−1 bytes or
    /// elements that AMF3 can express ([`Error::StringLength`]). Then `out` ends somewhere within the value.
    pub fn put(&mut self, out: &mut Vec<u8>, value: Value<'a>) -> Result<(), Error> {
        self.value(out, value, self.depth)
    }

    fn value(&mut self, out: &mut Vec<u8>, value: Value<'a>, depth: u8) -> Result<(), Error> {
        match value {
            Value::Undefined => out.push(marker::UNDEFINED),
            Value::Null => out.push(marker::NULL),
            Value::Boolean(false) => out.push(marker::FALSE),
            Value::Boolean(true) => out.push(marker::TRUE),
            Value::Integer(number) if (LEAST..=MOST).contains(&number) => {
                out.push(marker::INTEGER);
                u29(out, number as u32 & MAX_U29);
            }
            Value::Integer(number) => {
                out.push(marker::DOUBLE);
                out.extend_from_slice(&f64::from(number).to_be_bytes());
            }
            Value::Double(number) => {
                out.push(marker::DOUBLE);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::String(text) => {
                out.push(marker::STRING);
                self.string(out, text)?;
            }
            Value::Complex(id) => {
                let store = self.store;
                let complex = store.get(id).ok_or(Error::Reference(id.0))?;
                out.push(marker_of(complex));
                if let Some(number) = self.complex.get(&id) {
                    return length(out, *number as usize, 1, 0);
                }
                let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
                self.complex.insert(id, self.complex.len() as u32);
                self.complex(out, complex, depth)?;
            }
        }
        Ok(())
    }

    fn complex(&mut self, out: &mut Vec<u8>, complex: &'s Complex<'a>, depth: u8) -> Result<(), Error> {
        match complex {
            Complex::XmlDocument(text) | Complex::Xml(text) => content(out, text.as_bytes()),
            Complex::Bytes(bytes) => content(out, bytes),
            Complex::Date(millis) => {
                u29(out, 1);
                out.extend_from_slice(&millis.to_be_bytes());
                Ok(())
            }
            Complex::Array { named, items } => {
                length(out, items.len(), 1, 1)?;
                self.members(out, named, depth)?;
                items.iter().try_for_each(|item| self.value(out, *item, depth))
            }
            Complex::Numbers(numbers) => {
                length(out, numbers.count(), 1, 1)?;
                out.push(numbers.fixed().into());
                out.extend_from_slice(numbers.raw());
                Ok(())
            }
            Complex::Objects { fixed, class, items } => {
                length(out, items.len(), 1, 1)?;
                out.push((*fixed).into());
                self.string(out, *class)?;
                items.iter().try_for_each(|item| self.value(out, *item, depth))
            }
            Complex::Dictionary { weak, entries } => {
                length(out, entries.len(), 1, 1)?;
                out.push((*weak).into());
                entries.iter().try_for_each(|(key, value)| {
                    self.value(out, *key, depth)?;
                    self.value(out, *value, depth)
                })
            }
            Complex::Wrapper { traits, value } => {
                self.class(out, *traits, true)?;
                self.value(out, *value, depth)
            }
            Complex::Object { traits, sealed, dynamic } => {
                self.class(out, *traits, false)?;
                let class = self.store.traits(*traits).ok_or(Error::Reference(traits.0))?;
                let values = sealed.iter().copied().chain(core::iter::repeat(Value::Undefined));
                for (_, value) in class.sealed.iter().zip(values) {
                    self.value(out, value, depth)?;
                }
                if class.dynamic && !class.external { self.members(out, dynamic, depth) } else { Ok(()) }
            }
        }
    }

    /// The head of an object. Classes with an encoding of their own must be those of wrappers.
    fn class(&mut self, out: &mut Vec<u8>, id: TraitsId, external: bool) -> Result<(), Error> {
        let store = self.store;
        let traits = store.traits(id).filter(|t| t.external == external).ok_or(Error::Reference(id.0))?;
        if let Some(number) = self.traits.get(&id) {
            return length(out, *number as usize, 2, 0b01);
        }
        self.traits.insert(id, self.traits.len() as u32);
        if external {
            u29(out, 0b111);
            return self.string(out, traits.class);
        }
        length(out, traits.sealed.len(), 4, 0b0011 | u32::from(traits.dynamic) << 3)?;
        self.string(out, traits.class)?;
        traits.sealed.iter().try_for_each(|name| self.string(out, *name))
    }

    fn members(
        &mut self,
        out: &mut Vec<u8>,
        members: &[(Text<'a>, Value<'a>)],
        depth: u8,
    ) -> Result<(), Error> {
        for (name, value) in members.iter().filter(|(name, _)| !name.as_bytes().is_empty()) {
            self.string(out, *name)?;
            self.value(out, *value, depth)?;
        }
        self.string(out, Text::default())
    }

    fn string(&mut self, out: &mut Vec<u8>, text: Text<'a>) -> Result<(), Error> {
        if let Some(number) = self.strings.get(&text) {
            return length(out, *number as usize, 1, 0);
        }
        if !text.as_bytes().is_empty() {
            self.strings.insert(text, self.strings.len() as u32);
        }
        content(out, text.as_bytes())
    }
}

const fn marker_of(complex: &Complex<'_>) -> u8 {
    match complex {
        Complex::XmlDocument(_) => marker::XML_DOCUMENT,
        Complex::Xml(_) => marker::XML,
        Complex::Date(_) => marker::DATE,
        Complex::Array { .. } => marker::ARRAY,
        Complex::Object { .. } | Complex::Wrapper { .. } => marker::OBJECT,
        Complex::Bytes(_) => marker::BYTE_ARRAY,
        Complex::Numbers(numbers) => match numbers.element() {
            Element::Int => marker::INT_VECTOR,
            Element::Uint => marker::UINT_VECTOR,
            Element::Double => marker::DOUBLE_VECTOR,
        },
        Complex::Objects { .. } => marker::OBJECT_VECTOR,
        Complex::Dictionary { .. } => marker::DICTIONARY,
    }
}

fn content(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Error> {
    length(out, bytes.len(), 1, 1)?;
    out.extend_from_slice(bytes);
    Ok(())
}

/// A number with so many flags below it.
fn length(out: &mut Vec<u8>, number: usize, bits: u32, flags: u32) -> Result<(), Error> {
    let number = u32::try_from(number).ok().filter(|number| *number <= MAX_U29 >> bits);
    u29(out, number.ok_or(Error::StringLength)? << bits | flags);
    Ok(())
}

fn u29(out: &mut Vec<u8>, number: u32) {
    let low = number as u8;
    if number > 0x1f_ffff {
        let seven = |shift: u32| (number >> shift) as u8 | 0x80;
        out.extend_from_slice(&[seven(22), seven(15), seven(8), low]);
        return;
    }
    for shift in [14, 7] {
        if number >> shift != 0 {
            out.push((number >> shift) as u8 | 0x80);
        }
    }
    out.push(low & 0x7f);
}

const MAX_U29: u32 = (1 << 29) - 1;
/// The least and the greatest integer.
const LEAST: i32 = -(1 << 28);
const MOST: i32 = (1 << 28) - 1;
