//! The impairment proxy between hosts: datagrams.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rtmfp_base::{Action, Ecn, Time};
use rtmfp_netsim::impair::{
    Config, Depth, Direction, Figures, Impair, Limits, Route, RouteFigures, Schedule, Setting, Settings,
    Step, Transport, What,
};
use rtmfp_netsim::{Bursts, HostId, LinkConfig, LinkCounters, Loss, Network, Reorder, for_each_seed};

use crate::services::{PORT, Probe, SOCKET, address, ip, pair, probe};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Where the proxy listens.
fn entrance() -> SocketAddr {
    SocketAddr::new(ip(3), 2000)
}

pub(crate) fn config(transport: Transport, settings: &[Setting], steps: Vec<Step>) -> Config {
    let mut both = Settings::default();
    settings.iter().for_each(|setting| both.set(*setting));
    Config {
        routes: vec![Route { transport, listen: entrance(), host: ip(2).to_string(), port: PORT }],
        up: both,
        down: both,
        schedule: Schedule::new(steps).unwrap(),
        seed: 1,
        limits: Limits::default(),
        report_every: None,
    }
}

pub(crate) fn step(at: Duration, what: What) -> Step {
    Step { at, what }
}

/// Two hosts with open sockets and a proxy; all is open after a second.
fn network(config: Config) -> (Network, HostId, HostId, HostId) {
    let mut network = Network::new(config.seed);
    let (a, b) = pair(&mut network);
    let proxy = network.add_host("proxy", &[ip(3)], Box::new(Impair::new(config, Box::new(|_| {}))));
    network.run_until(Time::from_secs(1));
    (network, a, b, proxy)
}

pub(crate) fn figures(network: &Network, proxy: HostId) -> RouteFigures {
    network.peek::<Impair>(proxy).figures(network.now()).routes.remove(0)
}

/// Sends numbered datagrams of different lengths, some in the same instant, and lets all be echoed.
fn talk(network: &mut Network, a: HostId, to: SocketAddr) {
    for number in 0..3000u32 {
        let len = 8 + (number as usize * 37) % 1300;
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.resize(len, 1);
        let ecn = Ecn::from_bits(number as u8);
        probe(network, a).out.push_back((SOCKET, None, to, ecn, bytes));
        if number % 3 != 0 {
            network.run_for(MILLI);
        }
    }
    network.run_for(10 * SECOND);
}

type Arrived = Vec<(Time, Ecn, Vec<u8>)>;

fn arrived(network: &Network, host: HostId) -> Arrived {
    network.peek::<Probe>(host).datagrams().map(|(at, meta, bytes)| (at, meta.ecn, bytes.to_vec())).collect()
}

#[test]
fn a_route_does_to_each_datagram_what_the_link_of_two_hosts_does_with_the_same_seed() {
    let bad = [
        Setting::Delay(20 * MILLI),
        Setting::Jitter(7 * MILLI),
        Setting::Loss(Loss::Bursts(Bursts::new(0.05, 3.0))),
        Setting::Duplicate(0.02),
        Setting::Reorder(Reorder { probability: 0.03, extra: 5 * MILLI }),
        Setting::Rate(Some(500_000)),
        Setting::Queue(Depth::Bytes(12_000)),
        Setting::Ce(Some(Depth::Time(10 * MILLI))),
        Setting::Mtu(Some(1290)),
        Setting::Corrupt(0.02),
        Setting::Truncate(0.02),
    ];
    let plain = [Setting::Loss(Loss::Independent(0.2)), Setting::Delay(MILLI), Setting::Bleach(true)];
    for_each_seed(3, |seed| {
        for (kind, settings) in [("bad", &bad[..]), ("plain", &plain)] {
            let mut config = config(Transport::Udp, settings, Vec::new());
            config.seed = seed;
            let link = config.up.link();
            let (mut proxied, a, b, proxy) = network(config);
            probe(&mut proxied, b).echo = true;
            talk(&mut proxied, a, entrance());

            let mut direct = Network::new(seed);
            let (c, d) = pair(&mut direct);
            direct.set_links(c, d, link);
            probe(&mut direct, d).echo = true;
            direct.run_until(Time::from_secs(1));
            talk(&mut direct, c, address(2));

            assert!(arrived(&proxied, b) == arrived(&direct, d), "{kind}: upwards");
            assert!(arrived(&proxied, a) == arrived(&direct, c), "{kind}: downwards");
            let figures = figures(&proxied, proxy);
            assert_eq!(
                (figures.up.link, figures.down.link),
                (direct.link(c, d), direct.link(d, c)),
                "{kind}"
            );
            if kind == "bad" {
                let LinkCounters { lost, queue_drops, mtu_drops, ce_marked, .. } = figures.up.link;
                assert!(lost > 0 && queue_drops > 0 && mtu_drops > 0 && ce_marked > 0, "{:?}", figures.up);
            }
        }
    });
}

#[test]
fn each_client_gets_its_own_replies_from_the_address_that_it_sent_to() {
    let mut config = config(Transport::Udp, &[], Vec::new());
    config.routes[0].listen = SocketAddr::from(([0, 0, 0, 0], 2000));
    let mut network = Network::new(1);
    let (a, b) = pair(&mut network);
    let c = network.add_host("c", &[ip(4)], Box::new(Probe::open()));
    let impair = Box::new(Impair::new(config, Box::new(|_| {})));
    let proxy = network.add_host("proxy", &[ip(5), ip(3)], impair);
    probe(&mut network, b).echo = true;
    network.run_until(Time::from_secs(1));
    for (host, word) in [(a, b"from a"), (c, b"from c")] {
        probe(&mut network, host).send(entrance(), word);
    }
    network.run_for(SECOND);
    for (host, word) in [(a, b"from a"), (c, b"from c")] {
        let (_, meta, bytes) = network.peek::<Probe>(host).datagrams().next().expect("a reply");
        assert_eq!((meta.from, bytes), (entrance(), &word[..]));
    }
    let sources: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, meta, _)| meta.from).collect();
    assert_ne!(sources[0], sources[1]);
    assert_eq!((figures(&network, proxy).clients, figures(&network, proxy).clients_seen), (2, 2));
}

#[test]
fn a_rebinding_changes_the_port_of_clients_and_swallows_what_comes_for_the_old_one() {
    let steps = vec![step(2 * SECOND, What::Rebind), step(3 * SECOND, What::Rebind)];
    let (mut network, a, b, proxy) = network(config(Transport::Udp, &[], steps));
    let mut sources = Vec::new();
    for _ in 0..3 {
        probe(&mut network, a).send(entrance(), b"up");
        network.run_for(SECOND + 10 * MILLI);
        sources.push(network.peek::<Probe>(b).datagrams().last().expect("it arrives").1.from);
    }
    assert!(sources[0] != sources[1] && sources[1] != sources[2] && sources[0] != sources[2], "{sources:?}");
    for source in sources {
        probe(&mut network, b).send(source, b"down");
    }
    network.run_for(MILLI);
    assert_eq!(arrived(&network, a).len(), 1);
    // The oldest one is closed already.
    assert_eq!(figures(&network, proxy).down.stray, 1);
    assert_eq!(figures(&network, proxy).clients, 1);
}

#[test]
fn a_datagram_to_a_client_that_does_not_come_from_the_target_is_a_stray() {
    let (mut network, a, b, proxy) = network(config(Transport::Udp, &[], Vec::new()));
    probe(&mut network, a).send(entrance(), b"up");
    network.run_for(MILLI);
    let source = network.peek::<Probe>(b).datagrams().next().expect("it arrives").1.from;
    let stranger = network.add_host("stranger", &[ip(9)], Box::new(Probe::open()));
    network.run_for(MILLI);
    probe(&mut network, stranger).send(source, b"for you");
    network.run_for(MILLI);
    assert!(arrived(&network, a).is_empty());
    assert_eq!(figures(&network, proxy).down.stray, 1);
}

#[test]
fn a_silent_client_is_forgotten_and_gets_a_new_port_when_it_speaks_again() {
    let mut config = config(Transport::Udp, &[], Vec::new());
    config.limits.idle = 10 * SECOND;
    let (mut network, a, b, proxy) = network(config);
    for _ in 0..3 {
        probe(&mut network, a).send(entrance(), b"up");
        network.run_for(8 * SECOND);
        assert_eq!(figures(&network, proxy).clients, 1);
    }
    network.run_for(4 * SECOND);
    assert_eq!(figures(&network, proxy).clients, 0);
    probe(&mut network, a).send(entrance(), b"again");
    network.run_for(SECOND);
    let sources: Vec<_> = network.peek::<Probe>(b).datagrams().map(|(_, meta, _)| meta.from).collect();
    assert!(sources[0] == sources[2] && sources[2] != sources[3], "{sources:?}");
    assert_eq!(figures(&network, proxy).clients_seen, 2);
    network.run_for(60 * SECOND);
    assert_eq!(figures(&network, proxy).clients, 0);
}

#[test]
fn clients_and_bytes_on_their_way_have_limits_that_are_counted() {
    let mut config = config(Transport::Udp, &[Setting::Delay(SECOND)], Vec::new());
    config.limits.udp_clients = 2;
    config.limits.held_bytes = 10_000;
    let (mut network, a, b, proxy) = network(config);
    for port in 5000..5004u16 {
        let socket = rtmfp_base::InterfaceId(u32::from(port));
        probe(&mut network, a).open_udp(socket, SocketAddr::from(([0, 0, 0, 0], port)));
        probe(&mut network, a).out.push_back((socket, None, entrance(), Ecn::NotEct, vec![7; 10]));
    }
    network.run_for(MILLI);
    let seen = figures(&network, proxy);
    assert_eq!((seen.clients, seen.clients_refused), (2, 2));
    for _ in 0..20 {
        let socket = rtmfp_base::InterfaceId(5000);
        probe(&mut network, a).out.push_back((socket, None, entrance(), Ecn::NotEct, vec![7; 1000]));
    }
    network.run_for(2 * SECOND);
    let passed = arrived(&network, b).len() as u64;
    let no_room = figures(&network, proxy).up.no_room;
    assert_eq!(passed + no_room, 22);
    assert!((9..=12).contains(&passed), "{passed}");
}

#[test]
fn the_schedule_changes_blocks_and_begins_anew() {
    let lossy = vec![Setting::Loss(Loss::Independent(1.0))];
    let steps = vec![
        step(3 * SECOND, What::Set(Some(Direction::Down), lossy)),
        step(5 * SECOND, What::Block(Some(Direction::Up))),
        step(7 * SECOND, What::Unblock(None)),
        step(9 * SECOND, What::Repeat),
    ];
    let (mut network, a, b, proxy) = network(config(Transport::Udp, &[Setting::Delay(MILLI)], steps));
    probe(&mut network, b).echo = true;
    let mut results = Vec::new();
    network.run_for(SECOND / 2);
    for _ in 0..8 {
        let before = (arrived(&network, b).len(), arrived(&network, a).len());
        network.run_for(SECOND);
        probe(&mut network, a).send(entrance(), b"?");
        network.run_for(SECOND);
        let after = (arrived(&network, b).len(), arrived(&network, a).len());
        results.push((after.0 - before.0, after.1 - before.1));
    }
    let round = [(1, 1), (1, 0), (0, 0), (1, 0)];
    assert_eq!(results, [round, round].concat());
    let figures = figures(&network, proxy);
    assert_eq!((figures.up.link.blocked, figures.down.link.lost), (2, 4));
}

#[test]
fn a_target_that_is_not_there_is_counted_and_the_proxy_goes_on() {
    let config = config(Transport::Udp, &[], Vec::new());
    let config_of_network = rtmfp_netsim::Config { report_closed_ports: true, ..Default::default() };
    let mut network = Network::with_config(1, config_of_network);
    let a = network.add_host("a", &[ip(1)], Box::new(Probe::open()));
    let b = network.add_host("b", &[ip(2)], Box::new(Probe::default()));
    let proxy = network.add_host("proxy", &[ip(3)], Box::new(Impair::new(config, Box::new(|_| {}))));
    network.run_for(SECOND);
    probe(&mut network, a).send(entrance(), b"?");
    network.run_for(SECOND);
    assert_eq!(figures(&network, proxy).up.unreachable, 1);
    *probe(&mut network, b) = Probe::echo();
    network.run_for(SECOND);
    probe(&mut network, a).send(entrance(), b"?");
    network.run_for(SECOND);
    assert_eq!(arrived(&network, a).len(), 1);
}

#[test]
fn figures_come_at_their_times_and_at_the_end() {
    let seen: Rc<RefCell<Vec<Figures>>> = Rc::default();
    let sink = Rc::clone(&seen);
    let mut config = config(Transport::Udp, &[], Vec::new());
    config.report_every = Some(SECOND);
    let mut network = Network::new(1);
    let report = Box::new(move |figures: &Figures| sink.borrow_mut().push(figures.clone()));
    let proxy = network.add_host("proxy", &[ip(3)], Box::new(Impair::new(config, report)));
    network.run_until(Time::from_millis(2500));
    network.drain(proxy);
    network.run_for(SECOND);
    assert_eq!(network.finished(proxy), Some(&Ok(())));
    let seen: Vec<_> = seen.borrow().iter().map(|figures| (figures.elapsed, figures.last)).collect();
    assert_eq!(seen, [(SECOND, false), (2 * SECOND, false), (2500 * MILLI, true)]);
    assert_eq!(network.announcements(proxy), ["listening on udp 10.0.0.3:2000 for 10.0.0.2:1000"]);
}

#[test]
fn a_proxy_that_cannot_work_says_why() {
    let ended = |change: &dyn Fn(&mut Route)| {
        let mut config = config(Transport::Udp, &[], Vec::new());
        change(&mut config.routes[0]);
        let mut network = Network::new(1);
        let proxy = network.add_host("proxy", &[ip(3)], Box::new(Impair::new(config, Box::new(|_| {}))));
        network.run_for(SECOND);
        network.finished(proxy).expect("it has ended").clone().expect_err("it cannot work")
    };
    let error = ended(&|route| route.host = "nowhere.example".to_owned());
    assert!(error.contains("cannot find nowhere.example"), "{error}");
    let error = ended(&|route| route.listen.set_ip(IpAddr::from([10, 9, 9, 9])));
    assert!(error.contains("cannot listen on udp"), "{error}");
    let error = ended(&|route| (route.host, route.port) = (ip(3).to_string(), 2000));
    assert!(error.contains("would lead to itself"), "{error}");
}

#[test]
fn a_proxy_that_ends_sends_nothing_more() {
    let (mut network, a, b, proxy) = network(config(Transport::Udp, &[Setting::Delay(SECOND)], Vec::new()));
    probe(&mut network, a).send(entrance(), b"late");
    network.run_for(MILLI);
    network.stop(proxy);
    network.run_for(2 * SECOND);
    assert!(arrived(&network, b).is_empty());
    probe(&mut network, b).actions.push_back(Action::CloseUdp { socket: SOCKET });
    network.run_for(SECOND);
}

#[test]
#[should_panic(expected = "no probability")]
fn a_setting_of_the_schedule_that_makes_no_sense_is_found_at_once() {
    let steps = vec![step(SECOND, What::Set(None, vec![Setting::Corrupt(7.0)]))];
    Impair::new(config(Transport::Udp, &[], steps), Box::new(|_| {}));
}

#[test]
fn a_perfect_link_is_what_no_settings_give() {
    assert_eq!(Settings::default().link(), LinkConfig::default());
}
