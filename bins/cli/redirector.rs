//! The options of `rtmfp-redirector`.

use core::net::SocketAddr;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser};

use crate::{Groups, Seconds, UserArgument, Verbosity};

#[cfg(test)]
#[path = "redirector/tests.rs"]
mod tests;
#[path = "redirector/values.rs"]
mod values;

pub use values::{
    Address, AddressError, HashKeyChoice, ListenAddress, ListenAddressError, Pause, PolicyChoice, PoolError,
    PoolSpec, RateError, RatePerSecond,
};

/// Send RTMFP clients to the servers that can take them
///
/// Relays and servers register here and say how loaded they are. Clients come here first and are redirected to some of
/// them, so that all share the load, and those that are full, drain or do not answer get no more. From then on clients and
/// servers need the redirector no longer: when it is restarted, established sessions notice nothing.
///
/// Several redirectors may stand behind one name in DNS: servers register with all of them, clients try all addresses.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "rtmfp-redirector",
    version,
    disable_version_flag = true,
    max_term_width = 100,
    after_long_help = AFTER_HELP
)]
pub struct Redirector {
    /// Listen here: rtmfp://IP:PORT; may be given several times
    ///
    /// The IP is an address of this machine, or 0.0.0.0 for all that are IPv4, or [::] for all that are IPv6. Port 0 takes
    /// any free port; without :PORT it is 1935 (UDP). When the port is open a line "listening on URL" goes to standard
    /// error. All addresses belong to one redirector: a server registers with one of them only.
    #[arg(long, value_name = "URL", required = true, env = "RTMFP_REDIRECTOR_LISTEN", value_delimiter = ',')]
    pub listen: Vec<ListenAddress>,

    /// The host name by which servers find this redirector
    ///
    /// They have to name it as it is here. It need not be in DNS. Redirectors that stand behind one name in DNS may have
    /// the same one, or each its own, which servers of rtmfp-cpp need to tell them apart.
    #[arg(
        short = 'n',
        long,
        value_name = "HOSTNAME",
        env = "RTMFP_REDIRECTOR_NAME",
        required_unless_present = "static_only",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub name: Option<String>,

    /// Redirect everybody to these addresses, and let nobody register; commas between them
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_delimiter = ',',
        num_args = 1..,
        conflicts_with_all = FOR_SERVERS_ONLY
    )]
    pub static_only: Vec<Address>,

    /// With --static-only: begin each redirect with the next of the addresses
    #[arg(long)]
    pub rotate: bool,

    /// How much is logged.
    #[command(flatten)]
    pub verbosity: Verbosity,

    /// Print the version
    #[arg(long, action = ArgAction::Version, display_order = 901)]
    version: Option<bool>,

    /// Who may register.
    #[command(flatten)]
    pub access: Access,

    /// Whom clients are sent to.
    #[command(flatten)]
    pub selection: SelectionOptions,

    /// Sessions with servers.
    #[command(flatten)]
    pub sessions: Sessions,

    /// What others may use.
    #[command(flatten)]
    pub limits: RedirectorLimits,
}

/// Who may register.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who may register")]
pub struct Access {
    /// Take servers that know this password only; may be given several times
    ///
    /// Others on this machine can read command lines: better use --users-file, or the environment variable. Without users
    /// every server may register, and with it take over as many clients as it likes.
    #[arg(
        short = 'l',
        long = "user",
        value_name = "NAME:PASSWORD",
        env = "RTMFP_REDIRECTOR_USER",
        hide_env_values = true
    )]
    pub users: Vec<UserArgument>,

    /// Read users from this file, a NAME:PASSWORD in each line; at SIGHUP again
    ///
    /// Empty lines and those that begin with # don't count. Servers whose users are gone at a SIGHUP, or have another password,
    /// are sent away at once; the others notice nothing. A file that is not as it should be changes nothing, and the log
    /// says why.
    #[arg(long, value_name = "FILE", env = "RTMFP_REDIRECTOR_USERS_FILE")]
    pub users_file: Option<PathBuf>,

    /// How long servers with a wrong password wait before they are told
    #[arg(short = 'D', long, value_name = "SECONDS", default_value = "2")]
    pub bad_auth_delay: Pause,
}

/// Whom clients are sent to.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Whom clients are sent to")]
pub struct SelectionOptions {
    /// How servers are chosen
    #[arg(long, value_enum, default_value = "least-load")]
    pub policy: PolicyChoice,

    /// Send each client to so many servers, of which it takes the one that answers first; 2 if not given, or 1 by the policy
    /// hash
    ///
    /// With 2 a server that has just died delays nobody. With 1 the load is spread most evenly.
    #[arg(short = 'r', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub targets: Option<u32>,

    /// Servers for some clients only: NAME=[HOST][/APPLICATION]:USER[,USER...]; may be given several times
    ///
    /// Clients that ask for rtmfp://HOST/APPLICATION, or for anything below that application, are sent to servers that have
    /// registered as one of the users. Without HOST all hosts are meant, without APPLICATION all applications. A pool with
    /// the host goes before one for all hosts, and a longer application before a shorter one. Servers of none of the users take
    /// the clients of no pool. NAME stands in the status.
    #[arg(long = "pool", value_name = "POOL")]
    pub pools: Vec<PoolSpec>,

    /// What the policy hash sends to the same server: clients with the same application, the same uri, or the same value of
    /// a parameter of the URI's query, as in parameter:room
    #[arg(long, value_name = "KEY", default_value = "application")]
    pub hash_key: HashKeyChoice,

    /// Of the policy least-load: what a client adds to a server's load until that reports it anew, in the unit of its reports
    ///
    /// rtmfp-relay reports its load in ten-thousandths. Too little, and a server gets too many clients between two reports.
    #[arg(long, value_name = "LOAD", default_value = "1")]
    pub client_load: u64,

    /// A server that reports so much load, or more, gets no clients; rtmfp-relay is full at 10000
    #[arg(long, value_name = "LOAD", default_value = "10000", value_parser = clap::value_parser!(u64).range(1..))]
    pub full_load: u64,

    /// Of the policy round-robin: change the order of the servers so often; 0: never
    #[arg(short = 's', long, value_name = "SECONDS", default_value = "5")]
    pub shuffle_interval: Pause,

    /// Begin each redirect with this address; may be given several times
    #[arg(short = 'S', long = "static-address", value_name = "ADDR:PORT", value_delimiter = ',')]
    pub static_addresses: Vec<Address>,

    /// Send clients that come by IPv4 to addresses of IPv4 only, and the same for IPv6
    ///
    /// Those of --static-address stay; those of --static-only do not.
    #[arg(short = 'f', long)]
    pub same_family: bool,

    /// Tell servers also of clients that cannot reach them by the family that they come by (unusual)
    ///
    /// Servers that have registered without any address are told of clients as well, then, and have to answer them by themselves.
    #[arg(short = 'F', long)]
    pub forward_any_family: bool,
}

/// Sessions with servers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sessions with servers")]
pub struct Sessions {
    /// Ask a server that was silent for so long whether it is there
    #[arg(long, value_name = "SECONDS", default_value = "4")]
    pub keepalive: Seconds,

    /// Send no clients to a server that was silent for so long, although it was asked
    #[arg(long, value_name = "SECONDS", default_value = "6")]
    pub silent_after: Seconds,

    /// Give a server up that does not answer for so long
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub retransmit_limit: Seconds,

    /// Close a session over which nobody has registered for so long
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub idle_limit: Seconds,

    /// Diffie-Hellman groups to offer, strongest first, of 16 (4096 bits), 14 (2048), 5 (1536) and 2 (1024)
    #[arg(long, value_name = "LIST", default_value = "16,14,2")]
    pub dh_groups: Groups,

    /// Threads for public-key work; 0 does it between packets, on the only thread
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(0..=64))]
    pub crypto_threads: u16,
}

/// What others may use.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct RedirectorLimits {
    /// Servers at a time; more are turned away
    #[arg(long, value_name = "N", default_value = "16384", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_servers: u32,

    /// Those of them that have not proved that they know a password
    #[arg(long, value_name = "N", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_unauthenticated: u32,

    /// Of those as many as may be from one part of the network, a /24 of IPv4 or a /56 of IPv6; a sixteenth of
    /// --max-unauthenticated, but at least 8, if not given
    ///
    /// One more takes the place of the one that has been there longest. The same happens where most of them are from, when there
    /// are as many as --max-unauthenticated in all. Servers with a password prove it at once.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_unauthenticated_per_prefix: Option<u32>,

    /// They have so long for it
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub auth_timeout: Seconds,

    /// Addresses that a server may name; more are ignored
    #[arg(long, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_addresses: u32,

    /// Clients answered each second, and at once; more are not answered and ask again
    ///
    /// There is as much once more for those who ask again, so that clients are served when somebody sends forged requests.
    #[arg(long, value_name = "RATE[,BURST]", default_value = "4000,8192")]
    pub max_redirects: RatePerSecond,

    /// The same for those from one part of the network, a /24 of IPv4 or a /56 of IPv6
    #[arg(long, value_name = "RATE[,BURST]", default_value = "100,256")]
    pub max_redirects_per_prefix: RatePerSecond,

    /// Addresses in a redirect in bytes, 7 each for IPv4 and 19 for IPv6; longer ones are shortened
    ///
    /// A redirect never has more than three times the bytes of the request that it answers, but one address in any case.
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = clap::value_parser!(u32).range(19..=1000))]
    pub max_redirect_bytes: u32,
}

/// What has no meaning with --static-only.
const FOR_SERVERS_ONLY: [&str; 21] = [
    "bad_auth_delay",
    "policy",
    "targets",
    "pools",
    "hash_key",
    "client_load",
    "full_load",
    "shuffle_interval",
    "static_addresses",
    "forward_any_family",
    "keepalive",
    "silent_after",
    "retransmit_limit",
    "idle_limit",
    "dh_groups",
    "crypto_threads",
    "max_servers",
    "max_unauthenticated",
    "max_unauthenticated_per_prefix",
    "auth_timeout",
    "max_addresses",
];

/// Neither have these, which the environment may have all the same, for other redirectors.
const FOR_SERVERS_BY_ENVIRONMENT: [(&str, &str); 3] =
    [("name", "--name"), ("users", "--user"), ("users_file", "--users-file")];

impl Redirector {
    /// Reads a command line, of which the first word is the program.
    ///
    /// # Errors
    /// What to tell people, as those of the parser.
    pub fn read<W: Into<OsString> + Clone>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(words)?;
        let mut options = Self::from_arg_matches(&matches)?;
        if options.static_only.is_empty() {
            return Ok(options);
        }
        for (id, option) in FOR_SERVERS_BY_ENVIRONMENT {
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                let error = format!("the argument '--static-only' cannot be used with '{option}'");
                return Err(Self::command().error(ErrorKind::ArgumentConflict, error));
            }
        }
        options.name = None;
        (options.access.users, options.access.users_file) = (Vec::new(), None);
        Ok(options)
    }

    /// What is wrong with options that do not go together, where there is more to say than the parser knows.
    ///
    /// # Errors
    /// What to tell people.
    pub fn check(&self) -> Result<(), String> {
        if self.rotate && self.static_only.is_empty() {
            return Err("--rotate is for --static-only".to_owned());
        }
        let users = &self.access.users;
        if let Some(error) = users.iter().find_map(|user| user.0.as_ref().err()) {
            return Err(format!("--user: {error}"));
        }
        let own = |to: &&Address| self.listen.iter().any(|listen| listen.0 == to.0);
        if let Some(Address(own)) = self.static_only.iter().chain(&self.selection.static_addresses).find(own)
        {
            return Err(format!(
                "{own} is an address of this redirector: clients would come again and again"
            ));
        }
        self.check_pools()?;
        let Sessions { keepalive, silent_after, retransmit_limit, .. } = &self.sessions;
        if silent_after.0 <= keepalive.0 {
            return Err(format!(
                "--silent-after {silent_after} has to be longer than --keepalive {keepalive}"
            ));
        }
        if retransmit_limit.0 < silent_after.0 {
            return Err(format!(
                "--retransmit-limit {retransmit_limit} has to be at least --silent-after {silent_after}"
            ));
        }
        Ok(())
    }

    fn check_pools(&self) -> Result<(), String> {
        let pools = &self.selection.pools;
        let Access { users, users_file, .. } = &self.access;
        if !pools.is_empty() && users.is_empty() && users_file.is_none() {
            return Err("--pool is for servers by their users: there have to be a --user or a --users-file"
                .to_owned());
        }
        // Those of a file are another matter: they may change.
        let is_known = |name: &String| {
            users_file.is_some() || users.iter().flat_map(|user| &user.0).any(|user| user.name == *name)
        };
        for pool in pools {
            if let Some(user) = pool.users.iter().find(|user| !is_known(user)) {
                return Err(format!("--pool {}: there is no --user {user}", pool.name));
            }
        }
        for (number, pool) in pools.iter().enumerate() {
            let is_other =
                |other: &&PoolSpec| (&other.host, &other.application) == (&pool.host, &pool.application);
            if let Some(other) = pools.iter().take(number).find(is_other) {
                return Err(format!(
                    "--pool {} and --pool {} are for the same clients",
                    other.name, pool.name
                ));
            }
        }
        Ok(())
    }

    /// The addresses of --static-only, if there are any.
    pub fn fixed(&self) -> Option<Vec<SocketAddr>> {
        let addresses: Vec<_> = self.static_only.iter().map(|address| address.0).collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}

// Each paragraph is one line: the manual page fills its lines itself.
const AFTER_HELP: &str = "\
Signals: SIGUSR1 prints on standard error which servers there are, how they are, what was sent to them, and counters; an empty line ends it. \
SIGHUP reads the file of --users-file again. At the first SIGTERM or SIGINT nobody is answered any more and servers are told \
that this redirector ends, at the second it exits at once.

Exit codes: 0 ended as asked, 1 could not do its work, 2 the command line makes no sense.

Example: two relays share the clients of rtmfp://live.example, which is 192.0.2.1 in DNS.

The redirector, at 192.0.2.1: rtmfp-redirector --listen rtmfp://0.0.0.0 --name live.example --users-file users

Each relay: rtmfp-relay --listen rtmfp://0.0.0.0 --to rtmp://127.0.0.1:1936 --redirector live.example@192.0.2.1 \
--redirector-user-file user

Without registration: rtmfp-redirector --listen rtmfp://0.0.0.0 --static-only 192.0.2.7:1935,192.0.2.8:1935 --rotate";
