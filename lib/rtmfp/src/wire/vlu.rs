//! Variable Length Unsigned integers (RFC 7016 section 2.1.2): seven bits a byte, the most significant first, 0x80 on
//! all but the last. [`Reader::vlu`](super::Reader::vlu) reads them.

/// How many bytes the shortest form of `value` has: 1 to 10.
pub const fn len(value: u64) -> usize {
    (u64::BITS.saturating_sub((value | 1).leading_zeros())).div_ceil(7) as usize
}

/// Appends the shortest form of `value`.
pub fn write(value: u64, out: &mut Vec<u8>) {
    for more in (1..len(value)).rev() {
        out.push(0x80 | group(value, more));
    }
    out.push(group(value, 0));
}

/// Seven bits of `value`; group 0 is the least significant.
const fn group(value: u64, index: usize) -> u8 {
    (value >> index.saturating_mul(7)) as u8 & 0x7f
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, WireError};

    #[test]
    fn known_values_in_their_shortest_form() {
        let known: [(u64, &[u8]); 11] = [
            (0, &[0x00]),
            (127, &[0x7f]),
            (128, &[0x81, 0x00]),
            (300, &[0x82, 0x2c]),
            (16383, &[0xff, 0x7f]),
            (16384, &[0x81, 0x80, 0x00]),
            (20000, &[0x81, 0x9c, 0x20]),
            (2_097_151, &[0xff, 0xff, 0x7f]),
            (2_097_152, &[0x81, 0x80, 0x80, 0x00]),
            (u64::from(u32::MAX), &[0x8f, 0xff, 0xff, 0xff, 0x7f]),
            (u64::MAX, &[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ];
        for (value, bytes) in known {
            let mut out = Vec::new();
            super::write(value, &mut out);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(super::len(value), bytes.len(), "{value}");
            let mut reader = Reader::new(bytes);
            assert_eq!((reader.vlu(), reader.remaining()), (Ok(value), 0), "{value}");
        }
    }

    #[test]
    fn longer_forms_are_accepted_and_large_values_saturate() {
        let read = |bytes: &[u8]| Reader::new(bytes).vlu();
        assert_eq!(read(&[0x80, 0x00]), Ok(0));
        assert_eq!(read(&[0x80, 0x80, 0x80, 0x05]), Ok(5));
        assert_eq!(read(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Ok(u64::MAX));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Ok(u64::MAX));
        let mut long = [0xff; 13];
        long[12] = 0x7f;
        assert_eq!(read(&long), Ok(u64::MAX));
        assert_eq!(read(&[0x81]), Err(WireError::Truncated));
        assert_eq!(read(&[]), Err(WireError::Truncated));
    }
}
