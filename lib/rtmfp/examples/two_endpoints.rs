//! Two endpoints in one process over the simulator: a call with video, audio and a file on a bad line.
//!
//! The line carries 1 Mbit/s, loses one packet in fifty and takes 40 ms. Video of 0.7 Mbit/s and audio of 0.1 Mbit/s are
//! worth something for a second or less; the file takes what they leave. Two minutes pass in a moment, and every run of
//! the same seed is the same:
//!
//! ```text
//! cargo run --release -p rtmfp --example two_endpoints -- [SEED]
//! ```
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_flash::{Epd, FlashConfig, FlashProfile};
use rtmfp_netsim::{HostId, LinkConfig, Loss, Network};

const PORT: u16 = 1935;
const TALK: Duration = Duration::from_secs(120);

/// A kind of message: how often, how long, how urgent, and for how long worth sending.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    priority: Priority,
    every: Duration,
    bytes: usize,
    lifetime: Duration,
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "audio",
        priority: Priority::Immediate,
        every: Duration::from_millis(20),
        bytes: 250,
        lifetime: Duration::from_millis(1000),
    },
    Kind {
        name: "video",
        priority: Priority::Priority,
        every: Duration::from_millis(40),
        bytes: 3500,
        lifetime: Duration::from_millis(500),
    },
    Kind {
        name: "file",
        priority: Priority::Bulk,
        every: Duration::from_millis(500),
        bytes: 4096,
        lifetime: Duration::from_secs(3600),
    },
];

fn main() {
    let seed = std::env::args().nth(1).map_or(Ok(1), |text| text.parse());
    let Ok(seed) = seed else {
        eprintln!("two_endpoints: the seed is a number");
        std::process::exit(2);
    };
    talk(seed);
}

fn talk(seed: u64) {
    let mut net = Network::new(seed);
    net.set_default_link(LinkConfig {
        delay: Duration::from_millis(40),
        loss: Loss::Independent(0.02),
        rate: Some(125_000),
        queue: 30_000,
        ..LinkConfig::default()
    });
    let alice = add_host(&mut net, "alice", 1, Party::default());
    let bob = add_host(&mut net, "bob", 2, Party::default());
    net.run_for(Duration::from_millis(1));

    let now = net.now();
    let (endpoint, caller) = net.service::<Node<Party>>(alice).parts();
    for (number, kind) in KINDS.iter().enumerate() {
        let spec = FlowSpec { metadata: Bytes::from(kind.name), priority: kind.priority };
        // All three find the same session: it is the one that the first of them opens.
        let flow = endpoint.open_flow(now, &Epd::hostname("bob").encode(), spec, Tag(number as u64));
        let flow = flow.expect("an acceptable flow");
        endpoint.send_flow(flow).expect("the flow").add_candidate(now, address_of(2));
        caller.flows.push((flow, now));
    }
    net.run_for(TALK + Duration::from_secs(5));

    let caller = &net.peek::<Node<Party>>(alice).application;
    let called = &net.peek::<Node<Party>>(bob).application;
    println!("{:<6} {:>8} {:>9} {:>10} {:>12}", "", "written", "received", "median", "99 of 100");
    for (number, kind) in KINDS.iter().enumerate() {
        let mut delays = called.delays.get(kind.name).cloned().unwrap_or_default();
        delays.sort_unstable();
        let quantile = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied();
        let [median, most] = [0.5, 0.99].map(|share| quantile(share).unwrap_or_default());
        let (written, received) = (caller.written[number], delays.len());
        println!("{:<6} {written:>8} {received:>9} {median:>10.1?} {most:>12.1?}", kind.name);
    }
}

fn add_host(net: &mut Network, name: &str, number: u8, party: Party) -> HostId {
    // In a program these bytes come from the system.
    let mut random = |bytes: &mut [u8]| bytes.fill(number);
    let mut flash = FlashConfig::server();
    flash.hostname = Some(name.to_owned());
    let profile = FlashProfile::new(flash, &mut random).expect("keys");
    let endpoint = Endpoint::new(Config::default(), Box::new(profile), [number; 32], Time::ZERO);
    let socket = SocketAddr::from(([0, 0, 0, 0], PORT));
    net.add_host(name, &[address_of(number).ip()], Box::new(Node::new(endpoint, &[socket], party)))
}

fn address_of(number: u8) -> SocketAddr {
    SocketAddr::from((IpAddr::from([10, 0, 0, number]), PORT))
}

/// Either end of the call: writes to the flows that it has, and notes how old messages are that it gets.
#[derive(Default)]
struct Party {
    /// A flow of each kind, and when the next message of it is due.
    flows: Vec<(SendFlowId, Time)>,
    written: [usize; KINDS.len()],
    names: BTreeMap<Tag, &'static str>,
    delays: BTreeMap<&'static str, Vec<Duration>>,
}

impl Application for Party {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, metadata, .. } => {
                let Some(number) = KINDS.iter().position(|kind| kind.name.as_bytes() == metadata) else {
                    return; // Nobody's flow: what is not accepted is rejected.
                };
                let tag = Tag(number as u64);
                self.names.insert(tag, KINDS[number].name);
                endpoint.accept(now, flow, tag);
            }
            Event::Readable { flow, tag } => {
                while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    let written =
                        message.bytes.first_chunk().map(|at| Time::from_micros(u64::from_be_bytes(*at)));
                    if let (Some(written), Some(name)) = (written, self.names.get(&tag)) {
                        self.delays.entry(name).or_default().push(now.since(written));
                    }
                }
            }
            _ => {}
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.flows.iter().map(|&(_, due)| due).min().filter(|&due| due < Time::ZERO + TALK)
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        for (number, (flow, due)) in self.flows.iter_mut().enumerate() {
            let kind = &KINDS[number];
            if *due > now {
                continue;
            }
            *due += kind.every;
            let mut message = vec![0; kind.bytes];
            message[..8].copy_from_slice(&now.as_micros().to_be_bytes());
            let options = WriteOptions { start_by: now + kind.lifetime, ..WriteOptions::default() };
            if let Some(mut flow) = endpoint.send_flow(*flow)
                && flow.write(now, Message::from(message), &options).is_ok()
            {
                self.written[number] += 1;
            }
        }
    }
}
