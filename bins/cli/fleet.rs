//! The options by which a relay becomes several workers, or one of a fleet.

use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU16;
use core::str::FromStr;
use std::path::PathBuf;
use std::thread;

use crate::{DEFAULT_PORT, UserArgument};
use clap::Args;

#[cfg(test)]
#[path = "fleet/tests.rs"]
mod tests;
#[path = "fleet/together.rs"]
mod together;

/// How many run loops share the work.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Several workers")]
pub struct WorkerOptions {
    /// Run so many independent workers, each on a thread of its own; auto: one for each processor
    ///
    /// With several workers each RTMFP client that comes to an address of --listen is redirected to the worker that carries
    /// least, on a UDP port of that worker's own, which firewalls have to let through as well (see --worker-ports).
    /// RTMP clients are spread by the system. The limits of clients hold for all workers together, --crypto-threads for each.
    #[arg(long, value_name = "N", default_value = "1", env = "RTMFP_RELAY_WORKERS")]
    pub workers: WorkerCount,

    /// The UDP ports of the workers, one for each worker and RTMFP address of --listen; any free ones if not given
    #[arg(long, value_name = "FIRST-LAST")]
    pub worker_ports: Option<PortRange>,
}

/// What a relay tells redirectors.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Redirectors and load")]
pub struct FleetOptions {
    /// Where clients find this relay from elsewhere, if not only where redirectors see it: IP or IP:PORT; may be given
    /// several times
    ///
    /// Without :PORT the port is that of --listen, or of the worker. With several workers the first one has PORT, the others
    /// have the ports after it. Clients that are redirected to a worker are told of it as well, which they need where this machine
    /// does not know the address that they see, as behind a NAT.
    #[arg(short = 'd', long, value_name = "IP[:PORT]", value_delimiter = ',', env = "RTMFP_RELAY_ADVERTISE")]
    pub advertise: Vec<AdvertiseAddress>,

    /// What counts as full load: so many clients; --max-clients if not given
    ///
    /// A relay that is full tells redirectors to send no more. Clients who come all the same are taken up to --max-clients. With
    /// several workers this limit and --max-bitrate are those of all together, and each is full when it has its share.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,

    /// What counts as full load: so many bits per second of messages from and to clients (K, M and G: thousands, millions,
    /// milliards); nothing is slowed down by it
    #[arg(long, value_name = "BITS")]
    pub max_bitrate: Option<BitRate>,

    /// How much clients, bits per second and the latency of the run loop count in the load: 1 as it is, 0 not at all
    ///
    /// The load is the largest of the three: clients against --max-connections, bits against --max-bitrate, and the latency's
    /// upper half of 5 ms. It is told in ten-thousandths, once a second at most.
    #[arg(long, value_name = "CLIENTS,BITS,LATENCY", default_value = "1,1,1")]
    pub load_weights: Weights,
}

/// How many workers there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WorkerCount {
    /// One for each processor.
    Auto,
    /// So many.
    Of(NonZeroU16),
}

impl WorkerCount {
    /// The most that there may be.
    pub const MOST: u16 = 64;

    /// How many that is on this machine.
    pub fn get(self) -> usize {
        match self {
            Self::Auto => thread::available_parallelism().map_or(1, usize::from).min(Self::MOST.into()),
            Self::Of(count) => count.get().into(),
        }
    }
}

impl FromStr for WorkerCount {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let count = text.parse().ok().filter(|count: &NonZeroU16| count.get() <= Self::MOST);
        count.map(Self::Of).ok_or(FleetError::Workers)
    }
}

/// Ports from one to another one, such as `20000-20007`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortRange {
    /// The first, never 0.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let (first, last) = text.split_once('-').ok_or(FleetError::Ports)?;
        let [first, last] = [first, last].map(|port| port.parse().unwrap_or(0));
        if first == 0 || last < first { Err(FleetError::Ports) } else { Ok(Self { first, last }) }
    }
}

/// An address that may lack its port: `192.0.2.1`, `192.0.2.1:1935`, `2001:db8::1`, `[2001:db8::1]:1935`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdvertiseAddress {
    /// The address.
    pub ip: IpAddr,
    /// Its port, never 0.
    pub port: Option<u16>,
}

impl FromStr for AdvertiseAddress {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let (ip, port) = match (bare.parse(), text.parse::<SocketAddr>()) {
            (Ok(ip), _) => (ip, None),
            (_, Ok(address)) => (address.ip(), Some(address.port())),
            _ => return Err(FleetError::Address),
        };
        if ip.is_unspecified() || ip.is_multicast() || port == Some(0) {
            Err(FleetError::Address)
        } else {
            Ok(Self { ip, port })
        }
    }
}

/// Bits per second, such as `500M` or `10G`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BitRate(pub u64);

impl FromStr for BitRate {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let units =
            [('k', 1_000), ('K', 1_000), ('m', 1_000_000), ('M', 1_000_000), ('g', GIGA), ('G', GIGA)];
        let unit = units.iter().find_map(|&(name, unit)| Some((text.strip_suffix(name)?, unit)));
        let (digits, unit) = unit.unwrap_or((text, 1));
        let number = Some(digits).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
        let rate =
            number.and_then(|digits| digits.parse::<u64>().ok()).and_then(|rate| rate.checked_mul(unit));
        rate.filter(|&rate| rate > 0).map(Self).ok_or(FleetError::BitRate)
    }
}

const GIGA: u64 = 1_000_000_000;

/// How much each of three parts counts, such as `1,0.5,0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights(pub [f64; 3]);

impl Default for Weights {
    /// As they are.
    fn default() -> Self {
        Self([1.0; 3])
    }
}

impl FromStr for Weights {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let is_plain = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        let weight =
            |text: &str| text.parse().ok().filter(|weight: &f64| is_plain(text) && *weight <= 1000.0);
        let weights: Option<Vec<f64>> = text.split(',').map(weight).collect();
        weights.and_then(|weights| weights.try_into().ok()).map(Self).ok_or(FleetError::Weights)
    }
}

/// A redirector to register with: its name, and where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectorAt {
    /// Its host name.
    pub name: String,
    /// Its addresses, at least one.
    pub addresses: Vec<SocketAddr>,
}

impl FromStr for RedirectorAt {
    type Err = FleetError;

    fn from_str(text: &str) -> Result<Self, FleetError> {
        let (name, addresses) = text.rsplit_once('@').ok_or(FleetError::Redirector)?;
        let address = |text: &str| {
            let AdvertiseAddress { ip, port } = text.parse().ok()?;
            Some(SocketAddr::new(ip, port.unwrap_or(DEFAULT_PORT)))
        };
        let addresses: Option<Vec<SocketAddr>> = addresses.split(',').map(address).collect();
        match addresses {
            Some(addresses) if !name.is_empty() => Ok(Self { name: name.to_owned(), addresses }),
            _ => Err(FleetError::Redirector),
        }
    }
}

/// Who registers, and where.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Redirectors and load")]
pub struct RegistrationOptions {
    /// Register with this redirector, which then sends clients here; may be given several times
    ///
    /// NAME is the redirector's host name, the addresses are those where it is looked for, IPv6 in brackets; without :PORT
    /// the port is 1935. Each RTMFP address of --listen, of each worker, registers by itself. Redirectors are lost and found
    /// again without any effect on running streams. At SIGTERM they are told first that no more clients are wanted.
    #[arg(short = 'L', long = "redirector", value_name = "NAME@ADDR:PORT[,ADDR:PORT...]")]
    pub redirectors: Vec<RedirectorAt>,

    /// Authenticate with redirectors by this name and password; may be given several times
    ///
    /// Others on this machine can read command lines: better use --redirector-user-file, or the environment variable.
    #[arg(
        short = 'l',
        long = "redirector-user",
        value_name = "NAME:PASSWORD",
        env = "RTMFP_RELAY_REDIRECTOR_USER",
        hide_env_values = true
    )]
    pub redirector_users: Vec<UserArgument>,

    /// Read names and passwords from this file, a NAME:PASSWORD in each line; empty lines and those that begin with # don't count; at SIGHUP again
    #[arg(long, value_name = "FILE", env = "RTMFP_RELAY_REDIRECTOR_USER_FILE")]
    pub redirector_user_file: Option<PathBuf>,

    /// Have redirectors send clients to the addresses of --advertise only, not to where they see this relay
    #[arg(short = 'D', long, requires = "advertise")]
    pub no_advertise_reflexive: bool,
}

/// What is wrong with such an option.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// No number of workers.
    #[error("it is no number of workers: write 1 to 64, or auto")]
    Workers,
    /// No range of ports.
    #[error("it is no range of ports, such as 20000-20007")]
    Ports,
    /// No address.
    #[error("it is no address: write 192.0.2.1, 192.0.2.1:1935 or [2001:db8::1]:1935")]
    Address,
    /// No bits per second.
    #[error("it is no number of bits per second, such as 800000, 500M or 10G")]
    BitRate,
    /// Not three weights.
    #[error("these are not three numbers from 0 to 1000 with commas between them, such as 1,0.5,0")]
    Weights,
    /// No redirector.
    #[error("it is no redirector: write NAME@ADDRESS:PORT, such as redirector.example@192.0.2.1:1935")]
    Redirector,
}
