//! The messages of a sending flow that wait or are under way (RFC 7016 sections 3.6.2.2 to 3.6.2.7).
//!
//! A message is cut into fragments when it is sent, not when it is written: fragments then fill packets, and a
//! message that expires before it was begun leaves no trace on the wire. Numbers are given at that moment too,
//! so `fragments` holds exactly the numbers `base..next` that the far end may know of.

use std::collections::VecDeque;

use rtmfp_base::{Message, ReceiptId, Time, WriteOptions};

use crate::wire::Fragment as Position;

/// What a queued message costs beside its bytes.
pub(crate) const OVERHEAD: usize = 64;

/// A message whose end (delivered or abandoned) was reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ended {
    pub(crate) receipt: ReceiptId,
    pub(crate) delivered: bool,
}

/// A fragment as it goes into a packet.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) sequence: u64,
    pub(crate) forward: u64,
    pub(crate) position: Position,
    pub(crate) abandoned: bool,
    pub(crate) last: bool,
    /// The message and the range of its bytes; nothing for an abandoned fragment.
    pub(crate) data: Option<(Message, core::ops::Range<usize>)>,
}

/// What the session notes when a fragment was put into a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Transmission sequence number of the packet.
    pub(crate) tsn: u64,
    pub(crate) at: Time,
    /// Bytes that had been delivered in the session by then.
    pub(crate) delivered: u64,
    /// Size of the chunk on the wire.
    pub(crate) size: usize,
    /// The application had no more to send by then.
    pub(crate) application_limited: bool,
}

/// What an acknowledgement did to one fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub(crate) sent: Sent,
}

/// What the loss of a fragment means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lost {
    /// The entry is not the one that was sent with that number; nothing happened.
    Stale,
    /// It is to be sent again, or forwarded over.
    Yes {
        /// Its size on the wire.
        size: usize,
        /// It was sent as abandoned: its loss says nothing about congestion (facts: as any other by the RFC).
        was_abandoned: bool,
    },
}

#[derive(Debug)]
struct Queued {
    message: Message,
    options: WriteOptions,
    receipt: Option<ReceiptId>,
    /// Bytes that were cut into fragments so far.
    cut: usize,
    begun: bool,
    /// Fragments in `fragments` that are not acknowledged.
    pending: u32,
    abandoned: bool,
}

impl Queued {
    fn is_cut(&self) -> bool {
        self.abandoned || (self.begun && self.cut == self.message.len())
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    InFlight,
    /// Not in the network: to be sent again, or forwarded over if its message is abandoned.
    Lost,
    Acknowledged,
}

#[derive(Debug)]
struct Fragment {
    /// Number of the message, or `NO_MESSAGE`.
    message: u64,
    start: u32,
    len: u32,
    position: Position,
    progress: Progress,
    sent_abandoned: bool,
    sent: Sent,
}

const NO_MESSAGE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Queue {
    messages: VecDeque<Queued>,
    /// The number of `messages[0]`.
    first_message: u64,
    /// The first message that still has bytes to cut.
    uncut: u64,
    fragments: VecDeque<Fragment>,
    /// The sequence number of `fragments[0]`.
    base: u64,
    lost: usize,
    /// No lost fragment has a lower number.
    lost_from: u64,
    /// The highest cumulative acknowledgement.
    cumulative: u64,
    final_sequence: Option<u64>,
    outstanding: usize,
    buffered: usize,
    /// No queued message expires earlier.
    next_expiry: Time,
    ended: Vec<Ended>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            first_message: 0,
            uncut: 0,
            fragments: VecDeque::new(),
            base: 1,
            lost: 0,
            lost_from: 1,
            cumulative: 0,
            final_sequence: None,
            outstanding: 0,
            buffered: 0,
            next_expiry: Time::MAX,
            ended: Vec::new(),
        }
    }

    // ---- the application's half ----

    /// Queues a message; answers its number.
    pub(crate) fn write(
        &mut self,
        message: Message,
        options: &WriteOptions,
        receipt: Option<ReceiptId>,
    ) -> u64 {
        self.buffered += message.len() + OVERHEAD;
        self.next_expiry = self.next_expiry.min(options.start_by).min(options.finish_by);
        let queued = Queued {
            message,
            options: *options,
            receipt,
            cut: 0,
            begun: false,
            pending: 0,
            abandoned: false,
        };
        self.messages.push_back(queued);
        self.first_message + self.messages.len() as u64 - 1
    }

    /// Bytes of messages that have not ended, overhead included.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Bytes of messages that were never sent.
    pub(crate) fn unsent(&self) -> usize {
        let skip = (self.uncut - self.first_message) as usize;
        self.messages.iter().skip(skip).filter(|m| !m.abandoned).map(|m| m.message.len() - m.cut).sum()
    }

    /// Whether anything was ever written or numbered.
    pub(crate) fn was_used(&self) -> bool {
        self.first_message > 0 || !self.messages.is_empty() || self.next_sequence() > 1
    }

    /// Whether the message has begun to be sent; `None` when it has ended.
    pub(crate) fn is_begun(&self, message: u64) -> Option<bool> {
        self.message(message).filter(|m| !m.abandoned).map(|m| m.begun)
    }

    /// Abandons a message (RFC 7016 section 3.6.2.7).
    pub(crate) fn abandon(&mut self, message: u64) {
        let Some(queued) = self.message_mut(message) else { return };
        if queued.abandoned {
            return;
        }
        queued.abandoned = true;
        let cost = queued.message.len() + OVERHEAD;
        queued.message = Message::default();
        let receipt = queued.receipt.take();
        self.buffered -= cost;
        self.ended.extend(receipt.map(|receipt| Ended { receipt, delivered: false }));
        self.trim_messages();
    }

    /// Abandons everything.
    pub(crate) fn abandon_all(&mut self) {
        for message in self.first_message..self.first_message + self.messages.len() as u64 {
            self.abandon(message);
        }
    }

    /// Changes a message's deadlines to earlier or later ones.
    pub(crate) fn set_deadlines(&mut self, message: u64, start_by: Time, finish_by: Time) {
        if let Some(queued) = self.message_mut(message) {
            queued.options.start_by = start_by;
            queued.options.finish_by = finish_by;
            self.next_expiry = self.next_expiry.min(start_by).min(finish_by);
        }
    }

    /// When the next message may expire; never later than it does.
    pub(crate) fn next_expiry(&self) -> Time {
        self.next_expiry
    }

    /// Abandons what has expired.
    pub(crate) fn expire(&mut self, now: Time) {
        if now <= self.next_expiry {
            return;
        }
        let mut next = Time::MAX;
        for index in 0..self.messages.len() {
            let number = self.first_message + index as u64;
            // Trimming may shorten the queue at its front only after the loop, so indices hold.
            let queued = &self.messages[index];
            if queued.abandoned {
                continue;
            }
            let deadline = if queued.begun {
                queued.options.finish_by
            } else {
                queued.options.start_by.min(queued.options.finish_by)
            };
            if now > deadline {
                self.abandon_in_place(number);
            } else {
                next = next.min(deadline);
            }
        }
        self.next_expiry = next;
        self.trim_messages();
    }

    fn abandon_in_place(&mut self, number: u64) {
        let index = (number - self.first_message) as usize;
        let queued = &mut self.messages[index];
        queued.abandoned = true;
        self.buffered -= queued.message.len() + OVERHEAD;
        queued.message = Message::default();
        let receipt = queued.receipt.take();
        self.ended.extend(receipt.map(|receipt| Ended { receipt, delivered: false }));
    }

    /// Takes the receipts of what has ended since.
    pub(crate) fn take_ended(&mut self) -> impl Iterator<Item = Ended> + '_ {
        self.ended.drain(..)
    }

    // ---- sending ----

    /// Bytes of chunks in the network.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The far end knows of everything, and that there is no more.
    pub(crate) fn is_finished(&self) -> bool {
        self.final_sequence.is_some() && self.fragments.is_empty() && self.messages.is_empty()
    }

    /// Marks the end of the flow, once all messages were cut; calling it again is harmless. A fragment of its own is made only
    /// when no message is left that could carry the mark (RFC 7016 section 3.6.2.11).
    pub(crate) fn finish_if_drained(&mut self) {
        if self.final_sequence.is_none() && !self.has_uncut() {
            let sequence = self.next_sequence();
            self.push_forward(sequence);
            self.final_sequence = Some(sequence);
        }
    }

    /// Whether something can be sent as far as the queue goes.
    pub(crate) fn has_sendable(&mut self) -> bool {
        self.trim_messages();
        if self.has_uncut() {
            return true;
        }
        self.first_lost().is_some()
    }

    /// The next chunk for a packet, if it fits into `space` bytes of data; `now` abandons what is too late.
    /// `closing` lets the last fragment carry the final mark. Nothing changes until [`Self::commit`].
    pub(crate) fn next_chunk(&mut self, now: Time, space: usize, closing: bool) -> Option<Chunk> {
        self.expire(now);
        self.trim_fragments();
        if let Some(sequence) = self.first_lost() {
            return self.again(sequence, space);
        }
        self.new_chunk(space, closing)
    }

    fn again(&self, sequence: u64, space: usize) -> Option<Chunk> {
        let fragment = &self.fragments[(sequence - self.base) as usize];
        let abandoned = self.is_abandoned(fragment);
        let data = if abandoned { 0 } else { fragment.len as usize };
        if data > space {
            return None;
        }
        let message = (!abandoned).then(|| self.message(fragment.message)).flatten();
        Some(Chunk {
            sequence,
            forward: self.forward(),
            position: if abandoned { Position::Whole } else { fragment.position },
            abandoned,
            last: self.final_sequence == Some(sequence),
            data: message.map(|m| {
                let start = fragment.start as usize;
                (m.message.clone(), start..start + fragment.len as usize)
            }),
        })
    }

    fn new_chunk(&self, space: usize, closing: bool) -> Option<Chunk> {
        let number = self.uncut;
        let queued = self.message(number)?;
        let left = queued.message.len() - queued.cut;
        // A sliver of a long message is not worth a header.
        if space < left.min(256) {
            return None;
        }
        let len = left.min(space);
        let begins = queued.cut == 0;
        let ends = len == left;
        let position = match (begins, ends) {
            (true, true) => Position::Whole,
            (true, false) => Position::Begin,
            (false, true) => Position::End,
            (false, false) => Position::Middle,
        };
        let is_last_message = number + 1 == self.first_message + self.messages.len() as u64;
        Some(Chunk {
            sequence: self.next_sequence(),
            forward: self.forward(),
            position,
            abandoned: false,
            last: closing && ends && is_last_message,
            data: Some((queued.message.clone(), queued.cut..queued.cut + len)),
        })
    }

    /// Notes that a chunk from [`Self::next_chunk`] was put into a packet. Answers the number of the abandoned head
    /// that this chunk's forward number speaks for: it is under way in the same packet.
    pub(crate) fn commit(&mut self, chunk: &Chunk, sent: Sent) -> Option<u64> {
        self.outstanding += sent.size;
        if chunk.sequence < self.next_sequence() {
            let fragment = &mut self.fragments[(chunk.sequence - self.base) as usize];
            debug_assert_eq!(fragment.progress, Progress::Lost);
            fragment.progress = Progress::InFlight;
            fragment.sent_abandoned = chunk.abandoned;
            fragment.sent = sent;
            self.lost -= 1;
            self.lost_from = chunk.sequence + 1;
            return None;
        }
        let (_, range) = chunk.data.as_ref()?;
        if chunk.last {
            self.final_sequence = Some(chunk.sequence);
        }
        let number = self.uncut;
        self.fragments.push_back(Fragment {
            message: number,
            start: range.start as u32,
            len: range.len() as u32,
            position: chunk.position,
            progress: Progress::InFlight,
            sent_abandoned: false,
            sent,
        });
        if let Some(queued) = self.message_mut(number) {
            queued.begun = true;
            queued.pending += 1;
            queued.cut = range.end;
            let finish_by = queued.options.finish_by;
            let done = queued.is_cut();
            self.next_expiry = self.next_expiry.min(finish_by);
            if done {
                self.uncut += 1;
                self.skip_cut();
            }
        }
        // The head that was forwarded over by this chunk need not be told again, unless this one is lost.
        let head = self.fragments.front_mut()?;
        if head.progress != Progress::Lost || chunk.forward < self.base {
            return None;
        }
        head.progress = Progress::InFlight;
        head.sent_abandoned = true;
        head.sent = Sent { size: 0, ..sent };
        self.lost -= 1;
        Some(self.base)
    }

    /// The forward sequence number that chunks carry now (RFC 7016 section 3.6.2.3).
    fn forward(&self) -> u64 {
        match self.fragments.front() {
            None => self.next_sequence() - 1,
            Some(head)
                if self.is_abandoned(head)
                    && (head.progress != Progress::InFlight || head.sent_abandoned) =>
            {
                self.base
            }
            Some(_) => self.base - 1,
        }
    }

    // ---- acknowledgement and loss ----

    /// Takes the cumulative part of an acknowledgement. `None`: it acknowledges what was never sent.
    pub(crate) fn acknowledge_through(
        &mut self,
        cumulative: u64,
        acked: &mut impl FnMut(Acked),
    ) -> Option<bool> {
        if cumulative >= self.next_sequence() {
            return None;
        }
        let newer = cumulative >= self.cumulative;
        self.cumulative = self.cumulative.max(cumulative);
        while self.base <= cumulative && !self.fragments.is_empty() {
            self.acknowledge_one(self.base, acked);
            self.pop_front();
        }
        self.after_acknowledgement();
        Some(newer)
    }

    /// Takes a range beyond the cumulative part; numbers never sent are ignored.
    pub(crate) fn acknowledge_range(&mut self, first: u64, last: u64, acked: &mut impl FnMut(Acked)) {
        let last = last.min(self.next_sequence().saturating_sub(1));
        let mut sequence = first.max(self.base);
        while sequence <= last {
            self.acknowledge_one(sequence, acked);
            sequence += 1;
        }
        self.after_acknowledgement();
    }

    fn acknowledge_one(&mut self, sequence: u64, acked: &mut impl FnMut(Acked)) {
        let Some(fragment) = self.fragments.get_mut((sequence - self.base) as usize) else { return };
        match fragment.progress {
            Progress::Acknowledged => return,
            Progress::InFlight => {
                self.outstanding -= fragment.sent.size;
                acked(Acked { sent: fragment.sent });
            }
            Progress::Lost => self.lost -= 1,
        }
        fragment.progress = Progress::Acknowledged;
        let number = fragment.message;
        if let Some(queued) = self.message_mut(number) {
            queued.pending -= 1;
            if queued.pending == 0 && !queued.abandoned && queued.is_cut() {
                queued.abandoned = true; // It has ended: the slot is free once it is in front.
                let cost = queued.message.len() + OVERHEAD;
                queued.message = Message::default();
                let receipt = queued.receipt.take();
                self.buffered -= cost;
                self.ended.extend(receipt.map(|receipt| Ended { receipt, delivered: true }));
            }
        }
    }

    fn after_acknowledgement(&mut self) {
        while self.fragments.front().is_some_and(|f| f.progress == Progress::Acknowledged) {
            self.pop_front();
        }
        self.trim_messages();
        // Everything numbered is gone from the queue, but the far end still waits for a number in a hole that was
        // given up: tell it to go forward (RFC 7016 section 3.6.2.7.1).
        let through = self.next_sequence() - 1;
        if self.fragments.is_empty() && self.cumulative < through {
            self.base = through;
            self.push_forward(through);
        }
    }

    /// Whether the fragment that was sent in a packet is still in the network.
    pub(crate) fn is_in_flight(&self, sequence: u64, tsn: u64) -> bool {
        self.in_flight(sequence, tsn).is_some()
    }

    /// Takes note that the fragment sent in a packet was lost.
    pub(crate) fn lose(&mut self, sequence: u64, tsn: u64) -> Lost {
        let Some(fragment) = self.in_flight(sequence, tsn) else { return Lost::Stale };
        let (size, number, was_abandoned) = (fragment.sent.size, fragment.message, fragment.sent_abandoned);
        let index = (sequence - self.base) as usize;
        self.fragments[index].progress = Progress::Lost;
        self.outstanding -= size;
        self.lost += 1;
        self.lost_from = self.lost_from.min(sequence);
        if self.message(number).is_some_and(|m| m.options.best_effort) {
            self.abandon(number);
        }
        Lost::Yes { size, was_abandoned }
    }

    fn in_flight(&self, sequence: u64, tsn: u64) -> Option<&Fragment> {
        let index = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        let fragment = self.fragments.get(index)?;
        (fragment.progress == Progress::InFlight && fragment.sent.tsn == tsn).then_some(fragment)
    }

    // ---- inner workings ----

    fn next_sequence(&self) -> u64 {
        self.base + self.fragments.len() as u64
    }

    fn message(&self, number: u64) -> Option<&Queued> {
        let index = number.checked_sub(self.first_message)?;
        self.messages.get(usize::try_from(index).ok()?)
    }

    fn message_mut(&mut self, number: u64) -> Option<&mut Queued> {
        let index = number.checked_sub(self.first_message)?;
        self.messages.get_mut(usize::try_from(index).ok()?)
    }

    fn is_abandoned(&self, fragment: &Fragment) -> bool {
        self.message(fragment.message).is_none_or(|m| m.abandoned)
    }

    fn has_uncut(&self) -> bool {
        self.uncut < self.first_message + self.messages.len() as u64
    }

    /// The first fragment that should be sent again: a lost one that is wanted, the head whatever it is, or the
    /// final one.
    fn first_lost(&self) -> Option<u64> {
        if self.lost == 0 {
            return None;
        }
        let head = self.fragments.front()?;
        if head.progress == Progress::Lost {
            // With new data at hand, the new chunk's forward number does an abandoned head's work.
            let spoken_for = self.is_abandoned(head) && self.has_uncut() && self.lost == 1;
            return (!spoken_for || self.final_sequence == Some(self.base)).then_some(self.base);
        }
        let from = self.lost_from.max(self.base);
        (from..self.next_sequence()).find(|&sequence| {
            let fragment = &self.fragments[(sequence - self.base) as usize];
            fragment.progress == Progress::Lost
                && (!self.is_abandoned(fragment) || self.final_sequence == Some(sequence))
        })
    }

    /// An abandoned fragment without data, to be sent when the queue's head or the flow's end.
    fn push_forward(&mut self, sequence: u64) {
        debug_assert_eq!(sequence, self.next_sequence());
        self.fragments.push_back(Fragment {
            message: NO_MESSAGE,
            start: 0,
            len: 0,
            position: Position::Whole,
            progress: Progress::Lost,
            sent_abandoned: false,
            sent: Sent { tsn: 0, at: Time::ZERO, delivered: 0, size: 0, application_limited: false },
        });
        self.lost += 1;
        self.lost_from = self.lost_from.min(sequence);
    }

    /// Drops abandoned fragments from the front as long as another one is left to carry the forward number.
    fn trim_fragments(&mut self) {
        while self.fragments.len() >= 2 {
            let head = &self.fragments[0];
            let drop = match head.progress {
                Progress::Acknowledged => true,
                Progress::Lost => self.is_abandoned(head),
                Progress::InFlight => false,
            };
            if !drop {
                break;
            }
            // Only where the next one can tell the far end about it.
            let next = &self.fragments[1];
            let tells = next.progress == Progress::Lost || self.has_uncut();
            if head.progress == Progress::Lost && !tells {
                break;
            }
            self.pop_front();
        }
        self.trim_messages();
    }

    fn pop_front(&mut self) {
        let Some(fragment) = self.fragments.pop_front() else { return };
        self.base += 1;
        if fragment.progress == Progress::Acknowledged {
            return;
        }
        match fragment.progress {
            Progress::InFlight => self.outstanding -= fragment.sent.size,
            _ => self.lost -= 1,
        }
        if let Some(queued) = self.message_mut(fragment.message) {
            queued.pending -= 1;
        }
    }

    fn skip_cut(&mut self) {
        while self.message(self.uncut).is_some_and(Queued::is_cut) {
            self.uncut += 1;
        }
    }

    /// Forgets ended messages at the front that no fragment refers to.
    fn trim_messages(&mut self) {
        while self.messages.front().is_some_and(|m| m.abandoned && m.pending == 0) {
            self.messages.pop_front();
            self.first_message += 1;
        }
        self.uncut = self.uncut.max(self.first_message);
        self.skip_cut();
    }
}
