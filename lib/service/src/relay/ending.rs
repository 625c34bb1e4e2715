//! The end of a relay: streams go on to theirs, and what carries nothing does not hold it up.

use core::time::Duration;

use log::{debug, info};
use rtmfp_base::{Action, Counters, Time};

use super::Relay;
use super::client::ClientId;

/// How far a relay has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Running,
    /// No new clients.
    Draining {
        /// When those that are still there are ended.
        until: Time,
        /// When to look again for some that carry nothing.
        look: Time,
    },
    /// No clients any more; endpoints take leave.
    Leaving,
    Finished,
}

impl Phase {
    pub(super) fn poll_timeout(self) -> Option<Time> {
        match self {
            Self::Draining { until, look } => Some(until.min(look)).filter(|at| !at.is_never()),
            _ => None,
        }
    }
}

/// Clients are looked at so often at most.
const LOOK: Duration = Duration::from_secs(1);

impl Relay {
    pub(super) fn drain(&mut self, now: Time) {
        if self.phase != Phase::Running {
            return;
        }
        info!(
            "draining: {} clients go on to their end, those that carry nothing end now",
            self.clients.len()
        );
        self.phase = Phase::Draining { until: now + self.shared.config.timeouts.drain, look: now };
        self.standing.leave();
        // Before anything ends: others are to have time to learn of it.
        self.registrations.drain(&mut self.shared, now);
        self.listeners.close(&mut self.shared);
        self.go_on_draining(now);
    }

    /// Ends clients that the relay does not wait for any more.
    pub(super) fn go_on_draining(&mut self, now: Time) {
        let Phase::Draining { until, look } = self.phase else { return };
        if now < until.min(look) {
            return;
        }
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        if until <= now {
            info!("draining: the time is up (--drain-timeout), {} clients are ended", ids.len());
            self.phase = Phase::Draining { until: Time::MAX, look: Time::MAX };
            for id in ids {
                self.with(id, |client, shared| client.end_for_drain(shared, now));
            }
            return;
        }
        let mut next = Time::MAX;
        for id in ids {
            let mut again = None;
            self.with(id, |client, shared| again = client.drain(shared, now));
            next = next.min(again.unwrap_or(Time::MAX));
        }
        let look = if next.is_never() { next } else { next.max(now + LOOK) };
        self.phase = Phase::Draining { until, look };
    }

    /// The next step of the end, if its time has come.
    pub(super) fn go_on_ending(&mut self, now: Time) {
        if matches!(self.phase, Phase::Draining { .. }) && self.clients.is_empty() {
            self.phase = Phase::Leaving;
            self.registrations.close(&mut self.shared, now);
            self.listeners.retire(&mut self.shared, now);
        }
        if self.phase == Phase::Leaving && self.shared.endpoints.is_empty() {
            self.finish(Ok(()));
        }
    }

    pub(super) fn stop(&mut self, now: Time) {
        self.registrations.close(&mut self.shared, now);
        self.listeners.close(&mut self.shared);
        let ids: Vec<ClientId> = self.clients.keys().copied().collect();
        for id in ids {
            self.with(id, |client, shared| client.abort(shared, now));
        }
        self.shared.endpoints.abort_all(now);
        self.finish(Ok(()));
    }

    pub(super) fn finish(&mut self, result: Result<(), String>) {
        if self.phase != Phase::Finished {
            self.phase = Phase::Finished;
            for (name, value) in self.to_list().into_iter().filter(|(_, value)| *value > 0) {
                debug!("{name}: {value}");
            }
            self.shared.actions.push_back(Action::Finished(result));
        }
    }
}
