//! What a relay tells others of itself.

use core::time::Duration;

use rtmfp_base::Time;

use super::load::{Carried, INTERVAL, Load, Meter};
use super::workers::Figures;
use super::{Relay, RelayConfig, Worker};

/// A relay's load, and who hears of it.
#[derive(Debug)]
pub(super) struct Standing {
    meter: Meter,
    load: Load,
    worker: Option<Worker>,
    /// When to measure the load; never, where nobody hears of it.
    at: Time,
}

impl Standing {
    pub(super) fn new(config: &RelayConfig) -> Self {
        let worker = config.worker.as_ref().map(|own| own.worker.clone());
        let is_told = worker.is_some() || !config.registration.redirectors.is_empty();
        let at = if is_told { Time::ZERO } else { Time::MAX };
        let workers = worker.as_ref().map_or(1, |worker| worker.workers().len());
        let meter = Meter::new(config.load.clone(), config.max_clients, workers);
        Self { meter, load: Load::default(), worker, at }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        Some(self.at).filter(|at| !at.is_never())
    }

    pub(super) const fn load(&self) -> &Load {
        &self.load
    }

    pub(super) fn latency(&mut self, latency: Duration) {
        self.meter.latency(latency);
    }

    /// There are so many clients now.
    pub(super) fn clients(&self, clients: usize) {
        if let Some(worker) = &self.worker {
            worker.set_clients(clients);
        }
    }

    /// New clients are not wanted any more.
    pub(super) fn leave(&self) {
        if let Some(worker) = &self.worker {
            worker.leave();
        }
    }
}

impl Relay {
    /// Measures the load, when it is time to, and tells it.
    pub(super) fn measure(&mut self, now: Time) {
        if now < self.standing.at {
            return;
        }
        self.standing.at = now + INTERVAL;
        let gone = &self.shared.counters.near;
        let gone = gone.received_bytes + gone.sent_bytes;
        let carried = self.clients.values().fold(gone, |sum, client| sum.saturating_add(client.carried()));
        let own = Carried { clients: self.clients.len(), bytes: carried };
        let all = match &self.standing.worker {
            Some(worker) => worker.workers().total(),
            None => Figures { clients: self.admission.clients() as u64, bitrate: 0 },
        };
        let load = self.standing.meter.measure(now, own, all);
        self.standing.load = load;
        if let Some(worker) = &self.standing.worker {
            worker.set_load(now, &load);
        }
        self.registrations.set_load(&mut self.shared, now, &load);
    }
}
