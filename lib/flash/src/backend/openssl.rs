//! The primitives of OpenSSL. Two of its functions are avoided on purpose: `Dh::compute_key` answers wrong bytes
//! when the secret has leading zeros, and `Dh::generate_key` draws from a generator of its own.

use openssl::bn::{BigNum, BigNumContext};
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use zeroize::Zeroizing;

use super::{BLOCK, Failure};

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    openssl::sha::sha256(bytes)
}

pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && openssl::memcmp::eq(a, b)
}

pub(crate) fn mod_exp(base: &[u8], exponent: &[u8], modulus: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let base = BigNum::from_slice(base)?;
    let modulus = BigNum::from_slice(modulus)?;
    let mut secret = BigNum::new_secure()?;
    secret.set_const_time();
    secret.copy_from_slice(exponent)?;
    debug_assert!(secret.is_const_time());
    let mut power = BigNum::new_secure()?;
    let mut context = BigNumContext::new_secure()?;
    let done = power.mod_exp(&base, &secret, &modulus, &mut context);
    let bytes = Zeroizing::new(power.to_vec());
    // Freeing a number does not wipe it.
    secret.clear();
    power.clear();
    done?;
    Ok(bytes)
}

/// Two hash states that have taken the padded key in: copying them is cheaper than any of the library's own
/// interfaces for keyed hashes, and allocates nothing.
pub(crate) struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    pub(crate) fn new(key: &[u8]) -> Self {
        const HASH_BLOCK: usize = 64;
        let mut padded = Zeroizing::new([0; HASH_BLOCK]);
        if key.len() > HASH_BLOCK {
            padded[..32].copy_from_slice(&sha256(key));
        } else {
            padded[..key.len()].copy_from_slice(key);
        }
        let mut start = |mask: u8| {
            padded.iter_mut().for_each(|byte| *byte ^= mask);
            let mut hash = Sha256::new();
            hash.update(&padded[..]);
            hash
        };
        Self { inner: start(0x36), outer: start(0x36 ^ 0x5c) }
    }

    pub(crate) fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        parts.iter().for_each(|part| inner.update(part));
        let mut outer = self.outer.clone();
        outer.update(&inner.finish());
        outer.finish()
    }
}

impl Drop for Hmac {
    fn drop(&mut self) {
        // The library's structure can't be wiped as bytes without unsafe code: overwrite it with fresh states, and
        // keep the compiler from leaving that out.
        self.inner = Sha256::new();
        self.outer = Sha256::new();
        zeroize::optimization_barrier(self);
    }
}

pub(crate) struct Encryptor(CipherCtx);

impl Encryptor {
    pub(crate) fn new(key: &[u8; BLOCK]) -> Result<Self, Failure> {
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(Cipher::aes_128_cbc()), Some(key), Some(&ZERO_IV))?;
        context.set_padding(false);
        Ok(Self(context))
    }

    pub(crate) fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure> {
        self.0.encrypt_init(None, None, Some(&ZERO_IV))?;
        update(&mut self.0, data, len)
    }
}

pub(crate) struct Decryptor(CipherCtx);

impl Decryptor {
    pub(crate) fn new(key: &[u8; BLOCK]) -> Result<Self, Failure> {
        let mut context = CipherCtx::new()?;
        context.decrypt_init(Some(Cipher::aes_128_cbc()), Some(key), Some(&ZERO_IV))?;
        context.set_padding(false);
        Ok(Self(context))
    }

    pub(crate) fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure> {
        self.0.decrypt_init(None, None, Some(&ZERO_IV))?;
        update(&mut self.0, data, len)
    }
}

/// Puts the first `len` bytes, whole blocks, through a cipher that does not pad.
///
/// The safe interface insists on room for one block more, although nothing is written there without padding. Where
/// that room is missing the last block goes through a buffer that has it.
fn update(context: &mut CipherCtx, data: &mut [u8], len: usize) -> Result<(), Failure> {
    debug_assert!(len.is_multiple_of(BLOCK));
    if data.len() >= len + BLOCK {
        context.cipher_update_inplace(data, len)?;
    } else if let Some(head) = len.checked_sub(BLOCK) {
        context.cipher_update_inplace(&mut data[..len], head)?;
        let mut last = Zeroizing::new([0; 2 * BLOCK]);
        last[..BLOCK].copy_from_slice(&data[head..len]);
        context.cipher_update_inplace(&mut last[..], BLOCK)?;
        data[head..len].copy_from_slice(&last[..BLOCK]);
    }
    Ok(())
}

const ZERO_IV: [u8; BLOCK] = [0; BLOCK];

impl From<ErrorStack> for Failure {
    fn from(errors: ErrorStack) -> Self {
        Self(errors.to_string())
    }
}
