//! The chunk stream as sent (RTMP section 5.3).

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::message::{CONTROL_STREAM, MAX_PAYLOAD, kind};

use crate::config::{MAX_CHUNK_SIZE, MIN_CHUNK_SIZE};
use crate::control::{Acks, Outbox, is_chunk_layer};
use crate::header::{self, CONTROL_CHUNK_STREAM, EXTENDED, Fields};
use crate::queue::{Queue, Queued, RECORD, Removed};
use crate::{Config, Event, MessageId, Role, SendError, SendOptions};

/// Turns messages into chunks, as late as possible.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Queue,
    pub(crate) outbox: Outbox,
    chunk_streams: Vec<ChunkStream>,
    chunk_size: usize,
    compress: bool,
    interleave: bool,
    abandon_started: bool,
    max_queued: usize,
    /// What is left of the chunk under way.
    rest: Bytes,
    /// The message to report as sent when `rest` is.
    finishing: Option<MessageId>,
    /// Groups that lost a message, the newest last.
    dead_groups: VecDeque<u64>,
    /// Messages begun so far.
    begun: u64,
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

#[derive(Debug)]
struct ChunkStream {
    /// A message is under way on it.
    busy: bool,
    /// The number of the last message that began on it.
    last_used: u64,
    /// What the next header can build on. `None`: it has to be a full one.
    previous: Option<Previous>,
}

/// What the headers of the last message said.
#[derive(Clone, Copy, Debug)]
struct Previous {
    stream_id: u32,
    kind: u8,
    length: usize,
    timestamp: u32,
    /// The difference that a header of format 3 would repeat. `None` after format 0: the specification says
    /// that it is then the timestamp, and not all implementations agree.
    delta: Option<u32>,
}

/// The first chunk stream for messages; 2 is the chunk layer's.
const FIRST_CHUNK_STREAM: u32 = CONTROL_CHUNK_STREAM + 1;
/// How many chunk streams are used at most. There are servers that take none above 31.
const MAX_CHUNK_STREAMS: usize = 24;
/// How many groups that lost a message are remembered: the current ones of that many streams.
const MAX_DEAD_GROUPS: usize = 64;

impl Writer {
    pub(crate) fn new(role: Role, config: &Config) -> Self {
        let chunk_size = config.chunk_size.clamp(MIN_CHUNK_SIZE, MAX_CHUNK_SIZE);
        Self {
            queue: Queue::new(config.abandon_started),
            outbox: Outbox::new(role, chunk_size, config.window_ack_size),
            chunk_streams: Vec::new(),
            chunk_size: chunk_size as usize,
            compress: config.compress_headers,
            interleave: config.interleave,
            abandon_started: config.abandon_started,
            max_queued: config.max_queued_bytes,
            rest: Bytes::new(),
            finishing: None,
            dead_groups: VecDeque::new(),
            begun: 0,
            counts: Counts::default(),
        }
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queue.bytes() + self.rest.len()
    }

    /// Bytes on the heap.
    pub(crate) fn memory(&self) -> usize {
        self.queue.memory()
            + self.chunk_streams.capacity() * size_of::<ChunkStream>()
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
        let may_begin = self.chunk_streams.len() < MAX_CHUNK_STREAMS
            || self.chunk_streams.iter().any(|stream| !stream.busy);
        let chosen = self.queue.choose(may_begin, !self.interleave);
        let Some((id, queued, begun)) = chosen.and_then(|(id, begun)| Some((id, self.queue.get(id)?, begun)))
        else {
            return false;
        };
        let message = &queued.message;
        let length = message.payload.len();
        let part = queued.done..length.min(queued.done + self.chunk_size);
        let finished = part.end == length;
        self.rest = message.payload.slice(part.clone());

        let place = if let Some(place) = begun {
            self.chunk_streams[place].put_continuation(place, out);
            Some(place)
        } else if message.kind == kind::USER_CONTROL && message.stream_id == CONTROL_STREAM && finished {
            // It needs no more than one chunk, so the chunk layer's own chunk stream stays free.
            header::put(out, 0, CONTROL_CHUNK_STREAM, &fields(message, message.timestamp));
            None
        } else {
            let place = free_place(&mut self.chunk_streams, message);
            self.begun += 1;
            self.chunk_streams[place].put_start(place, message, self.compress, out);
            self.chunk_streams[place].last_used = self.begun;
            Some(place)
        };

        if let Some(place) = place {
            self.chunk_streams[place].busy = !finished;
            if !finished {
                self.queue.advance(id, part.len(), place);
            }
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
        if let Some(place) = chunk_stream {
            self.counts.aborted += 1;
            self.outbox.abort(FIRST_CHUNK_STREAM + place as u32);
            let stream = &mut self.chunk_streams[place];
            stream.busy = false;
            // What a peer keeps of an aborted message's header is better not relied on.
            stream.previous = None;
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

impl ChunkStream {
    /// Writes the header of a message's first chunk, as short as the message before allows.
    fn put_start(&mut self, place: usize, message: &TcMessage, compress: bool, out: &mut Vec<u8>) {
        let length = message.payload.len();
        let compressed = self.previous.filter(|_| compress).and_then(|previous| {
            let delta = message.timestamp.wrapping_sub(previous.timestamp);
            // Also false when time went backwards.
            let fits = delta < EXTENDED && previous.stream_id == message.stream_id;
            let format = if previous.kind != message.kind || previous.length != length {
                1
            } else if previous.delta != Some(delta) {
                2
            } else {
                3
            };
            fits.then_some((format, delta))
        });
        let (format, time) = compressed.unwrap_or((0, message.timestamp));
        header::put(out, format, FIRST_CHUNK_STREAM + place as u32, &fields(message, time));
        self.previous = Some(Previous {
            stream_id: message.stream_id,
            kind: message.kind,
            length,
            timestamp: message.timestamp,
            delta: compressed.map(|(_, delta)| delta),
        });
    }

    /// Writes the header of a chunk that continues a message.
    fn put_continuation(&self, place: usize, out: &mut Vec<u8>) {
        out.push(3 << 6 | (FIRST_CHUNK_STREAM + place as u32) as u8);
        // Differences are never that large, so only format 0 has extended timestamps.
        if let Some(Previous { delta: None, timestamp: timestamp @ EXTENDED.., .. }) = self.previous {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
    }
}

fn fields(message: &TcMessage, time: u32) -> Fields {
    Fields { time, length: message.payload.len(), kind: message.kind, stream_id: message.stream_id }
}

/// Finds or makes a chunk stream that is not busy. The best had a message of the same type on the same stream
/// before; then come those that had none that counts, new ones, and last the one that was not used for longest.
fn free_place(chunk_streams: &mut Vec<ChunkStream>, message: &TcMessage) -> usize {
    let free = chunk_streams.iter().enumerate().filter(|(_, stream)| !stream.busy);
    let ranked = free.map(|(place, stream)| match stream.previous {
        Some(previous) if previous.stream_id == message.stream_id && previous.kind == message.kind => {
            (0, 0, place)
        }
        None => (1, 0, place),
        Some(_) => (2, stream.last_used, place),
    });
    match ranked.min() {
        Some((0 | 1, _, place)) => place,
        Some((_, _, place)) if chunk_streams.len() >= MAX_CHUNK_STREAMS => place,
        _ => {
            chunk_streams.push(ChunkStream { busy: false, last_used: 0, previous: None });
            chunk_streams.len() - 1
        }
    }
}

#[cfg(test)]
mod tests;
