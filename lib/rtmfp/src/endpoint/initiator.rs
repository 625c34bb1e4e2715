//! Opening a session as initiator (RFC 7016 section 3.5.1.1.1): greeting candidates until one answers.

mod fallback;
mod keying;

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use log::debug;
use rtmfp_base::{InterfaceId, RecvMeta, Time};

use super::control::{ControlPacket, Envelope};
use super::jobs::{Offered, Owner};
use super::{Endpoint, OpenFlowError};
use crate::event::{CloseReason, KeyingFailure};
use crate::session::{Path, Role, Session, State, Timer};
use crate::wire::{Chunk, IHello, RHello, Redirect};
use crate::{SendFlowId, SessionId};

/// So often the keying is sent before another way of it is tried, if there is one: the third goes out 3.5 s after the
/// first.
const KEYINGS: u32 = 3;

/// Between the first hellos to several ports of a host that a Redirect named.
const SPACING: Duration = Duration::from_millis(100);

/// When a startup packet goes out again: at once, then after 1.0, 2.5, 4.0... seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    at: Time,
    gap: Duration,
    sent: u32,
}

impl Retry {
    fn new(at: Time) -> Self {
        Self { at, gap: Duration::from_secs(1), sent: 0 }
    }

    /// Whether what was just due is the second, the fourth...: if it is long it goes in fragments, for the path may not
    /// take it whole, or not in fragments.
    fn goes_in_fragments(&self) -> bool {
        self.sent.is_multiple_of(2)
    }

    fn is_due(&mut self, now: Time) -> bool {
        let due = self.at <= now;
        if due {
            self.at = now + self.gap;
            self.gap += Duration::from_millis(1500);
            self.sent += 1;
        }
        due
    }
}

/// What becomes of another way of keying.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fallback {
    Untried,
    /// It begins with a hello: some responders give their first answer again until they get one.
    Greeting,
    /// It is being computed.
    Pending,
    /// There is none, or it is what is sent.
    Tried,
}

#[derive(Debug)]
struct Candidate {
    to: SocketAddr,
    retry: Retry,
    /// Interfaces for which the network said that nobody is there.
    unreachable: Vec<InterfaceId>,
    /// It said so for all of them.
    is_unreachable: bool,
}

/// What an initiator keeps until its session is open.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) epd: Bytes,
    pub(crate) flows: Vec<SendFlowId>,
    /// Only a session with the very far end that answers takes its flows, none with another of the same name.
    pub(super) apart: bool,
    /// It lost a glare, and waits until then whether the far end's session takes its flows.
    pub(super) rests_until: Option<Time>,
    tag: [u8; 16],
    candidates: Vec<Candidate>,
    learned: usize,
    // From here on: keying.
    cookie: Vec<u8>,
    cookie_changed: bool,
    offer: Option<Offered>,
    /// The offer before, that may still be answered.
    former: Option<Offered>,
    /// Another way of keying.
    fallback: Fallback,
    keying: Option<(Vec<u8>, Retry)>,
    concluding: bool,
    conclusions: u8,
    /// Packets of the open session that came before the responder's keying.
    early: VecDeque<(RecvMeta, Vec<u8>)>,
}

impl Opening {
    /// The network said that a candidate is not reached from one of its family's interfaces, of which there are
    /// `interfaces`. Answers whether it said so of all candidates.
    pub(super) fn note_unreachable(
        &mut self,
        to: SocketAddr,
        interface: InterfaceId,
        interfaces: usize,
    ) -> bool {
        let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.to == to) else {
            return false;
        };
        if !candidate.unreachable.contains(&interface) && candidate.unreachable.len() < interfaces {
            candidate.unreachable.push(interface);
        }
        candidate.is_unreachable = candidate.unreachable.len() >= interfaces;
        self.is_unreachable()
    }

    /// Whether the network said of every candidate that it is not reached.
    pub(super) fn is_unreachable(&self) -> bool {
        !self.candidates.is_empty() && self.candidates.iter().all(|candidate| candidate.is_unreachable)
    }

    /// Hellos to the candidates of an address family.
    pub(super) fn greetings(&self, ipv4: bool) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut chunk = Vec::new();
        Chunk::IHello(IHello { epd: &self.epd, tag: &self.tag }).write(&mut chunk);
        let fitting = self.candidates.iter().filter(|candidate| candidate.to.is_ipv4() == ipv4);
        fitting.map(|candidate| (candidate.to, chunk.clone())).collect()
    }

    /// Whether an address is one of those where it looks for the far end.
    pub(super) fn heads_for(&self, to: SocketAddr) -> bool {
        self.candidates.iter().any(|candidate| candidate.to == to)
    }

    /// Whether it waits and neither sends nor takes anything.
    fn rests(&self, now: Time) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

impl Endpoint {
    /// A new initiator session, without candidates yet.
    pub(super) fn begin_opening(
        &mut self,
        now: Time,
        epd: Bytes,
        apart: bool,
    ) -> Result<SessionId, OpenFlowError> {
        let tag: [u8; 16] = self.randomness.bytes();
        let path = Path::new(InterfaceId(0), SocketAddr::from(([0, 0, 0, 0], 0)), None);
        let id = self.new_session(now, Role::Initiator, &path).ok_or(OpenFlowError::Limit)?;
        let deadline = now + self.config.open_timeout;
        let Some(session) = self.sessions.get_mut(id) else { return Err(OpenFlowError::Limit) };
        session.requested = epd.clone();
        session.opening = Some(Box::new(Opening {
            epd: epd.clone(),
            flows: Vec::new(),
            apart,
            rests_until: None,
            tag,
            candidates: Vec::new(),
            learned: 0,
            cookie: Vec::new(),
            cookie_changed: false,
            offer: None,
            former: None,
            fallback: Fallback::Untried,
            keying: None,
            concluding: false,
            conclusions: 0,
            early: VecDeque::new(),
        }));
        session.timers.set(Timer::Deadline, deadline);
        self.index.by_tag.insert(tag, id);
        if !apart {
            self.index.by_epd.insert(epd, id);
        }
        Ok(id)
    }

    /// Takes a place in the arena and a session id; `None` when there are as many sessions as allowed.
    pub(super) fn new_session(&mut self, now: Time, role: Role, path: &Path) -> Option<SessionId> {
        let limit = self.config.limits.sessions.min(super::near_id::MAX_SESSIONS);
        if self.sessions.len() >= limit {
            self.stats.limited_sessions += 1;
            return None;
        }
        // Of all places and generations one would have the id of the startup session on the wire; the next generation
        // of that place has not.
        for _ in 0..2 {
            let (near_ids, config, shared) = (&self.near_ids, &self.config, &self.session_config);
            let id = self.sessions.insert_with(|id| {
                let near_id = near_ids.encode(id).unwrap_or(0);
                Box::new(Session::new(id, near_id, role, path.clone(), config, shared, now))
            });
            if self.sessions.get(id).is_some_and(|session| session.near_id != 0) {
                return Some(id);
            }
            self.sessions.remove(id);
        }
        None
    }

    /// Adds a place to look for the far end of an opening session, from a time on.
    pub(super) fn add_candidate(
        &mut self,
        now: Time,
        id: SessionId,
        to: SocketAddr,
        at: Time,
        learned: bool,
    ) {
        let limit = self.config.limits.redirect_addresses;
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.state == State::Hello) else { return };
        let Some(opening) = &mut session.opening else { return };
        let ip = to.ip().to_canonical();
        let same_host = opening.candidates.iter().filter(|known| known.to.ip().to_canonical() == ip);
        let ports: Vec<u16> = same_host.map(|known| known.to.port()).collect();
        if ports.contains(&to.port()) || to.port() == 0 || ip.is_unspecified() {
            return;
        }
        if learned && opening.learned >= limit {
            self.stats.limited_addresses += 1;
            return;
        }
        // A redirector can't have one host get many hellos at once.
        let at = if learned { at + SPACING * ports.len() as u32 } else { at };
        opening.learned += usize::from(learned);
        opening.candidates.push(Candidate {
            to,
            retry: Retry::new(at),
            unreachable: Vec::new(),
            is_unreachable: false,
        });
        session.timers.set_earlier(Timer::Startup, at);
        self.touch(now, id);
    }

    /// The startup timer: sends what is due again.
    pub(super) fn resend_startup(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(opening) = &mut session.opening else { return };
        if let Some(until) = opening.rests_until.filter(|&until| now < until) {
            return session.timers.set(Timer::Startup, until);
        }
        match session.state {
            State::Hello => {
                let mut chunk = Vec::new();
                Chunk::IHello(IHello { epd: &opening.epd, tag: &opening.tag }).write(&mut chunk);
                let due: Vec<(SocketAddr, bool)> = opening
                    .candidates
                    .iter_mut()
                    .filter_map(|candidate| {
                        candidate
                            .retry
                            .is_due(now)
                            .then(|| (candidate.to, candidate.retry.goes_in_fragments()))
                    })
                    .collect();
                let next = opening.candidates.iter().map(|candidate| candidate.retry.at).min();
                session.timers.set(Timer::Startup, next.unwrap_or(Time::MAX));
                for (to, fragmented) in due {
                    // A packet that can't be sent is repeated as one that was lost.
                    let _ = self.send_everywhere(to, &chunk, fragmented);
                }
            }
            State::Keying => {
                let Some((chunk, retry)) = &mut opening.keying else { return };
                if retry.is_due(now) {
                    let is_last = retry.sent == KEYINGS && opening.fallback == Fallback::Untried;
                    let chunk = chunk.clone();
                    session.timers.set(Timer::Startup, retry.at);
                    let path = &session.path;
                    let packet = ControlPacket {
                        envelope: Envelope::Startup { far_id: 0, fragmented: retry.goes_in_fragments() },
                        interface: path.interface,
                        to: path.to,
                        src_ip: path.src_ip,
                        dscp: session.config.dscp,
                        chunk,
                    };
                    self.queue_control(packet);
                    if is_last {
                        self.begin_fallback(now, id, KeyingFailure::Unanswered);
                    }
                } else {
                    session.timers.set(Timer::Startup, retry.at);
                }
            }
            _ => {}
        }
    }

    /// Queues a hello from an interface. Answers whether there was room.
    pub(super) fn queue_hello(
        &mut self,
        interface: InterfaceId,
        to: SocketAddr,
        chunk: Vec<u8>,
        fragmented: bool,
    ) -> bool {
        self.queue_control(ControlPacket {
            envelope: Envelope::Startup { far_id: 0, fragmented },
            interface,
            to,
            src_ip: None,
            dscp: 0,
            chunk,
        })
    }

    fn opening_by_tag(&self, tag: &[u8]) -> Option<SessionId> {
        self.index.by_tag.get(<&[u8; 16]>::try_from(tag).ok()?).copied()
    }

    /// A Redirect: more places to look. Answers whether it answers a hello of this end.
    pub(super) fn on_redirect(&mut self, now: Time, meta: &RecvMeta, redirect: &Redirect<'_>) -> bool {
        let Some(id) = self.opening_by_tag(redirect.tag_echo) else { return false };
        let mut any = false;
        for address in redirect.addresses() {
            any = true;
            if self.may_be_named(address.addr, meta.from.ip()) {
                self.add_candidate(now, id, address.addr, now, true);
            }
        }
        if !any {
            self.add_candidate(now, id, meta.from, now, true);
        }
        true
    }

    /// An RHello. Answers whether it answers a hello of this end.
    pub(super) fn on_rhello(&mut self, now: Time, meta: &RecvMeta, len: usize, hello: &RHello<'_>) -> bool {
        let Some(id) = self.opening_by_tag(hello.tag_echo) else {
            return self.on_unmatched_rhello(now, meta, len, hello);
        };
        self.choose_responder(now, meta, id, hello);
        true
    }

    /// The first acceptable RHello decides who the responder is.
    fn choose_responder(&mut self, now: Time, meta: &RecvMeta, id: SessionId, hello: &RHello<'_>) {
        if self.keying(id).is_some() {
            return self.fall_back(meta, id, hello);
        }
        let Some(session) = self.sessions.get(id).filter(|s| s.state == State::Hello) else { return };
        let Some(opening) = &session.opening else { return };
        if opening.rests(now) || !self.profile.selects(&opening.epd, hello.certificate) {
            return;
        }
        let Some(epd) = self.profile.canonical_epd(hello.certificate) else { return };
        let requested = opening.epd.clone();
        if !self.has_room_for(hello.cookie) {
            return;
        }
        if let Some(original) = self.original_of(id, &epd, &requested) {
            return self.merge_opening(now, id, original);
        }
        if self.waits_for_proof(now, id, meta.from, &epd) {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(opening) = &mut session.opening else { return };
        let begun = self.randomness.secrets(|fill| self.profile.initiate(hello.certificate, fill));
        let work = match begun {
            Ok(work) => work,
            Err(error) => {
                debug!("session {id}: can't agree on keys with {}: {error}", meta.from);
                self.keying_failure = Some((meta.from, true, error.into()));
                self.abort_session(now, id, CloseReason::Keying);
                return;
            }
        };
        session.state = State::Keying;
        session.epd = epd.into();
        session.certificate = Bytes::copy_from_slice(hello.certificate);
        session.path = Path::new(meta.interface, meta.from, meta.dst_ip);
        session.timers.stop(Timer::Startup);
        opening.cookie = hello.cookie.to_vec();
        self.push_offer(Owner::Offer(id), id, work);
        self.touch(now, id);
    }

    /// Forgets what an opening session is known by.
    pub(super) fn forget_opening(&mut self, opening: &Opening) {
        self.index.by_tag.remove(&opening.tag);
    }
}
