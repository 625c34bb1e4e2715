//! What can be set for an endpoint, and its limits.

use core::time::Duration;

use crate::congestion::{self, Congestion};

/// Largest clear packet in bytes where nothing is known of the path, the cryptography profile's front matter included.
pub const MAX_PACKET: usize = 1200;

/// Largest value of [`SessionConfig::max_packet`]: with all that is added to it, the datagram fits the 8192 bytes that
/// some implementations receive.
pub const MOST_PACKET: usize = 8128;

/// Largest fragment of user data in bytes where nothing is known of the path, and the sender's maximum segment size: a packet less 5 bytes of
/// packet header, 3 of chunk header, 1 of flags and three VLUs of 10.
pub const MAX_FRAGMENT: usize = 1161;

/// Largest clear startup packet in bytes: large certificates and lists of addresses may take several IP fragments.
pub const MAX_STARTUP_PACKET: usize = 4256;

/// Largest metadata of a flow in bytes.
pub const MAX_METADATA: usize = 512;

/// Settings of an endpoint. `Config::default()` suits a server of live media.
#[derive(Clone, Debug)]
pub struct Config {
    /// Settings that each new session begins with. What is below its minimum is raised to it.
    pub session: SessionConfig,
    /// Limits.
    pub limits: Limits,
    /// Makes the congestion controller of each new session.
    pub congestion: fn() -> Box<dyn Congestion>,
    /// Give up opening a session after this.
    pub open_timeout: Duration,
    /// Give up opening a session so long after the network has said of every address that nobody is there. Anybody can
    /// forge that, so an answer needs its time. [`Duration::MAX`]: it is not listened to.
    pub unreachable_timeout: Duration,
    /// As responder: end a session that its far end has not used so long after keying in which it only offered what the
    /// near end requires ([`KeyInfo::only_offered`](crate::crypto::KeyInfo::only_offered)). Others have 95 s, which is
    /// the most.
    pub offered_timeout: Duration,
    /// Whether a Redirect, or a forwarded hello, from a public address may have hellos and answers to them sent to
    /// private ones: of a local network (RFC 1918, RFC 4193), a link or a provider's customers (RFC 6598). Those
    /// from a private address always may. Two peers behind one NAT box that an introducer on the Internet has introduced
    /// need it, unless the box takes packets from inside to its own public address; but it also lets the introducer
    /// have its clients knock at any host of their local networks.
    pub private_redirects: bool,
    /// Bytes that a new sending flow takes before it is no longer writable (advice, not a limit).
    pub send_capacity: usize,
    /// Bytes that a new receiving flow advertises room for.
    pub receive_capacity: usize,
    /// Longest message in bytes that a new receiving flow accepts; a longer one gets the flow rejected.
    pub max_message: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            session: SessionConfig::default(),
            limits: Limits::default(),
            congestion: congestion::rfc7016,
            open_timeout: Duration::from_secs(95),
            unreachable_timeout: Duration::from_secs(1),
            offered_timeout: Duration::from_secs(5),
            private_redirects: false,
            send_capacity: 65_536,
            receive_capacity: 65_536,
            max_message: 65_536,
        }
    }
}

/// What is done with a hello that the far end of a session has forwarded (RFC 7016 section 3.5.1.1.2). The far end is
/// trusted to name the address of somebody who asked for it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum FIHelloMode {
    /// Nothing.
    #[default]
    Ignore,
    /// The initiator gets an RHello, as if its hello had come by itself.
    RHello,
    /// The initiator gets an Implied Redirect, and has to send its hello here.
    Redirect,
}

/// Settings of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionConfig {
    /// Ping the far end after so long without a packet with user data or acknowledgements. At least 1 s.
    pub keepalive: Duration,
    /// Close the session when the far end was silent for so long although it should have answered. At least 1 s.
    pub retransmit_limit: Duration,
    /// End the session when it shows no sign of life for so long after another far end opened a session from the
    /// same address: a peer that restarted with another identity. At least 1 s.
    pub challenge_limit: Duration,
    /// Close the session when it has had no flow for so long. At least 1 s.
    pub idle_limit: Duration,
    /// Differentiated services code point of its packets, 0 to 63.
    pub dscp: u8,
    /// Take it for congestion when packets wait this long in queues: half of it begins to slow bulk data down, and
    /// reaching it counts as a loss. `None`: only losses and marks count, and where queues are long they get full.
    pub congestion_delay: Option<Duration>,
    /// What to do with hellos that the far end forwards.
    pub fihello: FIHelloMode,
    /// Bytes of received messages and fragments that all its flows may hold together; to complete a message, one flow at
    /// a time may hold as much as a message may have beyond that.
    pub receive_limit: usize,
    /// Bytes that the receiving flows themselves and their holes may cost beside: some 400 a flow, 32 a hole.
    pub overhead_limit: usize,
    /// Largest clear packet in bytes, as [`MAX_PACKET`], that is tried where the path may take it (RFC 7016 section
    /// 3.5.4.3): from [`MAX_PACKET`], at which there is nothing to find out, to [`MOST_PACKET`]. Datagrams are longer by
    /// the session id, padding and authentication code, some 20 to 50 bytes; the default suits Ethernet with IPv6.
    pub max_packet: usize,
    /// How long a size of packets that was found is good for; then it is verified, and larger ones are tried. At least
    /// 1 s.
    pub mtu_interval: Duration,
    /// Whether the session follows its far end to other addresses.
    pub mobility: Mobility,
}

/// Whether a session follows its far end to other addresses, each of which has to prove itself first (RFC 7016 section
/// 3.5.4.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Mobility {
    /// It does. Where packets carry no authentication code, one forged packet in 65,536 is taken for the far end's; but
    /// even that has an address only asked, and the far end's keys are needed to answer.
    Always,
    /// It does when received packets carry a cryptographic authentication code.
    #[default]
    Authenticated,
    /// It does not.
    Never,
}

impl SessionConfig {
    /// Raises what is below its minimum, and lowers what is above its maximum.
    pub(crate) fn normalize(&mut self) {
        let least = Duration::from_secs(1);
        self.keepalive = self.keepalive.max(least);
        self.retransmit_limit = self.retransmit_limit.max(least);
        self.idle_limit = self.idle_limit.max(least);
        self.challenge_limit = self.challenge_limit.max(least);
        self.mtu_interval = self.mtu_interval.max(least);
        self.max_packet = self.max_packet.clamp(MAX_PACKET, MOST_PACKET);
        self.dscp &= 0x3f;
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(3600),
            retransmit_limit: Duration::from_secs(120),
            challenge_limit: Duration::from_secs(10),
            idle_limit: Duration::from_secs(300),
            dscp: 0,
            congestion_delay: Some(Duration::from_millis(100)),
            fihello: FIHelloMode::Ignore,
            receive_limit: 192 * 1024,
            overhead_limit: 192 * 1024,
            max_packet: 1408,
            mtu_interval: Duration::from_secs(600),
            mobility: Mobility::default(),
        }
    }
}

/// Bounds on what other ends can make an endpoint hold or do. Each refusal is counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Sessions, opening ones included.
    pub sessions: usize,
    /// Sessions that others of one /24 or /56 prefix have opened, so that no network takes all there are.
    pub prefix_sessions: usize,
    /// Sessions that others opened and have not used yet. They are forgotten after 95 s.
    pub unproven_sessions: usize,
    /// The same, of one /24 or /56 prefix.
    pub unproven_prefix: usize,
    /// Responder handshakes whose public-key work waits or runs. One /24 or /56 prefix may have no more of them than
    /// are left for all others.
    pub handshakes: usize,
    /// Receiving flows of a session, finished ones that linger included.
    pub receive_flows: usize,
    /// Sending flows of a session, finished ones that linger included.
    pub send_flows: usize,
    /// Ranges of received sequence numbers of a flow (holes plus one).
    pub ranges: usize,
    /// Bytes that a sending flow queues, overhead included; writing more fails.
    pub send_queue: usize,
    /// The same for all flows of a session together.
    pub session_send_queue: usize,
    /// The same for all flows of the endpoint together.
    pub total_send_queue: usize,
    /// Bytes that all sessions together hold of what they received, with what flows and holes cost; one message may
    /// come on top ([`Config::max_message`] as it is when the endpoint is made). As the limit comes near, windows
    /// shrink; at the limit no flow is taken and sessions go on in turn, one message at a time.
    pub receive_total: usize,
    /// Longest metadata of an offered flow in bytes, at most [`MAX_METADATA`]; flows with more are rejected.
    pub metadata: usize,
    /// Early packets kept while keying.
    pub early_packets: usize,
    /// Candidate addresses that an opening session learns from Redirects.
    pub redirect_addresses: usize,
    /// Events about hellos for others that wait to be polled.
    pub watched_hellos: usize,
    /// Packets queued that others ask for or that are repeated anyway (hellos, keying, ping replies).
    pub control_queue: usize,
    /// Ping replies of a session a second.
    pub pings_per_second: u32,
    /// Addresses asked whether they are a far end's, all sessions together, a second. A session asks one a second at
    /// most.
    pub mobility_checks: u32,
    /// Errors from the network looked at, a second: anybody can forge them.
    pub path_errors: u32,
    /// Bytes of packets of a session that came in fragments and are not complete, with 64 more a fragment. Larger
    /// packets than this are not put together.
    pub packet_fragments: usize,
    /// Startup packets that come in fragments.
    pub startup_fragments: FragmentLimits,
    /// Rates of answers to hellos.
    pub hellos: HelloLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 65_536,
            prefix_sessions: 16_384,
            unproven_sessions: 8192,
            unproven_prefix: 512,
            handshakes: 256,
            receive_flows: 1024,
            send_flows: 1024,
            ranges: 256,
            send_queue: 32 * 1024 * 1024,
            session_send_queue: 64 * 1024 * 1024,
            total_send_queue: 1024 * 1024 * 1024,
            receive_total: 1024 * 1024 * 1024,
            metadata: MAX_METADATA,
            early_packets: 18,
            redirect_addresses: 24,
            watched_hellos: 256,
            control_queue: 1024,
            pings_per_second: 20,
            mobility_checks: 1000,
            path_errors: 100,
            packet_fragments: 16 * 1024,
            startup_fragments: FragmentLimits::default(),
            hellos: HelloLimits::default(),
        }
    }
}

/// What is kept of startup packets of which fragments are missing (RFC 7016 section 3.4). They are given up when nothing
/// new has come for a second, or after 60 seconds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FragmentLimits {
    /// Packets.
    pub packets: usize,
    /// Packets from one /24 or /56 prefix.
    pub prefix_packets: usize,
    /// Bytes of all of them, 64 for each fragment added.
    pub bytes: usize,
    /// Bytes of a packet. The RFC suggests 65,536 where the size to expect is not known; no packet that this library
    /// sends is longer than [`MAX_STARTUP_PACKET`], and what strangers send in one is kept with their sessions.
    pub packet_bytes: usize,
}

impl Default for FragmentLimits {
    fn default() -> Self {
        Self { packets: 256, prefix_packets: 32, bytes: 1024 * 1024, packet_bytes: 8192 }
    }
}

/// How many hellos are answered: (burst, each second). A hello of at least `full_size` bytes whose answer is at most
/// three times as long draws on the large buckets, any other on the small ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HelloLimits {
    /// Bytes of the hello's datagram from which on the large buckets apply.
    pub full_size: usize,
    /// All sources together.
    pub total: (u32, u32),
    /// Each /24 or /56 prefix.
    pub prefix: (u32, u32),
    /// Short hellos and those with long answers, all sources together.
    pub short_total: (u32, u32),
    /// The same, each prefix.
    pub short_prefix: (u32, u32),
    /// Answers to hellos that others forward, to all addresses together.
    pub forwarded_total: (u32, u32),
    /// The same, to each /24 or /56 prefix.
    pub forwarded_prefix: (u32, u32),
    /// Prefixes remembered; beyond, all new ones share one bucket.
    pub prefixes: usize,
    /// Whether hellos for others, which the endpoint's owner watches, are limited as those that the endpoint answers, and
    /// take from the same buckets. Who limits them himself says no: they are all reported then, as far as there is room.
    pub limit_watched: bool,
}

impl Default for HelloLimits {
    fn default() -> Self {
        Self {
            full_size: 60,
            total: (4096, 2000),
            prefix: (256, 100),
            short_total: (100, 100),
            short_prefix: (20, 5),
            forwarded_total: (256, 100),
            forwarded_prefix: (20, 10),
            prefixes: 4096,
            limit_watched: true,
        }
    }
}
