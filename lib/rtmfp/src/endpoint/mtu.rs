//! Probes of the size of packets, and packets in fragments (RFC 7016 sections 3.4 and 3.5.4.3).

use core::time::Duration;

use rtmfp_base::{Ecn, RecvMeta, Time};

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use crate::SessionId;
use crate::session::{Probe, Taken, Timer};
use crate::wire::{Chunk, HEADER_LEN, Mode, PacketFragment, PacketHeader, vlu};

/// An answer to a probe is not waited for longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl Endpoint {
    /// Sends the probe that is due, if any.
    pub(super) fn probe_size(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_open() && !session.basic)
        else {
            return;
        };
        let wait = session.path.erto.min(LONGEST_WAIT);
        let due = session.mtu.poll(now, wait, session.path.timeouts == 0, &session.config);
        if let Some(at) = session.mtu.due(wait) {
            session.timers.set_earlier(Timer::Path, at);
        }
        let Some((probe, message)) = due else { return };
        self.stats.mtu_probes += 1;
        let mode = session.mode();
        let packet_id = session.mtu.packet_id();
        let mut ping = Vec::new();
        match probe {
            Probe::Padded(size) => {
                Chunk::Ping(&message).write(&mut ping);
                self.queue_probe(id, Envelope::Probe(id, size), ping);
            }
            Probe::Fragmented => {
                bare_header(mode).write(&mut ping);
                Chunk::Ping(&message).write(&mut ping);
                let half = ping.len() / 2;
                let halves = [(0, &ping[..half]), (1, &ping[half..])];
                for (index, data) in halves {
                    let mut chunk = Vec::new();
                    let fragment = PacketFragment { more: index == 0, packet_id, index, data };
                    Chunk::PacketFragment(fragment).write(&mut chunk);
                    self.queue_probe(id, Envelope::Session(id), chunk);
                }
            }
        }
        self.touch(now, id);
    }

    fn queue_probe(&mut self, id: SessionId, envelope: Envelope, chunk: Vec<u8>) {
        let Some(session) = self.sessions.get(id) else { return };
        self.queue_control(ControlPacket {
            envelope,
            interface: session.path.interface,
            to: session.path.to,
            src_ip: session.path.src_ip,
            dscp: session.config.dscp,
            chunk,
        });
    }

    /// A fragment of a packet of a session; one that completes it has the packet processed.
    pub(super) fn on_packet_fragment(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        id: SessionId,
        mode: Mode,
        fragment: &PacketFragment<'_>,
    ) {
        let limit = self.config.limits.packet_fragments;
        let Some(session) = self.sessions.get_mut(id) else { return };
        let packet = match session.fragments.take(now, mode, fragment, limit) {
            Taken::Packet(packet) => packet,
            Taken::Waits => return,
            Taken::Refused => {
                self.stats.refused_fragments += 1;
                return;
            }
        };
        let parsed = PacketHeader::parse(&packet).ok().filter(|(header, _)| header.mode == mode);
        let Some((header, chunks)) = parsed else {
            self.stats.malformed_packets += 1;
            return;
        };
        self.stats.reassembled_packets += 1;
        // The marks of its fragments are counted already.
        let meta = RecvMeta { ecn: Ecn::NotEct, ..*meta };
        self.on_header(now, &meta, id, &header);
        self.on_chunks(now, &meta, id, &header, chunks, true);
    }
}

/// The header of a packet that carries nothing but a fragment of another, but for its timestamp, or is one in which
/// nothing else matters.
pub(super) fn bare_header(mode: Mode) -> PacketHeader {
    PacketHeader {
        mode,
        time_critical: false,
        time_critical_reverse: false,
        timestamp: None,
        timestamp_echo: None,
    }
}

/// Cuts a clear packet into packets of at most `room` bytes with a header and a fragment each.
pub(super) fn cut(packet: &[u8], header: &PacketHeader, packet_id: u64, room: usize) -> Vec<Vec<u8>> {
    let mut rest = packet;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let index = pieces.len() as u64;
        let taken = header.encoded_len() + HEADER_LEN + 1 + vlu::len(packet_id) + vlu::len(index);
        let (data, more) = rest.split_at(rest.len().min(room.saturating_sub(taken).max(1)));
        rest = more;
        let mut piece = Vec::with_capacity(room);
        header.write(&mut piece);
        Chunk::PacketFragment(PacketFragment { more: !rest.is_empty(), packet_id, index, data })
            .write(&mut piece);
        pieces.push(piece);
    }
    pieces
}
