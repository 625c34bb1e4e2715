//! What is due: deadlines, silence, other turns.

use core::time::Duration;

use rtmfp::Endpoint;
use rtmfp_base::Time;

use super::Server;
use super::takers::Takers;
use super::target::LeaveReason;

/// How often targets are looked at whether they are silent.
const LOOK: Duration = Duration::from_secs(1);

impl Server {
    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.targets.is_empty() {
            return None;
        }
        let deadline = self.deadlines.first().map_or(Time::MAX, |&(at, _)| at);
        let shuffle = if self.config.shuffle_interval.is_zero() { Time::MAX } else { self.shuffle_at };
        Some(deadline.min(self.look_at).min(shuffle))
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        while let Some(&(at, id)) = self.deadlines.first()
            && at <= now
        {
            let refused = self.targets.get(id).is_some_and(|target| target.trust.refused);
            self.close(now, endpoint, id, if refused { LeaveReason::BadAuth } else { LeaveReason::Late });
        }
        if self.look_at <= now {
            self.look_at = now + LOOK;
            self.look_for_silent(now, endpoint);
        }
        if self.shuffle_at <= now && !self.config.shuffle_interval.is_zero() {
            self.shuffle_at = now + self.config.shuffle_interval;
            self.takers.iter_mut().for_each(Takers::shuffle);
        }
    }

    fn look_for_silent(&mut self, now: Time, endpoint: &mut Endpoint) {
        for id in self.targets.ids() {
            let Some(target) = self.targets.get_mut(id).filter(|target| target.registered.is_some()) else {
                continue;
            };
            let session = endpoint.session(target.session);
            let packets = session.map_or(0, |session| session.counters().received_packets);
            if packets != target.heard.0 {
                target.heard = (packets, now);
            }
            let silent = now.since(target.heard.1) > self.config.silent_after;
            if silent != target.silent {
                target.silent = silent;
                self.stats.silenced += u64::from(silent);
                self.settle(id);
            }
        }
    }
}
