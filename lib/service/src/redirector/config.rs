use core::net::SocketAddr;
use core::time::Duration;

use rtmfp::HelloLimits;
use rtmfp_redirect::{Rate, RedirectLimits, ServerConfig, Users};

/// Settings of a redirector.
#[derive(Clone, Debug)]
pub struct RedirectorConfig {
    /// The addresses to bind; port 0 is any free one. They all belong to one redirector: a registrant needs to know one
    /// of them only.
    pub listen: Vec<SocketAddr>,
    /// What it does.
    pub mode: RedirectorMode,
    /// All secrets and random numbers but those of the cryptography profile come from it: fill it from the system in a
    /// program, from the test's number in a simulation.
    pub seed: [u8; 32],
    /// A session that has no flow for so long is closed. Default 30 s.
    pub idle: Duration,
    /// Sessions besides those of registrants: those that open, or have just lost their registration. Default 4096.
    pub spare_sessions: usize,
    /// Bytes of buffer to ask the system for, for each socket and direction; `None`, the default, leaves the system's.
    pub socket_buffer: Option<usize>,
}

/// What a redirector does.
#[derive(Clone, Debug)]
pub enum RedirectorMode {
    /// Redirects clients to those who have registered.
    Targets {
        /// How.
        server: Box<ServerConfig>,
        /// Who may register; without users: everybody.
        users: Users,
    },
    /// Redirects everybody to the same addresses. Its profile should be selected by no discriminator.
    Fixed {
        /// The addresses.
        addresses: Vec<SocketAddr>,
        /// Each Redirect begins with the next of them.
        rotate: bool,
        /// Everybody gets those of the family only that he comes by.
        same_family: bool,
        /// How much is sent in answer to hellos.
        limits: RedirectLimits,
    },
}

impl RedirectorConfig {
    /// The default settings but for these.
    pub fn new(listen: Vec<SocketAddr>, mode: RedirectorMode, seed: [u8; 32]) -> Self {
        let idle = Duration::from_secs(30);
        Self { listen, mode, seed, idle, spare_sessions: 4096, socket_buffer: None }
    }

    /// Settings of its endpoint.
    pub(super) fn endpoint(&self) -> rtmfp::Config {
        let mut config = rtmfp::Config::default();
        config.session.idle_limit = self.idle;
        config.limits.sessions = self.spare_sessions;
        // One flow of the protocol, one that takes its place, and what others may try.
        config.limits.receive_flows = 8;
        config.limits.send_flows = 8;
        config.limits.watched_hellos = 4096;
        config.limits.control_queue = 8192;
        match &self.mode {
            RedirectorMode::Targets { server, .. } => {
                let limits = &server.limits;
                server.configure_sessions(&mut config.session);
                config.limits.sessions = limits.clients.saturating_add(self.spare_sessions);
                config.receive_capacity = 2 * limits.message_bytes;
                config.max_message = limits.message_bytes;
                config.limits.hellos = hello_limits(&limits.redirects);
            }
            RedirectorMode::Fixed { limits, .. } => config.limits.hellos = hello_limits(limits),
        }
        config.limits.prefix_sessions = config.limits.sessions / 2;
        config
    }
}

/// What comes to a redirector are hellos for others, which it limits by itself; so a flood of them takes nothing from
/// those who want to register.
fn hello_limits(limits: &RedirectLimits) -> HelloLimits {
    let pair = |rate: Rate| (rate.burst, rate.per_second);
    let (total, prefix) = (pair(limits.total), pair(limits.prefix));
    HelloLimits { total, prefix, prefixes: limits.prefixes, limit_watched: false, ..HelloLimits::default() }
}
