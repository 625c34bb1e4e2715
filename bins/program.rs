//! What the programs share: logs, randomness, what they say to people, how they end.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use env_logger::Env;
use rand::TryRng;
use rand::rngs::SysRng;
use rtmfp_cli::{EXIT_FAILURE, Verbosity};

/// Sends logs to standard error, as `RUST_LOG` says or else as the command line does.
pub(crate) fn start_log(verbosity: Verbosity) {
    env_logger::Builder::from_env(Env::default().default_filter_or(verbosity.level()))
        .format_timestamp_millis()
        .init();
}

/// Fills a buffer from the system's randomness.
///
/// # Errors
/// When the system has none to give.
pub(crate) fn randomness(bytes: &mut [u8]) -> Result<(), String> {
    SysRng.try_fill_bytes(bytes).map_err(|error| format!("no randomness from the system: {error}"))
}

/// Ends a program: says on standard error what went wrong, if anything did.
pub(crate) fn end(name: &str, result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{name}: {error}"));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
/// Says something to people, on standard error. If nobody can read it, so be it: a program does not end because of it.
///
/// It is one piece, so that what others write at the same time does not get between.
pub(crate) fn say(text: impl Display) {
    let text = format!("{text}\n");
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

