//! Room for many connections.

/// Allows as many open files as the system gives, and warns if an option asks for more.
pub(crate) fn allow(needed: usize, option: &str) {
    let limit = rtmfp_runtime::raise_descriptor_limit();
    if needed > limit {
        log::warn!(
            "{option} may take {needed} open files and sockets, and the system allows {limit}: allow more (LimitNOFILE= in a \
             unit of systemd, ulimit -n in a shell), or lower {option}"
        );
    }
}
