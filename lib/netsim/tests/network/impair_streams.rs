//! The impairment proxy between hosts: byte streams.

use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, ListenerId, StreamId, Time};
use rtmfp_netsim::impair::{Config, Depth, Direction, Impair, Setting, Step, Transport, What};
use rtmfp_netsim::{HostId, Network};

use crate::impair_udp::{config, figures, step};
use crate::services::{PORT, Probe, Seen, ip, probe};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const OUT: StreamId = StreamId::opened(1);
const IN: StreamId = StreamId::accepted(0);

fn tcp(settings: &[Setting], steps: Vec<Step>) -> Config {
    config(Transport::Tcp, settings, steps)
}

/// A client `a` that connects through a proxy to a server `b`. It is second 1.
fn network(config: Config, server: Probe) -> (Network, HostId, HostId, HostId) {
    let mut network = Network::new(1);
    let to = config.routes[0].listen;
    let a = network.add_host("a", &[ip(1)], Box::new(Probe::default()));
    let b = network.add_host("b", &[ip(2)], Box::new(server));
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    probe(&mut network, b).actions.push_back(Action::Listen { listener: ListenerId(1), address });
    let proxy = network.add_host("proxy", &[ip(3)], Box::new(Impair::new(config, Box::new(|_| {}))));
    network.run_until(Time::from_secs(1));
    probe(&mut network, a).actions.push_back(Action::Connect { stream: OUT, to, dscp: 0 });
    (network, a, b, proxy)
}

fn act(network: &mut Network, host: HostId, action: Action) {
    probe(network, host).actions.push_back(action);
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251) as u8).collect()
}

fn was_reset(network: &Network, host: HostId, stream: StreamId) -> bool {
    network.peek::<Probe>(host).saw(&Seen::Closed(stream, Some("connection reset by peer".to_owned())))
}

#[test]
fn bytes_come_whole_both_ways_and_half_closed_connections_stay_so() {
    let (mut network, a, b, proxy) =
        network(tcp(&[Setting::Delay(30 * MILLI)], Vec::new()), Probe::default());
    let (question, answer) = (pattern(300_000), pattern(200_000));
    probe(&mut network, a).write(OUT, &question);
    act(&mut network, a, Action::EndWrite { stream: OUT });
    network.run_for(20 * SECOND);
    let server = network.peek::<Probe>(b);
    assert!(server.received(IN) == question);
    assert!(server.saw(&Seen::EndOfStream(IN)));
    assert!(!network.peek::<Probe>(a).saw(&Seen::EndOfStream(OUT)));
    probe(&mut network, b).write(IN, &answer);
    act(&mut network, b, Action::Finish { stream: IN });
    network.run_for(20 * SECOND);
    let client = network.peek::<Probe>(a);
    assert!(client.received(OUT) == answer);
    assert!(client.saw(&Seen::EndOfStream(OUT)));
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(20 * SECOND);
    assert!(network.peek::<Probe>(a).saw(&Seen::Closed(OUT, None)));
    assert!(network.peek::<Probe>(b).saw(&Seen::Closed(IN, None)));
    let figures = figures(&network, proxy);
    assert_eq!((figures.clients, figures.clients_seen), (0, 1));
    let bytes = [figures.up.stream_bytes, figures.up.stream_passed_bytes, figures.down.stream_passed_bytes];
    assert_eq!(bytes, [300_000, 300_000, 200_000]);
    assert_eq!(network.streams(proxy).count(), 0);
}

#[test]
fn bytes_take_the_delay_and_no_more_than_the_rate_passes() {
    let settings = [Setting::Delay(500 * MILLI), Setting::Rate(Some(50_000))];
    let (mut network, a, b, _) = network(tcp(&settings, Vec::new()), Probe::default());
    probe(&mut network, a).write(OUT, &pattern(500_000));
    network.run_for(490 * MILLI);
    assert_eq!(network.peek::<Probe>(b).received(IN).len(), 0);
    network.run_for(4 * SECOND + 10 * MILLI);
    let got = network.peek::<Probe>(b).received(IN).len();
    assert!((195_000..=200_000).contains(&got), "{got} bytes in four seconds");
    network.run_for(7 * SECOND);
    assert!(network.peek::<Probe>(b).received(IN) == pattern(500_000));
}

#[test]
fn a_sender_is_held_back_when_too_much_is_on_its_way() {
    let mut slow = tcp(&[Setting::Rate(Some(10_000)), Setting::Queue(Depth::Bytes(20_000))], Vec::new());
    slow.down = Default::default();
    let (mut network, a, _, proxy) = network(slow, Probe::default());
    probe(&mut network, a).write(OUT, &pattern(10_000_000));
    network.run_for(10 * SECOND);
    let up = figures(&network, proxy).up;
    let held = up.stream_bytes - up.stream_passed_bytes;
    assert!(up.stream_pauses > 0 && held < 20_000 + 2 * 65_536, "{up:?}");
    assert!((90_000..=100_000).contains(&up.stream_passed_bytes), "{up:?}");
}

#[test]
fn a_blockade_stops_streams_and_loses_nothing() {
    let steps = vec![
        step(2 * SECOND, What::Block(Some(Direction::Up))),
        step(10 * SECOND, What::Unblock(Some(Direction::Up))),
    ];
    let settings = [Setting::Delay(100 * MILLI), Setting::Rate(Some(200_000))];
    let (mut network, a, b, _) = network(tcp(&settings, steps), Probe::default());
    probe(&mut network, a).write(OUT, &pattern(1_000_000));
    act(&mut network, a, Action::EndWrite { stream: OUT });
    // What is on its way still arrives.
    network.run_for(3 * SECOND);
    let before = network.peek::<Probe>(b).received(IN).len();
    assert!((100_000..1_000_000).contains(&before), "{before}");
    network.run_for(5 * SECOND);
    assert_eq!(network.peek::<Probe>(b).received(IN).len(), before);
    network.run_for(10 * SECOND);
    assert!(network.peek::<Probe>(b).received(IN) == pattern(1_000_000));
    assert!(network.peek::<Probe>(b).saw(&Seen::EndOfStream(IN)));
}

#[test]
fn a_reset_passes_through_behind_the_bytes_before_it() {
    let (mut network, a, b, proxy) = network(tcp(&[Setting::Delay(SECOND)], Vec::new()), Probe::default());
    probe(&mut network, a).write(OUT, b"last words");
    network.run_for(100 * MILLI);
    act(&mut network, a, Action::Abort { stream: OUT });
    network.run_for(800 * MILLI);
    assert!(!was_reset(&network, b, IN));
    network.run_for(SECOND);
    assert_eq!(network.peek::<Probe>(b).received(IN), b"last words");
    assert!(was_reset(&network, b, IN));
    assert_eq!(figures(&network, proxy).clients, 0);
}

#[test]
fn the_schedule_resets_connections_at_both_ends() {
    let steps = vec![step(5 * SECOND, What::Reset)];
    let (mut network, a, b, proxy) = network(tcp(&[], steps), Probe::default());
    probe(&mut network, a).write(OUT, b"x");
    network.run_for(3 * SECOND);
    assert_eq!(figures(&network, proxy).clients, 1);
    network.run_for(3 * SECOND);
    assert!(was_reset(&network, a, OUT) && was_reset(&network, b, IN));
    assert_eq!(figures(&network, proxy).clients, 0);
}

#[test]
fn a_client_of_a_target_that_refuses_is_reset() {
    let mut config = tcp(&[Setting::Delay(SECOND)], Vec::new());
    config.routes[0].port = 7;
    let (mut network, a, _, proxy) = network(config, Probe::default());
    probe(&mut network, a).write(OUT, b"anybody there?");
    network.run_for(900 * MILLI);
    assert!(!was_reset(&network, a, OUT));
    network.run_for(SECOND);
    assert!(was_reset(&network, a, OUT));
    assert_eq!(figures(&network, proxy).clients, 0);
}

#[test]
fn more_clients_than_the_limit_are_reset_and_counted() {
    let mut config = tcp(&[], Vec::new());
    config.limits.tcp_clients = 1;
    let to = config.routes[0].listen;
    let (mut network, a, _, proxy) = network(config, Probe::default());
    network.run_for(SECOND);
    let second = StreamId::opened(2);
    act(&mut network, a, Action::Connect { stream: second, to, dscp: 0 });
    network.run_for(SECOND);
    assert!(was_reset(&network, a, second) && !was_reset(&network, a, OUT));
    let figures = figures(&network, proxy);
    assert_eq!((figures.clients, figures.clients_refused), (1, 1));
}

#[test]
fn many_connections_share_the_rate_and_all_bytes_arrive() {
    let settings = [Setting::Rate(Some(1_000_000)), Setting::Delay(5 * MILLI)];
    let (mut network, a, _, proxy) =
        network(tcp(&settings, Vec::new()), Probe { echo: true, ..Probe::default() });
    let to = probe(&mut network, a).actions.pop_front();
    let Some(Action::Connect { to, .. }) = to else { panic!("{to:?}") };
    let streams: Vec<_> = (1..=50).map(StreamId::opened).collect();
    for stream in &streams {
        act(&mut network, a, Action::Connect { stream: *stream, to, dscp: 0 });
        probe(&mut network, a).write(*stream, &pattern(20_000));
        act(&mut network, a, Action::EndWrite { stream: *stream });
    }
    network.run_for(900 * MILLI);
    let passed = figures(&network, proxy).up.stream_passed_bytes;
    assert!((850_000..=900_000).contains(&passed), "{passed}");
    network.run_for(30 * SECOND);
    for stream in streams {
        let client = network.peek::<Probe>(a);
        assert!(client.received(stream) == pattern(20_000), "{stream:?}");
        assert!(client.saw(&Seen::EndOfStream(stream)), "{stream:?}");
    }
}
