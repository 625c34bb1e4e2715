use std::time::Duration;

use rtmfp_base::Time;
use rtmfp_netsim::{Fault, LinkConfig, Network};

use crate::services::{Probe, Seen, address, pair, probe};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_service_sees_the_time_of_its_hosts_clock_and_is_called_by_it() {
    for (pace, timeout_at) in [(2.0, 5), (0.5, 20), (1.25, 8)] {
        let mut network = Network::new(1);
        let (a, b) = pair(&mut network);
        network.set_default_link(LinkConfig::with_delay(SECOND));
        network.set_clock_pace(b, pace);
        probe(&mut network, b).timeout = Some(Time::from_secs(10));
        probe(&mut network, a).send(address(2), b"x");
        network.run_until(Time::from_secs(timeout_at) - Duration::from_micros(1));
        assert!(!network.peek::<Probe>(b).saw(&Seen::Timeout));
        network.run_until(Time::from_secs(timeout_at));
        assert_eq!(network.now_at(b), Time::from_secs(10));
        assert_eq!(network.now_at(a), network.now());
        let service = network.peek::<Probe>(b);
        assert_eq!(service.when(&Seen::Timeout), Some(Time::from_secs(10)));
        let at = service.datagrams().next().expect("a datagram").0;
        assert_eq!(at, Time::from_micros((1e6 * pace) as u64));
        assert_eq!(network.faults().count(Fault::ClockPaced), 1);
    }
}

#[test]
fn a_change_of_pace_moves_the_timeout_and_never_the_time_back() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    probe(&mut network, a).timeout = Some(Time::from_secs(100));
    network.run_until(Time::from_secs(10));
    network.set_clock_pace(a, 10.0);
    network.run_until(Time::from_secs(14));
    assert_eq!(network.now_at(a), Time::from_secs(50));
    network.set_clock_pace(a, 0.1);
    assert_eq!(network.now_at(a), Time::from_secs(50));
    network.run_until(Time::from_secs(500));
    assert!(!network.peek::<Probe>(a).saw(&Seen::Timeout));
    network.run_until(Time::from_secs(514));
    assert_eq!(network.peek::<Probe>(a).when(&Seen::Timeout), Some(Time::from_secs(100)));
    network.set_clock_pace(a, 1.0);
    network.run_for(SECOND);
    assert_eq!(network.now_at(a), Time::from_secs(101));
    assert!(network.run_until_idle(SECOND));
}

#[test]
fn a_timeout_at_a_time_that_the_clock_never_shows_comes_once() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    // The clock shows every third microsecond only.
    network.set_clock_pace(a, 3.0);
    probe(&mut network, a).timeout = Some(Time::from_micros(10));
    assert!(network.run_until_idle(SECOND));
    assert_eq!(network.peek::<Probe>(a).seen[1..], [(Time::from_micros(12), Seen::Timeout)]);
}

#[test]
#[should_panic(expected = "0 is no pace for a clock")]
fn a_clock_cannot_stand_still() {
    let mut network = Network::new(1);
    let (a, _) = pair(&mut network);
    network.set_clock_pace(a, 0.0);
}
