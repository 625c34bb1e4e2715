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
    /// Clients of all workers beyond which more are turned away.
    max_clients: usize,
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
            max_clients: config.max_clients,
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

    fn on_hello(&mut self, now: Time, from: SocketAddr, tag: &[u8], via: Option<Via>, len: usize) {
        self.counters.hellos += 1;
        let mut room = self.driver.endpoint.fair_redirect(len, tag);
        let chosen = via.and_then(|via| {
            let worker = self.choose(now)?;
            let mut addresses = self.addresses(worker, from, via);
            // The first one in any case.
            let first = addresses.first().map(Address::encoded_len);
            room = room.max(first.unwrap_or(0));
            addresses.retain(|address| {
                let fits = address.encoded_len() <= room;
                room -= if fits { address.encoded_len() } else { 0 };
                fits
            });
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
        // At once, before any of them has measured it.
        if self.workers.total().clients >= self.max_clients as u64 {
            return None;
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
            if let Event::UnmatchedIHello { from, tag, via, len, .. } = event {
                self.on_hello(now, from, &tag, via, len);
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
mod tests;
