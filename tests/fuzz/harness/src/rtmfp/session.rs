use core::time::Duration;
use std::collections::BTreeMap;

use rtmfp::wire::{
    Chunk, DataFlags, Mode, OpenChunk, PacketHeader, UserData, kind, vlu, write_startup_options,
};
use rtmfp::{Endpoint, MAX_PACKET};
use rtmfp_base::{Ecn, Time};

use super::application::Application;
use super::far::{Far, chunks};
use super::{endpoint, far_meta, serve_timers, transmissions};
use crate::Tape;

/// An open session whose far end sends authentic packets with any chunks, while the near application opens flows,
/// writes and reads, and time passes.
///
/// What the endpoint holds and sends stays bounded; all that it sends is well-formed; when the far end falls silent
/// the session ends, and with it each flow and each write, once.
pub fn session(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut near = endpoint();
    let now = Time::from_secs(1);
    let far = Far::connect(&mut near, now);
    let mut world = World { near, far, now, application: Application::default(), sent: BTreeMap::new() };
    world.settle();
    while !tape.is_empty() {
        match tape.u8() % 8 {
            0..=3 => world.receive(&mut tape),
            4..=6 => world.application.act(&mut world.near, world.now, &mut tape),
            _ => world.wait(Duration::from_micros(1 << (tape.u8() % 28))),
        }
        world.settle();
    }
    world.end();
}

struct World {
    near: Endpoint,
    far: Far,
    now: Time,
    application: Application,
    /// The next sequence number of each flow that the near end sends on.
    sent: BTreeMap<u64, u64>,
}

impl World {
    /// A packet of the far end.
    fn receive(&mut self, tape: &mut Tape<'_>) {
        let flags = tape.u8();
        let header = PacketHeader {
            mode: if flags & 0x30 == 0x30 { Mode::Responder } else { Mode::Initiator },
            time_critical: flags & 0x80 != 0,
            time_critical_reverse: flags & 0x40 != 0,
            timestamp: (flags & 0x08 != 0).then(|| tape.u16()),
            timestamp_echo: (flags & 0x04 != 0).then(|| tape.u16()),
        };
        let mut clear = Vec::new();
        header.write(&mut clear);
        for _ in 0..=tape.u8() % 8 {
            write_chunk(tape, &mut clear);
        }
        let mut datagram = self.far.seal(&clear);
        let meta = rtmfp_base::RecvMeta { ecn: Ecn::from_bits(flags), ..far_meta(1935) };
        self.near.handle_datagram(self.now, &meta, &mut datagram);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        serve_timers(&mut self.near, self.now);
    }

    /// Events and transmissions until there are none.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.near.poll_event(self.now) {
                self.application.on_event(&mut self.near, self.now, event);
            }
            let datagrams = transmissions(&mut self.near, self.now);
            if datagrams.is_empty() {
                break;
            }
            for datagram in datagrams {
                let clear = self.far.open(&datagram).expect("a packet of the session");
                self.check_packet(&clear);
            }
        }
    }

    /// What the near end sends is what others understand.
    fn check_packet(&mut self, clear: &[u8]) {
        assert!(clear.len() <= MAX_PACKET, "a packet of {} bytes", clear.len());
        let (header, rest) = PacketHeader::parse(clear).expect("a packet");
        assert_eq!(header.mode, Mode::Responder);
        let mut used = header.encoded_len();
        let mut previous = None;
        for chunk in chunks(rest) {
            let chunk = chunk.expect("a good chunk");
            used += chunk.encoded_len();
            previous = match chunk {
                Chunk::UserData(data) => Some((data.flow_id, data.sequence)),
                Chunk::NextUserData(_) => {
                    let (flow_id, sequence) = previous.expect("behind another data chunk");
                    Some((flow_id, sequence + 1))
                }
                Chunk::Unknown(kind) => panic!("a chunk of type {kind:#x}"),
                _ => None,
            };
            if let Some((flow_id, sequence)) = previous {
                let next = self.sent.entry(flow_id).or_insert(1);
                assert!((1..=*next).contains(&sequence), "{sequence} was sent before {next}");
                *next = (*next).max(sequence + 1);
            }
        }
        assert_eq!(used, clear.len(), "no bytes but chunks");
    }

    /// The far end says nothing more.
    fn end(mut self) {
        self.application.finish(&mut self.near, self.now);
        self.settle();
        let mut turns = 0;
        while let Some((at, reason)) = self.near.poll_timeout() {
            self.now = self.now.max(at);
            self.near.handle_timeout(self.now);
            self.settle();
            turns += 1;
            assert!(turns < 20_000, "the session does not end: {reason}");
        }
        assert_eq!(self.near.session_count(), 0, "a session without a timer");
        assert_eq!(self.application.closed, 1);
        assert!(!self.near.wants_transmit());
        self.application.check_ended();
    }
}

/// Appends a chunk: of a shape that means something to a session, or any.
fn write_chunk(tape: &mut Tape<'_>, out: &mut Vec<u8>) {
    let shape = tape.u8();
    match shape % 8 {
        0..=2 => {
            let (flags, flow_id) = (DataFlags::from_byte(tape.u8()), u64::from(tape.u8() % 16));
            let sequence = if shape & 0x80 == 0 { tape.u8().into() } else { tape.number() };
            let fsn_offset = if shape & 0x40 == 0 { sequence } else { tape.number().min(sequence) };
            let mut options = Vec::new();
            if shape & 0x20 == 0 {
                write_startup_options(b"m", (shape & 0x10 != 0).then(|| tape.u8().into()), &mut options);
            }
            let data = vec![0xdd; usize::from(tape.u8()) * if shape & 8 == 0 { 1 } else { 8 }];
            let options = (shape & 0x20 == 0).then_some(&options[..]);
            Chunk::UserData(UserData { flags, flow_id, sequence, fsn_offset, options, data: &data })
                .write(out);
        }
        3 => {
            let flags = DataFlags::from_byte(tape.u8());
            let data = vec![0xdd; usize::from(tape.u8())];
            Chunk::NextUserData(rtmfp::wire::NextUserData { flags, options: None, data: &data }).write(out);
        }
        4 | 5 => {
            let kind = if shape & 0x80 == 0 { kind::ACK_RANGES } else { kind::ACK_BITMAP };
            let chunk = OpenChunk::begin(kind, out);
            vlu::write(2 + u64::from(tape.u8() % 8), out);
            vlu::write(tape.u8().into(), out);
            vlu::write(if shape & 0x40 == 0 { tape.u8().into() } else { tape.number() }, out);
            out.extend_from_slice(tape.field());
            chunk.finish(out);
        }
        6 => {
            let kind = tape.pick(&[
                kind::PING,
                kind::PING_REPLY,
                kind::BUFFER_PROBE,
                kind::FLOW_EXCEPTION,
                kind::ECN_REPORT,
                kind::USER_DATA,
                kind::NEXT_USER_DATA,
                kind::CLOSE,
                kind::CLOSE_ACK,
            ]);
            write_raw(kind, tape, out);
        }
        _ => {
            let kind = tape.u8();
            write_raw(kind, tape, out);
        }
    }
}

fn write_raw(kind: u8, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
    let chunk = OpenChunk::begin(kind, out);
    out.extend_from_slice(tape.field());
    chunk.finish(out);
}
