use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use rtmfp::crypto::Profile;
use rtmfp_base::Action;
use rtmfp_media::amf3;
use rtmfp_netconn::{LinkConfig, RtmpConfig};

use super::{LoadConfig, RegistrationConfig, Worker};

/// What a listener or a destination speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// RTMP over TCP.
    Rtmp,
    /// The same, sent in its plainest form, for peers with bugs ([`RtmpConfig::simple`]). Received as always.
    RtmpSimple,
    /// RTMFP over UDP.
    Rtmfp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::RtmpSimple => "rtmp-simple",
            Self::Rtmfp => "rtmfp",
        })
    }
}

/// Where clients are listened for. Shown as `rtmp://127.0.0.1:1935` or `rtmfp://[::1]:1935?legacy=1`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listen {
    /// What clients speak.
    pub protocol: Protocol,
    /// The address to bind; port 0 is any free one.
    pub address: SocketAddr,
    /// Whether peers of the installed base may come, at the price of what protects their sessions. Others lose
    /// nothing by it.
    pub legacy: bool,
}

/// Where clients are relayed to. Shown as `rtmfp://relay.example:1935` or `rtmp://[2001:db8::1]:1936`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its name or address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it may be of the installed base, as [`Listen::legacy`].
    pub legacy: bool,
}

impl Listen {
    /// Tells people where it is.
    pub(super) fn announcement(self) -> Action {
        // Others put it behind their `--to`, where the setting would say something else.
        Action::Announce(format!("listening on {}", Self { legacy: false, ..self }))
    }

    /// What to tell people when an address cannot be had.
    pub fn failure(self, error: &impl fmt::Display) -> String {
        let error = error.to_string();
        let hint = if error.to_ascii_lowercase().contains("in use") { IN_USE } else { "" };
        format!("cannot listen on {self}: {error}{hint}")
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.protocol, self.address, setting(self.protocol, self.legacy))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]:{}", self.protocol, self.host, self.port)?,
            false => write!(f, "{}://{}:{}", self.protocol, self.host, self.port)?,
        }
        f.write_str(setting(self.protocol, self.legacy))
    }
}

/// What may help where another program has an address.
const IN_USE: &str = "; if it is another relay that only watches for clients at the wrong port, start that one with \
                      --no-wrong-port-watch, or after this one";

/// What stands behind an address.
const fn setting(protocol: Protocol, legacy: bool) -> &'static str {
    match (protocol, legacy) {
        (Protocol::Rtmfp, true) => "?legacy=1",
        _ => "",
    }
}

/// Settings of a relay.
#[derive(Clone, Debug)]
pub struct RelayConfig {
    /// Where clients are listened for.
    pub listen: Vec<Listen>,
    /// Where each of them is relayed to.
    pub to: Destination,
    /// All secrets and random numbers but those of the cryptography profiles come from it: fill it from the system in
    /// a program, from the test's number in a simulation.
    pub seed: [u8; 32],
    /// Whether `--legacy` is worth naming to who may need it: it was not given, and no address comes with a setting that
    /// goes before it. It changes nothing but what is said.
    pub names_legacy_switch: bool,
    /// The links with clients and the destination: lifetimes of media, limits, patience.
    pub link: LinkConfig,
    /// RTMP on both sides; the limits in it are those of `link`.
    pub rtmp: RtmpConfig,
    /// Differentiated services code point of what is sent, 0 to 63.
    pub dscp: u8,
    /// Bytes of messages that a client may send before its connect was accepted. Default 32 KiB.
    pub max_early_bytes: usize,
    /// Bytes of messages that are no media (commands, data, shared objects) that a client may send each second, once its
    /// connect was accepted; at once four times as many, or the longest message. One that sends more is closed. Default
    /// 2 MiB.
    pub max_talk: usize,
    /// Clients at a time; more are turned away. Default 10,000.
    pub max_clients: usize,
    /// Clients from one IP address at a time. Default 1000.
    pub max_clients_per_address: usize,
    /// Commands of a client that are waited for at a time so that the relay can answer them in place of the
    /// destination, see [`RelayTimeouts::courtesy`]. Of more, the oldest is forgotten. Default 32.
    pub max_courtesies: usize,
    /// What a command or data message with AMF3 in it may demand, to be converted to AMF0 for an RTMP destination. One
    /// that demands more is passed on as it came.
    pub amf3: amf3::Limits,
    /// Whether the TCP port with the number of an RTMFP listener's UDP port, and the reverse, are bound as well where
    /// they are free, only to tell in the log of those who come to the wrong one. A port that the destination may have
    /// on this machine is left alone. Default true.
    pub watch_other_ports: bool,
    /// How often at most that is told, for each such port. Default every 10 s.
    pub wrong_port_interval: Duration,
    /// Patience with others.
    pub timeouts: RelayTimeouts,
    /// What its load is measured by, where that is told to anybody.
    pub load: LoadConfig,
    /// Which redirectors it registers with. Default: none.
    pub registration: RegistrationConfig,
    /// Which of several workers it is, if there are several.
    pub worker: Option<WorkerConfig>,
}

/// A relay that is one of several, each with sockets of its own, behind a [`Front`](super::Front).
///
/// It listens for RTMFP clients on ports of its own, to which the front sends them, and shares the ports of RTMP listeners
/// with the others, which is for the host to allow. The limits of clients hold for all together. It announces nothing, and
/// watches no other ports: the front does.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Which one.
    pub worker: Worker,
    /// The port for each listener, in their order; those of RTMP count for nothing. 0, and where there is none: any free one.
    pub ports: Vec<u16>,
}

impl RelayConfig {
    /// The default settings but for these.
    pub fn new(listen: Vec<Listen>, to: Destination, seed: [u8; 32]) -> Self {
        Self {
            listen,
            to,
            seed,
            names_legacy_switch: true,
            link: LinkConfig::default(),
            rtmp: RtmpConfig { answer_pings: false, ..RtmpConfig::default() },
            dscp: 0,
            max_early_bytes: 32 << 10,
            max_talk: 2 << 20,
            max_clients: 10_000,
            max_clients_per_address: 1000,
            max_courtesies: 32,
            amf3: amf3::Limits::DEFAULT,
            watch_other_ports: true,
            wrong_port_interval: Duration::from_secs(10),
            timeouts: RelayTimeouts::default(),
            load: LoadConfig::default(),
            registration: RegistrationConfig::default(),
            worker: None,
        }
    }

    /// How many bytes beside media a client may send at once, and each second.
    pub(super) fn talk(&self) -> (u32, u32) {
        let burst = self.max_talk.saturating_mul(4).max(self.link.trusted.message_bytes);
        let limit = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        (limit(burst), limit(self.max_talk))
    }

    /// How many sockets a client holds, at most: its own connection if it comes by RTMP, and what leads to the destination.
    pub fn sockets_a_client(&self) -> usize {
        let has_own = self.listen.iter().any(|listen| listen.protocol != Protocol::Rtmfp);
        // Outgoing RTMFP has a socket for each family of addresses that the destination has.
        let may_have_both = self.to.protocol == Protocol::Rtmfp && self.to.host.parse::<IpAddr>().is_err();
        1 + usize::from(has_own) + usize::from(may_have_both)
    }
}

/// How long a relay waits for others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RelayTimeouts {
    /// For a client's `connect`, once the handshake is complete (which has the time of [`RelayConfig::rtmp`]). Default
    /// 10 s.
    pub connect: Duration,
    /// For the destination's name, connection and handshake. Default 8 s.
    pub open: Duration,
    /// For the destination's answer to `connect`, from when the client asked. Default 9.5 s.
    pub answer: Duration,
    /// For one address of an RTMP destination, before the next one is tried as well. Default 2.5 s.
    pub address: Duration,
    /// For the destination's answer to a command that old programs wait for and few servers know, such as `FCPublish`
    /// or `_checkbw`; then the relay answers it. Default 2 s.
    pub courtesy: Duration,
    /// For streams that are running when the relay is to end; then they are ended, in order. Default: as long as they run.
    pub drain: Duration,
    /// For clients whose streams carry nothing when the relay is to end, since they last did. Default 30 s.
    pub drain_idle: Duration,
    /// RTMFP: for a peer that should have answered; with the keep-alive period it is what a dead peer may cost.
    /// Default 15 s.
    pub retransmit: Duration,
}

impl Default for RelayTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            open: Duration::from_secs(8),
            answer: Duration::from_millis(9500),
            address: Duration::from_millis(2500),
            courtesy: Duration::from_secs(2),
            drain: Duration::MAX,
            drain_idle: Duration::from_secs(30),
            retransmit: Duration::from_secs(15),
        }
    }
}

/// Where a relay gets the cryptography profiles of its endpoints from.
pub trait Profiles: 'static {
    /// That of a listener.
    ///
    /// # Errors
    /// Why there is none; the relay ends.
    fn listener(&mut self, listen: &Listen) -> Result<Box<dyn Profile>, String>;

    /// That of an endpoint by which one client is relayed to a destination. Its certificate has to be unique.
    ///
    /// # Errors
    /// Why there is none; the client is told that its connection failed.
    fn outgoing(&mut self, to: &Destination) -> Result<Box<dyn Profile>, String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_may_be_another_relay_s_and_the_switch_is_named() {
        let listen =
            Listen { protocol: Protocol::Rtmp, address: ([10, 0, 0, 1], 1935).into(), legacy: false };
        let taken = listen.failure(&"Address already in use (os error 98)");
        assert!(
            taken.starts_with("cannot listen on rtmp://10.0.0.1:1935: Address already in use"),
            "{taken}"
        );
        assert!(taken.contains("--no-wrong-port-watch"), "{taken}");
        assert_eq!(listen.failure(&"no"), "cannot listen on rtmp://10.0.0.1:1935: no");
    }

    #[test]
    fn a_client_holds_a_socket_for_each_side_and_family_and_shares_that_of_an_rtmfp_listener() {
        let count = |listen: &[Protocol], to, host: &str| {
            let address = ([127, 0, 0, 1], 0).into();
            let listen = listen.iter().map(|&protocol| Listen { protocol, address, legacy: false });
            let to = Destination { protocol: to, host: host.to_owned(), port: 1935, legacy: false };
            RelayConfig::new(listen.collect(), to, [0; 32]).sockets_a_client()
        };
        assert_eq!(count(&[Protocol::Rtmfp], Protocol::Rtmp, "server.example"), 1);
        assert_eq!(count(&[Protocol::Rtmp], Protocol::Rtmp, "server.example"), 2);
        assert_eq!(count(&[Protocol::Rtmfp, Protocol::RtmpSimple], Protocol::RtmpSimple, "::1"), 2);
        assert_eq!(count(&[Protocol::Rtmfp], Protocol::Rtmfp, "::1"), 1);
        assert_eq!(count(&[Protocol::Rtmp], Protocol::Rtmfp, "192.0.2.1"), 2);
        assert_eq!(count(&[Protocol::Rtmp], Protocol::Rtmfp, "server.example"), 3);
    }
}
