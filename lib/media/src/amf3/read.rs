use super::{
    Complex, ComplexId, Element, Error, Limits, NumberVector, Store, Traits, TraitsId, Value, WRAPPERS,
    marker,
};
use crate::amf0::Text;

/// Reads the values of one message.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    store: Store<'a>,
    strings: Vec<Text<'a>>,
    limits: Limits,
    values_left: u32,
    references_left: u32,
    bytes_left: u32,
}

impl<'a> Reader<'a> {
    /// For the values of one message.
    pub const fn new(limits: &Limits) -> Self {
        Self {
            store: Store::new(),
            strings: Vec::new(),
            limits: *limits,
            values_left: limits.values,
            references_left: limits.references,
            bytes_left: limits.total_bytes,
        }
    }

    /// Reads the value with which `input` begins (without the marker 0x11 by which AMF0 changes to AMF3), and moves
    /// `input` behind it.
    ///
    /// # Errors
    /// See [`enum@Error`]. Then nothing more can be read of the message, as the tables of references are not what its sender
    /// has; what was read before stays.
    pub fn read(&mut self, input: &mut &'a [u8]) -> Result<Value<'a>, Error> {
        self.read_within(input, self.limits.depth)
    }

    /// What was read.
    pub const fn store(&self) -> &Store<'a> {
        &self.store
    }

    /// How many values were visited so far: the work done.
    pub const fn visited(&self) -> u32 {
        self.limits.values.saturating_sub(self.values_left)
    }

    /// The same with so many levels left.
    pub(super) fn read_within(&mut self, input: &mut &'a [u8], depth: u8) -> Result<Value<'a>, Error> {
        let mut rest = Input(input);
        let value = self.value(&mut rest, depth)?;
        *input = rest.0;
        Ok(value)
    }

    fn value(&mut self, input: &mut Input<'a>, depth: u8) -> Result<Value<'a>, Error> {
        self.count_value()?;
        Ok(match input.byte()? {
            marker::UNDEFINED => Value::Undefined,
            marker::NULL => Value::Null,
            marker::FALSE => Value::Boolean(false),
            marker::TRUE => Value::Boolean(true),
            marker::INTEGER => Value::Integer(signed(input.u29()?)),
            marker::DOUBLE => Value::Double(input.double()?),
            marker::STRING => Value::String(self.string(input)?),
            marker @ (marker::XML_DOCUMENT..=marker::DICTIONARY) => {
                let head = input.u29()?;
                if head & 1 == 0 {
                    let number = head >> 1;
                    if number as usize >= self.store.len() {
                        return Err(Error::Reference(number));
                    }
                    return Ok(Value::Complex(ComplexId(number)));
                }
                let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
                self.count_reference()?;
                // Its number is that of its beginning: what is in it comes later.
                let id = self.store.put(Complex::Bytes(&[]));
                let complex = self.complex(input, depth, marker, head >> 1)?;
                self.store.set(id, complex);
                Value::Complex(id)
            }
            other => return Err(Error::Marker(other)),
        })
    }

    /// A value whose first number, without its lowest bit, was read.
    fn complex(
        &mut self,
        input: &mut Input<'a>,
        depth: u8,
        marker: u8,
        head: u32,
    ) -> Result<Complex<'a>, Error> {
        Ok(match marker {
            marker::XML_DOCUMENT => Complex::XmlDocument(Text::new(self.content(input, head, 1)?)),
            marker::XML => Complex::Xml(Text::new(self.content(input, head, 1)?)),
            marker::DATE => Complex::Date(input.double()?),
            marker::BYTE_ARRAY => Complex::Bytes(self.content(input, head, 1)?),
            marker::ARRAY => {
                let named = self.members(input, depth)?;
                Complex::Array { named, items: self.items(input, depth, head)? }
            }
            marker::INT_VECTOR => self.numbers(input, head, Element::Int)?,
            marker::UINT_VECTOR => self.numbers(input, head, Element::Uint)?,
            marker::DOUBLE_VECTOR => self.numbers(input, head, Element::Double)?,
            marker::OBJECT_VECTOR => {
                let fixed = input.byte()? != 0;
                let class = self.string(input)?;
                Complex::Objects { fixed, class, items: self.items(input, depth, head)? }
            }
            marker::DICTIONARY => {
                let weak = input.byte()? != 0;
                // An entry takes two bytes at least: a count that cannot be true is refused at once.
                input.expect(head, 2)?;
                let mut entries = Vec::new();
                for _ in 0..head {
                    let key = self.value(input, depth)?;
                    entries.push((key, self.value(input, depth)?));
                }
                Complex::Dictionary { weak, entries }
            }
            _ => self.object(input, depth, head)?,
        })
    }

    fn object(&mut self, input: &mut Input<'a>, depth: u8, head: u32) -> Result<Complex<'a>, Error> {
        let id = self.class(input, head)?;
        let traits = self.store.traits(id).ok_or(Error::Reference(id.0))?;
        let (dynamic, count) = (traits.dynamic, traits.sealed.len() as u32);
        if traits.external {
            if !WRAPPERS.iter().any(|name| traits.class == *name) {
                let class = traits.class.to_string().chars().take(64).collect();
                return Err(Error::External { class });
            }
            return Ok(Complex::Wrapper { traits: id, value: self.value(input, depth)? });
        }
        let sealed = self.items(input, depth, count)?;
        let dynamic = if dynamic { self.members(input, depth)? } else { Vec::new() };
        Ok(Complex::Object { traits: id, sealed, dynamic })
    }

    /// The class of an object: one that came before, or a new one.
    fn class(&mut self, input: &mut Input<'a>, head: u32) -> Result<TraitsId, Error> {
        if head & 1 == 0 {
            let number = head >> 1;
            let known = (number as usize) < self.store.traits.len();
            return if known { Ok(TraitsId(number)) } else { Err(Error::Reference(number)) };
        }
        self.count_reference()?;
        let external = head & 2 != 0;
        let mut traits = Traits { external, dynamic: !external && head & 4 != 0, ..Traits::default() };
        traits.class = self.string(input)?;
        if !external {
            let count = head >> 3;
            input.expect(count, 1)?;
            for _ in 0..count {
                self.count_value()?;
                traits.sealed.push(self.string(input)?);
            }
        }
        Ok(self.store.add_traits(traits))
    }

    /// Names and values, up to an empty name.
    fn members(&mut self, input: &mut Input<'a>, depth: u8) -> Result<Vec<(Text<'a>, Value<'a>)>, Error> {
        let mut members = Vec::new();
        loop {
            let name = self.string(input)?;
            if name.as_bytes().is_empty() {
                return Ok(members);
            }
            members.push((name, self.value(input, depth)?));
        }
    }

    fn items(&mut self, input: &mut Input<'a>, depth: u8, count: u32) -> Result<Vec<Value<'a>>, Error> {
        // An element takes a byte at least: a count that cannot be true is refused at once.
        input.expect(count, 1)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.value(input, depth)?);
        }
        Ok(items)
    }

    fn numbers(&mut self, input: &mut Input<'a>, count: u32, element: Element) -> Result<Complex<'a>, Error> {
        let fixed = input.byte()? != 0;
        let raw = self.content(input, count, element.size() as u32)?;
        Ok(Complex::Numbers(NumberVector::new(element, fixed, raw)))
    }

    fn string(&mut self, input: &mut Input<'a>) -> Result<Text<'a>, Error> {
        let head = input.u29()?;
        if head & 1 == 0 {
            let number = head >> 1;
            let text = *self.strings.get(number as usize).ok_or(Error::Reference(number))?;
            self.count_bytes(text.as_bytes().len() as u32)?;
            return Ok(text);
        }
        let text = Text::new(self.content(input, head >> 1, 1)?);
        if !text.as_bytes().is_empty() {
            self.count_reference()?;
            self.strings.push(text);
        }
        Ok(text)
    }

    /// So many units of so many bytes.
    fn content(&mut self, input: &mut Input<'a>, count: u32, unit: u32) -> Result<&'a [u8], Error> {
        let length = count.checked_mul(unit).ok_or(Error::StringLength)?;
        if length > self.limits.string_bytes {
            return Err(Error::StringLength);
        }
        self.count_bytes(length)?;
        input.take(length as usize)
    }

    fn count_value(&mut self) -> Result<(), Error> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Error::Values)?;
        Ok(())
    }

    fn count_reference(&mut self) -> Result<(), Error> {
        self.references_left = self.references_left.checked_sub(1).ok_or(Error::References)?;
        Ok(())
    }

    fn count_bytes(&mut self, bytes: u32) -> Result<(), Error> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Error::Size)?;
        Ok(())
    }
}

/// The 29 bits as a number with sign.
const fn signed(u29: u32) -> i32 {
    (u29 << 3) as i32 >> 3
}

/// The unread bytes.
#[derive(Debug)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    /// Whether so many units of at least so many bytes may follow.
    fn expect(&self, count: u32, unit: usize) -> Result<(), Error> {
        let possible = (count as usize).checked_mul(unit).is_some_and(|bytes| bytes <= self.0.len());
        if possible { Ok(()) } else { Err(Error::Truncated) }
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let (&byte, rest) = self.0.split_first().ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(byte)
    }

    fn double(&mut self) -> Result<f64, Error> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Error::Truncated)?;
        self.0 = rest;
        Ok(f64::from_be_bytes(*bytes))
    }

    /// A number of 29 bits: seven in each of up to three bytes whose top bit says that another follows, eight in a
    /// fourth.
    fn u29(&mut self) -> Result<u32, Error> {
        let mut number = 0;
        for _ in 0..3 {
            let byte = self.byte()?;
            number = number << 7 | u32::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Ok(number << 8 | u32::from(self.byte()?))
    }
}
