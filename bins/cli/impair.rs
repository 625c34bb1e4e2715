//! `rtmfp impair`.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::str::FromStr;
use core::time::Duration;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Args};
use rtmfp_netsim::impair::{Schedule, ScheduleError, Setting};

use self::words::option;

pub use self::units::UnitError;
pub use self::words::{WordError, Words};
use crate::ByteCount;

#[path = "impair/units.rs"]
mod units;
#[path = "impair/words.rs"]
mod words;

#[cfg(test)]
#[path = "impair/tests.rs"]
mod tests;

/// Stand between two programs and make their network bad
#[derive(Clone, Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct Impair {
    /// Carry datagrams: [IP:]PORT=HOST:PORT, such as 1935=server.example:1935. Can be given several times
    ///
    /// Without IP it listens on 127.0.0.1; port 0 takes any free port, which is printed.
    #[arg(long, value_name = "LISTEN=TARGET", required_unless_present = "tcp")]
    pub udp: Vec<RouteSpec>,

    /// Carry TCP connections, in the same way. Can be given several times
    #[arg(long, value_name = "LISTEN=TARGET")]
    pub tcp: Vec<RouteSpec>,

    /// What is done in both directions.
    #[command(flatten)]
    pub both: Both,

    /// What is done upwards only, in words, such as 'loss=2%,delay=40ms' or 'loss 2% rate 1mbit queue 60kb'
    ///
    /// Each option above is a word. Words for one direction come after those for both. "perfect" undoes all.
    #[arg(long, value_name = "WORDS", help_heading = "Impairments")]
    pub up: Vec<Words>,

    /// What is done downwards only
    #[arg(long, value_name = "WORDS", help_heading = "Impairments")]
    pub down: Vec<Words>,

    /// Change something at a time after the start, such as --at 10s 'loss 20%'. Can be given several times
    ///
    /// WHAT is "up", "down" or nothing, and then words as above; or "block" (datagrams vanish, TCP stands still),
    /// "unblock"; or "rebind" (each UDP client gets another port, as behind a NAT box that has forgotten it), "reset"
    /// (of all TCP connections), "repeat" (begin anew, with the first settings).
    #[arg(
        long,
        value_names = ["TIME", "WHAT"],
        num_args = 2,
        action = ArgAction::Append,
        help_heading = "Schedule",
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub at: Vec<String>,

    /// Read such changes from a file, one "TIME WHAT" a line; "#" begins a comment
    #[arg(long, value_name = "FILE", help_heading = "Schedule")]
    pub schedule: Option<PathBuf>,

    /// Throw the same dice as another run. Without it the seed is printed at the start
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,

    /// Print what happened so far every so often, such as 1s
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub stats: Option<Duration>,

    /// Print what happened as JSON, one line each time
    #[arg(long)]
    pub json: bool,

    /// How much it may use.
    #[command(flatten)]
    pub limits: Limits,
}

const EXAMPLES: &str = "Examples:
  rtmfp impair --udp 1936=server.example:1935 --loss 5% --delay 40ms
  rtmfp impair --udp 1936=127.0.0.1:1935 --up 'rate 2mbit queue 100ms' --down 'loss 1% 8'
  rtmfp impair --udp 1936=127.0.0.1:1935 --at 10s 'loss 20%' --at 20s rebind --at 30s repeat";

/// What is done in both directions.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Impairments")]
pub struct Both {
    /// Time on the wire, such as 40ms; '40ms 5ms' with jitter
    #[arg(long, value_name = "TIME", value_parser = option("delay"))]
    pub delay: Option<Words>,

    /// Added to the delay: anything from zero to this. It does not change the order
    #[arg(long, value_name = "TIME", value_parser = option("jitter"))]
    pub jitter: Option<Words>,

    /// How many datagrams are lost, such as 2%; '2% 8' in bursts of 8 on average
    #[arg(long, value_name = "SHARE", value_parser = option("loss"))]
    pub loss: Option<Words>,

    /// How many datagrams arrive twice
    #[arg(long, value_name = "SHARE", value_parser = option("duplicate"))]
    pub duplicate: Option<Words>,

    /// How many datagrams are held back so that others overtake them, such as 1%; '1% 20ms' says for how long
    #[arg(long, value_name = "SHARE", value_parser = option("reorder"))]
    pub reorder: Option<Words>,

    /// Bits per second that pass, such as 2mbit; all clients of a route share them
    #[arg(long, value_name = "RATE", value_parser = option("rate"))]
    pub rate: Option<Words>,

    /// What may wait for the rate, in bytes or as time, such as 64kb or 100ms (default: 200ms)
    #[arg(long, value_name = "DEPTH", value_parser = option("queue"))]
    pub queue: Option<Words>,

    /// Mark ECN-capable datagrams "congestion experienced" when so much waits, such as 30kb or 20ms; 0 marks all
    #[arg(long, value_name = "DEPTH", value_parser = option("ce"))]
    pub ce: Option<Words>,

    /// Clear ECN marks, as some routers do
    #[arg(long)]
    pub bleach: bool,

    /// Longest datagram that passes, in bytes of UDP payload
    #[arg(long, value_name = "BYTES", value_parser = option("mtu"))]
    pub mtu: Option<Words>,

    /// How many datagrams have bytes changed
    #[arg(long, value_name = "SHARE", value_parser = option("corrupt"))]
    pub corrupt: Option<Words>,

    /// How many datagrams lose their end
    #[arg(long, value_name = "SHARE", value_parser = option("truncate"))]
    pub truncate: Option<Words>,
}

impl Both {
    fn settings(&self) -> impl Iterator<Item = Setting> {
        let Self { delay, jitter, loss, duplicate, reorder, rate, queue, ce, bleach, mtu, corrupt, truncate } =
            self;
        let words = [delay, jitter, loss, duplicate, reorder, rate, queue, ce, mtu, corrupt, truncate];
        let words = words.into_iter().flatten().flat_map(|Words(settings)| settings.iter().copied());
        words.chain(bleach.then_some(Setting::Bleach(true)))
    }
}

/// A time that something lasts.
fn interval(text: &str) -> Result<Duration, UnitError> {
    let time = units::time(text)?;
    if time < SHORTEST { Err(UnitError::Short) } else { Ok(time) }
}

const SHORTEST: Duration = Duration::from_millis(10);

/// How much it may use.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// UDP clients, and as many TCP clients, at a time
    ///
    /// Each has a socket, a TCP client two: mind the limit of open files.
    #[arg(long, value_name = "N", default_value_t = Self::MAX_CLIENTS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_clients: u32,

    /// Forget a UDP client from and to whom nothing came for so long
    #[arg(long, value_name = "TIME", default_value = "2min", value_parser = interval)]
    pub idle_timeout: Duration,

    /// Bytes of datagrams on their way, and about as many of TCP; more datagrams are dropped and counted
    #[arg(long, value_name = "BYTES", default_value = "256M")]
    pub max_memory: ByteCount,
}

impl Limits {
    /// As many where nobody has said how many.
    pub const MAX_CLIENTS: u32 = 4096;
}

impl Impair {
    /// What is done upwards and downwards at first.
    pub fn settings(&self) -> [rtmfp_netsim::impair::Settings; 2] {
        [&self.up, &self.down].map(|own| {
            let own = own.iter().flat_map(|Words(settings)| settings.iter().copied());
            let mut all = rtmfp_netsim::impair::Settings::default();
            self.both.settings().chain(own).for_each(|setting| all.set(setting));
            all
        })
    }

    /// The steps of `--at` and those of a file.
    ///
    /// # Errors
    /// When one of them makes no sense, or all together.
    pub fn schedule(&self, file: &str) -> Result<Schedule, StepsError> {
        let mut steps = Vec::new();
        for pair in self.at.chunks_exact(2) {
            let [time, what] = [&pair[0], &pair[1]];
            let step = words::step(time, what);
            steps.push(step.map_err(|error| StepsError::At {
                time: time.clone(),
                what: what.clone(),
                error,
            })?);
        }
        for (number, line) in (1..).zip(file.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let (time, what) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                steps.push(words::step(time, what).map_err(|error| StepsError::Line { number, error })?);
            }
        }
        Schedule::new(steps).map_err(StepsError::Order)
    }
}

/// Why there is no schedule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepsError {
    /// An option makes no sense.
    #[error("--at {time} '{what}': {error}")]
    At {
        /// Its time.
        time: String,
        /// What is to happen.
        what: String,
        /// Why not.
        error: WordError,
    },
    /// A line of the file makes no sense.
    #[error("line {number} of the schedule: {error}")]
    Line {
        /// Its number, the first has 1.
        number: usize,
        /// Why not.
        error: WordError,
    },
    /// The steps do not go together.
    #[error("the schedule: {0}")]
    Order(ScheduleError),
}

/// Where a route listens and what it leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteSpec {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The target's name or address.
    pub host: String,
    /// The target's port.
    pub port: u16,
}

impl FromStr for RouteSpec {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (listen, target) = text.split_once('=').ok_or(RouteError::NoTarget)?;
        let listen = match listen.parse::<u16>() {
            Ok(port) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            Err(_) => listen.parse().map_err(|_| RouteError::Listen)?,
        };
        let (host, port) = target.rsplit_once(':').ok_or(RouteError::Target)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(RouteError::Target)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        let is_host = match bare {
            Some(ip) => ip.parse::<core::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(is_name),
        };
        if !is_host {
            return Err(RouteError::Target);
        }
        Ok(Self { listen, host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for RouteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}:{}", self.listen, self.host, self.port)
    }
}

/// Why something is no route.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// One half.
    #[error("the target is missing: write LISTEN=TARGET, such as 1936=server.example:1935")]
    NoTarget,
    /// No address to listen on.
    #[error("where to listen is a PORT, an IP:PORT or an [IPv6]:PORT, in front of the \"=\"")]
    Listen,
    /// No target.
    #[error("the target is HOST:PORT, behind the \"=\", such as server.example:1935 or [::1]:1935")]
    Target,
}
