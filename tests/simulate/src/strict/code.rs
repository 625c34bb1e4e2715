//! Bytes, packets and keys of the strict peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit};
use aes::{Aes128Dec, Aes128Enc};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U1024};
use rtmfp_netsim::Dice;
use sha2::{Digest, Sha256};

/// Reads bytes; what is missing is a panic, as it would be a broken packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.0.split_at_checked(len) else {
            panic!("{len} bytes wanted, {} left", self.0.len())
        };
        self.0 = rest;
        taken
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().expect("2 bytes"))
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().expect("4 bytes"))
    }

    /// A number of variable length, which the peers read up to 10 bytes of.
    pub(crate) fn vlu(&mut self) -> u64 {
        let mut number = 0;
        for _ in 0..10 {
            let byte = self.u8();
            number = number << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                return number;
            }
        }
        panic!("a number of more than 10 bytes")
    }

    pub(crate) fn field(&mut self) -> &'a [u8] {
        let len = self.vlu();
        self.take(len as usize)
    }

    /// An address, and its origin.
    pub(crate) fn address(&mut self) -> (u8, SocketAddr) {
        let head = self.u8();
        let ip = if head & 0x80 != 0 {
            IpAddr::from(Ipv6Addr::from(*self.take(16).first_chunk::<16>().expect("16 bytes")))
        } else {
            IpAddr::from(Ipv4Addr::from(self.u32()))
        };
        (head & 0x0f, SocketAddr::new(ip, self.u16()))
    }
}

pub(crate) fn put_vlu(number: u64, out: &mut Vec<u8>) {
    for shift in (1..10).rev() {
        if number >> (7 * shift) != 0 {
            out.push(0x80 | (number >> (7 * shift)) as u8);
        }
    }
    out.push(number as u8 & 0x7f);
}

pub(crate) fn put_field(bytes: &[u8], out: &mut Vec<u8>) {
    put_vlu(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn chunk(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &(content.len() as u16).to_be_bytes(), content].concat()
}

/// AES-128 with a checksum, which is all the protection there is.
pub(crate) struct Cipher {
    encryptor: Aes128Enc,
    decryptor: Aes128Dec,
}

impl Cipher {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self { encryptor: Aes128Enc::new(key.into()), decryptor: Aes128Dec::new(key.into()) }
    }

    /// The key of handshakes.
    pub(crate) fn of_startup() -> Self {
        Self::new(b"Adobe Systems 02")
    }

    /// A datagram of a clear packet.
    pub(crate) fn seal(&self, session: u32, clear: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 6];
        bytes.extend_from_slice(clear);
        while bytes.len() % 16 != 4 {
            bytes.push(0xff);
        }
        let sum = checksum(&bytes[6..]);
        bytes[4..6].copy_from_slice(&sum.to_be_bytes());
        let (blocks, _) = Array::slice_as_chunks_mut(&mut bytes[4..]);
        cbc::Encryptor::inner_iv_init(&self.encryptor, &Array([0; 16])).encrypt_blocks(blocks);
        let id = session ^ word(&bytes, 4) ^ word(&bytes, 8);
        bytes[..4].copy_from_slice(&id.to_be_bytes());
        bytes
    }

    /// The clear packet of a datagram with its padding; `None` when the checksum is wrong.
    pub(crate) fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = datagram.get(4..)?.to_vec();
        if bytes.is_empty() || !bytes.len().is_multiple_of(16) {
            return None;
        }
        let (blocks, _) = Array::slice_as_chunks_mut(&mut bytes[..]);
        cbc::Decryptor::inner_iv_init(&self.decryptor, &Array([0; 16])).decrypt_blocks(blocks);
        let clear = bytes.split_off(2);
        (checksum(&clear).to_be_bytes() == bytes[..]).then_some(clear)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    Reader(&bytes[at..]).u32()
}

/// The session that a datagram is for.
pub(crate) fn session_of(datagram: &[u8]) -> Option<u32> {
    (datagram.len() >= 12).then(|| word(datagram, 0) ^ word(datagram, 4) ^ word(datagram, 8))
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(Reader(pair).u16())).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !sum as u16
}

/// A Diffie-Hellman key pair in group 2.
#[derive(Clone)]
pub(crate) struct Pair {
    exponent: U256,
    pub(crate) public: Vec<u8>,
}

const EXPONENT: usize = 28;

impl Pair {
    pub(crate) fn of(exponent: &[u8; EXPONENT]) -> Self {
        let mut padded = [0; 32];
        padded[32 - EXPONENT..].copy_from_slice(exponent);
        let exponent = U256::from_be_slice(&padded);
        Self { exponent, public: power(&[2], &exponent) }
    }

    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut exponent: [u8; EXPONENT] = random(dice);
        exponent[0] |= 0x80;
        Self::of(&exponent)
    }

    /// A pair whose public key has full length, as MonaServer's have nearly always.
    pub(crate) fn draw_long(dice: &mut Dice) -> Self {
        loop {
            let pair = Self::draw(dice);
            if pair.public.len() == 128 {
                return pair;
            }
        }
    }

    /// The shared secret; `None` for a number that is not in the group, as OpenSSL has it.
    pub(crate) fn agree(&self, far_public: &[u8]) -> Option<Vec<u8>> {
        let far = minimal(far_public);
        let fits = !far.is_empty() && (far.len() < 128 || far.len() == 128 && far < &PRIME[..]);
        fits.then(|| power(far, &self.exponent))
    }
}

fn power(base: &[u8], exponent: &U256) -> Vec<u8> {
    let prime = Odd::new(U1024::from_be_slice(&PRIME)).expect("a prime is odd");
    let params = FixedMontyParams::new_vartime(prime);
    let mut padded = [0; 128];
    padded[128 - base.len()..].copy_from_slice(base);
    let base = FixedMontyForm::new(&U1024::from_be_slice(&padded), &params);
    let power = base.pow_bounded_exp(exponent, 8 * EXPONENT as u32).retrieve();
    minimal(power.to_be_bytes().as_ref()).to_vec()
}

fn minimal(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// The prime of group 2 (RFC 2409 section 6.2).
const PRIME: [u8; 128] = *rtmfp_flash::Group::Modp1024.prime().first_chunk().expect("1024 bits");

pub(crate) fn random<const N: usize>(dice: &mut Dice) -> [u8; N] {
    core::array::from_fn(|_| dice.below(256) as u8)
}

/// The keys of an initiator's packets and of a responder's (RFC 7425 section 4.6.3).
pub(crate) fn keys(secret: &[u8], initiator: &[u8], responder: &[u8]) -> ([u8; 16], [u8; 16]) {
    let key = |from: &[u8], to: &[u8]| {
        let material = hmac(secret, &hmac(to, from));
        *material.first_chunk().expect("32 bytes")
    };
    (key(initiator, responder), key(responder, initiator))
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}
