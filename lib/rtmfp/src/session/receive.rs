//! Processing the chunks of a session's packets (RFC 7016 section 3.5 and 3.6).

use core::time::Duration;

use bytes::Bytes;
use rtmfp_base::Time;

use super::{Flows, RecvSlot, Session, Timer};
use crate::config::{Limits, MAX_METADATA};
use crate::congestion::{Acknowledgement, Delivery};
use crate::endpoint::Stats;
use crate::event::Event;
use crate::recv::{Accepted, RANGE_COST, RecvFlow, Room, State};
use crate::send;
use crate::wire::{Ack, FlowOptions, NextUserData, UserData};

/// What a packet held, gathered while its chunks are processed.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Flow, sequence number and forward number of the last good data chunk, for Next User Data.
    previous: Option<(u64, u64, u64)>,
    pub(crate) data: bool,
    pub(crate) acks: bool,
    acked: usize,
    /// A flow's far end has room for less than a packet.
    cramped: bool,
    outstanding_before: usize,
    marks: u8,
    pub(crate) rtt_sample: Option<Duration>,
    /// The packet's timestamp.
    pub(crate) timestamp: Option<u16>,
    newest: Option<(u64, Delivery)>,
    /// Growth of the window would harm no time critical data of others.
    pub(crate) fast_growth: bool,
    /// Sequence numbers beyond cumulative acknowledgements that were looked at.
    looked_at: u64,
}

/// Timestamps of packets that came within this time tell which was sent first: they count 4 ms modulo 2¹⁶ (RFC 7016
/// section 2.2.4), so that half of them are 131 s.
const TIMESTAMP_ORDER: Duration = Duration::from_secs(128);

/// Acknowledgements of more sequence numbers than this in one packet are hardly meant well: they cost much, and say
/// the same things over and over.
const MOST_LOOKED_AT: u64 = 16_384;

impl Received {
    pub(crate) fn new(session: &Session) -> Self {
        Self { outstanding_before: session.flight.outstanding, ..Self::default() }
    }
}

/// What a session needs of its endpoint to process a packet.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) flows: &'a mut Flows,
    pub(crate) limits: &'a Limits,
    pub(crate) receive_capacity: usize,
    pub(crate) max_message: usize,
    pub(crate) stats: &'a mut Stats,
}

impl Session {
    pub(crate) fn on_user_data(&mut self, cx: &mut Context<'_>, packet: &mut Received, chunk: &UserData<'_>) {
        let forward = chunk.forward_sequence();
        packet.previous = Some((chunk.flow_id, chunk.sequence, forward));
        packet.data = true;
        let options = chunk.options.map(FlowOptions::parse);
        if let Some(Err(_)) = options {
            Self::on_bad_data(cx, packet);
            return;
        }
        let options = options.and_then(Result::ok).unwrap_or_default();
        if !self.receiving.by_wire.contains_key(&chunk.flow_id)
            && !self.start_receiving(cx, chunk.flow_id, &options)
        {
            return self.refuse_flow(cx.now, chunk.flow_id, chunk.sequence);
        }
        if options.unknown_mandatory {
            self.reject_live(cx, chunk.flow_id);
        }
        self.take_data(cx, chunk.flow_id, chunk.sequence, forward, chunk.flags, chunk.data);
    }

    pub(crate) fn on_next_user_data(
        &mut self,
        cx: &mut Context<'_>,
        packet: &mut Received,
        chunk: &NextUserData<'_>,
    ) {
        let Some((flow_id, previous, forward)) = packet.previous else {
            cx.stats.stray_next_data += 1;
            return;
        };
        let Some(sequence) = previous.checked_add(1) else { return };
        packet.previous = Some((flow_id, sequence, forward));
        packet.data = true;
        match chunk.options.map(FlowOptions::parse) {
            Some(Err(_)) => return Self::on_bad_data(cx, packet),
            Some(Ok(options)) if options.unknown_mandatory => self.reject_live(cx, flow_id),
            _ => {}
        }
        self.take_data(cx, flow_id, sequence, forward, chunk.flags, chunk.data);
    }

    /// A malformed data chunk: the next ones that build upon it mean nothing.
    pub(crate) fn on_bad_data(cx: &mut Context<'_>, packet: &mut Received) {
        packet.previous = None;
        cx.stats.malformed_chunks += 1;
    }

    /// RFC 7016 section 3.6.3.1. Answers whether there is a flow now.
    fn start_receiving(&mut self, cx: &mut Context<'_>, wire_id: u64, options: &FlowOptions<'_>) -> bool {
        let cost = RecvFlow::BASE_COST + RANGE_COST;
        let room = self.overhead_room(&cx.flows.received) >= cost;
        if !room || self.receiving.by_wire.len() >= cx.limits.receive_flows {
            cx.stats.refused_flows += 1;
            return false;
        }
        let mut flow = RecvFlow::new(self.id, wire_id, cx.receive_capacity, cx.max_message);
        let associated = options.association.map(|wire| self.sending.by_wire.get(&wire).copied());
        let association = associated.flatten().and_then(|id| {
            let sending = cx.flows.send.get(id)?;
            // Not quite RFC 7016 section 3.6.3.1: who rejects a flow may still say why, in return of it. Servers that
            // refuse a client reject its flow at once, and their answer comes in the packet behind that.
            (sending.state != send::State::Closing).then_some((id, sending.tag))
        });
        flow.associated = association.map(|(id, _)| id);
        let metadata =
            options.metadata.filter(|metadata| metadata.len() <= cx.limits.metadata.min(MAX_METADATA));
        let acceptable = metadata.is_some()
            && !options.unknown_mandatory
            && options.association.is_some() == association.is_some();
        if !acceptable {
            flow.reject(cx.now, 0);
            cx.stats.refused_flows += 1;
        }
        self.charge(&mut cx.flows.received, 0, flow.overhead());
        let id = cx.flows.recv.insert(flow);
        self.receiving.by_wire.insert(wire_id, RecvSlot::Live(id));
        if let (true, Some(metadata)) = (acceptable, metadata) {
            cx.flows.events.push_back(Event::FlowOffered {
                flow: id,
                session: self.id,
                metadata: Bytes::copy_from_slice(metadata),
                associated: association,
            });
        }
        self.acks.now = true;
        true
    }

    fn take_data(
        &mut self,
        cx: &mut Context<'_>,
        wire_id: u64,
        sequence: u64,
        forward: u64,
        flags: crate::wire::DataFlags,
        data: &[u8],
    ) {
        let id = match self.receiving.by_wire.get(&wire_id) {
            None => return self.refuse_flow(cx.now, wire_id, sequence),
            Some(RecvSlot::Lingering { .. }) => return self.owe_ack(cx.now, wire_id, true),
            Some(RecvSlot::Live(id)) => *id,
        };
        let Some(flow) = cx.flows.recv.get_mut(id) else { return };
        let (session, progress) = self.rooms(&cx.flows.received, id, flow);
        let more = self.overhead_room(&cx.flows.received) / RANGE_COST;
        let ranges = cx.limits.ranges.min(flow.seen().len() + more);
        let room = Room { session, progress, ranges };
        let (before, overhead_before) = (flow.buffered(), flow.overhead());
        self.counts.received_data_bytes += data.len() as u64;
        let accepted = flow.receive(sequence, forward, flags, data, room);
        let (after, overhead) = (flow.buffered(), flow.overhead());
        self.charge(&mut cx.flows.received, overhead_before, overhead);
        self.forget_reopened(wire_id);
        self.account(cx.now, cx.flows, id, before, after);
        match accepted {
            Accepted::Yes { ack_now } => self.owe_ack(cx.now, wire_id, ack_now),
            Accepted::NoRoom => {
                cx.stats.data_without_room += 1;
                cx.flows.received.claim(cx.now, self.id);
                self.owe_ack(cx.now, wire_id, true);
            }
            Accepted::TooLong => {
                cx.stats.oversized_messages += 1;
                self.reject_live(cx, wire_id);
            }
        }
        self.settle_recv(cx.now, cx.flows, id);
    }

    /// Rejects a flow whose sender broke a rule; the application hears of it.
    fn reject_live(&mut self, cx: &mut Context<'_>, wire_id: u64) {
        let Some(RecvSlot::Live(id)) = self.receiving.by_wire.get(&wire_id) else { return };
        let id = *id;
        let Some(flow) = cx.flows.recv.get_mut(id) else { return };
        if flow.state == State::Open {
            cx.flows.events.push_back(Event::FlowLost { flow: id, tag: flow.tag });
        }
        let freed = flow.buffered();
        flow.reject(cx.now, 0);
        self.account(cx.now, cx.flows, id, freed, 0);
        self.owe_ack(cx.now, wire_id, true);
        self.settle_recv(cx.now, cx.flows, id);
    }

    pub(crate) fn on_acknowledgement(
        &mut self,
        cx: &mut Context<'_>,
        packet: &mut Received,
        chunk: &Ack<'_>,
    ) {
        if self.life.probe_outstanding {
            self.note_answer(); // Though the flow may have gone meanwhile.
        }
        let Some(&id) = self.sending.by_wire.get(&chunk.flow_id) else { return };
        let Some(flow) = cx.flows.send.get_mut(id) else { return };
        let (flight, now) = (&mut self.flight, cx.now);
        let (mut acked_bytes, mut newest) = (0, packet.newest);
        let mut note = |acked: send::Acked| {
            let sent = acked.sent;
            flight.note_acked(sent.tsn, sent.size);
            acked_bytes += sent.size;
            if newest.is_none_or(|(tsn, _)| tsn < sent.tsn) {
                let delivery = Delivery {
                    bytes: flight.delivered - sent.delivered,
                    interval: now.since(sent.at),
                    application_limited: sent.application_limited,
                };
                newest = Some((sent.tsn, delivery));
            }
        };
        let Some(acknowledged) = flow.queue.acknowledge_through(chunk.cumulative, &mut note) else {
            cx.stats.acks_of_unsent += 1;
            return;
        };
        for range in chunk.ranges() {
            if packet.looked_at >= MOST_LOOKED_AT {
                break;
            }
            packet.looked_at += flow.queue.acknowledge_range(*range.start(), *range.end(), &mut note);
        }
        packet.acks = true;
        packet.acked += acked_bytes;
        packet.newest = newest;
        flow.options.clear();
        // An acknowledgement that was overtaken says nothing about the window of now: it acknowledges less, or the
        // packet was sent earlier. Timestamps go round in 262 s: of two that are far apart none is the earlier one.
        let overtaken = packet.timestamp.zip(flow.window_told).is_some_and(|(at, (told, told_at))| {
            // Modulo 2¹⁶ (RFC 7016 section 2.2.4).
            now.since(told_at) < TIMESTAMP_ORDER && at.wrapping_sub(told) > 0x7fff
        });
        if acknowledged.is_gt() || (acknowledged.is_eq() && !overtaken) {
            flow.window_told = packet.timestamp.map(|timestamp| (timestamp, now));
            flow.window = chunk.window_blocks.saturating_mul(1024);
            // What is sent all the same may have no room there, and the far end is well.
            packet.cramped |= flow.window < self.config.max_packet as u64;
        }
        self.note_answer();
        self.settle_send(cx.now, cx.flows, id);
    }

    pub(crate) fn on_ecn_report(&mut self, packet: &mut Received, count: u8) {
        self.marks.report_seen = true;
        self.counts.received_ecn_reports += 1;
        let delta = count.wrapping_sub(self.marks.last_reported);
        if (1..0xe0).contains(&delta) {
            self.marks.last_reported = count;
            packet.marks = packet.marks.saturating_add(delta);
        }
    }

    pub(crate) fn on_flow_exception(&mut self, cx: &mut Context<'_>, wire_id: u64, code: u64) {
        let Some(&id) = self.sending.by_wire.get(&wire_id) else { return };
        let Some(flow) = cx.flows.send.get_mut(id) else { return };
        if !flow.exception {
            flow.exception = true;
            if flow.state == send::State::Open {
                flow.state = send::State::Rejected;
            }
            cx.flows.events.push_back(Event::FlowException { flow: id, tag: flow.tag, code });
            flow.queue.abandon_all();
        }
        self.settle_send(cx.now, cx.flows, id);
    }

    pub(crate) fn on_buffer_probe(&mut self, cx: &mut Context<'_>, wire_id: u64) {
        if self.receiving.by_wire.contains_key(&wire_id) {
            cx.flows.received.claim(cx.now, self.id);
            self.choose_exempt(cx.now, cx.flows);
            self.owe_ack(cx.now, wire_id, true);
        }
    }

    /// After all chunks of a packet: losses, congestion control, alarms.
    pub(crate) fn finish_packet(&mut self, cx: &mut Context<'_>, packet: &Received) {
        if packet.data {
            self.count_data_packet();
        }
        if !packet.acks {
            return;
        }
        let mut losses = self.detect_losses(cx.now, cx.flows);
        cx.stats.lost_fragments += losses.fragments;
        cx.stats.mtu_black_holes += u64::from(self.leave_black_hole(cx.now));
        self.counts.lost_fragments += losses.fragments;
        self.counts.lost_bytes += losses.bytes as u64;
        self.counts.reported_marks += u64::from(packet.marks);
        losses.wanted |= self.note_tail_acknowledged(packet.acked);
        if self.marks.sending && !self.marks.report_seen {
            // Its first acknowledgement would have come with a report: it does not know them.
            self.marks.sending = false;
        }
        let ack = Acknowledgement {
            now: cx.now,
            acked: packet.acked,
            lost: losses.bytes,
            outstanding_before: packet.outstanding_before,
            outstanding: self.flight.outstanding,
            any_loss: losses.wanted,
            any_naks: losses.naks,
            marks: packet.marks,
            srtt: self.path.srtt(),
            rtt_sample: packet.rtt_sample,
            delay: self.config.congestion_delay,
            fast_growth: packet.fast_growth,
            time_critical: self.sends_time_critical(cx.now),
            delivery: packet.newest.map(|(_, delivery)| delivery),
        };
        self.congestion.on_acknowledgement(&ack);
        self.refill_burst();
        // Who acknowledges the same all the time has stopped neither the alarm nor the dead peer's clock.
        if packet.acked > 0 || packet.cramped {
            self.life.stalled_since = (self.flight.outstanding > 0).then_some(cx.now);
        }
        if self.timers.is_set(Timer::Retransmit) && (packet.acked > 0 || losses.fragments > 0) {
            self.arm_retransmission(cx.now);
        }
        self.arm_tail_probe(cx.now);
    }
}
