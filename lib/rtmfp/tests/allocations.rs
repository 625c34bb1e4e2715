//! Steady state allocates for message bodies only.

mod common;

use std::alloc::System;
use std::time::Duration;

use common::endpoint;
use rtmfp::{Config, Endpoint, Event, Priority, SessionConfig};
use rtmfp_base::{Batch, Ecn, InterfaceId, Message, RecvMeta, Tag, Time, WriteOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of the whole process so far: one test only in this file.
fn count() -> u64 {
    let stats = ALLOCATOR.stats();
    (stats.allocations + stats.reallocations) as u64
}

const ADDRESSES: [([u8; 4], u16); 2] = [([192, 0, 2, 1], 1935), ([192, 0, 2, 2], 1935)];

/// Two endpoints, and a path between them that takes 5 ms.
struct Joined {
    now: Time,
    ends: [Endpoint; 2],
    batch: Batch,
    /// The datagrams on their way to each end, in buffers that are used again.
    flying: [Vec<Vec<u8>>; 2],
    spare: Vec<Vec<u8>>,
    packets: u64,
    /// Allocations of the two endpoints, but not of reading.
    allocations: u64,
    messages: u64,
}

impl Joined {
    fn new() -> Self {
        let session = SessionConfig { receive_limit: 4 << 20, ..SessionConfig::default() };
        let config = || Config { receive_capacity: 1 << 20, session: session.clone(), ..Config::default() };
        let mut ends = [endpoint("a", 1, config()), endpoint("b", 2, config())];
        for (end, address) in ends.iter_mut().zip(ADDRESSES) {
            end.add_interface(InterfaceId(0), address.into());
        }
        let (batch, flying, spare) = Default::default();
        let now = Time::from_secs(1);
        Self { now, ends, batch, flying, spare, packets: 0, allocations: 0, messages: 0 }
    }

    fn counted<T>(&mut self, act: impl FnOnce(&mut [Endpoint; 2], &mut Batch) -> T) -> T {
        let before = count();
        let result = act(&mut self.ends, &mut self.batch);
        self.allocations += count() - before;
        result
    }

    fn step(&mut self) {
        let now = self.now;
        for (end, &address) in ADDRESSES.iter().enumerate() {
            while let Some(event) = self.counted(|ends, _| ends[end].poll_event(now)) {
                match event {
                    Event::FlowOffered { flow, .. } => self.ends[end].accept(now, flow, Tag(0)),
                    Event::Readable { flow, .. } => {
                        let read = |ends: &mut [Endpoint; 2]| ends[end].recv_flow(flow)?.read(now);
                        while self.counted(|ends, _| read(ends)).is_some() {
                            self.messages += 1;
                        }
                    }
                    _ => {}
                }
            }
            while let Some(job) = self.ends[end].poll_job() {
                self.ends[end].complete_job(now, job.run());
            }
            loop {
                self.batch.clear();
                self.counted(|ends, batch| ends[end].poll_transmit(now, batch));
                if self.batch.is_empty() {
                    break;
                }
                for (_, bytes) in self.batch.datagrams() {
                    let mut buffer = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(2000));
                    buffer.clear();
                    buffer.extend_from_slice(bytes);
                    self.flying[1 - end].push(buffer);
                }
            }
            let _ = address;
        }
        self.now += Duration::from_millis(5);
        let now = self.now;
        for end in 0..2 {
            for mut datagram in core::mem::take(&mut self.flying[end]) {
                self.packets += 1;
                let from = ADDRESSES[1 - end].into();
                let meta = RecvMeta { interface: InterfaceId(0), from, dst_ip: None, ecn: Ecn::NotEct };
                self.counted(|ends, _| ends[end].handle_datagram(now, &meta, &mut datagram));
                self.spare.push(datagram);
            }
            while self.counted(|ends, _| ends[end].poll_timeout()).is_some_and(|(at, _)| at <= now) {
                self.counted(|ends, _| ends[end].handle_timeout(now));
            }
        }
    }

    /// Allocations, packets and messages in some steps.
    fn run(&mut self, steps: usize, mut each: impl FnMut(&mut Self)) -> (u64, u64, u64) {
        (self.allocations, self.packets, self.messages) = (0, 0, 0);
        for _ in 0..steps {
            each(self);
            self.step();
        }
        (self.allocations, self.packets, self.messages)
    }
}

/// A flow with messages of a length, `each_step` of them at a time.
fn allocations(len: usize, each_step: usize, options: WriteOptions) -> (u64, u64, u64) {
    let mut joined = Joined::new();
    let now = joined.now;
    let spec = rtmfp::FlowSpec { metadata: bytes::Bytes::from_static(b"flow"), priority: Priority::Priority };
    let flow = joined.ends[0].open_flow(now, b"b", spec, Tag(0)).expect("a flow");
    joined.ends[0].send_flow(flow).expect("the flow").add_candidate(now, ADDRESSES[1].into());
    let body = bytes::Bytes::from(vec![7; len]);
    let write = |joined: &mut Joined| {
        let now = joined.now;
        let options = WriteOptions {
            start_by: if options.start_by.is_never() { Time::MAX } else { now + Duration::from_millis(500) },
            finish_by: if options.finish_by.is_never() { Time::MAX } else { now + Duration::from_secs(1) },
            ..options
        };
        let mut sender = joined.ends[0].send_flow(flow).expect("the flow");
        for _ in 0..each_step {
            if sender.unsent() < 200_000 {
                let message = Message::new(b"head", body.clone());
                sender.write(now, message, &options).expect("room");
            }
        }
        // What was written is counted as well.
        joined.counted(|_, _| ());
    };
    joined.run(3000, write);
    joined.run(2000, write)
}

#[test]
fn steady_state_allocates_for_message_bodies_only() {
    let (bulk, packets, messages) = allocations(8000, 20, WriteOptions::default());
    println!("bulk: {bulk} allocations, {packets} packets, {messages} messages");
    assert!(packets > 5000 && messages > 500);
    // A body grows while it is put together: 1, 2, 4 and 8 fragments; and becomes shared.
    let bodies = messages * 6;
    assert!(bulk <= bodies + packets / 50, "{bulk} for {messages} messages, {packets} packets");

    let options =
        WriteOptions { start_by: Time::ZERO, finish_by: Time::ZERO, notify: true, ..WriteOptions::default() };
    let (live, packets, messages) = allocations(300, 2, options);
    println!("live: {live} allocations, {packets} packets, {messages} messages");
    assert!(packets > 2000 && messages > 2000);
    let bodies = messages * 2;
    assert!(live <= bodies + packets / 50, "{live} for {messages} messages, {packets} packets");
}
