use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Input, Job, JobId, NameId, Service, StreamId, Time};
use rtmfp_netsim::{Config, HostId, JobModel, LinkConfig, Network};

use crate::services::{Probe, Seen, address, ip, pair, probe};

const SECOND: Duration = Duration::from_secs(1);

fn act(network: &mut Network, host: HostId, action: Action) {
    probe(network, host).actions.push_back(action);
}

fn resolve(network: &mut Network, host: HostId, number: u64, name: &str) {
    act(network, host, Action::Resolve { name: NameId(number), host: name.to_owned(), port: 80 });
}

fn run_job(network: &mut Network, host: HostId, number: u64) {
    let job = Job::new(JobId(number), move || Box::new(number * number));
    act(network, host, Action::Run(job));
}

#[test]
fn names_have_addresses_literals_need_no_look_up_and_others_fail() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    network.add_name("Media.Example", &[ip(8), ip(9)]);
    network.add_name("gone.example", &[ip(8)]);
    network.add_name("gone.example", &[]);
    for (number, name) in
        ["media.example", "10.1.2.3", "[::1]", "nobody.example", "gone.example"].into_iter().enumerate()
    {
        resolve(&mut network, a, number as u64, name);
    }
    network.run_for(SECOND);
    let service = network.peek::<Probe>(a);
    let at = |number: u64, result: Result<&[&str], &str>| {
        let addresses = |list: &[&str]| list.iter().map(|text| text.parse().expect("address")).collect();
        let result: Result<Vec<SocketAddr>, _> = result.map(addresses).map_err(str::to_owned);
        service.when(&Seen::Resolved(NameId(number), result))
    };
    let later = Some(Time::from_millis(20));
    assert_eq!(at(0, Ok(&["10.0.0.8:80", "10.0.0.9:80"])), later);
    assert_eq!(at(1, Ok(&["10.1.2.3:80"])), Some(Time::ZERO));
    assert_eq!(at(2, Ok(&["[::1]:80"])), Some(Time::ZERO));
    assert_eq!(at(3, Err("nobody.example: no such name")), later);
    assert_eq!(at(4, Err("gone.example: no such name")), later);
}

#[test]
fn jobs_end_at_once_or_late_or_in_another_order_or_never() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    run_job(&mut network, a, 3);
    network.run_for(Duration::ZERO);
    assert!(network.peek::<Probe>(a).saw(&Seen::JobDone(JobId(3), 9)));

    network.set_jobs(a, JobModel { delay: SECOND, ..JobModel::default() });
    run_job(&mut network, a, 4);
    network.run_for(Duration::from_secs(5));
    assert_eq!(network.peek::<Probe>(a).when(&Seen::JobDone(JobId(4), 16)), Some(Time::from_secs(1)));

    network.set_jobs(b, JobModel { jitter: SECOND, lost: 0.5, ..JobModel::default() });
    for number in 0..100 {
        run_job(&mut network, b, number);
    }
    network.run_for(Duration::from_secs(5));
    let done: Vec<_> = network.peek::<Probe>(b).seen[1..]
        .iter()
        .map(|(_, seen)| match seen {
            Seen::JobDone(id, square) if *square == id.0 * id.0 => id.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!((30..70).contains(&done.len()), "{}", done.len());
    assert!(!done.is_sorted());
}

#[test]
fn timeouts_come_when_the_service_said_last() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    let service = probe(&mut network, a);
    service.timeout = Some(Time::from_secs(5));
    network.run_for(SECOND);
    // Earlier, later, never, in the past.
    probe(&mut network, a).timeout = Some(Time::from_secs(3));
    network.run_for(SECOND);
    probe(&mut network, a).timeout = Some(Time::from_secs(4));
    network.run_until(Time::from_secs(10));
    assert_eq!(network.peek::<Probe>(a).seen[1..], [(Time::from_secs(4), Seen::Timeout)]);
    probe(&mut network, a).timeout = Some(Time::from_secs(20));
    network.run_for(SECOND);
    probe(&mut network, a).timeout = None;
    assert!(network.run_until_idle(Duration::from_secs(1000)));
    assert_eq!(network.now(), Time::from_secs(11), "a timeout that was taken back is nothing to wait for");
    probe(&mut network, a).timeout = Some(Time::from_secs(2));
    network.run_for(SECOND);
    assert_eq!(network.peek::<Probe>(a).seen[2..], [(Time::from_secs(11), Seen::Timeout)]);
}

#[test]
fn announcements_and_the_end_of_a_service_are_kept() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    act(&mut network, a, Action::Announce("ready".to_owned()));
    network.drain(a);
    network.run_for(SECOND);
    assert_eq!(network.announcements(a), ["ready"]);
    assert!(network.peek::<Probe>(a).saw(&Seen::Drain));
    assert_eq!(network.finished(a), None);

    network.stop(a);
    let service = probe(&mut network, a);
    service.send(address(2), b"bye");
    service.actions.push_back(Action::Finished(Err("out of luck".to_owned())));
    service.actions.push_back(Action::Announce("not any more".to_owned()));
    network.run_for(SECOND);
    assert_eq!(network.finished(a), Some(&Err("out of luck".to_owned())));
    assert_eq!(network.announcements(a), ["ready"]);
    assert_eq!(network.peek::<Probe>(b).datagrams().count(), 1, "what it had to send is sent");
    // The program is gone: nothing reaches it.
    let before = network.peek::<Probe>(a).seen.len();
    probe(&mut network, b).send(address(1), b"hello?");
    network.stop(a);
    network.run_for(SECOND);
    assert_eq!(network.peek::<Probe>(a).seen.len(), before);
}

#[test]
fn nothing_of_a_former_life_reaches_a_restarted_host() {
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    network.set_default_link(LinkConfig::with_delay(SECOND));
    network.set_jobs(a, JobModel { delay: SECOND, ..JobModel::default() });
    run_job(&mut network, a, 1);
    resolve(&mut network, a, 1, "nobody.example");
    probe(&mut network, a).timeout = Some(Time::from_secs(2));
    probe(&mut network, b).send(address(1), b"to a socket that is closed now");
    network.run_for(Duration::from_millis(1));
    network.restart(a, Box::new(Probe::default()));
    network.run_for(Duration::from_secs(10));
    assert_eq!(network.peek::<Probe>(a).seen, []);
}

#[test]
fn all_inputs_of_one_instant_come_before_the_polling() {
    #[derive(Default)]
    struct Counter {
        inputs: usize,
        inputs_when_polled: Vec<usize>,
    }

    impl Service for Counter {
        fn handle(&mut self, _: Time, _: Input<'_>) {
            self.inputs += 1;
        }
        fn poll_action(&mut self, _: Time) -> Option<Action> {
            self.inputs_when_polled.push(self.inputs);
            None
        }
        fn poll_transmit(&mut self, _: Time, _: &mut Batch) {}
        fn fill_stream(&mut self, _: Time, _: StreamId, _: usize, _: &mut Vec<u8>) {}
        fn poll_timeout(&mut self) -> Option<Time> {
            None
        }
    }

    let mut network = Network::new(1);
    let host = network.add_host("counter", &[ip(1)], Box::new(Counter::default()));
    network.drain(host);
    network.drain(host);
    network.run_for(SECOND);
    network.stop(host);
    network.run_for(SECOND);
    network.service::<Counter>(host).inputs_when_polled.dedup();
    assert_eq!(network.peek::<Counter>(host).inputs_when_polled, [0, 2, 3]);
}

#[test]
#[should_panic(
    expected = "spinner needs more than 1000 steps without time passing, at 0.000000s with seed 77"
)]
fn a_service_that_never_comes_to_rest_is_reported() {
    struct Spinner;

    impl Service for Spinner {
        fn handle(&mut self, _: Time, _: Input<'_>) {}
        fn poll_action(&mut self, _: Time) -> Option<Action> {
            None
        }
        fn poll_transmit(&mut self, _: Time, _: &mut Batch) {}
        fn fill_stream(&mut self, _: Time, _: StreamId, _: usize, _: &mut Vec<u8>) {}
        fn poll_timeout(&mut self) -> Option<Time> {
            Some(Time::ZERO)
        }
    }

    let mut network = Network::with_config(77, Config { max_work: 1000, ..Config::default() });
    network.add_host("spinner", &[ip(1)], Box::new(Spinner));
    network.run_for(SECOND);
}

#[test]
#[should_panic(expected = "pong needs more than 1000 steps")]
fn two_services_that_answer_each_other_without_a_delay_are_reported() {
    let mut network = Network::with_config(1, Config { max_work: 1000, ..Config::default() });
    network.add_host("ping", &[ip(1)], Box::new(Probe::echo()));
    let pong = network.add_host("pong", &[ip(2)], Box::new(Probe::echo()));
    network.step();
    probe(&mut network, pong).send(address(1), b"ball");
    network.run_for(SECOND);
}

#[test]
#[should_panic(expected = "belongs to somebody already")]
fn an_address_has_one_host() {
    let mut network = Network::new(1);
    pair(&mut network);
    network.add_host("c", &[ip(2)], Box::new(Probe::default()));
}
