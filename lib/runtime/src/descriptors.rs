//! How many files a process may have open, sockets among them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows as many open files as may be had without privileges, and returns how many those are.
///
/// Systems begin with a low limit, often 1024, for the sake of programs that use `select`, and leave it to others to raise
/// it. Where that does not work the limit stays as it was.
pub fn raise_descriptor_limit() -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        // Then there is none to be found.
        return usize::MAX;
    };
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            log::debug!("the limit of open files stays at {soft}: {error}");
            soft
        }
    };
    usize::try_from(limit).unwrap_or(usize::MAX)
}
