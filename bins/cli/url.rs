//! The addresses to listen on and to connect to.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::str::FromStr;

#[cfg(test)]
#[path = "url/tests.rs"]
mod tests;

/// The port of both protocols unless the URL has one.
pub const DEFAULT_PORT: u16 = 1935;

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// RTMP over TCP.
    Rtmp,
    /// The same, sent in its plainest form.
    RtmpSimple,
    /// RTMFP over UDP.
    Rtmfp,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtmp => "rtmp",
            Self::RtmpSimple => "rtmp-simple",
            Self::Rtmfp => "rtmfp",
        })
    }
}

/// Where to listen: `rtmp://127.0.0.1:1935`, `rtmfp://[::]`. The host is an address of this machine, and port 0 takes
/// any free port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenUrl {
    /// What is spoken there.
    pub scheme: Scheme,
    /// The address and port to bind.
    pub address: SocketAddr,
    /// What `?legacy=` says, if it is there: whether peers of the installed base may come.
    pub legacy: Option<bool>,
}

impl FromStr for ListenUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let Parts { scheme, host, port, legacy } = Parts::parse(url)?;
        let ip = match host {
            Host::Ip(ip) => ip,
            Host::Name("") => return Err(UrlError::NoListenAddress { scheme }),
            Host::Name(name) => return Err(UrlError::ListenName { scheme, name: name.to_owned() }),
        };
        Ok(Self { scheme, address: SocketAddr::new(ip, port.unwrap_or(DEFAULT_PORT)), legacy })
    }
}

impl fmt::Display for ListenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.address, setting(self.legacy))
    }
}

/// Where to connect to: `rtmp://server.example`, `rtmfp://192.0.2.7:1936`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ToUrl {
    /// What is spoken there.
    pub scheme: Scheme,
    /// A name, or an address (IPv6 without brackets).
    pub host: String,
    /// The port, never 0.
    pub port: u16,
    /// What `?legacy=` says, if it is there: whether the destination may be of the installed base.
    pub legacy: Option<bool>,
}

impl FromStr for ToUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let Parts { scheme, host, port, legacy } = Parts::parse(url)?;
        let host = match host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name("") => return Err(UrlError::NoDestination { scheme }),
            Host::Name(name) => name.to_owned(),
        };
        match port.unwrap_or(DEFAULT_PORT) {
            0 => Err(UrlError::DestinationPort),
            port => Ok(Self { scheme, host, port, legacy }),
        }
    }
}

impl fmt::Display for ToUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, legacy } = self;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{host}{close}:{port}{}", setting(*legacy))
    }
}

/// What stands behind the address.
const fn setting(legacy: Option<bool>) -> &'static str {
    match legacy {
        Some(true) => "?legacy=1",
        Some(false) => "?legacy=0",
        None => "",
    }
}

struct Parts<'a> {
    scheme: Scheme,
    host: Host<'a>,
    port: Option<u16>,
    legacy: Option<bool>,
}

enum Host<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

impl<'a> Parts<'a> {
    fn parse(url: &'a str) -> Result<Self, UrlError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(UrlError::NoScheme { rest: url.to_owned() });
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => Scheme::Rtmp,
            "rtmp-simple" => Scheme::RtmpSimple,
            "rtmfp" => Scheme::Rtmfp,
            "rtmps" => return Err(UrlError::Rtmps),
            _ => return Err(UrlError::Scheme { scheme: scheme.to_owned() }),
        };
        let (rest, after) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let query = after.strip_prefix('/').unwrap_or(after);
        let legacy = match (query, scheme) {
            ("", _) => None,
            ("?legacy=1", Scheme::Rtmfp) => Some(true),
            ("?legacy=0", Scheme::Rtmfp) => Some(false),
            ("?legacy=1" | "?legacy=0", _) => return Err(UrlError::LegacyRtmp),
            _ if query.starts_with('?') => return Err(UrlError::Setting { text: query.to_owned() }),
            _ => return Err(UrlError::Path { path: after.to_owned() }),
        };
        if rest.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = split_host(rest)?;
        Ok(Self { scheme, host, port: port.map(parse_port).transpose()?, legacy })
    }
}

fn split_host(authority: &str) -> Result<(Host<'_>, Option<&str>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(UrlError::Bracket)?;
        let ip: Ipv6Addr = address.parse().map_err(|_| UrlError::Ipv6 { address: address.to_owned() })?;
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            Some(port) => Some(port),
            None => return Err(UrlError::AfterBracket { text: after.to_owned() }),
        };
        return Ok((Host::Ip(ip.into()), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            return Err(UrlError::NoBrackets { address: authority.to_owned() });
        }
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if let Ok(ip) = host.parse() {
        return Ok((Host::Ip(ip), port));
    }
    let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if !host.chars().all(of_names) {
        return Err(UrlError::Host { host: host.to_owned() });
    }
    // A name whose last label is a number is an address with a slip of the pen.
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|c| c.is_ascii_digit()) {
        return Err(UrlError::Ipv4 { address: host.to_owned() });
    }
    Ok((Host::Name(host), port))
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    let error = || UrlError::Port { port: port.to_owned() };
    // `u16::from_str` alone would take a sign.
    if port.is_empty() || !port.bytes().all(|c| c.is_ascii_digit()) {
        return Err(error());
    }
    port.parse().map_err(|_| error())
}

/// What is wrong with a URL, and what to write instead.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No `scheme://`.
    #[error("it says no protocol: write rtmp://{rest} or rtmfp://{rest}")]
    NoScheme {
        /// What was given.
        rest: String,
    },
    /// A scheme that is none of those above.
    #[error("the protocol {scheme:?} is not known here: rtmp://, rtmp-simple:// and rtmfp:// are")]
    Scheme {
        /// What was given.
        scheme: String,
    },
    /// RTMP over TLS.
    #[error(
        "rtmps:// is not supported yet: use rtmp://, with a TLS proxy such as stunnel where TLS is needed"
    )]
    Rtmps,
    /// Something follows host and port.
    #[error(
        "remove {path:?}: only protocol, host and port belong here, the application and the stream are chosen by \
         each client"
    )]
    Path {
        /// What follows.
        path: String,
    },
    /// A query that is no setting.
    #[error("there is no setting {text:?}: behind the address only ?legacy=1 or ?legacy=0 can stand")]
    Setting {
        /// What was given.
        text: String,
    },
    /// `?legacy=` where RTMP is spoken.
    #[error("remove ?legacy=: it is for rtmfp:// only, old programs need nothing special over RTMP")]
    LegacyRtmp,
    /// `user@`.
    #[error("remove what is before the @: a user name or password does not belong here")]
    UserInfo,
    /// `[` without `]`.
    #[error("a closing ] is missing behind the IPv6 address")]
    Bracket,
    /// Something between brackets that is no IPv6 address.
    #[error("{address:?} is no IPv6 address")]
    Ipv6 {
        /// What was given.
        address: String,
    },
    /// An IPv6 address without brackets.
    #[error("an IPv6 address belongs in brackets, as in [::1]:1935, not {address}")]
    NoBrackets {
        /// What was given.
        address: String,
    },
    /// Something between the bracket and the port.
    #[error("{text:?} follows the IPv6 address where only :PORT can")]
    AfterBracket {
        /// What was given.
        text: String,
    },
    /// Four numbers that are no address.
    #[error("{address:?} is no IPv4 address")]
    Ipv4 {
        /// What was given.
        address: String,
    },
    /// A character that no name has.
    #[error("{host:?} is no host name")]
    Host {
        /// What was given.
        host: String,
    },
    /// A port that is no number, or too large.
    #[error("{port:?} is no port: it is a number from 0 to 65535, and 1935 if there is no :PORT at all")]
    Port {
        /// What was given.
        port: String,
    },
    /// A name where to listen.
    #[error(
        "{name:?} is a name: write the IP address to listen on, {scheme}://127.0.0.1:PORT for this machine only, \
         {scheme}://0.0.0.0:PORT (IPv4) or {scheme}://[::]:PORT (IPv6) for everybody"
    )]
    ListenName {
        /// The scheme.
        scheme: Scheme,
        /// The name.
        name: String,
    },
    /// No host where to listen.
    #[error(
        "the address to listen on is missing: write {scheme}://127.0.0.1:PORT for this machine only, \
         {scheme}://0.0.0.0:PORT (IPv4) or {scheme}://[::]:PORT (IPv6) for everybody"
    )]
    NoListenAddress {
        /// The scheme.
        scheme: Scheme,
    },
    /// No host to connect to.
    #[error("the host is missing: write {scheme}://HOST:PORT")]
    NoDestination {
        /// The scheme.
        scheme: Scheme,
    },
    /// Port 0 to connect to.
    #[error("port 0 is for listening only: write the port of the destination")]
    DestinationPort,
}
