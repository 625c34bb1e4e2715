//! Agreeing on keys with the responder that was chosen (RFC 7016 section 3.5.1.1.1).

use log::debug;
use rtmfp_base::{RecvMeta, Time};

use super::super::Endpoint;
use super::super::jobs::{ConcludeResult, OfferResult, Offered, Owner, ResignResult, Secret};
use super::{Fallback, Opening, Retry};
use crate::SessionId;
use crate::config::{MAX_PACKET, MAX_STARTUP_PACKET};
use crate::crypto::{InitiatorOffer, KeyingError, Work};
use crate::event::CloseReason;
use crate::session::State;
use crate::wire::{CookieChange, IIKeying, RIKeying};

/// Answers of a responder that are tried before the rest is ignored: each costs public-key work.
const MAX_CONCLUSIONS: u8 = 8;

/// Room in a keying packet for all that is neither cookie nor certificate: component, signature, headers.
const KEYING_RESERVE: usize = 1280;

/// No packet of an open session is longer: a clear packet, its authentication code, and what another implementation
/// may add.
const LONGEST_EARLY: usize = MAX_PACKET + 256;

impl Endpoint {
    /// Whether a keying packet can carry a cookie.
    pub(super) fn has_room_for(&mut self, cookie: &[u8]) -> bool {
        let room = MAX_STARTUP_PACKET.saturating_sub(KEYING_RESERVE + self.profile.certificate().len());
        let fits = cookie.len() <= room;
        self.stats.oversized_cookies += u64::from(!fits);
        fits
    }

    /// Has an offer made and signed.
    pub(super) fn push_offer(
        &mut self,
        owner: Owner,
        id: SessionId,
        work: Work<Result<InitiatorOffer, KeyingError>>,
    ) {
        let Some(session) = self.sessions.get(id) else { return };
        let Some(opening) = &session.opening else { return };
        let (near_id, cookie) = (session.near_id, opening.cookie.clone());
        let usual = self.profile.certificate().to_vec();
        let signatures = self.profile.signatures();
        self.jobs.push(owner, move || -> OfferResult {
            let InitiatorOffer { component, certificate, secret } = work()?;
            let certificate = certificate.unwrap_or(usual);
            let mut parameters = Vec::new();
            IIKeying::write_parameters(near_id, &cookie, &certificate, &component, &mut parameters);
            let signature = signatures.sign(&parameters);
            Ok(Offered { component, secret: Secret(secret), certificate, parameters, signature })
        });
    }

    pub(in crate::endpoint) fn offer_done(&mut self, now: Time, id: SessionId, result: OfferResult) {
        match result {
            Ok(offered) => {
                let mut chunk = Vec::new();
                IIKeying::write_to(&offered.parameters, &offered.signature, &mut chunk);
                if let Some(opening) = self.keying(id) {
                    opening.former = opening.offer.replace(offered);
                    self.start_keying(now, id, chunk);
                }
            }
            Err(error) => {
                debug!("session {id}: keying failed: {error}");
                self.abort_session(now, id, CloseReason::Keying);
            }
        }
    }

    pub(super) fn keying(&mut self, id: SessionId) -> Option<&mut Opening> {
        let session = self.sessions.get_mut(id).filter(|session| session.state == State::Keying)?;
        session.opening.as_deref_mut()
    }

    pub(super) fn start_keying(&mut self, now: Time, id: SessionId, chunk: Vec<u8>) {
        if chunk.len() + 8 > MAX_STARTUP_PACKET {
            debug!("session {id}: the keying packet is too long");
            return self.abort_session(now, id, CloseReason::Keying);
        }
        let Some(opening) = self.keying(id) else { return };
        opening.keying = Some((chunk, Retry::new(now)));
        self.resend_startup(now, id);
        self.touch(now, id);
    }

    /// The responder wants another cookie: once, and only for the one that was used.
    pub(in crate::endpoint) fn on_cookie_change(&mut self, id: SessionId, change: &CookieChange<'_>) {
        if !self.has_room_for(change.new) {
            return;
        }
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.state == State::Keying) else {
            return;
        };
        let near_id = session.near_id;
        let Some(opening) = &mut session.opening else { return };
        let Some(offer) = &opening.offer else { return };
        // Another offer has its own cookie.
        let busy = matches!(opening.fallback, Fallback::Greeting | Fallback::Pending);
        if busy || opening.cookie_changed || opening.cookie != change.old {
            return;
        }
        opening.cookie_changed = true;
        opening.cookie = change.new.to_vec();
        let mut parameters = Vec::new();
        IIKeying::write_parameters(
            near_id,
            change.new,
            &offer.certificate,
            &offer.component,
            &mut parameters,
        );
        let signatures = self.profile.signatures();
        self.jobs.push(Owner::Resign(id), move || -> ResignResult {
            let signature = signatures.sign(&parameters);
            (parameters, signature)
        });
    }

    pub(in crate::endpoint) fn resign_done(
        &mut self,
        now: Time,
        id: SessionId,
        (parameters, signature): ResignResult,
    ) {
        let mut chunk = Vec::new();
        IIKeying::write_to(&parameters, &signature, &mut chunk);
        self.start_keying(now, id, chunk);
    }

    /// The responder's keying.
    pub(in crate::endpoint) fn on_rikeying(&mut self, now: Time, id: SessionId, keying: &RIKeying<'_>) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.state == State::Keying) else {
            return;
        };
        let Some(opening) = &mut session.opening else { return };
        let Some(offer) = &opening.offer else { return };
        if opening.rests(now)
            || opening.concluding
            || opening.conclusions >= MAX_CONCLUSIONS
            || keying.session_id == 0
        {
            return;
        }
        opening.concluding = true;
        opening.conclusions += 1;
        session.far_id = keying.session_id;
        let profile = &self.profile;
        let conclusion = |offer: &Offered| {
            let work = profile.conclude(&offer.secret.0, keying.component);
            let signatures = profile.signatures();
            let certificate = session.certificate.clone();
            let signed = [keying.signed, &offer.component].concat();
            let signature = keying.signature.to_vec();
            move || -> ConcludeResult {
                match signatures.verify(&certificate, &signed, &signature) {
                    true => work(),
                    false => Err(KeyingError::BadSignature),
                }
            }
        };
        // Which of two offers is answered shows in what fits.
        let (latest, former) = (conclusion(offer), opening.former.as_ref().map(conclusion));
        self.jobs.push(Owner::Conclude(id), move || -> ConcludeResult {
            latest().or_else(|error| former.map_or(Err(error), |former| former()))
        });
    }

    pub(in crate::endpoint) fn conclude_done(&mut self, now: Time, id: SessionId, result: ConcludeResult) {
        let Some(opening) = self.keying(id) else { return };
        opening.concluding = false;
        match result {
            // MonaServer does so, and answers the same again until it is greeted anew.
            Err(error @ KeyingError::AnotherGroup) if opening.fallback == Fallback::Untried => {
                self.begin_fallback(now, id, error.into());
            }
            Err(error) => {
                debug!("session {id}: the responder's keying is not acceptable: {error}");
                let peer = self.sessions.get(id).map(|session| session.path.to);
                self.keying_failure = peer.map(|peer| (peer, true, error.into()));
            }
            Ok(keys) => {
                let early = core::mem::take(&mut opening.early);
                let key = self.profile.install(keys);
                let flows = self.open_session(now, id, key);
                for flow in flows {
                    if !self.attach(now, id, flow) {
                        self.flows.fail_send(flow);
                    }
                }
                self.ask_for_proof(now, id);
                for (meta, mut packet) in early {
                    self.on_session_packet(now, &meta, id, &mut packet);
                }
            }
        }
    }

    /// Keeps a packet that came before the session's keys.
    pub(in crate::endpoint) fn keep_early(&mut self, meta: &RecvMeta, id: SessionId, sealed: Vec<u8>) {
        let limit = self.config.limits.early_packets;
        if let Some(opening) = self.keying(id).filter(|_| sealed.len() <= LONGEST_EARLY) {
            if opening.early.len() >= limit {
                opening.early.pop_front();
            }
            opening.early.push_back((*meta, sealed));
        }
    }
}
