//! What commands cost the links that carry them, from a client to a server over a byte stream: those of every day, and
//! long ones that are meant to cost much.
//!
//! `cargo bench -p rtmfp-netconn`

use std::collections::VecDeque;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::BytesCount;
use rtmfp_base::{StreamId, Time};
use rtmfp_media::amf0::Value;
use rtmfp_media::amf3;
use rtmfp_media::command::{self, Builder};
use rtmfp_media::message::kind;
use rtmfp_netconn::{
    Cx, Endpoints, Link, LinkConfig, LinkEvent, LinkId, Role, RtmpConfig, RtmpLink, StreamUse, TcMessage,
};

fn main() {
    divan::main();
}

/// A command of 64 KiB: an array of nulls, and behind it something in AMF3, for which all has to be looked through.
fn flood() -> TcMessage {
    const COUNT: u32 = 65_000;
    let head = Builder::new("flood", 0.0).value(Value::Null).payload();
    let mut payload = [&head[..], b"\x0a", &COUNT.to_be_bytes()].concat();
    payload.resize(payload.len() + COUNT as usize, 0x05);
    payload.extend(b"\x11\x04\x01");
    TcMessage { kind: kind::COMMAND, timestamp: 0, stream_id: 0, payload: payload.into() }
}

/// One of every day.
fn publish() -> TcMessage {
    command::publish("stream", "live").message(1)
}

/// A client and a server.
struct Pair {
    endpoints: Endpoints,
    links: [Link; 2],
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self { endpoints: Endpoints::new(), links: [Role::Client, Role::Server].map(link) };
        pair.send(0, command::connect(|_| {}).message(0));
        pair.send(1, command::result(1.0).message(0));
        pair
    }

    /// Sends a message from one of them, and takes what the other one hands out.
    fn send(&mut self, from: usize, message: TcMessage) -> usize {
        let mut actions = VecDeque::new();
        let mut cx = Cx { now: Time::ZERO, endpoints: &mut self.endpoints, actions: &mut actions };
        self.links[from].send(&mut cx, message);
        let mut messages = 0;
        loop {
            let mut idle = true;
            for side in [from, 1 - from] {
                let mut bytes = Vec::new();
                self.links[side].fill_stream(&mut cx, 1 << 20, &mut bytes);
                idle &= bytes.is_empty();
                self.links[1 - side].stream_data(&mut cx, &bytes);
                while let Some(event) = self.links[1 - side].poll_event() {
                    messages += usize::from(matches!(event, LinkEvent::Message(_)));
                }
            }
            if idle {
                return messages;
            }
        }
    }
}

fn link(role: Role) -> Link {
    let (mut endpoints, mut actions) = (Endpoints::new(), VecDeque::new());
    let mut cx = Cx { now: Time::ZERO, endpoints: &mut endpoints, actions: &mut actions };
    let (config, rtmp) = (Arc::new(LinkConfig::default()), RtmpConfig::default());
    Link::Rtmp(Box::new(RtmpLink::new(&mut cx, LinkId(1), role, StreamId::opened(1), config, rtmp, 1)))
}

fn carried(bencher: Bencher<'_, '_>, message: TcMessage) {
    let mut pair = Pair::new();
    let bytes = BytesCount::new(message.payload.len());
    bencher.counter(bytes).bench_local(|| assert_eq!(pair.send(0, message.clone()), 1));
}

#[divan::bench]
fn a_long_one_is_carried(bencher: Bencher<'_, '_>) {
    carried(bencher, flood());
}

#[divan::bench]
fn a_publish_is_carried(bencher: Bencher<'_, '_>) {
    carried(bencher, publish());
}

#[divan::bench]
fn a_long_one_is_no_use_of_a_stream(bencher: Bencher<'_, '_>) {
    let message = flood();
    bencher.bench(|| StreamUse::parse(&message));
}

#[divan::bench]
fn a_long_one_is_converted(bencher: Bencher<'_, '_>) {
    let message = flood();
    bencher.bench(|| amf3::plain(&message, &amf3::Limits::DEFAULT));
}
