//! What is sent next (RFC 7016 section 3.6.2.3).

use rtmfp_base::Time;

use super::{Chunk, Fragment, MAX_SPAN, NO_MESSAGE, Position, Progress, Queue, Sent};

impl Queue {
    /// Marks the end of the flow, once all messages were cut; calling it again is harmless. A fragment of its own
    /// is made only when no message is left that could carry the mark (RFC 7016 section 3.6.2.11).
    pub(crate) fn finish_if_drained(&mut self) {
        if self.final_sequence.is_none() && !self.has_uncut() {
            // A number that was to follow a torn message and was never sent marks the end as well.
            if self.fragments.back().is_none_or(|last| last.progress != Progress::Unsent) {
                self.push_forward(Progress::Unsent);
            }
            let sequence = self.next_sequence() - 1;
            self.final_sequence = Some(sequence);
            self.waiting_from = self.waiting_from.min(sequence);
            self.torn = false;
        }
    }

    /// Whether something can be sent as far as the queue goes.
    pub(crate) fn has_sendable(&mut self) -> bool {
        self.repair();
        self.can_cut() || self.first_waiting().is_some()
    }

    /// The next chunk for a packet; a new fragment is cut so that it has at most `space` bytes of data. `now`
    /// abandons what is too late. `closing` lets the last fragment carry the final mark. Nothing that the far end
    /// would notice changes until [`Self::commit`].
    pub(crate) fn next_chunk(&mut self, now: Time, space: usize, closing: bool) -> Option<Chunk> {
        self.expire(now);
        self.take_back_unsent();
        self.trim_fragments();
        self.repair();
        match self.first_waiting() {
            Some(sequence) => Some(self.again(sequence)),
            None => self.new_chunk(space, closing),
        }
    }

    /// Takes back a number that was to follow a torn message, when new data can do that.
    fn take_back_unsent(&mut self) {
        let unsent = self.fragments.back().is_some_and(|last| last.progress == Progress::Unsent);
        if unsent && self.final_sequence.is_none() && self.has_uncut() && !self.basic {
            self.fragments.pop_back();
            self.waiting -= 1;
            self.torn = true;
        }
    }

    fn again(&self, sequence: u64) -> Chunk {
        let fragment = &self.fragments[(sequence - self.base) as usize];
        let message = self.message(fragment.message).filter(|queued| !queued.ended);
        let start = fragment.start as usize;
        Chunk {
            sequence,
            forward: self.forward(),
            position: if message.is_some() { fragment.position } else { Position::Whole },
            abandoned: message.is_none(),
            last: self.final_sequence == Some(sequence),
            data: message.map(|queued| (queued.message.clone(), start..start + fragment.len as usize)),
        }
    }

    fn new_chunk(&self, space: usize, closing: bool) -> Option<Chunk> {
        if !self.can_cut() {
            return None;
        }
        let queued = self.message(self.uncut)?;
        let left = queued.message.len() - queued.cut;
        // A sliver of a long message is not worth a header.
        if space < left.min(256) {
            return None;
        }
        let begins = queued.cut == 0;
        if begins && queued.number > self.expected && !self.basic {
            // Those between were abandoned before they had a number.
            return Some(Chunk {
                sequence: self.next_sequence(),
                forward: self.forward(),
                position: Position::Whole,
                abandoned: true,
                last: false,
                data: None,
            });
        }
        let len = left.min(space);
        let ends = len == left;
        let position = match (begins, ends) {
            (true, true) => Position::Whole,
            (true, false) => Position::Begin,
            (false, true) => Position::End,
            (false, false) => Position::Middle,
        };
        Some(Chunk {
            sequence: self.next_sequence(),
            forward: self.forward(),
            position,
            abandoned: false,
            last: closing && ends && queued.number + 1 == self.next_message,
            data: Some((queued.message.clone(), queued.cut..queued.cut + len)),
        })
    }

    /// Whether a chunk from [`Self::next_chunk`] is one that was in the network before.
    pub(crate) fn was_sent(&self, chunk: &Chunk) -> bool {
        let index = chunk.sequence.checked_sub(self.base).and_then(|index| usize::try_from(index).ok());
        let fragment = index.and_then(|index| self.fragments.get(index));
        fragment.is_some_and(|fragment| fragment.sent.size > 0)
    }

    /// Notes that a chunk from [`Self::next_chunk`] was put into a packet. Answers the number of the abandoned head
    /// that this chunk's forward number speaks for: it is under way in the same packet.
    pub(crate) fn commit(&mut self, chunk: &Chunk, sent: Sent) -> Option<u64> {
        self.outstanding += sent.size;
        self.counters.sent_fragments += 1;
        if chunk.sequence < self.next_sequence() {
            let fragment = &mut self.fragments[(chunk.sequence - self.base) as usize];
            debug_assert!(fragment.waits());
            self.counters.resent_fragments += u64::from(fragment.progress == Progress::Lost);
            fragment.progress = Progress::InFlight;
            fragment.sent_abandoned = chunk.abandoned;
            fragment.sent = sent;
            self.waiting -= 1;
            return None;
        }
        self.commit_new(chunk, sent);
        // The head that was forwarded over by this chunk need not be told again, unless this one is lost.
        let head = self.fragments.front_mut()?;
        if !head.waits() || chunk.forward < self.base {
            return None;
        }
        head.progress = Progress::InFlight;
        head.sent_abandoned = true;
        head.sent = Sent { size: 0, ..sent };
        self.waiting -= 1;
        Some(self.base)
    }

    fn commit_new(&mut self, chunk: &Chunk, sent: Sent) {
        if chunk.last {
            self.final_sequence = Some(chunk.sequence);
        }
        self.torn = false;
        let range = chunk.data.as_ref().map_or(0..0, |(_, range)| range.clone());
        let number = if chunk.abandoned { NO_MESSAGE } else { self.uncut };
        self.fragments.push_back(Fragment {
            message: number,
            start: range.start as u32,
            len: range.len() as u32,
            position: chunk.position,
            progress: Progress::InFlight,
            sent_abandoned: chunk.abandoned,
            sent,
        });
        if chunk.abandoned {
            self.expected = self.uncut;
            return;
        }
        self.expected = number + 1;
        self.unsent -= range.len();
        if let Some(queued) = self.message_mut(number) {
            queued.begun = true;
            queued.pending += 1;
            queued.cut = range.end;
        }
        self.skip_cut();
    }

    /// The forward sequence number that chunks carry now (RFC 7016 section 3.6.2.3).
    fn forward(&self) -> u64 {
        let passed = self.fragments.front().is_none_or(|head| match head.progress {
            Progress::Acknowledged => true,
            Progress::InFlight => head.sent_abandoned,
            Progress::Unsent | Progress::Lost => self.is_abandoned(head),
        });
        if passed && !self.fragments.is_empty() { self.base } else { self.base - 1 }
    }

    fn is_abandoned(&self, fragment: &Fragment) -> bool {
        self.message(fragment.message).is_none_or(|queued| queued.ended)
    }

    /// There are bytes without a number, and numbers for them.
    fn can_cut(&self) -> bool {
        let unsent = || self.fragments.back().is_some_and(|last| last.progress == Progress::Unsent);
        self.has_uncut() && self.fragments.len() < MAX_SPAN && !(self.basic && unsent())
    }

    /// The first fragment that should be sent (again): one that is wanted, the head whatever it is, or the final
    /// one.
    fn first_waiting(&mut self) -> Option<u64> {
        if self.waiting == 0 {
            return None;
        }
        let head = self.fragments.front()?;
        if head.waits() {
            // With new data at hand, the new chunk's forward number does an abandoned head's work.
            let spoken_for = self.is_abandoned(head) && self.can_cut() && self.waiting == 1;
            let spoken_for = spoken_for && !self.basic;
            return (!spoken_for || self.final_sequence == Some(self.base)).then_some(self.base);
        }
        let from = self.waiting_from.max(self.base);
        let found = (from..self.next_sequence()).find(|&sequence| {
            let fragment = &self.fragments[(sequence - self.base) as usize];
            let ends = self.final_sequence == Some(sequence) && !self.basic;
            fragment.waits() && (!self.is_abandoned(fragment) || ends)
        });
        // Those passed over are not wanted again until they are the head.
        self.waiting_from = found.unwrap_or_else(|| self.next_sequence());
        found
    }

    /// Appends an abandoned fragment without data, to be sent when the queue's head or the flow's end.
    fn push_forward(&mut self, progress: Progress) {
        let sequence = self.next_sequence();
        self.fragments.push_back(Fragment {
            message: NO_MESSAGE,
            start: 0,
            len: 0,
            position: Position::Whole,
            progress,
            sent_abandoned: false,
            sent: Sent { tsn: 0, at: Time::ZERO, delivered: 0, size: 0, application_limited: false },
        });
        self.waiting += 1;
        self.waiting_from = self.waiting_from.min(sequence);
    }

    /// When everything numbered is gone from the queue but the far end still waits for a number in a hole that was
    /// given up, or for the rest of a message that was, and no new data will speak for it: tells it to go forward (RFC
    /// 7016 section 3.6.2.7.1).
    pub(super) fn repair(&mut self) {
        while self.fragments.front().is_some_and(|head| head.progress == Progress::Acknowledged) {
            self.pop_front();
        }
        let through = self.next_sequence() - 1;
        if self.fragments.is_empty() && self.cumulative < through && !self.has_uncut() {
            self.base = through;
            self.push_forward(Progress::Lost);
        }
        if self.torn && (!self.has_uncut() || self.basic) {
            self.torn = false;
            self.push_forward(Progress::Unsent);
        }
    }

    /// Drops abandoned fragments from the front as long as another one is left to carry the forward number.
    fn trim_fragments(&mut self) {
        while self.fragments.len() >= 2 {
            let (head, next) = (&self.fragments[0], &self.fragments[1]);
            let drop = match head.progress {
                Progress::Acknowledged => true,
                // Only where something that is sent now can tell the far end about it.
                Progress::Unsent | Progress::Lost => {
                    let spoken_for = match self.basic {
                        false => next.waits() || self.can_cut(),
                        true => next.waits() && self.is_abandoned(next),
                    };
                    spoken_for && self.is_abandoned(head)
                }
                Progress::InFlight => false,
            };
            if !drop {
                break;
            }
            self.pop_front();
        }
        self.trim_messages();
    }

    pub(super) fn pop_front(&mut self) {
        let Some(fragment) = self.fragments.pop_front() else { return };
        self.base += 1;
        match fragment.progress {
            Progress::Acknowledged => return,
            Progress::InFlight => self.outstanding -= fragment.sent.size,
            Progress::Unsent | Progress::Lost => self.waiting -= 1,
        }
        if let Some(index) = self.index_of(fragment.message) {
            self.unpend(index);
        }
    }
}
