//! How to bring a cryptography profile of one's own.
//!
//! `profile.rs` and `session.rs` are the guide: a small profile for endpoints that share a secret key, with comments
//! on what the core expects. `tests.rs` is what any profile should be tested for. This file lets two members of a group
//! exchange messages over a simulated network that loses, repeats, reorders and damages packets, and lets somebody with
//! another key fail:
//!
//! `cargo run -p rtmfp --example own_profile`, `cargo test -p rtmfp --example own_profile`
//!
#![forbid(unsafe_code)]

mod profile;
mod session;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Loss, Network, Reorder};

use crate::profile::SharedKeyProfile;

const PORT: u16 = 1935;
const MESSAGES: usize = 500;

fn main() {
    run().iter().for_each(|line| println!("{line}"));
}

/// The whole story; answers what is worth telling. Panics when it goes wrong.
fn run() -> Vec<String> {
    let ours = [0x5e; 32]; // A real key comes from a generator, or from a file.
    let mut net = Network::new(1);
    net.set_default_link(LinkConfig {
        delay: Duration::from_millis(20),
        loss: Loss::Independent(0.05),
        duplicate: 0.2,
        corrupt: 0.1,
        reorder: Reorder { probability: 0.05, extra: Duration::from_millis(15) },
        ..LinkConfig::default()
    });
    let alice = add_member(&mut net, "alice", &ours, 1);
    let bob = add_member(&mut net, "bob", &ours, 2);
    let eve = add_member(&mut net, "eve", &[0xee; 32], 3);
    net.run_for(Duration::from_millis(1));

    call(&mut net, alice, "bob", address_of(2));
    call(&mut net, eve, "alice", address_of(1));
    net.run_for(Duration::from_secs(20));

    let mut lines = Vec::new();
    let at_alice = &net.peek::<Node<Member>>(alice).application;
    assert_eq!(at_alice.received.len(), MESSAGES, "each message is answered, once and in order");
    assert!(
        at_alice.received.iter().enumerate().all(|(n, answer)| *answer == format!("bob heard {}", text(n)))
    );
    lines.push(format!("alice got {MESSAGES} answers, each once and in order"));

    let at_eve = &net.peek::<Node<Member>>(eve).application;
    assert!(at_eve.failed && at_eve.received.is_empty());
    lines.push("eve, who has another key, got no answer".to_owned());

    let endpoint = net.service::<Node<Member>>(bob).endpoint();
    let session = endpoint.open_sessions()[0];
    let info = endpoint.session(session).expect("an open session").info();
    let keys = info.keys.expect("keys of an open session");
    assert!(keys.authenticated && keys.sequenced);
    let (replayed, forged) = (endpoint.stats().replayed_packets, endpoint.stats().unauthentic_packets);
    assert!(replayed > 0 && forged > 0, "the network repeats and damages packets");
    let who = String::from_utf8_lossy(&info.epd);
    lines.push(format!("bob talks to {who}, and dropped {replayed} repeated and {forged} damaged packets"));
    lines
}

fn add_member(net: &mut Network, name: &'static str, key: &[u8; 32], number: u8) -> HostId {
    // An endpoint takes any profile. In a program its seed comes from the system's generator.
    let profile = Box::new(SharedKeyProfile::new(name, key));
    let config = Config { open_timeout: Duration::from_secs(10), ..Config::default() };
    let endpoint = Endpoint::new(config, profile, [number; 32], Time::ZERO);
    let socket = SocketAddr::from(([0, 0, 0, 0], PORT));
    let member = Member { name, ..Member::default() };
    net.add_host(name, &[address_of(number).ip()], Box::new(Node::new(endpoint, &[socket], member)))
}

fn address_of(number: u8) -> SocketAddr {
    SocketAddr::from((IpAddr::from([10, 0, 0, number]), PORT))
}

/// A message of some length, so that there are packets enough to lose.
fn text(number: usize) -> String {
    format!("message {number:0400}")
}

/// Opens a flow to the one with this name and writes messages into it.
fn call(net: &mut Network, caller: HostId, name: &'static str, address: SocketAddr) {
    let now = net.now();
    let endpoint = net.service::<Node<Member>>(caller).endpoint();
    let spec = FlowSpec { metadata: Bytes::from_static(b"greetings"), priority: Priority::Routine };
    // The name is the Endpoint Discriminator of this profile.
    let flow = endpoint.open_flow(now, name.as_bytes(), spec, CALL).expect("an acceptable flow");
    let mut flow = endpoint.send_flow(flow).expect("the flow that was opened");
    flow.add_candidate(now, address);
    for number in 0..MESSAGES {
        let message = Message::from(text(number).into_bytes());
        flow.write(now, message, &WriteOptions::default()).expect("room for a few messages");
    }
}

/// Tags tell the application which of its flows an event is about.
const CALL: Tag = Tag(1);
const ANSWERS: Tag = Tag(2);

/// Answers each message of a flow that somebody began; keeps the messages that come in return of its own.
#[derive(Default)]
struct Member {
    name: &'static str,
    answers: Option<SendFlowId>,
    received: Vec<String>,
    failed: bool,
}

impl Application for Member {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, associated: Some(_), .. } => endpoint.accept(now, flow, ANSWERS),
            Event::FlowOffered { flow, .. } => {
                endpoint.accept(now, flow, CALL);
                let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
                let answers =
                    endpoint.recv_flow(flow).map(|mut flow| flow.open_return_flow(now, spec, ANSWERS));
                self.answers = answers.and_then(Result::ok);
            }
            Event::Readable { flow, tag } => {
                while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    let text = String::from_utf8_lossy(&message.bytes).into_owned();
                    match self.answers.and_then(|flow| endpoint.send_flow(flow)) {
                        Some(mut answers) if tag == CALL => {
                            let answer = format!("{} heard {text}", self.name).into_bytes();
                            // A flow that is closed takes none: whoever asked is gone.
                            let _ = answers.write(now, answer.into(), &WriteOptions::default());
                        }
                        _ => self.received.push(text),
                    }
                }
            }
            Event::FlowException { tag: CALL, .. } => self.failed = true,
            _ => {}
        }
    }
}
