//! The target's half: registering with redirectors.

mod config;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use log::{debug, warn};
use rtmfp::wire::{Address, Origin};
use rtmfp::{Endpoint, Event, FlowSpec, Priority, RecvFlowId, SendFlowId, SessionId, WriteError};
use rtmfp_base::{Message, Time, WriteOptions};

pub use config::{
    Redirector, RedirectorId, RegistrantConfig, RegistrantEvent, RegistrantState, UserDataError,
};

use crate::auth::Users;
use crate::wire::{self, Command, Settings};

/// Events that wait to be polled; what redirectors send beyond that is dropped.
const MAX_EVENTS: usize = 256;

/// Bytes that a flow from a redirector advertises room for.
const RECEIVE_CAPACITY: usize = 16_384;

/// Registers its endpoint with any number of redirectors at once, and again when one comes back.
///
/// It acts on an endpoint that others may use as well: after each event of that, [`Registrant::on_event`]; at
/// [`Registrant::poll_timeout`], [`Registrant::handle_timeout`]; after either and after any other call,
/// [`Registrant::poll_event`] until there is none. Redirectors take only ends whose certificates accept discriminators with
/// URIs.
#[derive(Debug)]
pub struct Registrant {
    config: RegistrantConfig,
    peers: Vec<Peer>,
    wish: Wish,
    phase: Phase,
    events: VecDeque<RegistrantEvent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Idle,
    Running,
    Closed,
}

/// What redirectors are told.
#[derive(Debug)]
struct Wish {
    active: bool,
    paused: bool,
    settings: Settings,
    load: u64,
}

/// A redirector.
#[derive(Debug)]
struct Peer {
    redirector: Redirector,
    state: RegistrantState,
    flow: Option<SendFlowId>,
    session: Option<SessionId>,
    return_flow: Option<RecvFlowId>,
    reflexive: Option<Address>,
    /// When to try again.
    retry: Time,
    /// Attempts since it was registered.
    attempts: u32,
    /// The load that was told last, and when.
    told: Option<(u64, Time)>,
}

impl Peer {
    fn is_connected(&self) -> bool {
        matches!(self.state, RegistrantState::Connected | RegistrantState::Registered)
    }

    /// When to tell of a load.
    fn load_due(&self, load: u64, interval: Duration) -> Option<Time> {
        let (told, at) = self.told.filter(|_| self.is_connected())?;
        (told != load).then(|| at + interval)
    }
}

impl Registrant {
    /// A registrant without redirectors that wants clients, at the address where redirectors see it.
    pub fn new(config: RegistrantConfig) -> Self {
        let settings = Settings { reflexive: true, addresses: Vec::new() };
        let wish = Wish { active: true, paused: false, settings, load: 0 };
        Self { config, peers: Vec::new(), wish, phase: Phase::Idle, events: VecDeque::new() }
    }

    /// Adds a redirector; it is looked for at the next [`Self::handle_timeout`] after [`Self::start`].
    pub fn add(&mut self, redirector: Redirector) -> RedirectorId {
        self.peers.push(Peer {
            redirector,
            state: RegistrantState::Idle,
            flow: None,
            session: None,
            return_flow: None,
            reflexive: None,
            retry: Time::ZERO,
            attempts: 0,
            told: None,
        });
        RedirectorId(self.peers.len() - 1)
    }

    /// Says where to look for a redirector from the next attempt on.
    pub fn set_addresses(&mut self, redirector: RedirectorId, addresses: Vec<SocketAddr>) {
        if let Some(peer) = self.peers.get_mut(redirector.0) {
            peer.redirector.addresses = addresses;
        }
    }

    /// The redirectors.
    pub fn redirectors(&self) -> impl Iterator<Item = (RedirectorId, &Redirector, RegistrantState)> {
        let peers = self.peers.iter().enumerate();
        peers.map(|(number, peer)| (RedirectorId(number), &peer.redirector, peer.state))
    }

    /// How things stand with a redirector.
    pub fn state(&self, redirector: RedirectorId) -> RegistrantState {
        self.peers.get(redirector.0).map(|peer| peer.state).unwrap_or_default()
    }

    /// Where a redirector sees this end, as long as it is connected and has said so.
    pub fn reflexive(&self, redirector: RedirectorId) -> Option<Address> {
        self.peers.get(redirector.0)?.reflexive
    }

    /// Changes by which names and passwords it authenticates, from the next attempt on. Registrations that stand stay.
    pub fn set_users(&mut self, users: Users) {
        self.config.users = users;
    }

    /// Begins, once the endpoint has an interface.
    pub fn start(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Running;
            self.handle_timeout(now, endpoint);
        }
    }

    /// Leaves all redirectors for good.
    pub fn close(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.phase = Phase::Closed;
        for id in self.ids() {
            self.disconnect(now, endpoint, id, RegistrantState::Closed);
        }
    }

    // ---- what redirectors are told ----

    /// Says whether new clients are welcome, which they are at first. Redirectors still forward the hellos of those who
    /// look for this very end.
    pub fn set_active(&mut self, now: Time, endpoint: &mut Endpoint, active: bool) {
        if core::mem::replace(&mut self.wish.active, active) == active {
            return;
        }
        match active {
            true => self.tell_settings(now, endpoint),
            false => self.tell_all(now, endpoint, &Command::Draining),
        }
    }

    /// While it is paused, redirectors are told no settings: those that know none send no clients. Others go on as before.
    pub fn set_paused(&mut self, now: Time, endpoint: &mut Endpoint, paused: bool) {
        if core::mem::replace(&mut self.wish.paused, paused) && !paused {
            self.tell_settings(now, endpoint);
        }
    }

    /// Says how loaded this end is: more is more, [`FULL_LOAD`](wire::FULL_LOAD) means no client more. The unit has to be the
    /// same for all targets of a redirector.
    pub fn set_load(&mut self, now: Time, endpoint: &mut Endpoint, load: u64) {
        self.wish.load = load;
        self.tell_load(now, endpoint);
    }

    /// Says whether clients may be sent to the address where the redirector sees this end. At first they may.
    pub fn set_advertise_reflexive(&mut self, now: Time, endpoint: &mut Endpoint, advertise: bool) {
        if core::mem::replace(&mut self.wish.settings.reflexive, advertise) != advertise {
            self.tell_settings(now, endpoint);
        }
    }

    /// Says at which other addresses clients find this end, in this order.
    pub fn set_additional_addresses(&mut self, now: Time, endpoint: &mut Endpoint, addresses: &[SocketAddr]) {
        let reported = |&addr: &SocketAddr| Address { origin: Origin::Reported, addr };
        let addresses: Vec<Address> = addresses.iter().map(reported).collect();
        if self.wish.settings.addresses != addresses {
            self.wish.settings.addresses = addresses;
            self.tell_settings(now, endpoint);
        }
    }

    /// Sends a redirector anything.
    ///
    /// # Errors
    /// [`UserDataError`].
    pub fn send_user_data(
        &self,
        now: Time,
        endpoint: &mut Endpoint,
        redirector: RedirectorId,
        data: &[u8],
    ) -> Result<(), UserDataError> {
        let peer = self.peers.get(redirector.0).filter(|peer| peer.is_connected());
        let flow = peer.and_then(|peer| peer.flow).ok_or(UserDataError::NotConnected)?;
        let mut flow = endpoint.send_flow(flow).ok_or(UserDataError::NotConnected)?;
        let message = Message::from(Command::UserData(data).encode());
        flow.write(now, message, &WriteOptions::default()).map(drop).map_err(|error| match error {
            WriteError::Full => UserDataError::Full,
            _ => UserDataError::NotConnected,
        })
    }

    fn ids(&self) -> impl Iterator<Item = RedirectorId> + use<> {
        (0..self.peers.len()).map(RedirectorId)
    }

    fn tell_settings(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.wish.active && !self.wish.paused {
            let options = self.wish.settings.encode();
            self.tell_all(now, endpoint, &Command::Settings(&options));
        }
    }

    fn tell_load(&mut self, now: Time, endpoint: &mut Endpoint) {
        let (load, interval) = (self.wish.load, self.config.load_interval);
        for id in self.ids() {
            let Some(peer) = self.peers.get_mut(id.0) else { continue };
            if peer.load_due(load, interval).is_some_and(|at| at <= now) {
                peer.told = Some((load, now));
                self.tell(now, endpoint, id, &Command::LoadFactor(load));
            }
        }
    }

    fn tell_all(&mut self, now: Time, endpoint: &mut Endpoint, command: &Command<'_>) {
        for id in self.ids() {
            if self.peers.get(id.0).is_some_and(Peer::is_connected) {
                self.tell(now, endpoint, id, command);
            }
        }
    }

    fn tell(&mut self, now: Time, endpoint: &mut Endpoint, id: RedirectorId, command: &Command<'_>) {
        let flow = self.peers.get(id.0).and_then(|peer| peer.flow);
        let Some(mut flow) = flow.and_then(|flow| endpoint.send_flow(flow)) else { return };
        let written = flow.write(now, Message::from(command.encode()), &WriteOptions::default());
        if written == Err(WriteError::Full) {
            // What it does not take it would never learn.
            warn!("redirector {}: too much waits to be sent", id.0);
            self.disconnect(now, endpoint, id, RegistrantState::Disconnected);
        }
    }

    // ---- connections ----

    fn connect(&mut self, now: Time, endpoint: &mut Endpoint, id: RedirectorId) {
        // An attempt that takes that long has failed and begins anew, with hellos at once and perhaps to other addresses.
        if self.peers.get(id.0).is_some_and(|peer| peer.flow.is_some()) {
            self.disconnect(now, endpoint, id, RegistrantState::Disconnected);
        }
        let Some(peer) = self.peers.get_mut(id.0) else { return };
        peer.retry = now + self.config.pause_after(peer.attempts);
        peer.attempts = peer.attempts.saturating_add(1);
        let spec = FlowSpec { metadata: Bytes::from_static(wire::METADATA), priority: Priority::Routine };
        match endpoint.open_flow_apart(now, &peer.redirector.epd, spec, self.config.tag) {
            Ok(flow) => {
                peer.flow = Some(flow);
                if let Some(mut flow) = endpoint.send_flow(flow) {
                    peer.redirector.addresses.iter().for_each(|&address| flow.add_candidate(now, address));
                }
                self.set_state(id, RegistrantState::Connecting, None);
            }
            Err(error) => {
                warn!("redirector {}: cannot connect: {error}", id.0);
                self.set_state(id, RegistrantState::Disconnected, None);
            }
        }
    }

    fn disconnect(&mut self, now: Time, endpoint: &mut Endpoint, id: RedirectorId, state: RegistrantState) {
        let Some(peer) = self.peers.get_mut(id.0) else { return };
        if let Some(flow) = peer.flow.take().and_then(|flow| endpoint.send_flow(flow)) {
            flow.close(now);
        }
        if let Some(flow) = peer.return_flow.take().and_then(|flow| endpoint.recv_flow(flow)) {
            flow.reject(now, 0);
        }
        (peer.session, peer.reflexive, peer.told) = (None, None, None);
        self.set_state(id, state, None);
    }

    fn set_state(&mut self, id: RedirectorId, state: RegistrantState, address: Option<SocketAddr>) {
        let Some(peer) = self.peers.get_mut(id.0).filter(|peer| peer.state != state) else { return };
        peer.state = state;
        debug!("redirector {} {:?}: {state:?}", id.0, peer.redirector.addresses);
        self.report(RegistrantEvent::State { redirector: id, state, address });
    }

    fn report(&mut self, event: RegistrantEvent) {
        let droppable = matches!(event, RegistrantEvent::UserData { .. } | RegistrantEvent::Reflexive { .. });
        if !droppable || self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn on_bound(&mut self, now: Time, endpoint: &mut Endpoint, id: RedirectorId, session: SessionId) {
        if self.peers.iter().any(|peer| peer.session == Some(session)) {
            // A second registration would take the place of the first.
            return self.disconnect(now, endpoint, id, RegistrantState::Duplicate);
        }
        let Some(peer) = self.peers.get_mut(id.0) else { return };
        let Some(mut open) = endpoint.session(session) else { return };
        let (keepalive, retransmit_limit) = (self.config.keepalive, self.config.retransmit_limit);
        let fihello = self.config.fihello;
        open.configure(now, |config| {
            config.keepalive = keepalive;
            config.retransmit_limit = retransmit_limit;
            config.fihello = fihello;
        });
        let info = open.info();
        peer.session = Some(session);
        peer.told = Some((self.wish.load, now));
        self.set_state(id, RegistrantState::Connected, Some(info.far_address));
        let keys = info.keys.unwrap_or_default();
        let proofs = self.config.users.prove_to_far(endpoint.profile(), &keys);
        let mut messages: Vec<Vec<u8>> =
            proofs.iter().map(|(user, code)| Command::Auth { code, user }.encode()).collect();
        let options = self.wish.settings.encode();
        match (self.wish.active, self.wish.paused) {
            (true, false) => messages.push(Command::Settings(&options).encode()),
            (true, true) => {}
            (false, _) => messages.push(Command::Draining.encode()),
        }
        messages.push(Command::LoadFactor(self.wish.load).encode());
        let flow = self.peers.get(id.0).and_then(|peer| peer.flow);
        for message in messages {
            if let Some(mut flow) = flow.and_then(|flow| endpoint.send_flow(flow)) {
                // There is room in a new flow; one that has ended says so by an event.
                let _ = flow.write(now, Message::from(message), &WriteOptions::default());
            }
        }
    }

    // ---- what comes in ----

    /// Takes an event of the endpoint. Answers whether it was for the registrant.
    pub fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: &Event) -> bool {
        let own = self.config.tag;
        match *event {
            Event::FlowBound { flow, tag, session } if tag == own => {
                if let Some(id) = self.of_flow(flow) {
                    self.on_bound(now, endpoint, id, session);
                }
            }
            Event::FlowException { flow, tag, code } if tag == own => {
                if let Some(id) = self.of_flow(flow) {
                    let bad_auth = code == wire::BAD_AUTH;
                    let state =
                        if bad_auth { RegistrantState::BadAuth } else { RegistrantState::Disconnected };
                    self.disconnect(now, endpoint, id, state);
                } else if let Some(flow) = endpoint.send_flow(flow) {
                    flow.close(now);
                }
            }
            Event::FlowClosed { flow, tag } if tag == own => {
                if let Some(id) = self.of_flow(flow) {
                    self.disconnect(now, endpoint, id, RegistrantState::Disconnected);
                }
            }
            Event::FlowOffered { flow, associated: Some((to, tag)), ref metadata, .. } if tag == own => {
                self.on_return_flow(now, endpoint, to, flow, metadata);
            }
            Event::Readable { flow, tag } if tag == own => self.read(now, endpoint, flow),
            Event::FlowFinished { flow, tag } | Event::FlowLost { flow, tag } if tag == own => {
                for peer in self.peers.iter_mut().filter(|peer| peer.return_flow == Some(flow)) {
                    peer.return_flow = None;
                }
            }
            Event::Writable { tag, .. } | Event::UnsentLow { tag, .. } | Event::WriteEnded { tag, .. }
                if tag == own => {}
            _ => return false,
        }
        true
    }

    fn of_flow(&self, flow: SendFlowId) -> Option<RedirectorId> {
        self.peers.iter().position(|peer| peer.flow == Some(flow)).map(RedirectorId)
    }

    fn on_return_flow(
        &mut self,
        now: Time,
        endpoint: &mut Endpoint,
        to: SendFlowId,
        flow: RecvFlowId,
        metadata: &[u8],
    ) {
        let id = self.of_flow(to);
        let Some((id, peer)) = id.and_then(|id| Some((id, self.peers.get_mut(id.0)?))) else { return };
        // An offer that is not accepted is rejected.
        if peer.return_flow.is_some() || !wire::is_metadata(metadata) {
            return;
        }
        peer.return_flow = Some(flow);
        peer.attempts = 0;
        endpoint.accept(now, flow, self.config.tag);
        if let Some(mut flow) = endpoint.recv_flow(flow) {
            flow.set_capacity(now, RECEIVE_CAPACITY, self.config.max_message);
        }
        let session = peer.session.and_then(|session| endpoint.session(session));
        let address = session.map(|session| session.info().far_address);
        self.set_state(id, RegistrantState::Registered, address);
    }

    fn read(&mut self, now: Time, endpoint: &mut Endpoint, flow: RecvFlowId) {
        let Some(id) = self.peers.iter().position(|peer| peer.return_flow == Some(flow)).map(RedirectorId)
        else {
            return;
        };
        while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
            match Command::parse(&message.bytes) {
                Ok(Some(Command::Reflexive(address))) => {
                    if let Some(peer) = self.peers.get_mut(id.0) {
                        peer.reflexive = Some(address);
                    }
                    self.report(RegistrantEvent::Reflexive { redirector: id, address });
                }
                Ok(Some(Command::UserData(data))) => {
                    let data = message.bytes.slice_ref(data);
                    self.report(RegistrantEvent::UserData { redirector: id, data });
                }
                Ok(_) => {}
                Err(error) => debug!("redirector {}: a message that is malformed: {error}", id.0),
            }
        }
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<RegistrantEvent> {
        self.events.pop_front()
    }

    // ---- time ----

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.phase != Phase::Running {
            return None;
        }
        let (load, interval) = (self.wish.load, self.config.load_interval);
        let due = |peer: &Peer| match peer.is_connected() {
            true => peer.load_due(load, interval),
            false => Some(peer.retry),
        };
        self.peers.iter().filter_map(due).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.phase != Phase::Running {
            return;
        }
        for id in self.ids() {
            if self.peers.get(id.0).is_some_and(|peer| !peer.is_connected() && peer.retry <= now) {
                self.connect(now, endpoint, id);
            }
        }
        self.tell_load(now, endpoint);
    }
}
