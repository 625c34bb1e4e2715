//! One flow between two endpoints in one process: what both sides together cost, without a network.
//!
//! `cargo bench -p rtmfp --bench bulk`

use core::time::Duration;

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use rtmfp::crypto::Profile;
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority, SendFlowId, SessionConfig};
use rtmfp_base::{Batch, Ecn, InterfaceId, Message, RecvMeta, Tag, Time, WriteOptions};
use rtmfp_flash::{Epd, FlashConfig, FlashProfile, Group, KeySource};
use rtmfp_plain::PlainProfile;

const ADDRESSES: [([u8; 4], u16); 2] = [([192, 0, 2, 1], 1935), ([192, 0, 2, 2], 1935)];
const TRANSFER: usize = 1 << 20;

/// How packets are protected.
#[derive(Clone, Copy, Debug)]
enum Protection {
    /// Not at all: what the transport costs.
    Plain,
    /// AES-128 and HMAC, the default of the Flash profile.
    Flash,
}

fn main() {
    divan::main();
}

/// Messages of a length, up to a megabyte of them.
#[divan::bench(args = [
    (Protection::Plain, 100), (Protection::Plain, 1100), (Protection::Plain, 8000), (Protection::Plain, 60_000),
    (Protection::Flash, 1100), (Protection::Flash, 8000),
])]
fn transfer(bencher: Bencher<'_, '_>, (protection, len): (Protection, usize)) {
    let mut joined = Joined::new(protection);
    let body = Bytes::from(vec![7; len]);
    let count = TRANSFER / len;
    for _ in 0..30 {
        joined.transfer(&body, count);
    }
    let packets = joined.packets;
    joined.transfer(&body, count);
    let packets = joined.packets - packets;
    bencher
        .counter(BytesCount::new(count * len))
        .counter(ItemsCount::new(packets))
        .bench_local(|| joined.transfer(&body, count));
}

struct Joined {
    now: Time,
    ends: [Endpoint; 2],
    flow: SendFlowId,
    batch: Batch,
    /// Messages that were read.
    read: usize,
    /// Datagrams of both directions.
    packets: usize,
}

impl Joined {
    fn new(protection: Protection) -> Self {
        let session = SessionConfig { receive_limit: 16 << 20, ..SessionConfig::default() };
        let config = || Config { receive_capacity: 4 << 20, session: session.clone(), ..Config::default() };
        let profile = |seed: u8| -> Box<dyn Profile> {
            match protection {
                Protection::Plain => Box::new(PlainProfile::new([seed])),
                Protection::Flash => {
                    let mut config = FlashConfig::server();
                    config.keys = KeySource::Ephemeral { groups: vec![Group::Modp1024] };
                    let profile = FlashProfile::new(config, &mut |bytes: &mut [u8]| bytes.fill(seed));
                    Box::new(profile.expect("a sound configuration"))
                }
            }
        };
        let now = Time::from_secs(1);
        let mut ends = [1, 2].map(|seed| Endpoint::new(config(), profile(seed), [seed; 32], now));
        for (end, address) in ends.iter_mut().zip(ADDRESSES) {
            end.add_interface(InterfaceId(0), address.into());
        }
        let epd = match protection {
            Protection::Plain => vec![2],
            Protection::Flash => Epd::uri("rtmfp://b/").encode(),
        };
        let spec = FlowSpec { metadata: Bytes::from_static(b"bulk"), priority: Priority::Bulk };
        let flow = ends[0].open_flow(now, &epd, spec, Tag(0)).expect("a flow");
        ends[0].send_flow(flow).expect("the flow").add_candidate(now, ADDRESSES[1].into());
        Self { now, ends, flow, batch: Batch::default(), read: 0, packets: 0 }
    }

    /// Sends messages until all were read.
    fn transfer(&mut self, body: &Bytes, count: usize) {
        let mut sender = self.ends[0].send_flow(self.flow).expect("the flow");
        for _ in 0..count {
            let message = Message::new(b"", body.clone());
            sender.write(self.now, message, &WriteOptions::default()).expect("room");
        }
        let target = self.read + count;
        while self.read < target {
            self.step(0);
            self.step(1);
            self.now += Duration::from_millis(1);
        }
    }

    /// Everything that an end has to do.
    fn step(&mut self, end: usize) {
        let now = self.now;
        if self.ends[end].poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.ends[end].handle_timeout(now);
        }
        while let Some(event) = self.ends[end].poll_event(now) {
            match event {
                Event::FlowOffered { flow, .. } => self.ends[end].accept(now, flow, Tag(0)),
                Event::Readable { flow, .. } => {
                    while self.ends[end].recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {
                        self.read += 1;
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
            self.ends[end].poll_transmit(now, &mut self.batch);
            if self.batch.is_empty() {
                break;
            }
            let from = ADDRESSES[end].into();
            let meta = RecvMeta { interface: InterfaceId(0), from, dst_ip: None, ecn: Ecn::NotEct };
            let Batch { buffer, transmits, .. } = &mut self.batch;
            for transmit in transmits {
                let bytes = &mut buffer[transmit.bytes.clone()];
                let len = transmit.segment_size.unwrap_or(bytes.len());
                for datagram in bytes.chunks_mut(len) {
                    self.packets += 1;
                    self.ends[1 - end].handle_datagram(now, &meta, datagram);
                }
            }
        }
    }
}
