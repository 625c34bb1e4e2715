//! What is in the network, and what of it was lost (RFC 7016 sections 3.6.2.4 to 3.6.2.6).

use std::collections::VecDeque;

use rtmfp_base::Time;

use super::tail::Tail;
use super::{Blank, Flows, Session, State, Timer};
use crate::SendFlowId;
use crate::config::MAX_FRAGMENT;
use crate::send::Lost;

/// Bytes of user data chunks that may be sent in one burst (RFC 7016 section 3.5.2.3: six packets).
pub(crate) const BURST: isize = 6 * MAX_FRAGMENT as isize;

/// Acknowledged packets after which one that was overtaken is taken for lost.
const REORDERING: u64 = 3;

#[derive(Clone, Copy, Debug)]
struct SentFragment {
    tsn: u64,
    flow: SendFlowId,
    sequence: u64,
    /// It went out in a packet larger than every path takes.
    large: bool,
}

/// The session's account of what is under way.
#[derive(Debug)]
pub(crate) struct Flight {
    /// In order of sending; entries whose fragment is not in flight any more are dropped when they come to the front.
    sent: VecDeque<SentFragment>,
    /// The transmission sequence number of the next packet with user data.
    pub(crate) next_tsn: u64,
    /// The highest acknowledged one, now and after the two acknowledging packets before.
    max_acked: [u64; 3],
    /// Bytes of chunks in the network.
    pub(crate) outstanding: usize,
    /// Bytes acknowledged in all.
    pub(crate) delivered: u64,
    /// What `delivered` will be when all is acknowledged that was under way as the application last had no more to
    /// send: until then it, and not the path, sets the rate.
    limited_until: u64,
    /// Bytes that may still be sent before the next acknowledgement.
    pub(crate) allowance: isize,
    /// When the allowance was used up.
    pub(crate) exhausted_at: Time,
    /// How many large packets were lost since the last one that came through, and the number of the last one.
    large_lost: (u32, u64),
    pub(crate) tail: Tail,
}

impl Blank for Flight {
    const NEW: Self = Self {
        sent: VecDeque::new(),
        next_tsn: 1,
        max_acked: [0; 3],
        outstanding: 0,
        delivered: 0,
        limited_until: 0,
        allowance: BURST,
        exhausted_at: Time::ZERO,
        large_lost: (0, 0),
        tail: Tail::NEW,
    };
    const BLANK: &'static Self = &Self::NEW;
}

/// What one acknowledging packet told about losses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    pub(crate) bytes: usize,
    pub(crate) wanted: bool,
    pub(crate) naks: bool,
    pub(crate) fragments: u64,
}

impl Flight {
    /// Notes a fragment that goes out with the packet of number `next_tsn`.
    pub(crate) fn note_sent(&mut self, flow: SendFlowId, sequence: u64, size: usize) {
        self.sent.push_back(SentFragment { tsn: self.next_tsn, flow, sequence, large: false });
        self.outstanding += size;
    }

    /// How many packets with data are under way, as far as one and several can be told apart; `None`: none is.
    pub(crate) fn packets(&self) -> Option<u64> {
        let (first, last) = (self.sent.front()?, self.sent.back()?);
        (self.outstanding > 0).then_some(1 + last.tsn - first.tsn)
    }

    /// Notes an acknowledged fragment.
    pub(crate) fn note_acked(&mut self, tsn: u64, size: usize) {
        self.outstanding -= size;
        self.delivered += size as u64;
        self.max_acked[0] = self.max_acked[0].max(tsn);
        if self.large_lost.0 > 0 {
            let index = self.sent.partition_point(|entry| entry.tsn < tsn);
            if self.sent.get(index).is_some_and(|entry| entry.tsn == tsn && entry.large) {
                self.large_lost.0 = 0;
            }
        }
    }

    /// The packet of number `next_tsn` is larger than every path takes.
    pub(super) fn mark_large(&mut self) {
        let tsn = self.next_tsn;
        self.sent.iter_mut().rev().take_while(|entry| entry.tsn == tsn).for_each(|entry| entry.large = true);
    }

    /// Large packets lost since the last one that came through.
    pub(super) fn large_lost(&self) -> u32 {
        self.large_lost.0
    }

    pub(super) fn forget_large_lost(&mut self) {
        self.large_lost.0 = 0;
    }

    fn note_lost(&mut self, entry: SentFragment) {
        if entry.large && self.large_lost.1 != entry.tsn {
            self.large_lost = (self.large_lost.0.saturating_add(1), entry.tsn);
        }
    }

    /// Whether what is sent now says nothing about how much the path would carry.
    pub(crate) fn is_application_limited(&self) -> bool {
        self.delivered < self.limited_until
    }
}

impl Session {
    /// After the acknowledgements of a packet: finds what was overtaken. A fragment is lost when three packets with
    /// acknowledgements have passed it over, or one that acknowledges a packet sent three later.
    pub(crate) fn detect_losses(&mut self, now: Time, flows: &mut Flows) -> Losses {
        let mut losses = Losses::default();
        let [newest, _, oldest] = self.flight.max_acked;
        let lost_below = oldest.max((newest + 1).saturating_sub(REORDERING));
        while let Some(&entry) = self.flight.sent.front() {
            if entry.tsn >= lost_below {
                break;
            }
            self.flight.sent.pop_front();
            self.lose(now, flows, entry, &mut losses);
        }
        while let Some(entry) = self.flight.sent.front() {
            let in_flight =
                flows.send.get(entry.flow).is_some_and(|f| f.queue.is_in_flight(entry.sequence, entry.tsn));
            if in_flight {
                losses.naks |= entry.tsn < newest;
                break;
            }
            self.flight.sent.pop_front();
        }
        losses.naks |= losses.wanted;
        self.flight.max_acked = [newest, newest, self.flight.max_acked[1]];
        losses
    }

    fn lose(&mut self, now: Time, flows: &mut Flows, entry: SentFragment, losses: &mut Losses) {
        let Some(flow) = flows.send.get_mut(entry.flow) else { return };
        if let Lost::Yes { size, was_abandoned } = flow.queue.lose(entry.sequence, entry.tsn) {
            self.flight.outstanding -= size;
            self.flight.note_lost(entry);
            losses.bytes += size;
            losses.wanted |= !was_abandoned;
            losses.fragments += 1;
            self.settle_send(now, flows, entry.flow);
        }
    }

    /// The last fragment under way that is wanted again if lost is taken for lost; what is sent next overtakes all
    /// others as three packets would.
    pub(crate) fn lose_last(&mut self, now: Time, flows: &mut Flows) -> Losses {
        let mut losses = Losses::default();
        let last = self.flight.sent.iter().rev().find(|entry| {
            flows.send.get(entry.flow).is_some_and(|flow| flow.queue.is_wanted(entry.sequence, entry.tsn))
        });
        if let Some(&entry) = last {
            self.lose(now, flows, entry, &mut losses);
            self.flight.next_tsn += REORDERING;
            self.flight.allowance = self.flight.allowance.max(MAX_FRAGMENT as isize);
        }
        losses
    }

    /// The retransmission alarm: all that is under way is taken for lost (RFC 7016 section 3.6.2.6). Answers what was.
    pub(crate) fn lose_everything(&mut self, now: Time, flows: &mut Flows) -> Losses {
        let mut losses = Losses::default();
        while let Some(entry) = self.flight.sent.pop_front() {
            self.lose(now, flows, entry, &mut losses);
        }
        debug_assert_eq!(self.flight.outstanding, 0);
        losses
    }

    /// After a packet was filled: notes when the application has no more to send though the window is open.
    pub(crate) fn note_limit(&mut self) {
        if self.flight.outstanding < self.congestion.window() && self.ready_priority().is_none() {
            self.flight.limited_until = self.flight.delivered + self.flight.outstanding as u64;
        }
    }

    /// Whether the window and the burst allowance let user data be sent.
    pub(crate) fn may_send_data(&self) -> bool {
        self.state == State::Open
            && self.flight.outstanding < self.congestion.window()
            && (self.flight.allowance > 0 || self.is_near())
    }

    /// On a path this short a burst does no harm, and timers are too coarse to spread it.
    fn is_near(&self) -> bool {
        self.path.srtt().is_none_or(|srtt| srtt.as_micros() < 4500)
    }

    /// The allowance is used up: after a packet's share of the round trip comes some more.
    pub(crate) fn pace(&mut self, now: Time) {
        if self.flight.allowance > 0 || self.is_near() || self.timers.is_set(Timer::Pace) {
            return;
        }
        let srtt = self.path.srtt().unwrap_or_default();
        let owed = MAX_FRAGMENT as f64 - self.flight.allowance as f64;
        let share = (owed / self.congestion.window().max(1) as f64).min(1.0);
        self.flight.exhausted_at = now;
        self.timers.set(Timer::Pace, now + srtt.mul_f64(share));
    }

    /// The pacing alarm: a packet's worth, and what a late alarm has missed.
    pub(crate) fn refill_paced(&mut self, now: Time) {
        let srtt = self.path.srtt().unwrap_or_default().as_secs_f64().max(0.001);
        let share = now.since(self.flight.exhausted_at).as_secs_f64() / srtt;
        let earned = (self.congestion.window() as f64 * share.min(1.0)) as isize;
        self.flight.allowance = (self.flight.allowance + earned).clamp(MAX_FRAGMENT as isize, BURST);
    }

    /// An acknowledgement or a time-out: a whole burst may go out again.
    pub(crate) fn refill_burst(&mut self) {
        self.flight.allowance = self.flight.allowance.max(BURST);
        self.timers.stop(Timer::Pace);
    }
}
