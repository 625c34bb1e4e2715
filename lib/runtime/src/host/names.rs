//! The name look-ups of a service.

use std::collections::HashMap;
use std::net::SocketAddr;

use rtmfp_base::{Counters, Input, NameId, Visit};

use super::Host;
use crate::resolver::{Resolver, literal};
use crate::{ResolverOptions, RunLoop, TimerId, clock};

pub(super) struct Names {
    resolver: Resolver,
    /// Look-ups that wait for an answer, and when they stop waiting.
    waiting: HashMap<NameId, TimerId>,
    pub(super) counters: NameCounters,
}

/// What happened to look-ups, those of addresses left out.
#[derive(Debug, Default)]
pub(super) struct NameCounters {
    asked: u64,
    failed: u64,
    timed_out: u64,
}

impl Counters for NameCounters {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("names_asked", self.asked);
        visit("names_failed", self.failed);
        visit("names_timed_out", self.timed_out);
    }
}

impl Names {
    pub(super) fn new(options: ResolverOptions) -> Self {
        Self::with(Resolver::new(options))
    }

    fn with(resolver: Resolver) -> Self {
        Self { resolver, waiting: HashMap::new(), counters: NameCounters::default() }
    }
}

impl Host {
    pub(super) fn resolve(&mut self, run_loop: &mut RunLoop<Self>, name: NameId, host: String, port: u16) {
        if let Some(ip) = literal(&host) {
            let result = Ok(vec![SocketAddr::new(ip, port)]);
            return self.feed(run_loop, Input::Resolved { name, result });
        }
        let names = &mut self.names;
        names.counters.asked += 1;
        if let Some(timer) = names.waiting.remove(&name) {
            run_loop.cancel_timer(timer);
        }
        if names.waiting.len() >= names.resolver.options().limit {
            let error = "too many look-ups at once".to_owned();
            return self.resolved(run_loop, name, Err(error));
        }
        let deadline = clock::now() + names.resolver.options().timeout;
        let timer = run_loop.set_timer(deadline, move |host: &mut Self, run_loop| {
            host.names.waiting.remove(&name);
            host.names.counters.timed_out += 1;
            host.resolved(run_loop, name, Err("the look-up timed out".to_owned()));
        });
        names.waiting.insert(name, timer);
        let performer = run_loop.performer();
        let done = move |result| {
            performer.perform(move |host: &mut Self, run_loop: &mut RunLoop<Self>| {
                // If it is not this look-up that waits, it has been answered or replaced.
                if host.names.waiting.get(&name) == Some(&timer) {
                    host.names.waiting.remove(&name);
                    run_loop.cancel_timer(timer);
                    host.resolved(run_loop, name, result);
                }
            });
        };
        if let Err(error) = names.resolver.start(host, port, deadline, done) {
            names.waiting.remove(&name);
            run_loop.cancel_timer(timer);
            self.resolved(run_loop, name, Err(error));
        }
    }

    fn resolved(
        &mut self,
        run_loop: &mut RunLoop<Self>,
        name: NameId,
        result: Result<Vec<SocketAddr>, String>,
    ) {
        self.names.counters.failed += u64::from(result.is_err());
        self.feed(run_loop, Input::Resolved { name, result });
    }
}

#[cfg(test)]
mod tests;
