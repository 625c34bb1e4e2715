//! How a client ends: by itself, by its destination, by its relay.

use log::{Level, info};
use rtmfp_base::Time;
use rtmfp_media::command::delete_stream;
use rtmfp_media::message::CONTROL_STREAM;
use rtmfp_netconn::{LinkError, Progress, connection_closed, connection_failed, connection_shut_down};

use super::refusal::Refusal;
use super::{Client, Far, Stage};
use crate::relay::shared::Shared;

/// What clients are told that the relay ends.
const SHUT_DOWN: &str = "the relay is being shut down";

impl Client {
    /// The client has ended, or is gone: what it has sent is to arrive.
    pub(super) fn near_ended(&mut self, shared: &mut Shared, now: Time, error: Option<LinkError>) {
        if self.stage == Stage::Connect {
            shared.counters.never_connected += 1;
        }
        if let Some(error) = error {
            let level = shared.notices.level_of_end(now, self.who.peer.ip(), &error);
            log::log!(level, "{}: {error}", self.who);
        }
        self.begin_end();
        match &mut self.far {
            Far::Open(link) => link.finish(&mut shared.cx(now)),
            Far::Opening(link) => link.abort(&mut shared.cx(now)),
            Far::Dialing(dial) => {
                dial.cancel(shared);
                self.far = Far::Gone;
            }
            Far::None | Far::Gone => {}
        }
        // A client that is still there hears when all has arrived.
        if matches!(self.far, Far::None | Far::Gone) && !self.near_gone {
            self.near.finish(&mut shared.cx(now));
        }
    }

    /// The destination has answered the connect by an error: the client has that, and most leave now.
    pub(super) fn refused(&mut self, shared: &mut Shared, now: Time, refusal: &Refusal) {
        let line = format_args!("{}: refused by {}: {refusal}", self.who, shared.config.to);
        if refusal.asks_for_login() {
            shared.counters.asked_to_log_in += 1;
            shared.notices.refusals.log(now, Level::Info, line);
        } else {
            shared.counters.rejected += 1;
            shared.notices.refusals.warn(now, line);
        }
        self.stage = Stage::Refused;
        self.deadline = now + shared.config.timeouts.connect;
    }

    /// The destination has ended, or is gone.
    pub(super) fn far_ended(&mut self, shared: &mut Shared, now: Time, error: Option<LinkError>) {
        let reason = || match &error {
            Some(error) => error.to_string(),
            None => "it closed the connection".to_owned(),
        };
        match self.stage {
            Stage::Open { .. } | Stage::Answer => self.fail(shared, now, &reason()),
            Stage::Running => {
                let lost = format!("lost {}: {}", shared.config.to, reason());
                shared.notices.losses.warn(now, format_args!("{}: {lost}", self.who));
                shared.counters.lost += 1;
                if self.near.progress() == Progress::Accepted {
                    let status = connection_closed(&format!("{} was lost: {}", shared.config.to, reason()));
                    self.near.send(&mut shared.cx(now), status);
                }
                self.begin_end();
            }
            // It was to be expected.
            Stage::Refused => self.begin_end(),
            Stage::Connect | Stage::Dismissed | Stage::Ending => {
                if let Some(error) = error {
                    info!("{}: {}: {error}", self.who, shared.config.to);
                }
            }
        }
        if let Far::Opening(link) | Far::Open(link) = &mut self.far {
            link.finish(&mut shared.cx(now));
        }
        if !self.near_gone {
            self.near.finish(&mut shared.cx(now));
        }
    }

    /// From here on the links have their own deadlines.
    pub(super) fn begin_end(&mut self) {
        self.stage = Stage::Ending;
        self.deadline = Time::MAX;
    }

    /// Ends everything at once.
    pub(in crate::relay) fn abort(&mut self, shared: &mut Shared, now: Time) {
        self.begin_end();
        self.leave_far(shared, now);
        self.near.abort(&mut shared.cx(now));
        self.settle(shared, now);
    }

    /// Ends the client in order: both ends are told, and hear all that was sent before.
    pub(in crate::relay) fn dismiss(&mut self, shared: &mut Shared, now: Time, why: &str) {
        if matches!(self.stage, Stage::Dismissed | Stage::Ending) {
            return;
        }
        info!("{}: ended: {why}", self.who);
        let status = match self.near.progress() {
            Progress::Asked { transaction } => Some(connection_failed(transaction, why)),
            Progress::Accepted => Some(connection_shut_down(why)),
            Progress::Silent | Progress::Refused => None,
        };
        if let Some(status) = status {
            self.near.send(&mut shared.cx(now), status);
        }
        if let Far::Open(link) = &mut self.far {
            for stream in self.streams.take() {
                link.send(&mut shared.cx(now), delete_stream(stream).message(CONTROL_STREAM));
            }
            link.finish(&mut shared.cx(now));
        } else {
            self.leave_far(shared, now);
        }
        self.stage = Stage::Dismissed;
        self.deadline = Time::MAX;
        self.near.finish(&mut shared.cx(now));
        self.settle(shared, now);
    }

    /// The relay takes leave, and waits for what is running. Ends the client if that is not; answers when to ask
    /// again.
    pub(in crate::relay) fn drain(&mut self, shared: &mut Shared, now: Time) -> Option<Time> {
        match self.stage {
            // It has not asked for anything yet.
            Stage::Connect => self.abort(shared, now),
            Stage::Open { .. } | Stage::Answer => self.dismiss(shared, now, SHUT_DOWN),
            Stage::Running => match self.streams.idle_at(shared.config.timeouts.drain_idle) {
                Some(at) if at > now => return Some(at),
                _ => self.dismiss(shared, now, SHUT_DOWN),
            },
            Stage::Refused | Stage::Dismissed | Stage::Ending => {}
        }
        None
    }

    /// The relay waits no longer for what is running.
    pub(in crate::relay) fn end_for_drain(&mut self, shared: &mut Shared, now: Time) {
        match self.stage {
            Stage::Connect => self.abort(shared, now),
            _ => self.dismiss(shared, now, SHUT_DOWN),
        }
    }

    /// The patience with what is under way has ended.
    pub(super) fn late(&mut self, shared: &mut Shared, now: Time) {
        match self.stage {
            Stage::Connect => {
                info!("{}: no connect in time", self.who);
                self.abort(shared, now);
            }
            Stage::Open { .. } | Stage::Answer => {
                // With a hint it did, or might have.
                let reason =
                    if self.hint.is_some() { "no keys were agreed on in time" } else { "it does not answer" };
                self.give_up(shared, now, reason);
            }
            Stage::Refused => self.dismiss(shared, now, "it was refused, and stays"),
            Stage::Running | Stage::Dismissed | Stage::Ending => {}
        }
    }
}
