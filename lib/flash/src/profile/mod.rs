mod config;

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use rtmfp::crypto::{
    DEFAULT_KEY, InitiatorOffer, InitiatorSecret, KeyId, KeyInfo, KeyKind, KeyingError, OpenError, Profile,
    Random, ResponderAnswer, Room, Sealing, SessionKeys, Signatures, Work,
};
use rtmfp_base::Arena;

use crate::backend::Failure;
use crate::keying::{self, HMAC_LENGTHS, Near, NearKeys, RANDOMNESS};
use crate::session::Session;
use crate::{Certificate, CertificateParts, Epd, Fingerprint, Group};

pub use self::config::{Ancillary, AncillaryPredicate, ConfigError, FlashConfig, KeyLog, KeySource};

/// The cryptography profile for Flash communication, of one endpoint.
pub struct FlashProfile {
    certificate: Vec<u8>,
    fingerprint: Fingerprint,
    ancillary: Ancillary,
    near: Near,
    key_log: Option<KeyLog>,
    startup: Session,
    sessions: Arena<KeyKind, Session>,
}

impl FlashProfile {
    /// A profile with a new certificate; draws its extra randomness where it has any, 64 bytes.
    ///
    /// # Errors
    /// When the configuration makes no sense, or when the cryptographic library fails.
    pub fn new(config: FlashConfig, random: &mut Random<'_>) -> Result<Self, ConfigError> {
        if !HMAC_LENGTHS.contains(&config.policy.hmac_length) {
            return Err(ConfigError::HmacLength(config.policy.hmac_length));
        }
        let mut parts = CertificateParts {
            hostname: config.hostname.as_ref().map(String::as_bytes),
            accepts_ancillary: !matches!(config.ancillary, Ancillary::Refused),
            ..CertificateParts::default()
        };
        let has_randomness = match &config.keys {
            KeySource::Ephemeral { groups } => {
                parts.ephemeral_groups = groups;
                true
            }
            KeySource::Static { keys, extra_randomness } => {
                parts.static_keys = keys.public_keys();
                *extra_randomness
            }
        };
        let mut randomness = [0; RANDOMNESS];
        if has_randomness {
            random(&mut randomness);
            parts.extra_randomness = &randomness;
        }
        let certificate = parts.encode();
        let parsed = Certificate::parse(&certificate).map_err(|_| ConfigError::NoGroup)?;
        let fingerprint = parsed.fingerprint();
        let plain_key = match &config.keys {
            KeySource::Static { keys, .. } => keys.pair(Group::Modp1024),
            KeySource::Ephemeral { .. } => None,
        };
        let is_plain = plain_key.is_some_and(|key| keying::plain_certificate(&key.public) == certificate);
        let keys = match config.keys {
            KeySource::Ephemeral { groups } => NearKeys::Ephemeral(groups),
            KeySource::Static { keys, .. } => NearKeys::Static(keys),
        };
        Ok(Self {
            certificate,
            fingerprint,
            ancillary: config.ancillary,
            near: Near {
                backend: config.backend,
                keys,
                policy: config.policy,
                is_plain,
                log: config.key_log.is_some(),
            },
            key_log: config.key_log,
            startup: Session::of_startup(config.backend.library())
                .map_err(|Failure(error)| ConfigError::Backend(error))?,
            sessions: Arena::new(),
        })
    }

    /// The fingerprint of the near end's certificate: its peer id.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn session(&self, key: KeyId) -> Option<&Session> {
        if key == DEFAULT_KEY { Some(&self.startup) } else { self.sessions.get(key) }
    }

    fn session_mut(&mut self, key: KeyId) -> Option<&mut Session> {
        if key == DEFAULT_KEY { Some(&mut self.startup) } else { self.sessions.get_mut(key) }
    }
}

impl Profile for FlashProfile {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn selects_near(&self, epd: &[u8]) -> bool {
        let Ok(epd) = Epd::parse(epd) else { return false };
        let Ok(certificate) = Certificate::parse(&self.certificate) else { return false };
        epd.selects_with(&certificate, || self.fingerprint)
            && (epd.fingerprint.is_some() || epd.ancillary.is_none_or(|data| self.ancillary.accepts(data)))
    }

    fn selects(&self, epd: &[u8], certificate: &[u8]) -> bool {
        let (Ok(epd), Ok(certificate)) = (Epd::parse(epd), Certificate::parse(certificate)) else {
            return false;
        };
        epd.selects(&certificate)
    }

    fn canonical_epd(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        Some(Certificate::parse(certificate).ok()?.fingerprint().canonical_epd())
    }

    fn signatures(&self) -> Arc<dyn Signatures> {
        Arc::new(NoSignatures)
    }

    fn keyed_hash(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        self.near.backend.library().hmac_once(key, parts)
    }

    fn initiate(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError> {
        keying::initiate(&self.near, far_certificate, random)
    }

    fn fall_back(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Option<Work<Result<InitiatorOffer, KeyingError>>> {
        keying::fall_back(&self.near, far_certificate, random)
    }

    fn conclude(
        &self,
        secret: &InitiatorSecret,
        responder_component: &[u8],
    ) -> Work<Result<SessionKeys, KeyingError>> {
        keying::conclude(secret, responder_component)
    }

    fn respond(
        &self,
        far_certificate: &[u8],
        initiator_component: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<ResponderAnswer, KeyingError>>, KeyingError> {
        keying::respond(&self.near, far_certificate, initiator_component, random)
    }

    /// # Panics
    /// When the keys are another profile's.
    fn install(&mut self, keys: SessionKeys) -> KeyId {
        let mut session = keys.0.downcast::<Session>().expect("keys of this profile");
        if let (Some(log), Some(line)) = (&self.key_log, session.take_log_line()) {
            log(&line);
        }
        self.sessions.insert(*session)
    }

    fn remove(&mut self, key: KeyId) {
        self.sessions.remove(key);
    }

    fn key_info(&self, key: KeyId) -> Option<KeyInfo> {
        let session = self.session(key)?;
        let nonce = |nonce: &[u8; 32]| if key == DEFAULT_KEY { Vec::new() } else { nonce.to_vec() }.into();
        let ((near, far), (authenticated, sequenced)) = (session.nonces(), session.demands());
        Some(KeyInfo {
            near_nonce: nonce(near),
            far_nonce: nonce(far),
            authenticated,
            sequenced,
            only_offered: session.only_offered,
            group: session.group.map(|group| group.id() as u16),
            basic: session.basic,
        })
    }

    fn front_len(&self, key: KeyId) -> usize {
        self.session(key).map_or(0, |session| session.layout.front_len())
    }

    fn reserve(&mut self, key: KeyId, clear_len: usize) -> Room {
        match self.session_mut(key) {
            Some(session) => session.layout.reserve(clear_len),
            None => Room { front: 0, sealed_len: clear_len, sequence: 0 },
        }
    }

    fn seal(&mut self, buffer: &mut [u8], packets: &mut [Sealing]) {
        for Sealing { key, room, clear_len, start } in packets {
            let Some(buffer) = buffer.get_mut(*start..) else { continue };
            let sealed = self.session_mut(*key).and_then(|session| session.seal(buffer, room, *clear_len));
            if sealed.is_none() {
                buffer.iter_mut().take(room.sealed_len).for_each(|byte| *byte = 0);
            }
        }
    }

    fn open(&mut self, key: KeyId, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        self.session_mut(key).ok_or(OpenError::UnknownKey)?.open(packet)
    }
}

impl fmt::Debug for FlashProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlashProfile")
            .field("fingerprint", &self.fingerprint)
            .field("near", &self.near)
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

/// Nobody signs in this profile (RFC 7425 section 4.3.5): the signature is a placeholder, any is good.
struct NoSignatures;

impl Signatures for NoSignatures {
    fn sign(&self, _parameters: &[u8]) -> Vec<u8> {
        b"X".to_vec()
    }

    fn verify(&self, _certificate: &[u8], _parameters: &[u8], _signature: &[u8]) -> bool {
        true
    }
}
