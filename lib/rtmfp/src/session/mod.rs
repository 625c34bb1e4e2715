//! Sessions (RFC 7016 section 3.5).

mod acks;
mod assemble;
mod close;
mod counters;
mod flows;
mod fragments;
mod lazy;
mod loss;
mod mobility;
mod mtu;
mod path;
mod receive;
mod reopen;
mod room;
mod tail;
mod timers;
mod total;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rtmfp_base::Time;

pub(crate) use acks::Acks;
pub(crate) use close::{CLOSE_LIMIT, CLOSE_PERIOD};
pub(crate) use flows::{Flows, RecvSlot};
pub(crate) use fragments::Taken;
pub(crate) use lazy::{Blank, Lazy};
pub(crate) use loss::Flight;
pub(crate) use mtu::Probe;
pub(crate) use path::Path;
pub(crate) use path::timestamp;
pub(crate) use receive::{Context, Received};
pub(crate) use timers::{Timer, Timers};
pub(crate) use total::Total;

use crate::config::SessionConfig;
use crate::crypto::{DEFAULT_KEY, KeyId};
use crate::endpoint::{Opening, Reach, SessionCounters};
use crate::{SendFlowId, SessionId};

/// Where a session is in its life (RFC 7016 section 3.5, figure 12).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// As initiator: hellos are sent.
    Hello,
    /// As initiator: a responder was chosen, keys are being agreed on.
    Keying,
    /// As responder: the public-key work is under way.
    Responding,
    Open,
    NearClose,
    FarCloseLinger,
}

/// Who began a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// Marks of time critical data, for this session (RFC 7016 section 3.5.2.1).
#[derive(Debug)]
pub(crate) struct TimeCritical {
    pub(crate) sent: Option<Time>,
    pub(crate) reverse_received: Option<Time>,
}

impl Blank for TimeCritical {
    const NEW: Self = Self { sent: None, reverse_received: None };
    const BLANK: &'static Self = &Self::NEW;
}

/// How long a mark of time critical data holds.
pub(crate) const TIME_CRITICAL_MEMORY: Duration = Duration::from_millis(800);

/// Signs of life.
#[derive(Debug)]
pub(crate) struct Liveness {
    /// When the last packet with data, acknowledgements or a ping was sent.
    pub(crate) last_sent: Time,
    /// A keep-alive ping waits for its reply.
    pub(crate) ping_outstanding: bool,
    /// A buffer probe waits for its acknowledgement.
    pub(crate) probe_outstanding: bool,
    /// Since when the far end should have answered a ping or a buffer probe.
    pub(crate) waiting_since: Option<Time>,
    /// Since when it has acknowledged nothing of the data that is under way.
    pub(crate) stalled_since: Option<Time>,
    /// A valid packet has come with the session's keys.
    pub(crate) proven: bool,
    /// Since when there has been no flow.
    pub(crate) flowless_since: Time,
    /// When closing began.
    pub(crate) closing_since: Time,
}

/// Congestion marks, both ways (the ECN Report extension).
#[derive(Debug)]
pub(crate) struct Marks {
    /// Packets with user data are sent as ECN-capable.
    pub(crate) sending: bool,
    pub(crate) report_seen: bool,
    pub(crate) last_reported: u8,
    /// Marked packets received, modulo 256, and whether any ECN-capable one came since the last report.
    pub(crate) received: u8,
    pub(crate) report_due: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) near_id: u32,
    pub(crate) far_id: u32,
    pub(crate) role: Role,
    pub(crate) state: State,
    pub(crate) opening: Option<Box<Opening>>,
    pub(crate) key: KeyId,
    pub(crate) certificate: Bytes,
    /// The far end's canonical Endpoint Discriminator.
    pub(crate) epd: Bytes,
    /// As initiator: the Endpoint Discriminator that the session was opened to.
    pub(crate) requested: Bytes,
    pub(crate) config: Arc<SessionConfig>,
    pub(crate) path: Path,
    /// The address under which the endpoint files it.
    pub(crate) filed_at: Option<SocketAddr>,
    pub(crate) congestion: lazy::Controller,
    pub(crate) flight: Lazy<Flight>,
    pub(crate) acks: Lazy<Acks>,
    pub(crate) sending: Lazy<Sending>,
    pub(crate) receiving: Lazy<Receiving>,
    pub(crate) timers: Timers,
    pub(crate) critical: Lazy<TimeCritical>,
    pub(crate) life: Liveness,
    pub(crate) marks: Marks,
    pub(crate) checks: Lazy<mobility::Checks>,
    pub(crate) reach: Lazy<Reach>,
    /// [`KeyInfo::basic`](crate::crypto::KeyInfo::basic).
    pub(crate) basic: bool,
    pub(crate) mtu: Lazy<mtu::Mtu>,
    pub(crate) fragments: Lazy<fragments::Reassembly>,
    pub(crate) counts: Lazy<SessionCounters>,
    /// As responder: the RIKeying packet's chunk, to answer a repeated IIKeying, and a hash of the initiator's component.
    pub(crate) answer: Option<Box<(Vec<u8>, [u8; 32])>>,
    /// In the endpoint's ready list of these priorities, one bit each.
    pub(crate) queued: u8,
    /// What the far end may still ask for, once it has asked.
    pub(crate) pings: Option<Box<rtmfp_base::TokenBucket>>,
}

/// The sending flows of a session.
#[derive(Debug)]
pub(crate) struct Sending {
    /// By wire id.
    pub(crate) by_wire: BTreeMap<u64, SendFlowId>,
    /// Wire ids that are reserved until then (RFC 7016 section 3.6.2: 130 seconds), in order of time.
    pub(crate) lingering: VecDeque<(Time, u64)>,
    free: VecDeque<u64>,
    next_wire: u64,
    /// By priority; none before a flow has been ready.
    ready: Vec<VecDeque<SendFlowId>>,
    /// Memory for lists of flows that are made and forgotten all the time.
    scratch: Vec<SendFlowId>,
}

/// The receiving flows of a session.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// By wire id.
    pub(crate) by_wire: BTreeMap<u64, RecvSlot>,
    /// Finished ones, in order of the time at which they may be forgotten (RFC 7016 section 3.6.3: 120 seconds).
    pub(crate) lingering: VecDeque<(Time, u64)>,
    /// What flows and holes cost beside the bytes they hold.
    pub(crate) overhead: usize,
    /// Flows whose windows have reopened, until their senders show that they know.
    pub(crate) reopened: BTreeMap<u64, reopen::Reopened>,
    held: room::Held,
}

impl Blank for Sending {
    const NEW: Self = Self {
        by_wire: BTreeMap::new(),
        lingering: VecDeque::new(),
        free: VecDeque::new(),
        next_wire: 2,
        ready: Vec::new(),
        scratch: Vec::new(),
    };
    const BLANK: &'static Self = &Self::NEW;
}

impl Blank for Receiving {
    const NEW: Self = Self {
        by_wire: BTreeMap::new(),
        lingering: VecDeque::new(),
        overhead: 0,
        reopened: BTreeMap::new(),
        held: room::Held::new(),
    };
    const BLANK: &'static Self = &Self::NEW;
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        near_id: u32,
        role: Role,
        path: Path,
        config: &crate::Config,
        shared: &Arc<SessionConfig>,
        now: Time,
    ) -> Self {
        let state = match role {
            Role::Initiator => State::Hello,
            Role::Responder => State::Responding,
        };
        Self {
            id,
            near_id,
            far_id: 0,
            role,
            state,
            opening: None,
            key: DEFAULT_KEY,
            certificate: Bytes::new(),
            epd: Bytes::new(),
            requested: Bytes::new(),
            config: Arc::clone(shared),
            path,
            filed_at: None,
            congestion: lazy::Controller::new(config.congestion),
            flight: Lazy::new(),
            acks: Lazy::new(),
            sending: Lazy::new(),
            receiving: Lazy::new(),
            timers: Timers::default(),
            critical: Lazy::new(),
            life: Liveness {
                last_sent: now,
                ping_outstanding: false,
                probe_outstanding: false,
                waiting_since: None,
                stalled_since: None,
                proven: false,
                flowless_since: now,
                closing_since: now,
            },
            marks: Marks {
                sending: true,
                report_seen: false,
                last_reported: 0,
                received: 0,
                report_due: false,
            },
            checks: Lazy::new(),
            reach: Lazy::new(),
            basic: false,
            mtu: Lazy::new(),
            fragments: Lazy::new(),
            counts: Lazy::new(),
            answer: None,
            queued: 0,
            pings: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether time critical data was sent on this session lately.
    pub(crate) fn sends_time_critical(&self, now: Time) -> bool {
        self.critical.sent.is_some_and(|at| now.since(at) < TIME_CRITICAL_MEMORY)
    }

    /// Whether the far end lately told that it receives time critical data from others.
    pub(crate) fn reverse_notified(&self, now: Time) -> bool {
        self.critical.reverse_received.is_some_and(|at| now.since(at) < TIME_CRITICAL_MEMORY)
    }

    /// The far end has answered what it owed an answer to.
    pub(crate) fn note_answer(&mut self) {
        self.life.waiting_since = None;
        self.life.ping_outstanding = false;
        self.life.probe_outstanding = false;
    }

    /// Puts the timers of an open session at their start.
    pub(crate) fn start_timers(&mut self, now: Time) {
        self.life.last_sent = now;
        self.life.flowless_since = now;
        self.arm_keepalive(now);
        self.timers.set(Timer::Idle, now + self.config.idle_limit);
    }

    /// Whether the far end owes an answer to a ping or a buffer probe since the retransmit limit.
    pub(crate) fn is_overdue(&self, now: Time) -> bool {
        self.life.waiting_since.is_some_and(|since| now.since(since) >= self.config.retransmit_limit)
    }

    /// Whether it has acknowledged nothing of what is under way for as long.
    pub(crate) fn is_stalled(&self, now: Time) -> bool {
        self.life.stalled_since.is_some_and(|since| now.since(since) >= self.config.retransmit_limit)
    }

    /// Sets the retransmission alarm: one time-out from now, or when the patience with a silent far end has ended.
    pub(crate) fn arm_retransmission(&mut self, now: Time) {
        let waiting = [self.life.waiting_since, self.life.stalled_since];
        let since = waiting.into_iter().flatten().min();
        let patience = since.map_or(Time::MAX, |since| since + self.config.retransmit_limit);
        self.timers.set(Timer::Retransmit, patience.min(now + self.path.erto));
    }

    /// The time from the last packet to a keep-alive; no shorter than the time-out (RFC 7016 section 3.5.4.1).
    pub(crate) fn keepalive(&self) -> Duration {
        self.config.keepalive.max(self.path.erto)
    }

    /// The keep-alive falls due that long after the last packet sent; the responder lets the initiator go first.
    pub(crate) fn arm_keepalive(&mut self, now: Time) {
        let slack = if self.role == Role::Responder { self.path.mrto() } else { Duration::ZERO };
        let at = (self.life.last_sent + self.keepalive() + slack).max(now);
        self.timers.set(Timer::Keepalive, at);
    }
}
