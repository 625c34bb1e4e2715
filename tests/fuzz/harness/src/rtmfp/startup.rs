use core::time::Duration;

use bytes::Bytes;
use rtmfp::crypto::{DEFAULT_KEY, Profile};
use rtmfp::wire::{
    Chunk, CookieChange, IHello, IIKeying, OpenChunk, PacketHeader, RHello, RIKeying, kind, write_field,
};
use rtmfp::{Endpoint, Event, FlowSpec, MAX_STARTUP_PACKET, Priority};
use rtmfp_base::{Job, Tag, Time};
use rtmfp_plain::PlainProfile;

use super::far::{STARTUP, chunks, open, seal};
use super::{endpoint, far_meta, run_jobs, serve_timers, transmissions};
use crate::Tape;

/// An endpoint that opens a session, and takes some, while any startup packets come, with the tags and cookies that
/// it has sent and without, and jobs are done early, late and in any order.
///
/// What it holds and sends stays bounded, and in the end no session is left.
pub fn startup(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut near = endpoint();
    let now = Time::from_secs(1);
    let spec = FlowSpec { metadata: Bytes::from_static(b"m"), priority: Priority::Routine };
    let flow = near.open_flow(now, b"far", spec, Tag(1)).expect("a flow");
    near.send_flow(flow).expect("the flow").add_candidate(now, far_meta(1935).from);
    let mut world = World {
        near,
        profile: PlainProfile::new("far"),
        now,
        port: 1935,
        jobs: Vec::new(),
        seen: Seen::default(),
        flow_ended: false,
    };
    serve_timers(&mut world.near, now);
    world.settle();
    while !tape.is_empty() {
        world.step(&mut tape);
        world.settle();
        assert!(world.near.session_count() <= 16);
        assert!(world.jobs.len() <= 64, "{} jobs", world.jobs.len());
    }
    world.end();
}

/// What the far end has learned from the near one.
#[derive(Default)]
struct Seen {
    tag: Vec<u8>,
    cookie: Vec<u8>,
    /// Of the last IIKeying: the session id, the cookie and the component.
    keying: (u32, Vec<u8>, Vec<u8>),
}

struct World {
    near: Endpoint,
    profile: PlainProfile,
    now: Time,
    /// Where the far end is.
    port: u16,
    jobs: Vec<Job>,
    seen: Seen,
    flow_ended: bool,
}

impl World {
    fn step(&mut self, tape: &mut Tape<'_>) {
        let op = tape.u8();
        let mut out = Vec::new();
        match op % 12 {
            0 => {
                for _ in 0..=tape.u8() % 4 {
                    let chunk = OpenChunk::begin(tape.u8(), &mut out);
                    out.extend_from_slice(tape.field());
                    chunk.finish(&mut out);
                }
            }
            1 => Chunk::IHello(IHello { epd: b"near", tag: tape.field() }).write(&mut out),
            2 => {
                let cookie = tape.field();
                let certificate = if op & 0x80 == 0 { b"far" } else { tape.field() };
                Chunk::RHello(RHello { tag_echo: &self.seen.tag, cookie, certificate }).write(&mut out);
            }
            3 => {
                let chunk = OpenChunk::begin(kind::REDIRECT, &mut out);
                write_field(&self.seen.tag, &mut out);
                out.extend_from_slice(tape.field());
                chunk.finish(&mut out);
            }
            4 | 5 => self.write_iikeying(op, tape, &mut out),
            6 | 7 => self.write_rikeying(op, tape, &mut out),
            8 => {
                let old = &self.seen.keying.1;
                Chunk::CookieChange(CookieChange { old, new: tape.field() }).write(&mut out);
            }
            9 => {
                if !self.jobs.is_empty() {
                    let index = usize::from(tape.u8()) % self.jobs.len();
                    let done = self.jobs.swap_remove(index).run();
                    self.near.complete_job(self.now, done);
                }
                return;
            }
            10 => {
                self.now += Duration::from_micros(1 << (tape.u8() % 28));
                return serve_timers(&mut self.near, self.now);
            }
            _ => return self.port = 1935 + u16::from(tape.u8() % 4),
        }
        let id = match op % 12 {
            6..=8 => self.seen.keying.0,
            0 if op & 0x80 != 0 => self.seen.keying.0,
            0 if op & 0x40 != 0 => tape.u32(),
            _ => 0,
        };
        let mut clear = Vec::new();
        STARTUP.write(&mut clear);
        if op & 0x20 != 0 {
            clear[0] = tape.u8();
        }
        clear.extend(out);
        let mut datagram = seal(&mut self.profile, DEFAULT_KEY, id, &clear);
        if op & 0x10 != 0 {
            let at = usize::from(tape.u8()) % datagram.len();
            datagram[at] ^= tape.u8();
        }
        self.near.handle_datagram(self.now, &far_meta(self.port), &mut datagram);
    }

    fn write_iikeying(&self, op: u8, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        let session_id = u32::from(tape.u8());
        let certificate = if op & 0x80 == 0 { b"far" } else { tape.field() };
        let component = if op & 0x40 == 0 { b"salt" } else { tape.field() };
        let mut signed = Vec::new();
        IIKeying::write_parameters(session_id, &self.seen.cookie, certificate, component, &mut signed);
        IIKeying::write_to(&signed, &self.profile.signatures().sign(&signed), out);
    }

    fn write_rikeying(&self, op: u8, tape: &mut Tape<'_>, out: &mut Vec<u8>) {
        let component = if op & 0x40 == 0 { b"salt" } else { tape.field() };
        let mut parameters = Vec::new();
        RIKeying::write_parameters(tape.u8().into(), component, &mut parameters);
        let signed = [&parameters[..], &self.seen.keying.2].concat();
        RIKeying::write_to(&parameters, &self.profile.signatures().sign(&signed), out);
    }

    fn settle(&mut self) {
        while let Some(event) = self.near.poll_event(self.now) {
            if let Event::FlowException { tag: Tag(1), .. } | Event::FlowClosed { tag: Tag(1), .. } = event {
                assert!(!core::mem::replace(&mut self.flow_ended, true), "a flow ends once");
            }
        }
        while let Some(job) = self.near.poll_job() {
            self.jobs.push(job);
        }
        let datagrams = transmissions(&mut self.near, self.now);
        assert!(datagrams.len() <= 64, "{} datagrams at once", datagrams.len());
        for datagram in datagrams {
            // Those of sessions that have opened have keys of their own.
            let Some((_, clear)) = open(&mut self.profile, DEFAULT_KEY, &datagram) else { continue };
            assert!((60..=MAX_STARTUP_PACKET).contains(&clear.len()), "{} bytes", clear.len());
            self.learn(&clear);
        }
    }

    fn learn(&mut self, clear: &[u8]) {
        let (_, rest) = PacketHeader::parse(clear).expect("a packet");
        let chunk = chunks(rest).next().expect("a chunk").expect("a good one");
        match chunk {
            Chunk::IHello(hello) => self.seen.tag = hello.tag.to_vec(),
            Chunk::RHello(hello) => self.seen.cookie = hello.cookie.to_vec(),
            Chunk::IIKeying(keying) => {
                self.seen.keying = (keying.session_id, keying.cookie.to_vec(), keying.component.to_vec());
            }
            Chunk::RIKeying(_) | Chunk::CookieChange(_) => {}
            other => panic!("a startup packet with {other:?}"),
        }
    }

    /// All jobs are done, and nothing more comes.
    fn end(mut self) {
        for job in core::mem::take(&mut self.jobs) {
            let done = job.run();
            self.near.complete_job(self.now, done);
        }
        let mut turns = 0;
        loop {
            run_jobs(&mut self.near, self.now);
            self.settle();
            let Some((at, reason)) = self.near.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.near.handle_timeout(self.now);
            turns += 1;
            assert!(turns < 20_000, "a session does not end: {reason}");
        }
        assert_eq!(self.near.session_count(), 0, "a session without a timer");
        assert!(self.flow_ended, "the flow did not end");
    }
}
