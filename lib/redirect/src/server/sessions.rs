//! What is known of sessions beside their registrants, and where these are.

use core::net::SocketAddr;
use std::collections::HashMap;

use rtmfp::SessionId;
use rtmfp_base::{Time, TokenBucket};

use super::config::ServerLimits;
use super::target::TargetId;
use crate::limiter::Rate;
use crate::selection::step;

/// A session with registrants. What they have used of the limits stays when they have left, as long as the session does: who
/// begins a flow anew does not begin anew.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) targets: Vec<TargetId>,
    messages: TokenBucket,
    attempts: TokenBucket,
}

impl Held {
    fn new(limits: &ServerLimits) -> Self {
        let attempts = Rate::new(limits.attempts, 1).bucket();
        Self { targets: Vec::new(), messages: limits.messages.bucket(), attempts }
    }
}

/// The sessions with registrants.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<SessionId, Held>);

impl Sessions {
    /// The registrants of a session.
    pub(super) fn targets(&self, session: SessionId) -> &[TargetId] {
        self.0.get(&session).map_or(&[], |held| &held.targets)
    }

    pub(super) fn hold(&mut self, session: SessionId, limits: &ServerLimits) -> &mut Held {
        self.0.entry(session).or_insert_with(|| Held::new(limits))
    }

    /// Whether one more message may be taken from a session.
    pub(super) fn take_message(&mut self, now: Time, session: SessionId) -> bool {
        self.0.get_mut(&session).is_some_and(|held| held.messages.take(now, 1))
    }

    /// Whether one more attempt to authenticate may be made in a session.
    pub(super) fn take_attempt(&mut self, now: Time, session: SessionId) -> bool {
        self.0.get_mut(&session).is_some_and(|held| held.attempts.take(now, 1))
    }

    /// A registrant is one no longer.
    pub(super) fn leave(&mut self, session: SessionId, target: TargetId) {
        if let Some(held) = self.0.get_mut(&session) {
            held.targets.retain(|&other| other != target);
        }
    }

    /// A session has ended.
    pub(super) fn end(&mut self, session: SessionId) {
        self.0.remove(&session);
    }
}

/// Registrants by the addresses of their sessions.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<SocketAddr, Vec<TargetId>>);

impl Places {
    pub(super) fn insert(&mut self, address: SocketAddr, target: TargetId) {
        self.0.entry(address).or_default().push(target);
    }

    pub(super) fn remove(&mut self, address: SocketAddr, target: TargetId) {
        if let Some(here) = self.0.get_mut(&address) {
            here.retain(|&other| other != target);
            if here.is_empty() {
                self.0.remove(&address);
            }
        }
    }

    /// Those there.
    pub(super) fn at(&self, address: SocketAddr) -> impl Iterator<Item = TargetId> {
        self.0.get(&address).into_iter().flatten().copied().inspect(|_| step())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::steps;
    use rtmfp_base::Arena;

    /// As when a redirector comes back, and all of its targets register at once.
    #[test]
    fn who_is_at_an_address_is_found_without_a_look_at_those_elsewhere() {
        let (mut ids, mut places) = (Arena::new(), Places::default());
        let at = |number: u32| SocketAddr::from((number.to_be_bytes(), 1935));
        let targets: Vec<TargetId> = (0..16_384).map(|_| ids.insert(())).collect();
        let before = steps();
        for (number, &target) in (0..).zip(&targets) {
            places.insert(at(number), target);
            assert_eq!(places.at(at(number)).collect::<Vec<_>>(), [target]);
        }
        assert_eq!(steps() - before, 16_384);
        // Where several were, those stay that have not left.
        places.insert(at(7), targets[9]);
        places.remove(at(7), targets[7]);
        assert_eq!(places.at(at(7)).collect::<Vec<_>>(), [targets[9]]);
        (0..).zip(&targets).for_each(|(number, &target)| places.remove(at(number), target));
        places.remove(at(7), targets[9]);
        assert!(places.0.is_empty());
    }
}
