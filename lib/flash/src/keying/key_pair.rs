use core::fmt;
use std::sync::Arc;

use rtmfp::crypto::{KeyingError, Random};
use zeroize::Zeroizing;

use crate::backend::Failure;
use crate::{Backend, Group};

/// A private exponent. Its top bit is set, so that all take equally long.
#[derive(Clone)]
pub(crate) struct Exponent(Zeroizing<Vec<u8>>);

impl Exponent {
    pub(crate) fn draw(group: Group, random: &mut Random<'_>) -> Self {
        let mut bytes = Zeroizing::new(vec![0; group.exponent_len()]);
        random(&mut bytes);
        bytes[0] |= TOP_BIT;
        Self(bytes)
    }
}

const TOP_BIT: u8 = 0x80;

/// A Diffie-Hellman key pair.
pub(crate) struct KeyPair {
    pub(crate) group: Group,
    exponent: Exponent,
    /// Without leading zeros.
    pub(crate) public: Vec<u8>,
}

impl KeyPair {
    pub(crate) fn new(group: Group, exponent: Exponent, backend: Backend) -> Result<Self, Failure> {
        const GENERATOR: u8 = 2;
        let public = backend.library().power(group, &[GENERATOR], &exponent.0)?.to_vec();
        Ok(Self { group, exponent, public })
    }

    /// A pair from the first exponent whose public key is as long as the prime, or from the last one. Some peers
    /// of the installed base know such keys only; 255 of 256 are.
    pub(crate) fn of_full_length(
        group: Group,
        exponents: impl IntoIterator<Item = Exponent>,
        backend: Backend,
    ) -> Result<Self, Failure> {
        let mut last = Err(Failure("no exponent".into()));
        for exponent in exponents {
            let pair = Self::new(group, exponent, backend)?;
            if pair.public.len() == group.prime().len() {
                return Ok(pair);
            }
            last = Ok(pair);
        }
        last
    }

    /// The Diffie-Hellman shared secret, without leading zeros (RFC 7425 section 4.6.2).
    pub(crate) fn agree(
        &self,
        far_public: &[u8],
        backend: Backend,
    ) -> Result<Zeroizing<Vec<u8>>, KeyingError> {
        if !self.group.accepts(far_public) {
            return Err(KeyingError::BadPublicKey);
        }
        Ok(backend.library().power(self.group, far_public, &self.exponent.0)?)
    }
}

/// How many exponents are at hand where a public key of full length is wanted: all fail once in 2⁶⁴ times.
pub(crate) const DRAWS: usize = 8;

/// Static key pairs, one for each group. Any number of endpoints can share them; with extra randomness each of
/// these has a fingerprint of its own all the same.
pub struct StaticKeys {
    pairs: Vec<Arc<KeyPair>>,
}

impl StaticKeys {
    /// New pairs in these groups, which is the order of preference and that of the certificate; a group that is named
    /// again is passed over. This takes up to 2 ms a group, or 5 ms without OpenSSL.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn generate(groups: &[Group], random: &mut Random<'_>) -> Result<Self, KeyingError> {
        let generate = |group: &Group| {
            let exponents = core::iter::repeat_with(|| Exponent::draw(*group, random)).take(DRAWS);
            Ok(Arc::new(KeyPair::of_full_length(*group, exponents, Backend::default())?))
        };
        groups.iter().map(generate).collect::<Result<Vec<_>, KeyingError>>().map(Self::of)
    }

    /// The pairs of private exponents that the caller keeps, so that an identity outlives the program. An
    /// exponent has [`Group::exponent_len`] unpredictable bytes; the top bit will be set. The first one of a group counts.
    ///
    /// # Errors
    /// [`KeyingError::Backend`] when an exponent has another length, or when the cryptographic library fails.
    pub fn from_exponents(exponents: &[(Group, &[u8])]) -> Result<Self, KeyingError> {
        let pair = |(group, exponent): &(Group, &[u8])| {
            if exponent.len() != group.exponent_len() {
                return Err(KeyingError::Backend(format!("length of a private exponent of group {group}")));
            }
            let exponent = Exponent::draw(*group, &mut |bytes: &mut [u8]| bytes.copy_from_slice(exponent));
            Ok(Arc::new(KeyPair::new(*group, exponent, Backend::default())?))
        };
        exponents.iter().map(pair).collect::<Result<Vec<_>, KeyingError>>().map(Self::of)
    }

    /// One pair for each group: certificates should have no more (RFC 7425 section 4.3.3.5).
    fn of(all: Vec<Arc<KeyPair>>) -> Self {
        let mut pairs: Vec<Arc<KeyPair>> = Vec::new();
        for pair in all {
            if pairs.iter().all(|known| known.group != pair.group) {
                pairs.push(pair);
            }
        }
        Self { pairs }
    }

    /// The groups, in order of preference.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        self.pairs.iter().map(|pair| pair.group)
    }

    /// Groups and public keys for a certificate.
    pub(crate) fn public_keys(&self) -> Vec<(Group, &[u8])> {
        self.pairs.iter().map(|pair| (pair.group, &pair.public[..])).collect()
    }

    pub(crate) fn pair(&self, group: Group) -> Option<Arc<KeyPair>> {
        self.pairs.iter().find(|pair| pair.group == group).cloned()
    }
}

impl fmt::Debug for StaticKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.groups()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::unhex;

    fn pair_by(backend: Backend, group: Group, exponent: &[u8]) -> KeyPair {
        KeyPair::new(group, Exponent(exponent.to_vec().into()), backend).unwrap()
    }

    fn pair(group: Group, exponent: &[u8]) -> Arc<KeyPair> {
        StaticKeys::from_exponents(&[(group, exponent)]).unwrap().pair(group).unwrap()
    }

    /// Exponents whose group 2 keys have full length, and one byte less.
    fn long_and_short() -> (Vec<u8>, Vec<u8>) {
        let short = [&(0xc0..=0xd8).collect::<Vec<u8>>()[..], &[0x00, 0x12, 0x5b]].concat();
        ((0xc0..=0xdb).collect(), short)
    }

    #[test]
    fn both_ends_agree_on_a_secret_without_leading_zeros() {
        let (long, short) = long_and_short();
        for (exponent, public_len, secret_len, values) in [
            (&long, 128, 128, include_str!("../../tests/vectors/a.txt")),
            (&short, 127, 127, include_str!("../../tests/vectors/c.txt")),
        ] {
            for backend in Backend::ALL.iter().copied() {
                let client = pair_by(backend, Group::Modp1024, &(0x80..=0x9b).collect::<Vec<u8>>());
                let server = pair_by(backend, Group::Modp1024, exponent);
                assert_eq!(server.public.len(), public_len);
                let secret = client.agree(&server.public, backend).unwrap();
                assert_eq!(secret, server.agree(&client.public, backend).unwrap());
                assert_eq!(secret.len(), secret_len);
                let expected = values.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap();
                assert_eq!(secret[..], unhex(expected), "{backend:?}");
                let padded = [&[0, 0][..], &server.public].concat();
                let again = client.agree(&padded, backend).unwrap();
                assert_eq!(again, secret, "leading zeros make no difference");
            }
        }
    }

    #[test]
    fn group_14_agrees_on_a_secret_of_255_bytes() {
        let exponent = [&(0xc0..=0xe5).collect::<Vec<u8>>()[..], &[0x00, 0xec]].concat();
        for backend in Backend::ALL.iter().copied() {
            let client = pair_by(backend, Group::Modp2048, &(0x80..=0xa7).collect::<Vec<u8>>());
            let server = pair_by(backend, Group::Modp2048, &exponent);
            let hash = |hex: &str, bytes: &[u8]| {
                assert_eq!(backend.library().sha256(bytes)[..], unhex(hex), "{backend:?}");
            };
            hash("9bab044c37a68f6dcc7137865f9a8ed4e653d3de2a497a0b83f0f1c1030aadc4", &client.public);
            hash("2f55f228716e3f9f4ae032220aad3e1a29d399a0c12357e9d37397215d0feffc", &server.public);
            let secret = client.agree(&server.public, backend).unwrap();
            assert_eq!(secret.len(), 255);
            hash("88dfd92e83f647918c3350b12158b24adeb6ea54ac052d681b7f6d55c711bfd7", &secret);
        }
    }

    #[test]
    fn exponents_are_drawn_again_until_the_public_key_has_full_length() {
        let (long, short) = long_and_short();
        let mut random = [&short[..], &short, &long, &short].concat();
        let mut feed = |bytes: &mut [u8]| {
            bytes.copy_from_slice(&random[..bytes.len()]);
            random.drain(..bytes.len());
        };
        let keys = StaticKeys::generate(&[Group::Modp1024], &mut feed).unwrap();
        assert_eq!(keys.public_keys(), [(Group::Modp1024, &pair(Group::Modp1024, &long).public[..])]);
        assert_eq!(random, short, "no more than needed");
        let always_short = &mut |bytes: &mut [u8]| bytes.copy_from_slice(&short);
        let keys = StaticKeys::generate(&[Group::Modp1024], always_short).unwrap();
        assert_eq!(keys.pairs[0].public.len(), 127, "a usable key all the same");
    }

    #[test]
    fn exponents_of_another_length_are_refused() {
        for len in [0, 27, 29] {
            assert!(StaticKeys::from_exponents(&[(Group::Modp1024, &vec![1; len])]).is_err());
        }
    }

    #[test]
    fn exponents_have_their_top_bit_set() {
        let zeros = pair(Group::Modp1024, &[0; 28]);
        let mut exponent = [0; 28];
        exponent[0] = 0x80;
        assert_eq!(zeros.public, pair(Group::Modp1024, &exponent).public);
        assert_eq!(zeros.public.len(), 128);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keys = StaticKeys::from_exponents(&[(Group::Modp1024, &[0x99; 28])]).unwrap();
        assert_eq!(format!("{keys:?}"), "[Modp1024]");
    }
}
