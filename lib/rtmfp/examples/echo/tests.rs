//! The server on a simulated network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_netsim::Network;
use rtmfp_plain::PlainProfile;

use crate::server::Server;
use crate::{Arguments, Role};

const SERVER: &str = "10.0.0.1:1935";
const MESSAGES: usize = 100;

/// Sends messages; takes the answers, or refuses their flow.
#[derive(Debug)]
struct Sender {
    takes_answers: bool,
    answers: Vec<Bytes>,
    delivered: usize,
    refused: usize,
}

fn message(number: usize) -> Vec<u8> {
    vec![number as u8; 3000]
}

impl Application for Sender {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        let spec = FlowSpec { metadata: Bytes::from_static(b"echo"), priority: Priority::Routine };
        let flow = endpoint.open_flow(now, b"server", spec, Tag(0)).expect("a flow");
        let mut flow = endpoint.send_flow(flow).expect("the flow");
        flow.add_candidate(now, SERVER.parse().expect("an address"));
        let options = WriteOptions { notify: true, ..WriteOptions::default() };
        for number in 0..MESSAGES {
            flow.write(now, Message::from(message(number)), &options).expect("room");
        }
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, .. } if self.takes_answers => endpoint.accept(now, flow, Tag(1)),
            Event::Readable { flow, .. } => {
                while let Some(answer) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    self.answers.push(answer.bytes);
                }
            }
            Event::WriteEnded { delivered, .. } => self.delivered += usize::from(delivered),
            Event::FlowException { .. } => self.refused += 1,
            _ => {}
        }
    }
}

fn run(takes_answers: bool) -> Sender {
    let Role::Serve(options) = Arguments::parse_from(["echo", "serve", SERVER]).role else {
        unreachable!("it is told to serve");
    };
    let endpoint = |name: &str, seed: u8| {
        Endpoint::new(Config::default(), Box::new(PlainProfile::new(name)), [seed; 32], Time::ZERO)
    };
    let any: SocketAddr = "0.0.0.0:1935".parse().expect("an address");
    let sender = Sender { takes_answers, answers: Vec::new(), delivered: 0, refused: 0 };
    let mut net = Network::new(1);
    let server = Node::new(endpoint("server", 1), &[any], Server::new(options));
    net.add_host("server", &[IpAddr::from([10, 0, 0, 1])], Box::new(server));
    let client = Node::new(endpoint("client", 2), &[any], sender);
    let client = net.add_host("client", &[IpAddr::from([10, 0, 0, 2])], Box::new(client));
    net.run_for(Duration::from_secs(20));
    let sender = &mut net.service::<Node<Sender>>(client).application;
    core::mem::replace(sender, Sender { takes_answers, answers: Vec::new(), delivered: 0, refused: 0 })
}

#[test]
fn each_message_comes_back_once_and_in_order() {
    let sender = run(true);
    assert_eq!((sender.delivered, sender.refused), (MESSAGES, 0));
    let expected: Vec<Vec<u8>> = (0..MESSAGES).map(message).collect();
    assert_eq!(sender.answers, expected);
}

#[test]
fn messages_of_a_client_that_refuses_the_answers_are_delivered_all_the_same() {
    let sender = run(false);
    assert_eq!((sender.delivered, sender.refused), (MESSAGES, 0));
    assert_eq!(sender.answers, Vec::<Bytes>::new());
}
