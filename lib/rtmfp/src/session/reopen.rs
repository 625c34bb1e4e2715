//! Windows that have reopened: the acknowledgement that tells it may be lost, and the sender would find out by its next
//! buffer probe only, up to a minute later. So it is sent again, a few times, until data comes (RFC 7016 section
//! 3.6.3.4.1 lets a receiver acknowledge whenever it likes).

use core::time::Duration;

use rtmfp_base::Time;

use super::{Session, Timer};

const REPETITIONS: u8 = 3;

/// A flow whose sender may not know yet that it can go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reopened {
    at: Time,
    pause: Duration,
    left: u8,
}

impl Session {
    /// A flow's window is told to be open after it was (nearly) closed.
    pub(crate) fn note_reopened(&mut self, now: Time, wire_id: u64) {
        let pause = self.path.erto;
        let reopened = Reopened { at: now + pause, pause, left: REPETITIONS };
        self.receiving.reopened.insert(wire_id, reopened);
        self.timers.set_earlier(Timer::Reopen, reopened.at);
    }

    /// Data came, or the window is closed again: the sender knows.
    pub(crate) fn forget_reopened(&mut self, wire_id: u64) {
        if !self.receiving.reopened.is_empty() {
            self.receiving.reopened.remove(&wire_id);
        }
    }

    /// Tells again what is due, each time after twice the pause.
    pub(crate) fn tell_reopened_again(&mut self, now: Time) {
        let (receiving, acks) = (&mut *self.receiving, &mut self.acks);
        receiving.reopened.retain(|wire_id, reopened| {
            if reopened.at <= now && receiving.by_wire.contains_key(wire_id) {
                acks.owe(*wire_id);
                reopened.left -= 1;
                reopened.pause *= 2;
                reopened.at = now + reopened.pause;
            }
            reopened.at > now && reopened.left > 0
        });
        if let Some(at) = receiving.reopened.values().map(|reopened| reopened.at).min() {
            self.timers.set_earlier(Timer::Reopen, at);
        }
    }
}
