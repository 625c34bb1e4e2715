//! The primitives, from a cryptographic library. Each backend is a module with a [`Library`]; features choose which
//! there are.

mod hmac;
#[cfg(feature = "openssl")]
mod openssl;
#[cfg(feature = "rustcrypto")]
mod rustcrypto;

use zeroize::Zeroizing;

use crate::Group;

/// Which cryptographic library computes. All answer the same bytes, so the far end does not notice.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Backend {
    /// OpenSSL, by the feature `openssl`: the quickest for key agreement.
    #[cfg(feature = "openssl")]
    OpenSsl,
    /// The crates of the RustCrypto project, by the feature `rustcrypto`: no C library is needed. A key agreement
    /// takes about twice as long, packets take about as long. Intermediate results of key agreement stay on
    /// the stack until something overwrites them; keys and secrets themselves are wiped.
    #[cfg(feature = "rustcrypto")]
    RustCrypto,
}

impl Backend {
    /// Those that the enabled features offer, the default first.
    pub const ALL: &'static [Self] = &[
        #[cfg(feature = "openssl")]
        Self::OpenSsl,
        #[cfg(feature = "rustcrypto")]
        Self::RustCrypto,
    ];

    pub(crate) fn library(self) -> &'static dyn Library {
        match self {
            #[cfg(feature = "openssl")]
            Self::OpenSsl => &openssl::OpenSsl,
            #[cfg(feature = "rustcrypto")]
            Self::RustCrypto => &rustcrypto::RustCrypto,
        }
    }
}

/// OpenSSL where it is enabled.
impl Default for Backend {
    fn default() -> Self {
        Self::ALL[0]
    }
}

/// What a backend offers. It is asked for objects that live as long as a session, so that a packet costs no
/// more than a virtual call for each of them.
pub(crate) trait Library: Sync {
    /// SHA-256.
    fn sha256(&self, bytes: &[u8]) -> [u8; 32];

    /// HMAC-SHA256 with a key that is set up once.
    fn hmac(&self, key: &[u8]) -> Box<dyn Hmac>;

    /// HMAC-SHA256 of the parts one after the other, with a key that is used once; allocates nothing.
    fn hmac_once(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32];

    /// AES-128-CBC encryption.
    fn encryptor(&self, key: &[u8; BLOCK]) -> Result<Box<dyn Cipher>, Failure>;

    /// AES-128-CBC decryption.
    fn decryptor(&self, key: &[u8; BLOCK]) -> Result<Box<dyn Cipher>, Failure>;

    /// A power of a number in a group, without leading zeros; in constant time as regards the exponent, of which
    /// the length in bytes is no secret. The number is at most as long as the prime, not counting leading zeros, and
    /// the exponent at most 64 bytes.
    fn power(&self, group: Group, base: &[u8], exponent: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure>;
}

/// HMAC-SHA256. Computing allocates nothing, the state is wiped when dropped.
pub(crate) trait Hmac: Send {
    /// The code of the parts one after the other.
    fn of(&self, parts: &[&[u8]]) -> [u8; 32];
}

/// AES-128-CBC in one direction, with an all-zero initialization vector for each packet.
pub(crate) trait Cipher: Send {
    /// Works in place on the first bytes, a multiple of [`BLOCK`]. It may read and write what follows, but leaves it
    /// as it was, and allocates nothing.
    fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure>;
}

/// Length of AES blocks and keys.
pub(crate) const BLOCK: usize = 16;

/// The library failed: it is out of memory, or misconfigured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure(pub(crate) String);

impl From<Failure> for rtmfp::crypto::KeyingError {
    fn from(failure: Failure) -> Self {
        Self::Backend(failure.0)
    }
}

#[cfg(test)]
mod tests;
