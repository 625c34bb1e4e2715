//! One receiving flow.

use core::time::Duration;

use rtmfp_base::{Tag, Time};

use super::RangeSet;
use super::assembly::{Assembly, OVERHEAD, Received};
use crate::endpoint::RecvFlowCounters;
use crate::wire::DataFlags;
use crate::{SendFlowId, SessionId};

/// The order in which a flow's messages are given to the application.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReceiveOrder {
    /// As they were written.
    #[default]
    Sequence,
    /// As they arrive whole.
    Network,
}

/// Where a receiving flow is in its life. A completed one is kept by its session as a number only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// The application has not answered the offer yet.
    Offered,
    Open,
    Rejected {
        code: u64,
        /// When the sender is told again, and after what time.
        again: Option<(Time, Duration)>,
    },
    /// Its session has gone; what was received whole waits to be read until its end is told.
    Ended,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Accepted {
    /// It was taken, or is known already.
    Yes {
        /// An acknowledgement should go out at once.
        ack_now: bool,
    },
    /// There is no room for it; it will come again. Not to be acknowledged.
    NoRoom,
    /// The message it belongs to is longer than the limit.
    TooLong,
}

#[derive(Debug)]
pub(crate) struct RecvFlow {
    pub(crate) session: SessionId,
    pub(crate) wire_id: u64,
    pub(crate) tag: Tag,
    pub(crate) state: State,
    pub(crate) associated: Option<SendFlowId>,
    pub(crate) order: ReceiveOrder,
    pub(crate) hold: bool,
    pub(crate) capacity: usize,
    pub(crate) max_message: usize,
    /// `Event::Readable` was told and not everything was read since.
    pub(crate) readable_told: bool,
    seen: RangeSet,
    final_sequence: Option<u64>,
    assembly: Assembly,
    /// Blocks of the last advertisement.
    advertised: Option<u64>,
    counters: RecvFlowCounters,
}

/// Limits that a session puts on its flows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes that the session's flows may still take.
    pub(crate) session: usize,
    /// The same for what this flow needs next to complete a message or to close a hole.
    pub(crate) progress: usize,
    /// Ranges of sequence numbers.
    pub(crate) ranges: usize,
}

const FIRST_REMINDER: Duration = Duration::from_secs(1);
const LAST_REMINDER: Duration = Duration::from_secs(64);

/// What a range of sequence numbers costs.
pub(crate) const RANGE_COST: usize = 32;

/// Bytes that a fragment may take: a packet of Ethernet, and what is kept with it.
const LEAST_ROOM: usize = 1536;

impl RecvFlow {
    /// What a flow costs beside its messages and holes, its places in indices included.
    pub(crate) const BASE_COST: usize = size_of::<Self>() + 128;

    pub(crate) fn new(session: SessionId, wire_id: u64, capacity: usize, max_message: usize) -> Self {
        let mut seen = RangeSet::default();
        seen.insert(0..=0); // Numbers begin at 1.
        Self {
            session,
            wire_id,
            tag: Tag(0),
            state: State::Offered,
            associated: None,
            order: ReceiveOrder::Sequence,
            hold: false,
            capacity,
            max_message,
            readable_told: false,
            seen,
            final_sequence: None,
            assembly: Assembly::default(),
            advertised: None,
            counters: RecvFlowCounters::default(),
        }
    }

    /// Bytes held, overhead included.
    pub(crate) fn buffered(&self) -> usize {
        self.assembly.buffered()
    }

    /// What it costs beside the bytes held.
    pub(crate) fn overhead(&self) -> usize {
        Self::BASE_COST + RANGE_COST * self.seen.len()
    }

    pub(crate) fn is_rejected(&self) -> bool {
        self.exception().is_some()
    }

    /// The code it was rejected with.
    pub(crate) fn exception(&self) -> Option<u64> {
        match self.state {
            State::Rejected { code, .. } => Some(code),
            State::Offered | State::Open | State::Ended => None,
        }
    }

    /// The steps of RFC 7016 section 3.6.3.2 for one chunk.
    pub(crate) fn receive(
        &mut self,
        sequence: u64,
        forward: u64,
        flags: DataFlags,
        data: &[u8],
        room: Room,
    ) -> Accepted {
        let mut ack_now = self.is_rejected()
            || self.advertised.is_none()
            || self.is_nearly_closed()
            || flags.abandoned
            || !self.seen.is_gapless();
        let duplicate = self.seen.contains(sequence);
        self.counters.duplicate_fragments += u64::from(duplicate);
        let stores = !duplicate && !flags.abandoned && !self.is_rejected();
        let (ranges_before, through) = (self.seen.len(), self.seen.cumulative());
        // What the sender has given up is given up whether or not there is room for the rest; it may make some.
        self.seen.insert(0..=forward.min(sequence.saturating_sub(1)));
        if self.seen.cumulative() != through {
            self.deliver_new(None);
        }
        if !duplicate && self.seen.would_split(sequence) && self.seen.len() >= room.ranges {
            self.counters.refused_fragments += 1;
            return Accepted::NoRoom;
        }
        if stores {
            if self.assembly.length_with(sequence, flags.fragment, data) > self.max_message {
                return Accepted::TooLong;
            }
            if !self.has_room(sequence, data.len() + OVERHEAD, room) {
                self.counters.refused_fragments += 1;
                return Accepted::NoRoom;
            }
        }
        ack_now |= duplicate;
        if !duplicate && flags.last && self.final_sequence.is_none() {
            self.final_sequence = Some(sequence);
            ack_now = true;
        }
        if stores {
            self.counters.taken_fragments += 1;
            self.counters.taken_bytes += data.len() as u64;
        }
        let stored = stores.then(|| self.assembly.insert(sequence, flags.fragment, data));
        let ranges = self.seen.len();
        self.seen.insert(sequence..=sequence);
        self.counters.holes += u64::from(self.seen.len() > ranges);
        ack_now |= !self.seen.is_gapless() || self.seen.len() != ranges_before;
        ack_now |= self.capacity < self.assembly.buffered() + 1024;
        self.deliver_new(stored);
        Accepted::Yes { ack_now }
    }

    /// The flow control is enforced: a sender may overshoot by what was under way when the window shrank, and counts no
    /// overhead; twice the room is more than most honest ones need. Those who need more (with many small messages
    /// under way) send again what was not taken. What comes next is taken all the same unless the application does
    /// not read, or a hole before a full buffer could never be closed.
    fn has_room(&self, sequence: u64, cost: usize, room: Room) -> bool {
        let most = (2 * self.capacity).max(self.capacity.saturating_add(self.max_message));
        let after = self.assembly.buffered() + cost;
        if after <= most && cost <= room.session {
            return true;
        }
        let is_next = sequence.checked_sub(1) == Some(self.seen.cumulative());
        let bonus = self.max_message.saturating_add(OVERHEAD);
        is_next && self.wants_progress() && after <= most.saturating_add(bonus) && cost <= room.progress
    }

    /// It could give more to the application if only the next fragments came.
    pub(crate) fn wants_progress(&self) -> bool {
        !self.hold && !self.assembly.has_ready()
    }

    /// It holds the beginning of something that has not been given to the application.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.wants_progress() && !self.assembly.is_empty()
    }

    /// Makes readable what is complete.
    pub(crate) fn deliver(&mut self) {
        if self.state != State::Open || self.hold {
            return;
        }
        let cumulative = self.seen.cumulative();
        match self.order {
            ReceiveOrder::Sequence => self.assembly.deliver_in_sequence(cumulative),
            ReceiveOrder::Network => self.assembly.deliver_all_complete(cumulative),
        }
    }

    /// The same after one fragment was stored, or only the cumulative number has changed: `stored` is the first
    /// fragment of what it is a part of.
    fn deliver_new(&mut self, stored: Option<u64>) {
        if self.state != State::Open || self.hold {
            return;
        }
        if let (ReceiveOrder::Network, Some(first)) = (self.order, stored) {
            self.assembly.deliver_if_complete(first);
        }
        self.assembly.deliver_in_sequence(self.seen.cumulative());
    }

    pub(crate) fn read(&mut self) -> Option<Received> {
        let message = self.assembly.read()?;
        self.counters.read_messages += 1;
        self.counters.read_bytes += message.bytes.len() as u64;
        Some(message)
    }

    pub(crate) fn counters(&self) -> &RecvFlowCounters {
        &self.counters
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.assembly.has_ready()
    }

    /// All sequence numbers up to the final one were seen (RFC 7016 section 3.6.3).
    pub(crate) fn all_seen(&self) -> bool {
        self.final_sequence == Some(self.seen.cumulative()) && self.seen.is_gapless()
    }

    /// All was seen and read, or nobody wants it.
    pub(crate) fn is_complete(&self) -> bool {
        self.all_seen() && (self.is_rejected() || self.assembly.is_empty())
    }

    /// Drops the buffer; the sender is told by an exception with each acknowledgement.
    pub(crate) fn reject(&mut self, now: Time, code: u64) {
        if !self.is_rejected() {
            self.state = State::Rejected { code, again: Some((now + FIRST_REMINDER, FIRST_REMINDER)) };
            self.assembly.clear();
        }
    }

    /// When the sender is to be told again that it was rejected.
    pub(crate) fn next_reminder(&self) -> Option<Time> {
        match self.state {
            State::Rejected { again, .. } => again.map(|(at, _)| at),
            _ => None,
        }
    }

    /// Whether to tell the sender again now that it was rejected: after 1 s, 2 s and so on, seven times at most. One
    /// that has nothing under way when the first news is lost would never hear of it.
    pub(crate) fn take_reminder(&mut self, now: Time) -> bool {
        let State::Rejected { again: Some((at, waited)), .. } = self.state else { return false };
        if at > now {
            return false;
        }
        let next = (waited < LAST_REMINDER).then(|| (now + 2 * waited, 2 * waited));
        if let State::Rejected { again, .. } = &mut self.state {
            *again = next;
        }
        true
    }

    /// Its session ends: makes readable what can be, and forgets the rest. Answers whether the flow has come to its end
    /// as well.
    pub(crate) fn end(&mut self) -> bool {
        self.hold = false;
        self.deliver();
        self.assembly.forget_incomplete();
        self.state = State::Ended;
        self.all_seen()
    }

    pub(crate) fn seen(&self) -> &RangeSet {
        &self.seen
    }

    /// The window to advertise, in blocks of 1024 bytes (RFC 7016 section 3.6.3.5). `room` is what the session allows.
    pub(crate) fn window_blocks(&self, room: usize) -> u64 {
        // A rejected flow's sender must be able to finish.
        if self.is_rejected() {
            return self.capacity.div_ceil(1024).max(1) as u64;
        }
        let free = self.capacity.saturating_sub(self.assembly.buffered());
        // Progress on an incomplete message or a hole needs at least one block, unless the application is the one
        // who does not read.
        let least = usize::from(self.wants_progress() && self.capacity > 0);
        // A sender sends a whole fragment while anything is advertised: where there is no room for one the window is closed.
        let room = if room < LEAST_ROOM { 0 } else { room };
        free.div_ceil(1024).max(least).min(room / 1024) as u64
    }

    pub(crate) fn note_advertised(&mut self, blocks: u64) {
        self.advertised = Some(blocks);
    }

    /// Whether the far end was told that the window is closed, or nearly so.
    pub(crate) fn is_nearly_closed(&self) -> bool {
        self.advertised.is_some_and(|blocks| blocks < 2)
    }

    /// Whether reading has opened a window that was told to be (nearly) closed.
    pub(crate) fn window_reopened(&self, session_room: usize) -> bool {
        self.is_nearly_closed() && self.window_blocks(session_room) >= 2
    }
}

#[cfg(test)]
mod tests {
    use rtmfp_base::Id;

    use super::*;
    use crate::wire::Fragment;

    const ROOM: Room = Room { session: usize::MAX / 2, progress: usize::MAX / 2, ranges: 4 };

    fn open(capacity: usize, max_message: usize) -> RecvFlow {
        let mut flow = RecvFlow::new(Id::from_parts(0, 0), 2, capacity, max_message);
        flow.state = State::Open;
        flow
    }

    fn whole() -> DataFlags {
        DataFlags { fragment: Fragment::Whole, abandoned: false, last: false }
    }

    #[test]
    fn holes_are_bounded_and_what_is_over_is_not_acknowledged() {
        let mut flow = open(65_536, 65_536);
        for sequence in [2, 4, 6] {
            assert_eq!(flow.receive(sequence, 0, whole(), b"x", ROOM), Accepted::Yes { ack_now: true });
        }
        assert_eq!(flow.seen().len(), 4);
        assert_eq!(flow.receive(1 << 62, 0, whole(), b"x", ROOM), Accepted::NoRoom);
        assert!(!flow.seen().contains(1 << 62));
        assert_eq!(flow.receive(5, 0, whole(), b"x", ROOM), Accepted::Yes { ack_now: true });
    }

    #[test]
    fn a_sender_that_ignores_the_window_is_stopped() {
        let mut flow = open(10_000, 10_000);
        flow.hold = true;
        let taken = (1..1000)
            .filter(|&sequence| flow.receive(sequence, 0, whole(), &[0; 1000], ROOM) != Accepted::NoRoom)
            .count();
        assert!(taken < 20, "{taken}");
        assert!(flow.buffered() <= 20_000);
        assert_eq!(flow.window_blocks(usize::MAX), 0);
        flow.hold = false;
        flow.deliver();
        while flow.read().is_some() {}
        assert_eq!(flow.buffered(), 0);
        assert_eq!(flow.window_blocks(usize::MAX), 10);
    }

    #[test]
    fn a_message_over_the_limit_is_told_at_once() {
        let mut flow = open(65_536, 1500);
        let flags = DataFlags { fragment: Fragment::Begin, ..whole() };
        assert_eq!(flow.receive(1, 0, flags, &[0; 1000], ROOM), Accepted::Yes { ack_now: true });
        let flags = DataFlags { fragment: Fragment::Middle, ..whole() };
        assert_eq!(flow.receive(2, 0, flags, &[0; 1000], ROOM), Accepted::TooLong);
    }

    #[test]
    fn an_incomplete_message_larger_than_the_buffer_keeps_one_block_open() {
        let mut flow = open(2000, 65_536);
        let flags = DataFlags { fragment: Fragment::Begin, ..whole() };
        flow.receive(1, 0, flags, &[0; 1100], ROOM);
        let flags = DataFlags { fragment: Fragment::Middle, ..whole() };
        flow.receive(2, 0, flags, &[0; 1100], ROOM);
        assert_eq!(flow.window_blocks(usize::MAX), 1);
    }
}
