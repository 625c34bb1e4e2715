//! Relays (`rtmfp-service` on `rtmfp-netconn`) between a client and a server that say what they like.

mod ends;

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp::driver::Node;
use rtmfp::{Endpoint, FlowSpec, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::Value;
use rtmfp_media::command::{self, Info};
use rtmfp_media::message::kind;
use rtmfp_netconn::FlowMetadata;
use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_plain::PlainProfile;
use rtmfp_service::{Destination, Listen, Profiles, Protocol, Relay, RelayConfig};

use crate::Tape;
use ends::{Flows, RtmpEnd};

/// A client, one relay or two, and a server, each hop over RTMP or RTMFP. Client and server send any messages and any
/// bytes. In the end, when the client has gone, the relays have forgotten it.
pub fn relay(data: &[u8]) {
    let mut tape = Tape::new(data);
    let hops = tape.pick(&[&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"], &["rtmfp", "rtmp"]]);
    let mut world = World::new(hops);
    while !tape.is_empty() {
        world.step(&mut tape);
    }
    world.end();
}

struct World {
    network: Network,
    relays: Vec<HostId>,
    client: HostId,
    over_rtmfp: bool,
    server: HostId,
    /// Flows that the client has opened.
    flows: Vec<rtmfp::SendFlowId>,
}

/// What the client asks for, and what the relays' certificates are named after.
const TC_URL: &str = "rtmp://relay.test/app";
const CLIENT: u8 = 1;
const FIRST_RELAY: u8 = 100;
const SERVER: u8 = 200;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 1935)
}

/// The Endpoint Discriminator of a relay.
fn epd() -> Vec<u8> {
    [&[TC_URL.len() as u8 + 1, 0x0a], TC_URL.as_bytes()].concat()
}

/// Profiles without cryptography.
struct Plain;

impl Profiles for Plain {
    fn listener(&mut self, _listen: &Listen) -> Result<Box<dyn Profile>, String> {
        Ok(Box::new(PlainProfile::new(epd())))
    }

    fn outgoing(&mut self, _to: &Destination) -> Result<Box<dyn Profile>, String> {
        Ok(Box::new(PlainProfile::new("relay")))
    }
}

fn protocol(name: &str) -> Protocol {
    if name == "rtmfp" { Protocol::Rtmfp } else { Protocol::Rtmp }
}

impl World {
    fn new(hops: &[&str]) -> Self {
        let mut network = Network::new(1);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(5)));
        let mut relays = Vec::new();
        for (number, hop) in hops.windows(2).enumerate() {
            let last = FIRST_RELAY + number as u8;
            let next = if number + 2 == hops.len() { SERVER } else { last + 1 };
            let listen = Listen { protocol: protocol(hop[0]), address: at(last), legacy: false };
            let to = Destination {
                protocol: protocol(hop[1]),
                host: ip(next).to_string(),
                port: at(next).port(),
                legacy: false,
            };
            let config = RelayConfig::new(vec![listen], to, [last; 32]);
            let relay = Relay::new(config, Box::new(Plain));
            relays.push(network.add_host("relay", &[ip(last)], Box::new(relay)));
        }
        let server = network.add_host("server", &[ip(SERVER)], Box::new(RtmpEnd::server(at(SERVER))));
        network.run_for(Duration::from_millis(1));
        let over_rtmfp = hops[0] == "rtmfp";
        let client = if over_rtmfp {
            let profile = Box::new(PlainProfile::new("client"));
            let endpoint = Endpoint::new(rtmfp::Config::default(), profile, [1; 32], Time::ZERO);
            let any = SocketAddr::from(([0, 0, 0, 0], 1935));
            network.add_host("client", &[ip(CLIENT)], Box::new(Node::new(endpoint, &[any], Flows::default())))
        } else {
            network.add_host("client", &[ip(CLIENT)], Box::new(RtmpEnd::client(at(FIRST_RELAY))))
        };
        network.run_for(Duration::from_millis(30));
        Self { network, relays, client, over_rtmfp, server, flows: Vec::new() }
    }

    fn step(&mut self, tape: &mut Tape<'_>) {
        let op = tape.u8();
        match op % 8 {
            0..=2 if self.over_rtmfp => self.act_on_flows(op, tape),
            0..=2 => self.say(self.client, op, tape),
            3..=5 => self.say(self.server, op, tape),
            _ => self.network.run_for(Duration::from_micros(1 << (tape.u8() % 25))),
        }
    }

    /// A message or bytes of an end of a byte stream.
    fn say(&mut self, host: HostId, op: u8, tape: &mut Tape<'_>) {
        let now = self.network.now();
        if op & 0xf0 == 0xf0 {
            return self.network.service::<RtmpEnd>(host).close(tape.flag());
        }
        if op & 0xf0 == 0xe0 {
            let bytes = tape.field();
            return self.network.service::<RtmpEnd>(host).send_raw(bytes);
        }
        let message = message(tape);
        self.network.service::<RtmpEnd>(host).send(now, message);
    }

    /// What a client over RTMFP does.
    fn act_on_flows(&mut self, op: u8, tape: &mut Tape<'_>) {
        let now = self.network.now();
        let (endpoint, flows) = self.network.service::<Node<Flows>>(self.client).parts();
        if op & 0x70 == 0 {
            // A flow of its own, or one in return of the relay's.
            let of = match tape.u8() {
                0 => None,
                number => flows.offered.get(usize::from(number - 1) % flows.offered.len().max(1)).copied(),
            };
            let metadata = match tape.u8() {
                0..240 => {
                    let network_order = tape.flag();
                    FlowMetadata { stream_id: u32::from(tape.u8() % 4), network_order }.encode()
                }
                _ => Bytes::copy_from_slice(tape.field()),
            };
            let spec = FlowSpec { metadata, priority: Priority::Routine };
            let flow = match of.and_then(|flow| endpoint.recv_flow(flow)) {
                Some(mut offered) => offered.open_return_flow(now, spec, Tag(0)),
                None => endpoint.open_flow(now, &epd(), spec, Tag(0)),
            };
            if let Ok(flow) = flow {
                if let Some(mut flow) = endpoint.send_flow(flow) {
                    flow.add_candidate(now, at(FIRST_RELAY));
                }
                self.flows.push(flow);
            }
            return;
        }
        let Some(&flow) = self.flows.get(usize::from(tape.u8()) % self.flows.len().max(1)) else { return };
        let Some(mut flow) = endpoint.send_flow(flow) else { return };
        if op & 0xf0 == 0xf0 {
            return flow.close(now);
        }
        let body = if op & 0xf0 == 0xe0 {
            tape.field().to_vec()
        } else {
            let message = message(tape);
            [&message.tc_head()[..], &message.payload].concat()
        };
        let _ = flow.write(now, Message::from(body), &WriteOptions::default());
    }

    fn end(mut self) {
        if self.over_rtmfp {
            let now = self.network.now();
            let endpoint = self.network.service::<Node<Flows>>(self.client).endpoint();
            endpoint.shutdown(now, rtmfp::Shutdown::Abrupt);
        } else {
            self.network.service::<RtmpEnd>(self.client).close(true);
        }
        self.network.run_for(Duration::from_secs(400));
        for &relay in &self.relays {
            assert!(self.network.finished(relay).is_none(), "a relay goes on");
            assert_eq!(self.network.peek::<Relay>(relay).client_count(), 0, "a client is not forgotten");
        }
    }
}

/// A message: of the kinds that mean something, or any.
fn message(tape: &mut Tape<'_>) -> TcMessage {
    let shape = tape.u8();
    let stream_id = u32::from(tape.u8() % 4);
    let transaction = f64::from(tape.u8() % 8);
    let known = match shape % 16 {
        0 => command::connect(|object| _ = object.put("app", "app").put("tcUrl", TC_URL)),
        1 => command::create_stream(transaction),
        2 => command::publish("live", "live"),
        3 => command::play("live"),
        4 => command::delete_stream(stream_id),
        5 => command::close_stream(),
        6 => command::result(transaction).value(Value::Null).value(f64::from(stream_id)),
        7 => command::result(transaction)
            .value(Value::Null)
            .info(&Info::status("NetConnection.Connect.Success", "")),
        8 => command::error(transaction, &Info::error("NetConnection.Connect.Rejected", "")),
        9 => {
            let codes = [
                "NetStream.Publish.Start",
                "NetStream.Play.Start",
                "NetStream.Play.Stop",
                "NetStream.Unpublish.Success",
                "NetConnection.Connect.Closed",
            ];
            command::on_status(&Info::status(tape.pick(&codes), ""))
        }
        10 => command::fc_unpublish(transaction, "live"),
        11..=13 => {
            let kind =
                tape.pick(&[kind::VIDEO, kind::AUDIO, kind::DATA, kind::USER_CONTROL, kind::AGGREGATE]);
            return TcMessage { kind, ..raw(stream_id, tape) };
        }
        _ => return TcMessage { kind: tape.u8(), ..raw(stream_id, tape) },
    };
    known.message(if shape & 0x80 == 0 { 0 } else { stream_id })
}

fn raw(stream_id: u32, tape: &mut Tape<'_>) -> TcMessage {
    let timestamp = tape.u16().into();
    TcMessage { kind: 0, timestamp, stream_id, payload: Bytes::copy_from_slice(tape.field()) }
}
