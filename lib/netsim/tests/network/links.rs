use std::collections::BTreeSet;
use std::time::Duration;

use rtmfp_base::{Ecn, Time};
use rtmfp_netsim::{Bursts, LinkConfig, LinkCounters, Loss, Network, Reorder};

use crate::services::{Probe, SOCKET, address, ip, pair, probe};

const MILLI: Duration = Duration::from_millis(1);

/// What came out of a link.
struct Run {
    /// When, which, how long, marked how.
    arrived: Vec<(Time, u32, usize, Ecn)>,
    /// Whole datagrams, for damage.
    bytes: Vec<Vec<u8>>,
    counters: LinkCounters,
}

impl Run {
    fn numbers(&self) -> Vec<u32> {
        self.arrived.iter().map(|(_, number, ..)| *number).collect()
    }
}

/// Sends `count` numbered datagrams of `len` bytes over a link, one each `gap`.
fn run(seed: u64, config: LinkConfig, count: u32, len: usize, gap: Duration) -> Run {
    let mut network = Network::new(seed);
    let (a, b) = pair(&mut network);
    network.set_link(a, b, config);
    for number in 0..count {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(len.max(4), 0);
        probe(&mut network, a).out.push_back((SOCKET, None, address(2), Ecn::Ect0, bytes));
        network.run_for(gap);
    }
    assert!(network.run_until_idle(Duration::from_secs(3600)));
    let counters = network.link(a, b);
    let drops = counters.lost + counters.queue_drops + counters.mtu_drops + counters.blocked;
    assert_eq!(counters.sent, u64::from(count));
    assert_eq!(counters.sent + counters.duplicated, counters.passed + drops, "{counters:?}");
    let service = network.peek::<Probe>(b);
    let number = |bytes: &[u8]| bytes.first_chunk().map_or(u32::MAX, |first| u32::from_be_bytes(*first));
    Run {
        arrived: service.datagrams().map(|(at, m, bytes)| (at, number(bytes), bytes.len(), m.ecn)).collect(),
        bytes: service.datagrams().map(|(_, _, bytes)| bytes.to_vec()).collect(),
        counters,
    }
}

#[test]
fn a_perfect_link_delivers_all_in_order_at_once() {
    let run = run(1, LinkConfig::default(), 100, 4, MILLI);
    assert_eq!(run.numbers(), (0..100).collect::<Vec<_>>());
    assert!(run.arrived.iter().all(|(at, number, ..)| *at == Time::from_millis(u64::from(*number))));
}

#[test]
fn independent_loss_takes_its_share() {
    for (seed, share) in [(1, 0.01), (2, 0.2), (3, 0.5)] {
        let config = LinkConfig { loss: Loss::Independent(share), ..LinkConfig::default() };
        let run = run(seed, config, 20_000, 4, MILLI);
        let lost = run.counters.lost as f64 / 20_000.0;
        assert!((lost - share).abs() < 0.01, "{lost} lost instead of {share}");
        assert_eq!(run.arrived.len() as u64, 20_000 - run.counters.lost);
    }
    let all = LinkConfig { loss: Loss::Independent(1.0), ..LinkConfig::default() };
    assert_eq!(run(4, all, 100, 4, MILLI).arrived.len(), 0);
}

#[test]
fn bursts_lose_their_share_in_runs_of_their_length() {
    let config = LinkConfig { loss: Loss::Bursts(Bursts::new(0.1, 8.0)), ..LinkConfig::default() };
    let run = run(5, config, 50_000, 4, MILLI);
    let share = run.counters.lost as f64 / 50_000.0;
    let numbers = run.numbers();
    let gaps = numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
    let length = run.counters.lost as f64 / gaps as f64;
    assert!((share - 0.1).abs() < 0.015, "{share}");
    assert!((length - 8.0).abs() < 0.8, "{length}");
}

#[test]
fn jitter_delays_at_random_but_keeps_the_order() {
    let jitter = Duration::from_millis(20);
    let config = LinkConfig { jitter, ..LinkConfig::with_delay(Duration::from_millis(50)) };
    let run = run(6, config, 1000, 4, MILLI);
    assert_eq!(run.numbers(), (0..1000).collect::<Vec<_>>());
    let delays: BTreeSet<_> =
        run.arrived.iter().map(|(at, n, ..)| *at - Time::from_millis(u64::from(*n))).collect();
    let bounds = (*delays.first().expect("some"), *delays.last().expect("some"));
    assert!(bounds.0 >= Duration::from_millis(50) && bounds.1 <= Duration::from_millis(70), "{bounds:?}");
    assert!(delays.len() > 100, "{}", delays.len());
}

#[test]
fn reordered_datagrams_are_overtaken_by_those_of_the_extra_time() {
    let reorder = Reorder { probability: 0.1, extra: Duration::from_millis(5) };
    let config = LinkConfig { reorder, ..LinkConfig::with_delay(Duration::from_millis(10)) };
    let run = run(7, config, 2000, 4, MILLI);
    let late: Vec<_> = run
        .arrived
        .iter()
        .filter(|(at, n, ..)| *at - Time::from_millis(u64::from(*n)) == Duration::from_millis(15))
        .collect();
    assert_eq!(late.len() as u64, run.counters.reordered);
    assert!((150..250).contains(&late.len()), "{}", late.len());
    let numbers = run.numbers();
    assert!(!numbers.is_sorted());
    let mut sorted = numbers;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..2000).collect::<Vec<_>>());
}

#[test]
fn duplicates_arrive_twice_and_are_counted() {
    let config = LinkConfig { duplicate: 0.25, ..LinkConfig::default() };
    let run = run(8, config, 4000, 4, MILLI);
    assert_eq!(run.arrived.len() as u64, 4000 + run.counters.duplicated);
    assert!((900..1100).contains(&run.counters.duplicated), "{}", run.counters.duplicated);
    let mut numbers = run.numbers();
    numbers.dedup();
    assert_eq!(numbers.len(), 4000);
}

#[test]
fn a_rate_spaces_datagrams_and_an_idle_link_is_free_at_once() {
    let config = LinkConfig { rate: Some(100_000), ..LinkConfig::with_delay(MILLI) };
    // 1000 bytes take 10 ms; one each 4 ms piles up, one each 20 ms does not.
    let piled = run(9, config, 100, 1000, Duration::from_millis(4));
    let expected: Vec<_> = (1..=100).map(|n| Time::from_millis(n * 10 + 1)).collect();
    assert_eq!(piled.arrived.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), expected);
    let idle = run(9, config, 100, 1000, Duration::from_millis(20));
    let expected: Vec<_> = (0..100).map(|n| Time::from_millis(n * 20 + 11)).collect();
    assert_eq!(idle.arrived.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), expected);
}

#[test]
fn small_datagrams_on_a_fast_link_add_up() {
    // 100 bytes take 0.1 microseconds.
    let config = LinkConfig { rate: Some(1_000_000_000), ..LinkConfig::default() };
    let run = run(9, config, 10_000, 100, Duration::ZERO);
    assert_eq!(run.arrived.last().map(|(at, ..)| *at), Some(Time::from_millis(1)));
}

#[test]
fn a_full_queue_drops_what_comes_and_marks_before_that() {
    let config =
        LinkConfig { rate: Some(10_000), queue: 10_000, ce_threshold: Some(5000), ..LinkConfig::default() };
    let run = run(10, config, 30, 1000, Duration::ZERO);
    // All at once: ten fit, from the sixth on 5000 bytes are waiting.
    assert_eq!(run.numbers(), (0..10).collect::<Vec<_>>());
    assert_eq!((run.counters.queue_drops, run.counters.ce_marked), (20, 5));
    let marks: Vec<_> = run.arrived.iter().map(|(.., ecn)| *ecn == Ecn::Ce).collect();
    assert_eq!(marks, [[false; 5], [true; 5]].concat());
}

#[test]
fn what_is_not_capable_of_ecn_is_not_marked() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.set_link(a, b, LinkConfig { ce_threshold: Some(0), ..LinkConfig::default() });
    for ecn in [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce] {
        probe(&mut network, a).out.push_back((SOCKET, None, address(2), ecn, vec![0]));
    }
    network.run_for(MILLI);
    let marks: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, meta, _)| meta.ecn).collect();
    assert_eq!(marks, [Ecn::NotEct, Ecn::Ce, Ecn::Ce, Ecn::Ce]);
    assert_eq!(network.link(a, b).ce_marked, 2);
}

#[test]
fn the_longest_payload_passes_and_longer_ones_vanish() {
    let config = LinkConfig { mtu: Some(1200), ..LinkConfig::default() };
    assert_eq!(run(11, config, 5, 1200, MILLI).arrived.len(), 5);
    let dropped = run(11, config, 5, 1201, MILLI);
    assert_eq!((dropped.arrived.len(), dropped.counters.mtu_drops), (0, 5));
}

#[test]
fn corruption_changes_bytes_and_truncation_the_length() {
    let config = LinkConfig { corrupt: 0.3, ..LinkConfig::default() };
    let corrupted = run(12, config, 2000, 50, MILLI);
    let expected = |n: usize| [&(n as u32).to_be_bytes()[..], &[0; 46]].concat();
    let changes = corrupted.bytes.iter().enumerate().map(|(n, bytes)| {
        assert_eq!(bytes.len(), 50);
        bytes.iter().zip(expected(n)).filter(|(got, sent)| **got != *sent).count()
    });
    let changes: Vec<_> = changes.filter(|count| *count > 0).collect();
    assert!(changes.iter().all(|count| (1..=4).contains(count)));
    assert_eq!(changes.len() as u64, corrupted.counters.corrupted);
    assert!((500..700).contains(&changes.len()), "{}", changes.len());

    let config = LinkConfig { truncate: 0.3, ..LinkConfig::default() };
    let truncated = run(13, config, 2000, 50, MILLI);
    let shorter = truncated.bytes.iter().filter(|bytes| bytes.len() < 50).count();
    assert_eq!(shorter as u64, truncated.counters.truncated);
    assert!((500..700).contains(&shorter), "{shorter}");
    assert!(truncated.bytes.iter().all(|bytes| bytes.len() <= 50));
}

#[test]
fn directions_differ_and_links_change_while_running() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.set_link(a, b, LinkConfig::with_delay(Duration::from_millis(10)));
    network.set_link(b, a, LinkConfig::with_delay(Duration::from_millis(70)));
    probe(&mut network, a).send(address(2), b"1");
    probe(&mut network, b).send(address(1), b"2");
    network.run_for(Duration::from_millis(5));
    network.set_link(a, b, LinkConfig::with_delay(MILLI));
    probe(&mut network, a).send(address(2), b"3");
    network.run_for(Duration::from_secs(1));
    let arrived = |host| -> Vec<_> {
        network.peek::<Probe>(host).datagrams().map(|(at, _, bytes)| (at, bytes.to_vec())).collect()
    };
    // A shorter way lets the later one overtake.
    let expected = [(Time::from_millis(6), b"3".to_vec()), (Time::from_millis(10), b"1".to_vec())];
    assert_eq!(arrived(b), expected);
    assert_eq!(arrived(a), [(Time::from_millis(70), b"2".to_vec())]);
}

#[test]
fn the_default_holds_for_all_links_without_a_configuration_of_their_own() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    let c = network.add_host("c", &[ip(3)], Box::new(Probe::open()));
    network.set_link(a, b, LinkConfig::with_delay(Duration::from_millis(2)));
    network.block(a, c);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(9)));
    network.unblock(a, c);
    let service = probe(&mut network, a);
    service.send(address(2), b"x");
    service.send(address(3), b"x");
    network.run_for(Duration::from_secs(1));
    let at = |host| network.peek::<Probe>(host).datagrams().map(|(at, ..)| at).collect::<Vec<_>>();
    assert_eq!((at(b), at(c)), (vec![Time::from_millis(2)], vec![Time::from_millis(9)]));
}

#[test]
fn a_partition_loses_datagrams_until_it_is_healed() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    probe(&mut network, a).send(address(2), b"on its way");
    network.run_for(MILLI);
    network.partition(a, b);
    probe(&mut network, a).send(address(2), b"lost");
    probe(&mut network, b).send(address(1), b"lost");
    network.run_for(Duration::from_secs(1));
    network.heal(a, b);
    probe(&mut network, a).send(address(2), b"after");
    network.run_for(Duration::from_secs(1));
    let got: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, _, bytes)| bytes.to_vec()).collect();
    assert_eq!(got, [b"on its way".to_vec(), b"after".to_vec()]);
    assert_eq!((network.link(a, b).blocked, network.link(b, a).blocked), (1, 1));
}

#[test]
fn an_uplink_and_a_downlink_are_shared_by_all_peers() {
    // 1000 bytes take 10 ms on the shared link, whoever sends or receives them.
    let shared = LinkConfig { rate: Some(100_000), ..LinkConfig::default() };
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    let c = network.add_host("c", &[ip(3)], Box::new(Probe::open()));
    network.set_uplink(a, shared);
    for n in [2, 3, 2, 3] {
        probe(&mut network, a).send(address(n), &[0; 1000]);
    }
    network.run_for(Duration::from_secs(1));
    let at = |network: &Network, host| -> Vec<_> {
        network.peek::<Probe>(host).datagrams().map(|(at, ..)| at.as_micros() / 1000).collect()
    };
    assert_eq!((at(&network, b), at(&network, c)), (vec![10, 30], vec![20, 40]));
    assert_eq!(network.uplink(a).passed, 4);

    // The farther host's datagrams do not hold up those that come to the downlink before them.
    network.set_downlink(a, shared);
    network.set_link(b, a, LinkConfig::with_delay(Duration::from_millis(500)));
    probe(&mut network, b).send(address(1), &[0; 1000]);
    probe(&mut network, c).send(address(1), &[0; 1000]);
    network.run_for(MILLI * 4);
    assert_eq!((network.downlink_queue(a), network.downlink_queue(b)), (MILLI * 6, Duration::ZERO));
    network.run_for(Duration::from_secs(1));
    let from: Vec<_> = network.peek::<Probe>(a).datagrams().map(|(at, meta, _)| (at, meta.from)).collect();
    assert_eq!(from, [(Time::from_millis(1010), address(3)), (Time::from_millis(1510), address(2))]);
}

#[test]
fn dice_of_one_link_do_not_depend_on_the_traffic_of_another() {
    let lossy = LinkConfig { loss: Loss::Independent(0.5), ..LinkConfig::default() };
    let survivors = |noise: bool| -> Vec<Vec<u8>> {
        let mut network = Network::new(5);
        let (a, b) = pair(&mut network);
        network.add_host("c", &[ip(3)], Box::new(Probe::open()));
        network.set_default_link(lossy);
        for number in 0..100 {
            probe(&mut network, a).send(address(2), &[number]);
            if noise {
                probe(&mut network, a).send(address(3), &[number]);
            }
            network.run_for(MILLI);
        }
        network.peek::<Probe>(b).datagrams().map(|(_, _, bytes)| bytes.to_vec()).collect()
    };
    assert_eq!(survivors(false), survivors(true));
}

#[test]
#[should_panic(expected = "is no probability")]
fn a_probability_above_one_is_refused() {
    Network::new(1).set_default_link(LinkConfig { duplicate: 1.5, ..LinkConfig::default() });
}

#[test]
fn a_bleaching_link_clears_marks_before_it_could_set_one() {
    let config = LinkConfig { bleach_ecn: true, ce_threshold: Some(0), ..LinkConfig::default() };
    let run = run(1, config, 10, 50, MILLI);
    assert!(run.arrived.iter().all(|(.., ecn)| *ecn == Ecn::NotEct));
    assert_eq!((run.counters.bleached, run.counters.ce_marked), (10, 0));
}

#[test]
fn bursts_and_jitter_are_counted() {
    let bursts = LinkConfig { loss: Loss::Bursts(Bursts::new(0.2, 5.0)), ..LinkConfig::default() };
    let lossy = run(2, bursts, 5000, 50, MILLI);
    let length = lossy.counters.lost as f64 / lossy.counters.bursts as f64;
    assert!((length - 5.0).abs() < 0.8, "{length}");
    let jittery = run(3, LinkConfig { jitter: MILLI, ..LinkConfig::default() }, 100, 50, MILLI * 10);
    let late = |(at, number, ..): &&(Time, u32, usize, Ecn)| *at > Time::from_millis(u64::from(*number) * 10);
    assert_eq!(jittery.arrived.iter().filter(late).count() as u64, jittery.counters.jittered);
    assert!(jittery.counters.jittered > 90);
}
