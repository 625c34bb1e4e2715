//! The way to the destination.

use log::{debug, info};
use rtmfp::KeyingFailure;
use rtmfp_base::{StreamId, Time};
use rtmfp_netconn::{Progress, connection_failed};

use super::{Client, Far, Side, Stage};
use crate::relay::dial::{Dial, Outcome};
use crate::relay::refusals::hint;
use crate::relay::shared::Shared;

impl Client {
    /// The destination's name is known, or is none.
    pub(in crate::relay) fn resolved(
        &mut self,
        shared: &mut Shared,
        now: Time,
        result: Result<Vec<core::net::SocketAddr>, String>,
    ) {
        self.dial(shared, now, |dial, shared| dial.resolved(shared, now, result));
    }

    /// Keying with the destination has not worked out so far.
    pub(in crate::relay) fn note_keying(&mut self, shared: &Shared, failure: &KeyingFailure) {
        debug!("{}: {}: {failure}", self.who, shared.config.to);
        self.hint = hint(&shared.config, failure).or_else(|| self.hint.take());
    }

    pub(in crate::relay) fn connected(&mut self, shared: &mut Shared, now: Time, stream: StreamId) {
        self.dial(shared, now, |dial, shared| dial.connected(shared, now, stream));
    }

    /// A byte stream to the destination is gone: that of the link, or one of those that were tried.
    pub(in crate::relay) fn far_stream_closed(
        &mut self,
        shared: &mut Shared,
        now: Time,
        stream: StreamId,
        error: Option<String>,
    ) {
        match self.link(Side::Far) {
            Some(link) => {
                link.stream_closed(error);
                self.settle(shared, now);
            }
            None => self.dial(shared, now, |dial, shared| dial.stream_closed(shared, now, stream, error)),
        }
    }

    pub(super) fn dial(
        &mut self,
        shared: &mut Shared,
        now: Time,
        step: impl FnOnce(&mut Dial, &mut Shared) -> Outcome,
    ) {
        let Far::Dialing(dial) = &mut self.far else { return };
        match step(dial, shared) {
            Outcome::Wait => {}
            Outcome::Link(link) => self.far = Far::Opening(link),
            Outcome::Failed(reason) => {
                self.far = Far::Gone;
                self.fail(shared, now, &reason);
            }
        }
        self.settle(shared, now);
    }

    /// The destination is there: it gets what has waited for it.
    pub(super) fn reached(&mut self, shared: &mut Shared, now: Time) {
        let Far::Opening(mut link) = core::mem::replace(&mut self.far, Far::Gone) else { return };
        for message in self.backlog.drain(..) {
            self.streams.note(now, shared, self.who, &message);
            let message = self.compat.upstream(shared, now, self.who, &self.near, message);
            link.send(&mut shared.cx(now), message);
        }
        self.far = Far::Open(link);
        self.hint = None;
        if let Stage::Open { asked } = self.stage {
            self.stage = Stage::Answer;
            self.deadline = asked + shared.config.timeouts.answer;
        }
        info!("{}: connected to {}", self.who, shared.config.to);
    }

    /// There is no way to the destination: the client is told why, and let go.
    pub(super) fn fail(&mut self, shared: &mut Shared, now: Time, reason: &str) {
        let hint = self.hint.take().map(|hint| format!(": {hint}")).unwrap_or_default();
        let reason = format!("cannot connect to {}: {reason}{hint}", shared.config.to);
        shared.notices.failures.warn(now, format_args!("{}: {reason}", self.who));
        shared.counters.failed += 1;
        if let Progress::Asked { transaction } = self.near.progress() {
            self.near.send(&mut shared.cx(now), connection_failed(transaction, &reason));
        }
        self.begin_end();
        self.backlog = Vec::new();
        self.near.finish(&mut shared.cx(now));
    }

    /// Ends what is under way to the destination, for a reason that the client is told.
    pub(in crate::relay) fn give_up(&mut self, shared: &mut Shared, now: Time, reason: &str) {
        self.leave_far(shared, now);
        self.fail(shared, now, reason);
        self.settle(shared, now);
    }

    /// Ends the way to the destination at once.
    pub(super) fn leave_far(&mut self, shared: &mut Shared, now: Time) {
        match &mut self.far {
            Far::Dialing(dial) => {
                dial.cancel(shared);
                self.far = Far::Gone;
            }
            Far::Opening(link) | Far::Open(link) => link.abort(&mut shared.cx(now)),
            Far::None | Far::Gone => {}
        }
    }
}
