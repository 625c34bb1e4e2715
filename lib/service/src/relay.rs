//! The relay: joins each client's connection to one with a destination, over RTMP or RTMFP on either side.
//!
//! One RTMFP endpoint serves all clients of a listener. Outgoing, each client gets a connection of its own; over RTMFP
//! that is an endpoint with a socket and a certificate of its own, because peers of the installed base allow one
//! connection for a certificate. It is opened when the client asks for something by `connect`.

mod admission;
mod client;
mod compat;
mod config;
mod counters;
mod dial;
mod doors;
mod ending;
mod front;
mod listeners;
mod load;
mod notices;
mod own;
mod refusals;
mod registration;
mod shared;
mod standing;
mod workers;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use log::{debug, info};
use rtmfp::{Event, KeyingFailure, RecvFlowId, SessionId};
use rtmfp_base::{
    Action, Batch, Counters, Input, JobDone, RecvMeta, Service, SocketId, StreamId, Time, Visit,
};
use rtmfp_netconn::{Cx, EndpointId, Link, LinkId};

use admission::Admission;
use client::{Client, ClientId, Side};
pub use config::{Destination, Listen, Profiles, Protocol, RelayConfig, RelayTimeouts, WorkerConfig};
use ending::Phase;
pub use front::{Advertise, Front};
use listeners::Listeners;
pub use load::{FULL as FULL_LOAD, LoadConfig, LoadWeights};
pub use own::leads_back;
use refusals::Refusals;
use registration::Registrations;
pub use registration::{Credentials, RegistrationConfig};
use shared::Shared;
use standing::Standing;
pub use workers::{Worker, Workers};

/// A relay, as a service.
#[derive(Debug)]
pub struct Relay {
    shared: Shared,
    listeners: Listeners,
    clients: BTreeMap<ClientId, Client>,
    admission: Admission,
    standing: Standing,
    registrations: Registrations,
    /// When clients want to be called, and what of that is noted in the other map.
    timers: BTreeSet<(Time, ClientId)>,
    armed: HashMap<ClientId, Time>,
    /// Sessions that are new, in order of time: when they must have brought a client.
    strangers: VecDeque<(Time, EndpointId, SessionId)>,
    refusals: Refusals,
    phase: Phase,
}

impl Relay {
    /// A relay. It begins to listen when its host first asks for actions.
    pub fn new(config: RelayConfig, profiles: Box<dyn Profiles>) -> Self {
        let listeners = Listeners::new(&config);
        let refusals = Refusals::new(config.names_legacy_switch);
        let admission = config.worker.as_ref().map(|own| own.worker.admission()).unwrap_or_default();
        Self {
            admission,
            standing: Standing::new(&config),
            registrations: Registrations::new(&config),
            shared: Shared::new(config, profiles),
            listeners,
            clients: BTreeMap::new(),
            timers: BTreeSet::new(),
            armed: HashMap::new(),
            strangers: VecDeque::new(),
            refusals,
            phase: Phase::Running,
        }
    }

    /// How many clients there are.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Has a client do something, and draws the consequences.
    fn with(&mut self, id: ClientId, act: impl FnOnce(&mut Client, &mut Shared)) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        act(client, &mut self.shared);
        self.settle(id);
    }

    /// After anything has happened to a client.
    fn settle(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.is_gone() {
            client.log_totals();
            let peer = client.who.peer;
            self.clients.remove(&id);
            self.arm(id, None);
            self.admission.leave(peer.ip());
            self.standing.clients(self.clients.len());
            self.shared.counters.ended += 1;
            return;
        }
        let at = client.poll_timeout();
        self.arm(id, at);
    }

    fn arm(&mut self, id: ClientId, at: Option<Time>) {
        let before = match at {
            Some(at) => self.armed.insert(id, at),
            None => self.armed.remove(&id),
        };
        if before != at {
            if let Some(before) = before {
                self.timers.remove(&(before, id));
            }
            if let Some(at) = at {
                self.timers.insert((at, id));
            }
        }
    }

    /// Whether another client from there may come; if so, its number. It has a place from then on.
    fn admit(&mut self, peer: SocketAddr) -> Option<ClientId> {
        let config = &self.shared.config;
        let (most, most_from_there) = (config.max_clients, config.max_clients_per_address);
        let running = self.phase == Phase::Running;
        let number = running.then(|| self.admission.enter(peer.ip(), most, most_from_there)).flatten();
        let Some(number) = number else {
            self.shared.counters.turned_away += 1;
            return None;
        };
        let mut id = ClientId(number);
        while self.clients.contains_key(&id) {
            id = ClientId(self.admission.renumber());
        }
        Some(id)
    }

    fn add(&mut self, now: Time, id: ClientId, peer: SocketAddr, near: Link) {
        info!("client {} from {peer}: accepted", id.0);
        self.shared.counters.accepted += 1;
        let mut client = Client::new(&self.shared, now, id, peer, near);
        client.settle(&mut self.shared, now);
        self.clients.insert(id, client);
        self.standing.clients(self.clients.len());
        self.settle(id);
    }

    fn on_link(&mut self, now: Time, link: LinkId, act: impl FnOnce(&mut Link, &mut Cx<'_>)) {
        let (id, side) = ClientId::of(link);
        self.with(id, |client, shared| client.with(shared, now, side, act));
    }

    fn on_stream(&mut self, now: Time, stream: StreamId, act: impl FnOnce(&mut Link, &mut Cx<'_>)) {
        if let Some(&link) = self.shared.streams.get(&stream) {
            self.on_link(now, link, act);
        }
    }

    fn on_stream_closed(&mut self, now: Time, stream: StreamId, error: Option<String>) {
        let Some(link) = self.shared.streams.remove(&stream) else { return };
        let (id, side) = ClientId::of(link);
        self.with(id, |client, shared| match side {
            Side::Near => client.with(shared, now, side, |link, _| link.stream_closed(error)),
            Side::Far => client.far_stream_closed(shared, now, stream, error),
        });
    }

    fn on_udp_ready(&mut self, now: Time, socket: SocketId, result: Result<SocketAddr, String>) {
        let Shared { own, actions, .. } = &mut self.shared;
        if self.listeners.doors.udp_ready(socket, &result) || own.udp_ready(actions, now, socket, &result) {
            return;
        }
        let Some(endpoint) = self.shared.endpoints.owner_of(socket) else { return };
        match result {
            Ok(local) => {
                self.shared.endpoints.socket_ready(socket, local);
                if let Some(outgoing) = self.shared.outgoing.get(&endpoint) {
                    let reachable = outgoing.reachable_from(local);
                    self.on_link(now, outgoing.link, |link, cx| {
                        if let Link::Rtmfp(link) = link {
                            reachable.into_iter().for_each(|address| link.add_candidate(cx, address));
                        }
                    });
                } else {
                    self.listeners.udp_ready(&mut self.shared, endpoint, local);
                    if let Some(listen) = self.listeners.of_endpoint(endpoint) {
                        self.registrations.add(&mut self.shared, now, endpoint, listen, local);
                    }
                }
            }
            Err(error) => {
                if let Some(outgoing) = self.shared.outgoing.get_mut(&endpoint) {
                    outgoing.sockets -= 1;
                    if outgoing.sockets == 0 {
                        let (id, _) = ClientId::of(outgoing.link);
                        let reason = format!("cannot open a UDP socket: {error}");
                        self.with(id, |client, shared| client.give_up(shared, now, &reason));
                    }
                } else if let Some(listen) = self.listeners.of_endpoint(endpoint) {
                    self.finish(Err(listen.failure(&error)));
                }
            }
        }
    }

    fn on_event(&mut self, now: Time, endpoint: EndpointId, event: Event) {
        if self.registrations.on_event(&mut self.shared, now, endpoint, &event) {
            return;
        }
        match event {
            Event::FlowOffered { flow, session, associated: None, ref metadata } => {
                self.on_new_flow(now, endpoint, session, flow, metadata);
            }
            Event::FlowOffered { associated: Some((_, tag)), .. }
            | Event::Readable { tag, .. }
            | Event::FlowFinished { tag, .. }
            | Event::FlowLost { tag, .. }
            | Event::FlowBound { tag, .. }
            | Event::Writable { tag, .. }
            | Event::FlowException { tag, .. }
            | Event::FlowClosed { tag, .. }
            | Event::WriteEnded { tag, .. } => {
                self.on_link(now, LinkId::of(tag), |link, cx| link.endpoint_event(cx, event));
            }
            Event::SessionOpened { session, initiator: true } => {
                if let Some(outgoing) = self.shared.outgoing.get(&endpoint) {
                    let (id, _) = ClientId::of(outgoing.link);
                    let far = self.shared.config.to.to_string();
                    self.log_keys(id, &far, endpoint, session);
                }
            }
            Event::SessionOpened { session, initiator: false } => {
                let config = &self.shared.config;
                let patience = config.rtmp.handshake_timeout + config.timeouts.connect;
                self.strangers.push_back((now + patience, endpoint, session));
            }
            Event::KeyingFailed { peer, initiator, failure } => {
                self.on_keying_failed(now, endpoint, peer, initiator, &failure);
            }
            Event::SessionClosed { session, .. } => {
                let links = match self.shared.outgoing.get(&endpoint) {
                    Some(outgoing) => vec![outgoing.link],
                    None => self.shared.sessions.remove(&(endpoint, session)).unwrap_or_default(),
                };
                for link in links {
                    self.on_link(now, link, |link, cx| link.endpoint_event(cx, event.clone()));
                }
            }
            _ => {}
        }
    }

    fn on_keying_failed(
        &mut self,
        now: Time,
        endpoint: EndpointId,
        peer: SocketAddr,
        initiator: bool,
        failure: &KeyingFailure,
    ) {
        if let Some(outgoing) = self.shared.outgoing.get(&endpoint) {
            let (id, _) = ClientId::of(outgoing.link);
            self.with(id, |client, shared| client.note_keying(shared, failure));
        } else if initiator {
            // A listener has come to a redirector, and no client to it.
            info!("redirector at {peer}: {failure}");
        } else if let Some(listen) = self.listeners.of_endpoint(endpoint) {
            self.shared.counters.refused += 1;
            self.refusals.note(now, listen, peer, failure);
        }
    }

    /// A flow that is no answer to one of ours: a new client, if it comes to a listener.
    fn on_new_flow(
        &mut self,
        now: Time,
        endpoint: EndpointId,
        session: SessionId,
        flow: RecvFlowId,
        metadata: &[u8],
    ) {
        if self.listeners.of_endpoint(endpoint).is_none() {
            return;
        }
        let own = self.shared.endpoints.get(endpoint);
        let peer = own.and_then(|own| own.session(session).map(|session| session.info().far_address));
        let full = self
            .shared
            .sessions
            .get(&(endpoint, session))
            .is_some_and(|links| links.len() >= MAX_SESSION_LINKS);
        let Some(peer) = peer.filter(|_| !full) else { return };
        let Some(id) = self.admit(peer) else { return };
        match self.shared.accept_rtmfp(now, id.link(Side::Near), endpoint, session, flow, metadata) {
            Some(near) => {
                self.log_keys(id, &peer.to_string(), endpoint, session);
                self.add(now, id, peer, near);
            }
            None => self.admission.leave(peer.ip()),
        }
    }

    /// Logs how a client's session is protected, or that by which it is relayed.
    fn log_keys(&mut self, id: ClientId, far: &str, endpoint: EndpointId, session: SessionId) {
        let own = self.shared.endpoints.get(endpoint);
        let keys = own.and_then(|own| own.session(session).and_then(|session| session.info().keys));
        let Some(keys) = keys else { return };
        let group = keys.group.map_or_else(|| "no group".to_owned(), |group| format!("group {group}"));
        let no = |is_there: bool| if is_there { "" } else { "no " };
        let (hmac, sequence) = (no(keys.authenticated), no(keys.sequenced));
        info!("client {}: session with {far}: {group}, {hmac}HMAC, {sequence}sequence numbers", id.0);
    }

    /// Handles what endpoints have to tell, until they have nothing.
    fn pump(&mut self, now: Time) {
        while let Some((endpoint, event)) = {
            let Shared { endpoints, actions, .. } = &mut self.shared;
            endpoints.poll_event(now, actions)
        } {
            self.on_event(now, endpoint, event);
        }
        self.go_on_ending(now);
    }

    fn on_timeout(&mut self, now: Time) {
        let Shared { endpoints, actions, .. } = &mut self.shared;
        endpoints.handle_timeout(now, actions);
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.arm(id, None);
            self.with(id, |client, shared| client.handle_timeout(shared, now));
        }
        self.close_strangers(now);
        self.go_on_draining(now);
        self.measure(now);
        self.registrations.handle_timeout(&mut self.shared, now);
    }

    /// Closes sessions that had their time and brought no client.
    fn close_strangers(&mut self, now: Time) {
        while let Some(&(at, endpoint, session)) = self.strangers.front()
            && at <= now
        {
            self.strangers.pop_front();
            if self.shared.sessions.contains_key(&(endpoint, session)) {
                continue;
            }
            let own = self.shared.endpoints.get(endpoint);
            if let Some(session) = own.and_then(|own| own.session(session)) {
                self.shared.counters.never_connected += 1;
                session.close(now);
            }
        }
    }

    fn on_datagram(&mut self, now: Time, meta: &RecvMeta, bytes: &mut [u8]) {
        if !self.listeners.doors.datagram(now, meta, bytes) {
            self.shared.endpoints.datagram(now, meta, bytes);
        }
    }

    fn on_job_done(&mut self, now: Time, done: JobDone) {
        self.shared.endpoints.job_done(now, done);
    }
}

impl Service for Relay {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Timeout => self.on_timeout(now),
            Input::UdpReady { socket, result } => self.on_udp_ready(now, socket, result),
            Input::Datagram { meta, bytes } => self.on_datagram(now, &meta, bytes),
            Input::PathError { socket, to, error } => {
                debug!("datagrams to {to} do not arrive: {error}");
                self.shared.endpoints.path_error(now, socket, to, &error);
            }
            Input::ListenReady { listener, ref result }
                if self.listeners.doors.tcp_ready(listener, result) => {}
            Input::ListenReady { listener, result } => match result {
                Ok(local) => self.listeners.tcp_ready(&mut self.shared, listener, local),
                Err(error) => {
                    if let Some(listen) = self.listeners.of_listener(listener) {
                        self.finish(Err(listen.failure(&error)));
                    }
                }
            },
            Input::Accepted { listener, stream, peer }
                if self.listeners.doors.accepted(&mut self.shared.actions, now, listener, stream, peer) => {}
            Input::Accepted { listener, stream, peer } => match self.admit(peer) {
                Some(id) => {
                    let protocol =
                        self.listeners.of_listener(listener).map_or(Protocol::Rtmp, |listen| listen.protocol);
                    let near = self.shared.accept_rtmp(now, id.link(Side::Near), stream, protocol);
                    self.add(now, id, peer, near);
                }
                None => self.shared.actions.push_back(Action::Abort { stream }),
            },
            Input::Connected { stream, .. } => {
                if let Some(&link) = self.shared.streams.get(&stream) {
                    let (id, _) = ClientId::of(link);
                    self.with(id, |client, shared| client.connected(shared, now, stream));
                }
            }
            Input::Data { stream, bytes } => {
                self.on_stream(now, stream, |link, cx| link.stream_data(cx, bytes))
            }
            Input::EndOfStream { stream } => self.on_stream(now, stream, |link, cx| link.stream_ended(cx)),
            Input::Closed { stream, error } => self.on_stream_closed(now, stream, error),
            Input::Resolved { name, result } => {
                if let Some(link) = self.shared.names.remove(&name) {
                    let (id, _) = ClientId::of(link);
                    self.with(id, |client, shared| client.resolved(shared, now, result));
                }
            }
            Input::JobDone(done) => self.on_job_done(now, done),
            Input::Drain => self.drain(now),
            Input::Stop => self.stop(now),
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        if let Err(error) = self.listeners.open(&mut self.shared, now) {
            self.finish(Err(error));
        }
        self.pump(now);
        self.shared.actions.pop_front().or_else(|| self.shared.endpoints.poll_job())
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.shared.endpoints.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        self.on_stream(now, stream, |link, cx| link.fill_stream(cx, limit, out));
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        if self.shared.endpoints.wants_poll() || !self.shared.actions.is_empty() {
            // Sending has led to something.
            return Some(Time::ZERO);
        }
        let client = self.timers.first().map(|&(at, _)| at);
        let stranger = self.strangers.front().map(|&(at, ..)| at);
        let (standing, registrations) = (self.standing.poll_timeout(), self.registrations.poll_timeout());
        let ending = self.phase.poll_timeout();
        [client, stranger, standing, registrations, ending, self.shared.endpoints.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn loop_latency(&mut self, _now: Time, latency: Duration) {
        self.standing.latency(latency);
    }

    fn count(&self, visit: &mut Visit<'_>) {
        self.visit(visit);
    }
}

impl Counters for Relay {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("clients", self.clients.len() as u64);
        visit("load", self.standing.load().level);
        visit("registrations", self.registrations.registered() as u64);
        visit("endpoints", self.shared.endpoints.len() as u64);
        visit("sessions", self.shared.endpoints.iter().map(|e| e.session_count() as u64).sum());
        visit("streams", self.shared.streams.len() as u64);
        self.shared.counters.visit(visit);
        visit("came_to_wrong_port", self.listeners.doors.came());
    }
}

/// Connections of clients that one RTMFP session may carry.
const MAX_SESSION_LINKS: usize = 16;
