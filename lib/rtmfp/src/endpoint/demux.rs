//! From datagrams to sessions (RFC 7016 sections 2.1 and 3.5).

use rtmfp_base::{Ecn, Job, JobDone, RecvMeta, Time, TokenBucket};

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use super::jobs::{ConcludeResult, OfferResult, Owner, ResignResult, RespondResult};
use super::near_id::NearIds;
use crate::config::{MAX_PACKET, MAX_STARTUP_PACKET};
use crate::crypto::{DEFAULT_KEY, OpenError};
use crate::event::CloseReason;
use crate::session::{Context, Received, Role, Session, State};
use crate::wire::{Chunk, Chunks, Mode, PacketHeader, unscramble};
use crate::{Priority, SessionId};

/// What became of a datagram.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// It was for this endpoint and is done with.
    Consumed,
    /// It names no session and no identity of this endpoint: it may be for another one that shares the socket.
    NotOurs,
    /// It was for this endpoint but is worth nothing.
    Dropped(DropReason),
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DropReason {
    /// It is not authentic.
    Unauthentic,
    /// Its sequence number was used before.
    Replayed,
    /// Its packet header is malformed or of the wrong mode.
    Malformed,
}

/// A sealed startup packet is not longer than its clear packet and this.
const LONGEST_STARTUP: usize = MAX_STARTUP_PACKET + 64;

impl Endpoint {
    /// Takes a datagram; it is decrypted in place, but one that is [`Disposition::NotOurs`] is as it was.
    pub fn handle_datagram(&mut self, now: Time, meta: &RecvMeta, datagram: &mut [u8]) -> Disposition {
        self.stats.received_datagrams += 1;
        self.stats.received_bytes += datagram.len() as u64;
        let Some(id) = unscramble(datagram) else {
            self.stats.unknown_sessions += 1;
            return Disposition::NotOurs;
        };
        let len = datagram.len();
        let sealed = &mut datagram[4..];
        if id == 0 {
            return self.on_startup_packet(now, meta, len, sealed);
        }
        let (index, generation) = self.near_ids.decode(id);
        let session = self.sessions.id_at(index).filter(|&id| NearIds::same_generation(id, generation));
        let Some(session) = session else {
            self.stats.unknown_sessions += 1;
            return Disposition::NotOurs;
        };
        match self.sessions.get(session).map(|s| s.state) {
            Some(State::Keying) => self.on_keying_packet(now, meta, session, sealed),
            Some(State::Hello | State::Responding) | None => {
                self.stats.unknown_sessions += 1;
                Disposition::NotOurs
            }
            Some(_) => self.on_session_packet(now, meta, session, sealed),
        }
    }

    fn dropped(&mut self, reason: DropReason) -> Disposition {
        match reason {
            DropReason::Unauthentic => self.stats.unauthentic_packets += 1,
            DropReason::Replayed => self.stats.replayed_packets += 1,
            DropReason::Malformed => self.stats.malformed_packets += 1,
        }
        Disposition::Dropped(reason)
    }

    /// A packet for session id 0, with the default key.
    fn on_startup_packet(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        len: usize,
        sealed: &mut [u8],
    ) -> Disposition {
        if sealed.len() > LONGEST_STARTUP {
            return self.dropped(DropReason::Malformed);
        }
        // Opening changes the bytes, and it may be for another endpoint.
        let copy = sealed.to_vec();
        let Ok(clear) = self.profile.open(DEFAULT_KEY, sealed) else {
            return self.dropped(DropReason::Unauthentic);
        };
        let ours = match self.on_startup_chunks(now, meta, len, &sealed[clear]) {
            Ok(ours) => ours,
            Err(reason) => return self.dropped(reason),
        };
        if ours {
            return Disposition::Consumed;
        }
        sealed.copy_from_slice(&copy);
        self.stats.unknown_sessions += 1;
        Disposition::NotOurs
    }

    /// A clear packet for session id 0, that took datagrams of so many bytes. Answers whether it is for this end.
    pub(super) fn on_startup_chunks(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        len: usize,
        clear: &[u8],
    ) -> Result<bool, DropReason> {
        let (header, chunks) = PacketHeader::parse(clear).map_err(|_| DropReason::Malformed)?;
        if header.mode != Mode::Startup {
            return Err(DropReason::Malformed);
        }
        let (mut greeted, mut ours) = (false, false);
        for (kind, payload) in Chunks::new(chunks) {
            match Chunk::parse(kind, payload) {
                // Only one, or a packet could ask for many answers.
                Ok(Chunk::IHello(_) | Chunk::IIKeying(_)) if greeted => {}
                Ok(Chunk::IHello(hello)) => {
                    greeted = true;
                    ours |= self.on_ihello(now, meta, len, &hello);
                }
                Ok(Chunk::IIKeying(keying)) => {
                    greeted = true;
                    ours |= self.on_iikeying(now, meta, len, &keying);
                }
                Ok(Chunk::RHello(hello)) => ours |= self.on_rhello(now, meta, len, &hello),
                Ok(Chunk::Redirect(redirect)) => ours |= self.on_redirect(now, meta, &redirect),
                // There are none of fragments.
                Ok(Chunk::PacketFragment(fragment)) if !self.fragmented => {
                    ours |= self.on_fragment(now, meta, len, &fragment);
                }
                Ok(_) => {}
                Err(_) => self.stats.malformed_chunks += 1,
            }
        }
        Ok(ours)
    }

    /// A packet for an initiator that waits for the responder's keying: with the default key, or early data.
    fn on_keying_packet(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        id: SessionId,
        sealed: &mut [u8],
    ) -> Disposition {
        // Opening destroys what it can't open.
        let copy = sealed.to_vec();
        let Ok(clear) = self.profile.open(DEFAULT_KEY, sealed) else {
            self.keep_early(meta, id, copy);
            return Disposition::Consumed;
        };
        let Ok((header, chunks)) = PacketHeader::parse(&sealed[clear]) else {
            return self.dropped(DropReason::Malformed);
        };
        if header.mode != Mode::Startup {
            return self.dropped(DropReason::Malformed);
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.path.note_timestamp(now, &header);
        }
        for (kind, payload) in Chunks::new(chunks) {
            match Chunk::parse(kind, payload) {
                Ok(Chunk::RIKeying(keying)) => self.on_rikeying(now, id, &keying),
                Ok(Chunk::CookieChange(change)) => self.on_cookie_change(id, &change),
                Ok(_) => {}
                Err(_) => self.stats.malformed_chunks += 1,
            }
        }
        Disposition::Consumed
    }

    /// A packet with the session's keys.
    pub(super) fn on_session_packet(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        id: SessionId,
        sealed: &mut [u8],
    ) -> Disposition {
        let Some(session) = self.sessions.get_mut(id) else { return Disposition::NotOurs };
        let clear = match self.profile.open(session.key, sealed) {
            Ok(clear) => clear,
            Err(OpenError::Replayed) => return self.dropped(DropReason::Replayed),
            Err(_) => return self.dropped(DropReason::Unauthentic),
        };
        let Ok((header, chunks)) = PacketHeader::parse(&sealed[clear]) else {
            return self.dropped(DropReason::Malformed);
        };
        session.counts.received_packets += 1;
        session.counts.received_bytes += sealed.len() as u64 + 4;
        let own = match session.role {
            Role::Initiator => Mode::Initiator,
            Role::Responder => Mode::Responder,
        };
        if header.mode == own {
            return self.dropped(DropReason::Malformed);
        }
        self.prove_session(now, id);
        self.on_header(now, meta, id, &header);
        if header.mode != Mode::Startup {
            self.on_chunks(now, meta, id, &header, chunks, false);
        }
        self.check_address(now, meta, id);
        self.touch(now, id);
        Disposition::Consumed
    }

    pub(super) fn on_header(&mut self, now: Time, meta: &RecvMeta, id: SessionId, header: &PacketHeader) {
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.state == State::Open) else { return };
        session.path.note_timestamp(now, header);
        if header.time_critical_reverse {
            session.critical.reverse_received = Some(now);
        }
        if meta.ecn != Ecn::NotEct {
            session.marks.report_due = true;
            session.counts.received_capable += 1;
        }
        if meta.ecn == Ecn::Ce {
            session.marks.received = session.marks.received.wrapping_add(1);
            session.counts.received_marks += 1;
        }
        if header.time_critical {
            self.note_time_critical(id, now);
        }
    }

    /// The chunks of a packet that came by itself, or in fragments.
    pub(super) fn on_chunks(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        id: SessionId,
        header: &PacketHeader,
        chunks: &[u8],
        reassembled: bool,
    ) {
        let sent_critical =
            self.critical.sent.is_some_and(|at| now.since(at) < crate::session::TIME_CRITICAL_MEMORY);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut packet = Received::new(session);
        packet.fast_growth = !sent_critical && !session.reverse_notified(now);
        if session.is_open() {
            packet.rtt_sample = session.path.note_echo(now, header);
            packet.timestamp = header.timestamp;
        }
        let (mut pinged, mut closed) = (false, false);
        for (kind, payload) in Chunks::new(chunks) {
            let chunk = Chunk::parse(kind, payload);
            let Some(session) = self.sessions.get_mut(id) else { return };
            let mut cx = Context {
                now,
                flows: &mut self.flows,
                limits: &self.config.limits,
                receive_capacity: self.config.receive_capacity,
                max_message: self.config.max_message,
                stats: &mut self.stats,
            };
            match (chunk, session.is_open()) {
                // One answer a packet is enough.
                (Ok(Chunk::Ping(_)), _) if pinged => {}
                (Ok(Chunk::Close), _) if closed => {}
                (Ok(Chunk::UserData(data)), true) => session.on_user_data(&mut cx, &mut packet, &data),
                (Ok(Chunk::NextUserData(data)), true) => {
                    session.on_next_user_data(&mut cx, &mut packet, &data);
                }
                (Ok(Chunk::AckRanges(ack) | Chunk::AckBitmap(ack)), true) => {
                    session.on_acknowledgement(&mut cx, &mut packet, &ack);
                }
                (Ok(Chunk::EcnReport { count }), true) => session.on_ecn_report(&mut packet, count),
                (Ok(Chunk::FlowException { flow_id, code }), true) => {
                    session.on_flow_exception(&mut cx, flow_id, code);
                }
                (Ok(Chunk::BufferProbe { flow_id }), true) => session.on_buffer_probe(&mut cx, flow_id),
                (Ok(Chunk::Ping(message)), true) => {
                    pinged = true;
                    self.on_ping(now, id, message);
                }
                (Ok(Chunk::FIHello(hello)), true) => self.on_fihello(now, id, &hello),
                (Ok(Chunk::PingReply(message)), true) => {
                    session.note_answer();
                    session.mtu.on_reply(now, message, &session.config);
                    self.on_address_confirmed(now, meta, id, message);
                    self.probe_size(now, id);
                }
                (Ok(Chunk::PacketFragment(fragment)), true) if !reassembled => {
                    self.on_packet_fragment(now, meta, id, header.mode, &fragment);
                }
                (Ok(Chunk::Close), _) => {
                    closed = true;
                    self.on_close(now, id);
                }
                (Ok(Chunk::CloseAck), _) => {
                    self.on_close_ack(now, id);
                    return;
                }
                (Err(_), true) if matches!(kind, 0x10 | 0x11) => Session::on_bad_data(&mut cx, &mut packet),
                (Err(_), _) => self.stats.malformed_chunks += 1,
                _ => {}
            }
        }
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.is_open()) else { return };
        let mut cx = Context {
            now,
            flows: &mut self.flows,
            limits: &self.config.limits,
            receive_capacity: self.config.receive_capacity,
            max_message: self.config.max_message,
            stats: &mut self.stats,
        };
        session.finish_packet(&mut cx, &packet);
    }

    fn on_ping(&mut self, now: Time, id: SessionId, message: &[u8]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if message.len() + 64 > MAX_PACKET {
            return;
        }
        let crowded = self.control.len() >= self.config.limits.control_queue;
        let rate = self.config.limits.pings_per_second;
        let pings = session.pings.get_or_insert_with(|| Box::new(TokenBucket::new(rate.max(1), rate)));
        if crowded || !pings.take(now, 1) {
            self.stats.limited_pings += 1;
            return;
        }
        session.life.last_sent = now;
        if !message.is_empty() {
            // Perhaps the far end takes this end to be elsewhere than before, and the path is another one. What the
            // message says is the far end's own affair.
            session.congestion.on_path_change(now);
        }
        self.send_session_chunk(id, &Chunk::PingReply(message));
    }

    fn on_close(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let was_open = session.state == State::Open;
        if was_open {
            session.leave_unread(&mut self.flows);
            session.begin_far_close(now, &mut self.flows);
            self.tell_closed(id, CloseReason::Far);
        }
        self.send_session_chunk(id, &Chunk::CloseAck);
    }

    fn on_close_ack(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.state == State::Open {
            session.leave_unread(&mut self.flows);
            session.begin_far_close(now, &mut self.flows);
            self.tell_closed(id, CloseReason::Far);
        }
        self.remove_session(id);
    }

    /// Queues a packet of an established session that holds just one chunk. There is always room: no more of them wait
    /// than there are sessions, flows and packets received since the last turn.
    pub(super) fn send_session_chunk(&mut self, id: SessionId, chunk: &Chunk<'_>) {
        let Some(session) = self.sessions.get(id) else { return };
        let mut bytes = Vec::with_capacity(chunk.encoded_len());
        chunk.write(&mut bytes);
        let packet = ControlPacket {
            envelope: Envelope::Session(id),
            interface: session.path.interface,
            to: session.path.to,
            src_ip: session.path.src_ip,
            dscp: session.config.dscp,
            chunk: bytes,
        };
        self.control.push(packet);
    }

    /// The next job, if any. Run it anywhere and bring it back to [`Self::complete_job`].
    pub fn poll_job(&mut self) -> Option<Job> {
        self.jobs.poll()
    }

    /// Takes a job that has run.
    pub fn complete_job(&mut self, now: Time, done: JobDone) {
        let Some(owner) = self.jobs.take_owner(done.id) else { return };
        let result = done.result;
        match owner {
            Owner::Offer(id) => {
                if let Ok(result) = result.downcast::<OfferResult>() {
                    self.offer_done(now, id, *result);
                }
            }
            Owner::FallBack(id) => {
                if let Ok(result) = result.downcast::<OfferResult>() {
                    self.fallback_done(now, id, *result);
                }
            }
            Owner::Resign(id) => {
                if let Ok(result) = result.downcast::<ResignResult>() {
                    self.resign_done(now, id, *result);
                }
            }
            Owner::Conclude(id) => {
                if let Ok(result) = result.downcast::<ConcludeResult>() {
                    self.conclude_done(now, id, *result);
                }
            }
            Owner::Respond(id, _) => {
                if let Ok(result) = result.downcast::<RespondResult>() {
                    self.respond_done(now, id, *result);
                }
            }
        }
    }

    /// The highest priority at which a session waits to send.
    pub(super) fn ready_priority(&self) -> Option<usize> {
        (0..Priority::COUNT).rev().find(|&priority| !self.ready[priority].is_empty())
    }
}
