//! What a relay does for old programs beside passing their messages on.

mod courtesy;
mod encoding;

use rtmfp_base::Time;
use rtmfp_netconn::{Link, TcMessage};

use super::Protocol;
use super::client::Who;
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
    ///
    /// Programs of Flash's time and MonaServer write in AMF3 over RTMFP, and RTMP servers that read it are few: it becomes
    /// AMF0. From RTMP to RTMP nothing is changed: what the two ends agree on is theirs, as without a relay.
    pub(super) fn upstream(
        &mut self,
        shared: &mut Shared,
        now: Time,
        who: Who,
        near: &Link,
        message: TcMessage,
    ) -> TcMessage {
        let message = match (near, shared.config.to.protocol) {
            (Link::Rtmfp(_), Protocol::Rtmp | Protocol::RtmpSimple) => {
                self.encoding.upstream(shared, who, message)
            }
            _ => message,
        };
        let due = now + shared.config.timeouts.courtesy;
        self.courtesies.note(&message, due, shared.config.max_courtesies);
        message
    }

    /// What the client is to get when the destination sends this. Over RTMP from RTMFP that is plain AMF0, which is
    /// allowed with any object encoding: players know nothing else.
    pub(super) fn downstream(
        &mut self,
        shared: &mut Shared,
        who: Who,
        near: &Link,
        message: TcMessage,
    ) -> Answers {
        match self.courtesies.look(&message) {
            Verdict::Pass => [
                Some(match (near, shared.config.to.protocol) {
                    (Link::Rtmp(_), Protocol::Rtmfp) => self.encoding.plain(shared, who, message),
                    _ => self.encoding.downstream(message),
                }),
                None,
            ],
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
