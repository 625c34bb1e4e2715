//! The room that all sessions of an endpoint share, for what they receive and for what they have to send.
//!
//! What a session may hold is bounded by its own limits; all of them together could still be more than the machine has.
//! While there is enough, the endpoint's limit is not felt. When less than a quarter is left, the sessions share that in
//! equal parts, so windows shrink towards nothing, and new flows are refused once nothing is left. One session at a
//! time may go on beyond the limit by as much as a message may have: otherwise none could complete any, and nothing
//! would be read. A session whose window was closed learns of new room with its far end's next buffer probe.

use core::time::Duration;

use rtmfp_base::Time;

use crate::SessionId;

/// The session whose turn it is must go on in this time, and may go on for that long.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// A session's turn to go beyond the limit.
#[derive(Clone, Copy, Debug)]
struct Turn {
    session: SessionId,
    since: Time,
    /// When it last went on.
    at: Time,
}

/// What all sessions of an endpoint hold of what they received.
#[derive(Debug)]
pub(crate) struct Total {
    limit: usize,
    beyond: usize,
    held: usize,
    /// Sessions that hold received bytes.
    busy: usize,
    turn: Option<Turn>,
}

impl Default for Total {
    fn default() -> Self {
        Self::new(usize::MAX / 2, 0)
    }
}

impl Total {
    /// A limit, and what one session at a time may hold beyond it.
    pub(crate) fn new(limit: usize, beyond: usize) -> Self {
        Self {
            limit: limit.min(usize::MAX / 2),
            beyond: beyond.min(usize::MAX / 4),
            held: 0,
            busy: 0,
            turn: None,
        }
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// What held `before` bytes holds `after` now.
    pub(crate) fn change(&mut self, before: usize, after: usize) {
        self.held = self.held + after - before;
    }

    /// The same for the messages and fragments of a session's flows, all together.
    pub(crate) fn change_session(&mut self, now: Time, session: SessionId, before: usize, after: usize) {
        self.change(before, after);
        self.busy = self.busy + usize::from(after > 0) - usize::from(before > 0);
        if let Some(turn) = self.turn.as_mut().filter(|turn| turn.session == session) {
            if after < before {
                self.turn = None; // It has completed something.
            } else if after > before {
                turn.at = now;
            }
        }
    }

    /// Bytes that are left for anybody.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.held)
    }

    pub(crate) fn is_scarce(&self) -> bool {
        self.room() < self.limit / 4
    }

    /// What a session may take.
    pub(crate) fn share(&self, session: SessionId) -> usize {
        if self.has_turn(session) {
            self.progress_room(session)
        } else if self.is_scarce() {
            self.room() / (self.busy + 1)
        } else {
            self.room()
        }
    }

    /// What a session may take of what it needs next to complete a message.
    pub(crate) fn progress_room(&self, session: SessionId) -> usize {
        let beyond = if self.has_turn(session) { self.beyond } else { 0 };
        (self.limit + beyond).saturating_sub(self.held)
    }

    fn has_turn(&self, session: SessionId) -> bool {
        self.turn.is_some_and(|turn| turn.session == session)
    }

    /// A session can't go on for want of room. It has its turn, if that of another one is over.
    pub(crate) fn claim(&mut self, now: Time, session: SessionId) {
        if !self.is_scarce() {
            self.turn = None;
            return;
        }
        // The one that had the last turn comes after all others who want it.
        let grace = if self.has_turn(session) { PATIENCE } else { Duration::ZERO };
        let is_over = self.turn.is_none_or(|turn| {
            now.since(turn.at) >= PATIENCE + grace || now.since(turn.since) >= LONGEST + grace
        });
        if is_over {
            self.turn = Some(Turn { session, since: now, at: now });
        }
    }

    /// A session has gone.
    pub(crate) fn end_turn(&mut self, session: SessionId) {
        if self.has_turn(session) {
            self.turn = None;
        }
    }
}

/// Bytes that are queued to be sent, overhead included.
#[derive(Debug, Default)]
pub(crate) struct QueuedTotal {
    all: usize,
    /// By the index of the session.
    by_session: Vec<usize>,
}

impl QueuedTotal {
    pub(crate) fn all(&self) -> usize {
        self.all
    }

    /// Those of the flows of a session.
    pub(crate) fn of(&self, session: Option<SessionId>) -> usize {
        session.and_then(|session| self.by_session.get(session.index() as usize)).copied().unwrap_or(0)
    }

    /// A flow that was counted with so many bytes in a session holds others now.
    pub(crate) fn recount(&mut self, before: (Option<SessionId>, usize), after: (Option<SessionId>, usize)) {
        self.all = self.all + after.1 - before.1;
        if let Some(session) = before.0 {
            *self.slot(session) -= before.1;
        }
        if let Some(session) = after.0 {
            *self.slot(session) += after.1;
        }
    }

    fn slot(&mut self, session: SessionId) -> &mut usize {
        let index = session.index() as usize;
        if index >= self.by_session.len() {
            self.by_session.resize(index + 1, 0);
        }
        &mut self.by_session[index]
    }
}
