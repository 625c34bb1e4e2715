//! Another way of keying, for responders that do not understand the first.

use log::debug;
use rtmfp_base::{RecvMeta, Time};

use super::super::Endpoint;
use super::super::jobs::{OfferResult, Owner};
use super::Fallback;
use crate::SessionId;
use crate::event::KeyingFailure;
use crate::wire::{Chunk, IHello, RHello};

impl Endpoint {
    /// The responder does not answer, or not what it was asked: begins another way of keying, if the profile has one.
    pub(super) fn begin_fallback(&mut self, now: Time, id: SessionId, failure: KeyingFailure) {
        let tag: [u8; 16] = self.randomness.bytes();
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(opening) = &mut session.opening else { return };
        debug!("session {id}: keying with {}: {failure}", session.path.to);
        self.keying_failure = Some((session.path.to, true, failure));
        let way = self.randomness.secrets(|fill| self.profile.fall_back(&session.certificate, fill));
        if way.is_none() {
            opening.fallback = Fallback::Tried;
            return;
        }
        debug!("session {id}: trying another way of keying");
        opening.fallback = Fallback::Greeting;
        // Answers to earlier hellos have a cookie from before.
        self.index.by_tag.remove(&opening.tag);
        self.index.by_tag.insert(tag, id);
        opening.tag = tag;
        let mut chunk = Vec::new();
        Chunk::IHello(IHello { epd: &opening.epd, tag: &tag }).write(&mut chunk);
        self.start_keying(now, id, chunk);
    }

    /// The responder has answered the hello before another way of keying.
    pub(super) fn fall_back(&mut self, meta: &RecvMeta, id: SessionId, hello: &RHello<'_>) {
        let expected = self.sessions.get(id).is_some_and(|session| {
            session.opening.as_ref().is_some_and(|opening| opening.fallback == Fallback::Greeting)
                && session.path.to == meta.from
                && session.certificate == hello.certificate
        });
        if !expected || !self.has_room_for(hello.cookie) {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(opening) = &mut session.opening else { return };
        let way = self.randomness.secrets(|fill| self.profile.fall_back(hello.certificate, fill));
        if let Some(work) = way {
            opening.fallback = Fallback::Pending;
            opening.cookie = hello.cookie.to_vec();
            opening.cookie_changed = false;
            self.push_offer(Owner::FallBack(id), id, work);
        }
    }

    pub(in crate::endpoint) fn fallback_done(&mut self, now: Time, id: SessionId, result: OfferResult) {
        let Some(opening) = self.keying(id) else { return };
        opening.fallback = Fallback::Tried;
        match result {
            Ok(_) => self.offer_done(now, id, result),
            // The first offer stands.
            Err(error) => debug!("session {id}: the other way of keying failed: {error}"),
        }
    }
}
