//! What the programs share: logs, randomness, what they say to people, how they end.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::{Resettable, StyledStr};
use clap::error::{ContextKind, ContextValue};
use clap::{Command, Error, Parser};
use env_logger::Env;
use rand::TryRng;
use rand::rngs::SysRng;
use rtmfp_cli::{EXIT_FAILURE, Verbosity};

/// A command line that was read, or the end of the program if it cannot be understood.
pub(crate) fn read<T: Parser>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| name_variable(error, T::command()).exit())
}

/// Adds the environment variable that a wrong value comes from: the error names the option only, which stands nowhere.
fn name_variable(mut error: Error, command: Command) -> Error {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.clone(),
        _ => return error,
    };
    let mut built = command.clone();
    // Before that, arguments have no text.
    built.build();
    let named = built.get_arguments().find(|arg| arg.to_string() == argument);
    let Some((id, variable)) = named.and_then(|arg| Some((arg.get_id().clone(), arg.get_env()?.to_owned())))
    else {
        return error;
    };
    // It is the variable's fault if the same cannot be said without it.
    let without = command.mut_arg(id, |arg| arg.env(Resettable::Reset)).try_get_matches();
    let is_same = |other: &Error| {
        other.kind() == error.kind()
            && other.get(ContextKind::InvalidArg) == error.get(ContextKind::InvalidArg)
    };
    if std::env::var_os(&variable).is_some() && !without.is_err_and(|other| is_same(&other)) {
        let tip = format!("the value is that of the environment variable {}", variable.display());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

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

/// Says something to people, on standard error. If nobody can read it, so be it: a program does not end because of it.
///
/// It is one piece, so that what others write at the same time does not get between.
pub(crate) fn say(text: impl Display) {
    let text = format!("{text}\n");
    let _ = io::stderr().lock().write_all(text.as_bytes());
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
