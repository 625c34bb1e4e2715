//! The endpoint: all sessions behind one certificate (RFC 7016 section 3.1).

mod callers;
mod control;
mod cookie;
mod demux;
mod flows;
mod fragments;
mod handles;
mod hello;
mod identity;
mod initiator;
mod interfaces;
mod introduce;
mod jobs;
mod mobility;
mod mtu;
mod near_id;
mod randomness;
mod receipts;
mod responder;
mod stats;
mod timeouts;
mod transmit;

use core::fmt;
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use rtmfp_base::{Arena, InterfaceId, Time};

pub use demux::{Disposition, DropReason};
pub use flows::{FlowSpec, OpenFlowError};
pub use handles::{RecvFlowRef, SendFlowRef, SessionInfo, SessionRef, WriteError};
pub(crate) use initiator::Opening;
pub(crate) use interfaces::Reach;
pub use introduce::IntroduceError;
use randomness::Randomness;
pub use receipts::{Receipt, WriteChain};
pub use stats::{Holdings, RecvFlowCounters, SendFlowCounters, SessionCounters, Stats};

use crate::config::{Config, SessionConfig};
use crate::crypto::Profile;
use crate::event::{CloseReason, Event, KeyingFailure};
use crate::ids::SessionKind;
use crate::recv::State as RecvState;
use crate::session::{Flows, Session, Total};
use crate::{Priority, RecvFlowId, SessionId};

/// How to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    /// Close each session and wait for the other ends to confirm, 90 seconds at most.
    Orderly,
    /// Tell the other ends once and forget them.
    Abrupt,
}

/// Why [`Endpoint::poll_timeout`] wants to be called, for logs.
pub type TimeoutReason = &'static str;

/// An RTMFP endpoint, without I/O.
///
/// After any input, poll events, then jobs, then transmissions, then the timeout.
pub struct Endpoint {
    profile: Box<dyn Profile>,
    config: Config,
    randomness: Randomness,
    interfaces: Vec<(InterfaceId, SocketAddr)>,
    /// What [`Config::session`] says, shared by the sessions that have no settings of their own.
    session_config: Arc<SessionConfig>,
    sessions: Arena<SessionKind, Box<Session>>,
    flows: Flows,
    index: Index,
    control: control::Control,
    ready: [VecDeque<SessionId>; Priority::COUNT],
    /// For each session with a timer one entry, not later than its earliest timer.
    timers: BTreeSet<(Time, SessionId)>,
    jobs: jobs::Jobs,
    hellos: hello::Hellos,
    callers: callers::Callers,
    introductions: introduce::Introductions,
    reassembly: fragments::Reassembly,
    paced: fragments::Paced,
    /// What is being worked on came in fragments.
    fragmented: bool,
    near_ids: near_id::NearIds,
    paths: mobility::Paths,
    critical: Critical,
    shutdown: Option<bool>,
    /// New sessions are opened for others.
    accepting: bool,
    /// The flow of the offer that was polled last.
    offered: Option<RecvFlowId>,
    /// Memory for what is being sealed, and the session ids of the far ends.
    sealings: Vec<crate::crypto::Sealing>,
    sealing_ids: Vec<u32>,
    /// What has gone wrong last, until it is polled: with whom, and whether this end is the initiator.
    keying_failure: Option<(SocketAddr, bool, KeyingFailure)>,
    stats: Stats,
}

/// Sessions by what packets name them with.
#[derive(Debug, Default)]
struct Index {
    /// Opening sessions by the tag of their hellos.
    by_tag: BTreeMap<[u8; 16], SessionId>,
    /// Sessions by the Endpoint Discriminator that they were opened to, and by their far end's canonical one.
    by_epd: HashMap<Bytes, SessionId>,
    /// As responder: by the initiator's address and session id.
    by_initiator: HashMap<(SocketAddr, u32), SessionId>,
    /// Sessions that were open once by the address and the canonical Endpoint Discriminator of the far end; one that has
    /// shown its keys goes before one that has not.
    by_far: BTreeMap<(SocketAddr, Bytes), SessionId>,
}

/// Time critical data of all sessions (RFC 7016 section 3.5.2.1).
#[derive(Debug, Default)]
struct Critical {
    /// When any session sent some.
    sent: Option<Time>,
    /// The session that received some last, and when another one did.
    received: Option<(SessionId, Time)>,
    received_other: Option<Time>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("sessions", &self.sessions.len())
            .field("send_flows", &self.flows.send.len())
            .field("recv_flows", &self.flows.recv.len())
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint with the identity of a profile. All its secrets and random numbers come from `seed`: fill it from
    /// the system in a program, from the test's number in a simulation.
    pub fn new(mut config: Config, profile: Box<dyn Profile>, seed: [u8; 32], now: Time) -> Self {
        config.session.normalize();
        let mut randomness = Randomness::new(seed);
        let hellos = hello::Hellos::new(&config.limits.hellos, &mut randomness, now);
        let introductions = introduce::Introductions::new(&config.limits.hellos);
        let near_ids = near_id::NearIds::new(&mut randomness);
        let paths = mobility::Paths::new(&config.limits, randomness.secret());
        let received = Total::new(config.limits.receive_total, config.max_message);
        Self {
            profile,
            session_config: Arc::new(config.session.clone()),
            config,
            randomness,
            interfaces: Vec::new(),
            sessions: Arena::new(),
            flows: Flows { received, ..Flows::default() },
            index: Index::default(),
            control: control::Control::default(),
            ready: Default::default(),
            timers: BTreeSet::new(),
            jobs: jobs::Jobs::default(),
            hellos,
            callers: callers::Callers::default(),
            introductions,
            reassembly: fragments::Reassembly::default(),
            paced: fragments::Paced::default(),
            fragmented: false,
            near_ids,
            paths,
            critical: Critical::default(),
            shutdown: None,
            accepting: true,
            offered: None,
            sealings: Vec::new(),
            sealing_ids: Vec::new(),
            keying_failure: None,
            stats: Stats::default(),
        }
    }

    /// The cryptography profile.
    pub fn profile(&self) -> &dyn Profile {
        &*self.profile
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// What is held now.
    pub fn holdings(&self) -> Holdings {
        let Index { by_tag, by_epd, by_initiator, by_far } = &self.index;
        let index = by_tag.len() + by_epd.len() + by_initiator.len() + by_far.len() + self.callers.prefixes();
        Holdings {
            held_sessions: self.sessions.len() as u64,
            held_unproven: self.callers.unproven() as u64,
            held_send_flows: self.flows.send.len() as u64,
            held_recv_flows: self.flows.recv.len() as u64,
            held_receipts: self.flows.receipts.len() as u64,
            held_index_entries: index as u64,
            held_timers: self.timers.len() as u64,
            held_jobs: self.jobs.len() as u64,
            held_control_packets: (self.control.len() + self.paced.len()) as u64,
            held_partial_packets: self.reassembly.len() as u64,
            held_events: self.flows.events.len() as u64,
            held_received_bytes: self.flows.received.held() as u64,
            held_queued_bytes: self.flows.queued.all() as u64,
        }
    }

    /// How many sessions there are, with those that open or close.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The ids of the open sessions.
    pub fn open_sessions(&self) -> Vec<SessionId> {
        self.sessions.iter().filter(|(_, s)| s.is_open()).map(|(id, _)| id).collect()
    }

    /// What has happened, if anything. A flow that was offered by the event before and not answered since is rejected.
    pub fn poll_event(&mut self, now: Time) -> Option<Event> {
        if let Some(flow) = self.offered.take()
            && self.flows.recv.get(flow).is_some_and(|f| f.state == RecvState::Offered)
        {
            self.reject(now, flow, 0);
        }
        self.settle_dependent(now);
        if let Some((peer, initiator, failure)) = self.keying_failure.take() {
            return Some(Event::KeyingFailed { peer, initiator, failure });
        }
        while let Some(event) = self.flows.events.pop_front() {
            self.flows.note_told(&event);
            if let Event::FlowOffered { flow, .. } = event {
                if self.flows.recv.get(flow).is_none_or(|f| f.state != RecvState::Offered) {
                    continue; // It was rejected or lost before anybody heard of it.
                }
                self.offered = Some(flow);
            }
            if let Event::Readable { flow, .. } = event
                && self.flows.recv.get(flow).is_none_or(|f| f.is_rejected())
            {
                continue; // The application has read it to its end, or refused it, meanwhile.
            }
            self.introductions.polled(&event);
            return Some(event);
        }
        self.shut_down_event()
    }

    fn shut_down_event(&mut self) -> Option<Event> {
        let done = self.shutdown == Some(false) && self.sessions.is_empty();
        if done {
            self.shutdown = Some(true);
        }
        done.then_some(Event::ShutDown)
    }

    /// Ends all sessions and takes no new ones. [`Event::ShutDown`] tells when all is done.
    pub fn shutdown(&mut self, now: Time, how: Shutdown) {
        self.shutdown.get_or_insert(false);
        for id in self.sessions.ids() {
            match how {
                Shutdown::Orderly => self.close_session(now, id, CloseReason::Near),
                Shutdown::Abrupt => self.abort_session(now, id, CloseReason::Near),
            }
        }
    }

    /// Says whether others may open new sessions, which they may at first. Those that are open go on.
    pub fn set_accepting(&mut self, accepting: bool) {
        self.accepting = accepting;
    }

    /// After anything has changed about a session: puts it into the ready list and arms its timer.
    fn touch(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(priority) = session.interest()
            && session.queued & (1 << priority) == 0
        {
            session.queued |= 1 << priority;
            self.ready[priority].push_back(id);
        }
        let (at, _) = session.timers.next();
        let (at, armed) = (at.max(now), session.timers.armed);
        if at < armed {
            session.timers.armed = at;
            self.timers.remove(&(armed, id));
            self.timers.insert((at, id));
        }
    }

    /// Whether the far end of a session should be told that others send it time critical data.
    fn reverse_notice(&self, id: SessionId, now: Time) -> bool {
        let fresh = |at: Time| now.since(at) < crate::session::TIME_CRITICAL_MEMORY;
        match self.critical.received {
            Some((session, at)) if session != id => fresh(at),
            Some(_) => self.critical.received_other.is_some_and(fresh),
            None => false,
        }
    }

    fn note_time_critical(&mut self, id: SessionId, now: Time) {
        if let Some((session, at)) = self.critical.received
            && session != id
        {
            self.critical.received_other = Some(at);
        }
        self.critical.received = Some((id, now));
    }
}
