use std::collections::VecDeque;

use rtmfp_base::{Counters, Time, Visit};
use rtmfp_media::TcMessage;
use rtmfp_media::aggregate::Parts;

use crate::control::{Acks, Control, ping_request};
use crate::handshake::Handshake;
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{Config, Error, MessageId, Role, SendError, SendOptions};

/// What a [`Connection`] tells its owner.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is complete.
    Open,
    /// A message came. Those of the chunk layer are not handed out, nor are ping requests that were answered
    /// ([`Config::answer_pings`]). An aggregate is handed out as the messages in it, as far as it is intact.
    Message(TcMessage),
    /// The last byte of a message was handed out for the byte stream. Only with [`SendOptions::notify`].
    Sent(MessageId),
    /// A message was dropped: it expired, was abandoned, belongs to a group that lost an earlier message, or had
    /// to make room. Only with [`SendOptions::notify`].
    Dropped {
        /// The message.
        id: MessageId,
        /// Whether parts of it were sent already.
        begun: bool,
    },
}

/// One end of an RTMP connection, without I/O.
///
/// After any input poll [`Connection::poll_event`] until it gives none; while [`Connection::wants_write`], call
/// [`Connection::fill`] each time the byte stream can take some; then see [`Connection::poll_timeout`]. An
/// [`Error`] ends the connection: close the byte stream.
#[derive(Debug)]
pub struct Connection {
    /// Until its last byte is sent.
    handshake: Option<Handshake>,
    created: Time,
    open: bool,
    failed: Option<Error>,
    reader: Reader,
    writer: Writer,
    acks: Acks,
    events: VecDeque<Event>,
    /// The aggregate that is being handed out, and the bytes that it takes.
    aggregate: Option<(Parts, usize)>,
    config: Config,
    trusted: bool,
    bytes_received: u64,
    bytes_sent: u64,
    messages_received: u64,
    aggregates_damaged: u64,
    pings_answered: u64,
}

impl Connection {
    /// A connection over a byte stream that was opened (client) or accepted (server) at `now`. The handshake's
    /// filler comes from `seed`; it should differ between connections, no secret rests on it.
    pub fn new(role: Role, config: Config, now: Time, seed: u64) -> Self {
        Self {
            handshake: Some(Handshake::new(role, now, seed)),
            created: now,
            open: false,
            failed: None,
            reader: Reader::new(config.untrusted, config.max_chunk_streams),
            writer: Writer::new(role, &config),
            acks: Acks::new(config.default_ack_window),
            events: VecDeque::new(),
            aggregate: None,
            config,
            trusted: false,
            bytes_received: 0,
            bytes_sent: 0,
            messages_received: 0,
            aggregates_damaged: 0,
            pings_answered: 0,
        }
    }

    /// Takes bytes from the byte stream, up to the first message or the handshake's end, and returns those that
    /// it did not take. Poll events before handing these in again:
    ///
    /// ```
    /// # use rtmfp_base::Time;
    /// # use rtmfp_rtmp::{Connection, Error};
    /// fn take(connection: &mut Connection, now: Time, mut bytes: &[u8]) -> Result<(), Error> {
    ///     while !bytes.is_empty() {
    ///         bytes = connection.receive(now, bytes)?;
    ///         while let Some(event) = connection.poll_event() {
    ///             // ...
    /// #           let _ = event;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// So no more than one message waits at a time, however short the messages are, and the owner can act on a
    /// message ([`Connection::set_trusted`]) before the bytes behind it are looked at. While an aggregate is not
    /// polled to its end, no bytes are taken.
    ///
    /// # Errors
    /// When the peer violates the protocol or a limit; the same again on each later call.
    pub fn receive<'a>(&mut self, now: Time, bytes: &'a [u8]) -> Result<&'a [u8], Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.aggregate.is_some() {
            return Ok(bytes);
        }
        let mut rest = bytes;
        let result = self.receive_some(now, &mut rest);
        self.bytes_received += (bytes.len() - rest.len()) as u64;
        self.failed = result.err();
        result.map(|()| rest)
    }

    fn receive_some(&mut self, now: Time, rest: &mut &[u8]) -> Result<(), Error> {
        if !self.open {
            if let Some(handshake) = &mut self.handshake {
                self.open = handshake.receive(now, rest)?;
            }
            if self.open {
                self.events.push_back(Event::Open);
            }
            return Ok(());
        }
        loop {
            let before = rest.len();
            let message = self.reader.read(rest)?;
            self.acks.count_received(before - rest.len());
            let Some(message) = message else { return Ok(()) };
            if let Some(control) = Control::parse(&message)? {
                self.control(control);
            } else if let Some(echo) = ping_request(&message).filter(|_| self.config.answer_pings) {
                self.pings_answered += 1;
                self.writer.outbox.answer_ping(echo);
            } else if let Some(parts) = Parts::of(&message, usize::MAX) {
                // Taken apart only as it is polled, it needs no limit on how many there are.
                self.aggregate = Some((parts, message.payload.len()));
                return Ok(());
            } else {
                self.messages_received += 1;
                self.events.push_back(Event::Message(message));
                return Ok(());
            }
        }
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::SetChunkSize(size) => self.reader.set_chunk_size(size),
            Control::Abort { chunk_stream } => self.reader.abort(chunk_stream),
            Control::Acknowledgement(count) => self.acks.take(count, self.bytes_sent),
            Control::WindowAckSize(size) => self.acks.set_window(size),
            Control::SetPeerBandwidth { size, limit } => self.writer.outbox.limit_bandwidth(size, limit),
        }
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let (parts, _) = self.aggregate.as_mut()?;
        match parts.next() {
            Some(Ok(message)) => {
                self.messages_received += 1;
                return Some(Event::Message(message));
            }
            Some(Err(error)) => {
                log::debug!("the rest of an aggregate is lost: {error}");
                self.aggregates_damaged += 1;
            }
            None => {}
        }
        self.aggregate = None;
        None
    }

    /// Queues a message. It can be called from the start; nothing is sent before the connection is open.
    ///
    /// The message is turned into chunks by [`Connection::fill`] only, so until then it can be overtaken, expire
    /// or be abandoned. A message that cannot be sent any more (its group lost an earlier one, or the queue is
    /// full and it has a deadline) is dropped at once, which is no error.
    ///
    /// # Errors
    /// When the message is not one to send, or the queue is full of messages without a deadline.
    pub fn send(
        &mut self,
        now: Time,
        message: TcMessage,
        options: &SendOptions,
    ) -> Result<MessageId, SendError> {
        self.writer.send(now, message, options, &mut self.events)
    }

    /// Drops a message, and the later ones of its group. False if it was sent or dropped before, or has begun and
    /// must be finished ([`Config::abandon_started`]).
    pub fn abandon(&mut self, id: MessageId) -> bool {
        self.writer.abandon(id, &mut self.events)
    }

    /// Drops what is left of a group of messages of type `kind` on stream `stream_id`, also what is sent later.
    pub fn abandon_group(&mut self, stream_id: u32, kind: u8, group: u64) {
        self.writer.abandon_group(stream_id, kind, group, &mut self.events);
    }

    /// Brings the deadlines of a group's waiting messages forward to `start_by` and `finish_by`; deadlines that
    /// are nearer already stay.
    pub fn hasten_group(&mut self, stream_id: u32, kind: u8, group: u64, start_by: Time, finish_by: Time) {
        self.writer.hasten_group(stream_id, kind, group, start_by, finish_by);
    }

    /// Whether the peer may use [`Config::trusted`] from now on: call it when `connect` was accepted (server) or
    /// succeeded (client).
    pub const fn set_trusted(&mut self) {
        self.trusted = true;
        self.reader.set_limits(self.config.trusted);
    }

    /// Appends at most about `limit` bytes for the byte stream: a chunk's header may reach over it. What was
    /// appended is as good as sent, so ask for as little at a time as the byte stream takes at once.
    pub fn fill(&mut self, now: Time, limit: usize, out: &mut Vec<u8>) {
        let before = out.len();
        let end = before.saturating_add(limit);
        if let Some(handshake) = &mut self.handshake {
            handshake.fill(limit, out);
            if self.open && !handshake.wants_write() {
                self.handshake = None;
            }
        }
        // While the handshake has bytes left, it has used the limit up.
        if self.open && self.failed.is_none() {
            self.writer.expire(now, &mut self.events);
            self.writer.fill(&mut self.acks, end, out, &mut self.events);
        }
        self.bytes_sent += (out.len() - before) as u64;
    }

    /// Whether [`Connection::fill`] has something to give. That it has not may turn out there, when all that
    /// waits has expired.
    pub fn wants_write(&self) -> bool {
        let handshake = self.handshake.as_ref().is_some_and(Handshake::wants_write);
        handshake || self.open && self.failed.is_none() && self.writer.wants_write(&self.acks)
    }

    /// When to call [`Connection::handle_timeout`]; `None`: never.
    pub fn poll_timeout(&mut self) -> Option<Time> {
        let handshake = (!self.open).then(|| self.created + self.config.handshake_timeout);
        match (handshake, self.writer.next_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Drops messages that have expired.
    ///
    /// # Errors
    /// When the handshake took too long.
    pub fn handle_timeout(&mut self, now: Time) -> Result<(), Error> {
        self.writer.expire(now, &mut self.events);
        let after = self.config.handshake_timeout;
        if self.failed.is_none() && !self.open && now >= self.created + after {
            let received = self.handshake.as_ref().map_or(0, Handshake::received);
            self.failed = Some(Error::HandshakeTimeout { after, received });
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Whether the handshake is complete and nothing went wrong.
    pub const fn is_open(&self) -> bool {
        self.open && self.failed.is_none()
    }

    /// Whether [`Connection::set_trusted`] was called.
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Payload bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.writer.queued_bytes()
    }

    /// The memory that the connection takes, in bytes: itself, its buffers with their unused capacity, and all
    /// payloads that wait in either direction (which others may share).
    pub fn memory(&self) -> usize {
        let payload = |event: &Event| match event {
            Event::Message(message) => message.payload.len(),
            _ => 0,
        };
        size_of::<Self>()
            + self.handshake.as_ref().map_or(0, Handshake::memory)
            + self.reader.memory()
            + self.writer.memory()
            + self.events.capacity() * size_of::<Event>()
            + self.events.iter().map(payload).sum::<usize>()
            + self.aggregate.as_ref().map_or(0, |&(_, bytes)| bytes)
    }
}

impl Counters for Connection {
    fn visit(&self, visit: &mut Visit<'_>) {
        let counts = &self.writer.counts;
        visit("received_bytes", self.bytes_received);
        visit("sent_bytes", self.bytes_sent);
        visit("messages_received", self.messages_received);
        visit("messages_received_in_part", self.reader.dropped);
        visit("messages_sent", counts.sent);
        visit("messages_expired", counts.expired);
        visit("messages_abandoned", counts.abandoned);
        visit("messages_overflowed", counts.overflowed);
        visit("messages_aborted", counts.aborted);
        visit("aggregates_damaged", self.aggregates_damaged);
        visit("pings_answered", self.pings_answered);
        visit("acks_plausible", self.acks.plausible);
        visit("acks_implausible", self.acks.implausible);
        visit("extended_timestamps_left_out", self.reader.leaves_extended_out().into());
    }
}

#[cfg(test)]
mod tests;
