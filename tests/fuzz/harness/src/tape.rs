/// The input of a target that needs more than bytes to parse: numbers and choices are read off it one after the
/// other. Past its end everything is 0, so that any input means something and a longer one only adds to it.
#[derive(Clone, Debug)]
pub struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    /// Begins with the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.u8(), self.u8()])
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) << 16 | u32::from(self.u16())
    }

    /// A choice.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    /// A number of any magnitude: a byte that says how many bytes follow.
    pub fn number(&mut self) -> u64 {
        (0..self.u8() % 9).fold(0, |number, _| number << 8 | u64::from(self.u8()))
    }

    /// One of several; there is at least one.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.u8()) % of.len()]
    }

    /// So many bytes, or as many as there are.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A length of one byte, and as many bytes.
    pub fn field(&mut self) -> &'a [u8] {
        let len = self.u8();
        self.take(len.into())
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }
}
