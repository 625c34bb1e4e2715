//! Room for many connections.

use log::Level;

/// Allows as many open files as the system gives, and tells if an option asks for more: as a warning if somebody has chosen
/// its value, which is not kept then.
pub(crate) fn allow(needed: usize, option: &str, is_chosen: bool) {
    let limit = rtmfp_runtime::raise_descriptor_limit();
    if needed > limit {
        let level = if is_chosen { Level::Warn } else { Level::Info };
        log::log!(
            level,
            "{option} may take {needed} open files and sockets, and the system allows {limit}: allow more (LimitNOFILE= in a \
             unit of systemd, ulimit -n in a shell), or lower {option}"
        );
    }
}
