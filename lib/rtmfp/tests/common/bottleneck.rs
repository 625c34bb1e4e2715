//! Several senders whose data meet in one queue.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rtmfp::{Config, FlowSpec, Priority, SendFlowId, SessionConfig};
use rtmfp_base::{Tag, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Network};

use super::{B, PORT, Peer, node};

/// What a run showed.
#[derive(Debug)]
pub struct Outcome {
    /// Bytes of messages that came from each sender, by the bottleneck's bytes in that time.
    pub shares: Vec<f64>,
    /// How long the queue was, sampled every 5 ms, in order of length.
    pub waits: Vec<Duration>,
}

impl Outcome {
    pub fn total(&self) -> f64 {
        self.shares.iter().sum()
    }

    /// Jain's index of fairness: 1 where all have the same.
    pub fn jain(&self) -> f64 {
        let squares: f64 = self.shares.iter().map(|share| share * share).sum();
        self.total().powi(2) / (squares * self.shares.len() as f64)
    }

    pub fn least(&self) -> f64 {
        self.shares.iter().copied().fold(f64::MAX, f64::min)
    }

    /// So many of a hundred samples of the queue were not longer.
    pub fn wait(&self, percent: usize) -> u64 {
        self.waits[(self.waits.len() - 1) * percent / 100].as_millis() as u64
    }
}

/// Room for more than any window, with the given threshold of congestion by delay.
pub fn roomy(delay: Option<Duration>) -> Config {
    let session =
        SessionConfig { receive_limit: 256 << 20, congestion_delay: delay, ..SessionConfig::default() };
    Config { receive_capacity: 8 << 20, session, ..Config::default() }
}

struct Sender {
    host: HostId,
    flow: Option<SendFlowId>,
    starts_at: Duration,
    from: Bytes,
    received: usize,
}

pub struct Bottleneck {
    pub net: Network,
    pub b: HostId,
    rate: u64,
    senders: Vec<Sender>,
}

impl Bottleneck {
    /// Of so many Mbit/s, with a queue of so many products of it and `rtt`.
    pub fn new(seed: u64, mbits: u64, rtt: Duration, queue: f64) -> Self {
        let mut net = Network::new(seed);
        let rate = mbits * 125_000;
        // A little jitter, the time of about a packet at 10 Mbit/s: otherwise what comes to a full queue in step with
        // its departures finds all the places, and what does not finds none.
        let jitter = Duration::from_millis(1);
        net.set_default_link(LinkConfig { delay: rtt / 2, jitter, ..LinkConfig::default() });
        let b = net.add_host("b", &[B.into()], node("b", seed, roomy(None)));
        let queue = (rate as f64 * rtt.as_secs_f64() * queue) as usize;
        net.set_downlink(b, LinkConfig { rate: Some(rate), queue, ..LinkConfig::default() });
        Self { net, b, rate, senders: Vec::new() }
    }

    /// A host with bulk data from some time on.
    pub fn sender(&mut self, delay: Option<Duration>, starts_at: Duration) {
        let number = self.senders.len() as u8;
        let name = format!("s{number}");
        let service = node(&name, 100 + u64::from(number), roomy(delay));
        let host = self.net.add_host(&name, &[[10, 0, 1, number + 1].into()], service);
        self.senders.push(Sender { host, flow: None, starts_at, from: Bytes::from(name), received: 0 });
    }

    /// Counts what has come since the last time, and forgets it.
    fn count(&mut self) {
        let peer: &mut Peer = &mut self.net.service::<super::Node<Peer>>(self.b).application;
        for (flow, messages) in core::mem::take(&mut peer.received) {
            let from = peer.metadata.get(&flow).expect("an offered flow");
            let sender = self.senders.iter_mut().find(|sender| sender.from == from).expect("a sender");
            sender.received += messages.iter().map(|message| message.bytes.len()).sum::<usize>();
        }
        peer.read_at.clear();
        peer.events.clear();
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) -> Outcome {
        let start = self.net.now();
        self.senders.iter_mut().for_each(|sender| sender.received = 0);
        let mut waits = Vec::new();
        while self.net.now() < start + duration {
            let now = self.net.now();
            for sender in &mut self.senders {
                if now.since(rtmfp_base::Time::ZERO) < sender.starts_at {
                    continue;
                }
                let endpoint = self.net.service::<super::Node<Peer>>(sender.host).endpoint();
                let flow = *sender.flow.get_or_insert_with(|| {
                    let spec = FlowSpec { metadata: sender.from.clone(), priority: Priority::Bulk };
                    let flow = endpoint.open_flow(now, b"b", spec, Tag(0)).expect("a flow");
                    let to = SocketAddr::from((B, PORT));
                    endpoint.send_flow(flow).expect("the flow").add_candidate(now, to);
                    flow
                });
                let mut flow = endpoint.send_flow(flow).expect("the flow");
                while flow.unsent() < self.rate as usize / 40 + 20_000 {
                    flow.write(now, vec![5; 8000].into(), &WriteOptions::default()).expect("room");
                }
            }
            self.net.run_for(Duration::from_millis(5));
            self.count();
            waits.push(self.net.downlink_queue(self.b));
        }
        waits.sort_unstable();
        let most = self.rate as f64 * duration.as_secs_f64();
        let shares = self.senders.iter().map(|sender| sender.received as f64 / most).collect();
        Outcome { shares, waits }
    }

    /// What each sender takes for the round-trip time of the empty path, in milliseconds.
    pub fn base_rtts(&mut self) -> Vec<u64> {
        let mut all = Vec::new();
        for sender in &self.senders {
            let endpoint = self.net.service::<super::Node<Peer>>(sender.host).endpoint();
            let session = endpoint.open_sessions()[0];
            all.push(endpoint.session(session).expect("open").counters().rtt_base_micros / 1000);
        }
        all
    }
}
