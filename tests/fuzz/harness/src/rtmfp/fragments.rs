use core::time::Duration;

use rtmfp::crypto::{DEFAULT_KEY, Profile};
use rtmfp::wire::{
    Address, Chunk, DataFlags, FIHello, Fragment, IHello, IIKeying, Mode, Origin, PacketFragment,
    PacketHeader, UserData, write_startup_options,
};
use rtmfp::{Endpoint, FIHelloMode, Holdings, Stats};
use rtmfp_base::Time;
use rtmfp_plain::PlainProfile;

use super::far::{Far, STARTUP, seal};
use super::{endpoint, far_meta, run_jobs, serve_timers, transmissions};
use crate::Tape;

/// An endpoint that gets startup packets and packets of a session in fragments, of which some are missing, repeated,
/// out of order or contradict each other, from several addresses, and replies to pings from elsewhere.
///
/// What it holds of them stays bounded, and in the end nothing is left of it.
pub fn fragments(data: &[u8]) {
    fragments_counted(data);
}

/// The same; answers what the endpoint counted.
pub fn fragments_counted(data: &[u8]) -> Stats {
    let mut tape = Tape::new(data);
    let mut near = endpoint();
    let now = Time::from_secs(1);
    let far = Far::connect(&mut near, now);
    for session in near.open_sessions() {
        near.session(session).expect("open").configure(now, |config| config.fihello = FIHelloMode::RHello);
    }
    let mut world = World { near, far, stranger: PlainProfile::new("stranger"), now };
    world.settle();
    while !tape.is_empty() {
        let op = tape.u8();
        match op % 4 {
            0 | 1 => world.cut(op, &mut tape),
            2 => world.any(op, &mut tape),
            _ => {
                world.now += Duration::from_micros(1 << (tape.u8() % 27));
                serve_timers(&mut world.near, world.now);
            }
        }
        world.settle();
    }
    world.end()
}

struct World {
    near: Endpoint,
    far: Far,
    stranger: PlainProfile,
    now: Time,
}

impl World {
    /// A packet that makes sense, cut into pieces, some of which come.
    fn cut(&mut self, op: u8, tape: &mut Tape<'_>) {
        let mut clear = Vec::new();
        let startup = op & 0x80 != 0;
        let header = if startup { STARTUP } else { PacketHeader { mode: Mode::Initiator, ..STARTUP } };
        header.write(&mut clear);
        match (startup, op >> 2 & 3) {
            (true, 0 | 1) => Chunk::IHello(IHello { epd: b"near", tag: tape.field() }).write(&mut clear),
            (true, _) => {
                let mut signed = Vec::new();
                let certificate = vec![b'c'; usize::from(tape.u8()) * 16];
                IIKeying::write_parameters(
                    tape.u8().into(),
                    tape.field(),
                    &certificate,
                    b"salt",
                    &mut signed,
                );
                IIKeying::write_to(&signed, &self.stranger.signatures().sign(&signed), &mut clear);
            }
            (false, 0) => {
                let mut options = Vec::new();
                write_startup_options(b"m", None, &mut options);
                let flags = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };
                let (flow_id, sequence) = (u64::from(tape.u8() % 8), u64::from(tape.u8()));
                let options = Some(&options[..]);
                let data = vec![0xdd; usize::from(tape.u8()) * 8];
                let data = UserData { flags, flow_id, sequence, fsn_offset: sequence, options, data: &data };
                Chunk::UserData(data).write(&mut clear);
            }
            (false, 1) => Chunk::Ping(&vec![0xbb; usize::from(tape.u8()) * 8]).write(&mut clear),
            (false, 2) => Chunk::PingReply(tape.field()).write(&mut clear),
            (false, _) => {
                let from = far_meta(u16::from(tape.u8())).from;
                let reply = Address { origin: Origin::Observed, addr: from };
                Chunk::FIHello(FIHello { epd: b"near", reply, tag: tape.field() }).write(&mut clear);
            }
        }
        let packet_id = u64::from(tape.u8());
        let pieces: Vec<&[u8]> = clear.chunks(1 + usize::from(tape.u8()) * 4).collect();
        let (turns, first) = (usize::from(tape.u8()), usize::from(tape.u8()));
        // In a row from somewhere on, so that most packets become whole, and then some at random.
        for turn in 0..pieces.len().min(turns) + turns % 4 {
            let index =
                if turn < pieces.len() { first + turn } else { usize::from(tape.u8()) } % pieces.len();
            let more = (index + 1 < pieces.len()) ^ (tape.u8() == 1);
            let fragment = PacketFragment { more, packet_id, index: index as u64, data: pieces[index] };
            self.send(startup, op, &[Chunk::PacketFragment(fragment)]);
        }
    }

    /// A fragment with any numbers, beside other chunks.
    fn any(&mut self, op: u8, tape: &mut Tape<'_>) {
        let (packet_id, index, data) = (tape.number(), tape.number(), tape.field());
        let fragment = Chunk::PacketFragment(PacketFragment { more: op & 0x40 == 0, packet_id, index, data });
        let ping = Chunk::PingReply(tape.field());
        let both = [fragment, ping, fragment];
        self.send(op & 0x80 != 0, op, &both[..1 + usize::from(op >> 2 & 3).min(2)]);
    }

    fn send(&mut self, startup: bool, op: u8, chunks: &[Chunk<'_>]) {
        let mut clear = Vec::new();
        let header = if startup { STARTUP } else { PacketHeader { mode: Mode::Initiator, ..STARTUP } };
        header.write(&mut clear);
        chunks.iter().for_each(|chunk| chunk.write(&mut clear));
        let mut datagram = match startup {
            true => seal(&mut self.stranger, DEFAULT_KEY, 0, &clear),
            false => self.far.seal(&clear),
        };
        self.near.handle_datagram(self.now, &far_meta(1935 + u16::from(op >> 5 & 1)), &mut datagram);
    }

    fn settle(&mut self) {
        run_jobs(&mut self.near, self.now);
        while self.near.poll_event(self.now).is_some() {}
        transmissions(&mut self.near, self.now);
        let held = self.near.holdings();
        assert!(held.held_partial_packets <= 32, "{held:?}");
        assert!(self.near.session_count() <= 16);
    }

    /// Nothing more comes.
    fn end(mut self) -> Stats {
        for session in self.near.open_sessions() {
            self.near.session(session).expect("open").close(self.now);
        }
        let mut turns = 0;
        while let Some((at, reason)) = self.near.poll_timeout() {
            self.now = self.now.max(at);
            self.near.handle_timeout(self.now);
            self.settle();
            turns += 1;
            assert!(turns < 20_000, "something does not end: {reason}");
        }
        assert_eq!(self.near.holdings(), Holdings::default());
        self.near.stats().clone()
    }
}
