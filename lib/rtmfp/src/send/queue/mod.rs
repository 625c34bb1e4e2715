//! The messages of a sending flow that wait or are under way (RFC 7016 sections 3.6.2.2 to 3.6.2.7).
//!
//! A message is cut into fragments when it is sent, not when it is written: fragments then fill packets. Numbers are
//! given at that moment too, so `fragments` holds exactly the numbers `base..next` that the far end may know of. For
//! messages that expire before they were begun, however many in a row, the next one that is sent has an abandoned number
//! in front: so the far end sees that there was something (RFC 7016 section 3.6.1.2).

mod acknowledge;
mod deadlines;
mod transmit;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use deadlines::Deadlines;
use rtmfp_base::{Message, ReceiptId, Time, WriteOptions};

use crate::endpoint::SendFlowCounters;
use crate::wire::Fragment as Position;

/// What a queued message costs beside its bytes.
pub(crate) const OVERHEAD: usize = 64;

/// Sequence numbers that are under way at a time, at the most. A far end that keeps one of them unacknowledged
/// and acknowledges all that follow can't make the account of them longer than this.
pub(crate) const MAX_SPAN: usize = 8192;

/// Ended messages are taken out of the middle of the queue when there are more of them than this and than others.
const GARBAGE: usize = 32;

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

impl Chunk {
    /// Bytes of user data.
    pub(crate) fn data_len(&self) -> usize {
        self.data.as_ref().map_or(0, |(_, range)| range.len())
    }
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
    number: u64,
    message: Message,
    options: WriteOptions,
    receipt: Option<ReceiptId>,
    created: Time,
    /// The entry that counts among the queue's deadlines; never: there is none.
    armed: Time,
    /// Bytes that were cut into fragments so far.
    cut: usize,
    begun: bool,
    /// Fragments in `fragments` that are not acknowledged.
    pending: u32,
    /// It was delivered or abandoned: its bytes are gone, only its fragments are still accounted for.
    ended: bool,
}

impl Queued {
    fn is_cut(&self) -> bool {
        self.ended || (self.begun && self.cut == self.message.len())
    }

    /// Nothing refers to it any more.
    fn is_garbage(&self) -> bool {
        self.ended && self.pending == 0
    }

    fn deadline(&self) -> Time {
        let finish_by = self.options.finish_by;
        if self.begun { finish_by } else { finish_by.min(self.options.start_by) }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Progress {
    /// Made to tell the far end to go forward, and not sent yet.
    Unsent,
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

impl Fragment {
    /// It is in the queue but not in the network.
    fn waits(&self) -> bool {
        matches!(self.progress, Progress::Unsent | Progress::Lost)
    }
}

const NO_MESSAGE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Queue {
    /// By ascending number. Mostly there is none missing; ended ones may have been taken out.
    messages: VecDeque<Queued>,
    next_message: u64,
    /// The first message that still has bytes to cut.
    uncut: u64,
    /// All messages before these have ended; have ended or begun.
    unended: u64,
    unbegun: u64,
    /// Messages in `messages` that are no garbage.
    live: usize,
    fragments: VecDeque<Fragment>,
    /// The sequence number of `fragments[0]`.
    base: u64,
    /// Fragments that wait to be sent (again).
    waiting: usize,
    /// No fragment that is to be sent (again), but perhaps the first one, has a lower number.
    waiting_from: u64,
    /// The highest cumulative acknowledgement.
    cumulative: u64,
    final_sequence: Option<u64>,
    /// The last number belongs to a message that was abandoned before all of it had numbers: the far end takes it for
    /// one in progress until a number follows.
    torn: bool,
    /// [`Self::be_basic`].
    basic: bool,
    /// The message after the last one that was begun or told to be missing.
    expected: u64,
    outstanding: usize,
    buffered: usize,
    /// Bytes of messages that have not ended and were not cut.
    unsent: usize,
    deadlines: Deadlines,
    ended: VecDeque<Ended>,
    counters: SendFlowCounters,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            next_message: 0,
            uncut: 0,
            unended: 0,
            unbegun: 0,
            live: 0,
            fragments: VecDeque::new(),
            base: 1,
            waiting: 0,
            waiting_from: 1,
            cumulative: 0,
            final_sequence: None,
            torn: false,
            basic: false,
            expected: 0,
            outstanding: 0,
            buffered: 0,
            unsent: 0,
            deadlines: Deadlines::default(),
            ended: VecDeque::new(),
            counters: SendFlowCounters::default(),
        }
    }

    /// From now on what the far end does not have to wait for is told in the way that the installed base understands.
    /// Its programs ignore forward sequence numbers. An abandoned fragment makes them go on behind it, whatever is missing
    /// before it, so one is sent only when it is the first that they wait for; and a message that was begun goes on with
    /// the next fragment, whatever that is, unless an abandoned one comes between.
    pub(crate) fn be_basic(&mut self) {
        self.basic = true;
    }

    /// The number of the message that is written next.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_message
    }

    /// Queues a message; answers its number.
    pub(crate) fn write(
        &mut self,
        now: Time,
        message: Message,
        options: &WriteOptions,
        receipt: Option<ReceiptId>,
    ) -> u64 {
        let number = self.next_message;
        self.next_message += 1;
        self.live += 1;
        self.buffered += message.len() + OVERHEAD;
        self.unsent += message.len();
        self.counters.written_messages += 1;
        self.counters.written_bytes += message.len() as u64;
        self.messages.push_back(Queued {
            number,
            message,
            options: *options,
            receipt,
            created: now,
            armed: Time::MAX,
            cut: 0,
            begun: false,
            pending: 0,
            ended: false,
        });
        self.arm(number);
        number
    }

    /// Bytes of messages that have not ended, overhead included.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Bytes of messages that were never sent.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent
    }

    /// When the oldest message was written that has not ended.
    pub(crate) fn oldest(&mut self) -> Option<Time> {
        let from = self.messages.partition_point(|queued| queued.number < self.unended);
        let oldest = self.messages.range(from..).find(|queued| !queued.ended);
        self.unended = oldest.map_or(self.next_message, |queued| queued.number);
        oldest.map(|queued| queued.created)
    }

    /// When the oldest message was written that has not begun to be sent.
    pub(crate) fn oldest_unbegun(&mut self) -> Option<Time> {
        let from = self.messages.partition_point(|queued| queued.number < self.unbegun.max(self.uncut));
        let oldest = self.messages.range(from..).find(|queued| !queued.ended && !queued.begun);
        self.unbegun = oldest.map_or(self.next_message, |queued| queued.number);
        oldest.map(|queued| queued.created)
    }

    pub(crate) fn counters(&self) -> &SendFlowCounters {
        &self.counters
    }

    /// Whether anything was ever written or numbered.
    pub(crate) fn was_used(&self) -> bool {
        self.next_message > 0 || self.next_sequence() > 1
    }

    /// Whether the message has begun to be sent; `None` when it has ended.
    pub(crate) fn is_begun(&self, message: u64) -> Option<bool> {
        self.message(message).filter(|queued| !queued.ended).map(|queued| queued.begun)
    }

    /// When a message was written; `None` when it has ended.
    pub(crate) fn created(&self, message: u64) -> Option<Time> {
        self.message(message).filter(|queued| !queued.ended).map(|queued| queued.created)
    }

    /// Abandons a message (RFC 7016 section 3.6.2.7).
    pub(crate) fn abandon(&mut self, message: u64) {
        if let Some(index) = self.index_of(message) {
            self.end(index, false);
            self.trim_messages();
        }
    }

    /// Abandons everything.
    pub(crate) fn abandon_all(&mut self) {
        for index in 0..self.messages.len() {
            self.end(index, false);
        }
        self.trim_messages();
    }

    /// Takes one of the receipts of what has ended since, in the order in which it did.
    pub(crate) fn next_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }

    /// Bytes of chunks in the network.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// The far end knows of everything, and that there is no more.
    pub(crate) fn is_finished(&self) -> bool {
        self.final_sequence.is_some_and(|last| self.cumulative >= last)
            && self.fragments.is_empty()
            && self.messages.is_empty()
    }

    fn next_sequence(&self) -> u64 {
        self.base + self.fragments.len() as u64
    }

    fn index_of(&self, number: u64) -> Option<usize> {
        let first = self.messages.front()?.number;
        // It is there unless one before it was taken out.
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        if self.messages.get(index).is_some_and(|queued| queued.number == number) {
            return Some(index);
        }
        self.messages.binary_search_by_key(&number, |queued| queued.number).ok()
    }

    fn message(&self, number: u64) -> Option<&Queued> {
        self.messages.get(self.index_of(number)?)
    }

    fn message_mut(&mut self, number: u64) -> Option<&mut Queued> {
        let index = self.index_of(number)?;
        self.messages.get_mut(index)
    }

    fn has_uncut(&self) -> bool {
        self.uncut < self.next_message
    }

    /// A message has ended, unless it had before.
    fn end(&mut self, index: usize, delivered: bool) {
        let queued = &mut self.messages[index];
        if queued.ended {
            return;
        }
        let count = &mut self.counters;
        *(if delivered { &mut count.delivered_messages } else { &mut count.abandoned_messages }) += 1;
        self.torn |= queued.begun && !queued.is_cut();
        queued.ended = true;
        self.buffered -= queued.message.len() + OVERHEAD;
        self.unsent -= queued.message.len() - queued.cut;
        queued.message = Message::default();
        let receipt = queued.receipt.take();
        self.ended.extend(receipt.map(|receipt| Ended { receipt, delivered }));
        if queued.pending == 0 {
            self.live -= 1;
        }
    }

    /// One fragment less refers to a message.
    fn unpend(&mut self, index: usize) {
        let queued = &mut self.messages[index];
        queued.pending -= 1;
        if queued.is_garbage() {
            self.live -= 1;
        }
    }

    /// Forgets ended messages that no fragment refers to: at once those in front, the others when they are many.
    fn trim_messages(&mut self) {
        while self.messages.front().is_some_and(Queued::is_garbage) {
            self.messages.pop_front();
        }
        if self.messages.len() - self.live > self.live.max(GARBAGE) {
            self.messages.retain(|queued| !queued.is_garbage());
        }
        self.skip_cut();
    }

    /// Moves `uncut` to the first message that has bytes to cut.
    fn skip_cut(&mut self) {
        if !self.has_uncut() || self.message(self.uncut).is_some_and(|queued| !queued.is_cut()) {
            return;
        }
        let from = self.messages.partition_point(|queued| queued.number < self.uncut);
        let uncut = self.messages.range(from..).find(|queued| !queued.is_cut());
        self.uncut = uncut.map_or(self.next_message, |queued| queued.number);
    }
}
