use core::fmt;
use core::str::FromStr;

/// The fingerprint of a certificate, also called its holder's peer id: the SHA-256 hash of the canonical section
/// (RFC 7425 section 4.3.2).
///
/// Prints as, and parses from, 64 hexadecimal digits; white space between bytes is allowed when parsing.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The canonical Endpoint Discriminator, 34 bytes (RFC 7425 section 4.4.4).
    pub fn canonical_epd(&self) -> Vec<u8> {
        [&CANONICAL[..], &self.0].concat()
    }

    /// The fingerprint in a canonical Endpoint Discriminator; `None` for all other discriminators. This is how a
    /// peer id is told from other things.
    pub fn from_canonical_epd(epd: &[u8]) -> Option<Self> {
        epd.strip_prefix(&CANONICAL)?.try_into().ok().map(Self)
    }
}

/// Length and type of the one option, one byte each.
const CANONICAL: [u8; 2] = [0x21, 0x0f];

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Hex(&self.0), f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let mut bytes = [0; 32];
        let mut rest = text.trim().as_bytes();
        for byte in &mut bytes {
            let [high, low, tail @ ..] = rest else { return Err(NotAFingerprint) };
            *byte = digit(*high)? << 4 | digit(*low)?;
            rest = tail.trim_ascii_start();
        }
        if rest.is_empty() { Ok(Self(bytes)) } else { Err(NotAFingerprint) }
    }
}

fn digit(byte: u8) -> Result<u8, NotAFingerprint> {
    char::from(byte).to_digit(16).map(|digit| digit as u8).ok_or(NotAFingerprint)
}

/// A text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a fingerprint: 64 hexadecimal digits expected")]
pub struct NotAFingerprint;

/// Prints bytes as hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bytes from hexadecimal digits in a test.
#[cfg(test)]
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "86a2dc44e5286990582ee48b84e31d445922bdbf9421c3670f4954f43d001028";

    #[test]
    fn a_fingerprint_is_read_with_white_space_between_its_bytes() {
        let fingerprint: Fingerprint = TEXT.parse().unwrap();
        assert_eq!(fingerprint.0[..], unhex(TEXT));
        assert_eq!(fingerprint.to_string(), TEXT);
        let spaced = format!(" {} {}\n{}\t", &TEXT[..2], &TEXT[2..32], &TEXT[32..]);
        assert_eq!(spaced.parse(), Ok(fingerprint));
        assert_eq!(TEXT.to_uppercase().parse(), Ok(fingerprint));
    }

    #[test]
    fn other_texts_are_no_fingerprint() {
        for text in ["", "86", &TEXT[1..], &format!("{TEXT}00"), &TEXT.replace('8', "g"), "8 6", "ä"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }

    #[test]
    fn only_34_bytes_of_the_canonical_form_are_a_peer_id() {
        let fingerprint: Fingerprint = TEXT.parse().unwrap();
        let epd = fingerprint.canonical_epd();
        assert_eq!(epd, unhex(&format!("210f{TEXT}")));
        assert_eq!(Fingerprint::from_canonical_epd(&epd), Some(fingerprint));
        assert_eq!(Fingerprint::from_canonical_epd(&epd[..33]), None);
        assert_eq!(Fingerprint::from_canonical_epd(&[&epd[..], &[0]].concat()), None);
        assert_eq!(Fingerprint::from_canonical_epd(&[&[0x80, 0x21][..], &epd[1..]].concat()), None);
    }
}
