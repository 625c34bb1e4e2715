//! The server and the client on a simulated network.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use rtmfp::driver::{Application, Node};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_flash::Epd;
use rtmfp_netsim::Network;
use rtmfp_plain::PlainProfile;

use crate::server::Server;
use crate::{Arguments, Role, client};

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

/// Refuses every flow, or is not there for anybody.
struct Refuser;

impl Application for Refuser {
    fn on_event(&mut self, _now: Time, _endpoint: &mut Endpoint, _event: Event) {
        // A flow that is offered and not accepted is rejected.
    }
}

/// How the client's program ends within a time, with a server of that name.
fn call(name: &[u8], application: impl Application, within: Duration) -> Option<Result<(), String>> {
    let arguments =
        Arguments::parse_from(["echo", "call", SERVER, "--uri", "rtmfp://x/live", "--messages", "5"]);
    let Role::Call(options) = arguments.role else { unreachable!("it is told to call") };
    let endpoint = |name: &[u8], seed: u8| {
        Endpoint::new(Config::default(), Box::new(PlainProfile::new(name)), [seed; 32], Time::ZERO)
    };
    let any: SocketAddr = "0.0.0.0:1935".parse().expect("an address");
    let mut net = Network::new(1);
    let server = Node::new(endpoint(name, 1), &[any], application);
    net.add_host("server", &[IpAddr::from([10, 0, 0, 1])], Box::new(server));
    let client = client::service(options, endpoint(b"client", 2));
    let client = net.add_host("client", &[IpAddr::from([10, 0, 0, 2])], client);
    net.run_for(within);
    net.finished(client).cloned()
}

#[test]
fn a_client_ends_well_when_all_has_come_back() {
    let Role::Serve(options) = Arguments::parse_from(["echo", "serve", SERVER]).role else {
        unreachable!("it is told to serve");
    };
    let name = Epd::uri("rtmfp://x/live").encode();
    assert_eq!(call(&name, Server::new(options), Duration::from_secs(20)), Some(Ok(())));
}

#[test]
fn a_client_whose_flow_is_refused_ends_and_says_so() {
    let name = Epd::uri("rtmfp://x/live").encode();
    let end = call(&name, Refuser, Duration::from_secs(20));
    assert_eq!(end, Some(Err("the server refused the flow, or was lost (code 0)".to_owned())));
}

#[test]
fn a_client_that_finds_nobody_ends_and_says_so() {
    let end = call(b"somebody else", Refuser, Duration::from_secs(200));
    assert_eq!(end, Some(Err("the server is not to be had".to_owned())));
}
