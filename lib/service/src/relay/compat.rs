//! What a relay does for old programs beside passing their messages on.

mod courtesy;
mod encoding;

use rtmfp_base::Time;
use rtmfp_netconn::TcMessage;

use super::Protocol;
use super::shared::Shared;
use courtesy::{Courtesies, Verdict};
use encoding::Encoding;

/// What is known of one client's needs.
#[derive(Debug, Default)]
pub(super) struct Compat {
    encoding: Encoding,
    courtesies: Courtesies,
}

/// What a client is to get: an answer, and a call that goes with it.
pub(super) type Answers = [Option<TcMessage>; 2];

impl Compat {
    /// A message of the client as the destination is to have it.
    pub(super) fn upstream(&mut self, shared: &mut Shared, now: Time, message: TcMessage) -> TcMessage {
        let message = match shared.config.to.protocol {
            Protocol::Rtmp | Protocol::RtmpSimple => {
                self.encoding.upstream(&mut shared.counters, &shared.config.amf3, message)
            }
            Protocol::Rtmfp => message,
        };
        let due = now + shared.config.timeouts.courtesy;
        self.courtesies.note(&message, due, shared.config.max_courtesies);
        message
    }

    /// What the client is to get when the destination sends this. Over RTMP that is plain AMF0, which is allowed with
    /// any object encoding: players know nothing else.
    pub(super) fn downstream(&mut self, shared: &mut Shared, to_rtmp: bool, message: TcMessage) -> Answers {
        match self.courtesies.look(&message) {
            Verdict::Pass if to_rtmp && shared.config.to.protocol == Protocol::Rtmfp => {
                [Some(self.encoding.plain(&mut shared.counters, &shared.config.amf3, message)), None]
            }
            Verdict::Pass => [Some(self.encoding.downstream(message)), None],
            Verdict::Drop => [None, None],
            Verdict::Replace(answers) => {
                shared.counters.courtesies += 1;
                answers
            }
        }
    }

    /// The connect was accepted: only from now on answers can be expected.
    pub(super) fn accepted(&mut self, shared: &Shared, now: Time) {
        self.courtesies.restart(now + shared.config.timeouts.courtesy);
    }

    /// When a command has waited long enough.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.courtesies.next()
    }

    /// The answers to a command that has waited long enough.
    pub(super) fn overdue(&mut self, shared: &mut Shared, now: Time) -> Option<Answers> {
        let answers = self.courtesies.overdue(now)?;
        shared.counters.courtesies += 1;
        Some(answers)
    }
}
