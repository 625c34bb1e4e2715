use std::collections::HashMap;
use std::sync::Arc;

use rtmfp_base::{Action, StreamId, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::control::UserControl;
use rtmfp_rtmp::{Config, Connection, Event, MessageId, ReceiveLimits, SendError, SendOptions};

use crate::LinkConfig;
use crate::common::{Common, Received};
use crate::link::{Cx, LinkError, LinkEvent, LinkId, Role};
use crate::meaning::Meaning;
use crate::policy::{Picture, Treatment};

/// A link over a byte stream.
#[derive(Debug)]
pub struct RtmpLink {
    pub(crate) common: Common,
    stream: StreamId,
    connection: Connection,
    /// The streams of messages that wait in the connection.
    waiting: HashMap<MessageId, u32>,
    /// The current group of pictures of a track of a stream.
    groups: HashMap<(u32, u8), u64>,
    next_group: u64,
    /// The host was asked to fill the byte stream.
    wants_write: bool,
    finishing: Finishing,
    /// The last ping that was passed on, until it is answered: its number, and when to answer it here.
    ping: Option<(u32, Time)>,
}

/// What a connection takes beside messages that were received in part, in bytes.
const REST: usize = 16 << 10;

/// Tracks of streams of which the current group of pictures is known.
const MAX_GROUPS: usize = 4096;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finishing {
    No,
    /// Once everything that must not overtake media was let go.
    Wanted,
    /// The host sends what is left, and then ends the byte stream.
    Asked,
}

impl RtmpLink {
    /// A link over a byte stream that was accepted (server) or is connected (client). No secret rests on `seed`.
    pub fn new(
        cx: &mut Cx<'_>,
        id: LinkId,
        role: Role,
        stream: StreamId,
        config: Arc<LinkConfig>,
        mut rtmp: Config,
        seed: u64,
    ) -> Self {
        let limits = |limits: crate::ReceiveLimits| ReceiveLimits {
            message_bytes: limits.message_bytes,
            partial_bytes: limits.session_bytes.saturating_sub(REST),
        };
        rtmp.untrusted = limits(config.untrusted);
        rtmp.trusted = limits(config.trusted);
        rtmp.max_queued_bytes = config.max_queued_bytes;
        let mut link = Self {
            common: Common::new(id, role, config),
            stream,
            connection: Connection::new(role, rtmp, cx.now, seed),
            waiting: HashMap::new(),
            groups: HashMap::new(),
            next_group: 0,
            wants_write: false,
            finishing: Finishing::No,
            ping: None,
        };
        link.ask_for_writing(cx);
        link
    }

    /// The byte stream.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    pub(crate) fn receive(&mut self, cx: &mut Cx<'_>, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.common.is_closed() {
            match self.connection.receive(cx.now, bytes) {
                Ok(rest) => bytes = rest,
                Err(error) => return self.fail(cx, error.into()),
            }
            self.take_events(cx);
        }
        self.settle(cx);
    }

    pub(crate) fn end_of_stream(&mut self, cx: &mut Cx<'_>) {
        if !self.connection.is_open() {
            return self.fail(cx, LinkError::EarlyEnd);
        }
        self.common.tell_ended();
    }

    pub(crate) fn closed(&mut self, error: Option<String>) {
        if self.common.is_closed() {
            return;
        }
        let early = !self.connection.is_open() && self.finishing == Finishing::No;
        self.common.tell_closed(match error {
            Some(error) => Err(LinkError::Stream(error)),
            None if early => Err(LinkError::EarlyEnd),
            None => Ok(()),
        });
    }

    pub(crate) fn fill(&mut self, cx: &mut Cx<'_>, limit: usize, out: &mut Vec<u8>) {
        let before = out.len();
        self.connection.fill(cx.now, limit, out);
        self.wants_write = out.len() > before;
        self.take_events(cx);
        self.settle(cx);
    }

    fn take_events(&mut self, cx: &mut Cx<'_>) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Open => self.common.tell(LinkEvent::Open),
                Event::Message(message) => self.take(cx, message),
                Event::Sent(id) => self.done(id),
                Event::Dropped { id, .. } => {
                    self.common.stats.dropped_messages += 1;
                    self.done(id);
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, cx: &mut Cx<'_>, message: TcMessage) {
        let meaning = Meaning::of(&message);
        if let Meaning::Ping { echo } = meaning {
            self.ping = Some((echo, cx.now + self.common.config.ping_limit));
        }
        match self.common.receive(message, meaning) {
            Received::Accepted => self.connection.set_trusted(),
            Received::Answer(answer) => self.put(cx, answer, Meaning::Command),
            Received::Done | Received::Own(_) => {}
        }
    }

    fn done(&mut self, id: MessageId) {
        if let Some(stream_id) = self.waiting.remove(&id) {
            self.common.note_done(stream_id);
        }
    }

    pub(crate) fn send(&mut self, cx: &mut Cx<'_>, message: TcMessage) {
        if self.common.is_closed() {
            return;
        }
        let Some((meaning, accepts)) = self.common.send(&message) else { return };
        if accepts {
            self.connection.set_trusted();
        }
        if let Meaning::Pong { echo } = meaning {
            // One that was answered here must not be answered again.
            if self.ping.take_if(|(asked, _)| *asked == echo).is_none() {
                return;
            }
        }
        if let Some(message) = self.common.hold_back(cx.now, message, meaning, true) {
            self.put(cx, message, meaning);
        }
        self.settle(cx);
    }

    /// Gives a message that means this to the connection.
    fn put(&mut self, cx: &mut Cx<'_>, message: TcMessage, meaning: Meaning) {
        let stream_id = message.stream_id;
        if let Meaning::Ends { stream: Some(stream), deletes: true } = meaning {
            self.groups.retain(|&(other, _), _| other != stream);
        }
        let Treatment { lane, deadlines, picture } = self.common.config.lifetimes.treat(cx.now, &message);
        let group = picture.map(|picture| self.group(cx.now, &message, picture));
        let options = SendOptions {
            priority: lane.priority() as u8,
            start_by: deadlines.start_by,
            finish_by: deadlines.finish_by,
            group,
            notify: stream_id != 0,
        };
        match self.connection.send(cx.now, message, &options) {
            Ok(id) if stream_id != 0 => {
                // It may have been dropped at once: that event is still to come.
                self.waiting.insert(id, stream_id);
                self.common.note_sent(stream_id);
            }
            Ok(_) => {}
            Err(SendError::QueueFull { queued, .. }) => {
                return self.fail(cx, LinkError::QueueFull { queued });
            }
            // What came from a link is neither too long nor of the chunk layer.
            Err(_) => self.common.stats.ignored_messages += 1,
        }
        self.take_events(cx);
    }

    /// The group that a picture belongs to. One that begins a group hastens what is left of the one before.
    fn group(&mut self, now: Time, message: &TcMessage, picture: Picture) -> u64 {
        let key = (message.stream_id, picture.track);
        let before = self.groups.get(&key).copied();
        match before {
            Some(group) if !picture.begins_group => return group,
            Some(group) => {
                let rest = self.common.config.lifetimes.of_previous_group(now);
                if !rest.are_never() {
                    let (stream_id, kind) = (message.stream_id, message.kind);
                    self.connection.hasten_group(stream_id, kind, group, rest.start_by, rest.finish_by);
                }
            }
            None => {}
        }
        if self.groups.len() >= MAX_GROUPS {
            self.groups.clear();
        }
        self.next_group += 1;
        self.groups.insert(key, self.next_group);
        self.next_group
    }

    pub(crate) fn finish(&mut self, cx: &mut Cx<'_>) {
        if self.finishing == Finishing::No && !self.common.is_closed() {
            self.finishing = Finishing::Wanted;
            self.wait_for_rest(cx.now);
            self.settle(cx);
        }
    }

    fn wait_for_rest(&mut self, now: Time) -> bool {
        let left = self.connection.queued_bytes() + self.common.gate.bytes();
        self.common.wait_for_rest(now, left)
    }

    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>) {
        self.fail(cx, LinkError::Aborted);
    }

    /// Ends at once: the byte stream is reset.
    fn fail(&mut self, cx: &mut Cx<'_>, error: LinkError) {
        if !self.common.is_closed() {
            cx.actions.push_back(Action::Abort { stream: self.stream });
            self.common.tell_closed(Err(error));
        }
    }

    /// After anything has changed.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        while !self.common.is_closed()
            && let Some(message) = self.common.release(cx.now, true)
        {
            let meaning = Meaning::of(&message);
            self.put(cx, message, meaning);
        }
        if self.common.is_closed() {
            return;
        }
        self.ask_for_writing(cx);
        if self.finishing == Finishing::Wanted && self.common.gate.is_empty() {
            self.finishing = Finishing::Asked;
            cx.actions.push_back(Action::Finish { stream: self.stream });
        }
    }

    fn ask_for_writing(&mut self, cx: &mut Cx<'_>) {
        if !self.wants_write && self.connection.wants_write() {
            self.wants_write = true;
            cx.actions.push_back(Action::WantWrite { stream: self.stream });
        }
    }

    pub(crate) fn poll_timeout(&mut self) -> Option<Time> {
        if self.common.is_closed() {
            return None;
        }
        let ping = self.ping.map(|(_, at)| at);
        [self.connection.poll_timeout(), self.common.next_end(), ping].into_iter().flatten().min()
    }

    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.common.is_closed() {
            return;
        }
        if let Err(error) = self.connection.handle_timeout(cx.now) {
            return self.fail(cx, error.into());
        }
        self.take_events(cx);
        if let Some((echo, _)) = self.ping.take_if(|(_, at)| *at <= cx.now) {
            self.put(cx, UserControl::PingResponse(echo).message(), Meaning::Pong { echo });
        }
        if self.common.finish_by.is_some_and(|end| end <= cx.now) && !self.wait_for_rest(cx.now) {
            return self.fail(cx, LinkError::Unfinished);
        }
        self.settle(cx);
    }
}
