//! What a session remembers of address checks, and what changes when its path does (RFC 7016 section 3.5.4.2).

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use rtmfp_base::{InterfaceId, Time};

use super::{Blank, Session, Timer};

/// A check is not begun sooner after the one before it.
const CHECK_PERIOD: Duration = Duration::from_secs(1);

/// An answer is good for so long, in seconds.
const ANSWER_AGE: u64 = 120;

/// The checks of other addresses from which a session's packets came.
#[derive(Debug)]
pub(crate) struct Checks {
    /// When the last one was begun.
    begun: Option<Time>,
    /// The time, in seconds, of the newest one that was answered.
    accepted: Option<u64>,
}

impl Blank for Checks {
    const NEW: Self = Self { begun: None, accepted: None };
    const BLANK: &'static Self = &Self::NEW;
}

impl Checks {
    /// Whether another check may begin.
    pub(crate) fn may_begin(&self, now: Time) -> bool {
        self.begun.is_none_or(|at| now.since(at) >= CHECK_PERIOD)
    }

    pub(crate) fn begin(&mut self, now: Time) {
        self.begun = Some(now);
    }

    /// Whether the answer to a check of that time is worth anything: it is newer than all before, and not too old.
    pub(crate) fn is_fresh(&self, now: Time, seconds: u64) -> bool {
        let age = now.as_secs().checked_sub(seconds);
        age.is_some_and(|age| age <= ANSWER_AGE) && self.accepted.is_none_or(|last| seconds > last)
    }

    pub(crate) fn accept(&mut self, seconds: u64) {
        self.accepted = Some(seconds);
    }
}

impl Session {
    /// Packets go to or leave from somewhere else from now on. What was learned of the path that was no longer
    /// holds, but for the round-trip time and the window: they are the best guess, and soon corrected.
    pub(crate) fn change_path(
        &mut self,
        now: Time,
        interface: InterfaceId,
        to: SocketAddr,
        src_ip: Option<IpAddr>,
    ) {
        self.path.interface = interface;
        self.path.to = to;
        self.path.src_ip = src_ip;
        self.congestion.on_path_change(now);
        self.mtu.shrink(now);
        if !self.is_open() {
            return;
        }
        // Packets to the old place were probably in vain: their time-outs say nothing of the new one.
        self.path.forget_back_off();
        if let Some(since) = &mut self.life.stalled_since {
            *since = now;
        }
        self.refill_burst();
        if self.timers.is_set(Timer::Retransmit) {
            self.timers.set_earlier(Timer::Retransmit, now + self.path.erto);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fresh_once_and_for_two_minutes() {
        let mut checks = Checks::NEW;
        let now = Time::from_secs(500);
        assert!(checks.is_fresh(now, 380) && !checks.is_fresh(now, 379));
        assert!(!checks.is_fresh(now, 501), "from the future");
        checks.accept(400);
        assert!(!checks.is_fresh(now, 400) && !checks.is_fresh(now, 399) && checks.is_fresh(now, 401));
    }

    #[test]
    fn checks_are_a_second_apart() {
        let mut checks = Checks::NEW;
        let now = Time::from_millis(999);
        assert!(checks.may_begin(now));
        checks.begin(now);
        assert!(!checks.may_begin(Time::from_millis(1998)) && checks.may_begin(Time::from_millis(1999)));
    }
}
