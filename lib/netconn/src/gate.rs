//! Messages that must not overtake others.
//!
//! Flows of RTMFP know no order among each other, and neither do the priorities of an RTMP queue. So a command that ends
//! a stream waits here until the stream's media has arrived, and what comes after it behind it.

use std::collections::{BTreeMap, VecDeque};

use rtmfp_base::Time;
use rtmfp_media::TcMessage;

/// What a message waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wait {
    /// The media of a stream, or of all streams, has arrived or will never do.
    Drained(Option<u32>),
    /// The other end can take messages of streams.
    Peer,
}

#[derive(Debug)]
struct Held {
    message: TcMessage,
    wait: Option<Wait>,
    until: Time,
}

/// The messages that wait, in their order within each stream.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    streams: BTreeMap<u32, VecDeque<Held>>,
    bytes: usize,
}

/// What a held message costs beside its payload.
const RECORD: usize = size_of::<Held>();

impl Gate {
    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// How many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.streams.values().map(VecDeque::len).sum()
    }

    /// Bytes of what waits.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a message of this stream has to queue up.
    pub(crate) fn blocks(&self, stream_id: u32) -> bool {
        self.streams.contains_key(&stream_id)
    }

    /// Holds a message back, until what it waits for has come, or a time.
    pub(crate) fn hold(&mut self, message: TcMessage, wait: Option<Wait>, until: Time) {
        self.bytes += message.payload.len() + RECORD;
        self.streams.entry(message.stream_id).or_default().push_back(Held { message, wait, until });
    }

    /// The next message that has waited long enough. With `patient`, times don't count.
    pub(crate) fn release(
        &mut self,
        now: Time,
        patient: bool,
        come: impl Fn(Wait) -> bool,
    ) -> Option<TcMessage> {
        let free = |held: &Held| held.wait.is_none_or(&come) || (!patient && held.until <= now);
        let stream_id =
            self.streams.iter().find(|(_, queue)| queue.front().is_some_and(free)).map(|(&id, _)| id)?;
        let queue = self.streams.get_mut(&stream_id)?;
        let held = queue.pop_front()?;
        if queue.is_empty() {
            self.streams.remove(&stream_id);
        }
        self.bytes -= held.message.payload.len() + RECORD;
        Some(held.message)
    }

    /// When the next message has waited long enough.
    pub(crate) fn next_end(&self) -> Option<Time> {
        let ends = self.streams.values().filter_map(|queue| queue.front()).map(|held| held.until);
        ends.min().filter(|at| !at.is_never())
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use rtmfp_media::command;

    use super::*;

    #[test]
    fn what_comes_behind_a_held_message_of_its_stream_keeps_its_place() {
        let mut gate = Gate::default();
        let end = command::delete_stream(1).message(0);
        let next = command::create_stream(5.0).message(0);
        let other = command::publish("other", "live").message(2);
        gate.hold(end.clone(), Some(Wait::Drained(Some(1))), Time::from_secs(1));
        assert!(gate.blocks(0) && !gate.blocks(2));
        gate.hold(next.clone(), None, Time::MAX);
        gate.hold(other.clone(), Some(Wait::Peer), Time::MAX);
        let now = Time::ZERO;
        assert_eq!(gate.release(now, false, |_| false), None);
        assert_eq!(gate.release(now, false, |wait| wait == Wait::Peer), Some(other));
        assert_eq!(gate.next_end(), Some(Time::from_secs(1)));
        assert_eq!(gate.release(now, false, |wait| wait == Wait::Drained(Some(1))), Some(end));
        assert_eq!(gate.release(now, false, |_| false), Some(next));
        assert!(gate.is_empty());
        assert_eq!(gate.bytes(), 0);
    }

    #[test]
    fn nothing_waits_longer_than_it_may_but_for_patience() {
        let mut gate = Gate::default();
        let end = command::delete_stream(1).message(0);
        gate.hold(end.clone(), Some(Wait::Drained(None)), Time::from_secs(1));
        assert_eq!(gate.release(Time::from_secs(1), true, |_| false), None);
        assert_eq!(gate.release(Time::from_secs(1), false, |_| false), Some(end));
    }
}
