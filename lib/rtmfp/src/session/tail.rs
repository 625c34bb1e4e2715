//! The tail loss probe: what was lost at the end of what was sent is overtaken by nothing, and would cost a time-out.
//!
//! When no acknowledgement has come for about two round trips although several packets are under way, so that one was
//! obligatory (RFC 7016 section 3.6.3.4.5), the last fragment is taken for lost and sent again, once until the next
//! acknowledgement. Section 3.6.2.5 lets a sender judge by other signs than three negative acknowledgements. The
//! probe is one packet; the six of section 3.5.2.3 were sent two round trips ago. What its acknowledgement shows to be
//! missing was overtaken by much more than three packets' time, and is lost.

use core::time::Duration;

use rtmfp_base::Time;

use super::{Flows, Session, Timer};

/// Steps of the far end's clock, and of a slow timer.
const SLACK: Duration = Duration::from_millis(12);
/// A single packet may be acknowledged this much later (RFC 7016 section 3.6.3.4.4).
const DELAYED_ACK: Duration = Duration::from_millis(200);

/// The state of the probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tail {
    /// An acknowledgement has come since the last probe or time-out.
    allowed: bool,
    /// The next acknowledgement tells of a loss that the probe made good.
    repaired: bool,
}

impl Tail {
    pub(super) const NEW: Self = Self { allowed: false, repaired: false };
}

impl Session {
    /// After data was sent, or acknowledged: the probe is due if nothing is heard of what is under way.
    pub(crate) fn arm_tail_probe(&mut self, now: Time) {
        self.timers.stop(Timer::Tail);
        let Some(packets) = self.flight.packets().filter(|_| self.flight.tail.allowed) else { return };
        let Some(srtt) = self.path.srtt() else { return };
        let mut patience = srtt + srtt.max(self.path.rttvar() * 4) + SLACK;
        if packets < 2 {
            patience += DELAYED_ACK;
        }
        // Where the time-out is as near, it does the same.
        if patience + SLACK < self.path.erto {
            self.timers.set(Timer::Tail, now + patience);
        }
    }

    /// An acknowledging packet has come. Answers whether it tells of a loss that only the probe has found.
    pub(crate) fn note_tail_acknowledged(&mut self, acked: usize) -> bool {
        if acked == 0 {
            return false;
        }
        self.flight.tail.allowed = true;
        core::mem::take(&mut self.flight.tail.repaired)
    }

    /// After a time-out there is no probe until something is acknowledged.
    pub(crate) fn forbid_tail_probe(&mut self) {
        if let Some(flight) = self.flight.used() {
            flight.tail = Tail::NEW;
        }
        self.timers.stop(Timer::Tail);
    }

    /// Takes the last fragment under way for lost, to be sent again at once.
    pub(crate) fn probe_tail(&mut self, now: Time, flows: &mut Flows) {
        self.flight.tail.allowed = false;
        let losses = self.lose_last(now, flows);
        if losses.fragments == 0 {
            return;
        }
        self.flight.tail.repaired = losses.wanted;
        self.counts.tail_probes += 1;
        self.counts.lost_fragments += losses.fragments;
        self.counts.lost_bytes += losses.bytes as u64;
    }
}
