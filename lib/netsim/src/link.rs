use rtmfp_base::{Counters, Ecn, Time, Visit};

use crate::{Dice, Fault, Faults, LinkConfig, Loss};

/// What one direction of a link did with the datagrams offered to it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LinkCounters {
    /// Offered.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Sent on to the link's other end, copies included; some may still be on their way.
    pub passed: u64,
    /// Their bytes.
    pub passed_bytes: u64,
    /// Lost by [`LinkConfig::loss`].
    pub lost: u64,
    /// Bursts of [`LinkConfig::loss`] that began.
    pub bursts: u64,
    /// Lost because the queue was full.
    pub queue_drops: u64,
    /// Lost because they were longer than the link takes.
    pub mtu_drops: u64,
    /// Lost because the link was blocked.
    pub blocked: u64,
    /// Sent on twice.
    pub duplicated: u64,
    /// Held back for others to overtake.
    pub reordered: u64,
    /// Those, and copies of them, that [`LinkConfig::jitter`] made later.
    pub jittered: u64,
    /// Changed.
    pub corrupted: u64,
    /// Shortened.
    pub truncated: u64,
    /// Marked "congestion experienced".
    pub ce_marked: u64,
    /// Freed from their ECN mark.
    pub bleached: u64,
}

impl LinkCounters {
    pub(crate) fn add_faults(&self, faults: &mut Faults) {
        for (fault, count) in [
            (Fault::Lost, self.lost),
            (Fault::LossBurst, self.bursts),
            (Fault::QueueFull, self.queue_drops),
            (Fault::TooLong, self.mtu_drops),
            (Fault::Blocked, self.blocked),
            (Fault::Duplicated, self.duplicated),
            (Fault::Reordered, self.reordered),
            (Fault::Jittered, self.jittered),
            (Fault::Corrupted, self.corrupted),
            (Fault::Truncated, self.truncated),
            (Fault::CeMarked, self.ce_marked),
            (Fault::Bleached, self.bleached),
        ] {
            faults.add(fault, count);
        }
    }
}

impl Counters for LinkCounters {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("sent", self.sent);
        visit("sent_bytes", self.sent_bytes);
        visit("passed", self.passed);
        visit("passed_bytes", self.passed_bytes);
        visit("lost", self.lost);
        visit("bursts", self.bursts);
        visit("queue_drops", self.queue_drops);
        visit("mtu_drops", self.mtu_drops);
        visit("blocked", self.blocked);
        visit("duplicated", self.duplicated);
        visit("reordered", self.reordered);
        visit("jittered", self.jittered);
        visit("corrupted", self.corrupted);
        visit("truncated", self.truncated);
        visit("ce_marked", self.ce_marked);
        visit("bleached", self.bleached);
    }
}

/// Why a datagram does not pass.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    Blocked,
    Lost,
    Queue,
    TooLong,
}

/// When a datagram reaches the other end, and its copy if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage {
    /// How many of its bytes do.
    pub(crate) len: usize,
    pub(crate) at: Time,
    pub(crate) copy_at: Option<Time>,
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Link {
    config: LinkConfig,
    dice: Dice,
    /// Whether a burst of losses is on.
    in_burst: bool,
    datagrams: Clock,
    segments: Clock,
    /// Jitter does not let a datagram arrive before this.
    last_arrival: Time,
    blocked: bool,
    pub(crate) counters: LinkCounters,
}

impl Link {
    pub(crate) fn new(config: LinkConfig, dice: Dice) -> Self {
        Self {
            config,
            dice,
            in_burst: false,
            datagrams: Clock::default(),
            segments: Clock::default(),
            last_arrival: Time::ZERO,
            blocked: false,
            counters: LinkCounters::default(),
        }
    }

    pub(crate) fn configure(&mut self, config: LinkConfig) {
        self.config = config;
        // A new route: what is on its way by the old one no longer matters.
        self.last_arrival = Time::ZERO;
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) fn block(&mut self) {
        self.blocked = true;
    }

    /// Lets traffic pass again.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Takes a datagram in, may damage and mark it, and says when it arrives.
    pub(crate) fn offer(&mut self, now: Time, ecn: &mut Ecn, bytes: &mut [u8]) -> Result<Passage, Dropped> {
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes.len() as u64;
        if self.blocked {
            self.counters.blocked += 1;
            return Err(Dropped::Blocked);
        }
        if self.config.mtu.is_some_and(|mtu| bytes.len() > mtu) {
            self.counters.mtu_drops += 1;
            return Err(Dropped::TooLong);
        }
        let backlog = self.datagrams.backlog(now, self.config.rate);
        if backlog > 0 && backlog.saturating_add(bytes.len()) > self.config.queue {
            self.counters.queue_drops += 1;
            return Err(Dropped::Queue);
        }
        if self.config.bleach_ecn && *ecn != Ecn::NotEct {
            *ecn = Ecn::NotEct;
            self.counters.bleached += 1;
        }
        let capable = matches!(ecn, Ecn::Ect0 | Ecn::Ect1);
        if capable && self.config.ce_threshold.is_some_and(|threshold| backlog >= threshold) {
            *ecn = Ecn::Ce;
            self.counters.ce_marked += 1;
        }
        let left = self.datagrams.pass(now, bytes.len(), self.config.rate);
        if self.loses() {
            self.counters.lost += 1;
            return Err(Dropped::Lost);
        }
        let len = self.damage(bytes);
        let at = self.travel(left);
        let copy_at = self.dice.chance(self.config.duplicate).then(|| self.travel(left));
        let copies = u64::from(copy_at.is_some());
        self.counters.duplicated += copies;
        self.counters.passed += 1 + copies;
        self.counters.passed_bytes += (1 + copies) * len as u64;
        Ok(Passage { len, at, copy_at })
    }

    /// Takes a segment of a byte stream in. `None`: it has to wait until the link is no longer blocked, for streams
    /// lose nothing.
    pub(crate) fn carry(&mut self, now: Time, len: usize) -> Option<Time> {
        (!self.blocked).then(|| self.segments.pass(now, len, self.config.rate) + self.config.delay)
    }

    pub(crate) const fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Time on the wire, without anything random.
    pub(crate) fn delay(&self) -> core::time::Duration {
        self.config.delay
    }

    /// How long the rate keeps a datagram that comes now waiting.
    pub(crate) fn waiting(&self, now: Time) -> core::time::Duration {
        core::time::Duration::from_nanos(self.datagrams.free_at.saturating_sub(nanos(now)))
    }

    fn loses(&mut self) -> bool {
        match self.config.loss {
            Loss::None => false,
            Loss::Independent(probability) => self.dice.chance(probability),
            Loss::Bursts(bursts) => {
                let change = if self.in_burst { bursts.leave } else { bursts.enter };
                if self.dice.chance(change) {
                    self.in_burst = !self.in_burst;
                    self.counters.bursts += u64::from(self.in_burst);
                }
                self.dice.chance(if self.in_burst { bursts.loss_inside } else { bursts.loss_outside })
            }
        }
    }

    /// Changes a datagram, and says how much of it stays.
    fn damage(&mut self, bytes: &mut [u8]) -> usize {
        let len = bytes.len() as u64;
        if self.dice.chance(self.config.corrupt) {
            self.counters.corrupted += 1;
            // At different places, so that no change undoes another.
            let count = 1 + self.dice.below(len.min(4));
            let start = self.dice.below(len);
            for place in 0..count {
                let at = (start + place * len / count) % len;
                bytes[at as usize] ^= 1 + self.dice.below(255) as u8;
            }
        }
        if len > 1 && self.dice.chance(self.config.truncate) {
            self.counters.truncated += 1;
            // Datagrams are never empty.
            return self.dice.below(len).max(1) as usize;
        }
        bytes.len()
    }

    /// When what leaves the queue at `left` arrives.
    fn travel(&mut self, left: Time) -> Time {
        let jitter = self.dice.up_to(self.config.jitter);
        self.counters.jittered += u64::from(!jitter.is_zero());
        let jittered = left + self.config.delay + jitter;
        let in_order = jittered.max(self.last_arrival);
        if self.dice.chance(self.config.reorder.probability) {
            self.counters.reordered += 1;
            return in_order + self.config.reorder.extra;
        }
        self.last_arrival = in_order;
        in_order
    }
}

/// When a link of limited rate is free again.
#[derive(Debug, Default)]
struct Clock {
    /// In nanoseconds: in microseconds the short times of small datagrams on fast links would be lost.
    free_at: u64,
}

impl Clock {
    /// Bytes that wait, the rest of the one being sent included.
    fn backlog(&self, now: Time, rate: Option<u64>) -> usize {
        let Some(rate) = rate else { return 0 };
        let nanos = self.free_at.saturating_sub(nanos(now));
        let bytes = (u128::from(nanos) * u128::from(rate)).div_ceil(1_000_000_000);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// When the last of these bytes leaves.
    fn pass(&mut self, now: Time, len: usize, rate: Option<u64>) -> Time {
        let Some(rate) = rate else { return now };
        let needed = len as u128 * 1_000_000_000 / u128::from(rate);
        let needed = u64::try_from(needed).unwrap_or(u64::MAX);
        self.free_at = self.free_at.max(nanos(now)).saturating_add(needed);
        Time::from_micros(self.free_at.div_ceil(1000)).max(now)
    }
}

fn nanos(time: Time) -> u64 {
    time.as_micros().saturating_mul(1000)
}
