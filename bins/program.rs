//! What the programs share: logs, randomness, how they end.

use std::fmt::Display;
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
            eprintln!("{name}: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
