//! `rtmfp-relay`: reads the command line, and runs the relay of `rtmfp-service` on the run loop.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod key_log;
#[path = "../open_files.rs"]
mod open_files;
mod profiles;
#[path = "../program.rs"]
mod program;
#[path = "../randomness.rs"]
mod randomness;
mod registration;
#[path = "../users.rs"]
mod users;
mod workers;

use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use rtmfp_cli::{FleetOptions, Lifetime, Limits, ListenUrl, Media, Relay, Scheme, ToUrl};
use rtmfp_runtime::{Config, SIGHUP, SIGUSR1, SignalHook, run};
use rtmfp_service::{Advertise, Credentials, Destination, Listen, LoadWeights, Protocol, RelayConfig};

use self::profiles::FlashProfiles;
use self::users::UserList;

/// Bytes of kernel buffer for each UDP socket and direction, as far as the system allows: a key frame of each of many
/// clients may arrive while the program is not running.
const UDP_BUFFER: usize = 2 << 20;

/// Beside listeners: readiness, wake-ups, signals, standard input and output, a destination that is tried twice.
const OPEN_FILES_A_LOOP: usize = 10;

fn main() -> ExitCode {
    let options = program::read(Relay::try_parse());
    if let Err(error) = options.check() {
        Relay::command().error(ErrorKind::ArgumentConflict, error).exit();
    }
    program::start_log(options.verbosity);
    options.without_effect().iter().for_each(|line| log::warn!("{line}"));
    program::end("rtmfp-relay", relay(options))
}

fn relay(options: Relay) -> Result<(), String> {
    let Relay {
        listen,
        to,
        media,
        security,
        limits,
        workers,
        registration,
        fleet,
        verbosity,
        no_wrong_port_watch,
        drain_timeout,
        ..
    } = options;
    let seed = seed()?;
    let settings = listen.iter().map(|url| url.legacy).chain([to.legacy]);
    let names_legacy_switch = !security.legacy && !settings.into_iter().any(|setting| setting == Some(false));
    let listen = listen.into_iter().map(|url| listener(url, security.legacy)).collect();
    let mut config = RelayConfig::new(listen, destination(to, security.legacy), seed);
    config.names_legacy_switch = names_legacy_switch;
    config.watch_other_ports = !no_wrong_port_watch;
    config.timeouts.drain = drain_timeout.0.unwrap_or(Duration::MAX);
    set_media(&mut config, media);
    set_limits(&mut config, limits);
    let is_chosen = limits.max_clients != Limits::MAX_CLIENTS;
    set_load(&mut config, &fleet);
    let advertise: Vec<_> = fleet.advertise.iter().map(|at| Advertise { ip: at.ip, port: at.port }).collect();
    let has_file = registration.redirector_user_file.is_some();
    let (registration, users) = registration::config(registration, advertise.clone())?;
    config.registration = registration;
    let crypto_threads = security.crypto_threads.into();
    let host = move || Config { crypto_threads, udp_buffer: Some(UDP_BUFFER), ..Config::default() };
    let hook = hook(has_file.then_some(users), config.registration.credentials.clone());
    let profiles = FlashProfiles::new(security)?;
    let count = workers.workers.get();
    open_files::allow(most_open(&config, count), "--max-clients", is_chosen);
    let result = if count > 1 {
        let workers = workers::Plan { count, ports: workers.worker_ports, advertise };
        workers::run(config, &workers, &profiles, host, hook)?
    } else {
        let relay = rtmfp_service::Relay::new(config, Box::new(profiles));
        run(Box::new(relay), Config { signal_hook: Some(hook), ..host() })
    };
    let report = result.map_err(|error| error.to_string())?;
    if verbosity.verbose > 0 {
        program::say(report);
    }
    Ok(())
}

/// What signals do. Without users of a file to be read again SIGHUP ends the relay, as the system has it: its terminal has
/// gone.
fn hook(users: Option<UserList>, credentials: Credentials) -> SignalHook {
    let signals: &[_] = if users.is_some() { &[SIGUSR1, SIGHUP] } else { &[SIGUSR1] };
    SignalHook::new(signals, move |signal, report| match &users {
        Some(users) if signal == SIGHUP => users.read_again(|users| credentials.replace(users)),
        // The empty line says that this was all.
        _ => program::say(format_args!("{report}\n")),
    })
}

/// All that the relay's secrets come from.
fn seed() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    program::randomness(&mut seed)?;
    Ok(seed)
}

/// How many files and sockets may be open at a time.
fn most_open(config: &RelayConfig, workers: usize) -> usize {
    // The front's thread and the first one have a run loop, too, and each listener a port beside it that is watched.
    let loops = workers.saturating_add(2).saturating_mul(OPEN_FILES_A_LOOP + 2 * config.listen.len());
    config.max_clients.saturating_mul(config.sockets_a_client()).saturating_add(loops)
}

/// What a URL says of old programs goes before what is said for all.
fn listener(url: ListenUrl, legacy: bool) -> Listen {
    Listen { protocol: protocol(url.scheme), address: url.address, legacy: url.legacy.unwrap_or(legacy) }
}

fn destination(url: ToUrl, legacy: bool) -> Destination {
    let ToUrl { scheme, host, port, legacy: own } = url;
    Destination { protocol: protocol(scheme), host, port, legacy: own.unwrap_or(legacy) }
}

const fn protocol(scheme: Scheme) -> Protocol {
    match scheme {
        Scheme::Rtmp => Protocol::Rtmp,
        Scheme::RtmpSimple => Protocol::RtmpSimple,
        Scheme::Rtmfp => Protocol::Rtmfp,
    }
}

fn set_media(config: &mut RelayConfig, media: Media) {
    // "For ever" is the longest time there is.
    let time = |Lifetime(time)| time.unwrap_or(Duration::MAX);
    config.link.lifetimes.video = time(media.video_lifetime);
    config.link.lifetimes.audio = time(media.audio_lifetime);
    config.link.lifetimes.finish_margin = time(media.finish_margin);
    config.link.lifetimes.previous_group = media.previous_group_margin.0;
    config.dscp = media.dscp.0;
}

fn set_limits(config: &mut RelayConfig, limits: Limits) {
    config.max_clients = limits.max_clients as usize;
    config.max_clients_per_address = limits.max_clients_per_address as usize;
    config.max_talk = limits.max_commands.0;
    config.link.trusted.message_bytes = limits.max_message.0;
    config.link.trusted.session_bytes = limits.max_memory.0;
    config.link.untrusted.session_bytes = limits.max_memory_before_connect.0;
    config.rtmp.handshake_timeout = limits.handshake_timeout.0;
    config.timeouts.connect = limits.connect_timeout.0;
}

fn set_load(config: &mut RelayConfig, fleet: &FleetOptions) {
    let [connections, bitrate, latency] = fleet.load_weights.0;
    config.load.max_connections = fleet.max_connections.map(|count| count as usize);
    config.load.max_bitrate = fleet.max_bitrate.map(|rate| rate.0);
    config.load.weights = LoadWeights { connections, bitrate, latency };
}
