/// Length of the checksum.
pub(crate) const CHECKSUM: usize = 2;

/// The simple checksum (RFC 7425 section 4.7.3.1): the ones' complement of the ones' complement sum of all words of
/// 16 bits. An odd last byte is the *lower* half of its word, unlike in RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    // Ones' complement sums don't depend on the byte order of their words, up to the order of the result; and
    // wider words can be added first and folded later.
    let (words, tail) = bytes.as_chunks::<4>();
    let sum: u64 = words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum();
    let sum = u64::from(u16::from_ne_bytes(fold(sum).to_be_bytes()));
    let tail: u64 = match *tail {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_be_bytes([a, b])),
        [a, b, c, ..] => u64::from(u16::from_be_bytes([a, b])).saturating_add(c.into()),
    };
    (!fold(sum.saturating_add(tail))).to_be_bytes()
}

/// Adds the words of 16 bits of a number, carries included.
fn fold(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn word_by_word(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum +=
                if pair.len() == 2 { u32::from(pair[0]) << 8 | u32::from(pair[1]) } else { pair[0].into() };
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    #[test]
    fn an_odd_last_byte_is_the_lower_half_of_its_word() {
        assert_eq!(checksum(&[0x12, 0x34, 0x56]), [0xed, 0x75]);
        assert_eq!(checksum(&[0xff; 4]), [0, 0]);
        assert_eq!(checksum(&[]), [0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn it_is_the_sum_of_words(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(checksum(&bytes), word_by_word(&bytes));
        }
    }
}
