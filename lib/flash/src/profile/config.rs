use core::fmt;
use std::sync::Arc;

use crate::{Backend, Group, Policy, StaticKeys};

/// What a [`FlashProfile`](crate::FlashProfile) is made of. Begin with [`server`](Self::server) or
/// [`client`](Self::client).
#[derive(Clone)]
#[non_exhaustive]
pub struct FlashConfig {
    /// The hostname in the certificate, for discriminators that ask for it.
    pub hostname: Option<String>,
    /// Whether discriminators with ancillary data can select the endpoint.
    pub ancillary: Ancillary,
    /// Where the keys come from.
    pub keys: KeySource,
    /// How packets are to be protected.
    pub policy: Policy,
    /// Which cryptographic library computes. What does not belong to a profile, that is [`StaticKeys`] and
    /// [`Certificate::fingerprint`](crate::Certificate::fingerprint), is computed by the default one.
    pub backend: Backend,
    /// Where the keys of sessions are told.
    pub key_log: Option<KeyLog>,
}

impl FlashConfig {
    /// A server as is usual: ephemeral keys in the groups [`Group::DEFAULT`], any ancillary data, no hostname.
    pub fn server() -> Self {
        Self::new(KeySource::Ephemeral { groups: Group::DEFAULT.to_vec() }, Ancillary::Accepted)
    }

    /// A client as is usual: static keys, no ancillary data, no hostname. The certificate has no extra randomness:
    /// clients that share keys want it (see [`KeySource::Static`]).
    pub fn client(keys: Arc<StaticKeys>) -> Self {
        Self::new(KeySource::Static { keys, extra_randomness: false }, Ancillary::Refused)
    }

    fn new(keys: KeySource, ancillary: Ancillary) -> Self {
        Self {
            hostname: None,
            ancillary,
            keys,
            policy: Policy::default(),
            backend: Backend::default(),
            key_log: None,
        }
    }
}

impl fmt::Debug for FlashConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlashConfig")
            .field("hostname", &self.hostname)
            .field("ancillary", &self.ancillary)
            .field("keys", &self.keys)
            .field("policy", &self.policy)
            .field("backend", &self.backend)
            .field("key_log", &self.key_log.is_some())
            .finish()
    }
}

/// Where the near end's keys come from (RFC 7425 section 4.6.1).
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A new pair for each session: sessions stay secret when the endpoint's memory is lost later.
    Ephemeral {
        /// The groups, in order of preference and of the certificate. A responder accepts any of them.
        groups: Vec<Group>,
    },
    /// The same pairs for all sessions: nobody else can use the certificate.
    Static {
        /// The pairs.
        keys: Arc<StaticKeys>,
        /// Puts 64 random bytes into the certificate, so that endpoints with the same keys have fingerprints of their
        /// own. Peers made with librtmfp refuse such a certificate when they are called directly.
        extra_randomness: bool,
    },
}

/// Which ancillary data selects the near end.
#[derive(Clone, Default)]
pub enum Ancillary {
    /// None: the endpoint is not a server.
    #[default]
    Refused,
    /// Any.
    Accepted,
    /// What the predicate accepts.
    AcceptedIf(AncillaryPredicate),
}

/// Whether the ancillary data of a discriminator is accepted.
pub type AncillaryPredicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

impl Ancillary {
    pub(crate) fn accepts(&self, data: &[u8]) -> bool {
        match self {
            Self::Refused => false,
            Self::Accepted => true,
            Self::AcceptedIf(predicate) => predicate(data),
        }
    }
}

impl fmt::Debug for Ancillary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "Refused",
            Self::Accepted => "Accepted",
            Self::AcceptedIf(_) => "AcceptedIf(..)",
        })
    }
}

/// Takes one line for each session, without a line end, when its keys are taken into use. With the line a capture of
/// the session can be decrypted: whoever has it can read the session, and forge packets while it lasts.
///
/// A line has these fields, separated by spaces; bytes are hexadecimal:
///
/// | field | |
/// |---|---|
/// | `RTMFP` | |
/// | `initiator` or `responder` | the end of the session that wrote the line |
/// | `session=` | SHA-256 of the Session Key Initiator Component: the Initiator Initial Keying chunk, that a capture shows under the Default Session Key, has the component |
/// | `group=` | the number of the Diffie-Hellman group that the keys come from |
/// | `near-nonce=`, `far-nonce=` | session nonces (RFC 7425 section 4.6.5) |
/// | `encrypt=`, `decrypt=` | AES-128 keys of the packets that this end sends and receives |
/// | `hmac-send=`, `hmac-receive=` | length and key of HMACs as `16:0123…`, or `none` for the checksum |
/// | `sequence-send=`, `sequence-receive=` | `yes` where packets begin with a session sequence number, else `no` |
pub type KeyLog = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a profile can't be made of a configuration.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no group to agree on keys in.
    #[error("no Diffie-Hellman group")]
    NoGroup,
    /// HMACs have 4 to 32 bytes.
    #[error("HMACs have 4 to 32 bytes, not {0}")]
    HmacLength(u8),
    /// The cryptographic library failed.
    #[error("cryptographic library: {0}")]
    Backend(String),
}
