//! A cryptography profile for a group of endpoints that share one secret key, and are told apart by names.
//!
//! What it gives: whoever lacks the key can neither take part nor read or change packets of a session, nor repeat
//! them. What it does not give, and a profile for more than a small group should:
//!
//! - *Forward secrecy.* Session keys come from the shared key and from random bytes that the handshake shows, so who
//!   learns the shared key later can read what was recorded. A Diffie-Hellman exchange in the keying components
//!   mends that, and is what the jobs of this interface are for.
//! - *Proof of who it is.* Any member can use any name. Signatures by private keys mend that.
//! - *A secret handshake.* Its packets are authentic but not encrypted: names and addresses can be read.
//!
//! The order below is that of a session's life: identity, keying, packets.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hmac::{Hmac, Mac};
use rtmfp::crypto::{
    DEFAULT_KEY, InitiatorOffer, InitiatorSecret, KeyId, KeyInfo, KeyKind, KeyingError, OpenError, Profile,
    Random, ResponderAnswer, Room, Sealing, SessionKeys, Signatures, Work,
};
use rtmfp_base::Arena;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::session::{Session, TAG};

/// A profile object serves one endpoint. It owns the keys of all sessions; the endpoint knows them by [`KeyId`].
pub(crate) struct SharedKeyProfile {
    name: Vec<u8>,
    secrets: Arc<Secrets>,
    /// An arena's ids stay invalid after removal, so that a late packet can't meet another session's keys.
    sessions: Arena<KeyKind, Session>,
}

/// Keys for separate purposes, derived from the shared one: no value made for one purpose means anything for
/// another. Jobs need some of them on other threads, hence the `Arc` around this.
struct Secrets {
    startup: Secret,
    signatures: Secret,
    agreement: Secret,
}

/// Secrets are wiped when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

impl SharedKeyProfile {
    /// The profile of the endpoint with this name, of at most [`MAX_NAME`] bytes, in the group with this key of 32
    /// unpredictable bytes.
    pub(crate) fn new(name: &str, shared: &[u8; 32]) -> Self {
        assert!(is_name(name.as_bytes()), "a name has 1 to {MAX_NAME} bytes");
        let derive = |purpose: &[u8]| Secret::new(hmac(shared, &[purpose]));
        let secrets = Secrets {
            startup: derive(b"startup packets"),
            signatures: derive(b"signatures"),
            agreement: derive(b"key agreement"),
        };
        Self { name: name.into(), secrets: Arc::new(secrets), sessions: Arena::new() }
    }
}

impl Profile for SharedKeyProfile {
    // ---- identity ----
    //
    // A certificate says who an endpoint is; an Endpoint Discriminator says who is wanted. Both are bytes that only
    // the profile understands, and here both are a name. Whatever comes from far may be anything: check it.

    fn certificate(&self) -> &[u8] {
        &self.name
    }

    /// Hellos that are not for this endpoint are not answered.
    fn selects_near(&self, epd: &[u8]) -> bool {
        epd == self.name
    }

    /// Whether the answer to a hello came from the one that was wanted.
    fn selects(&self, epd: &[u8], certificate: &[u8]) -> bool {
        is_name(certificate) && epd == certificate
    }

    /// One and the same for all sessions with an endpoint, so that the core finds a session that it has already.
    fn canonical_epd(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        is_name(certificate).then(|| certificate.to_vec())
    }

    /// Signing can be dear, so it is done by jobs, which get this object.
    fn signatures(&self) -> Arc<dyn Signatures> {
        Arc::new(Codes { name: self.name.clone(), secrets: Arc::clone(&self.secrets) })
    }

    /// For the core's own use, with keys of the core's own.
    fn keyed_hash(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        hmac(key, parts)
    }

    // ---- keying ----
    //
    // Each end sends one component, from which both derive the keys. The three methods do at once what is cheap
    // (check the input, draw random bytes) and leave the rest to a job: a closure that owns all that it needs. It may
    // run on another thread, late, after its session has ended, or never. It must not draw random bytes itself: those
    // come from the core, which makes a simulated handshake repeatable.

    fn initiate(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError> {
        if !is_name(far_certificate) {
            return Err(KeyingError::BadCertificate);
        }
        let component = draw(random);
        let initiator = Initiator {
            near: self.name.clone(),
            far: far_certificate.to_vec(),
            component,
            secrets: Arc::clone(&self.secrets),
        };
        Ok(Box::new(move || {
            Ok(InitiatorOffer {
                component: component.to_vec(),
                certificate: None,
                secret: Arc::new(initiator),
            })
        }))
    }

    /// May be called several times for one offer, because a forged answer must not end the handshake. So the
    /// secret is shared and nothing in it changes.
    fn conclude(
        &self,
        secret: &InitiatorSecret,
        responder_component: &[u8],
    ) -> Work<Result<SessionKeys, KeyingError>> {
        let initiator = Arc::clone(secret).downcast::<Initiator>();
        let responder_component = component(responder_component);
        Box::new(move || {
            let initiator =
                initiator.map_err(|_| KeyingError::Backend("the secret is not this profile's".into()))?;
            let agreed = Agreement {
                initiator: (&initiator.near, &initiator.component),
                responder: (&initiator.far, &responder_component?),
            };
            Ok(SessionKeys(Box::new(agreed.session(&initiator.secrets, Role::Initiator))))
        })
    }

    fn respond(
        &self,
        far_certificate: &[u8],
        initiator_component: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<ResponderAnswer, KeyingError>>, KeyingError> {
        if !is_name(far_certificate) {
            return Err(KeyingError::BadCertificate);
        }
        let far_component = component(initiator_component)?;
        let component = draw(random);
        let (near, far) = (self.name.clone(), far_certificate.to_vec());
        let secrets = Arc::clone(&self.secrets);
        Ok(Box::new(move || {
            let agreed = Agreement { initiator: (&far, &far_component), responder: (&near, &component) };
            let keys = SessionKeys(Box::new(agreed.session(&secrets, Role::Responder)));
            Ok(ResponderAnswer { component: component.to_vec(), keys })
        }))
    }

    // ---- keys ----

    /// # Panics
    /// When the keys are another profile's, which the core never does.
    fn install(&mut self, keys: SessionKeys) -> KeyId {
        let session = keys.0.downcast::<Session>().expect("keys of this profile");
        self.sessions.insert(*session)
    }

    /// The ciphers wipe their keys when dropped, and so do the nonces.
    fn remove(&mut self, key: KeyId) {
        self.sessions.remove(key);
    }

    /// Applications may rely on this, and the core does: claim what the packets have and no more.
    fn key_info(&self, key: KeyId) -> Option<KeyInfo> {
        if key == DEFAULT_KEY {
            return Some(KeyInfo { authenticated: true, ..KeyInfo::default() });
        }
        let session = self.sessions.get(key)?;
        Some(KeyInfo {
            near_nonce: session.near_nonce.to_vec().into(),
            far_nonce: session.far_nonce.to_vec().into(),
            authenticated: true,
            sequenced: true,
            ..KeyInfo::default()
        })
    }

    // ---- packets ----
    //
    // To send a packet, the core asks for `front_len`, writes the clear packet behind that many bytes, calls
    // `reserve` with its length, and appends zeros up to `sealed_len`. When a batch of packets is complete, for any
    // number of sessions and in any order, it calls `seal` once. The core adds the scrambled session id afterwards.
    //
    // `reserve` fixes what depends on the order, that is the sequence number; every room is sealed, and only once.
    // A packet of the startup session has no number, since any endpoint of the group uses its key.

    /// The same as the `front` of the next room.
    fn front_len(&self, key: KeyId) -> usize {
        self.sessions.get(key).map_or(0, |_| Session::FRONT)
    }

    fn reserve(&mut self, key: KeyId, clear_len: usize) -> Room {
        if key == DEFAULT_KEY {
            return Room { front: 0, sealed_len: clear_len + TAG, sequence: 0 };
        }
        match self.sessions.get_mut(key) {
            Some(session) => session.reserve(clear_len),
            None => Room { front: 0, sealed_len: clear_len, sequence: 0 },
        }
    }

    /// Works in place and allocates nothing: this runs for every packet.
    fn seal(&mut self, buffer: &mut [u8], packets: &mut [Sealing]) {
        for Sealing { key, room, clear_len, start } in packets {
            let packet = buffer.get_mut(*start..).and_then(|rest| rest.get_mut(..room.sealed_len));
            let Some(packet) = packet else { continue };
            let sealed = if *key == DEFAULT_KEY {
                seal_startup(&self.secrets.startup, packet, *clear_len)
            } else {
                self.sessions.get(*key).and_then(|session| session.seal(packet, room, *clear_len))
            };
            // Nothing clear may leave the host: a session can have ended between `reserve` and here.
            if sealed.is_none() {
                packet.fill(0);
            }
        }
    }

    /// Any bytes can come in here, of any length, from anybody.
    fn open(&mut self, key: KeyId, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        if key == DEFAULT_KEY {
            return open_startup(&self.secrets.startup, packet);
        }
        self.sessions.get_mut(key).ok_or(OpenError::UnknownKey)?.open(packet)
    }
}

/// Endpoints, and so profiles, are printed in logs: no secrets here.
impl fmt::Debug for SharedKeyProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeyProfile")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

const MAX_NAME: usize = 64;

fn is_name(certificate: &[u8]) -> bool {
    (1..=MAX_NAME).contains(&certificate.len())
}

/// A component of the keying: unpredictable bytes, so that no two sessions have the same keys.
type Component = [u8; 32];

fn draw(random: &mut Random<'_>) -> Component {
    let mut component = Component::default();
    random(&mut component);
    component
}

fn component(bytes: &[u8]) -> Result<Component, KeyingError> {
    bytes.try_into().map_err(|_| KeyingError::BadComponent("not 32 bytes long"))
}

/// What an initiator keeps between its offer and the answer.
struct Initiator {
    near: Vec<u8>,
    far: Vec<u8>,
    component: Component,
    secrets: Arc<Secrets>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Role {
    Initiator,
    Responder,
}

/// All that both ends know when they have agreed: name and component of either.
struct Agreement<'a> {
    initiator: (&'a [u8], &'a Component),
    responder: (&'a [u8], &'a Component),
}

impl Agreement<'_> {
    /// Derives the keys of either direction. Everything that was said goes in, so that ends which saw different
    /// things get different keys. The only part of variable length but the last is preceded by its length,
    /// or else two agreements could look the same.
    fn session(&self, secrets: &Secrets, role: Role) -> Session {
        let (initiator, responder) = (self.initiator, self.responder);
        let parts: [&[u8]; 5] =
            [initiator.1, responder.1, &[initiator.0.len() as u8], initiator.0, responder.0];
        let agreed = Secret::new(hmac(&secrets.agreement[..], &parts));
        let derive = |purpose: &[u8]| Secret::new(hmac(&agreed[..], &[purpose]));
        // A key for each direction: sequence numbers, which both ends begin with 0, are nonces of the cipher, and
        // using one twice with one key would give everything away.
        let by_initiator = ChaCha20Poly1305::new((&*derive(b"packets of the initiator")).into());
        let by_responder = ChaCha20Poly1305::new((&*derive(b"packets of the responder")).into());
        let nonces = [derive(b"nonce of the initiator"), derive(b"nonce of the responder")];
        match (role, nonces) {
            (Role::Initiator, [near, far]) => Session::new(by_initiator, by_responder, near, far),
            (Role::Responder, [far, near]) => Session::new(by_responder, by_initiator, near, far),
        }
    }
}

/// Signatures of the keying: here authentication codes under a key that the whole group has.
struct Codes {
    name: Vec<u8>,
    secrets: Arc<Secrets>,
}

impl Codes {
    fn code(&self, certificate: &[u8], parameters: &[u8]) -> Hmac<Sha256> {
        let mut code = keyed(&self.secrets.signatures[..]);
        code.update(&(certificate.len() as u64).to_be_bytes());
        code.update(certificate);
        code.update(parameters);
        code
    }
}

impl Signatures for Codes {
    fn sign(&self, parameters: &[u8]) -> Vec<u8> {
        self.code(&self.name, parameters).finalize().into_bytes().to_vec()
    }

    fn verify(&self, certificate: &[u8], parameters: &[u8], signature: &[u8]) -> bool {
        // Compares in constant time.
        self.code(certificate, parameters).verify_slice(signature).is_ok()
    }
}

/// Packets of the startup session: the clear packet and a code, nothing is encrypted. They can be repeated; the
/// handshake knows how to live with that (RFC 7016 section 3.5.1.1.1).
///
/// Encrypting them would take a nonce that no two of all endpoints with this key ever choose alike.
fn seal_startup(key: &Secret, packet: &mut [u8], clear_len: usize) -> Option<()> {
    let (clear, tag) = packet.split_at_mut_checked(clear_len)?;
    let code = hmac(&key[..], &[clear]);
    tag.copy_from_slice(code.get(..tag.len())?);
    Some(())
}

fn open_startup(key: &Secret, packet: &[u8]) -> Result<Range<usize>, OpenError> {
    let clear_len = packet.len().checked_sub(TAG).filter(|len| *len > 0).ok_or(OpenError::Malformed)?;
    let (clear, tag) = packet.split_at(clear_len);
    let mut code = keyed(&key[..]);
    code.update(clear);
    code.verify_truncated_left(tag).map_err(|_| OpenError::Forged)?;
    Ok(0..clear_len)
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut code = keyed(key);
    parts.iter().for_each(|part| code.update(part));
    code.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}
