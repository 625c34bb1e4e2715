//! One session for a pair of ends: startup glare, duplicates, and sessions that take the place of others
//! (RFC 7016 sections 3.5.1.1 and 3.5.1.3).
//!
//! A certificate alone proves nothing: everybody can send it. So nothing that exists is given up before the
//! first authentic packet of the session that is to take its place: the near opening session of a glare only rests,
//! a session with the same certificate at the same address only loses its place when its successor has shown that it
//! holds the keys.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use log::debug;
use rtmfp_base::Time;

use super::Endpoint;
use crate::SessionId;
use crate::event::CloseReason;
use crate::session::{Role, Session, State, Timer};

/// How long an opening session that lost a glare waits for the far end to show its keys, before it goes on.
const YIELD: Duration = Duration::from_secs(10);

/// Sessions of one address that are asked for a sign of life when another one opens there.
const MAX_CHALLENGED: usize = 8;

impl Endpoint {
    /// The opening sessions, in an order that depends on the seed only.
    fn openings(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.index.by_tag.values().filter_map(|&id| Some((id, &**self.sessions.get(id)?)))
    }

    /// The opening sessions that look for the far end of a session that came by itself: whose Endpoint Discriminator names
    /// its very identity, or selects its certificate and looks for it at its address. Others of whom there may be many, of
    /// a host name for example, anybody could claim to be. Those that are opened apart find out themselves to whom.
    fn openings_to(&self, session: &Session) -> Vec<SessionId> {
        let meant = self.openings().filter(|(_, other)| {
            other.opening.as_ref().is_some_and(|opening| {
                !opening.apart
                    && (opening.epd == session.epd || opening.heads_for(session.path.to))
                    && self.profile.selects(&opening.epd, &session.certificate)
            })
        });
        meant.map(|(id, _)| id).collect()
    }

    /// The session for a new flow to an Endpoint Discriminator: an open one with it, one that is being opened to
    /// it, or one that agrees on keys with whom it selects.
    pub(super) fn session_to(&self, epd: &[u8]) -> Option<SessionId> {
        let known = self.index.by_epd.get(epd).copied().filter(|&id| {
            let state = self.sessions.get(id).map(|session| session.state);
            matches!(state, Some(State::Open | State::Hello | State::Keying))
        });
        known.or_else(|| {
            let mut keying = self.openings().filter(|(_, session)| {
                session.state == State::Keying
                    && session.opening.as_ref().is_some_and(|opening| !opening.apart)
            });
            keying.find(|(_, session)| self.profile.selects(epd, &session.certificate)).map(|(id, _)| id)
        })
    }

    // ---- glare ----

    /// The opening session that a keying from an address glares with (RFC 7016 section 3.5.1.3).
    ///
    /// The address alone does not make it one: it may be a redirector's, who has a certificate of its own.
    fn glaring(&self, from: SocketAddr, certificate: &[u8]) -> Option<SessionId> {
        let mut glaring = self.openings().filter(|(_, session)| match (session.state, &session.opening) {
            (State::Hello, Some(opening)) => {
                opening.heads_for(from) && self.profile.selects(&opening.epd, certificate)
            }
            (State::Keying, _) => session.path.to == from && session.certificate == certificate,
            _ => false,
        });
        glaring.next().map(|(id, _)| id)
    }

    /// Whether a keying is to be ignored because of an opening session of this end that prevails.
    pub(super) fn wins_glare(&mut self, from: SocketAddr, certificate: &[u8]) -> bool {
        let wins = self.profile.near_prevails(certificate) && self.glaring(from, certificate).is_some();
        self.stats.glares_won += u64::from(wins);
        wins
    }

    /// A session was opened. When others would give way to it, its far end is asked to show its keys at once.
    pub(super) fn ask_for_proof(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get(id).filter(|session| session.is_open()) else { return };
        let (from, certificate) = (session.path.to, session.certificate.clone());
        if session.role == Role::Responder
            && let Some(near) = self.glaring(from, &certificate)
        {
            self.stats.glares_lost += 1;
            self.rest(now, near);
        }
        let is_wanted = self.sessions.get(id).is_some_and(|session| !self.openings_to(session).is_empty());
        if is_wanted || self.neighbours(from).next().is_some() {
            self.ping(now, id);
        }
        let unproven = |&other: &SessionId| self.sessions.get(other).is_some_and(|other| !other.life.proven);
        let epd = self.sessions.get(id).map(|session| session.epd.clone()).unwrap_or_default();
        if self.index.by_far.get(&(from, epd)).is_none_or(unproven) {
            self.file_session(id);
        }
    }

    /// Whoever answers a hello has just opened a session from the same address: it gets the flows if it shows its keys.
    /// Answers whether the opening session waits for that.
    pub(super) fn waits_for_proof(&mut self, now: Time, id: SessionId, from: SocketAddr, epd: &[u8]) -> bool {
        let key = (from, Bytes::copy_from_slice(epd));
        let Some(&other) = self.index.by_far.get(&key) else { return false };
        let unproven =
            self.sessions.get(other).is_some_and(|session| session.is_open() && !session.life.proven);
        let rested =
            self.sessions.get(id).and_then(|session| session.opening.as_ref()?.rests_until).is_some();
        let waits = unproven && !rested;
        if waits {
            self.rest(now, id);
            self.ping(now, other);
        }
        waits
    }

    /// Has an opening session wait, once.
    fn rest(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(opening) = &mut session.opening else { return };
        if opening.rests_until.is_none() {
            opening.rests_until = Some(now + YIELD);
            session.timers.set(Timer::Startup, now + YIELD);
            self.touch(now, id);
        }
    }

    // ---- duplicates ----

    /// The session that makes an opening one, whose RHello has just come with a certificate, a duplicate.
    pub(super) fn original_of(&self, id: SessionId, epd: &[u8], requested: &[u8]) -> Option<SessionId> {
        let fits =
            |session: &Session| session.epd == epd && self.profile.selects(requested, &session.certificate);
        let open = self.index.by_epd.get(epd).copied();
        let open = open.filter(|&open| {
            self.sessions.get(open).is_some_and(|session| session.is_open() && fits(session))
        });
        open.or_else(|| {
            let mut keying = self.openings().filter(|(_, session)| session.state == State::Keying);
            keying.find(|&(other, session)| other != id && fits(session)).map(|(other, _)| other)
        })
    }

    /// Moves the flows of an opening session to another session and ends it.
    pub(super) fn merge_opening(&mut self, now: Time, id: SessionId, into: SessionId) {
        let Some(opening) = self.sessions.get_mut(id).and_then(|session| session.opening.as_mut()) else {
            return;
        };
        debug!("session {id}: its flows go to session {into}");
        for flow in core::mem::take(&mut opening.flows) {
            if !self.attach(now, into, flow) {
                self.flows.fail_send(flow);
            } else if let Some(session) = self.sessions.get_mut(into) {
                session.enqueue(&mut self.flows, flow);
            }
        }
        // The flows brought their deadlines along.
        self.touch(now, into);
        self.stats.merged_sessions += 1;
        self.abort_session(now, id, CloseReason::Duplicate);
    }

    // ---- what a session takes over ----

    /// A packet with the session's keys has come: whoever sends it is who its certificate says. Only now flows to that
    /// identity find a responder's session, and only now others give way to it.
    pub(super) fn prove_session(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.is_open() {
            session.timers.stop(Timer::Deadline);
        }
        if core::mem::replace(&mut session.life.proven, true) {
            return;
        }
        let (responder, open) = (session.role == Role::Responder, session.is_open());
        let (from, certificate, epd) = (session.path.to, session.certificate.clone(), session.epd.clone());
        if responder {
            self.callers.prove(from.ip());
        }
        if !open {
            return;
        }
        let neighbours: Vec<SessionId> = self.neighbours(from).filter(|&other| other != id).collect();
        let predecessor = self.file_session(id).filter(|&other| other != id);
        for other in neighbours.into_iter().chain(predecessor) {
            let overridden = self.sessions.get(other).is_some_and(|old| {
                responder && old.is_open() && self.profile.overrides(&certificate, &old.certificate)
            });
            if overridden {
                self.replace_session(other);
            } else {
                self.challenge(now, other);
            }
        }
        if responder {
            self.index.by_epd.insert(epd, id);
        }
        let openings = self.sessions.get(id).map(|session| self.openings_to(session)).unwrap_or_default();
        for opening in openings {
            self.merge_opening(now, opening, id);
        }
    }

    /// Some of the sessions of an address.
    fn neighbours(&self, address: SocketAddr) -> impl Iterator<Item = SessionId> {
        self.filed_at(address).take(MAX_CHALLENGED)
    }

    /// The sessions that are filed under an address.
    pub(super) fn filed_at(&self, address: SocketAddr) -> impl Iterator<Item = SessionId> {
        let from = self.index.by_far.range((address, Bytes::new())..);
        from.take_while(move |((other, _), _)| *other == address).map(|(_, &id)| id)
    }

    /// Files a session under the address and the identity of its far end, anew when it has moved. Answers the one that
    /// was there before.
    fn file_session(&mut self, id: SessionId) -> Option<SessionId> {
        self.unfile_session(id);
        let session = self.sessions.get_mut(id)?;
        session.filed_at = Some(session.path.to);
        self.index.by_far.insert((session.path.to, session.epd.clone()), id)
    }

    /// The far end of a session is somewhere else now.
    pub(super) fn refile_session(&mut self, now: Time, id: SessionId) {
        if let Some(other) = self.file_session(id) {
            self.challenge(now, other);
        }
    }

    /// Takes a session out of where it is filed.
    pub(super) fn unfile_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(address) = session.filed_at.take() {
            let key = (address, session.epd.clone());
            if self.index.by_far.get(&key) == Some(&id) {
                self.index.by_far.remove(&key);
            }
        }
    }

    /// The far end has come back with a new session: the old one is of no use to anybody, and nothing is sent for it.
    fn replace_session(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.leave_unread(&mut self.flows);
        session.end_flows(&mut self.flows);
        self.stats.replaced_sessions += 1;
        self.tell_closed(id, CloseReason::Replaced);
        self.remove_session(id);
    }

    /// Another session has opened at the address of this one: its far end may have gone. It has to show that it is there
    /// within [`SessionConfig::challenge_limit`](crate::SessionConfig::challenge_limit).
    fn challenge(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_open()) else { return };
        if session.timers.is_set(Timer::Deadline) {
            return;
        }
        session.timers.set(Timer::Deadline, now + session.config.challenge_limit);
        self.ping(now, id);
    }
}
