//! The cryptography profile: what RFC 7016 leaves to the application (sections 1.2, 2.2.3, 3.2 and 3.5.1).
//!
//! The profile owns the keys, the core holds a [`KeyId`]. Public-key work happens in jobs: the methods that
//! begin it return a closure that carries all that it needs, random bytes included.

use core::any::Any;
use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use rtmfp_base::{Id, IdKind};
use zeroize::Zeroizing;

/// Marks ids of session keys.
#[derive(Debug)]
pub struct KeyKind;
impl IdKind for KeyKind {
    const PREFIX: &'static str = "k";
}

/// Names the pair of keys (one for each direction) of a session.
pub type KeyId = Id<KeyKind>;

/// The Default Session Key, that packets of the startup session are protected with (RFC 7016 section 2.2.3).
pub const DEFAULT_KEY: KeyId = Id::from_parts(u32::MAX, u32::MAX);

/// Work for a job.
pub type Work<T> = Box<dyn FnOnce() -> T + Send>;

/// Fills a slice with unpredictable bytes (predictable ones in a simulation).
pub type Random<'a> = dyn FnMut(&mut [u8]) + 'a;

/// The profile. One for each endpoint.
pub trait Profile: Send + fmt::Debug {
    // ---- identity ----

    /// The near end's certificate, as it is sent.
    fn certificate(&self) -> &[u8];

    /// Whether an Endpoint Discriminator selects the near end (RFC 7016 section 3.2).
    fn selects_near(&self, epd: &[u8]) -> bool;

    /// Whether an Endpoint Discriminator selects the holder of a far certificate.
    fn selects(&self, epd: &[u8], certificate: &[u8]) -> bool;

    /// The canonical Endpoint Discriminator of a far certificate; `None` when the certificate is malformed or not
    /// authentic.
    fn canonical_epd(&self, certificate: &[u8]) -> Option<Vec<u8>>;

    /// Whether the near end stays the initiator when both ends open a session to each other at once. The far end has
    /// to come to the opposite conclusion: the certificate that is first in lexicographic order prevails.
    fn near_prevails(&self, far_certificate: &[u8]) -> bool {
        self.certificate() <= far_certificate
    }

    /// Whether a new session of the holder of one certificate takes the place of a session with the holder of another
    /// one at the same address: when they are the same.
    fn overrides(&self, new_certificate: &[u8], old_certificate: &[u8]) -> bool {
        new_certificate == old_certificate
    }

    /// Signing and verifying, for jobs.
    fn signatures(&self) -> Arc<dyn Signatures>;

    /// HMAC-SHA256, or a keyed hash as strong, over the parts one after the other: for cookies.
    fn keyed_hash(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32];

    // ---- keying (RFC 7016 section 3.5.1) ----

    /// Begins keying as initiator towards the holder of a certificate.
    ///
    /// # Errors
    /// When the two ends have nothing in common.
    fn initiate(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError>;

    /// Begins keying as initiator once more, in another way, for a responder that leaves the first one unanswered: one
    /// that names what it can't do. Called after the keying has been sent three times, to see whether there is another
    /// way, and then again once the responder has answered another hello. `None`, which is the default: there is no other
    /// way, the first one goes on being sent.
    fn fall_back(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Option<Work<Result<InitiatorOffer, KeyingError>>> {
        let _ = (far_certificate, random);
        None
    }

    /// Ends keying as initiator with the responder's component.
    fn conclude(
        &self,
        secret: &InitiatorSecret,
        responder_component: &[u8],
    ) -> Work<Result<SessionKeys, KeyingError>>;

    /// Keying as responder.
    ///
    /// # Errors
    /// When the component is malformed or the two ends have nothing in common.
    fn respond(
        &self,
        far_certificate: &[u8],
        initiator_component: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<ResponderAnswer, KeyingError>>, KeyingError>;

    // ---- keys ----

    /// Takes keys into use.
    fn install(&mut self, keys: SessionKeys) -> KeyId;

    /// Forgets and wipes keys. Unknown ids are ignored.
    fn remove(&mut self, key: KeyId);

    /// What a pair of keys can do; `None` for unknown ids.
    fn key_info(&self, key: KeyId) -> Option<KeyInfo>;

    // ---- packets ----

    /// How many bytes the profile will put before the next clear packet: they count against the packet size.
    fn front_len(&self, key: KeyId) -> usize;

    /// Makes room for sealing a packet of `clear_len` bytes (at least 1), and takes its sequence number. Each room
    /// must be sealed, in any order; with the Default Session Key, that has no sequence numbers, it may also be asked for
    /// its length only.
    fn reserve(&mut self, key: KeyId, clear_len: usize) -> Room;

    /// Seals packets in place. Those with an unknown key are filled with zeros.
    fn seal(&mut self, buffer: &mut [u8], packets: &mut [Sealing]);

    /// Verifies and decrypts a packet in place; answers where the clear packet is, padding included. On an error the
    /// bytes are undefined.
    ///
    /// # Errors
    /// When it is not an authentic new packet.
    fn open(&mut self, key: KeyId, packet: &mut [u8]) -> Result<Range<usize>, OpenError>;
}

/// Signatures of keying chunks (RFC 7016 sections 2.3.7 and 2.3.8), shared with jobs.
pub trait Signatures: Send + Sync {
    /// Signs the near end's keying parameters.
    fn sign(&self, parameters: &[u8]) -> Vec<u8>;

    /// Whether the far end's signature of its keying parameters is good.
    fn verify(&self, certificate: &[u8], parameters: &[u8], signature: &[u8]) -> bool;
}

/// What an initiator sends and keeps.
pub struct InitiatorOffer {
    /// The Session Key Initiator Component.
    pub component: Vec<u8>,
    /// The certificate to send with it, where that is not [`Profile::certificate`].
    pub certificate: Option<Vec<u8>>,
    /// What [`Profile::conclude`] needs.
    pub secret: InitiatorSecret,
}

/// An initiator's secret, shared with its jobs (an answer that doesn't fit must not end the handshake).
pub type InitiatorSecret = Arc<dyn Any + Send + Sync>;

/// What a responder answers and uses.
pub struct ResponderAnswer {
    /// The Session Key Responder Component.
    pub component: Vec<u8>,
    /// The keys.
    pub keys: SessionKeys,
}

/// Keys on their way from a job to [`Profile::install`].
pub struct SessionKeys(pub Box<dyn Any + Send>);

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys")
    }
}

impl fmt::Debug for ResponderAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponderAnswer").finish_non_exhaustive()
    }
}

impl fmt::Debug for InitiatorOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InitiatorOffer").finish_non_exhaustive()
    }
}

/// What the two ends agreed on.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct KeyInfo {
    /// The near end's session nonce (RFC 7425 section 4.6.5), empty where the profile has none.
    pub near_nonce: Zeroizing<Vec<u8>>,
    /// The far end's session nonce.
    pub far_nonce: Zeroizing<Vec<u8>>,
    /// Received packets carry a cryptographic authentication code: none can be forged.
    pub authenticated: bool,
    /// Received packets carry sequence numbers: none can be replayed.
    pub sequenced: bool,
    /// What the far end, as initiator, only offered although the near end requires it: some offer what they can't do.
    pub only_offered: Option<&'static str>,
    /// The number of the Diffie-Hellman group that the keys come from, where the profile has such.
    pub group: Option<u16>,
    /// The far end is to be taken for a program of the installed base that knows less than RFC 7016 asks for: it
    /// is told by abandoned fragments what it need not wait for (such programs ignore forward sequence numbers), no
    /// larger packets are tried, and no window is told to be shut (librtmfp then closes its session).
    pub basic: bool,
}

impl fmt::Debug for KeyInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyInfo")
            .field("authenticated", &self.authenticated)
            .field("sequenced", &self.sequenced)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// Room for one packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    /// Bytes that the profile puts before the clear packet.
    pub front: usize,
    /// Length of the sealed packet: front, clear packet, padding, authentication code.
    pub sealed_len: usize,
    /// The packet's sequence number; 0 where the session has none.
    pub sequence: u64,
}

/// One packet to seal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sealing {
    /// The key.
    pub key: KeyId,
    /// The room that was reserved.
    pub room: Room,
    /// Length of the clear packet, that lies `room.front` bytes behind `start`.
    pub clear_len: usize,
    /// Where the sealed packet begins in the buffer; it takes `room.sealed_len` bytes.
    pub start: usize,
}

/// Why keying failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyingError {
    /// The far certificate is malformed.
    #[error("the far certificate is malformed")]
    BadCertificate,
    /// The far component lacks a part or is malformed.
    #[error("the far keying component is malformed: {0}")]
    BadComponent(&'static str),
    /// The far end computes another key agreement than the one that it was asked for.
    #[error("the far keying component has a public key of another group")]
    AnotherGroup,
    /// No key agreement that both ends know.
    #[error("no Diffie-Hellman group in common")]
    NothingInCommon,
    /// The far public key is not acceptable.
    #[error("the far public key is not acceptable")]
    BadPublicKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    BadSignature,
    /// The near end's policy asks for what the far end can't do.
    #[error("the far end does not offer what is required here: {0}")]
    Policy(&'static str),
    /// The cryptographic library failed.
    #[error("cryptographic library: {0}")]
    Backend(String),
}

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its length is impossible.
    #[error("impossible length")]
    Malformed,
    /// Its authentication code or checksum is wrong.
    #[error("wrong authentication code or checksum")]
    Forged,
    /// Its sequence number was used, or is too old to tell.
    #[error("replayed")]
    Replayed,
    /// There is no such key.
    #[error("unknown key")]
    UnknownKey,
}
