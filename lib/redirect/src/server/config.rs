use core::net::SocketAddr;
use core::time::Duration;

use rtmfp::{Endpoint, MAX_STARTUP_PACKET, SessionConfig};
use rtmfp_base::Tag;

use super::answers::Hello;
use crate::limiter::{HelloLimiter, Rate, limiter};
use crate::pools::PoolConfig;
use crate::selection::{Policy, SelectionConfig};

/// Settings of a redirector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerConfig {
    /// How targets are chosen.
    pub selection: SelectionConfig,
    /// How many targets a client is sent to, of which it takes the one that answers first. `None`, the default: 2, so that
    /// one that has just died delays nobody; 1 by [`Policy::Hash`], where the target matters. At least 1.
    pub targets: Option<usize>,
    /// What is hashed by [`Policy::Hash`].
    pub key: HashKey,
    /// Which targets serve what. Default: all serve all.
    pub pools: Vec<PoolConfig>,
    /// Addresses that every Redirect begins with.
    pub static_addresses: Vec<SocketAddr>,
    /// Send clients only to addresses of the family that they come by. Default no.
    pub same_family: bool,
    /// Forward hellos also to targets of which the client was told no address of the family that it comes by, and choose those
    /// as well that have named no address at all. Default no.
    pub forward_any_family: bool,
    /// In turns: have the turns go another way so often. Default 5 s; 0 never.
    pub shuffle_interval: Duration,
    /// How long those who authenticate wrongly wait to be told. Default 2 s.
    pub bad_auth_delay: Duration,
    /// A target with a load factor as high gets no more clients. Default [`FULL_LOAD`](crate::wire::FULL_LOAD).
    pub full_load: u64,
    /// Ping a target that was silent for so long. Default 4 s.
    pub keepalive: Duration,
    /// A target that was silent for so long, although it was pinged, gets no clients until it is heard again. Default 6 s.
    pub silent_after: Duration,
    /// A target that does not answer for so long is lost. Default 10 s.
    pub retransmit_limit: Duration,
    /// What marks the flows of registrants among those of its endpoint: no other flow may have it. Default 2⁶⁴ − 2.
    pub tag: Tag,
    /// Limits.
    pub limits: ServerLimits,
}

/// What of a client is hashed, where targets are chosen by [`Policy::Hash`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum HashKey {
    /// The application in its URI.
    #[default]
    Application,
    /// The whole URI.
    Uri,
    /// The value of this parameter in the query of its URI, which clients are to set; the application where there is none.
    Parameter(String),
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            selection: SelectionConfig::default(),
            targets: None,
            key: HashKey::default(),
            pools: Vec::new(),
            static_addresses: Vec::new(),
            same_family: false,
            forward_any_family: false,
            shuffle_interval: Duration::from_secs(5),
            bad_auth_delay: Duration::from_secs(2),
            full_load: crate::wire::FULL_LOAD,
            keepalive: Duration::from_secs(4),
            silent_after: Duration::from_secs(6),
            retransmit_limit: Duration::from_secs(10),
            tag: Tag(u64::MAX - 1),
            limits: ServerLimits::default(),
        }
    }
}

impl ServerConfig {
    pub(crate) fn targets(&self) -> usize {
        let usual = if self.selection.policy == Policy::Hash { 1 } else { 2 };
        self.targets.unwrap_or(usual).max(1)
    }

    /// Sets what the sessions of its endpoint need, so that targets that are silent or lost are found out.
    pub fn configure_sessions(&self, session: &mut SessionConfig) {
        session.keepalive = self.keepalive;
        session.retransmit_limit = self.retransmit_limit;
    }
}

/// Limits of a redirector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerLimits {
    /// Registrants at a time. Default 16,384.
    pub clients: usize,
    /// Those of them that have not authenticated. When there are as many, one more takes the place of the oldest one from the
    /// /24 or /56 prefix that most of them are from. Default 1024.
    pub unauthenticated: usize,
    /// Those of them that may be from one prefix; one more takes the place of the oldest one. `None`, the default: a
    /// sixteenth of all, but at least 8.
    pub unauthenticated_per_prefix: Option<usize>,
    /// They have so long for it. Default 10 s.
    pub authenticate: Duration,
    /// Attempts to authenticate in one session at once, and one more each second; one beyond that is as good as a wrong one.
    /// Default 16.
    pub attempts: u32,
    /// Wrong attempts from a /24 or /56 prefix; beyond that the session is closed at once. Default 30, one more a second.
    pub wrong_attempts: Rate,
    /// Addresses that a registrant may name; more are ignored. Default 16.
    pub addresses: usize,
    /// Messages of the registrants in one session, whose beginnings count as well; one that sends more is closed. Default
    /// 100, 20 more a second.
    pub messages: Rate,
    /// Longest message of a registrant in bytes; one that sends a longer one is closed. Default 8192.
    pub message_bytes: usize,
    /// Longest user data of a registrant in bytes; longer ones are ignored. Default 4096.
    pub user_data: usize,
    /// Events that wait to be polled; more are not told. Default 4096.
    pub events: usize,
    /// Answers to hellos.
    pub redirects: RedirectLimits,
}

impl ServerLimits {
    pub(super) fn unauthenticated_per_prefix(&self) -> usize {
        self.unauthenticated_per_prefix.unwrap_or_else(|| (self.unauthenticated / 16).max(8))
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            clients: 16_384,
            unauthenticated: 1024,
            unauthenticated_per_prefix: None,
            authenticate: Duration::from_secs(10),
            attempts: 16,
            wrong_attempts: Rate::new(30, 1),
            addresses: 16,
            messages: Rate::new(100, 20),
            message_bytes: 8192,
            user_data: 4096,
            events: 4096,
            redirects: RedirectLimits::default(),
        }
    }
}

/// How much is sent in answer to hellos, whose senders have proved nothing: an answer is a Redirect, and for each target that
/// it names a forwarded hello. A Redirect has at most three times the bytes of the hello, but at least one address. The
/// endpoint has limits of its own before these, unless [`HelloLimits::limit_watched`](rtmfp::HelloLimits::limit_watched) says
/// otherwise.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectLimits {
    /// Answers to all. Default 8192, 4000 more a second.
    pub total: Rate,
    /// Answers besides to hellos that come again after they were not answered because all were too many. Clients repeat
    /// theirs, others with forged addresses rarely do. Default 8192, 4000 more a second.
    pub again: Rate,
    /// Answers to a /24 or /56 prefix. Default 256, 100 more a second.
    pub prefix: Rate,
    /// Prefixes remembered; beyond, all new ones share one rate. Default 16,384.
    pub prefixes: usize,
    /// Bytes of addresses in a Redirect: 7 each by IPv4, 19 by IPv6. Longer lists are shortened, those of single targets
    /// first. Default 512.
    pub bytes: usize,
}

impl Default for RedirectLimits {
    fn default() -> Self {
        Self {
            total: Rate::new(8192, 4000),
            again: Rate::new(8192, 4000),
            prefix: Rate::new(256, 100),
            prefixes: 16_384,
            bytes: 512,
        }
    }
}

/// Bytes of a Redirect's packet besides the tag and the addresses: packet and chunk headers, the length of the tag, the
/// profile's front.
const REDIRECT_OVERHEAD: usize = 16;

/// Bytes of an address of IPv6.
const LONGEST_ADDRESS: usize = 19;

impl RedirectLimits {
    pub(crate) fn limiter(&self, secret: u128) -> HelloLimiter {
        HelloLimiter::new(limiter(self.total, self.prefix, self.prefixes), self.again, secret)
    }

    /// Bytes for addresses in the answer to a hello.
    pub(crate) fn room(&self, endpoint: &mut Endpoint, hello: &Hello<'_>) -> usize {
        let packet = MAX_STARTUP_PACKET.saturating_sub(REDIRECT_OVERHEAD + hello.tag.len());
        let most = self.bytes.min(packet);
        if hello.len == 0 {
            // A forwarder has brought it, who is known.
            return most;
        }
        // One address has three times the bytes of no hello that there is.
        most.min(endpoint.fair_redirect(hello.len, hello.tag).max(LONGEST_ADDRESS))
    }
}
