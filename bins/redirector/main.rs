//! `rtmfp-redirector`: reads the command line, and runs the redirector of `rtmfp-service` on the run loop.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

#[path = "../program.rs"]
mod program;
#[path = "../randomness.rs"]
mod randomness;
mod settings;
#[path = "../users.rs"]
mod users;

use std::process::ExitCode;

use clap::CommandFactory;
use rtmfp::crypto::Profile;
use rtmfp_base::Time;
use rtmfp_cli::Redirector;
use rtmfp_flash::{Ancillary, FlashConfig, FlashProfile, Group, KeySource};
use rtmfp_redirect::PoolConfig;
use rtmfp_runtime::{Config, Report, SIGHUP, ServiceHook, run};
use rtmfp_service::{RedirectorConfig, RedirectorMode};

use self::users::UserList;

/// Bytes of kernel buffer for each UDP socket and direction, as far as the system allows: many clients may come at once.
const UDP_BUFFER: usize = 2 << 20;

fn main() -> ExitCode {
    let options = program::read(Redirector::read(std::env::args_os()));
    if let Err(error) = options.check() {
        Redirector::command().error(clap::error::ErrorKind::ValueValidation, error).exit();
    }
    program::start_log(options.verbosity);
    program::end("rtmfp-redirector", redirector(options))
}

fn redirector(options: Redirector) -> Result<(), String> {
    let users =
        UserList::new(options.access.users.clone(), options.access.users_file.clone(), "--users-file");
    let pools = settings::pools(&options.selection);
    let mode = match options.fixed() {
        Some(addresses) => RedirectorMode::Fixed {
            addresses,
            rotate: options.rotate,
            same_family: options.selection.same_family,
            limits: settings::redirect_limits(&options.limits),
        },
        None => {
            let users = users.read()?;
            settings::warn_of_pools(&pools, &users);
            RedirectorMode::Targets { server: Box::new(settings::server(&options)), users }
        }
    };
    let mut seed = [0; 32];
    program::randomness(&mut seed)?;
    let listen = options.listen.iter().map(|listen| listen.0).collect();
    let mut config = RedirectorConfig::new(listen, mode, seed);
    config.idle = options.sessions.idle_limit.0;
    let profile = profile(options.name, options.sessions.dh_groups.0)?;
    let service = rtmfp_service::Redirector::new(config, profile);
    let host = Config {
        crypto_threads: options.sessions.crypto_threads.into(),
        udp_buffer: Some(UDP_BUFFER),
        service_hook: Some(hook(users, pools)),
        ..Config::default()
    };
    let report = run(Box::new(service), host).map_err(|error| error.to_string())?;
    if options.verbosity.verbose > 0 {
        program::say(report);
    }
    Ok(())
}

/// Nobody's URI selects it; servers find it by its name.
fn profile(hostname: Option<String>, groups: Vec<Group>) -> Result<Box<dyn Profile>, String> {
    let mut config = FlashConfig::server();
    config.hostname = hostname;
    config.ancillary = Ancillary::Refused;
    config.keys = KeySource::Ephemeral { groups };
    let profile = randomness::with_randomness(|random| FlashProfile::new(config, random))?;
    Ok(Box::new(profile.map_err(|error| error.to_string())?))
}

/// What signals do.
fn hook(users: UserList, pools: Vec<PoolConfig>) -> ServiceHook {
    let call = move |signal, service: &mut rtmfp_service::Redirector, now: Time, report: &Report| {
        if signal == SIGHUP {
            users.read_again(|users| {
                settings::warn_of_pools(&pools, &users);
                service.set_users(now, users);
            });
        } else {
            // The empty line says that this was all.
            program::say(format_args!("{}{}\n", service.status(now), report.stats));
        }
    };
    ServiceHook::new(&[rtmfp_runtime::SIGUSR1, SIGHUP], call)
}
