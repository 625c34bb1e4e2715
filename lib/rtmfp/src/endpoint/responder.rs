//! Opening a session as responder (RFC 7016 section 3.5.1.1.2).

use core::time::Duration;

use bytes::Bytes;
use log::debug;
use rtmfp_base::{Prefix, RecvMeta, Time};

use super::Endpoint;
use super::callers::Refusal;
use super::cookie::Verdict;
use super::jobs::{Owner, RespondResult, Responded};
use crate::SendFlowId;
use crate::SessionId;
use crate::crypto::{DEFAULT_KEY, KeyId, KeyingError};
use crate::event::{CloseReason, Event};
use crate::session::{Path, Role, State, Timer};
use crate::wire::{Chunk, CookieChange, IIKeying, RIKeying};

/// A far end that never uses its session is forgotten after this.
const UNUSED: Duration = Duration::from_secs(95);

impl Endpoint {
    /// The initiator's keying: with a good cookie, public-key work begins.
    /// Answers whether the cookie was made here.
    pub(super) fn on_iikeying(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        len: usize,
        keying: &IIKeying<'_>,
    ) -> bool {
        let unusable = self.shutdown.is_some() || keying.session_id == 0;
        let (current, previous) = self.hellos.cookies(&mut self.randomness, now);
        let profile = &*self.profile;
        let mut verdict = current.check(profile, now, meta.from, keying.cookie);
        if verdict == Verdict::Bad {
            verdict = previous.check(profile, now, meta.from, keying.cookie);
        }
        match verdict {
            Verdict::Good => {}
            Verdict::Bad => {
                self.stats.bad_cookies += 1;
                return false;
            }
            Verdict::OtherAddress => {
                let new = current.make(profile, now, meta.from);
                let mut chunk = Vec::new();
                Chunk::CookieChange(CookieChange { old: keying.cookie, new: &new }).write(&mut chunk);
                // The cookie proves an address, but not this one.
                if !unusable && self.may_answer(now, meta, len, chunk.len()) {
                    self.send_startup(meta, meta.from, keying.session_id, chunk);
                }
                return true;
            }
        }
        if !unusable && !self.answer_again(meta, keying) && self.accepting {
            self.begin_responding(now, meta, keying);
        }
        true
    }

    /// A repeated IIKeying gets the answer that was given before, or waits for it. Answers whether it was one.
    fn answer_again(&mut self, meta: &RecvMeta, keying: &IIKeying<'_>) -> bool {
        let Some(&id) = self.index.by_initiator.get(&(meta.from, keying.session_id)) else { return false };
        let Some(session) = self.sessions.get(id) else { return false };
        if session.certificate != keying.certificate {
            return false;
        }
        match &session.answer {
            Some(answer) if answer.1 == self.component_hash(keying.component) => {
                let chunk = answer.0.clone();
                self.send_startup(meta, meta.from, keying.session_id, chunk);
                true
            }
            Some(_) => false,
            None => session.state == State::Responding,
        }
    }

    /// Tells initiators' components apart. They may be long, and whoever has a cookie can have one kept.
    fn component_hash(&self, component: &[u8]) -> [u8; 32] {
        self.profile.keyed_hash(b"component", &[component])
    }

    fn begin_responding(&mut self, now: Time, meta: &RecvMeta, keying: &IIKeying<'_>) {
        if self.wins_glare(meta.from, keying.certificate) {
            return;
        }
        let prefix = Prefix::from(meta.from.ip());
        if !self.jobs.may_respond(self.config.limits.handshakes, prefix) {
            self.stats.limited_handshakes += 1;
            return;
        }
        let Some(epd) = self.profile.canonical_epd(keying.certificate) else {
            self.stats.failed_handshakes += 1;
            return;
        };
        let begun =
            self.randomness.secrets(|fill| self.profile.respond(keying.certificate, keying.component, fill));
        let work = match begun {
            Ok(work) => work,
            Err(error) => {
                debug!("{}: keying is not acceptable: {error}", meta.from);
                self.stats.failed_handshakes += 1;
                self.keying_failure = Some((meta.from, false, error.into()));
                return;
            }
        };
        let path = Path::new(meta.interface, meta.from, meta.dst_ip);
        match self.callers.add(&self.config.limits, meta.from.ip()) {
            Ok(()) => {}
            Err(Refusal::Unproven) => return self.stats.limited_unproven += 1,
            Err(Refusal::Share) => return self.stats.limited_sessions += 1,
        }
        let Some(id) = self.new_session(now, Role::Responder, &path) else {
            return self.callers.remove(meta.from.ip(), false);
        };
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.far_id = keying.session_id;
        session.epd = epd.into();
        session.certificate = Bytes::copy_from_slice(keying.certificate);
        // The job may never end.
        session.timers.set(Timer::Deadline, now + UNUSED);
        let near_id = session.near_id;
        self.index.by_initiator.insert((meta.from, keying.session_id), id);
        let signatures = self.profile.signatures();
        let (signed, signature) = (keying.signed.to_vec(), keying.signature.to_vec());
        let (certificate, component) = (keying.certificate.to_vec(), keying.component.to_vec());
        self.jobs.push(Owner::Respond(id, prefix), move || -> RespondResult {
            if !signatures.verify(&certificate, &signed, &signature) {
                return Err(KeyingError::BadSignature);
            }
            let answer = work()?;
            let mut parameters = Vec::new();
            RIKeying::write_parameters(near_id, &answer.component, &mut parameters);
            let mut signed = parameters.clone();
            signed.extend_from_slice(&component);
            let mut chunk = Vec::new();
            RIKeying::write_to(&parameters, &signatures.sign(&signed), &mut chunk);
            Ok(Responded { chunk, keys: answer.keys, component })
        });
        self.touch(now, id);
    }

    pub(super) fn respond_done(&mut self, now: Time, id: SessionId, result: RespondResult) {
        let Some(session) = self.sessions.get(id).filter(|s| s.state == State::Responding) else { return };
        let (from, certificate) = (session.path.to, session.certificate.clone());
        match result {
            Err(error) => {
                debug!("{from}: keying failed: {error}");
                self.stats.failed_handshakes += 1;
                self.remove_session(id);
            }
            // This end's own attempt may be younger than the keying.
            Ok(_) if self.wins_glare(from, &certificate) => self.remove_session(id),
            Ok(Responded { chunk, keys, component }) => {
                let hash = self.component_hash(&component);
                let Some(session) = self.sessions.get_mut(id) else { return };
                session.answer = Some(Box::new((chunk.clone(), hash)));
                let (interface, from, dst_ip) =
                    (session.path.interface, session.path.to, session.path.src_ip);
                let far_id = session.far_id;
                let key = self.profile.install(keys);
                self.open_session(now, id, key);
                let meta = RecvMeta { interface, from, dst_ip, ecn: rtmfp_base::Ecn::NotEct };
                self.send_startup(&meta, from, far_id, chunk);
                self.ask_for_proof(now, id);
            }
        }
    }

    /// The session has keys: it is open. Answers the flows that waited for it.
    pub(super) fn open_session(&mut self, now: Time, id: SessionId, key: KeyId) -> Vec<SendFlowId> {
        let Some(session) = self.sessions.get_mut(id) else { return Vec::new() };
        session.key = key;
        session.state = State::Open;
        session.timers.stop_all();
        session.start_timers(now);
        let opening = session.opening.take();
        let initiator = session.role == Role::Initiator;
        let (only_offered, basic) = self
            .profile
            .key_info(key)
            .map_or((false, false), |info| (info.only_offered.is_some(), info.basic));
        session.basic = basic;
        if initiator {
            self.stats.opened_sessions += 1;
        } else {
            let patience = if only_offered { self.config.offered_timeout.min(UNUSED) } else { UNUSED };
            session.timers.set(Timer::Deadline, now + patience);
            self.stats.accepted_sessions += 1;
        }
        if initiator {
            self.index.by_epd.insert(session.epd.clone(), id);
        }
        self.flows.events.push_back(Event::SessionOpened { session: id, initiator });
        self.touch(now, id);
        let Some(opening) = opening else { return Vec::new() };
        self.forget_opening(&opening);
        opening.flows
    }

    /// Takes a session out of everything. Its flows must have been ended.
    pub(super) fn remove_session(&mut self, id: SessionId) {
        self.unfile_session(id);
        let Some(session) = self.sessions.remove(id) else { return };
        self.timers.remove(&(session.timers.armed, id));
        if session.key != DEFAULT_KEY {
            self.profile.remove(session.key);
        }
        if matches!(session.state, State::Keying | State::Responding) {
            self.jobs.forget(id);
        }
        if session.role == Role::Responder {
            self.callers.remove(session.path.to.ip(), session.life.proven);
        }
        if let Some(opening) = &session.opening {
            self.forget_opening(opening);
        }
        let initiator = (session.path.to, session.far_id);
        if self.index.by_initiator.get(&initiator) == Some(&id) {
            self.index.by_initiator.remove(&initiator);
        }
        for epd in [&session.epd, &session.requested] {
            if self.index.by_epd.get(epd) == Some(&id) {
                self.index.by_epd.remove(epd);
            }
        }
        self.stats.closed_sessions += 1;
    }

    /// Tells the application that a session is over, of which it may not have heard before.
    pub(super) fn tell_closed(&mut self, id: SessionId, reason: CloseReason) {
        self.flows.events.push_back(Event::SessionClosed { session: id, reason });
    }
}
