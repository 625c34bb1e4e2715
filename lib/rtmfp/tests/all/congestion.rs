//! Congestion control: the window, bursts, time-outs, time critical data, marks (RFC 7016 section 3.5.2).

use std::time::Duration;

use crate::common::{Pair, endpoint};
use crate::hand::flows::{Seen, has_data};
use crate::hand::{Fate, Hands};
use rtmfp::{Config, Priority, SendFlowId, SessionConfig};
use rtmfp_base::{Ecn, Time, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig, Loss, Network};

/// Room for more than any window of these tests, and packets that stay as long as they are at first.
fn roomy() -> Config {
    let session =
        SessionConfig { receive_limit: 16 << 20, max_packet: rtmfp::MAX_PACKET, ..SessionConfig::default() };
    Config { receive_capacity: 4 << 20, session, ..Config::default() }
}

/// 10 Mbit/s with a round trip of 20 ms and a queue of one product of the two.
fn bottleneck() -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(10),
        rate: Some(1_250_000),
        queue: 25_000,
        ..LinkConfig::default()
    }
}

/// Keeps some messages waiting in a flow while time passes; answers the bytes that the other end has read in that
/// time. `each_step` is called every 10 ms.
fn bulk(pair: &mut Pair, flow: SendFlowId, seconds: u64, mut each_step: impl FnMut(&mut Pair)) -> usize {
    let read = |pair: &Pair| -> usize {
        let received = pair.peer(pair.b).received.values();
        received.flatten().map(|message| message.bytes.len()).sum()
    };
    let before = read(pair);
    for _ in 0..seconds * 100 {
        let (now, a) = (pair.now(), pair.a);
        let mut sender = pair.node(a).endpoint().send_flow(flow).expect("the flow");
        while sender.unsent() < 100_000 {
            sender.write(now, vec![5; 8000].into(), &WriteOptions::default()).expect("room");
        }
        each_step(pair);
        pair.run(0.01);
    }
    read(pair) - before
}

/// The share of the bottleneck's rate that user data got.
fn share(bytes: usize, seconds: u64) -> f64 {
    bytes as f64 / (1_250_000 * seconds) as f64
}

fn window(pair: &mut Pair) -> usize {
    let (session, a) = (pair.session(pair.a), pair.a);
    pair.node(a).endpoint().session(session).expect("the session").info().window
}

#[test]
fn a_bulk_flow_fills_the_bottleneck_and_its_window_goes_up_and_down() {
    let mut pair = Pair::with(1, bottleneck(), roomy(), roomy());
    let flow = pair.open(b"bulk", Priority::Bulk);
    let (mut least, mut most) = (usize::MAX, 0);
    bulk(&mut pair, flow, 5, |_| {});
    let bytes = bulk(&mut pair, flow, 20, |pair| {
        let window = window(pair);
        (least, most) = (least.min(window), most.max(window));
    });
    let share = share(bytes, 20);
    println!("share {share:.3}, window {least} to {most}");
    assert!(share > 0.85, "{share}");
    assert!(most > 40_000 && least < most * 3 / 4, "{least} to {most}");
    let a = pair.a;
    assert_eq!(pair.node(a).endpoint().stats().timeouts, 0);
    let drops = pair.net.link(pair.a, pair.b).queue_drops;
    let sent = pair.net.link(pair.a, pair.b).sent;
    assert!(drops > 0 && drops * 100 < sent, "{drops} of {sent}");
}

#[test]
fn random_loss_leaves_a_flow_some_of_the_bottleneck() {
    for (loss, least) in [(0.001, 0.80), (0.01, 0.35), (0.05, 0.10)] {
        let link = LinkConfig { loss: Loss::Independent(loss), ..bottleneck() };
        let mut pair = Pair::with(1, link, roomy(), roomy());
        let flow = pair.open(b"bulk", Priority::Bulk);
        bulk(&mut pair, flow, 2, |_| {});
        let share = share(bulk(&mut pair, flow, 20, |_| {}), 20);
        println!("loss {loss}: share {share:.3}");
        assert!(share > least, "loss {loss}: {share}");
    }
}

#[test]
fn marks_keep_the_queue_short_without_any_loss() {
    let link = LinkConfig { queue: 100_000, ce_threshold: Some(25_000), ..bottleneck() };
    let mut pair = Pair::with(1, link, roomy(), roomy());
    let flow = pair.open(b"bulk", Priority::Bulk);
    bulk(&mut pair, flow, 2, |_| {});
    let before = pair.net.link(pair.a, pair.b);
    let share = share(bulk(&mut pair, flow, 20, |_| {}), 20);
    let after = pair.net.link(pair.a, pair.b);
    println!("share {share:.3}, {} marks", after.ce_marked - before.ce_marked);
    assert!(share > 0.85, "{share}");
    assert!(after.ce_marked > before.ce_marked);
    assert_eq!(after.queue_drops, before.queue_drops);
    assert_eq!(after.sent, after.passed, "nothing was lost");
    let a = pair.a;
    assert!(pair.node(a).endpoint().stats().lost_fragments < 200, "but for the start");
}

/// A host `c` that sends to the same receiver over the same downlink.
fn three(link: LinkConfig) -> (Pair, HostId) {
    let mut pair = Pair::with(1, LinkConfig::with_delay(Duration::from_millis(10)), roomy(), roomy());
    pair.net.set_downlink(pair.b, LinkConfig { delay: Duration::ZERO, ..link });
    let c = pair.net.add_host("c", &[[10, 0, 0, 3].into()], crate::common::node("c", 9, roomy()));
    pair.run(0.001);
    (pair, c)
}

#[test]
fn bulk_data_yields_to_time_critical_data_of_another_sender_to_the_same_receiver() {
    let mut got = Vec::new();
    for priority in [Priority::Bulk, Priority::Priority] {
        let (mut pair, c) = three(bottleneck());
        let flow = pair.open(b"a", Priority::Bulk);
        // The other sender's flow, with the priority in question and three fifths of the bottleneck's rate.
        let now = pair.now();
        let other = pair.node(c).endpoint();
        let from_c =
            other.open_flow(now, b"b", crate::hand::flows::spec(b"c", priority), rtmfp_base::Tag(0)).unwrap();
        other.send_flow(from_c).unwrap().add_candidate(now, (crate::common::B, crate::common::PORT).into());
        bulk(&mut pair, flow, 30, |pair| {
            let now = pair.now();
            let mut sender = pair.node(c).endpoint().send_flow(from_c).unwrap();
            sender.write(now, vec![1; 7500].into(), &WriteOptions::default()).unwrap();
        });
        let peer = pair.peer(pair.b);
        let of = |metadata: &[u8]| peer.messages(metadata).iter().map(Vec::len).sum::<usize>();
        println!("{priority:?}: a {:.3}, c {:.3}", share(of(b"a"), 30), share(of(b"c"), 30));
        got.push((of(b"a"), of(b"c")));
    }
    let [(bulk_a, _), (yielding_a, critical_c)] = got[..] else { panic!() };
    assert!(yielding_a < bulk_a * 19 / 20, "{got:?}");
    assert!(critical_c > 30 * 100 * 7500 * 97 / 100, "the other gets what it wants: {got:?}");
}

fn open_hands(millis: u64) -> (Hands, SendFlowId) {
    let mut hands = Hands::new(endpoint("a", 1, roomy()), endpoint("b", 2, roomy()));
    let delay = Duration::from_millis(millis);
    hands.network = Box::new(move |_, _| Fate::After(delay));
    let flow = hands.open(b"flow", Priority::Bulk);
    hands.write(flow, 10);
    hands.run_millis(3000);
    (hands, flow)
}

/// How many data packets `a` sent at each time.
fn bursts(hands: &Hands) -> Vec<usize> {
    let data = hands.packets(0).into_iter().filter(|(.., seen)| has_data(seen));
    let times: Vec<Time> = data.map(|(at, ..)| at).collect();
    times.chunk_by(|a, b| a == b).map(<[Time]>::len).collect()
}

#[test]
fn no_more_than_six_packets_follow_an_acknowledgement_at_once_and_the_rest_is_paced() {
    let (mut hands, flow) = open_hands(50);
    // A large window, from bulk data before.
    for _ in 0..400 {
        hands.write(flow, 1000);
    }
    let session = hands.session(0);
    while hands.ends[0].send_flow(flow).expect("the flow").buffered() > 0 {
        hands.run_millis(10);
    }
    let window = hands.ends[0].session(session).expect("one").info().window;
    assert!(window > 40_000, "{window}");
    hands.sent.clear();
    let start = hands.now;
    for _ in 0..30 {
        hands.write(flow, 1000);
    }
    hands.run_millis(99);
    let window = hands.ends[0].session(session).expect("one").info().window;
    let packets = hands.packets(0).into_iter().filter(|(.., seen)| has_data(seen));
    let at: Vec<u64> = packets.map(|(at, ..)| at.since(start).as_micros() as u64).collect();
    let at_once = at.iter().filter(|at| **at == 0).count();
    assert!((6..=7).contains(&at_once), "{at:?}");
    // A segment for each segment's share of the round trip of 100 ms.
    let pace = 100_000.0 * 1010.0 / window as f64;
    let paced = &at[at_once..];
    let mean = (paced[paced.len() - 1] - paced[0]) as f64 / (paced.len() - 1) as f64;
    assert!((mean / pace - 1.0).abs() < 0.2, "{mean} µs, not {pace}: {at:?}");
    assert!(paced.windows(3).all(|three| three[2] > three[0]), "{at:?}");
    assert!(at.len() > 12, "{at:?}");
    // And while acknowledgements come back: no large bursts.
    hands.sent.clear();
    for _ in 0..400 {
        hands.write(flow, 1000);
    }
    hands.run_millis(2000);
    let bursts = bursts(&hands);
    // The allowance is counted in bytes, of segments a little larger than these.
    assert!(bursts.len() > 30 && bursts.iter().all(|burst| *burst <= 7), "{bursts:?}");
}

#[test]
fn time_outs_come_ever_later_and_send_two_segments_at_most() {
    let (mut hands, flow) = open_hands(20);
    hands.network = Box::new(|_, _| Fate::Lost);
    hands.sent.clear();
    let start = hands.now;
    // Cut into full segments.
    for _ in 0..20 {
        hands.write(flow, 8000);
    }
    hands.run(Duration::from_secs(60));
    let packets = hands.packets(0).into_iter().filter(|(.., seen)| has_data(seen));
    let mut at: Vec<f64> = packets.map(|(at, ..)| at.since(start).as_secs_f64()).collect();
    let first = at.iter().filter(|at| **at < 0.2).count();
    assert!((3..=5).contains(&first), "{at:?}");
    at.drain(..first - 1);
    let at_once = at.chunk_by(|a, b| a == b).map(<[f64]>::len).max();
    assert_eq!(at_once, Some(2), "{at:?}");
    at.dedup();
    let gaps: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((0.25..0.5).contains(&gaps[0]), "{gaps:?}");
    for pair in gaps.windows(2) {
        let expected = (pair[0] * core::f64::consts::SQRT_2).min(10.0);
        assert!((pair[1] / expected - 1.0).abs() < 0.05, "{gaps:?}");
    }
    assert!(gaps.last().is_some_and(|gap| (9.9..10.1).contains(gap)), "{gaps:?}");
    // When the path is back it is found with the next one, and the queue is worked off.
    hands.network = Box::new(|_, _| Fate::After(Duration::from_millis(20)));
    hands.run(Duration::from_secs(15));
    assert_eq!(hands.received[1].values().map(Vec::len).sum::<usize>(), 21);
}

#[test]
fn a_reaction_to_marks_comes_once_for_each_round_trip() {
    let (mut hands, flow) = open_hands(20);
    for _ in 0..1000 {
        hands.write(flow, 1000);
    }
    hands.run_millis(400);
    let session = hands.session(0);
    let window = |hands: &mut Hands| hands.ends[0].session(session).expect("one").info().window;
    let before = window(&mut hands);
    assert!(before > 20_000, "{before}");
    // Every packet of one round trip is marked.
    let from = hands.now;
    hands.marks = Box::new(move |at, ecn| {
        let marked = ecn == Ecn::Ect0 && at >= from && at < from + Duration::from_millis(40);
        if marked { Ecn::Ce } else { ecn }
    });
    hands.run_millis(85);
    let after = window(&mut hands);
    assert!(after >= before / 2 - 2000 && after < before * 3 / 4, "{before} to {after}");
    let reports = hands.packets(1).into_iter().flat_map(|(.., seen)| seen);
    let counts = reports.filter_map(|chunk| match chunk {
        Seen::Ecn { count } => Some(count),
        _ => None,
    });
    assert!(counts.max().expect("reports") > 5);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let link = LinkConfig { loss: Loss::Independent(0.02), ..bottleneck() };
        let mut pair = Pair::with(5, link, roomy(), roomy());
        let flow = pair.open(b"bulk", Priority::Bulk);
        bulk(&mut pair, flow, 3, |_| {});
        Network::trace_hash(&pair.net)
    };
    assert_eq!(run(), run());
}
