//! Congestion that shows by delay, before anything is lost.
//!
//! What packets wait in queues is the smoothed round-trip time less the base. From half of the session's threshold on
//! a controller behaves as if the queue marked packets at random, the more of them the longer it is, and at the
//! threshold itself as if one had been lost (an end's emulation of active queue management). A sharp edge alone would
//! let those ends grow at the cost of the others that believe in a base a little larger than theirs.
//!
//! An end that comes to a queue that others hold up takes the delay that it finds for the base. So each one makes its
//! window small for a round trip once in a while, some time after it saw the base last. Those who share a queue see it
//! short at the same time, so that they do this together from then on, and all see the empty path.

use core::time::Duration;

use rtmfp_base::Time;

use super::Acknowledgement;
use super::base_rtt::BaseRtt;
use crate::MAX_FRAGMENT;

/// Below this smoothed round-trip time nothing is done: timestamps count in steps of 4 ms.
const LEAST_RTT: Duration = Duration::from_millis(30);
/// A step of the timestamps.
const TICK: Duration = Duration::from_millis(4);
/// The base is looked for again when the path was not seen empty for this long, the same for all, or this many round
/// trips where that is longer.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const PROBE_AFTER_TRIPS: u32 = 60;
/// So many samples of a round trip tell what its least one will be.
const ENOUGH: u32 = 4;
/// At the threshold one in so many segments would be marked; at half of it one in `OCTAVES` powers of two more.
const SEGMENTS: u64 = 10;
const OCTAVES: u64 = 8;

/// What the delay tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sense {
    /// Nothing is in the way of growth.
    Clear,
    /// There is a queue: slow start has found the path's capacity.
    Queue,
    /// The base should be looked for by a small window.
    Probe,
    /// React as to a loss.
    Congested,
}

/// The least sample of a round trip.
///
/// Growth sends packets in bursts, and a burst waits for itself: by half of the window while that doubles. Only a queue
/// that the first packets of a round trip meet as well is more than that.
#[derive(Clone, Debug, Default)]
struct Rounds {
    since: Time,
    samples: u32,
    least: Duration,
    /// That of the round trip before.
    before: Duration,
}

impl Rounds {
    fn note(&mut self, now: Time, srtt: Duration, sample: Duration) {
        if self.samples == 0 || now.since(self.since) >= srtt {
            self.before = if self.samples == 0 { sample } else { self.least };
            (self.since, self.samples, self.least) = (now, 0, sample);
        }
        self.samples += 1;
        self.least = self.least.min(sample);
    }

    /// The round-trip time without the waits that bursts make for themselves.
    fn floor(&self) -> Duration {
        if self.samples >= ENOUGH { self.least } else { self.least.min(self.before) }
    }
}

/// The watch over the delay of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Delay {
    base: BaseRtt,
    /// The samples of this round trip and of the one before.
    rounds: Rounds,
    /// When the path was last seen empty, or made so.
    seen: Time,
    /// Acknowledged bytes by the weight of the delay that they met, since the last congestion.
    pressure: u64,
}

impl Delay {
    /// The least round-trip time.
    pub(super) fn base(&self) -> Option<Duration> {
        self.base.get()
    }

    /// Forgets the base: the path may be another, or nobody knows what it is like now.
    pub(super) fn forget(&mut self) {
        self.base.forget();
    }

    /// Takes the sample that came with an acknowledgement.
    pub(super) fn note(&mut self, ack: &Acknowledgement) {
        let Some(sample) = ack.rtt_sample else { return };
        let before = self.base.get();
        self.rounds.note(ack.now, ack.srtt.unwrap_or(sample), sample);
        self.base.note(ack.now, sample);
        // Near a base for long says nothing: it may be that of a queue that others hold up.
        let dip = ack.srtt.is_some_and(|srtt| srtt > sample + TICK * 2);
        if before.is_none_or(|base| sample < base || (dip && sample <= base + TICK)) {
            self.seen = ack.now;
        }
    }

    /// What an acknowledgement's round-trip time says about queues.
    pub(super) fn sense(&mut self, ack: &Acknowledgement) -> Sense {
        let (Some(threshold), Some(srtt), Some(base)) = (ack.delay, ack.srtt, self.base.get()) else {
            return Sense::Clear;
        };
        // A queue that the newest samples do not show any more has been dealt with.
        let queue = srtt.min(self.rounds.floor()).saturating_sub(base);
        if srtt < LEAST_RTT || threshold.is_zero() {
            return Sense::Clear;
        }
        if ack.rtt_sample.is_some() && queue >= threshold {
            self.pressure = 0;
            return Sense::Congested;
        }
        if queue * 2 > threshold {
            self.pressure += ack.acked as u64 * weight(queue, threshold);
            if self.pressure >= (SEGMENTS * MAX_FRAGMENT as u64) << (OCTAVES + FRACTION) {
                self.pressure = 0;
                return Sense::Congested;
            }
        }
        let patience = PROBE_AFTER.max(base * PROBE_AFTER_TRIPS);
        if ack.now.since(self.seen) >= patience {
            return Sense::Probe;
        }
        let queued = self.rounds.floor().saturating_sub(base) * 2 > threshold;
        if queued { Sense::Queue } else { Sense::Clear }
    }

    /// The window was made small to look for the base.
    pub(super) fn probed(&mut self, now: Time) {
        self.seen = now;
    }
}

/// Bits behind the point of a weight.
const FRACTION: u64 = 8;

/// Two to the power of the octaves that the queue is beyond half of the threshold, straight between whole ones.
fn weight(queue: Duration, threshold: Duration) -> u64 {
    let beyond = (queue * 2).saturating_sub(threshold).as_micros() as u64;
    let whole = (threshold.as_micros() as u64).max(1);
    let level = (OCTAVES << FRACTION) * beyond.min(whole) / whole;
    ((1 << FRACTION) + (level & 0xff)) << (level >> FRACTION)
}
