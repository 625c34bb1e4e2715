//! What became of what was sent (RFC 7016 sections 3.6.2.4 to 3.6.2.6).

use core::cmp::Ordering;

use super::{Acked, Fragment, Lost, Progress, Queue};

impl Queue {
    /// Takes the cumulative part of an acknowledgement; answers how it compares with the most that was told before.
    /// `None`: it acknowledges what was never sent.
    pub(crate) fn acknowledge_through(
        &mut self,
        cumulative: u64,
        acked: &mut impl FnMut(Acked),
    ) -> Option<Ordering> {
        if cumulative > self.last_sent() {
            return None;
        }
        let compared = cumulative.cmp(&self.cumulative);
        self.cumulative = self.cumulative.max(cumulative);
        while self.base <= cumulative && !self.fragments.is_empty() {
            self.acknowledge_one(self.base, acked);
            self.pop_front();
        }
        self.after_acknowledgement();
        Some(compared)
    }

    /// Takes a range beyond the cumulative part; numbers never sent are ignored. Answers how many were looked at.
    pub(crate) fn acknowledge_range(&mut self, first: u64, last: u64, acked: &mut impl FnMut(Acked)) -> u64 {
        let (first, last) = (first.max(self.base), last.min(self.last_sent()));
        for sequence in first..=last {
            self.acknowledge_one(sequence, acked);
        }
        self.after_acknowledgement();
        last.saturating_add(1).saturating_sub(first)
    }

    /// The highest number that the far end can know of.
    fn last_sent(&self) -> u64 {
        // Only the last fragment can be one that was never sent: the end of the flow.
        let unsent = self.fragments.back().is_some_and(|last| last.progress == Progress::Unsent);
        self.next_sequence() - 1 - u64::from(unsent)
    }

    fn acknowledge_one(&mut self, sequence: u64, acked: &mut impl FnMut(Acked)) {
        let Some(fragment) = self.fragments.get_mut((sequence - self.base) as usize) else { return };
        match fragment.progress {
            Progress::Acknowledged => return,
            Progress::InFlight => {
                self.outstanding -= fragment.sent.size;
                acked(Acked { sent: fragment.sent });
            }
            Progress::Unsent | Progress::Lost => self.waiting -= 1,
        }
        fragment.progress = Progress::Acknowledged;
        let number = fragment.message;
        if let Some(index) = self.index_of(number) {
            self.unpend(index);
            let queued = &self.messages[index];
            if queued.pending == 0 && queued.is_cut() {
                self.end(index, true);
            }
        }
    }

    fn after_acknowledgement(&mut self) {
        self.repair();
        self.trim_messages();
    }

    /// Whether the fragment that was sent in a packet is still in the network.
    pub(crate) fn is_in_flight(&self, sequence: u64, tsn: u64) -> bool {
        self.in_flight(sequence, tsn).is_some()
    }

    /// Whether the fragment that was sent in a packet is still in the network, and would be sent again if lost.
    pub(crate) fn is_wanted(&self, sequence: u64, tsn: u64) -> bool {
        let message = self.in_flight(sequence, tsn).and_then(|fragment| self.message(fragment.message));
        message.is_some_and(|queued| !queued.ended && !queued.options.best_effort)
    }

    /// Takes note that the fragment sent in a packet was lost.
    pub(crate) fn lose(&mut self, sequence: u64, tsn: u64) -> Lost {
        let Some(fragment) = self.in_flight(sequence, tsn) else { return Lost::Stale };
        let (size, number, was_abandoned) = (fragment.sent.size, fragment.message, fragment.sent_abandoned);
        let index = (sequence - self.base) as usize;
        self.fragments[index].progress = Progress::Lost;
        self.outstanding -= size;
        self.counters.lost_fragments += 1;
        self.waiting += 1;
        self.waiting_from = self.waiting_from.min(sequence);
        if self.message(number).is_some_and(|queued| queued.options.best_effort) {
            self.abandon(number);
        }
        Lost::Yes { size, was_abandoned }
    }

    fn in_flight(&self, sequence: u64, tsn: u64) -> Option<&Fragment> {
        let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        let fragment = self.fragments.get(index)?;
        (fragment.progress == Progress::InFlight && fragment.sent.tsn == tsn).then_some(fragment)
    }
}
