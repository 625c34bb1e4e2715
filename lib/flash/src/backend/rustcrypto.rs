//! The primitives of the RustCrypto crates.

use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use aes::{Aes128Dec, Aes128Enc};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U512, U1024, U1536, U2048, U4096, Uint};
use sha2::Digest;
use zeroize::{Zeroize, Zeroizing};

use super::hmac::{HashStates, Sha256};
use super::{BLOCK, Cipher, Failure, Hmac, Library};
use crate::Group;
use crate::group::minimal;

pub(super) struct RustCrypto;

impl Library for RustCrypto {
    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(bytes).into()
    }

    fn hmac(&self, key: &[u8]) -> Box<dyn Hmac> {
        Box::new(HashStates::<sha2::Sha256>::new(key))
    }

    fn hmac_once(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        HashStates::<sha2::Sha256>::new(key).of(parts)
    }

    fn encryptor(&self, key: &[u8; BLOCK]) -> Result<Box<dyn Cipher>, Failure> {
        Ok(Box::new(Encryptor(Aes128Enc::new(key.into()))))
    }

    fn decryptor(&self, key: &[u8; BLOCK]) -> Result<Box<dyn Cipher>, Failure> {
        Ok(Box::new(Decryptor(Aes128Dec::new(key.into()))))
    }

    fn power(&self, group: Group, base: &[u8], exponent: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match group {
            Group::Modp1024 => power::<{ U1024::LIMBS }>(group, base, exponent),
            Group::Modp1536 => power::<{ U1536::LIMBS }>(group, base, exponent),
            Group::Modp2048 => power::<{ U2048::LIMBS }>(group, base, exponent),
            Group::Modp4096 => power::<{ U4096::LIMBS }>(group, base, exponent),
        }
    }
}

impl Sha256 for sha2::Sha256 {
    fn start() -> Self {
        Digest::new()
    }

    fn take(&mut self, bytes: &[u8]) {
        Digest::update(self, bytes);
    }

    fn end(self) -> [u8; 32] {
        Digest::finalize(self).into()
    }
}

struct Encryptor(Aes128Enc);

impl Cipher for Encryptor {
    fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure> {
        let (blocks, _) = Array::slice_as_chunks_mut(&mut data[..len]);
        cbc::Encryptor::inner_iv_init(&self.0, &Array([0; BLOCK])).encrypt_blocks(blocks);
        Ok(())
    }
}

struct Decryptor(Aes128Dec);

impl Cipher for Decryptor {
    fn apply(&mut self, data: &mut [u8], len: usize) -> Result<(), Failure> {
        let (blocks, _) = Array::slice_as_chunks_mut(&mut data[..len]);
        cbc::Decryptor::inner_iv_init(&self.0, &Array([0; BLOCK])).decrypt_blocks(blocks);
        Ok(())
    }
}

/// A power in the group whose prime has this many limbs.
fn power<const LIMBS: usize>(
    group: Group,
    base: &[u8],
    exponent: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let prime = Odd::new(Uint::<LIMBS>::from_be_slice(group.prime())).expect("primes above 2 are odd");
    // The prime is no secret.
    let params = FixedMontyParams::new_vartime(prime);
    let base = FixedMontyForm::new(&number(minimal(base), group.prime().len())?, &params);
    let mut secret: U512 = number(exponent, U512::BYTES)?;
    let mut power = base.pow_bounded_exp(&secret, 8 * exponent.len() as u32);
    let mut number = power.retrieve();
    let mut bytes = number.to_be_bytes();
    let result = Zeroizing::new(minimal(bytes.as_ref()).to_vec());
    secret.zeroize();
    power.zeroize();
    number.zeroize();
    bytes.as_mut().zeroize();
    Ok(result)
}

/// A number of `len` bytes, all the limbs' bytes.
fn number<const LIMBS: usize>(bytes: &[u8], len: usize) -> Result<Uint<LIMBS>, Failure> {
    let mut padded = Zeroizing::new(vec![0; len]);
    let zeros = len.checked_sub(bytes.len()).ok_or_else(|| Failure("a number is too long".into()))?;
    padded[zeros..].copy_from_slice(bytes);
    Ok(Uint::from_be_slice(&padded))
}
