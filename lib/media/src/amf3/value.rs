use crate::amf0::Text;

/// One value. Text borrows the message; what can be referred to again is named by its place in a [`Store`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Undefined.
    Undefined,
    /// Null.
    Null,
    /// True or false.
    Boolean(bool),
    /// An integer of 29 bits with sign, −2²⁸ to 2²⁸−1; outside of that it is written as a double.
    Integer(i32),
    /// A double.
    Double(f64),
    /// A string.
    String(Text<'a>),
    /// Anything else.
    Complex(ComplexId),
}

/// Where in a [`Store`] a value stands: its number among those that can be referred to, in the order of their
/// beginnings.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ComplexId(pub(super) u32);

/// Where in a [`Store`] a class stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TraitsId(pub(super) u32);

/// A value that can be referred to again.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Complex<'a> {
    /// A document of ActionScript's older XML class (`flash.xml.XMLDocument`), as text.
    XmlDocument(Text<'a>),
    /// XML (E4X) as text.
    Xml(Text<'a>),
    /// A point in time: milliseconds since 1970, UTC.
    Date(f64),
    /// An array.
    Array {
        /// Elements by name, in their order. None has an empty name, for that cannot be written.
        named: Vec<(Text<'a>, Value<'a>)>,
        /// Elements by position.
        items: Vec<Value<'a>>,
    },
    /// An object of a class with names for its members.
    Object {
        /// The class.
        traits: TraitsId,
        /// The values of the class's members.
        sealed: Vec<Value<'a>>,
        /// Other members, in their order, if the class is dynamic. None has an empty name.
        dynamic: Vec<(Text<'a>, Value<'a>)>,
    },
    /// An object of a class with an encoding of its own, which is the value that it wraps
    /// (`flex.messaging.io.ArrayCollection`, `ArrayList` and `ObjectProxy`).
    Wrapper {
        /// The class.
        traits: TraitsId,
        /// What is wrapped.
        value: Value<'a>,
    },
    /// A byte array.
    Bytes(&'a [u8]),
    /// A vector of numbers.
    Numbers(NumberVector<'a>),
    /// A vector of objects.
    Objects {
        /// Whether its length is fixed.
        fixed: bool,
        /// The name of the elements' class; `*` or nothing for any.
        class: Text<'a>,
        /// The elements.
        items: Vec<Value<'a>>,
    },
    /// A dictionary.
    Dictionary {
        /// Whether keys are held by weak references.
        weak: bool,
        /// Keys and values in their order.
        entries: Vec<(Value<'a>, Value<'a>)>,
    },
}

/// What a vector of numbers holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Element {
    /// Integers of 32 bits with sign.
    Int,
    /// Integers of 32 bits without sign.
    Uint,
    /// Doubles.
    Double,
}

impl Element {
    /// Bytes of one.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Int | Self::Uint => 4,
            Self::Double => 8,
        }
    }
}

/// A vector of numbers: a view of encoded ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NumberVector<'a> {
    element: Element,
    fixed: bool,
    raw: &'a [u8],
}

impl<'a> NumberVector<'a> {
    /// A vector of the big-endian numbers in `raw`; bytes that make no whole number at its end are left out.
    pub fn new(element: Element, fixed: bool, raw: &'a [u8]) -> Self {
        let whole = raw.chunks_exact(element.size());
        let length = raw.len().saturating_sub(whole.remainder().len());
        Self { element, fixed, raw: raw.get(..length).unwrap_or_default() }
    }

    /// What it holds.
    pub const fn element(self) -> Element {
        self.element
    }

    /// Whether its length is fixed.
    pub const fn fixed(self) -> bool {
        self.fixed
    }

    /// The encoded numbers.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.raw.chunks_exact(self.element.size()).len()
    }

    /// The numbers, all of which a double can express.
    pub fn iter(self) -> impl Iterator<Item = f64> + 'a {
        self.raw.chunks_exact(self.element.size()).map(move |bytes| {
            let word = || bytes.first_chunk().copied().unwrap_or_default();
            match self.element {
                Element::Int => i32::from_be_bytes(word()).into(),
                Element::Uint => u32::from_be_bytes(word()).into(),
                Element::Double => f64::from_be_bytes(bytes.first_chunk().copied().unwrap_or_default()),
            }
        })
    }
}

/// A class as AMF3 describes it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Traits<'a> {
    /// Its name; empty for anonymous objects.
    pub class: Text<'a>,
    /// Whether its objects may have other members.
    pub dynamic: bool,
    /// Whether its objects have an encoding of their own. Then it is not dynamic and names no members.
    pub external: bool,
    /// The names of its members.
    pub sealed: Vec<Text<'a>>,
}

/// The values of a message that can be referred to, and their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Store<'a> {
    pub(super) complex: Vec<Complex<'a>>,
    pub(super) traits: Vec<Traits<'a>>,
}

impl<'a> Store<'a> {
    /// Without anything in it.
    pub const fn new() -> Self {
        Self { complex: Vec::new(), traits: Vec::new() }
    }

    /// A value of this store.
    pub fn get(&self, id: ComplexId) -> Option<&Complex<'a>> {
        self.complex.get(id.0 as usize)
    }

    /// A class of this store.
    pub fn traits(&self, id: TraitsId) -> Option<&Traits<'a>> {
        self.traits.get(id.0 as usize)
    }

    /// How many values there are in it.
    pub fn len(&self) -> usize {
        self.complex.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.complex.is_empty()
    }

    /// Adds a value. Of more than 2³² the number means another.
    pub fn add(&mut self, complex: Complex<'a>) -> Value<'a> {
        Value::Complex(self.put(complex))
    }

    /// Adds a class.
    pub fn add_traits(&mut self, traits: Traits<'a>) -> TraitsId {
        let id = TraitsId(self.traits.len() as u32);
        self.traits.push(traits);
        id
    }

    /// Changes a value, for example into one that contains itself.
    pub fn set(&mut self, id: ComplexId, complex: Complex<'a>) {
        if let Some(place) = self.complex.get_mut(id.0 as usize) {
            *place = complex;
        }
    }

    pub(super) fn put(&mut self, complex: Complex<'a>) -> ComplexId {
        let id = ComplexId(self.complex.len() as u32);
        self.complex.push(complex);
        id
    }
}
