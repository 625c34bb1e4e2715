//! What a client does with NetStreams.

use core::time::Duration;
use std::collections::BTreeSet;

use log::info;
use rtmfp_base::Time;
use rtmfp_media::message::{CONTROL_STREAM, kind};
use rtmfp_netconn::TcMessage;

use super::{Shared, StreamUse, Who};

/// The NetStreams of a client, and when they carried something last.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// It has asked for one.
    wanted: bool,
    /// Those by which it publishes or plays.
    used: BTreeSet<u32>,
    /// When media came last, or something that leads to it.
    carried: Time,
}

impl Streams {
    /// The connection is there.
    pub(super) fn begin(&mut self, now: Time) {
        self.carried = now;
    }

    /// Looks at a message of the client, and logs what it begins. Names of streams are keys to them on many servers, so
    /// only their beginning is shown.
    pub(super) fn note(&mut self, now: Time, shared: &Shared, who: Who, message: &TcMessage) {
        let beginning = |name: &str| name.chars().take(4).collect::<String>();
        if !matches!(message.kind, kind::COMMAND | kind::COMMAND_EXTENDED) {
            return self.note_media(now, message);
        }
        match StreamUse::parse(message) {
            Some(StreamUse::Create) => {
                self.wanted = true;
                self.carried = now;
            }
            Some(StreamUse::Publish(name)) => {
                info!("{who}: publishes {:?}...", beginning(&name));
                self.begin_use(now, shared, message.stream_id);
            }
            Some(StreamUse::Play(name)) => {
                info!("{who}: plays {:?}...", beginning(&name));
                self.begin_use(now, shared, message.stream_id);
            }
            Some(StreamUse::Delete(stream)) => {
                stream.map(|stream| self.used.remove(&stream));
            }
            _ => {}
        }
    }

    fn begin_use(&mut self, now: Time, shared: &Shared, stream: u32) {
        self.wanted = true;
        self.carried = now;
        if self.used.len() < shared.config.link.max_streams {
            self.used.insert(stream);
        }
    }

    /// Looks at a message to or from the client.
    pub(super) fn note_media(&mut self, now: Time, message: &TcMessage) {
        let is_media = matches!(message.kind, kind::AUDIO | kind::VIDEO | kind::DATA | kind::DATA_EXTENDED);
        if is_media && message.stream_id != CONTROL_STREAM {
            self.carried = now;
        }
    }

    /// When they have carried nothing for so long; `None` if there never were any.
    pub(super) fn idle_at(&self, patience: Duration) -> Option<Time> {
        self.wanted.then(|| self.carried + patience)
    }

    /// Those by which it publishes or plays: they end.
    pub(super) fn take(&mut self) -> BTreeSet<u32> {
        core::mem::take(&mut self.used)
    }
}
