use std::time::Duration;

use rtmfp_base::{Action, Job, JobId, ListenerId, StreamId, Time, UdpOptions};
use rtmfp_netsim::{Config, Fault, HostId, JobModel, LinkConfig, Network, StreamConfig};

use crate::services::{PORT, Probe, SOCKET, Seen, address, pair, probe};

const SECOND: Duration = Duration::from_secs(1);
const OUT: StreamId = StreamId::opened(1);
const IN: StreamId = StreamId::accepted(0);

fn act(network: &mut Network, host: HostId, action: Action) {
    probe(network, host).actions.push_back(action);
}

fn send(network: &mut Network, from: HostId, bytes: &[u8]) {
    probe(network, from).send(address(2), bytes);
    network.run_for(Duration::from_millis(1));
}

fn lens(network: &Network, host: HostId) -> Vec<usize> {
    network.peek::<Probe>(host).datagrams().map(|(.., bytes)| bytes.len()).collect()
}

/// Two hosts with a stream from `a` to `b` over links of 10 ms.
fn connected(streams: StreamConfig) -> (Network, HostId, HostId) {
    let mut network = Network::with_config(1, Config { streams, ..Config::default() });
    let (a, b) = pair(&mut network);
    network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
    act(&mut network, b, Action::Listen { listener: ListenerId(1), address: address(2) });
    network.step();
    act(&mut network, a, Action::Connect { stream: OUT, to: address(2), dscp: 0 });
    network.run_for(SECOND);
    (network, a, b)
}

#[test]
fn a_sleeping_program_gets_late_what_its_sockets_could_hold() {
    let mut network = Network::with_config(1, Config { udp_receive_buffer: Some(1000), ..Config::default() });
    let (a, b) = pair(&mut network);
    network.sleep(b);
    network.sleep(b);
    assert!(network.is_asleep(b) && !network.is_asleep(a));
    for len in [600, 500, 400, 1, 1] {
        send(&mut network, a, &vec![0; len]);
    }
    network.run_until(Time::from_secs(5));
    assert_eq!(lens(&network, b), []);
    assert_eq!(network.faults().count(Fault::ReceiveBufferFull), 3);
    network.wake(b);
    network.wake(b);
    network.run_for(SECOND);
    assert_eq!(lens(&network, b), [600, 400]);
    assert!(network.peek::<Probe>(b).datagrams().all(|(at, ..)| at == Time::from_secs(5)));
    // There is room again.
    send(&mut network, a, &[0; 1000]);
    assert_eq!(lens(&network, b), [600, 400, 1000]);
    assert_eq!(network.faults().count(Fault::Slept), 1);
}

#[test]
fn a_sleeping_program_says_nothing_and_gets_one_late_timeout() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    probe(&mut network, a).timeout = Some(Time::from_secs(2));
    network.run_for(SECOND);
    network.sleep(a);
    probe(&mut network, a).send(address(2), b"x");
    network.run_until(Time::from_secs(30));
    assert_eq!((network.peek::<Probe>(a).seen.len(), lens(&network, b).len()), (1, 0));
    network.wake(a);
    assert!(network.run_until_idle(SECOND));
    assert_eq!(network.peek::<Probe>(a).seen[1..], [(Time::from_secs(30), Seen::Timeout)]);
    assert_eq!(lens(&network, b), [1]);
}

#[test]
fn a_pace_that_changes_in_sleep_leaves_the_timeout_at_its_time() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    probe(&mut network, a).timeout = Some(Time::from_secs(10));
    network.run_for(SECOND);
    network.sleep(a);
    network.set_clock_pace(a, 0.1);
    network.run_until(Time::from_secs(50));
    network.wake(a);
    network.run_until(Time::from_secs(90));
    assert!(!network.peek::<Probe>(a).saw(&Seen::Timeout));
    network.run_until(Time::from_secs(91));
    assert_eq!(network.peek::<Probe>(a).when(&Seen::Timeout), Some(Time::from_secs(10)));
}

#[test]
fn jobs_and_signals_wait_in_their_order() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    network.set_jobs(a, JobModel { delay: SECOND, ..JobModel::default() });
    act(&mut network, a, Action::Run(Job::new(JobId(1), || Box::new(7u64))));
    network.run_for(Duration::from_millis(1));
    network.sleep(a);
    network.drain(a);
    network.run_for(Duration::from_secs(5));
    network.stop(a);
    network.run_for(SECOND);
    network.wake(a);
    network.run_for(SECOND);
    let seen: Vec<_> = network.peek::<Probe>(a).seen[1..].iter().map(|(_, seen)| seen.clone()).collect();
    assert_eq!(seen, [Seen::Drain, Seen::JobDone(JobId(1), 7), Seen::Stop]);
}

#[test]
fn a_sleeping_reader_holds_the_writer_up_and_loses_nothing() {
    let streams = StreamConfig { send_buffer: 10_000, receive_buffer: 20_000, ..StreamConfig::default() };
    let (mut network, a, b) = connected(streams);
    network.sleep(b);
    let bytes: Vec<_> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    probe(&mut network, a).write(OUT, &bytes);
    act(&mut network, a, Action::Finish { stream: OUT });
    network.run_for(Duration::from_secs(20));
    assert_eq!(network.peek::<Probe>(b).received(IN), []);
    assert_eq!(network.peek::<Probe>(a).writes[&OUT].len(), 70_000);
    network.wake(b);
    network.run_for(SECOND);
    let reader = network.peek::<Probe>(b);
    assert!(reader.received(IN) == bytes);
    assert_eq!(reader.seen.last().map(|(_, seen)| seen), Some(&Seen::EndOfStream(IN)));
}

#[test]
fn a_sleeping_program_learns_late_of_streams_that_came_and_went() {
    let (mut network, a, b) = connected(StreamConfig::default());
    network.sleep(b);
    let second = StreamId::opened(2);
    act(&mut network, a, Action::Connect { stream: second, to: address(2), dscp: 0 });
    network.run_for(SECOND);
    assert!(network.peek::<Probe>(a).saw(&Seen::Connected(second, address(2))), "its system accepts");
    probe(&mut network, a).write(second, b"hello");
    act(&mut network, a, Action::Abort { stream: OUT });
    network.run_for(SECOND);
    let before = network.peek::<Probe>(b).seen.len();
    network.wake(b);
    network.run_for(SECOND);
    let seen: Vec<_> = network.peek::<Probe>(b).seen[before..].iter().map(|(_, seen)| seen.clone()).collect();
    let [Seen::Accepted(_, stream, _), closed, data] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(*closed, Seen::Closed(IN, Some("connection reset by peer".to_owned())));
    assert_eq!(*data, Seen::Data(*stream, b"hello".to_vec()));
}

#[test]
fn a_host_restarted_in_its_sleep_is_awake_and_knows_nothing() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.sleep(b);
    send(&mut network, a, b"old");
    network.restart(b, Box::new(Probe::open()));
    network.run_for(SECOND);
    send(&mut network, a, b"new one");
    assert!(!network.is_asleep(b));
    assert_eq!(lens(&network, b), [7], "at the same address");
    assert_eq!(network.faults().count(Fault::Restarted), 1);
}

#[test]
fn a_receive_buffer_is_filled_by_what_comes_at_once_and_emptied_by_the_service() {
    let mut network = Network::with_config(1, Config { udp_receive_buffer: Some(1000), ..Config::default() });
    let (a, b) = pair(&mut network);
    for _ in 0..3 {
        for _ in 0..5 {
            probe(&mut network, a).send(address(2), &[0; 300]);
        }
        network.run_for(SECOND);
    }
    assert_eq!(lens(&network, b).len(), 9);
    assert_eq!(network.faults().count(Fault::ReceiveBufferFull), 6);
    // An empty one takes a datagram of any length.
    send(&mut network, a, &[0; 5000]);
    assert_eq!(lens(&network, b).last(), Some(&5000));
    // A service may ask for more.
    act(&mut network, b, Action::CloseUdp { socket: SOCKET });
    let options = UdpOptions { address: ([0, 0, 0, 0], PORT).into(), buffer: Some(1500) };
    act(&mut network, b, Action::OpenUdp { socket: SOCKET, options });
    network.run_for(SECOND);
    for _ in 0..6 {
        probe(&mut network, a).send(address(2), &[0; 300]);
    }
    network.run_for(SECOND);
    assert_eq!(lens(&network, b).len(), 15);
}
