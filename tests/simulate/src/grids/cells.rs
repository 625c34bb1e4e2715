//! The measurements: each is one line of a grid.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtmfp_base::Time;
use rtmfp_netsim::{HostId, LinkConfig, Loss, Network};

use super::load::{Load, PORT, Sink, Source};

/// The threshold of congestion by delay that sessions have by default.
pub(super) const THRESHOLD: Option<Duration> = Some(Duration::from_millis(100));
/// What lies before is the start of a session.
const WARM_UP: Duration = Duration::from_secs(5);
const SINK: [u8; 4] = [10, 0, 0, 1];
const OTHER_SINK: [u8; 4] = [10, 0, 0, 2];

/// A path: bits a second, round-trip time, queue in tenths of the product of the two, losses in a hundred thousand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) mbits: u64,
    pub(super) rtt_ms: u64,
    pub(super) queue_tenths: u64,
    pub(super) loss: u64,
}

impl Path {
    fn rate(self) -> u64 {
        self.mbits * 125_000
    }

    fn bottleneck(self) -> LinkConfig {
        let queue = self.rate() * self.rtt_ms * self.queue_tenths / 10_000;
        let loss = if self.loss > 0 { Loss::Independent(self.loss as f64 / 1e5) } else { Loss::None };
        LinkConfig { rate: Some(self.rate()), queue: queue as usize, loss, ..LinkConfig::default() }
    }

    /// The rest of the way. A little jitter, of about a packet at 10 Mbit/s: otherwise what comes to a full queue in step
    /// with its departures finds all the places, and what does not finds none.
    fn way(self) -> LinkConfig {
        LinkConfig {
            jitter: Duration::from_millis(1),
            ..LinkConfig::with_delay(Duration::from_millis(self.rtt_ms) / 2)
        }
    }

    /// What a bulk flow has waiting: more than is sent between two acknowledgements.
    fn bulk(self) -> Load {
        Load::Bulk(self.rate() as usize / 40 + 20_000)
    }
}

fn at(ip: [u8; 4]) -> SocketAddr {
    SocketAddr::from((ip, PORT))
}

fn ip(number: u64) -> IpAddr {
    IpAddr::from([10, 0, 1, number as u8])
}

/// Of values in order, the one that so many of a hundred do not exceed.
fn percentile(values: &[u64], percent: usize) -> u64 {
    values.get((values.len().max(1) - 1) * percent / 100).copied().unwrap_or_default()
}

fn sorted(mut values: Vec<u64>) -> Vec<u64> {
    values.sort_unstable();
    values
}

/// Parts of a thousand.
fn per_mille(part: u64, whole: u64) -> u64 {
    (part * 1000 + whole / 2) / whole.max(1)
}

/// Bytes by flow, and how long the queue was in microseconds.
struct Run {
    bytes: Vec<u64>,
    queue: Vec<u64>,
}

impl Run {
    fn total(&self) -> u64 {
        self.bytes.iter().sum()
    }

    /// Jain's index of fairness in thousandths: 1000 where all have the same.
    fn jain(&self) -> u64 {
        let squares: u128 = self.bytes.iter().map(|bytes| u128::from(*bytes).pow(2)).sum();
        let total = u128::from(self.total());
        (total * total * 1000 / (squares * self.bytes.len() as u128).max(1)) as u64
    }
}

/// Lets time pass and looks at the queue each 5 ms.
fn watch(network: &mut Network, sink: HostId, duration: Duration, names: usize) -> Run {
    let end = network.now() + duration;
    let bytes_of = |network: &Network| -> Vec<u64> {
        let sink: &Sink = network.peek(sink);
        let of = |name| sink.bytes.get(format!("bulk{name}").as_bytes()).copied().unwrap_or_default();
        (0..names).map(of).collect()
    };
    let before = bytes_of(network);
    let mut queue = Vec::new();
    while network.now() < end {
        network.run_for(Duration::from_millis(5));
        queue.push(network.downlink_queue(sink).as_micros() as u64);
    }
    let bytes = bytes_of(network).iter().zip(&before).map(|(after, before)| after - before).collect();
    Run { bytes, queue: sorted(queue) }
}

/// Sources that meet in the sink's downlink: so many hosts with so many flows each.
fn meeting(path: Path, delay: Option<Duration>, hosts: usize, flows: usize) -> (Network, HostId) {
    let mut network = Network::new(1);
    network.set_default_link(path.way());
    let sink = network.add_host("sink", &[SINK.into()], Box::new(Sink::new("sink", 1, delay)));
    network.set_downlink(sink, path.bottleneck());
    for host in 0..hosts {
        let name = format!("source{host}");
        let mut source = Source::new(&name, 100 + host as u64, delay);
        for flow in 0..flows {
            // Hosts begin one after the other.
            let starts_at = Time::from_millis(1 + 200 * host as u64);
            source.add(("sink", at(SINK)), &format!("bulk{}", host * flows + flow), path.bulk(), starts_at);
        }
        network.add_host(&name, &[ip(host as u64 + 1)], Box::new(source));
    }
    (network, sink)
}

/// Bytes of messages in a time, of a thousand that the bottleneck could carry; from the start.
pub(super) fn goodput(path: Path, delay: Option<Duration>, seconds: u64) -> u64 {
    let (mut network, sink) = meeting(path, delay, 1, 1);
    let run = watch(&mut network, sink, Duration::from_secs(seconds), 1);
    per_mille(run.total(), path.rate() * seconds)
}

/// What a bulk flow gets, in thousandths, and how long the queue is after the start: median and 99th percentile in
/// milliseconds.
pub(super) fn queue_delay(path: Path, delay: Option<Duration>, seconds: u64) -> (u64, u64, u64) {
    let (mut network, sink) = meeting(path, delay, 1, 1);
    watch(&mut network, sink, WARM_UP, 1);
    let run = watch(&mut network, sink, Duration::from_secs(seconds), 1);
    let wait = |percent| percentile(&run.queue, percent) / 1000;
    (per_mille(run.total(), path.rate() * seconds), wait(50), wait(99))
}

/// What all get together, how equal it is, and what the one with the least gets of its share: in thousandths.
pub(super) fn fairness(path: Path, hosts: usize, flows: usize, seconds: u64) -> (u64, u64, u64) {
    let (mut network, sink) = meeting(path, THRESHOLD, hosts, flows);
    let count = hosts * flows;
    watch(&mut network, sink, WARM_UP + Duration::from_millis(200) * hosts as u32, count);
    let run = watch(&mut network, sink, Duration::from_secs(seconds), count);
    let least = run.bytes.iter().min().copied().unwrap_or_default() * count as u64;
    (per_mille(run.total(), path.rate() * seconds), run.jain(), per_mille(least, run.total()))
}

/// Where bulk data goes while time-critical messages are measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beside {
    Nothing,
    SameSession,
    OtherSession,
}

/// How long time-critical messages wait, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) messages: usize,
    /// What the longest packet takes.
    pub(super) packet: u64,
    /// From being written to their first transmission: median, 99th percentile, and the longest.
    pub(super) sent: (u64, u64, u64),
    /// The same 99th percentile, of those that no loss held up, and how many a loss did.
    pub(super) sent_undisturbed: u64,
    pub(super) disturbed: usize,
    /// From being written to being read: median and 99th percentile.
    pub(super) read: (u64, u64),
}

/// A message of 200 bytes each 20 ms and 7 µs, so that it comes at any time of a packet's, through the source's uplink.
pub(super) fn latency(path: Path, beside: Beside, seconds: u64) -> Latency {
    let mut network = Network::new(1);
    network.set_default_link(LinkConfig { jitter: Duration::ZERO, ..path.way() });
    let sink = network.add_host("sink", &[SINK.into()], Box::new(Sink::new("sink", 1, THRESHOLD)));
    network.add_host("other", &[OTHER_SINK.into()], Box::new(Sink::new("other", 2, THRESHOLD)));
    let mut source = Source::new("source", 100, THRESHOLD);
    let start = Time::from_millis(1);
    source.add(("sink", at(SINK)), "critical", Load::Critical(200, 20_007), start);
    match beside {
        Beside::Nothing => {}
        Beside::SameSession => source.add(("sink", at(SINK)), "bulk0", path.bulk(), start),
        Beside::OtherSession => source.add(("other", at(OTHER_SINK)), "bulk0", path.bulk(), start),
    }
    let host = network.add_host("source", &[ip(1)], Box::new(source));
    network.set_uplink(host, path.bottleneck());
    network.run_for(WARM_UP + Duration::from_secs(seconds));
    let from = Time::ZERO + WARM_UP;
    let source: &Source = network.peek(host);
    let sink: &Sink = network.peek(sink);
    let waits = source.waits.iter().filter(|wait| wait.at >= from);
    let all = sorted(waits.clone().map(|wait| wait.micros).collect());
    let undisturbed = sorted(waits.clone().filter(|wait| !wait.recovering).map(|wait| wait.micros).collect());
    let read =
        sorted(sink.deliveries.iter().filter(|(at, _)| *at >= from).map(|(_, micros)| *micros).collect());
    Latency {
        messages: all.len(),
        packet: source.longest as u64 * 1_000_000 / path.rate(),
        sent: (percentile(&all, 50), percentile(&all, 99), percentile(&all, 100)),
        sent_undisturbed: percentile(&undisturbed, 99),
        disturbed: all.len() - undisturbed.len(),
        read: (percentile(&read, 50), percentile(&read, 99)),
    }
}
