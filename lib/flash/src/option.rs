//! Variable-length unsigned integers (VLU, RFC 7016 section 2.1.2), and the options and markers made of them
//! (section 2.1.3), that certificates, discriminators and keying components are sequences of.

/// Bytes that are no VLU or no option.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an option is malformed")]
pub struct Malformed;

/// The longest VLU that [`vlu_into`] writes.
pub(crate) const MAX_VLU: usize = 10;

/// One item of a sequence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Item<'a> {
    /// An empty option: it ends the canonical section of a certificate.
    Marker,
    /// A type and a value.
    Option(u64, &'a [u8]),
}

/// Walks over a sequence of options and markers; ends after the first error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items<'a>(pub(crate) &'a [u8]);

impl<'a> Items<'a> {
    /// What was not walked over.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn take(&mut self) -> Option<Item<'a>> {
        let len = usize::try_from(read_vlu(&mut self.0)?).ok()?;
        let (mut content, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        if len == 0 {
            return Some(Item::Marker);
        }
        let kind = read_vlu(&mut content)?;
        Some(Item::Option(kind, content))
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let item = self.take().ok_or(Malformed);
        if item.is_err() {
            self.0 = &[];
        }
        Some(item)
    }
}

/// Takes a VLU off the front. Forms that are longer than needed are fine; a value that 64 bits can't hold
/// becomes the greatest one. `None` when the bytes end first.
pub(crate) fn read_vlu(bytes: &mut &[u8]) -> Option<u64> {
    const TOP_7_BITS: u64 = !(u64::MAX >> 7);
    let mut value = 0_u64;
    let mut saturated = false;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        saturated |= value & TOP_7_BITS != 0;
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some(if saturated { u64::MAX } else { value });
        }
    }
}

/// How many bytes the shortest VLU takes.
pub(crate) fn vlu_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// The shortest VLU, in an array that it may not fill, and its length.
pub(crate) fn vlu(value: u64) -> ([u8; MAX_VLU], usize) {
    let len = vlu_len(value);
    let mut bytes = [0; MAX_VLU];
    for (index, byte) in bytes[..len].iter_mut().rev().enumerate() {
        *byte = (value >> (7 * index)) as u8 | 0x80;
    }
    bytes[len - 1] &= 0x7f;
    (bytes, len)
}

/// Appends the shortest VLU.
pub(crate) fn write_vlu(to: &mut Vec<u8>, value: u64) {
    let (bytes, len) = vlu(value);
    to.extend_from_slice(&bytes[..len]);
}

/// Appends an option whose value is the parts one after the other.
pub(crate) fn write_option(to: &mut Vec<u8>, kind: u64, parts: &[&[u8]]) {
    let len = vlu_len(kind) + parts.iter().map(|part| part.len()).sum::<usize>();
    write_vlu(to, len as u64);
    write_vlu(to, kind);
    for part in parts {
        to.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fingerprint::unhex;

    fn read(hex: &str) -> Option<u64> {
        read_vlu(&mut &unhex(hex)[..])
    }

    #[test]
    fn vlus_are_written_in_their_shortest_form() {
        for (value, hex) in [
            (0, "00"),
            (127, "7f"),
            (128, "8100"),
            (300, "822c"),
            (16_383, "ff7f"),
            (16_384, "818000"),
            (20_000, "819c20"),
            (2_097_151, "ffff7f"),
            (2_097_152, "81808000"),
            ((1 << 32) - 1, "8fffffff7f"),
            (u64::MAX, "81ffffffffffffffff7f"),
        ] {
            let mut bytes = Vec::new();
            write_vlu(&mut bytes, value);
            assert_eq!(bytes, unhex(hex));
            assert_eq!(bytes.len(), vlu_len(value));
            assert_eq!(read(hex), Some(value));
        }
    }

    #[test]
    fn vlus_are_read_in_any_form() {
        assert_eq!(read("8000"), Some(0));
        assert_eq!(read("80808005"), Some(5));
        for saturated in ["82808080808080808000", "ffffffffffffffffff7f", "ffffffffffffffffffffffff7f"] {
            assert_eq!(read(saturated), Some(u64::MAX));
        }
        assert_eq!(read("81"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn options_must_fit_into_what_there_is() {
        let items = |hex: &str| Items(&unhex(hex)).map(|item| item.is_ok()).collect::<Vec<_>>();
        assert_eq!(items("00"), [true]);
        assert_eq!(items("010a"), [true]);
        assert_eq!(items("020a"), [false]);
        assert_eq!(items("010a81"), [true, false]);
        assert_eq!(items("0181"), [false], "the type is cut off");
        assert_eq!(items("81ffffffffffffffff7f00"), [false]);
    }

    proptest! {
        #[test]
        fn walking_over_any_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Items(&bytes).count() <= bytes.len());
        }

        #[test]
        fn what_was_written_is_read(kind: u64, value in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = Vec::new();
            write_option(&mut bytes, kind, &[&value]);
            let mut items = Items(&bytes);
            prop_assert_eq!(items.next(), Some(Ok(Item::Option(kind, &value))));
            prop_assert_eq!(items.next(), None);
        }
    }
}
