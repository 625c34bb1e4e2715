//! What links of all kinds have in common.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::aggregate::{self, Parts};
use rtmfp_media::amf0::Value;
use rtmfp_media::command;

use crate::LinkConfig;
use crate::gate::{Gate, Wait};
use crate::link::{LinkError, LinkEvent, LinkId, LinkStats, Progress, Role};
use crate::meaning::Meaning;

/// The state of a link beside what carries it.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) id: LinkId,
    pub(crate) role: Role,
    pub(crate) config: Arc<LinkConfig>,
    pub(crate) progress: Progress,
    pub(crate) gate: Gate,
    /// How many messages of a stream are on their way; streams without any are not in it.
    pending: BTreeMap<u32, usize>,
    pub(crate) stats: LinkStats,
    /// The near end finishes: when its patience ends.
    pub(crate) finish_by: Option<Time>,
    /// How much there was to be delivered when its patience began.
    finish_left: usize,
    pub(crate) events: VecDeque<LinkEvent>,
    ended: bool,
    closed: bool,
}

/// What has to be done besides handing out a received message.
#[derive(Debug)]
pub(crate) enum Received {
    /// Nothing.
    Done,
    /// The peer is trusted from now on.
    Accepted,
    /// This is to be answered.
    Answer(TcMessage),
    /// It is for the link itself.
    Own(Meaning),
}

impl Common {
    pub(crate) fn new(id: LinkId, role: Role, config: Arc<LinkConfig>) -> Self {
        Self {
            id,
            role,
            config,
            progress: Progress::default(),
            gate: Gate::default(),
            pending: BTreeMap::new(),
            stats: LinkStats::default(),
            finish_by: None,
            finish_left: usize::MAX,
            events: VecDeque::new(),
            ended: false,
            closed: false,
        }
    }

    pub(crate) fn tell(&mut self, event: LinkEvent) {
        if !self.closed {
            self.events.push_back(event);
        }
    }

    pub(crate) fn tell_ended(&mut self) {
        if !core::mem::replace(&mut self.ended, true) {
            self.tell(LinkEvent::Ended);
        }
    }

    pub(crate) fn tell_closed(&mut self, result: Result<(), LinkError>) {
        self.tell(LinkEvent::Closed(result));
        self.closed = true;
        self.gate.clear();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Takes a received message that means this.
    pub(crate) fn receive(&mut self, message: TcMessage, meaning: Meaning) -> Received {
        match meaning {
            Meaning::FlowSync { .. } | Meaning::SetKeepalive { .. } => {
                self.stats.ignored_messages += 1;
                return Received::Own(meaning);
            }
            Meaning::ChunkLayer => {
                self.stats.ignored_messages += 1;
                return Received::Done;
            }
            Meaning::SetPeerInfo { transaction } => {
                self.stats.ignored_messages += 1;
                if transaction == 0.0 || self.role == Role::Client {
                    return Received::Done;
                }
                let answer = command::result(transaction).value(Value::Null).message(0);
                return Received::Answer(answer);
            }
            // MonaServer objects to the link's own setPeerInfo. It is known by its text alone, as librtmfp numbers what
            // it does want answers to by 0 as well.
            Meaning::Error { transaction: 0.0 } if self.role == Role::Client && names_peer_info(&message) => {
                self.stats.ignored_messages += 1;
                return Received::Done;
            }
            Meaning::Aggregate => {
                self.receive_parts(&message);
                return Received::Done;
            }
            _ => {}
        }
        self.hand_out(message);
        let accepted = match self.role {
            Role::Client => self.progress.answer(meaning),
            Role::Server => {
                self.progress.ask(meaning);
                false
            }
        };
        if accepted { Received::Accepted } else { Received::Done }
    }

    fn receive_parts(&mut self, message: &TcMessage) {
        for part in Parts::of(message, aggregate::DEFAULT_LIMIT).into_iter().flatten() {
            match part {
                Ok(part) => self.hand_out(part),
                Err(_) => self.stats.ignored_messages += 1,
            }
        }
    }

    fn hand_out(&mut self, message: TcMessage) {
        self.stats.received_messages += 1;
        self.stats.received_bytes += message.payload.len() as u64;
        self.tell(LinkEvent::Message(message));
    }

    /// Looks at a message that is to be sent: what it means, and whether it accepts the connection. `None`: it is
    /// not for the other side of a link.
    pub(crate) fn send(&mut self, message: &TcMessage) -> Option<(Meaning, bool)> {
        let meaning = Meaning::of(message);
        match meaning {
            Meaning::ChunkLayer
            | Meaning::FlowSync { .. }
            | Meaning::SetKeepalive { .. }
            | Meaning::SetPeerInfo { .. } => return None,
            _ => {}
        }
        let accepted = match self.role {
            Role::Server => self.progress.answer(meaning),
            Role::Client => {
                self.progress.ask(meaning);
                false
            }
        };
        self.stats.sent_messages += 1;
        self.stats.sent_bytes += message.payload.len() as u64;
        Some((meaning, accepted))
    }

    /// Holds a message back if it has to wait; gives it back if not.
    pub(crate) fn hold_back(
        &mut self,
        now: Time,
        message: TcMessage,
        meaning: Meaning,
        peer_ready: bool,
    ) -> Option<TcMessage> {
        let wait = match meaning {
            Meaning::Ends { stream, .. } => Some(Wait::Drained(stream)),
            _ if message.stream_id != 0 && !peer_ready => Some(Wait::Peer),
            _ => None,
        };
        let waits = wait.is_some_and(|wait| !self.has_come(wait, peer_ready));
        if !waits && !self.gate.blocks(message.stream_id) {
            return Some(message);
        }
        let until = match wait {
            Some(Wait::Drained(_)) => now + self.config.drain_limit,
            _ => Time::MAX,
        };
        self.gate.hold(message, wait, until);
        None
    }

    /// The next message that needs not wait any more.
    pub(crate) fn release(&mut self, now: Time, peer_ready: bool) -> Option<TcMessage> {
        let mut gate = core::mem::take(&mut self.gate);
        let patient = self.finish_by.is_some();
        let message = gate.release(now, patient, |wait| self.has_come(wait, peer_ready));
        self.gate = gate;
        message
    }

    fn has_come(&self, wait: Wait, peer_ready: bool) -> bool {
        match wait {
            Wait::Drained(Some(stream)) => !self.pending.contains_key(&stream),
            Wait::Drained(None) => self.pending.is_empty(),
            Wait::Peer => peer_ready,
        }
    }

    /// A message of a stream is on its way.
    pub(crate) fn note_sent(&mut self, stream_id: u32) {
        *self.pending.entry(stream_id).or_default() += 1;
    }

    /// A message of a stream has arrived, or will not.
    pub(crate) fn note_done(&mut self, stream_id: u32) {
        if let Some(count) = self.pending.get_mut(&stream_id) {
            *count -= 1;
            if *count == 0 {
                self.pending.remove(&stream_id);
            }
        }
    }

    /// Messages of streams that have to be delivered, or to expire.
    pub(crate) fn pending_messages(&self) -> usize {
        self.gate.len() + self.pending.values().sum::<usize>()
    }

    /// Begins, or goes on, to wait for the rest to be delivered, of which so much is left. Answers whether that makes
    /// sense: something was delivered since the last time.
    pub(crate) fn wait_for_rest(&mut self, now: Time, left: usize) -> bool {
        let goes_on = left < self.finish_left;
        if goes_on {
            self.finish_left = left;
            self.finish_by = Some(now + self.config.finish_limit);
        }
        goes_on
    }

    /// When the gate or the near end's patience wants to be looked at.
    pub(crate) fn next_end(&self) -> Option<Time> {
        let gate = self.gate.next_end().filter(|_| self.finish_by.is_none());
        gate.into_iter().chain(self.finish_by).min()
    }
}

/// Whether what went wrong has to do with `setPeerInfo`.
fn names_peer_info(message: &TcMessage) -> bool {
    const NAME: &[u8] = b"setPeerInfo";
    message.payload.windows(NAME.len()).any(|bytes| bytes == NAME)
}
