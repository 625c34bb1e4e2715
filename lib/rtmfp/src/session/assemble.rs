//! Building a packet of an open session (RFC 7016 sections 3.6.2.3 and 3.6.3.4).

use rtmfp_base::Time;

use super::{Flows, Role, Session};
use crate::Priority;
use crate::send::{Sent, State};
use crate::wire::{
    DataFlags, HEADER_LEN, Mode, PacketHeader, next_user_data_header_len, user_data_header_len,
    write_next_user_data_header, write_user_data_header,
};

/// What went into a packet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Assembled {
    pub(crate) data: bool,
    pub(crate) time_critical: bool,
    pub(crate) acks: bool,
}

/// Where the flags are in a clear packet.
const TIME_CRITICAL: u8 = 0x80;

/// What a User Data chunk takes before options and data, with numbers of ten bytes each.
const LONGEST_HEADER: usize = HEADER_LEN + 1 + 30;

impl Session {
    /// The mode of this end's packets.
    pub(crate) fn mode(&self) -> Mode {
        match self.role {
            Role::Initiator => Mode::Initiator,
            Role::Responder => Mode::Responder,
        }
    }

    /// A packet header for now.
    pub(crate) fn header(&mut self, now: Time, reverse: bool) -> PacketHeader {
        let mut header = PacketHeader {
            mode: self.mode(),
            time_critical: false,
            time_critical_reverse: reverse,
            timestamp: None,
            timestamp_echo: None,
        };
        self.path.stamp(now, &mut header);
        header
    }

    /// The priority at which this session wants to send a packet, if it does.
    pub(crate) fn interest(&self) -> Option<usize> {
        if !self.is_open() {
            return None;
        }
        let data = self.ready_priority().filter(|_| self.may_send_data());
        let acks = self.acks.are_obligatory().then_some(Priority::Immediate as usize);
        data.max(acks)
    }

    /// Appends a clear packet of at most `room` bytes to `out`; appends nothing when there is nothing to say. A fragment
    /// of a message that was cut when packets could be larger has a longer packet for itself: the packet is to be
    /// sent in fragments.
    pub(crate) fn assemble(
        &mut self,
        now: Time,
        flows: &mut Flows,
        out: &mut Vec<u8>,
        room: usize,
        reverse: bool,
    ) -> Assembled {
        let start = out.len();
        let end = start + room;
        let mut done = Assembled::default();
        let echo_sent = self.path.measured.echo_sent;
        self.header(now, reverse).write(out);
        let body = out.len();
        if self.acks.are_obligatory() {
            done.acks = self.write_acks(now, flows, out, end, true);
        }
        self.write_data(now, flows, out, end, &mut done);
        if done.data {
            self.note_packet(now, out.len() - start, room);
            self.flight.next_tsn += 1;
            self.life.stalled_since.get_or_insert(now);
            self.arm_retransmission(now);
            self.arm_tail_probe(now);
            if self.acks.is_pending() {
                done.acks |= self.write_acks(now, flows, out, end, false);
            }
        }
        if out.len() == body {
            out.truncate(start);
            self.path.measured.echo_sent = echo_sent;
            return done;
        }
        if done.time_critical {
            out[start] |= TIME_CRITICAL;
            self.critical.sent = Some(now);
        }
        self.life.last_sent = now;
        done
    }

    /// Fills the packet with data: of the flow whose turn it is as much as fits, then of the next ones.
    fn write_data(
        &mut self,
        now: Time,
        flows: &mut Flows,
        out: &mut Vec<u8>,
        end: usize,
        done: &mut Assembled,
    ) {
        let before = self.flight.outstanding;
        // Each flow has one turn in a packet.
        let mut waiting = core::mem::take(&mut self.sending.scratch);
        while self.may_send_data() && end.saturating_sub(out.len()) > HEADER_LEN + 32 {
            let Some(priority) = self.ready_priority() else { break };
            let Some(id) = self.next_ready(now, flows, priority) else { continue };
            waiting.push(id);
            let alone = !done.data && !done.acks;
            if !self.write_flow(now, flows, id, out, end, alone) {
                // What is left of the packet is too little for it: it has the first turn in the next one.
                self.enqueue_first(flows, id, priority);
                break;
            }
            done.data = true;
            done.time_critical |= flows.send.get(id).is_some_and(|flow| flow.priority.is_time_critical());
        }
        for id in waiting.drain(..) {
            self.settle_send(now, flows, id);
        }
        self.sending.scratch = waiting;
        self.flight.allowance -= (self.flight.outstanding - before) as isize;
        if done.data {
            self.note_limit();
            self.pace(now);
        }
    }

    /// Puts chunks of one flow into the packet until it is full or the flow has no more. Answers whether there was any.
    /// If it is `alone`, there is nothing in the packet yet.
    fn write_flow(
        &mut self,
        now: Time,
        flows: &mut Flows,
        id: crate::SendFlowId,
        out: &mut Vec<u8>,
        end: usize,
        alone: bool,
    ) -> bool {
        let Some(flow) = flows.send.get_mut(id) else { return false };
        let closing = flow.state != State::Open;
        // Sequence number and forward number of the chunk before.
        let mut previous: Option<(u64, u64)> = None;
        while flow.window_allows()
            && (previous.is_none() || self.flight.outstanding < self.congestion.window())
        {
            if closing {
                flow.queue.finish_if_drained();
            }
            // The options go with the first chunk of the flow in a packet.
            let options: &[u8] = if previous.is_none() { &flow.options } else { &[] };
            let taken = options.len() + usize::from(!options.is_empty());
            let left = end.saturating_sub(out.len());
            let most = self.mtu.fragment().saturating_sub(taken);
            let space = left.saturating_sub(LONGEST_HEADER + taken).min(most);
            let Some(chunk) = flow.queue.next_chunk(now, space, closing) else { break };
            let start = out.len();
            let flags = DataFlags { fragment: chunk.position, abandoned: chunk.abandoned, last: chunk.last };
            let follows = chunk.sequence.checked_sub(1).zip(Some(chunk.forward)) == previous;
            let offset = chunk.sequence - chunk.forward;
            let header_len = if follows {
                next_user_data_header_len()
            } else {
                user_data_header_len(flow.wire_id, chunk.sequence, offset, options.len())
            };
            // One that is sent again was cut for another packet, that may have been larger than any can be now.
            let first = alone && previous.is_none();
            if header_len + chunk.data_len() > left && !first {
                break;
            }
            let open = if follows {
                write_next_user_data_header(flags, out)
            } else {
                write_user_data_header(flags, flow.wire_id, chunk.sequence, offset, options, out)
            };
            if let Some((message, range)) = &chunk.data {
                message.copy_range(range.clone(), out);
            }
            open.finish(out);
            let size = out.len() - start;
            let sent = Sent {
                tsn: self.flight.next_tsn,
                at: now,
                delivered: self.flight.delivered,
                size,
                application_limited: self.flight.is_application_limited(),
            };
            let data = chunk.data_len() as u64;
            if flow.queue.was_sent(&chunk) {
                self.counts.resent_fragments += 1;
                self.counts.resent_data_bytes += data;
            } else {
                self.counts.sent_data_bytes += data;
            }
            let head = flow.queue.commit(&chunk, sent);
            self.flight.note_sent(id, chunk.sequence, size);
            if let Some(head) = head {
                self.flight.note_sent(id, head, 0);
            }
            previous = Some((chunk.sequence, chunk.forward));
        }
        previous.is_some()
    }
}
