//! The redirector: sends clients to those who have registered with it, or everybody to the same addresses.
//!
//! One endpoint serves all its addresses, so that a target that has registered by one of them is known to clients who come
//! by any other.

mod config;
mod refusals;
mod status;

use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

use log::{debug, info};
use rtmfp::crypto::Profile;
use rtmfp::driver::Driver;
use rtmfp::{Endpoint, Event, Shutdown};
use rtmfp_base::{
    Action, Batch, Counters, Input, InterfaceId, Service, SocketId, StreamId, Time, UdpOptions, Visit,
};
use rtmfp_redirect::{Fixed, Server, Users};

pub use config::{RedirectorConfig, RedirectorMode};

/// A redirector, as a service.
#[derive(Debug)]
pub struct Redirector {
    driver: Driver,
    role: Role,
    refusals: refusals::Refusals,
    /// Addresses asked for.
    sockets: BTreeMap<SocketId, SocketAddr>,
    actions: VecDeque<Action>,
    phase: Phase,
}

#[derive(Debug)]
enum Role {
    Targets(Box<Server>),
    Fixed(Box<Fixed>),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Running,
    Leaving,
    Finished,
}

impl Redirector {
    /// A redirector. It binds its addresses when its host first asks for actions. Its profile has the host name by which
    /// registrants find it, and is selected by no URI.
    pub fn new(config: RedirectorConfig, profile: Box<dyn Profile>) -> Self {
        let mut endpoint = Endpoint::new(config.endpoint(), profile, config.seed, Time::ZERO);
        // What one seed is for is not for the other.
        let seed = config.seed.map(|byte| !byte);
        let role = match config.mode {
            RedirectorMode::Targets { server, users } => {
                let server = Server::new(*server, users, seed);
                server.start(&mut endpoint);
                Role::Targets(Box::new(server))
            }
            RedirectorMode::Fixed { addresses, rotate, same_family, limits } => {
                let (secret, _) = seed.split_at(size_of::<u128>());
                let secret = secret.iter().fold(0, |number, &byte| number << 8 | u128::from(byte));
                let mut fixed = Fixed::new(&addresses, rotate, limits, secret);
                fixed.set_same_family(same_family);
                fixed.start(&mut endpoint);
                Role::Fixed(Box::new(fixed))
            }
        };
        let sockets: BTreeMap<_, _> = (0..).map(InterfaceId).zip(config.listen).collect();
        let open = |(&socket, &address): (&SocketId, &SocketAddr)| Action::OpenUdp {
            socket,
            options: UdpOptions { address, buffer: config.socket_buffer },
        };
        let actions = sockets.iter().map(open).collect();
        let refusals = refusals::Refusals::default();
        Self { driver: Driver::new(endpoint, 0), role, refusals, sockets, actions, phase: Phase::Running }
    }

    /// Those who have registered; `None` where nobody can.
    pub fn server(&self) -> Option<&Server> {
        match &self.role {
            Role::Targets(server) => Some(server),
            Role::Fixed(_) => None,
        }
    }

    /// Its endpoint, to look at.
    pub fn endpoint(&self) -> &Endpoint {
        &self.driver.endpoint
    }

    /// What an operator wants to know, in lines: the targets, how they are, what they were sent; the counters.
    pub fn status(&self, now: Time) -> String {
        match &self.role {
            Role::Targets(server) => status::of_server(server, now),
            Role::Fixed(fixed) => status::of_fixed(fixed),
        }
    }

    /// Changes who may register. Targets whose users are no users any longer, or have another password, are out at once, and
    /// have to come again.
    pub fn set_users(&mut self, now: Time, users: Users) {
        if let Role::Targets(server) = &mut self.role {
            info!("{} users", users.len());
            server.set_users(now, &mut self.driver.endpoint, users);
        }
    }

    fn on_event(&mut self, now: Time, event: &Event) {
        let endpoint = &mut self.driver.endpoint;
        match &mut self.role {
            Role::Targets(server) => {
                server.on_event(now, endpoint, event);
                self.refusals.tell(now, server);
            }
            Role::Fixed(fixed) => {
                fixed.on_event(now, endpoint, event);
            }
        }
        if *event == Event::ShutDown {
            self.finish(Ok(()));
        }
    }

    fn on_timeout(&mut self, now: Time) {
        self.driver.endpoint.handle_timeout(now);
        if let Role::Targets(server) = &mut self.role
            && server.poll_timeout().is_some_and(|at| at <= now)
        {
            server.handle_timeout(now, &mut self.driver.endpoint);
            self.refusals.tell(now, server);
        }
    }

    fn on_udp_ready(&mut self, socket: SocketId, result: Result<SocketAddr, String>) {
        let Some(asked) = self.sockets.get(&socket) else { return };
        match result {
            Ok(local) => {
                self.driver.endpoint.add_interface(socket, local);
                self.actions.push_back(Action::Announce(format!("listening on rtmfp://{local}")));
            }
            Err(error) => {
                let error = format!("cannot listen on rtmfp://{asked}: {error}");
                self.finish(Err(error));
            }
        }
    }

    /// Answers no hello any more and takes leave of those who have registered.
    fn leave(&mut self, now: Time, how: Shutdown) {
        if self.phase == Phase::Finished {
            return;
        }
        self.phase = Phase::Leaving;
        let endpoint = &mut self.driver.endpoint;
        endpoint.set_watch_hellos(false);
        endpoint.set_accepting(false);
        endpoint.shutdown(now, how);
    }

    fn finish(&mut self, result: Result<(), String>) {
        if self.phase != Phase::Finished {
            self.phase = Phase::Finished;
            for (name, value) in self.to_list().into_iter().filter(|(_, value)| *value > 0) {
                debug!("{name}: {value}");
            }
            self.actions.push_back(Action::Finished(result));
        }
    }
}

impl Service for Redirector {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Timeout => self.on_timeout(now),
            Input::Datagram { meta, bytes } => {
                self.driver.datagram(now, &meta, bytes);
            }
            Input::UdpReady { socket, result } => self.on_udp_ready(socket, result),
            Input::PathError { socket, to, error } => {
                self.driver.endpoint.handle_path_error(now, to, socket, &error);
            }
            Input::JobDone(done) => self.driver.job_done(now, done),
            Input::Drain => self.leave(now, Shutdown::Orderly),
            Input::Stop => {
                self.leave(now, Shutdown::Abrupt);
                self.finish(Ok(()));
            }
            _ => {}
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        while let Some(event) = self.driver.endpoint.poll_event(now) {
            self.on_event(now, &event);
        }
        self.actions.pop_front().or_else(|| self.driver.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.driver.endpoint.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        let endpoint = self.driver.endpoint.poll_timeout().map(|(at, _)| at);
        let server = self.server().and_then(Server::poll_timeout);
        [endpoint, server].into_iter().flatten().min()
    }

    fn count(&self, visit: &mut Visit<'_>) {
        self.visit(visit);
    }
}

impl Counters for Redirector {
    fn visit(&self, visit: &mut Visit<'_>) {
        match &self.role {
            Role::Targets(server) => {
                visit("targets", server.target_count() as u64);
                server.stats().visit(visit);
            }
            Role::Fixed(fixed) => {
                visit("redirects", fixed.redirects());
                visit("limited_hellos", fixed.limited());
            }
        }
        visit("sessions", self.driver.endpoint.session_count() as u64);
    }
}
