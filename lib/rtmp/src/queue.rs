//! Messages that wait to be sent: which one is next, and which have expired.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use rtmfp_base::{Arena, Id, IdKind, Time};
use rtmfp_media::TcMessage;

use crate::SendOptions;

/// Marks ids of messages that are being sent.
#[derive(Debug)]
pub struct MessageKind;
impl IdKind for MessageKind {
    const PREFIX: &'static str = "m";
}

/// The id of a message that was given to [`Connection::send`](crate::Connection::send).
pub type MessageId = Id<MessageKind>;

/// Messages of one type on one stream. They leave in the order in which they came, so only the first can have
/// begun.
#[derive(Debug)]
struct Lane {
    stream_id: u32,
    kind: u8,
    /// How many messages of each priority wait.
    counts: [u32; 8],
    /// The highest priority of all that wait.
    priority: u8,
    head: MessageId,
    tail: MessageId,
    /// When the first message came, among all.
    order: u64,
    /// The chunk stream on which the first message has begun.
    chunk_stream: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) message: TcMessage,
    pub(crate) options: SendOptions,
    /// Payload bytes that are in chunks already.
    pub(crate) done: usize,
    order: u64,
    before: Option<MessageId>,
    /// The next message of the same lane.
    pub(crate) after: Option<MessageId>,
}

/// What [`Queue::remove`] took out.
#[derive(Debug)]
pub(crate) struct Removed {
    pub(crate) queued: Queued,
    /// The chunk stream on which it had begun.
    pub(crate) chunk_stream: Option<u32>,
}

/// The send queue. Choosing, adding and removing take time linear in the number of lanes with waiting messages
/// (a handful for each stream); nothing depends on how many messages wait but by a logarithm.
#[derive(Debug)]
pub(crate) struct Queue {
    messages: Arena<MessageKind, Queued>,
    /// The lanes that are not empty, in no order.
    lanes: Vec<Lane>,
    /// Deadlines, nearest first. An entry is void when its message is gone or has another deadline by now.
    deadlines: BinaryHeap<Reverse<(Time, MessageId)>>,
    /// Whether a message that has begun can still expire.
    abandon_started: bool,
    next_order: u64,
    /// Payload bytes that wait.
    bytes: usize,
    /// The most messages that ever waited, which is how many places there are.
    places: usize,
}

/// What the record of a waiting message takes beside its payload, in bytes.
pub(crate) const RECORD: usize = size_of::<Queued>() + 2 * size_of::<(Time, MessageId)>() + 16;

impl Queue {
    pub(crate) const fn new(abandon_started: bool) -> Self {
        Self {
            messages: Arena::new(),
            lanes: Vec::new(),
            deadlines: BinaryHeap::new(),
            abandon_started,
            next_order: 0,
            bytes: 0,
            places: 0,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Payload bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Payload bytes that wait, and the records.
    pub(crate) const fn cost(&self) -> usize {
        self.bytes + self.messages.len() * RECORD
    }

    /// Bytes on the heap. Payloads count in full, though others may share them.
    pub(crate) fn memory(&self) -> usize {
        self.bytes
            + self.places.next_power_of_two() * (size_of::<Queued>() + 8)
            + self.lanes.capacity() * size_of::<Lane>()
            + self.deadlines.capacity() * size_of::<(Time, MessageId)>()
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&Queued> {
        self.messages.get(id)
    }

    pub(crate) fn push(&mut self, message: TcMessage, options: SendOptions) -> MessageId {
        let (stream_id, kind) = (message.stream_id, message.kind);
        let priority = options.priority.min(7);
        let order = self.next_order;
        self.next_order += 1;
        self.bytes += message.payload.len();
        let lane = self.find_lane(stream_id, kind);
        let before = lane.map(|index| self.lanes[index].tail);
        let id = self.messages.insert(Queued {
            message,
            options: SendOptions { priority, ..options },
            done: 0,
            order,
            before,
            after: None,
        });
        self.places = self.places.max(self.messages.len());
        if let Some(before) = before.and_then(|before| self.messages.get_mut(before)) {
            before.after = Some(id);
        }
        if let Some(index) = lane {
            let lane = &mut self.lanes[index];
            lane.tail = id;
            lane.counts[usize::from(priority)] += 1;
            lane.priority = lane.priority.max(priority);
        } else {
            let mut counts = [0; 8];
            counts[usize::from(priority)] = 1;
            self.lanes.push(Lane {
                stream_id,
                kind,
                counts,
                priority,
                head: id,
                tail: id,
                order,
                chunk_stream: None,
            });
        }
        self.schedule(id);
        id
    }

    /// The message to send from now, and the chunk stream if it has begun: the highest priority, of those the
    /// one that came first. Without `begin_new`, only messages that have begun are considered; with
    /// `finish_first`, they come first whatever their priority.
    pub(crate) fn choose(&self, begin_new: bool, finish_first: bool) -> Option<(MessageId, Option<u32>)> {
        self.lanes
            .iter()
            .filter(|lane| begin_new || lane.chunk_stream.is_some())
            .max_by_key(|lane| {
                (finish_first && lane.chunk_stream.is_some(), lane.priority, Reverse(lane.order))
            })
            .map(|lane| (lane.head, lane.chunk_stream))
    }

    /// Notes that `len` more bytes of a lane's first message, not its last ones, went into a chunk.
    pub(crate) fn advance(&mut self, id: MessageId, len: usize, chunk_stream: u32) {
        let Some(queued) = self.messages.get_mut(id) else { return };
        let begins = queued.done == 0;
        queued.done += len;
        self.bytes -= len;
        if begins {
            let (stream_id, kind) = (queued.message.stream_id, queued.message.kind);
            if let Some(index) = self.find_lane(stream_id, kind) {
                self.lanes[index].chunk_stream = Some(chunk_stream);
            }
            // Only one of its deadlines is left.
            self.schedule(id);
        }
    }

    /// Takes a message out, wherever in its lane it is.
    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Removed> {
        let queued = self.messages.remove(id)?;
        self.bytes -= queued.message.payload.len() - queued.done;
        if let Some(before) = queued.before.and_then(|before| self.messages.get_mut(before)) {
            before.after = queued.after;
        }
        let mut after_order = None;
        if let Some(after) = queued.after.and_then(|after| self.messages.get_mut(after)) {
            after.before = queued.before;
            after_order = Some(after.order);
        }
        let index = self.find_lane(queued.message.stream_id, queued.message.kind)?;
        let lane = &mut self.lanes[index];
        let mut chunk_stream = None;
        if lane.head == id {
            chunk_stream = lane.chunk_stream.take();
        }
        match (queued.before, queued.after) {
            (None, None) => {
                self.lanes.swap_remove(index);
                return Some(Removed { queued, chunk_stream });
            }
            (None, Some(after)) => {
                lane.head = after;
                lane.order = after_order.unwrap_or(lane.order);
            }
            (Some(before), None) => lane.tail = before,
            (Some(_), Some(_)) => {}
        }
        lane.counts[usize::from(queued.options.priority)] -= 1;
        while lane.priority > 0 && lane.counts[usize::from(lane.priority)] == 0 {
            lane.priority -= 1;
        }
        Some(Removed { queued, chunk_stream })
    }

    /// The first message of a lane.
    pub(crate) fn first(&self, stream_id: u32, kind: u8) -> Option<MessageId> {
        self.find_lane(stream_id, kind).map(|index| self.lanes[index].head)
    }

    /// Brings a message's deadlines forward; they are never put off.
    pub(crate) fn hasten(&mut self, id: MessageId, start_by: Time, finish_by: Time) {
        let Some(queued) = self.messages.get_mut(id) else { return };
        let options = &mut queued.options;
        if start_by < options.start_by || finish_by < options.finish_by {
            options.start_by = options.start_by.min(start_by);
            options.finish_by = options.finish_by.min(finish_by);
            self.schedule(id);
        }
    }

    /// The message with the nearest deadline, if any has one.
    pub(crate) fn nearest_deadline(&mut self) -> Option<(Time, MessageId)> {
        while let Some(&Reverse((deadline, id))) = self.deadlines.peek() {
            if self.deadline(id) == Some(deadline) {
                return Some((deadline, id));
            }
            self.deadlines.pop();
        }
        None
    }

    /// When a message expires, if it is still here and ever does.
    pub(crate) fn deadline(&self, id: MessageId) -> Option<Time> {
        let queued = self.messages.get(id)?;
        let deadline = match queued.done {
            0 => queued.options.start_by.min(queued.options.finish_by),
            _ if self.abandon_started => queued.options.finish_by,
            _ => Time::MAX,
        };
        (!deadline.is_never()).then_some(deadline)
    }

    fn schedule(&mut self, id: MessageId) {
        let Some(deadline) = self.deadline(id) else { return };
        if self.deadlines.len() > 2 * self.messages.len() + 64 {
            // More than half is void.
            let mut entries = core::mem::take(&mut self.deadlines);
            entries.retain(|Reverse((deadline, id))| self.deadline(*id) == Some(*deadline));
            self.deadlines = entries;
        }
        self.deadlines.push(Reverse((deadline, id)));
    }

    fn find_lane(&self, stream_id: u32, kind: u8) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.stream_id == stream_id && lane.kind == kind)
    }
}

#[cfg(test)]
mod tests;
