//! The redirector's half: who has registered, and where clients are sent.

mod answers;
mod commands;
mod config;
mod sessions;
mod stats;
mod strangers;
mod takers;
mod target;
mod watch;

use core::net::IpAddr;
use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use log::{debug, info};
use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use rtmfp::{Endpoint, Event, RecvFlowId, SessionId};
use rtmfp_base::{Arena, Limiter, Time};
use rtmfp_flash::{Certificate, Epd};

pub(crate) use answers::{Hello, shorten};
pub use config::{HashKey, RedirectLimits, ServerConfig, ServerLimits};
use sessions::{Places, Sessions};
pub use stats::ServerStats;
use strangers::Strangers;
pub(crate) use takers::is_ipv4;
use takers::{Families, Takers};
pub use target::{LeaveReason, TargetId, TargetInfo, TargetKind, TargetState};
use target::{Target, Trust};

use crate::auth::Users;
use crate::limiter::{HelloLimiter, limiter};
use crate::pools::Pools;
use crate::selection::Selection;
use crate::wire::{self, Settings};

/// Registrants in one session: one that comes again may be there before its older self has gone.
const SESSION_CLIENTS: usize = 2;

/// A redirector: takes registrations and answers hellos.
///
/// It acts on an endpoint that others may use as well: after each event of that, [`Server::on_event`]; at
/// [`Server::poll_timeout`], [`Server::handle_timeout`]; after either and after any other call, [`Server::poll_event`] until
/// there is none. The endpoint has to have a host name by which registrants find it, and must not accept discriminators
/// with URIs, for those are the clients' that are to be redirected. [`ServerConfig::configure_sessions`] says what its
/// sessions need.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    users: Users,
    pools: Pools,
    /// By the number of the pool.
    takers: Vec<Takers>,
    targets: Arena<TargetKind, Target>,
    by_flow: HashMap<RecvFlowId, TargetId>,
    sessions: Sessions,
    places: Places,
    by_identity: HashMap<Bytes, TargetId>,
    strangers: Strangers,
    deadlines: BTreeSet<(Time, TargetId)>,
    look_at: Time,
    shuffle_at: Time,
    answers: HelloLimiter,
    wrong_attempts: Limiter,
    events: VecDeque<ServerEvent>,
    stats: ServerStats,
}

/// What a redirector tells its owner.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// Things stand differently with a registrant.
    State {
        /// Which registrant.
        target: TargetId,
        /// How things stand now.
        state: TargetState,
    },
    /// A registrant is one no longer.
    Left {
        /// Which one; its id is dead.
        target: TargetId,
        /// What was known of it.
        info: Box<TargetInfo>,
        /// Why.
        reason: LeaveReason,
    },
    /// A registrant has sent something.
    UserData {
        /// Which registrant.
        target: TargetId,
        /// What it sent.
        data: Bytes,
    },
}

impl Server {
    /// A redirector without targets. All its chance comes from the seed.
    pub fn new(config: ServerConfig, users: Users, seed: [u8; 32]) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut selection = || {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            Selection::new(&config.selection, seed)
        };
        let takers = (0..=config.pools.len()).map(|_| Takers::new(&mut selection)).collect();
        let limits = &config.limits;
        let secret = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        let every = crate::Rate::new(u32::MAX, u32::MAX);
        Self {
            users,
            pools: Pools::new(&config.pools),
            takers,
            targets: Arena::new(),
            by_flow: HashMap::new(),
            sessions: Sessions::default(),
            places: Places::default(),
            by_identity: HashMap::new(),
            strangers: Strangers::default(),
            deadlines: BTreeSet::new(),
            look_at: Time::ZERO,
            shuffle_at: Time::ZERO,
            answers: limits.redirects.limiter(secret),
            wrong_attempts: limiter(every, limits.wrong_attempts, limits.redirects.prefixes),
            events: VecDeque::new(),
            stats: ServerStats::default(),
            config,
        }
    }

    /// Has an endpoint tell of the hellos that are to be answered.
    pub fn start(&self, endpoint: &mut Endpoint) {
        endpoint.set_watch_hellos(true);
    }

    /// The registrants, with those that have not registered yet.
    pub fn targets(&self) -> impl Iterator<Item = (TargetId, TargetInfo)> {
        self.targets.ids().into_iter().filter_map(|id| Some((id, self.target(id)?)))
    }

    /// What is known of a registrant.
    pub fn target(&self, id: TargetId) -> Option<TargetInfo> {
        let target = self.targets.get(id)?;
        let (state, users) = (target.state(&self.config), target.trust.users.iter().cloned().collect());
        Some(TargetInfo { state, users, ..target.info.clone() })
    }

    /// How many registrants there are, with those that have not registered yet.
    pub fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// The pools by name, and how many targets each has that get clients now. The first one, without name, is for all that no
    /// other is for.
    pub fn pools(&self) -> impl Iterator<Item = (&str, usize)> {
        let names = core::iter::once("").chain(self.config.pools.iter().map(|pool| pool.name.as_str()));
        names.zip(self.takers.iter().map(Takers::len))
    }

    /// The counters.
    pub fn stats(&self) -> &ServerStats {
        &self.stats
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    // ---- what comes in ----

    /// Takes an event of the endpoint. Answers whether it was for the redirector.
    pub fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: &Event) -> bool {
        let own = self.config.tag;
        match *event {
            Event::UnmatchedIHello { ref epd, ref tag, from, via, len } => {
                self.on_hello(now, endpoint, &Hello { epd, tag, from, via, len });
            }
            Event::FlowOffered { flow, session, ref metadata, associated: None }
                if wire::is_metadata(metadata) =>
            {
                self.on_offer(now, endpoint, flow, session);
            }
            Event::Readable { flow, tag } if tag == own => {
                if let Some(&id) = self.by_flow.get(&flow) {
                    self.read(now, endpoint, id);
                }
            }
            Event::FlowFinished { flow, tag } if tag == own => self.gone(flow, LeaveReason::Left),
            Event::FlowLost { flow, tag } if tag == own => self.gone(flow, LeaveReason::Lost),
            Event::AddressChanged { session, to, .. } => {
                // It may be the session of others as well.
                for id in self.sessions.targets(session).to_vec() {
                    if let Some(target) = self.targets.get_mut(id) {
                        let before = core::mem::replace(&mut target.info.address, to);
                        self.places.remove(before, id);
                        self.places.insert(to, id);
                        // It may be of the other family.
                        self.settle(id);
                        self.tell_reflexive(now, endpoint, id);
                    }
                }
                return false;
            }
            Event::SessionClosed { session, .. } => {
                self.sessions.end(session);
                return false;
            }
            Event::FlowException { flow, tag, .. } if tag == own => {
                if let Some(flow) = endpoint.send_flow(flow) {
                    flow.close(now);
                }
            }
            Event::FlowBound { tag, .. }
            | Event::Writable { tag, .. }
            | Event::UnsentLow { tag, .. }
            | Event::FlowClosed { tag, .. }
            | Event::WriteEnded { tag, .. }
                if tag == own => {}
            // Nobody has anything to say in return of these flows.
            Event::FlowOffered { associated: Some((_, tag)), .. } if tag == own => {}
            _ => return false,
        }
        true
    }

    fn gone(&mut self, flow: RecvFlowId, reason: LeaveReason) {
        if let Some(&id) = self.by_flow.get(&flow) {
            self.remove(id, reason);
        }
    }

    /// Somebody wants to register. An offer that is not accepted is rejected.
    fn on_offer(&mut self, now: Time, endpoint: &mut Endpoint, flow: RecvFlowId, session: SessionId) {
        let Some(info) = endpoint.session(session).map(|session| session.info()) else { return };
        // Others could not take clients who come with a URI.
        if !Certificate::parse(&info.certificate).is_ok_and(|certificate| certificate.accepts_ancillary()) {
            self.stats.refused_clients += 1;
            return;
        }
        let limits = &self.config.limits;
        if self.targets.len() >= limits.clients || self.sessions.targets(session).len() >= SESSION_CLIENTS {
            self.stats.limited_clients += 1;
            return;
        }
        // A beginning is as much work as a message.
        self.sessions.hold(session, limits);
        if !self.sessions.take_message(now, session) {
            self.stats.limited_messages += 1;
            return;
        }
        let authenticated = self.users.is_empty();
        if !authenticated {
            self.make_room(now, endpoint, info.far_address.ip());
        }
        let limits = &self.config.limits;
        self.stats.clients += 1;
        endpoint.accept(now, flow, self.config.tag);
        if let Some(mut flow) = endpoint.recv_flow(flow) {
            flow.set_capacity(now, 2 * limits.message_bytes, limits.message_bytes);
        }
        let fingerprint = Epd::parse(&info.epd).ok().and_then(|epd| epd.fingerprint);
        let identity = fingerprint.map_or_else(|| info.epd.clone(), Bytes::copy_from_slice);
        let id = self.targets.insert(Target {
            flow,
            session,
            return_flow: None,
            trust: Trust { authenticated, users: BTreeSet::new(), refused: false, deadline: None },
            registered: None,
            pools: self.pools.of_users(core::iter::empty()),
            listed: Families::NONE,
            heard: (0, now),
            silent: false,
            info: TargetInfo {
                address: info.far_address,
                identity,
                state: TargetState::New,
                users: Vec::new(),
                settings: Settings::default(),
                load: 0,
                redirects: 0,
                forwards: 0,
                since: now,
            },
        });
        self.by_flow.insert(flow, id);
        self.sessions.hold(session, &self.config.limits).targets.push(id);
        self.places.insert(info.far_address, id);
        if !authenticated {
            self.strangers.insert(info.far_address.ip(), id);
            self.set_deadline(id, Some(now + self.config.limits.authenticate));
        }
        debug!("{id:?} from {}: came", info.far_address);
        // A password may be there already: who has one is not to make way for those who come behind.
        self.read(now, endpoint, id);
    }

    /// Has one who has not authenticated leave, if there would be too many with another one from there: who knows a password
    /// says it at once, and does not have to make way.
    fn make_room(&mut self, now: Time, endpoint: &mut Endpoint, ip: IpAddr) {
        let limits = &self.config.limits;
        if self.strangers.from(ip) >= limits.unauthenticated_per_prefix().max(1) {
            self.stats.limited_unauthenticated_per_prefix += 1;
            if let Some(oldest) = self.strangers.oldest_from(ip) {
                self.close(now, endpoint, oldest, LeaveReason::Displaced);
            }
        } else if self.strangers.len() >= limits.unauthenticated.max(1) {
            self.stats.limited_unauthenticated += 1;
            if let Some(oldest) = self.strangers.oldest_of_most() {
                self.close(now, endpoint, oldest, LeaveReason::Displaced);
            }
        }
    }

    // ---- the table ----

    /// After anything about a target has changed: it is among those who get clients, or not.
    fn settle(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(id) else { return };
        let state = target.state(&self.config);
        let families = if state == TargetState::Active { target.families() } else { Families::NONE };
        if core::mem::replace(&mut target.info.state, state) != state {
            info!("{id:?} at {}: {state:?}", target.info.address);
            self.report(ServerEvent::State { target: id, state });
        }
        self.set_listed(id, families);
    }

    /// Has a target get clients of these families.
    fn set_listed(&mut self, id: TargetId, families: Families) {
        let Some(target) = self.targets.get_mut(id) else { return };
        let before = core::mem::replace(&mut target.listed, families);
        if before == families {
            return;
        }
        for &pool in &target.pools {
            if let Some(takers) = self.takers.get_mut(pool) {
                takers.list(id, (before, families), &target.info.identity, target.info.load);
            }
        }
    }

    fn report(&mut self, event: ServerEvent) {
        if self.events.len() < self.config.limits.events {
            self.events.push_back(event);
        } else if matches!(event, ServerEvent::UserData { .. }) {
            self.stats.limited_user_data += 1;
        }
    }

    fn set_deadline(&mut self, id: TargetId, at: Option<Time>) {
        let Some(target) = self.targets.get_mut(id) else { return };
        if let Some(before) = core::mem::replace(&mut target.trust.deadline, at) {
            self.deadlines.remove(&(before, id));
        }
        if let Some(at) = at {
            self.deadlines.insert((at, id));
        }
    }

    /// Forgets a target whose flow has ended.
    fn remove(&mut self, id: TargetId, reason: LeaveReason) {
        self.set_deadline(id, None);
        self.set_listed(id, Families::NONE);
        let Some(info) = self.target(id) else { return };
        let Some(target) = self.targets.remove(id) else { return };
        self.strangers.remove(id);
        self.by_flow.remove(&target.flow);
        self.sessions.leave(target.session, id);
        self.places.remove(info.address, id);
        if self.by_identity.get(&info.identity) == Some(&id) {
            self.by_identity.remove(&info.identity);
        }
        match reason {
            LeaveReason::Left => self.stats.left += 1,
            LeaveReason::Lost => self.stats.lost += 1,
            LeaveReason::Replaced => self.stats.replaced += 1,
            LeaveReason::Late => self.stats.late_clients += 1,
            LeaveReason::BadAuth | LeaveReason::Broken | LeaveReason::Displaced => {}
        }
        info!("{id:?} at {}: {reason:?}", info.address);
        self.report(ServerEvent::Left { target: id, info: Box::new(info), reason });
    }

    /// Ends a target's registration, and its flow by a code.
    fn close(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId, reason: LeaveReason) {
        let Some(target) = self.targets.get(id) else { return };
        // One that waits to be told that its authentication was bad is told now.
        let bad_auth = reason == LeaveReason::BadAuth || target.trust.refused;
        let code = if bad_auth { wire::BAD_AUTH } else { 0 };
        endpoint.reject(now, target.flow, code);
        if let Some(flow) = target.return_flow.and_then(|flow| endpoint.send_flow(flow)) {
            flow.close(now);
        }
        self.remove(id, reason);
    }
}
