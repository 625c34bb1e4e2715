//! What stands before the workers of a relay: a redirector on its RTMFP addresses.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;

use log::debug;
use rtmfp::crypto::Profile;
use rtmfp::driver::Driver;
use rtmfp::wire::{Address, Origin};
use rtmfp::{Endpoint, Event, Via};
use rtmfp_base::{Action, Batch, Counters, Input, InterfaceId, Service, SocketId, StreamId, Time, Visit};

use super::doors::Doors;
use super::workers::{Figures, Workers};
use super::{Listen, Protocol, RelayConfig};

/// How often the front looks whether the workers are there, until they are.
const LOOK: Duration = Duration::from_millis(5);

/// A client that was sent to a worker counts there for so long, whether it has come or not.
const HANDED_FOR: Duration = Duration::from_secs(2);

/// Clients that are counted so at a time.
const MOST_HANDED: usize = 10_000;

/// Addresses in a Redirect: one or two will do, and answers to strangers have to be short.
const MOST_ADDRESSES: usize = 8;

/// How much a worker's share of the bytes counts beside its share of the clients.
const BITRATE_WEIGHT: f64 = 0.5;

/// Sends RTMFP clients to the workers of a relay, by Redirects (RFC 7016 section 3.5.1.4), and says where the relay
/// listens once all workers do. It watches the ports beside those, too.
///
/// A Redirect names the address that the client's hello came to, so that it suits every interface of the machine, with the
/// port of the worker that carries least; and then the addresses that are advertised. The session is between client and worker
/// alone: the front keeps nothing of it.
#[derive(Debug)]
pub struct Front {
    driver: Driver,
    listen: Vec<Listen>,
    /// The ports beside them.
    doors: Doors,
    advertise: Vec<Advertise>,
    workers: Workers,
    /// The clients that were sent to a worker a moment ago, and how many of them to each.
    handed: VecDeque<(Time, usize)>,
    handed_to: Vec<u64>,
    /// When to look for the workers; never, once they are there.
    look_at: Time,
    actions: VecDeque<Action>,
    is_finished: bool,
    counters: FrontCounters,
}

#[derive(Debug, Default)]
struct FrontCounters {
    hellos: u64,
    redirects: u64,
    unanswered: u64,
}

impl Front {
    /// The front of the workers of a relay. Its profile should be selected by no discriminator.
    pub fn new(
        config: &RelayConfig,
        advertise: Vec<Advertise>,
        workers: Workers,
        profile: Box<dyn Profile>,
    ) -> Self {
        let mut endpoint = Endpoint::new(rtmfp::Config::default(), profile, config.seed, Time::ZERO);
        endpoint.set_watch_hellos(true);
        endpoint.set_accepting(false);
        Self {
            driver: Driver::new(endpoint, 0),
            listen: config.listen.clone(),
            doors: Doors::new(config),
            advertise,
            handed: VecDeque::new(),
            handed_to: vec![0; workers.len()],
            workers,
            look_at: Time::ZERO,
            actions: VecDeque::new(),
            is_finished: false,
            counters: FrontCounters::default(),
        }
    }

    /// Opens the RTMFP addresses once the workers have theirs.
    fn look(&mut self, now: Time) {
        if now < self.look_at || self.look_at.is_never() {
            return;
        }
        if !self.workers.are_ready() {
            self.look_at = now + LOOK;
            return;
        }
        self.look_at = Time::MAX;
        for (number, listen) in self.listen.iter().enumerate() {
            match listen.protocol {
                Protocol::Rtmfp => {
                    let socket = InterfaceId(number as u32);
                    self.actions.push_back(Action::OpenUdp { socket, options: listen.address.into() });
                }
                Protocol::Rtmp | Protocol::RtmpSimple => {
                    self.doors.watch(&mut self.actions, *listen);
                    self.actions.push_back(listen.announcement());
                }
            }
        }
    }

    fn on_udp_ready(&mut self, socket: SocketId, result: Result<SocketAddr, String>) {
        if self.doors.udp_ready(socket, &result) {
            return;
        }
        let Some(listen) = self.listen.get(socket.0 as usize) else { return };
        match result {
            Ok(local) => {
                self.driver.endpoint.add_interface(socket, local);
                let listen = Listen { address: local, ..*listen };
                // Who reads the announcement finds all open.
                self.doors.watch(&mut self.actions, listen);
                self.actions.push_back(listen.announcement());
            }
            Err(error) => {
                let error = listen.failure(&error);
                self.finish(Err(error));
            }
        }
    }

    fn on_hello(&mut self, now: Time, from: SocketAddr, tag: &[u8], via: Option<Via>) {
        self.counters.hellos += 1;
        let chosen = via.and_then(|via| {
            let worker = self.choose(now)?;
            let addresses = self.addresses(worker, from, via);
            (!addresses.is_empty()).then_some((worker, addresses))
        });
        let Some((worker, addresses)) = chosen else {
            self.counters.unanswered += 1;
            return;
        };
        match self.driver.endpoint.send_redirect(via, from, tag, &addresses) {
            Ok(()) => {
                self.counters.redirects += 1;
                if self.handed.len() < MOST_HANDED {
                    self.handed.push_back((now + HANDED_FOR, worker));
                    self.handed_to[worker] += 1;
                }
            }
            Err(error) => debug!("{from} is not redirected: {error}"),
        }
    }

    /// The worker that carries least.
    fn choose(&mut self, now: Time) -> Option<usize> {
        while let Some(&(until, worker)) = self.handed.front()
            && until <= now
        {
            self.handed.pop_front();
            self.handed_to[worker] -= 1;
        }
        let mut figures = self.workers.figures(now);
        for (figures, handed) in figures.iter_mut().zip(&self.handed_to) {
            if let Some(figures) = figures {
                figures.clients += handed;
            }
        }
        least(&figures)
    }

    /// Where a client finds a worker that comes from there and has come this way.
    fn addresses(&self, worker: usize, from: SocketAddr, via: Via) -> Vec<Address> {
        let listener = via.interface.0 as usize;
        let Some(port) = self.workers.port(worker, listener) else { return Vec::new() };
        let bound = self.listen.get(listener).map(|listen| listen.address.ip());
        let here = via.src_ip.or(bound).filter(|ip| !ip.is_unspecified());
        let mut addresses: Vec<SocketAddr> = here.map(|ip| (ip, port).into()).into_iter().collect();
        for address in self.advertise.iter().filter_map(|advertise| advertise.of_worker(worker, port)) {
            if address.is_ipv4() == from.is_ipv4() && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
            .into_iter()
            .take(MOST_ADDRESSES)
            .map(|addr| Address { origin: Origin::Reported, addr })
            .collect()
    }

    fn finish(&mut self, result: Result<(), String>) {
        if !core::mem::replace(&mut self.is_finished, true) {
            self.actions.push_back(Action::Finished(result));
        }
    }
}

/// The one with the least share of clients and bytes, of those that take clients.
fn least(figures: &[Option<Figures>]) -> Option<usize> {
    let sum = |part: fn(&Figures) -> u64| figures.iter().flatten().map(part).sum::<u64>().max(1) as f64;
    let (clients, bitrate) = (sum(|figures| figures.clients), sum(|figures| figures.bitrate));
    let share = |figures: &Figures| {
        figures.clients as f64 / clients + BITRATE_WEIGHT * figures.bitrate as f64 / bitrate
    };
    let takers =
        figures.iter().enumerate().filter_map(|(worker, figures)| Some((worker, share(figures.as_ref()?))));
    takers.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(worker, _)| worker)
}

impl Service for Front {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Timeout => self.driver.endpoint.handle_timeout(now),
            Input::Datagram { meta, ref bytes } if self.doors.datagram(now, &meta, bytes) => {}
            Input::Datagram { meta, bytes } => {
                self.driver.datagram(now, &meta, bytes);
            }
            Input::ListenReady { listener, result } => {
                self.doors.tcp_ready(listener, &result);
            }
            Input::Accepted { listener, stream, peer } => {
                self.doors.accepted(&mut self.actions, now, listener, stream, peer);
            }
            Input::UdpReady { socket, result } => self.on_udp_ready(socket, result),
            Input::PathError { socket, to, error } => {
                self.driver.endpoint.handle_path_error(now, to, socket, &error);
            }
            Input::JobDone(done) => self.driver.job_done(now, done),
            // Clients look elsewhere; those that are there are the workers'.
            Input::Drain | Input::Stop => self.finish(Ok(())),
            _ => {}
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        self.look(now);
        while let Some(event) = self.driver.endpoint.poll_event(now) {
            if let Event::UnmatchedIHello { from, tag, via, .. } = event {
                self.on_hello(now, from, &tag, via);
            }
        }
        self.actions.pop_front().or_else(|| self.driver.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.driver.endpoint.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let endpoint = self.driver.endpoint.poll_timeout().map(|(at, _)| at);
        let look = Some(self.look_at).filter(|at| !at.is_never());
        [endpoint, look].into_iter().flatten().min()
    }

    fn count(&self, visit: &mut Visit<'_>) {
        self.visit(visit);
    }
}

impl Counters for Front {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("worker_hellos", self.counters.hellos);
        visit("worker_redirects", self.counters.redirects);
        visit("worker_hellos_unanswered", self.counters.unanswered);
        visit("came_to_wrong_port", self.doors.came());
    }
}

impl Advertise {
    /// The address at which a worker with this port of its own is to be found. Of an address with a port the first worker
    /// has that port, and the others the ports after it.
    pub(super) fn of_worker(self, worker: usize, own: u16) -> Option<SocketAddr> {
        let port = match self.port {
            Some(first) => first.checked_add(u16::try_from(worker).ok()?)?,
            None => own,
        };
        Some((self.ip, port).into())
    }
}

/// An address at which a relay is to be found from elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advertise {
    /// The address.
    pub ip: IpAddr,
    /// Its port; `None`: the one that the relay has here.
    pub port: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(clients: u64, bitrate: u64) -> Option<Figures> {
        Some(Figures { clients, bitrate })
    }

    #[test]
    fn the_worker_with_the_fewest_clients_is_chosen_of_those_that_take_any() {
        assert_eq!(least(&[takes(3, 0), takes(2, 0), takes(9, 0)]), Some(1));
        assert_eq!(least(&[takes(3, 0), None, takes(9, 0)]), Some(0));
        assert_eq!(least(&[takes(0, 0), takes(0, 0)]), Some(0));
        assert_eq!(least(&[None, None]), None);
    }

    #[test]
    fn what_clients_send_counts_where_their_numbers_are_alike() {
        assert_eq!(least(&[takes(10, 9_000_000), takes(10, 1_000_000)]), Some(1));
        assert_eq!(least(&[takes(11, 50_000_000), takes(10, 70_000_000)]), Some(0));
        assert_eq!(least(&[takes(10, 50_000_000), takes(60, 50_000_000)]), Some(0));
    }

    #[test]
    fn workers_are_advertised_with_their_own_ports_or_the_ports_from_one_on() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let own = Advertise { ip, port: None };
        let from = Advertise { ip, port: Some(u16::MAX - 1) };
        assert_eq!(own.of_worker(3, 4000), Some((ip, 4000).into()));
        assert_eq!(from.of_worker(1, 4000), Some((ip, u16::MAX).into()));
        assert_eq!(from.of_worker(2, 4000), None);
    }
    #[test]
    fn bytes_count_half_as_much_as_clients() {
        assert_eq!(least(&[takes(10, 60), takes(13, 40)]), Some(0));
        assert_eq!(least(&[takes(10, 60), takes(11, 40)]), Some(1));
    }

    const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1));
    const SOME: Time = Time::from_secs(10);

    /// A front of two workers that listens there by these protocols, and their table.
    fn front(listen: &[(Protocol, SocketAddr)], advertise: Vec<Advertise>) -> (Front, Workers) {
        let listen: Vec<Listen> =
            listen.iter().map(|&(protocol, address)| Listen { protocol, address, legacy: true }).collect();
        let to = super::super::Destination {
            protocol: Protocol::Rtmp,
            host: "server".to_owned(),
            port: 7,
            legacy: false,
        };
        let workers = Workers::new(2, listen.len());
        let config = RelayConfig::new(listen, to, [1; 32]);
        let profile = Box::new(rtmfp_plain::PlainProfile::new("front"));
        (Front::new(&config, advertise, workers.clone(), profile), workers)
    }

    /// The workers have their ports, and take clients.
    fn begin(front: &mut Front, workers: &Workers) -> Vec<Action> {
        for number in 0..2 {
            let worker = workers.worker(number);
            (0..front.listen.len()).for_each(|listener| worker.set_port(listener, 4000 + number as u16));
            worker.set_load(SOME, &Default::default());
        }
        core::iter::from_fn(|| front.poll_action(SOME)).collect()
    }

    fn rtmfp(ip: IpAddr) -> [(Protocol, SocketAddr); 1] {
        [(Protocol::Rtmfp, (ip, 1935).into())]
    }

    #[test]
    fn it_looks_for_the_workers_until_all_are_there_and_then_opens_its_addresses_once() {
        let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
        assert!(front.poll_action(Time::ZERO).is_none());
        assert_eq!(front.poll_timeout(), Some(Time::ZERO + LOOK));
        let opened = begin(&mut front, &workers);
        assert!(matches!(opened[..], [Action::OpenUdp { .. }]), "{opened:?}");
        assert!(front.poll_action(SOME + LOOK).is_none());
    }

    #[test]
    fn it_announces_where_it_listens_and_watches_the_ports_beside() {
        let listens = [(Protocol::Rtmfp, (HERE, 0).into()), (Protocol::Rtmp, (HERE, 1936).into())];
        let (mut front, workers) = front(&listens, Vec::new());
        let text =
            |actions: &[Action]| actions.iter().map(|action| format!("{action:?}\n")).collect::<String>();
        let begun = text(&begin(&mut front, &workers));
        assert!(begun.contains("listening on rtmp://10.0.0.1:1936\""), "{begun}");
        assert!(begun.contains(&format!("{:?}", InterfaceId(u32::MAX))), "UDP beside TCP: {begun}");
        front.on_udp_ready(InterfaceId(0), Ok((HERE, 5000).into()));
        let open: Vec<_> = core::iter::from_fn(|| front.poll_action(SOME)).collect();
        let open = text(&open);
        assert!(open.contains("listening on rtmfp://10.0.0.1:5000\""), "without a setting: {open}");
        assert!(open.contains("Listen {") && !open.contains("10.0.0.1:0"), "TCP beside UDP: {open}");
        // Ports beside that cannot be had are done without; others are not.
        front.on_udp_ready(InterfaceId(u32::MAX), Err("in use".to_owned()));
        assert!(front.poll_action(SOME).is_none());
        front.on_udp_ready(InterfaceId(0), Err("in use".to_owned()));
        assert!(matches!(front.poll_action(SOME), Some(Action::Finished(Err(_)))));
        front.handle(SOME, Input::Stop);
        assert!(front.poll_action(SOME).is_none(), "it finishes once");
    }

    #[test]
    fn clients_find_a_worker_where_they_came_and_where_it_is_advertised_in_their_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let ports = |ip, port| Advertise { ip, port };
        let advertise = vec![
            ports(HERE, None),
            ports(ip("192.0.2.1"), Some(9000)),
            ports(ip("192.0.2.1"), Some(9000)),
            ports(ip("2001:db8::1"), None),
        ];
        let unspecified = ip("0.0.0.0");
        let addresses = |bound, src_ip, from: &str| -> Vec<String> {
            let (mut front, workers) = front(&rtmfp(bound), advertise.clone());
            begin(&mut front, &workers);
            let via = Via { interface: InterfaceId(0), src_ip };
            let found = front.addresses(1, SocketAddr::new(ip(from), 1), via);
            found.into_iter().map(|address| address.addr.to_string()).collect()
        };
        let by_ipv4 = ["10.0.0.1:4001", "192.0.2.1:9001"];
        assert_eq!(addresses(HERE, None, "198.51.100.1"), by_ipv4);
        assert_eq!(addresses(unspecified, Some(HERE), "198.51.100.1"), by_ipv4);
        assert_eq!(addresses(unspecified, None, "198.51.100.1"), by_ipv4);
        assert_eq!(addresses(unspecified, None, "2001:db8::7"), ["[2001:db8::1]:4001"]);
        let many = (0..20).map(|last| ports(IpAddr::from([192, 0, 2, last]), None)).collect();
        let (mut front, workers) = front(&rtmfp(HERE), many);
        begin(&mut front, &workers);
        let via = Via::from(InterfaceId(0));
        assert_eq!(front.addresses(0, (HERE, 1).into(), via).len(), MOST_ADDRESSES);
        let unknown = Via::from(InterfaceId(5));
        assert_eq!(front.addresses(0, (HERE, 1).into(), unknown), []);
    }

    #[test]
    fn a_client_counts_at_its_worker_before_it_comes_and_for_a_while_only() {
        let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
        begin(&mut front, &workers);
        front.on_udp_ready(InterfaceId(0), Ok((HERE, 1935).into()));
        let hello = |front: &mut Front, now| {
            front.on_hello(now, (HERE, 9).into(), b"tag", Some(InterfaceId(0).into()));
        };
        (0..6).for_each(|_| hello(&mut front, SOME));
        assert_eq!(front.handed_to, [3, 3]);
        workers.worker(0).set_clients(1);
        hello(&mut front, SOME);
        assert_eq!(front.handed_to, [3, 4]);
        let just_before = SOME + HANDED_FOR - Duration::from_micros(1);
        front.choose(just_before);
        assert_eq!((front.handed.len(), &front.handed_to[..]), (7, &[3, 4][..]));
        assert_eq!(front.choose(SOME + HANDED_FOR), Some(1), "the other one has a client");
        assert_eq!((front.handed.len(), &front.handed_to[..]), (0, &[0, 0][..]));
        // In bounded memory.
        front.handed = vec![(Time::MAX, 0); MOST_HANDED].into();
        front.handed_to = vec![MOST_HANDED as u64, 0];
        hello(&mut front, SOME);
        assert_eq!(front.handed.len(), MOST_HANDED);
        assert_eq!((front.counters.hellos, front.counters.redirects, front.counters.unanswered), (8, 8, 0));
    }

    #[test]
    fn nobody_is_answered_while_no_worker_takes_clients_or_none_is_to_be_found() {
        let (mut front, workers) = front(&rtmfp(HERE), Vec::new());
        begin(&mut front, &workers);
        front.on_udp_ready(InterfaceId(0), Ok((HERE, 1935).into()));
        front.on_hello(SOME, (HERE, 9).into(), b"tag", Some(InterfaceId(5).into()));
        front.on_hello(SOME, (HERE, 9).into(), b"tag", None);
        (0..2).for_each(|number| workers.worker(number).leave());
        front.on_hello(SOME, (HERE, 9).into(), b"tag", Some(InterfaceId(0).into()));
        assert_eq!((front.counters.hellos, front.counters.redirects, front.counters.unanswered), (3, 0, 3));
        assert!(front.handed.is_empty());
    }
}
