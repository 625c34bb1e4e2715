//! The primitives of OpenSSL. Two of its functions are avoided on purpose: `Dh::compute_key` answers wrong bytes
//! when the secret has leading zeros, and `Dh::generate_key` draws from a generator of its own.

use openssl::bn::{BigNum, BigNumContext};
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use zeroize::Zeroizing;

use super::hmac::{HashStates, Sha256};
use super::{BLOCK, Cipher, Failure, Hmac, Library};
use crate::Group;

pub(super) struct OpenSsl;

impl Library for OpenSsl {
    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        openssl::sha::sha256(bytes)
    }

    fn hmac(&self, key: &[u8]) -> Box<dyn Hmac> {
        Box::new(HashStates::<openssl::sha::Sha256>::new(key))
    }

    fn hmac_once(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        HashStates::<openssl::sha::Sha256>::new(key).of(parts)
    }

    fn encryptor(&self, key: &[u8; BLOCK]) -> Result<Box<dyn Cipher>, Failure> {
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(openssl::cipher::Cipher::aes_128_cbc()), Some(key), Some(&ZERO_IV))?;
        context.set_padding(false);
        Ok(Box::new(Encryptor(context)))
    }

    fn decryptor(&self, key: &[u8; BLOCK]) -> Result<Box<dyn Cipher>, Failure> {
        let mut context = CipherCtx::new()?;
        context.decrypt_init(Some(openssl::cipher::Cipher::aes_128_cbc()), Some(key), Some(&ZERO_IV))?;
        context.set_padding(false);
        Ok(Box::new(Decryptor(context)))
    }

    fn power(&self, group: Group, base: &[u8], exponent: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let base = BigNum::from_slice(base)?;
        let modulus = BigNum::from_slice(group.prime())?;
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
}

impl Sha256 for openssl::sha::Sha256 {
    fn start() -> Self {
        Self::new()
    }

    fn take(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }

    fn end(self) -> [u8; 32] {
        self.finish()
    }
}

struct Encryptor(CipherCtx);

impl Cipher for Encryptor {
    fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure> {
        self.0.encrypt_init(None, None, Some(&ZERO_IV))?;
        update(&mut self.0, data, len)
    }
}

struct Decryptor(CipherCtx);

impl Cipher for Decryptor {
    fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure> {
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
