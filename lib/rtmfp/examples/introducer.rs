//! A redirector and introducer: it tells those who look for somebody where that one is, and that one of them, so that
//! two peers behind NAT boxes meet (RFC 7016 sections 3.5.1.4 to 3.5.1.6; `rtmfp::guide::introduction`).
//!
//! Peers that want to be found keep a session with it; a hello for one of them is answered by a Redirect and forwarded.
//! Here with the echo server and its client, each in a window of its own:
//!
//! ```text
//! cargo run --release -p rtmfp --example introducer -- 127.0.0.1:1940
//! cargo run --release -p rtmfp --example echo -- serve 127.0.0.1:0 --introducer 127.0.0.1:1940
//! cargo run --release -p rtmfp --example echo -- call 127.0.0.1:1940 --name echo
//! ```
//!
//! With `--to` it takes no sessions and sends everybody to the same addresses, for example to a server that has moved.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use log::{info, warn};
use rand::TryRng;
use rand::rngs::SysRng;
use rtmfp::driver::{Application, Node};
use rtmfp::wire::{Address, Origin};
use rtmfp::{Config, Endpoint, Event, SessionId, Via};
use rtmfp_base::{Tag, Time};
use rtmfp_flash::{Ancillary, Certificate, Epd, FlashConfig, FlashProfile};

/// Brings RTMFP peers together.
#[derive(Debug, Parser)]
struct Arguments {
    /// Addresses to listen on.
    #[arg(required = true)]
    listen: Vec<SocketAddr>,
    /// Send everybody there and take no sessions. Can be given several times.
    #[arg(long)]
    to: Vec<SocketAddr>,
    /// The host name by which peers that want to be found ask for it.
    #[arg(long, default_value = "introducer")]
    name: String,
    /// How it helps.
    #[arg(long, value_enum, default_value_t = How::Both)]
    how: How,
    /// Say more (-v: what it does, -vv: what the library says).
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum How {
    /// The one who looks is told where to look.
    Redirect,
    /// The one who is looked for is told who looks.
    Forward,
    /// Both: each end opens its NAT box for the other.
    Both,
}

/// At most so many of the peers that fit are told of one hello: somebody who forges hellos must not reach everybody.
const MOST: usize = 3;

#[derive(Debug)]
struct Introducer {
    to: Vec<Address>,
    how: How,
}

impl Introducer {
    /// Peers with a session whom the discriminator selects. A large introducer would keep an index.
    fn sought(endpoint: &mut Endpoint, epd: &[u8]) -> Vec<(SessionId, SocketAddr)> {
        let Ok(epd) = Epd::parse(epd) else { return Vec::new() };
        let mut found = Vec::new();
        for id in endpoint.open_sessions() {
            let Some(info) = endpoint.session(id).map(|session| session.info()) else { continue };
            if Certificate::parse(&info.certificate).is_ok_and(|certificate| epd.selects(&certificate)) {
                found.push((id, info.far_address));
            }
        }
        found.truncate(MOST);
        found
    }

    fn introduce(&self, endpoint: &mut Endpoint, epd: &[u8], tag: &[u8], from: SocketAddr, via: Option<Via>) {
        let found = Self::sought(endpoint, epd);
        // The Redirect first: the hello that it brings about is soon under way, and opens the box of the one who looks.
        if self.how != How::Forward && !found.is_empty() {
            let there = |&(_, addr): &(SessionId, SocketAddr)| Address { origin: Origin::Observed, addr };
            let there: Vec<Address> = found.iter().map(there).collect();
            redirect(endpoint, via, from, tag, &there);
        }
        if self.how != How::Redirect {
            for &(id, addr) in &found {
                if let Some(mut session) = endpoint.session(id) {
                    match session.forward_ihello(epd, from, tag) {
                        Ok(()) => info!("{addr} is told of {from}"),
                        Err(error) => warn!("{addr} is not told of {from}: {error}"),
                    }
                }
            }
        }
    }
}

fn redirect(endpoint: &mut Endpoint, via: Option<Via>, to: SocketAddr, tag: &[u8], there: &[Address]) {
    // Whoever gets no answer asks again.
    match endpoint.send_redirect(via, to, tag, there) {
        Ok(()) => info!("{to} is told of {:?}", there.iter().map(|there| there.addr).collect::<Vec<_>>()),
        Err(error) => warn!("{to} is not redirected: {error}"),
    }
}

impl Application for Introducer {
    fn on_ready(&mut self, _now: Time, endpoint: &mut Endpoint) {
        endpoint.set_watch_hellos(true);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::UnmatchedIHello { epd, tag, from, via, .. } => {
                if self.to.is_empty() {
                    self.introduce(endpoint, &epd, &tag, from, via);
                } else {
                    redirect(endpoint, via, from, &tag, &self.to);
                }
            }
            // The flow keeps the session open; what comes by it does not matter.
            Event::FlowOffered { flow, .. } => endpoint.accept(now, flow, Tag(0)),
            Event::Readable { flow, .. } => {
                while endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {}
            }
            Event::SessionOpened { session, .. } => {
                if let Some(info) = endpoint.session(session).map(|session| session.info()) {
                    info!("{} can be found", info.far_address);
                }
            }
            other => info!("{other:?}"),
        }
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let (mut seed, mut failed) = ([0; 32], None);
    let mut random = |bytes: &mut [u8]| {
        if let Err(error) = SysRng.try_fill_bytes(bytes) {
            failed = Some(error);
        }
    };
    random(&mut seed);
    // With a name and no ancillary data: who asks for any server is not asking for this one. Nobody knows the name of
    // one that takes no sessions.
    let mut flash = FlashConfig::server();
    flash.hostname = arguments.to.is_empty().then_some(arguments.name);
    flash.ancillary = Ancillary::Refused;
    let profile = FlashProfile::new(flash, &mut random).map_err(|error| error.to_string())?;
    if let Some(error) = failed {
        return Err(format!("no randomness from the system: {error}"));
    }
    let mut config = Config::default();
    // A peer that has gone must not be recommended for long.
    config.session.keepalive = Duration::from_secs(10);
    config.session.retransmit_limit = Duration::from_secs(10);
    let endpoint = Endpoint::new(config, Box::new(profile), seed, Time::ZERO);
    let to = arguments.to.iter().map(|&addr| Address { origin: Origin::Reported, addr }).collect();
    let introducer = Introducer { to, how: arguments.how };
    let node = Node::new(endpoint, &arguments.listen, introducer);
    let run = rtmfp_runtime::run(Box::new(node), rtmfp_runtime::Config::default());
    run.map(drop).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = ["warn", "info", "debug"][usize::from(arguments.verbose.min(2))];
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("introducer: {error}");
            ExitCode::FAILURE
        }
    }
}
