//! An echo server and its client over UDP, on the run loop of `rtmfp-runtime`, with the cryptography of Flash.
//!
//! In one window, then in another:
//!
//! ```text
//! cargo run --release -p rtmfp --example echo -- serve 127.0.0.1:1935
//! cargo run --release -p rtmfp --example echo -- call 127.0.0.1:1935
//! ```
//!
//! `server.rs` shows how to accept flows, answer on return flows, and let a slow receiver slow its sender down.
//! `client.rs` shows how to open a flow, write with deadlines and follow what becomes of each message, and how to change
//! to another socket while a session is open (`call --move-after 2`). `report.rs` shows what a session counts.
//!
//! A server behind a NAT box is found through an introducer, which is an example of its own:
//!
//! ```text
//! cargo run --release -p rtmfp --example introducer -- 127.0.0.1:1940
//! cargo run --release -p rtmfp --example echo -- serve 127.0.0.1:0 --introducer 127.0.0.1:1940
//! cargo run --release -p rtmfp --example echo -- call 127.0.0.1:1940 --name echo
//! ```
#![forbid(unsafe_code)]

mod client;
mod report;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use rand::TryRng;
use rand::rngs::SysRng;
use rtmfp::{Config, Endpoint};
use rtmfp_base::Time;
use rtmfp_flash::{Ancillary, Fingerprint, FlashConfig, FlashProfile, Policy};

/// Echoes messages over RTMFP.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
    /// Take sessions without authentication codes and sequence numbers from ends that have none.
    #[arg(long, global = true)]
    lenient: bool,
    /// Say more (-v: events, -vv: what the library says).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Take sessions and send each message back.
    Serve(server::Options),
    /// Open a session, send messages and compare what comes back.
    Call(client::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = ["warn", "info", "debug"][usize::from(arguments.verbose.min(2))];
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    let done = match arguments.role {
        Role::Serve(options) => server::run(options, arguments.lenient),
        Role::Call(options) => client::run(options, arguments.lenient),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// An endpoint whose identity is made for this run, and the fingerprint by which it is called.
fn endpoint(
    hostname: Option<&str>,
    takes_uris: bool,
    lenient: bool,
) -> Result<(Endpoint, Fingerprint), String> {
    // An endpoint draws all its random numbers from one seed, and a profile makes its keys with the bytes it is handed:
    // both must come from the system.
    let mut seed = [0; 32];
    let mut failed = SysRng.try_fill_bytes(&mut seed).err();
    let mut random = |bytes: &mut [u8]| {
        if let Err(error) = SysRng.try_fill_bytes(bytes) {
            failed = Some(error);
        }
    };

    let mut flash = FlashConfig::server();
    flash.hostname = hostname.map(str::to_owned);
    if !takes_uris {
        flash.ancillary = Ancillary::Refused;
    }
    if lenient {
        flash.policy = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
    }
    let profile = FlashProfile::new(flash, &mut random).map_err(|error| error.to_string())?;
    if let Some(error) = failed {
        return Err(format!("no randomness from the system: {error}"));
    }
    let fingerprint = profile.fingerprint();
    let mut config = Config { max_message: 1 << 20, receive_capacity: 1 << 20, ..Config::default() };
    config.session.receive_limit = 4 << 20;
    // A peer that was killed should be noticed soon.
    config.session.keepalive = Duration::from_secs(10);
    config.session.retransmit_limit = Duration::from_secs(20);
    Ok((Endpoint::new(config, Box::new(profile), seed, Time::ZERO), fingerprint))
}

/// Runs a service until it has finished; the first signal drains it, the second ends it.
fn host(service: Box<dyn rtmfp_base::Service>) -> Result<(), String> {
    rtmfp_runtime::run(service, rtmfp_runtime::Config::default()).map(drop).map_err(|error| error.to_string())
}

/// A socket for each address family that is asked for.
fn any_port(like: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut sockets = Vec::new();
    for (family, any) in [(false, "0.0.0.0:0"), (true, "[::]:0")] {
        if like.iter().any(|address| address.is_ipv6() == family) {
            sockets.extend(any.parse::<SocketAddr>());
        }
    }
    sockets
}
