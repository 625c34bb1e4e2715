use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use rtmfp::FIHelloMode;
use rtmfp::wire::Address;
use rtmfp_base::Tag;
use rtmfp_flash::Epd;

use crate::auth::Users;

/// A redirector to register with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Redirector {
    /// The discriminator that selects it.
    pub epd: Bytes,
    /// Where to look for it: addresses of one redirector. Several redirectors of one name are several of these.
    pub addresses: Vec<SocketAddr>,
}

impl Redirector {
    /// The one with this host name, to be found at any of these addresses.
    pub fn named(name: &str, addresses: Vec<SocketAddr>) -> Self {
        Self { epd: Epd::hostname(name).encode().into(), addresses }
    }
}

/// A redirector among those of a [`Registrant`](crate::Registrant), in the order in which they were added.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RedirectorId(pub(crate) usize);

impl RedirectorId {
    /// Its number, from 0.
    pub const fn number(self) -> usize {
        self.0
    }
}

/// Settings of a registrant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RegistrantConfig {
    /// By which names it authenticates, at all redirectors; they ignore those that they do not know.
    pub users: Users,
    /// Ping a redirector that was silent for so long. Default 10 s.
    pub keepalive: Duration,
    /// Give a redirector up that does not answer for so long. Default 10 s.
    pub retransmit_limit: Duration,
    /// What to do with the hellos of clients that redirectors forward. Default: answer the client.
    pub fihello: FIHelloMode,
    /// Try a redirector again so long after the last attempt began, however it ended. The first attempts after a registration,
    /// and at the beginning, follow each other more quickly, because a redirector that is restarted is soon back: after
    /// [`Self::LEAST_RECONNECT`], then after twice as long each time, until it is as long as this. Default 30 s, at least
    /// [`Self::LEAST_RECONNECT`].
    pub reconnect: Duration,
    /// Tell of the load so often at most; of several changes in between the last one is told. Default 0.
    pub load_interval: Duration,
    /// Longest message in bytes that a redirector may send. Default 8192.
    pub max_message: usize,
    /// What marks the flows of the registrant among those of its endpoint: no other flow may have it. Default
    /// 2⁶⁴ − 1.
    pub tag: Tag,
}

impl RegistrantConfig {
    /// No redirector is tried again sooner than so long after the last attempt began.
    pub const LEAST_RECONNECT: Duration = Duration::from_secs(5);

    /// How long after the beginning of an attempt the next one begins, when there were so many before it.
    pub(super) fn pause_after(&self, attempts: u32) -> Duration {
        let doubled = 1u32
            .checked_shl(attempts)
            .map_or(Duration::MAX, |times| Self::LEAST_RECONNECT.saturating_mul(times));
        doubled.min(self.reconnect.max(Self::LEAST_RECONNECT))
    }
}

impl Default for RegistrantConfig {
    fn default() -> Self {
        Self {
            users: Users::new(),
            keepalive: Duration::from_secs(10),
            retransmit_limit: Duration::from_secs(10),
            fihello: FIHelloMode::RHello,
            reconnect: Duration::from_secs(30),
            load_interval: Duration::ZERO,
            max_message: 8192,
            tag: Tag(u64::MAX),
        }
    }
}

/// How things stand with a redirector.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum RegistrantState {
    /// Nothing was done yet.
    #[default]
    Idle,
    /// It is looked for.
    Connecting,
    /// There is a session with it, and it was told what there is to tell. Whether it has accepted that is not known yet.
    Connected,
    /// It has accepted this end.
    Registered,
    /// It was not found, has gone, or refused; it will be tried again.
    Disconnected,
    /// It refused because of the authentication; it will be tried again.
    BadAuth,
    /// It turned out to be one that is connected already, found at other addresses; it will be tried again, as that may
    /// change.
    Duplicate,
    /// The registrant was closed.
    Closed,
}

/// What a registrant tells its owner.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RegistrantEvent {
    /// Things stand differently with a redirector.
    State {
        /// Which redirector.
        redirector: RedirectorId,
        /// How things stand now.
        state: RegistrantState,
        /// Where it is, while there is a session with it.
        address: Option<SocketAddr>,
    },
    /// A redirector says where it sees this end. That holds until it is disconnected.
    Reflexive {
        /// Which redirector.
        redirector: RedirectorId,
        /// The address.
        address: Address,
    },
    /// A redirector has sent something.
    UserData {
        /// Which redirector.
        redirector: RedirectorId,
        /// What it sent.
        data: Bytes,
    },
}

/// Why data was not sent to a redirector.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UserDataError {
    /// There is no session with it.
    #[error("not connected")]
    NotConnected,
    /// Too much waits to be sent.
    #[error("too much waits to be sent")]
    Full,
}
