//! The primitives, from a cryptographic library. Each backend is a module with these items; features choose:
//!
//! - `sha256(&[u8]) -> [u8; 32]`
//! - `Hmac`: HMAC-SHA256 with a key that is set up once; `new(&[u8])`, `of(&self, &[&[u8]]) -> [u8; 32]`;
//!   computing allocates nothing, the state is wiped when dropped.
//! - `Encryptor` and `Decryptor`: AES-128-CBC with an all-zero initialization vector for each packet;
//!   `new(&[u8; 16])` and `apply(&mut self, &mut [u8], usize)`, which works in place on the first bytes (a multiple
//!   of 16), may read and write what follows but leaves it as it was, and allocates nothing.
//! - `mod_exp(base, exponent, modulus)`: modular exponentiation, in constant time as regards the exponent; the
//!   result has no leading zeros.
//! - `equal(&[u8], &[u8]) -> bool`, in constant time.

mod openssl;

pub(crate) use self::openssl::{Decryptor, Encryptor, Hmac, equal, mod_exp, sha256};

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
