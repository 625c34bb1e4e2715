use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

use rtmfp::crypto::Profile;
use rtmfp_netconn::{LinkConfig, RtmpConfig};

/// What a listener or a destination speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Protocol {
    /// RTMP over TCP.
    Rtmp,
    /// RTMFP over UDP.
    Rtmfp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::Rtmfp => "rtmfp",
        })
    }
}

/// Where clients are listened for, such as `rtmp://127.0.0.1:1935` or `rtmfp://[::]`. Without port it is 1935; port
/// 0 is any free one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listen {
    /// What clients speak.
    pub protocol: Protocol,
    /// The address to bind.
    pub address: SocketAddr,
}

/// Where clients are relayed to, such as `rtmfp://relay.example` or `rtmp://[2001:db8::1]:1936`. Without port it is
/// 1935.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Destination {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its name or address, IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Why text is no address of a listener or destination.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `rtmp://` or `rtmfp://`.
    #[error("it has to begin with rtmp:// or rtmfp://")]
    Scheme,
    /// There is no host.
    #[error("the host is missing")]
    NoHost,
    /// A listener's host is a name.
    #[error("a listener needs an IP address, IPv6 in brackets, not {0:?}")]
    NotAnAddress(String),
    /// The port is no number, or that of a destination is 0.
    #[error("{0:?} is no port")]
    Port(String),
    /// There is something behind host and port.
    #[error("there must be nothing behind host and port, but there is {0:?}")]
    Path(String),
}

const DEFAULT_PORT: u16 = 1935;

/// Takes a URL apart: protocol, host without brackets, port.
fn split(url: &str) -> Result<(Protocol, &str, u16), UrlError> {
    let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
    let protocol = match scheme.to_ascii_lowercase().as_str() {
        "rtmp" => Protocol::Rtmp,
        "rtmfp" => Protocol::Rtmfp,
        _ => return Err(UrlError::Scheme),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if let Some(at) = rest.find(['/', '?', '#', '@']) {
        return Err(UrlError::Path(rest[at..].to_owned()));
    }
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(UrlError::NoHost)?,
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().map_err(|_| UrlError::Port(port.to_owned()))?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return Err(UrlError::Port(port.to_owned())),
    };
    Ok((protocol, host, port))
}

impl FromStr for Listen {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (protocol, host, port) = split(url)?;
        let ip: IpAddr = host.parse().map_err(|_| UrlError::NotAnAddress(host.to_owned()))?;
        Ok(Self { protocol, address: (ip, port).into() })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol, self.address)
    }
}

impl FromStr for Destination {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (protocol, host, port) = split(url)?;
        if port == 0 {
            return Err(UrlError::Port(port.to_string()));
        }
        Ok(Self { protocol, host: host.to_owned(), port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "{}://[{}]:{}", self.protocol, self.host, self.port),
            false => write!(f, "{}://{}:{}", self.protocol, self.host, self.port),
        }
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
    /// The links with clients and the destination: lifetimes of media, limits, patience.
    pub link: LinkConfig,
    /// RTMP on both sides; the limits in it are those of `link`.
    pub rtmp: RtmpConfig,
    /// Differentiated services code point of what is sent, 0 to 63.
    pub dscp: u8,
    /// Clients at a time; more are turned away. Default 10,000.
    pub max_clients: usize,
    /// Clients from one IP address at a time. Default 1000.
    pub max_clients_per_address: usize,
    /// Patience with others.
    pub timeouts: RelayTimeouts,
}

impl RelayConfig {
    /// The default settings but for these.
    pub fn new(listen: Vec<Listen>, to: Destination, seed: [u8; 32]) -> Self {
        Self {
            listen,
            to,
            seed,
            link: LinkConfig::default(),
            rtmp: RtmpConfig { answer_pings: false, ..RtmpConfig::default() },
            dscp: 0,
            max_clients: 10_000,
            max_clients_per_address: 1000,
            timeouts: RelayTimeouts::default(),
        }
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
    /// For everything that is left when a client or its destination has ended. Default 12 s.
    pub end: Duration,
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
            end: Duration::from_secs(12),
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
    fn listener(&mut self, address: SocketAddr) -> Result<Box<dyn Profile>, String>;

    /// That of an endpoint by which one client is relayed. Its certificate has to be unique.
    ///
    /// # Errors
    /// Why there is none; the client is told that its connection failed.
    fn outgoing(&mut self) -> Result<Box<dyn Profile>, String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_listeners_and_destinations_are_read_and_shown() {
        for (url, shown) in [
            ("rtmp://127.0.0.1:1936", "rtmp://127.0.0.1:1936"),
            ("RTMFP://0.0.0.0/", "rtmfp://0.0.0.0:1935"),
            ("rtmfp://[::]:0", "rtmfp://[::]:0"),
            ("rtmp://[::1]", "rtmp://[::1]:1935"),
        ] {
            assert_eq!(url.parse::<Listen>().map(|listen| listen.to_string()), Ok(shown.to_owned()));
        }
        for (url, shown) in [
            ("rtmp://example.com", "rtmp://example.com:1935"),
            ("rtmfp://[2001:db8::1]:99", "rtmfp://[2001:db8::1]:99"),
        ] {
            assert_eq!(url.parse::<Destination>().map(|to| to.to_string()), Ok(shown.to_owned()));
        }
    }

    #[test]
    fn bad_urls_are_refused_with_the_reason() {
        for (url, error) in [
            ("127.0.0.1:1935", UrlError::Scheme),
            ("http://127.0.0.1", UrlError::Scheme),
            ("rtmp://", UrlError::NoHost),
            ("rtmp://[::1", UrlError::NoHost),
            ("rtmp://localhost", UrlError::NotAnAddress("localhost".into())),
            ("rtmp://127.0.0.1:port", UrlError::Port("port".into())),
            ("rtmp://127.0.0.1:70000", UrlError::Port("70000".into())),
            ("rtmp://[::1]1935", UrlError::Port("1935".into())),
            ("rtmp://127.0.0.1/live", UrlError::Path("/live".into())),
        ] {
            assert_eq!(url.parse::<Listen>(), Err(error), "{url}");
        }
        assert_eq!("rtmp://host:0".parse::<Destination>(), Err(UrlError::Port("0".into())));
    }
}
