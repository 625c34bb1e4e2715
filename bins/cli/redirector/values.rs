//! Values of the redirector's options.

use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;

use crate::{DEFAULT_PORT, ListenUrl, Scheme, Seconds, SecondsError, UrlError};

/// Where to listen: `rtmfp://127.0.0.1:1935`, `rtmfp://[::]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ListenAddress(pub SocketAddr);

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(url: &str) -> Result<Self, ListenAddressError> {
        let ListenUrl { scheme, address, legacy } = url.parse()?;
        match (scheme, legacy) {
            (Scheme::Rtmfp, None) => Ok(Self(address)),
            (Scheme::Rtmfp, Some(_)) => Err(ListenAddressError::Legacy),
            _ => Err(ListenAddressError::Scheme { address }),
        }
    }
}

/// Why a redirector cannot listen there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ListenAddressError {
    /// No address to listen on at all.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Another protocol.
    #[error("only RTMFP has redirects: write rtmfp://{address}")]
    Scheme {
        /// The address.
        address: SocketAddr,
    },
    /// A setting that it has not.
    #[error("leave ?legacy= out: old clients are redirected as new ones are")]
    Legacy,
}

/// An address that clients are sent to: `192.0.2.1:1935`, `[2001:db8::1]:1935`; without port it is 1935.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Address(pub SocketAddr);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = match (text.parse(), bare.parse::<IpAddr>()) {
            (Ok(address), _) => address,
            (_, Ok(ip)) => SocketAddr::new(ip, DEFAULT_PORT),
            _ => return Err(AddressError),
        };
        if address.ip().is_unspecified() || address.port() == 0 {
            Err(AddressError)
        } else {
            Ok(Self(address))
        }
    }
}

/// It is no address that clients can be sent to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is no address that clients can be sent to: write 192.0.2.1:1935 or [2001:db8::1]:1935")]
pub struct AddressError;

/// A time that may be zero, in seconds, up to a day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pause(pub Duration);

impl FromStr for Pause {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Self, SecondsError> {
        match text.parse() {
            Ok(Seconds(time)) => Ok(Self(time)),
            Err(SecondsError::Zero) => Ok(Self(Duration::ZERO)),
            Err(error) => Err(error),
        }
    }
}

/// How servers are chosen.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum PolicyChoice {
    /// Of two that chance picks, the one with less load
    LeastLoad,
    /// By chance, one with twice the load half as often
    Weighted,
    /// In turns, whatever their loads are
    RoundRobin,
    /// The same server for the same --hash-key, as long as it is there
    Hash,
}

/// What of a client is hashed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HashKeyChoice {
    /// The application of its URI.
    Application,
    /// The whole URI.
    Uri,
    /// A parameter of the URI's query.
    Parameter(String),
}

impl FromStr for HashKeyChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("parameter:")) {
            ("application", _) => Ok(Self::Application),
            ("uri", _) => Ok(Self::Uri),
            (_, Some(name)) if !name.is_empty() => Ok(Self::Parameter(name.to_owned())),
            _ => Err("it is none of application, uri and parameter:NAME".to_owned()),
        }
    }
}

/// So many a second on average, and so many at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RatePerSecond {
    /// A second.
    pub per_second: u32,
    /// At once; twice of it if not given.
    pub burst: u32,
}

impl FromStr for RatePerSecond {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let number = |text: &str| text.parse().ok().filter(|&number: &u32| number > 0).ok_or(RateError);
        let (per_second, burst) = match text.split_once(',') {
            Some((rate, burst)) => (number(rate)?, number(burst)?),
            None => number(text).map(|rate| (rate, rate.saturating_mul(2)))?,
        };
        Ok(Self { per_second, burst })
    }
}

/// It is no rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is no rate: write 100 (a second), or 100,256 (a second, and at once)")]
pub struct RateError;

/// Servers for some clients: `NAME=[HOST][/APPLICATION]:USER[,USER...]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PoolSpec {
    /// What it is called.
    pub name: String,
    /// The host that clients ask for; `None`: any.
    pub host: Option<String>,
    /// The beginning of the application that they ask for; empty: any.
    pub application: String,
    /// The users whose servers are meant, at least one.
    pub users: Vec<String>,
}

impl FromStr for PoolSpec {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let (name, rest) = text.split_once('=').ok_or(PoolError::Form)?;
        // Users have no colons, but addresses of IPv6 do.
        let (what, users) = rest.rsplit_once(':').ok_or(PoolError::Form)?;
        let (host, application) = what.split_once('/').unwrap_or((what, ""));
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let users: Vec<String> = users.split(',').map(str::to_owned).collect();
        if name.is_empty() || users.iter().any(String::is_empty) {
            return Err(PoolError::Form);
        }
        if host.is_empty() && application.trim_matches('/').is_empty() {
            return Err(PoolError::All);
        }
        let host = (!host.is_empty()).then(|| host.to_owned());
        Ok(Self { name: name.to_owned(), host, application: application.to_owned(), users })
    }
}

/// Why something is no pool.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Not in the form of one.
    #[error("it is no pool: write NAME=HOST/APPLICATION:USER, such as news=live.example/news:relay1,relay2")]
    Form,
    /// For all clients.
    #[error("it has neither a host nor an application, as in news=live.example/news:relay1")]
    All,
}
