use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, ListenerId, StreamId, Time};
use rtmfp_netsim::{Config, Dice, HostId, LinkConfig, Loss, Network, StreamConfig, for_each_seed};

use crate::services::{Probe, Seen, ip, probe};

const SECOND: Duration = Duration::from_secs(1);
const LISTENER: ListenerId = ListenerId(1);
const OUT: StreamId = StreamId::opened(1);
const IN: StreamId = StreamId::accepted(0);

fn server_address() -> SocketAddr {
    SocketAddr::new(ip(2), 1935)
}

fn reset() -> Option<String> {
    Some("connection reset by peer".to_owned())
}

fn timed_out() -> Option<String> {
    Some("connection timed out".to_owned())
}

/// A client `a` and a server `b` that listens, with 10 ms between them.
fn network(config: Config, server: Probe) -> (Network, HostId, HostId) {
    let mut network = Network::with_config(1, config);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    let a = network.add_host("a", &[ip(1)], Box::new(Probe::default()));
    let b = network.add_host("b", &[ip(2)], Box::new(server));
    let address = SocketAddr::from(([0, 0, 0, 0], 1935));
    probe(&mut network, b).actions.push_back(Action::Listen { listener: LISTENER, address });
    network.run_for(Duration::ZERO);
    (network, a, b)
}

fn connect(network: &mut Network, a: HostId) {
    let connect = Action::Connect { stream: OUT, to: server_address(), dscp: 0 };
    probe(network, a).actions.push_back(connect);
}

fn act(network: &mut Network, host: HostId, action: Action) {
    probe(network, host).actions.push_back(action);
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251) as u8).collect()
}

#[test]
fn an_echo_over_a_stream_ends_in_order_on_both_sides() {
    let (mut network, a, b) = network(Config::default(), Probe { echo: true, ..Probe::default() });
    connect(&mut network, a);
    let bytes = pattern(100_000);
    probe(&mut network, a).write(OUT, &bytes);
    assert!(network.run_until_idle(Duration::from_secs(30)));
    assert!(network.peek::<Probe>(a).received(OUT) == bytes);
    let finished_at = network.now();
    act(&mut network, a, Action::Finish { stream: OUT });
    assert!(network.run_until_idle(Duration::from_secs(30)));
    let (client, server) = (network.peek::<Probe>(a), network.peek::<Probe>(b));
    assert!(server.seen.contains(&(Time::ZERO, Seen::ListenReady(LISTENER, Ok(([0; 4], 1935).into())))));
    let peer = SocketAddr::new(ip(1), 49_152);
    assert_eq!(server.when(&Seen::Accepted(LISTENER, IN, peer)), Some(Time::from_millis(10)));
    let connected = Seen::Connected(OUT, server_address());
    assert_eq!(client.when(&connected), Some(Time::from_millis(20)));
    // The end travels to the server, which finishes at once, and back.
    let there = finished_at + Duration::from_millis(10);
    assert_eq!(server.when(&Seen::EndOfStream(IN)), Some(there));
    assert_eq!(server.when(&Seen::Closed(IN, None)), Some(there));
    assert_eq!(client.when(&Seen::Closed(OUT, None)), Some(there + Duration::from_millis(10)));
    assert!(!client.saw(&Seen::EndOfStream(OUT)));
}

#[test]
fn a_stream_whose_writing_has_ended_is_read_on_until_it_is_finished() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    probe(&mut network, a).write(OUT, b"question");
    act(&mut network, a, Action::EndWrite { stream: OUT });
    network.run_for(SECOND);
    let server = network.peek::<Probe>(b);
    assert_eq!(server.received(IN), b"question");
    assert!(server.saw(&Seen::EndOfStream(IN)));
    let answer = pattern(100_000);
    probe(&mut network, b).write(IN, &answer);
    act(&mut network, b, Action::EndWrite { stream: IN });
    network.run_for(SECOND);
    let client = network.peek::<Probe>(a);
    assert!(client.received(OUT) == answer);
    assert!(client.saw(&Seen::EndOfStream(OUT)));
    network.run_for(SECOND);
    for (host, stream) in [(a, OUT), (b, IN)] {
        assert!(!network.peek::<Probe>(host).saw(&Seen::Closed(stream, None)));
        act(&mut network, host, Action::Finish { stream });
    }
    assert!(network.run_until_idle(SECOND));
    for (host, stream) in [(a, OUT), (b, IN)] {
        assert!(network.peek::<Probe>(host).saw(&Seen::Closed(stream, None)));
    }
}

#[test]
fn a_finished_stream_drops_what_arrives_and_waits_a_while_for_the_other_end() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).saw(&Seen::EndOfStream(IN)));
    // The other direction still works, but leads nowhere.
    probe(&mut network, b).write(IN, &pattern(100_000));
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).writes[&IN].is_empty());
    assert_eq!(network.peek::<Probe>(a).received(OUT), []);
    assert!(!network.peek::<Probe>(a).saw(&Seen::Closed(OUT, None)));
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.peek::<Probe>(a).when(&Seen::Closed(OUT, None)), Some(Time::from_secs(6)));
    // Whoever writes to a stream that the other end has left for good learns of it.
    probe(&mut network, b).write(IN, b"anybody there?");
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).saw(&Seen::Closed(IN, reset())));
}

#[test]
fn a_stream_that_cannot_get_rid_of_its_bytes_is_reset_in_the_end() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    act(&mut network, b, Action::PauseRead { stream: IN, paused: true });
    network.run_for(SECOND);
    probe(&mut network, a).write(OUT, &pattern(1_000_000));
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(Duration::from_secs(60));
    let error = Some("the other end did not take all before the stream was closed".to_owned());
    assert_eq!(network.peek::<Probe>(a).when(&Seen::Closed(OUT, error)), Some(Time::from_secs(32)));
    assert!(network.peek::<Probe>(b).saw(&Seen::Closed(IN, reset())));
}

#[test]
fn what_is_written_before_the_connection_stands_follows_it() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    probe(&mut network, a).write(OUT, b"early");
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(SECOND);
    let server = network.peek::<Probe>(b);
    assert_eq!(server.received(IN), b"early");
    assert_eq!(server.when(&Seen::EndOfStream(IN)), Some(Time::from_millis(30)));
}

#[test]
fn a_rate_holds_for_streams_and_loss_does_not_touch_them() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    let config = LinkConfig {
        rate: Some(50_000),
        queue: 1000,
        mtu: Some(100),
        loss: Loss::Independent(0.9),
        ..LinkConfig::with_delay(Duration::from_millis(10))
    };
    network.set_link(a, b, config);
    connect(&mut network, a);
    let bytes = pattern(200_000);
    probe(&mut network, a).write(OUT, &bytes);
    network.run_for(Duration::from_secs(2));
    let half = network.peek::<Probe>(b).received(IN).len();
    assert!((95_000..=100_000).contains(&half), "{half} bytes in two seconds");
    network.run_for(Duration::from_secs(3));
    assert!(network.peek::<Probe>(b).received(IN) == bytes);
}

#[test]
fn a_service_keeps_what_the_send_buffer_does_not_take() {
    let streams = StreamConfig { send_buffer: 10_000, receive_buffer: 1 << 20, ..StreamConfig::default() };
    let (mut network, a, b) = network(Config { streams, ..Config::default() }, Probe::default());
    let slow = LinkConfig { rate: Some(10_000), ..LinkConfig::with_delay(Duration::from_millis(10)) };
    network.set_link(a, b, slow);
    connect(&mut network, a);
    probe(&mut network, a).write(OUT, &pattern(50_000));
    for _ in 0..40 {
        network.run_for(Duration::from_millis(100));
        let arrived = network.peek::<Probe>(b).received(IN).len();
        let kept = network.peek::<Probe>(a).writes[&OUT].len();
        let taken = 50_000 - kept - arrived;
        assert!(taken <= 10_000, "{taken} bytes between the services");
    }
    assert!(!network.peek::<Probe>(a).writes[&OUT].is_empty());
    network.run_for(Duration::from_secs(2));
    assert!(network.peek::<Probe>(b).received(IN) == pattern(50_000));
}

#[test]
fn a_reader_that_pauses_holds_the_writer_up() {
    let streams = StreamConfig { send_buffer: 10_000, receive_buffer: 20_000, ..StreamConfig::default() };
    let (mut network, a, b) = network(Config { streams, ..Config::default() }, Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    act(&mut network, b, Action::PauseRead { stream: IN, paused: true });
    network.run_for(SECOND);
    let bytes = pattern(100_000);
    probe(&mut network, a).write(OUT, &bytes);
    // Far longer than the time-out: a peer that does not read still answers.
    network.run_for(Duration::from_secs(300));
    assert_eq!(network.peek::<Probe>(b).received(IN).len(), 0);
    assert_eq!(network.peek::<Probe>(a).writes[&OUT].len(), 70_000);
    act(&mut network, b, Action::PauseRead { stream: IN, paused: false });
    network.run_for(Duration::from_millis(15));
    act(&mut network, b, Action::PauseRead { stream: IN, paused: true });
    network.run_for(SECOND);
    let some = network.peek::<Probe>(b).received(IN).len();
    assert!((20_000..100_000).contains(&some), "{some}");
    act(&mut network, b, Action::PauseRead { stream: IN, paused: false });
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).received(IN) == bytes);
}

#[test]
fn a_reader_that_pauses_learns_of_the_end_after_the_rest() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    act(&mut network, b, Action::PauseRead { stream: IN, paused: true });
    probe(&mut network, a).write(OUT, b"the rest");
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(SECOND);
    assert_eq!(network.peek::<Probe>(b).seen.len(), 2);
    act(&mut network, b, Action::PauseRead { stream: IN, paused: false });
    network.run_for(SECOND);
    let expected = [Seen::Data(IN, b"the rest".to_vec()), Seen::EndOfStream(IN)];
    let seen = network.peek::<Probe>(b).seen[2..].iter().map(|(_, seen)| seen.clone());
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn connecting_to_a_port_without_listener_is_refused() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    act(&mut network, b, Action::CloseListener { listener: LISTENER });
    network.run_for(Duration::ZERO);
    connect(&mut network, a);
    network.run_for(SECOND);
    let refused = Seen::Closed(OUT, Some("connection refused".to_owned()));
    assert_eq!(network.peek::<Probe>(a).when(&refused), Some(Time::from_millis(20)));
    // Its number is free.
    connect(&mut network, a);
    network.run_for(SECOND);
    assert_eq!(network.peek::<Probe>(a).seen.len(), 2);
}

#[test]
fn connecting_to_nobody_times_out() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    network.vanish(b);
    connect(&mut network, a);
    let nobody = SocketAddr::new(ip(99), 1);
    act(&mut network, a, Action::Connect { stream: StreamId::opened(2), to: nobody, dscp: 0 });
    let six = "[fd00::1]:1".parse().expect("address");
    act(&mut network, a, Action::Connect { stream: StreamId::opened(3), to: six, dscp: 0 });
    assert!(network.run_until_idle(Duration::from_secs(100)));
    let client = network.peek::<Probe>(a);
    let error = || Some("connecting timed out".to_owned());
    for stream in [OUT, StreamId::opened(2)] {
        assert_eq!(client.when(&Seen::Closed(stream, error())), Some(Time::from_secs(10)));
    }
    let unreachable = Some("network is unreachable".to_owned());
    assert_eq!(client.when(&Seen::Closed(StreamId::opened(3), unreachable)), Some(Time::ZERO));
}

#[test]
fn an_aborted_stream_resets_the_other_end_and_says_nothing_here() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    act(&mut network, a, Action::Abort { stream: OUT });
    // Actions on a stream that is gone do nothing.
    act(&mut network, a, Action::WantWrite { stream: OUT });
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).saw(&Seen::Closed(IN, reset())));
    assert_eq!(network.peek::<Probe>(a).seen.len(), 1);
}

#[test]
fn the_peer_of_a_host_that_vanished_notices_after_a_while_or_only_when_it_writes() {
    for keep_alive in [true, false] {
        let streams = StreamConfig { keep_alive, ..StreamConfig::default() };
        let (mut network, a, b) = network(Config { streams, ..Config::default() }, Probe::default());
        connect(&mut network, a);
        network.run_for(SECOND);
        network.vanish(b);
        network.run_for(Duration::from_secs(100));
        let at = network.peek::<Probe>(a).when(&Seen::Closed(OUT, timed_out()));
        assert_eq!(at, keep_alive.then(|| Time::from_secs(31)));
        if !keep_alive {
            probe(&mut network, a).write(OUT, b"hello?");
            network.run_for(Duration::from_secs(40));
            let at = network.peek::<Probe>(a).when(&Seen::Closed(OUT, timed_out()));
            assert_eq!(at, Some(Time::from_secs(131)));
        }
    }
}

#[test]
fn a_restarted_host_resets_the_streams_of_its_former_life() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    network.vanish(b);
    probe(&mut network, a).write(OUT, b"into the dark");
    network.run_for(SECOND);
    network.restart(b, Box::new(Probe::default()));
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(a).saw(&Seen::Closed(OUT, reset())));
    assert_eq!(network.peek::<Probe>(b).seen, [], "the new service knows nothing of it");
    connect(&mut network, a);
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(a).saw(&Seen::Closed(OUT, Some("connection refused".to_owned()))));
}

#[test]
fn a_probe_finds_out_that_the_other_end_has_restarted() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    network.restart(b, Box::new(Probe::default()));
    network.run_for(Duration::from_secs(60));
    let at = network.peek::<Probe>(a).when(&Seen::Closed(OUT, reset()));
    assert_eq!(at, Some(Time::from_millis(11_020)));
}

#[test]
fn a_partition_stops_streams_and_healing_it_loses_nothing() {
    let (mut network, a, b) = network(Config::default(), Probe { echo: true, ..Probe::default() });
    connect(&mut network, a);
    let bytes = pattern(300_000);
    probe(&mut network, a).write(OUT, &bytes);
    network.run_for(Duration::from_millis(25));
    network.partition(a, b);
    network.run_for(Duration::from_secs(20));
    let some = network.peek::<Probe>(b).received(IN).len();
    assert!(some < 300_000);
    network.heal(a, b);
    network.run_for(Duration::from_secs(5));
    assert!(network.peek::<Probe>(b).received(IN) == bytes);
    assert!(network.peek::<Probe>(a).received(OUT) == bytes);
}

#[test]
fn a_partition_that_lasts_ends_the_streams_that_wait() {
    let streams = StreamConfig { keep_alive: false, ..StreamConfig::default() };
    let (mut network, a, b) = network(Config { streams, ..Config::default() }, Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    network.partition(a, b);
    probe(&mut network, a).write(OUT, b"x");
    network.run_for(Duration::from_secs(100));
    assert!(network.peek::<Probe>(a).saw(&Seen::Closed(OUT, timed_out())));
    network.heal(a, b);
    network.run_for(Duration::from_secs(100));
    // Nobody repeats the byte any more; the server's end stays half open until it writes.
    assert_eq!(network.peek::<Probe>(b).received(IN), []);
    probe(&mut network, b).write(IN, b"y");
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).saw(&Seen::Closed(IN, reset())));
}

#[test]
fn a_shorter_delay_does_not_change_the_order_of_a_stream() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    connect(&mut network, a);
    network.run_for(SECOND);
    network.set_link(a, b, LinkConfig::with_delay(Duration::from_millis(500)));
    probe(&mut network, a).write(OUT, b"first ");
    network.run_for(Duration::from_millis(1));
    network.set_link(a, b, LinkConfig::default());
    probe(&mut network, a).write(OUT, b"second");
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(SECOND);
    let server = network.peek::<Probe>(b);
    assert_eq!(server.received(IN), b"first second");
    assert_eq!(server.when(&Seen::EndOfStream(IN)), Some(Time::from_millis(1500)));
}

#[test]
fn the_system_sends_what_a_program_left_behind() {
    let (mut network, a, b) = network(Config::default(), Probe::default());
    network.set_link(a, b, LinkConfig { rate: Some(10_000), ..LinkConfig::default() });
    connect(&mut network, a);
    network.run_for(SECOND);
    let bytes = pattern(20_000);
    probe(&mut network, a).write(OUT, &bytes);
    network.run_for(Duration::from_millis(1));
    act(&mut network, a, Action::Finished(Ok(())));
    network.run_for(Duration::from_secs(5));
    let server = network.peek::<Probe>(b);
    assert!(server.received(IN) == bytes);
    assert!(server.saw(&Seen::EndOfStream(IN)));
    // What nobody will read any more is answered with a reset.
    probe(&mut network, b).write(IN, b"bye");
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(b).saw(&Seen::Closed(IN, reset())));
}

#[test]
fn streams_lose_and_disorder_nothing_whatever_the_network_does() {
    for_each_seed(50, |seed| {
        let mut dice = Dice::new(seed, 0);
        let streams = StreamConfig {
            send_buffer: 1 + dice.below(20_000) as usize,
            receive_buffer: 1 + dice.below(20_000) as usize,
            segment: 1 + dice.below(3000) as usize,
            ..StreamConfig::default()
        };
        let (mut network, a, b) = network(Config { streams, ..Config::default() }, Probe::default());
        connect(&mut network, a);
        network.run_for(SECOND);
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            let bytes = &pattern(20_000)[dice.below(20_000) as usize..];
            let (host, stream, sent) =
                if dice.chance(0.5) { (a, OUT, &mut there) } else { (b, IN, &mut back) };
            probe(&mut network, host).write(stream, bytes);
            sent.extend_from_slice(bytes);
            let paused = dice.chance(0.3);
            act(&mut network, host, Action::PauseRead { stream, paused });
            let config = LinkConfig {
                rate: dice.chance(0.5).then(|| 50_000 + dice.below(1_000_000)),
                ..LinkConfig::with_delay(dice.up_to(Duration::from_millis(80)))
            };
            match dice.below(4) {
                0 => network.set_links(a, b, config),
                1 => network.set_uplink(a, config),
                2 => network.block(b, a),
                _ => network.heal(a, b),
            }
            network.run_for(dice.up_to(Duration::from_millis(500)));
        }
        network.heal(a, b);
        for (host, stream) in [(a, OUT), (b, IN)] {
            act(&mut network, host, Action::PauseRead { stream, paused: false });
        }
        network.set_links(a, b, LinkConfig::with_delay(Duration::from_micros(10)));
        assert!(network.run_until_idle(Duration::from_secs(3600)));
        assert!(network.peek::<Probe>(b).received(IN) == there);
        assert!(network.peek::<Probe>(a).received(OUT) == back);
    });
}
