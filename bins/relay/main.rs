//! `rtmfp-relay`: reads the command line, and runs the relay of `rtmfp-service` on the run loop.
#![forbid(unsafe_code)]

mod key_log;
mod profiles;
#[path = "../program.rs"]
mod program;
#[path = "../randomness.rs"]
mod randomness;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rtmfp_cli::{Lifetime, Limits, ListenUrl, Media, Relay, Scheme, ToUrl};
use rtmfp_runtime::{Config, run};
use rtmfp_service::{Destination, Listen, Protocol, RelayConfig};

use self::profiles::FlashProfiles;

/// Bytes of kernel buffer for each UDP socket and direction, as far as the system allows: a key frame of each of many
/// clients may arrive while the program is not running.
const UDP_BUFFER: usize = 2 << 20;

fn main() -> ExitCode {
    let options = Relay::parse();
    program::start_log(options.verbosity);
    program::end("rtmfp-relay", relay(options))
}

fn relay(options: Relay) -> Result<(), String> {
    let Relay { listen, to, media, security, limits, verbosity, .. } = options;
    let mut seed = [0; 32];
    program::randomness(&mut seed)?;
    let listen = listen.into_iter().map(|url| listener(url, security.legacy)).collect();
    let mut config = RelayConfig::new(listen, destination(to, security.legacy), seed);
    set_media(&mut config, media);
    set_limits(&mut config, limits);
    let crypto_threads = security.crypto_threads.into();
    let host = Config { crypto_threads, udp_buffer: Some(UDP_BUFFER), ..Config::default() };
    let profiles = FlashProfiles::new(security)?;
    let relay = rtmfp_service::Relay::new(config, Box::new(profiles));
    let report = run(Box::new(relay), host).map_err(|error| error.to_string())?;
    if verbosity.verbose > 0 {
        eprintln!("{report}");
    }
    Ok(())
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
    config.link.trusted.message_bytes = limits.max_message.0;
    config.link.trusted.session_bytes = limits.max_memory.0;
    config.link.untrusted.session_bytes = limits.max_memory_before_connect.0;
    config.rtmp.handshake_timeout = limits.handshake_timeout.0;
    config.timeouts.connect = limits.connect_timeout.0;
}
