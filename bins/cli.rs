//! Command-line definitions of the programs: their help, manual pages and shell completions all come from here.
//!
//! Values are parsed into types that cannot hold anything else, so that the programs only wire things up. An error
//! says what was wrong and what to write instead.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the comments are help texts, which show optional parts in brackets"
)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

#[path = "cli/fleet.rs"]
mod fleet;
#[path = "cli/impair.rs"]
mod impair;
#[path = "cli/redirector.rs"]
mod redirector;
#[path = "cli/relay.rs"]
mod relay;
#[path = "cli/toolbox.rs"]
mod toolbox;
#[path = "cli/url.rs"]
mod url;
#[path = "cli/users.rs"]
mod users;
#[path = "cli/values.rs"]
mod values;

pub use fleet::{
    AdvertiseAddress, BitRate, FleetError, FleetOptions, PortRange, RedirectorAt, RegistrationOptions,
    Weights, WorkerCount, WorkerOptions,
};
pub use impair::{
    Both, Impair, Limits as ImpairLimits, RouteError, RouteSpec, StepsError, UnitError, WordError, Words,
};
pub use redirector::{
    Access, Address, AddressError, HashKeyChoice, ListenAddress, ListenAddressError, Pause, PolicyChoice,
    PoolError, PoolSpec, RateError, RatePerSecond, Redirector, RedirectorLimits, SelectionOptions, Sessions,
};
pub use relay::{Limits, Media, Relay, Security};
pub use toolbox::{Command, Compare, Measure, Play, Publish, SourceOptions, StreamUrl, Toolbox, Waiting};
pub use url::{DEFAULT_PORT, ListenUrl, Scheme, ToUrl, UrlError};
pub use users::{User, UserArgument, UserError, parse_users};
pub use values::{
    ByteCount, CountError, Dscp, DscpError, Groups, GroupsError, Lifetime, MaxGroup, Seconds, SecondsError,
};

/// How much a program logs.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Verbosity {
    /// Log more: -v what happens to each client, -vv details, -vvv everything
    ///
    /// Logs go to standard error. Without this option only what needs attention is logged. The environment
    /// variable RUST_LOG says it in detail (such as "info" or "rtmfp_service=debug") and takes precedence.
    #[arg(short = 'v', long = "verbose", action = clap::ArgAction::Count, global = true, display_order = 900)]
    pub verbose: u8,
}

impl Verbosity {
    /// The level as `RUST_LOG` names it.
    pub const fn level(self) -> &'static str {
        match self.verbose {
            0 => "warn",
            1 => "info",
            2 => "debug",
            _ => "trace",
        }
    }
}

/// The exit code when a program could not do its work.
pub const EXIT_FAILURE: u8 = 1;
/// The exit code when the command line makes no sense.
pub const EXIT_USAGE: u8 = 2;
