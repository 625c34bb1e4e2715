//! From ready sessions to sealed datagrams.

use core::net::{IpAddr, SocketAddr};

use rtmfp_base::{Batch, Ecn, InterfaceId, Time, Transmit};

use super::Endpoint;
use super::control::Envelope;
use crate::SessionId;
use crate::crypto::{DEFAULT_KEY, KeyId, Sealing};
use crate::session::{State, timestamp};
use crate::wire::{HEADER_LEN, Mode, OpenChunk, PacketHeader, scramble};

/// Bytes of the scrambled session id in front of a sealed packet.
const ID_LEN: usize = 4;
/// Flags and timestamp.
const STARTUP_HEADER: usize = 3;
/// Clear bytes of a startup packet at the least: no hello is so short that its answer would be taken for
/// amplification.
const MIN_STARTUP: usize = 60;

fn startup_clear_len(chunk_len: usize) -> usize {
    (STARTUP_HEADER + chunk_len).max(MIN_STARTUP)
}

/// The kind of chunks of padding (RFC 7016 section 2.3).
const PADDING: u8 = 0;

/// Where a packet goes.
#[derive(Clone, Copy)]
struct Route {
    interface: InterfaceId,
    to: SocketAddr,
    src_ip: Option<IpAddr>,
    ecn: Ecn,
    dscp: u8,
    dont_fragment: bool,
    far_id: u32,
    key: KeyId,
}

impl Endpoint {
    /// Appends datagrams until the batch is full or nothing is left to send now.
    pub fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.settle_dependent(now);
        self.serve_fragments(now);
        let mut ids = core::mem::take(&mut self.sealings);
        let mut far_ids = core::mem::take(&mut self.sealing_ids);
        while !batch.is_full() {
            if !self.send_control(now, batch, &mut ids, &mut far_ids)
                && !self.send_session(now, batch, &mut ids, &mut far_ids)
            {
                break;
            }
        }
        self.profile.seal(&mut batch.buffer, &mut ids);
        for (sealing, far_id) in ids.drain(..).zip(far_ids.drain(..)) {
            let start = sealing.start - ID_LEN;
            scramble(far_id, &mut batch.buffer[start..sealing.start + sealing.room.sealed_len]);
        }
        self.sealings = ids;
        self.sealing_ids = far_ids;
    }

    /// The length of the datagram that a startup packet with one chunk makes.
    pub(super) fn startup_datagram_len(&mut self, chunk_len: usize) -> usize {
        ID_LEN + self.profile.reserve(DEFAULT_KEY, startup_clear_len(chunk_len)).sealed_len
    }

    /// Sends one control packet. Answers whether there was one.
    fn send_control(
        &mut self,
        now: Time,
        batch: &mut Batch,
        sealings: &mut Vec<Sealing>,
        far_ids: &mut Vec<u32>,
    ) -> bool {
        let Some(packet) = self.control.pop() else { return false };
        let (key, far_id, mut header) = match packet.envelope {
            Envelope::Startup { far_id, .. } => {
                let header = PacketHeader {
                    mode: Mode::Startup,
                    time_critical: false,
                    time_critical_reverse: false,
                    timestamp: Some(timestamp(now)),
                    timestamp_echo: None,
                };
                (DEFAULT_KEY, far_id, header)
            }
            Envelope::Session(id) | Envelope::Probe(id, _) => {
                let reverse = self.reverse_notice(id, now);
                let Some(session) = self.sessions.get_mut(id) else { return true };
                (session.key, session.far_id, session.header(now, reverse))
            }
        };
        let start = batch.buffer.len();
        let clear_at = start + ID_LEN + self.profile.front_len(key);
        batch.buffer.resize(clear_at, 0);
        header.timestamp.get_or_insert_with(|| timestamp(now));
        header.write(&mut batch.buffer);
        if let Envelope::Probe(_, size) = packet.envelope {
            let taken = batch.buffer.len() - start - ID_LEN + HEADER_LEN + packet.chunk.len();
            let padding = OpenChunk::begin(PADDING, &mut batch.buffer);
            batch.buffer.resize(batch.buffer.len() + size.saturating_sub(taken), 0);
            padding.finish(&mut batch.buffer);
        }
        batch.buffer.extend_from_slice(&packet.chunk);
        if header.mode == Mode::Startup {
            // No chunk has this length: padding.
            batch.buffer.resize(clear_at + startup_clear_len(packet.chunk.len()), 0xff);
        }
        let route = Route {
            interface: packet.interface,
            to: packet.to,
            src_ip: packet.src_ip,
            ecn: Ecn::NotEct,
            dscp: packet.dscp,
            dont_fragment: matches!(packet.envelope, Envelope::Probe(..)),
            far_id,
            key,
        };
        let sent = self.finish_packet(batch, start, clear_at, route, sealings, far_ids);
        if let Envelope::Session(id) | Envelope::Probe(id, _) = packet.envelope {
            self.count_sent(id, sent, false);
        }
        true
    }

    /// Sends one packet of the session whose turn it is. Answers whether any session had something to send.
    fn send_session(
        &mut self,
        now: Time,
        batch: &mut Batch,
        sealings: &mut Vec<Sealing>,
        far_ids: &mut Vec<u32>,
    ) -> bool {
        let Some(priority) = self.ready_priority() else { return false };
        let Some(id) = self.ready[priority].pop_front() else { return false };
        let reverse = self.reverse_notice(id, now);
        let Some(session) = self.sessions.get_mut(id) else { return true };
        session.queued &= !(1 << priority);
        if session.interest() == Some(priority) {
            self.assemble(now, id, reverse, batch, sealings, far_ids);
        }
        self.touch(now, id);
        true
    }

    fn assemble(
        &mut self,
        now: Time,
        id: SessionId,
        reverse: bool,
        batch: &mut Batch,
        sealings: &mut Vec<Sealing>,
        far_ids: &mut Vec<u32>,
    ) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        debug_assert_eq!(session.state, State::Open);
        let start = batch.buffer.len();
        let front = self.profile.front_len(session.key);
        let clear_at = start + ID_LEN + front;
        batch.buffer.resize(clear_at, 0);
        let room = session.mtu.size().saturating_sub(front);
        let done = session.assemble(now, &mut self.flows, &mut batch.buffer, room, reverse);
        if batch.buffer.len() == clear_at {
            batch.buffer.truncate(start);
            return;
        }
        if done.time_critical {
            self.critical.sent = Some(now);
        }
        let marked = done.data && session.marks.sending && session.congestion.wants_ecn();
        let route = Route {
            interface: session.path.interface,
            to: session.path.to,
            src_ip: session.path.src_ip,
            ecn: if marked { Ecn::Ect0 } else { Ecn::NotEct },
            dscp: session.config.dscp,
            dont_fragment: false,
            far_id: session.far_id,
            key: session.key,
        };
        let begins = session.mtu.begins();
        if batch.buffer.len() - clear_at <= room {
            let sent = self.finish_packet(batch, start, clear_at, route, sealings, far_ids);
            self.count_sent(id, sent, marked);
        } else {
            let (mode, packet_id) = (session.mode(), session.mtu.packet_id());
            // The front may grow by a byte from one piece to the next, with the sequence number in it.
            let head = PacketHeader { timestamp: Some(timestamp(now)), ..super::mtu::bare_header(mode) };
            let pieces = super::mtu::cut(&batch.buffer[clear_at..], &head, packet_id, room.saturating_sub(1));
            batch.buffer.truncate(start);
            for piece in pieces {
                let start = batch.buffer.len();
                let clear_at = start + ID_LEN + self.profile.front_len(route.key);
                batch.buffer.resize(clear_at, 0);
                batch.buffer.extend_from_slice(&piece);
                let sent = self.finish_packet(batch, start, clear_at, route, sealings, far_ids);
                self.count_sent(id, sent, marked);
            }
        }
        if begins {
            self.probe_size(now, id);
        }
    }

    fn count_sent(&mut self, id: SessionId, bytes: usize, marked: bool) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.counts.sent_packets += 1;
        session.counts.sent_bytes += bytes as u64;
        session.counts.sent_capable += u64::from(marked);
    }

    /// Makes room for the sealed packet and notes how to seal it; answers the length of the datagram.
    fn finish_packet(
        &mut self,
        batch: &mut Batch,
        start: usize,
        clear_at: usize,
        route: Route,
        sealings: &mut Vec<Sealing>,
        far_ids: &mut Vec<u32>,
    ) -> usize {
        let clear_len = batch.buffer.len() - clear_at;
        let room = self.profile.reserve(route.key, clear_len);
        debug_assert_eq!(start + ID_LEN + room.front, clear_at);
        batch.buffer.resize(start + ID_LEN + room.sealed_len, 0);
        sealings.push(Sealing { key: route.key, room, clear_len, start: start + ID_LEN });
        far_ids.push(route.far_id);
        self.stats.sent_datagrams += 1;
        self.stats.sent_bytes += (ID_LEN + room.sealed_len) as u64;
        batch.push(Transmit {
            interface: route.interface,
            to: route.to,
            src_ip: route.src_ip,
            ecn: route.ecn,
            dscp: route.dscp,
            dont_fragment: route.dont_fragment,
            bytes: start..batch.buffer.len(),
            segment_size: None,
        });
        ID_LEN + room.sealed_len
    }

    /// Whether something waits to be sent.
    pub fn wants_transmit(&self) -> bool {
        !self.control.is_empty() || self.paced.len() > 0 || self.ready.iter().any(|list| !list.is_empty())
    }
}
