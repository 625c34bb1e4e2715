//! Registering with redirectors, which then send clients here.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use log::{debug, info, warn};
use rtmfp::Event;
use rtmfp_base::Time;
use rtmfp_netconn::EndpointId;
use rtmfp_redirect::{
    Redirector, RedirectorId, Registrant, RegistrantConfig, RegistrantEvent, RegistrantState, Users, wire,
};

use super::load::{INTERVAL, Load};
use super::shared::Shared;
use super::{Advertise, Listen, Protocol, RelayConfig};

/// A redirector that was silent for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(4);

/// A redirector that does not answer for so long is looked for anew: one that was killed and has started again knows of nobody,
/// and sends no clients until then. Over a network that loses every fifth packet five pings fit into it.
const GIVE_UP: Duration = Duration::from_secs(8);

/// With which redirectors a relay registers, and what it tells them.
///
/// Each RTMFP listener registers by its own endpoint, so that a redirector sees the very address that clients have to come
/// to.
#[derive(Clone, Debug, Default)]
pub struct RegistrationConfig {
    /// The redirectors: their names, and addresses of each.
    pub redirectors: Vec<(String, Vec<SocketAddr>)>,
    /// By which names and passwords the relay authenticates with all of them.
    pub credentials: Credentials,
    /// Where else clients find it than where redirectors see it.
    pub advertise: Vec<Advertise>,
    /// Only there.
    pub hide_reflexive: bool,
}

/// Names and passwords that may change while relays run. A clone is the same thing, for another thread perhaps: the workers of
/// a relay have one together.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    users: Mutex<Users>,
    /// How often they were changed.
    changes: AtomicU64,
}

impl From<Users> for Credentials {
    fn from(users: Users) -> Self {
        Self(Arc::new(Held { users: users.into(), changes: AtomicU64::new(0) }))
    }
}

impl Credentials {
    /// Changes them. They are used in the next attempt to register; registrations that stand stay.
    pub fn replace(&self, users: Users) {
        *self.0.users.lock().unwrap_or_else(PoisonError::into_inner) = users;
        self.0.changes.fetch_add(1, Ordering::Release);
    }

    fn changes(&self) -> u64 {
        self.0.changes.load(Ordering::Acquire)
    }

    fn users(&self) -> Users {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The registrations of all listeners.
#[derive(Debug)]
pub(super) struct Registrations {
    config: RegistrationConfig,
    /// Which change of the credentials the registrants know.
    known_change: u64,
    /// The number of this worker, from 0.
    worker: usize,
    /// Of each listener of RTMFP whether it is one of IPv4.
    are_ipv4: Vec<bool>,
    all: Vec<Registration>,
    is_draining: bool,
}

#[derive(Debug)]
struct Registration {
    endpoint: EndpointId,
    listen: Listen,
    /// Its redirectors, in their order.
    redirectors: Vec<Known>,
    /// Where else than where redirectors see it.
    advertised: Vec<SocketAddr>,
    registrant: Registrant,
}

/// What is to be said of a redirector.
#[derive(Debug)]
struct Known {
    name: String,
    /// What was wrong when that was said last; nothing, once it has gone well.
    warned: Option<RegistrantState>,
    /// It has known this end since it was last lost.
    was_registered: bool,
}

impl Registrations {
    pub(super) fn new(config: &RelayConfig) -> Self {
        let worker = config.worker.as_ref().map_or(0, |own| own.worker.number());
        let listens = config.listen.iter().filter(|listen| listen.protocol == Protocol::Rtmfp);
        let are_ipv4 = listens.map(|listen| listen.address.is_ipv4()).collect();
        let config = config.registration.clone();
        let known_change = config.credentials.changes();
        Self { config, known_change, worker, are_ipv4, all: Vec::new(), is_draining: false }
    }

    /// An RTMFP listener is open there: it registers.
    pub(super) fn add(
        &mut self,
        shared: &mut Shared,
        now: Time,
        endpoint: EndpointId,
        listen: Listen,
        local: SocketAddr,
    ) {
        if self.config.redirectors.is_empty() || self.is_draining {
            return;
        }
        let config = RegistrantConfig {
            users: self.config.credentials.users(),
            load_interval: INTERVAL,
            keepalive: KEEPALIVE,
            retransmit_limit: GIVE_UP,
            ..RegistrantConfig::default()
        };
        let listen = Listen { address: local, legacy: false, ..listen };
        let mut registrant = Registrant::new(config);
        let mut known = Vec::new();
        for (name, addresses) in &self.config.redirectors {
            let reachable: Vec<SocketAddr> =
                addresses.iter().copied().filter(|address| address.is_ipv4() == local.is_ipv4()).collect();
            if reachable.is_empty() {
                debug!("{listen}: redirector {name} has no address of this family");
                continue;
            }
            registrant.add(Redirector::named(name, reachable));
            known.push(Known { name: name.clone(), warned: None, was_registered: false });
        }
        let Some(own) = shared.endpoints.get(endpoint) else { return };
        let advertised = self.advertised(local);
        registrant.set_additional_addresses(now, own, &advertised);
        registrant.set_advertise_reflexive(now, own, !self.config.hide_reflexive);
        registrant.start(now, own);
        self.all.push(Registration { endpoint, listen, redirectors: known, advertised, registrant });
        self.settle();
    }

    /// Where clients of a listener are told to find it. An address is for the listeners of its family; one with a port, if
    /// there are none, for the others: who names a port has seen to it that it leads here.
    fn advertised(&self, local: SocketAddr) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for advertise in &self.config.advertise {
            let is_ipv4 = advertise.ip.is_ipv4();
            let is_free = advertise.port.is_some() && !self.are_ipv4.contains(&is_ipv4);
            let address = advertise.of_worker(self.worker, local.port());
            addresses.extend(
                address.filter(|address| {
                    (is_ipv4 == local.is_ipv4() || is_free) && !addresses.contains(address)
                }),
            );
        }
        addresses
    }

    /// Takes an event of an endpoint. Answers whether it was for one of the registrations.
    pub(super) fn on_event(
        &mut self,
        shared: &mut Shared,
        now: Time,
        endpoint: EndpointId,
        event: &Event,
    ) -> bool {
        let Some(registration) = self.all.iter_mut().find(|other| other.endpoint == endpoint) else {
            return false;
        };
        let Some(own) = shared.endpoints.get(endpoint) else { return false };
        let taken = registration.registrant.on_event(now, own, event);
        if registration.settle() && !self.config.hide_reflexive {
            registration.leave_out_reflexive(now, own);
        }
        taken
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.all.iter().filter_map(|registration| registration.registrant.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Time) {
        // Attempts begin here.
        let change = self.config.credentials.changes();
        if core::mem::replace(&mut self.known_change, change) != change {
            for registration in &mut self.all {
                registration.registrant.set_users(self.config.credentials.users());
            }
        }
        for Registration { endpoint, registrant, .. } in &mut self.all {
            if registrant.poll_timeout().is_some_and(|at| at <= now)
                && let Some(own) = shared.endpoints.get(*endpoint)
            {
                registrant.handle_timeout(now, own);
            }
        }
        self.settle();
    }

    /// Tells the load.
    pub(super) fn set_load(&mut self, shared: &mut Shared, now: Time, load: &Load) {
        let load = if load.is_full { wire::FULL_LOAD } else { load.level };
        self.each(shared, |registrant, own| registrant.set_load(now, own, load));
    }

    /// Wants no new clients any more.
    pub(super) fn drain(&mut self, shared: &mut Shared, now: Time) {
        self.is_draining = true;
        self.each(shared, |registrant, own| registrant.set_active(now, own, false));
    }

    /// Leaves the redirectors for good.
    pub(super) fn close(&mut self, shared: &mut Shared, now: Time) {
        self.each(shared, |registrant, own| registrant.close(now, own));
        self.all.clear();
    }

    fn each(&mut self, shared: &mut Shared, mut act: impl FnMut(&mut Registrant, &mut rtmfp::Endpoint)) {
        for Registration { endpoint, registrant, .. } in &mut self.all {
            if let Some(own) = shared.endpoints.get(*endpoint) {
                act(registrant, own);
            }
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.all.iter_mut().for_each(|registration| _ = registration.settle());
    }

    /// How many registrations stand.
    pub(super) fn registered(&self) -> usize {
        let states = self.all.iter().flat_map(|registration| registration.registrant.redirectors());
        states.filter(|(.., state)| *state == RegistrantState::Registered).count()
    }
}

impl Registration {
    /// Logs what has happened. Answers whether a redirector has said where it sees the listener.
    fn settle(&mut self) -> bool {
        let mut is_seen = false;
        while let Some(event) = self.registrant.poll_event() {
            match event {
                RegistrantEvent::State { redirector, state, address } => {
                    self.log_state(redirector, state, address);
                }
                RegistrantEvent::Reflexive { redirector, address } => {
                    is_seen = true;
                    info!(
                        "{}: redirector {} sees it at {}",
                        self.listen,
                        self.name(redirector),
                        address.addr
                    );
                }
                _ => {}
            }
        }
        is_seen
    }

    /// Does not name an address at which all redirectors see the listener anyway.
    fn leave_out_reflexive(&mut self, now: Time, own: &mut rtmfp::Endpoint) {
        let redirectors = self.registrant.redirectors();
        let seen = redirectors.filter_map(|(id, ..)| self.registrant.reflexive(id));
        let seen: Vec<SocketAddr> = seen.map(|address| address.addr).collect();
        let is_news = |address: &&SocketAddr| seen.iter().any(|seen| seen != *address);
        let addresses: Vec<SocketAddr> = self.advertised.iter().filter(is_news).copied().collect();
        self.registrant.set_additional_addresses(now, own, &addresses);
    }

    fn name(&self, redirector: RedirectorId) -> &str {
        self.redirectors.get(redirector.number()).map_or("?", |known| &known.name)
    }

    /// Of what goes wrong again and again only the first time is worth a warning.
    fn log_state(&mut self, redirector: RedirectorId, state: RegistrantState, address: Option<SocketAddr>) {
        let is_news = self.is_news(redirector, state);
        let was_registered = self.was_registered(redirector, state);
        let (listen, name) = (self.listen, self.name(redirector));
        let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
        match state {
            RegistrantState::Connecting => debug!("{listen}: looking for redirector {name}"),
            RegistrantState::Connected => debug!("{listen}: connected to redirector {name}{at}"),
            RegistrantState::Registered => info!("{listen}: registered with redirector {name}{at}"),
            RegistrantState::BadAuth if is_news => warn!(
                "{listen}: redirector {name} refuses the name or password: check --redirector-user or \
                 --redirector-user-file here and the users there; it is tried again"
            ),
            RegistrantState::Disconnected if was_registered => {
                warn!("{listen}: lost redirector {name}: it is tried again, running streams go on");
            }
            RegistrantState::Disconnected if is_news => warn!(
                "{listen}: no connection to redirector {name}: check its name, its address and that UDP gets there; it is \
                 tried again, running streams go on"
            ),
            RegistrantState::BadAuth | RegistrantState::Disconnected => {
                debug!("{listen}: once more nothing from redirector {name}: {state:?}");
            }
            _ => {}
        }
    }

    /// Whether the redirector has known this end before, if it does not any more.
    fn was_registered(&mut self, redirector: RedirectorId, state: RegistrantState) -> bool {
        let Some(known) = self.redirectors.get_mut(redirector.number()) else { return false };
        match state {
            RegistrantState::Registered => core::mem::replace(&mut known.was_registered, true),
            RegistrantState::Disconnected | RegistrantState::BadAuth => {
                core::mem::take(&mut known.was_registered)
            }
            _ => false,
        }
    }

    fn is_news(&mut self, redirector: RedirectorId, state: RegistrantState) -> bool {
        let Some(known) = self.redirectors.get_mut(redirector.number()) else { return true };
        match state {
            RegistrantState::Registered => known.warned.take().is_some(),
            RegistrantState::BadAuth | RegistrantState::Disconnected => {
                known.warned.replace(state) != Some(state)
            }
            _ => false,
        }
    }
}
