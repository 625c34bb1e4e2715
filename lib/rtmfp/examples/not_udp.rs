//! An interface that is not UDP: two endpoints in two threads, joined by channels.
//!
//! An endpoint asks nothing of a network but that it carries some of its datagrams from one address to another. This
//! is a platform adapter from nothing: no run loop and no `Service`, only the endpoint's own calls in the order that it
//! asks for: events, jobs, transmissions, time-out.
//!
//! ```text
//! cargo run --release -p rtmfp --example not_udp
//! ```
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::TryRng;
use rand::rngs::SysRng;
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, Shutdown};
use rtmfp_base::{Batch, Ecn, InterfaceId, Message, RecvMeta, Tag, Time, WriteOptions};
use rtmfp_flash::{Epd, FlashConfig, FlashProfile};

const MESSAGES: usize = 1000;
/// The only interface of each end.
const CHANNEL: InterfaceId = InterfaceId(0);
/// Addresses serve only to tell the ends apart.
const ALICE: ([u8; 4], u16) = ([192, 0, 2, 1], 1935);
const BOB: ([u8; 4], u16) = ([192, 0, 2, 2], 1935);

fn main() {
    // Networks have queues that end, and lose what finds them full: so do these.
    let (to_bob, at_bob) = sync_channel(64);
    let (to_alice, at_alice) = sync_channel(64);
    #[expect(clippy::disallowed_methods, reason = "an adapter is where the clock is")]
    let begun = Instant::now();
    let listener = thread::spawn(move || {
        let mut adapter = Adapter::new("bob", ALICE.into(), to_alice, at_bob, begun);
        adapter.run(Listener::default())
    });

    let mut adapter = Adapter::new("alice", BOB.into(), to_bob, at_alice, begun);
    adapter.endpoint.add_interface(CHANNEL, ALICE.into());
    let now = adapter.now();
    let spec = FlowSpec { metadata: Bytes::from_static(b"greetings"), priority: Priority::Routine };
    let flow = adapter.endpoint.open_flow(now, &Epd::hostname("bob").encode(), spec, Tag(1)).expect("a flow");
    let mut flow = adapter.endpoint.send_flow(flow).expect("the flow that was opened");
    flow.add_candidate(now, BOB.into());
    for number in 0..MESSAGES {
        let message = Message::from(format!("message {number:0500}").into_bytes());
        flow.write(now, message, &WriteOptions::default()).expect("room for some messages");
    }
    // What was written is still delivered.
    flow.close(now);
    adapter.run(Caller);

    let received = listener.join().expect("the thread of the listener ends");
    println!("bob received {} of {MESSAGES} messages in {:.1?}", received.messages, begun.elapsed());
    assert_eq!(received.messages, MESSAGES);
}

/// What an application does with the events of its endpoint; answers whether it goes on.
trait Party {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) -> bool;
}

/// Ends when all that it wrote has arrived.
struct Caller;

impl Party for Caller {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) -> bool {
        match event {
            Event::FlowClosed { .. } => endpoint.shutdown(now, Shutdown::Orderly),
            Event::FlowException { code, .. } => panic!("bob is not to be had: {code}"),
            _ => {}
        }
        event != Event::ShutDown
    }
}

/// Takes all flows, and ends when its only session has.
#[derive(Default)]
struct Listener {
    messages: usize,
}

impl Party for Listener {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) -> bool {
        match event {
            Event::FlowOffered { flow, .. } => endpoint.accept(now, flow, Tag(2)),
            Event::Readable { flow, .. } => {
                while endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {
                    self.messages += 1;
                }
            }
            Event::SessionClosed { .. } => return false,
            _ => {}
        }
        true
    }
}

/// Everything between an endpoint and its channel.
struct Adapter {
    endpoint: Endpoint,
    far: SocketAddr,
    to_far: SyncSender<Vec<u8>>,
    from_far: Receiver<Vec<u8>>,
    batch: Batch,
    begun: Instant,
}

impl Adapter {
    fn new(
        name: &str,
        far: SocketAddr,
        to_far: SyncSender<Vec<u8>>,
        from_far: Receiver<Vec<u8>>,
        begun: Instant,
    ) -> Self {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).expect("randomness from the system");
        let mut random = |bytes: &mut [u8]| SysRng.try_fill_bytes(bytes).expect("randomness from the system");
        let mut flash = FlashConfig::server();
        flash.hostname = Some(name.to_owned());
        let profile = FlashProfile::new(flash, &mut random).expect("keys");
        let endpoint = Endpoint::new(Config::default(), Box::new(profile), seed, Time::ZERO);
        Self { endpoint, far, to_far, from_far, batch: Batch::default(), begun }
    }

    /// The endpoint reads no clock: any origin will do, as long as time does not go back.
    fn now(&self) -> Time {
        Time::ZERO + self.begun.elapsed()
    }

    /// Runs until the application has had enough.
    fn run<P: Party>(&mut self, mut party: P) -> P {
        loop {
            let now = self.now();
            while let Some(event) = self.endpoint.poll_event(now) {
                if !party.on_event(now, &mut self.endpoint, event) {
                    self.send(now);
                    return party;
                }
            }
            // Public-key work. Programs have a thread for it.
            while let Some(job) = self.endpoint.poll_job() {
                let done = job.run();
                self.endpoint.complete_job(self.now(), done);
            }
            self.send(self.now());
            if !self.wait() {
                return party;
            }
        }
    }

    fn send(&mut self, now: Time) {
        loop {
            self.batch.clear();
            self.endpoint.poll_transmit(now, &mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            // Several datagrams of one length may be one `Transmit`: `datagrams` tells them apart.
            for (_, datagram) in self.batch.datagrams() {
                // When the queue is full, or the far end has gone, the datagram is lost.
                let _ = self.to_far.try_send(datagram.to_vec());
            }
        }
    }

    /// Sleeps until a datagram comes or the endpoint wants to be called. Answers whether the far end still exists.
    fn wait(&mut self) -> bool {
        let until = self.endpoint.poll_timeout().map_or(Time::MAX, |(at, _)| at);
        let patience = until.since(self.now()).min(Duration::from_secs(1));
        match self.from_far.recv_timeout(patience) {
            Ok(mut datagram) => {
                let meta = RecvMeta { interface: CHANNEL, from: self.far, dst_ip: None, ecn: Ecn::NotEct };
                let now = self.now();
                self.endpoint.handle_datagram(now, &meta, &mut datagram);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        let now = self.now();
        if until <= now {
            self.endpoint.handle_timeout(now);
        }
        true
    }
}
