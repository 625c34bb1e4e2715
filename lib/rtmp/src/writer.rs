//! The chunk stream as sent (RTMP section 5.3).

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::message::{CONTROL_STREAM, MAX_PAYLOAD, kind};

use crate::chunk_streams::ChunkStreams;
use crate::config::{MAX_CHUNK_SIZE, MIN_CHUNK_SIZE};
use crate::control::{Acks, Outbox, is_chunk_layer};
use crate::header::{self, CONTROL_CHUNK_STREAM};
use crate::queue::{Queue, Queued, RECORD, Removed};
use crate::{Config, Event, MessageId, Role, SendError, SendOptions};

/// Turns messages into chunks, as late as possible.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Queue,
    pub(crate) outbox: Outbox,
    chunk_streams: ChunkStreams,
    chunk_size: usize,
    interleave: bool,
    abandon_started: bool,
    max_queued: usize,
    /// What is left of the chunk under way.
    rest: Bytes,
    /// The message to report as sent when `rest` is.
    finishing: Option<MessageId>,
    /// Groups that lost a message, the newest last.
    dead_groups: VecDeque<u64>,
    pub(crate) counts: Counts,
}

/// How many messages ended how.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) expired: u64,
    pub(crate) abandoned: u64,
    pub(crate) overflowed: u64,
    /// Of those, the ones that had begun.
    pub(crate) aborted: u64,
}

/// Why a message is dropped.
#[derive(Clone, Copy, Debug)]
enum Cause {
    Expired,
    Abandoned,
    Overflow,
}

/// How many groups that lost a message are remembered: the current ones of that many streams.
const MAX_DEAD_GROUPS: usize = 64;

impl Writer {
    pub(crate) fn new(role: Role, config: &Config) -> Self {
        let chunk_size = config.chunk_size.clamp(MIN_CHUNK_SIZE, MAX_CHUNK_SIZE);
        Self {
            queue: Queue::new(config.abandon_started),
            outbox: Outbox::new(role, chunk_size, config.window_ack_size),
            chunk_streams: ChunkStreams::new(config.compress_headers),
            chunk_size: chunk_size as usize,
            interleave: config.interleave,
            abandon_started: config.abandon_started,
            max_queued: config.max_queued_bytes,
            rest: Bytes::new(),
            finishing: None,
            dead_groups: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.bytes() + self.rest.len()
    }

    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        self.queue.memory()
            + self.chunk_streams.memory()
            + self.dead_groups.capacity() * size_of::<u64>()
            + self.rest.len()
    }

    pub(crate) fn wants_write(&self, acks: &Acks) -> bool {
        !self.rest.is_empty() || !self.queue.is_empty() || self.outbox.wants_write(acks)
    }

    /// When the next message expires.
    pub(crate) fn next_deadline(&mut self) -> Option<Time> {
        self.queue.nearest_deadline().map(|(deadline, _)| deadline)
    }

    pub(crate) fn send(
        &mut self,
        now: Time,
        message: TcMessage,
        options: &SendOptions,
        events: &mut VecDeque<Event>,
    ) -> Result<MessageId, SendError> {
        let kind = message.kind;
        let length = message.payload.len();
        if is_chunk_layer(kind) {
            return Err(SendError::ChunkLayer { kind });
        }
        if length > MAX_PAYLOAD {
            return Err(SendError::TooLong { length });
        }
        if self.queue.cost() + length + RECORD > self.max_queued {
            self.expire(now, events);
        }
        while self.queue.cost() + length + RECORD > self.max_queued {
            let Some((_, nearest)) = self.queue.nearest_deadline() else { break };
            self.discard(nearest, Cause::Overflow, events);
        }
        let fits = self.queue.cost() + length + RECORD <= self.max_queued;
        if !fits && options.start_by.is_never() && options.finish_by.is_never() {
            return Err(SendError::QueueFull { queued: self.queue.cost(), limit: self.max_queued });
        }
        let orphan = options.group.is_some_and(|group| self.dead_groups.contains(&group));
        let id = self.queue.push(message, *options);
        if !fits {
            self.discard(id, Cause::Overflow, events);
        } else if orphan {
            self.discard(id, Cause::Abandoned, events);
        }
        Ok(id)
    }

    /// Drops a message, unless it is gone or has begun and must be finished.
    pub(crate) fn abandon(&mut self, id: MessageId, events: &mut VecDeque<Event>) -> bool {
        let droppable = self.is_droppable(id);
        if droppable {
            self.discard(id, Cause::Abandoned, events);
        }
        droppable
    }

    /// Drops what is left of a group.
    pub(crate) fn abandon_group(
        &mut self,
        stream_id: u32,
        kind: u8,
        group: u64,
        events: &mut VecDeque<Event>,
    ) {
        self.bury(group);
        let mut next = self.queue.first(stream_id, kind);
        while let Some((id, queued)) = next.and_then(|id| Some((id, self.queue.get(id)?))) {
            next = queued.after;
            if queued.options.group == Some(group) && self.is_droppable(id) {
                // The rest of the group goes with it.
                return self.discard(id, Cause::Abandoned, events);
            }
        }
    }

    /// Brings the deadlines of a group's messages forward.
    pub(crate) fn hasten_group(
        &mut self,
        stream_id: u32,
        kind: u8,
        group: u64,
        start_by: Time,
        finish_by: Time,
    ) {
        let mut next = self.queue.first(stream_id, kind);
        while let Some((id, queued)) = next.and_then(|id| Some((id, self.queue.get(id)?))) {
            next = queued.after;
            if queued.options.group == Some(group) {
                self.queue.hasten(id, start_by, finish_by);
            }
        }
    }

    /// Drops what has expired.
    pub(crate) fn expire(&mut self, now: Time, events: &mut VecDeque<Event>) {
        while let Some((deadline, id)) = self.queue.nearest_deadline() {
            if deadline > now {
                return;
            }
            self.discard(id, Cause::Expired, events);
        }
    }

    /// Appends chunks until `out` has `end` bytes or nothing is left to send. A header may reach over it.
    pub(crate) fn fill(
        &mut self,
        acks: &mut Acks,
        end: usize,
        out: &mut Vec<u8>,
        events: &mut VecDeque<Event>,
    ) {
        while out.len() < end {
            if !self.rest.is_empty() {
                let taken = self.rest.len().min(end - out.len());
                out.extend_from_slice(&self.rest[..taken]);
                self.rest.advance(taken);
            } else if !self.outbox.write_next(acks, out) && !self.begin_chunk(out) {
                return;
            }
            if self.rest.is_empty()
                && let Some(id) = self.finishing.take()
            {
                events.push_back(Event::Sent(id));
            }
        }
    }

    /// Writes the next chunk's header and makes its payload the rest to send; false if there is none.
    fn begin_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        let chosen = self.queue.choose(self.chunk_streams.has_free(), !self.interleave);
        let Some((id, queued, begun)) = chosen.and_then(|(id, begun)| Some((id, self.queue.get(id)?, begun)))
        else {
            return false;
        };
        let message = &queued.message;
        let length = message.payload.len();
        let part = queued.done..length.min(queued.done + self.chunk_size);
        let finished = part.end == length;
        self.rest = message.payload.slice(part.clone());

        let chunk_stream = if let Some(chunk_stream) = begun {
            self.chunk_streams.go_on(chunk_stream, out);
            chunk_stream
        } else if message.kind == kind::USER_CONTROL && message.stream_id == CONTROL_STREAM && finished {
            // It needs no more than one chunk, so the chunk layer's own chunk stream stays free.
            header::put(out, 0, CONTROL_CHUNK_STREAM, &message.into());
            CONTROL_CHUNK_STREAM
        } else {
            self.chunk_streams.begin(message, out)
        };
        if finished {
            self.chunk_streams.finish(chunk_stream);
        } else {
            self.queue.advance(id, part.len(), chunk_stream);
        }
        if finished && let Some(removed) = self.queue.remove(id) {
            self.counts.sent += 1;
            self.finishing = removed.queued.options.notify.then_some(id);
        }
        true
    }

    fn is_droppable(&self, id: MessageId) -> bool {
        self.queue.get(id).is_some_and(|queued| queued.done == 0 || self.abandon_started)
    }

    /// Drops a message, and those that need it.
    fn discard(&mut self, id: MessageId, cause: Cause, events: &mut VecDeque<Event>) {
        let Some(queued) = self.discard_one(id, cause, events) else { return };
        let Some(group) = queued.options.group else { return };
        self.bury(group);
        let mut next = queued.after;
        while let Some((id, queued)) = next.and_then(|id| Some((id, self.queue.get(id)?))) {
            next = queued.after;
            if queued.options.group == Some(group) {
                self.discard_one(id, cause, events);
            }
        }
    }

    fn discard_one(&mut self, id: MessageId, cause: Cause, events: &mut VecDeque<Event>) -> Option<Queued> {
        let Removed { queued, chunk_stream } = self.queue.remove(id)?;
        match cause {
            Cause::Expired => self.counts.expired += 1,
            Cause::Abandoned => self.counts.abandoned += 1,
            Cause::Overflow => self.counts.overflowed += 1,
        }
        if let Some(chunk_stream) = chunk_stream {
            self.counts.aborted += 1;
            self.outbox.abort(chunk_stream);
            self.chunk_streams.abort(chunk_stream);
        }
        if queued.options.notify {
            events.push_back(Event::Dropped { id, begun: chunk_stream.is_some() });
        }
        Some(queued)
    }

    /// Remembers that a group lost a message.
    fn bury(&mut self, group: u64) {
        if self.dead_groups.contains(&group) {
            return;
        }
        if self.dead_groups.len() == MAX_DEAD_GROUPS {
            self.dead_groups.pop_front();
        }
        self.dead_groups.push_back(group);
    }
}

#[cfg(test)]
mod tests;
