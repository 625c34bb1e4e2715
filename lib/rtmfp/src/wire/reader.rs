use super::{WireError, vlu};

/// A cursor over bytes that are being parsed. A read that fails leaves it where it was.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether everything was read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when there are fewer.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(WireError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when there is none.
    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_be_bytes)
    }

    /// A 16-bit integer in network byte order.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when it does not fit.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    /// A 32-bit integer in network byte order.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when it does not fit.
    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A Variable Length Unsigned integer (RFC 7016 section 2.1.2). Longer forms than necessary are accepted; what
    /// is above 2⁶⁴ − 1 becomes 2⁶⁴ − 1.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when its last byte is missing.
    pub fn vlu(&mut self) -> Result<u64, WireError> {
        let mut bytes = self.bytes;
        let mut value: u64 = 0;
        loop {
            let (&byte, rest) = bytes.split_first().ok_or(WireError::Truncated)?;
            bytes = rest;
            value = if value > u64::MAX >> 7 { u64::MAX } else { value << 7 | u64::from(byte & 0x7f) };
            if byte & 0x80 == 0 {
                self.bytes = bytes;
                return Ok(value);
            }
        }
    }

    /// A VLU length and that many bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when the length or the bytes do not fit.
    pub fn field(&mut self) -> Result<&'a [u8], WireError> {
        let mut ahead = self.clone();
        let len = usize::try_from(ahead.vlu()?).map_err(|_| WireError::Truncated)?;
        let field = ahead.take(len)?;
        *self = ahead;
        Ok(field)
    }
}

/// Appends a VLU length and the bytes.
pub fn write_field(bytes: &[u8], out: &mut Vec<u8>) {
    vlu::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// How many bytes [`write_field`] appends for a field of `len` bytes.
pub const fn field_len(len: usize) -> usize {
    vlu::len(len as u64).saturating_add(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_reads_do_not_move() {
        let mut reader = Reader::new(&[0x05, 1, 2]);
        assert_eq!(reader.field(), Err(WireError::Truncated));
        assert_eq!(reader.u32(), Err(WireError::Truncated));
        assert_eq!(reader.take(4), Err(WireError::Truncated));
        assert_eq!(reader.remaining(), 3);
        assert_eq!((reader.u8(), reader.u16()), (Ok(5), Ok(0x0102)));
        assert!(reader.is_empty());

        let mut reader = Reader::new(&[0x81, 0x80]);
        assert_eq!(reader.vlu(), Err(WireError::Truncated));
        assert_eq!(reader.rest(), [0x81, 0x80]);
        assert_eq!(reader.u8(), Err(WireError::Truncated));
    }

    #[test]
    fn fields_of_absurd_length_are_truncated() {
        let bytes = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2];
        assert_eq!(Reader::new(&bytes).field(), Err(WireError::Truncated));
    }
}
