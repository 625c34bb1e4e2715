use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rtmfp_base::Time;

use crate::clock;
use crate::worker::{QueueFull, Worker};

/// How many addresses of a name are used.
const MAX_ADDRESSES: usize = 64;

/// How names are looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolverOptions {
    /// How many look-ups the system may be at together.
    pub threads: usize,
    /// How many look-ups may be outstanding; more fail at once.
    pub limit: usize,
    /// How long a look-up may take; then it has failed, even if the system is still at it.
    pub timeout: Duration,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self { threads: 4, limit: 256, timeout: Duration::from_secs(5) }
    }
}

type LookUp = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Asks the system for the addresses of names, on threads of its own.
pub(crate) struct Resolver {
    look_up: Arc<LookUp>,
    /// Started by the first look-up: many programs never need one.
    worker: Option<Worker>,
    options: ResolverOptions,
}

impl Resolver {
    pub(crate) fn new(options: ResolverOptions) -> Self {
        Self::with(options, Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect())))
    }

    pub(crate) fn with(options: ResolverOptions, look_up: Arc<LookUp>) -> Self {
        Self { look_up, worker: None, options }
    }

    pub(crate) const fn options(&self) -> &ResolverOptions {
        &self.options
    }

    /// Looks a name up and hands the result to `done`, on another thread. Nobody waits for it any more after
    /// `deadline`: if it has not begun by then, it is left.
    pub(crate) fn start(
        &mut self,
        host: String,
        port: u16,
        deadline: Time,
        done: impl FnOnce(Result<Vec<SocketAddr>, String>) + Send + 'static,
    ) -> Result<(), String> {
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => {
                let worker = Worker::new("resolver", self.options.threads, self.options.limit);
                none.insert(worker.map_err(|error| format!("cannot start the resolver: {error}"))?)
            }
        };
        let look_up = Arc::clone(&self.look_up);
        let task = move || {
            if clock::now() < deadline {
                done(answer(look_up(&host, port)));
            }
        };
        worker.submit(task).map_err(|QueueFull| "too many look-ups at once".to_owned())
    }
}

fn answer(result: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, String> {
    match result {
        Ok(addresses) if addresses.is_empty() => Err("the name has no addresses".to_owned()),
        Ok(mut addresses) => {
            addresses.truncate(MAX_ADDRESSES);
            Ok(addresses)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The address that `host` is the text of, with or without the brackets that IPv6 has in URIs.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_text_need_no_look_up() {
        assert_eq!(literal("192.0.2.1"), Some(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(literal("[2001:db8::1]"), literal("2001:db8::1"));
        assert!(literal("::1").is_some());
        for name in ["localhost", "", "[192.0.2.1]", "[::1", "1.2.3", "[]"] {
            assert_eq!(literal(name), None, "{name}");
        }
    }
}
