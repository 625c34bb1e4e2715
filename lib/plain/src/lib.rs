//! An RTMFP cryptography profile **without cryptography**, for tests only: quick, deterministic, readable in a
//! trace. Nothing is secret and everything can be forged.
//!
//! - A certificate is a name. An Endpoint Discriminator selects it when the bytes are equal, and is canonical; one
//!   that ends in `*` selects all names that begin so.
//! - A keying component is a salt of 4 bytes that its sender drew; packets to that end carry it.
//! - A sealed packet is the receiver's salt, the clear packet, and a 16-bit checksum over both. So a packet of
//!   another session does not open, nor does a damaged one (but one in 65,536: see [`PlainProfile::guarded`]); a
//!   repeated one does.
//! - A signature is a checksum of the signer's name and the parameters, so that a test sees it when an
//!   implementation signs or verifies something else.
#![forbid(unsafe_code)]

use core::ops::Range;
use std::sync::Arc;

use rtmfp::crypto::{
    DEFAULT_KEY, InitiatorOffer, InitiatorSecret, KeyId, KeyInfo, KeyKind, KeyingError, OpenError, Profile,
    Random, ResponderAnswer, Room, Sealing, SessionKeys, Signatures, Work,
};
use rtmfp_base::Arena;

type Salt = [u8; 4];

/// Bytes of the checksum, and of that of a guarded profile.
const CHECKSUM: usize = 2;
const LONG_CHECKSUM: usize = 8;
const SALT: usize = size_of::<Salt>();
/// Both directions of the startup session.
const DEFAULT_SALTS: Salts = Salts { near: *b"open", far: *b"open" };

/// Which salts a session's packets carry.
#[derive(Clone, Copy, Debug)]
struct Salts {
    /// In packets that come in.
    near: Salt,
    /// In packets that go out.
    far: Salt,
}

/// The profile.
#[derive(Debug)]
pub struct PlainProfile {
    name: Arc<[u8]>,
    keys: Arena<KeyKind, Salts>,
    checksum: usize,
    trusted: bool,
}

impl PlainProfile {
    /// The profile of an endpoint with a name, that is its certificate. An empty name is no valid certificate.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self { name: name.as_ref().into(), keys: Arena::new(), checksum: CHECKSUM, trusted: false }
    }

    /// With checksums of 64 bits, for tests that damage so many packets that some would pass with 16. Both ends need
    /// it.
    pub fn guarded(self) -> Self {
        Self { checksum: LONG_CHECKSUM, ..self }
    }

    /// Says that its packets carry authentication codes, which is not true: sessions follow their far ends to other
    /// addresses then.
    pub fn trusted(self) -> Self {
        Self { trusted: true, ..self }
    }

    fn salts(&self, key: KeyId) -> Option<Salts> {
        if key == DEFAULT_KEY { Some(DEFAULT_SALTS) } else { self.keys.get(key).copied() }
    }
}

impl Profile for PlainProfile {
    fn certificate(&self) -> &[u8] {
        &self.name
    }

    fn selects_near(&self, epd: &[u8]) -> bool {
        self.selects(epd, &self.name)
    }

    fn selects(&self, epd: &[u8], certificate: &[u8]) -> bool {
        let all = epd.strip_suffix(b"*").is_some_and(|start| certificate.starts_with(start));
        !epd.is_empty() && (epd == certificate || all)
    }

    fn canonical_epd(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        (!certificate.is_empty()).then(|| certificate.to_vec())
    }

    fn signatures(&self) -> Arc<dyn Signatures> {
        Arc::new(Checksums { name: Arc::clone(&self.name) })
    }

    fn keyed_hash(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = [0; 32];
        for (index, word) in hash.chunks_exact_mut(8).enumerate() {
            let start = sum(EMPTY ^ index as u64, &(key.len() as u64).to_be_bytes());
            let sum = parts.iter().fold(sum(start, key), |state, part| sum(state, part));
            word.copy_from_slice(&sum.to_be_bytes());
        }
        hash
    }

    fn initiate(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError> {
        if far_certificate.is_empty() {
            return Err(KeyingError::BadCertificate);
        }
        let mut near = Salt::default();
        random(&mut near);
        Ok(Box::new(move || {
            Ok(InitiatorOffer { component: near.to_vec(), certificate: None, secret: Arc::new(near) })
        }))
    }

    fn conclude(
        &self,
        secret: &InitiatorSecret,
        responder_component: &[u8],
    ) -> Work<Result<SessionKeys, KeyingError>> {
        let near = secret.downcast_ref::<Salt>().copied();
        let far = salt(responder_component);
        Box::new(move || {
            let near = near.ok_or_else(|| KeyingError::Backend("not a secret of this profile".into()))?;
            Ok(SessionKeys(Box::new(Salts { near, far: far? })))
        })
    }

    fn respond(
        &self,
        far_certificate: &[u8],
        initiator_component: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<ResponderAnswer, KeyingError>>, KeyingError> {
        if far_certificate.is_empty() {
            return Err(KeyingError::BadCertificate);
        }
        let far = salt(initiator_component)?;
        let mut near = Salt::default();
        random(&mut near);
        Ok(Box::new(move || {
            let keys = SessionKeys(Box::new(Salts { near, far }));
            Ok(ResponderAnswer { component: near.to_vec(), keys })
        }))
    }

    /// # Panics
    /// When the keys are another profile's: a mistake of the test.
    fn install(&mut self, keys: SessionKeys) -> KeyId {
        let salts = keys.0.downcast::<Salts>().expect("keys of this profile");
        self.keys.insert(*salts)
    }

    fn remove(&mut self, key: KeyId) {
        self.keys.remove(key);
    }

    fn key_info(&self, key: KeyId) -> Option<KeyInfo> {
        if key == DEFAULT_KEY {
            return Some(KeyInfo::default());
        }
        let salts = self.keys.get(key)?;
        Some(KeyInfo {
            near_nonce: salts.near.to_vec().into(),
            far_nonce: salts.far.to_vec().into(),
            authenticated: self.trusted,
            ..KeyInfo::default()
        })
    }

    fn front_len(&self, _key: KeyId) -> usize {
        SALT
    }

    fn reserve(&mut self, _key: KeyId, clear_len: usize) -> Room {
        Room { front: SALT, sealed_len: SALT + clear_len + self.checksum, sequence: 0 }
    }

    fn seal(&mut self, buffer: &mut [u8], packets: &mut [Sealing]) {
        for sealing in packets {
            let packet = &mut buffer[sealing.start..sealing.start + sealing.room.sealed_len];
            let Some(salts) = self.salts(sealing.key) else {
                packet.fill(0);
                continue;
            };
            let (body, end) = packet.split_at_mut(SALT + sealing.clear_len);
            body[..SALT].copy_from_slice(&salts.far);
            end.copy_from_slice(&checksum(body)[..self.checksum]);
        }
    }

    fn open(&mut self, key: KeyId, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let salts = self.salts(key).ok_or(OpenError::UnknownKey)?;
        if packet.len() <= SALT + self.checksum {
            return Err(OpenError::Malformed);
        }
        let (body, end) = packet.split_at(packet.len() - self.checksum);
        if !body.starts_with(&salts.near) || *end != checksum(body)[..self.checksum] {
            return Err(OpenError::Forged);
        }
        Ok(SALT..body.len())
    }
}

fn salt(component: &[u8]) -> Result<Salt, KeyingError> {
    component.try_into().map_err(|_| KeyingError::BadComponent("not 4 bytes long"))
}

/// All 64 bits; the first two bytes depend on all of them.
fn checksum(body: &[u8]) -> [u8; LONG_CHECKSUM] {
    let sum = sum(EMPTY, body);
    let folded = (sum ^ (sum >> 16) ^ (sum >> 32) ^ (sum >> 48)) as u16;
    let mut checksum = sum.to_be_bytes();
    checksum[..CHECKSUM].copy_from_slice(&folded.to_be_bytes());
    checksum
}

/// Continues a checksum of 64 bits (FNV-1a), that starts as [`EMPTY`].
fn sum(start: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x100_0000_01b3;
    bytes.iter().fold(start, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(PRIME))
}

const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;

struct Checksums {
    name: Arc<[u8]>,
}

impl Checksums {
    fn of(name: &[u8], parameters: &[u8]) -> [u8; 8] {
        sum(sum(EMPTY, name), parameters).to_be_bytes()
    }
}

impl Signatures for Checksums {
    fn sign(&self, parameters: &[u8]) -> Vec<u8> {
        Self::of(&self.name, parameters).to_vec()
    }

    fn verify(&self, certificate: &[u8], parameters: &[u8], signature: &[u8]) -> bool {
        signature == Self::of(certificate, parameters)
    }
}
