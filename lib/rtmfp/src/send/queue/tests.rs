//! Schedules of all that can happen to a queue, against a model that does everything the slow way.

mod convergence;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rtmfp_base::{Id, Message, ReceiptId, Time, WriteOptions};

use super::*;

fn sent(tsn: u64, size: usize) -> Sent {
    Sent { tsn, at: Time::ZERO, delivered: 0, size, application_limited: false }
}

fn written(queue: &mut Queue, len: usize, options: &WriteOptions) -> u64 {
    queue.write(Time::ZERO, Message::from(vec![7; len]), options, None)
}

/// Sends one chunk of at most `space` bytes; answers its sequence number.
fn send(queue: &mut Queue, tsn: u64, space: usize) -> Option<Chunk> {
    let chunk = queue.next_chunk(Time::ZERO, space, false)?;
    queue.commit(&chunk, sent(tsn, 10 + chunk.data_len()));
    Some(chunk)
}

#[derive(Clone, Debug)]
enum Op {
    Write {
        len: usize,
        start_by: Option<u64>,
        finish_by: Option<u64>,
        best_effort: bool,
    },
    Send {
        space: usize,
    },
    AckThrough(u64),
    AckRange(u64, u64),
    /// Loses one of what was sent, of whatever fate since.
    Lose(usize),
    LoseAll,
    Abandon(u64),
    SetDeadlines(u64, u64, u64),
    Pass(u64),
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    let deadline = || prop_oneof![3 => Just(None), 1 => (0..40u64).prop_map(Some)];
    prop_oneof![
        4 => (0..3000usize, deadline(), deadline(), any::<bool>()).prop_map(
            |(len, start_by, finish_by, flip)| Op::Write {
                len, start_by, finish_by, best_effort: flip && len % 4 == 0
            }
        ),
        8 => (300..1200usize).prop_map(|space| Op::Send { space }),
        3 => (0..60u64).prop_map(Op::AckThrough),
        3 => (0..60u64, 0..6u64).prop_map(|(first, more)| Op::AckRange(first, first + more)),
        3 => (0..200usize).prop_map(Op::Lose),
        1 => Just(Op::LoseAll),
        1 => (0..40u64).prop_map(Op::Abandon),
        1 => (0..40u64, 0..60u64, 0..60u64).prop_map(|(m, s, f)| Op::SetDeadlines(m, s, f)),
        1 => (0..8u64).prop_map(Op::Pass),
        1 => Just(Op::Close),
    ]
}

#[derive(Debug)]
struct ModelMessage {
    len: usize,
    created: Time,
    /// Bytes that were sent; 1 for an empty message that was.
    cut: usize,
    start_by: Time,
    finish_by: Time,
    best_effort: bool,
    delivered: Option<bool>,
}

impl ModelMessage {
    fn deadline(&self) -> Time {
        if self.cut > 0 { self.finish_by } else { self.finish_by.min(self.start_by) }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    InFlight,
    Lost,
    Acknowledged,
}

#[derive(Debug)]
struct ModelFragment {
    message: Option<u64>,
    tsn: u64,
    size: usize,
    sent_abandoned: bool,
    fate: Fate,
}

#[derive(Debug, Default)]
struct Model {
    messages: BTreeMap<u64, ModelMessage>,
    fragments: BTreeMap<u64, ModelFragment>,
    /// Everything that was ever sent: sequence number and packet.
    history: Vec<(u64, u64)>,
    now: u64,
    closing: bool,
    cumulative: u64,
    ended: BTreeMap<ReceiptId, bool>,
}

fn receipt(message: u64) -> ReceiptId {
    Id::from_parts(message as u32, 0)
}

impl Model {
    fn end(&mut self, message: u64, delivered: bool) {
        let Some(entry) = self.messages.get_mut(&message) else { return };
        if entry.delivered.is_none() {
            entry.delivered = Some(delivered);
        }
    }

    fn expire(&mut self) {
        let now = Time::from_micros(self.now);
        for entry in self.messages.values_mut() {
            if entry.delivered.is_none() && now > entry.deadline() {
                entry.delivered = Some(false);
            }
        }
    }

    fn acknowledge(&mut self, sequence: u64) {
        let Some(fragment) = self.fragments.get_mut(&sequence) else { return };
        fragment.fate = Fate::Acknowledged;
        let Some(message) = fragment.message else { return };
        let complete = self
            .fragments
            .values()
            .all(|fragment| fragment.message != Some(message) || fragment.fate == Fate::Acknowledged);
        let entry = &self.messages[&message];
        if complete && entry.cut >= entry.len.max(1) {
            self.end(message, true);
        }
    }

    fn lose(&mut self, sequence: u64, tsn: u64) -> bool {
        let Some(fragment) = self.fragments.get_mut(&sequence) else { return false };
        if fragment.fate != Fate::InFlight || fragment.tsn != tsn {
            return false;
        }
        fragment.fate = Fate::Lost;
        if let Some(message) = fragment.message
            && self.messages[&message].best_effort
        {
            self.end(message, false);
        }
        true
    }

    /// Its message was abandoned (or delivered, and the far end is told so once more).
    fn is_given_up(&self, fragment: &ModelFragment) -> bool {
        fragment.message.is_none_or(|message| self.messages[&message].delivered.is_some())
    }

    /// RFC 7016 section 3.6.2.3, and what a forward number means.
    fn check_chunk(&self, chunk: &Chunk) -> Result<(), TestCaseError> {
        prop_assert!(chunk.forward <= chunk.sequence);
        prop_assert!(chunk.forward < chunk.sequence || chunk.abandoned);
        prop_assert_eq!(chunk.abandoned, chunk.data.is_none());
        for (&sequence, fragment) in &self.fragments {
            if sequence > chunk.forward {
                break;
            }
            let outstanding = fragment.fate == Fate::InFlight;
            prop_assert!(
                !outstanding || (sequence == chunk.forward && fragment.sent_abandoned),
                "{sequence} is under way"
            );
            prop_assert!(
                fragment.fate == Fate::Acknowledged || self.is_given_up(fragment),
                "{sequence} is wanted"
            );
        }
        if chunk.abandoned
            && let Some(fragment) = self.fragments.get(&chunk.sequence)
        {
            prop_assert!(self.is_given_up(fragment) || fragment.fate == Fate::Acknowledged);
        }
        Ok(())
    }

    fn send(&mut self, queue: &mut Queue, space: usize) -> Result<(), TestCaseError> {
        if self.closing {
            queue.finish_if_drained();
        }
        let sendable = queue.has_sendable();
        self.expire();
        let Some(chunk) = queue.next_chunk(Time::from_micros(self.now), space, self.closing) else {
            return Ok(());
        };
        prop_assert!(sendable);
        self.check_chunk(&chunk)?;
        let tsn = self.history.len() as u64 + 1;
        let known = self.fragments.get(&chunk.sequence).and_then(|fragment| fragment.message);
        let message = known.or_else(|| {
            let uncut = |entry: &ModelMessage| entry.delivered.is_none() && entry.cut < entry.len.max(1);
            chunk.data.as_ref()?;
            self.messages.iter().find(|(_, entry)| uncut(entry)).map(|(&message, _)| message)
        });
        if let (Some((_, range)), Some(message), None) = (&chunk.data, message, known) {
            let entry = self.messages.get_mut(&message).unwrap();
            prop_assert_eq!(range.start, entry.cut.min(entry.len));
            let begins = entry.cut == 0;
            entry.cut = range.end.max(1);
            let begun = |(&number, entry): (&u64, &ModelMessage)| (entry.cut > 0).then_some(number + 1);
            let expected = self.messages.range(..message).rev().find_map(begun).unwrap_or(0);
            let told = self.fragments.get(&(chunk.sequence - 1)).is_some_and(|f| f.message.is_none());
            // An abandoned number stands for all that were given up before they had one.
            prop_assert!(!begins || message == expected || told, "{message} follows {expected}");
        }
        let size = 10 + chunk.data_len();
        let head = queue.commit(&chunk, sent(tsn, size));
        let sent_abandoned = chunk.abandoned;
        let fragment = ModelFragment { message, tsn, size, sent_abandoned, fate: Fate::InFlight };
        self.fragments.insert(chunk.sequence, fragment);
        self.history.push((chunk.sequence, tsn));
        if let Some(head) = head {
            prop_assert_eq!(head, chunk.forward);
            let fragment = self.fragments.get_mut(&head).unwrap();
            prop_assert_ne!(fragment.fate, Fate::InFlight);
            (fragment.tsn, fragment.size) = (tsn, 0);
            (fragment.sent_abandoned, fragment.fate) = (true, Fate::InFlight);
            self.history.push((head, tsn));
        }
        Ok(())
    }

    fn highest(&self) -> u64 {
        self.fragments.last_key_value().map_or(0, |(&sequence, _)| sequence)
    }

    fn apply(&mut self, queue: &mut Queue, op: &Op) -> Result<(), TestCaseError> {
        let mut acked = 0;
        let before = self.in_flight();
        match *op {
            Op::Write { len, start_by, finish_by, best_effort } if !self.closing => {
                let at =
                    |offset: Option<u64>| offset.map_or(Time::MAX, |by| Time::from_micros(self.now + by));
                let (start_by, finish_by) = (at(start_by), at(finish_by));
                let options = WriteOptions { start_by, finish_by, best_effort, notify: true, parent: None };
                let number = self.messages.len() as u64;
                let message = Message::from(vec![number as u8; len]);
                prop_assert_eq!(
                    queue.write(Time::from_micros(self.now), message, &options, Some(receipt(number))),
                    number
                );
                let (cut, created) = (0, Time::from_micros(self.now));
                let entry =
                    ModelMessage { len, created, cut, start_by, finish_by, best_effort, delivered: None };
                self.messages.insert(number, entry);
            }
            Op::Write { .. } => {}
            Op::Send { space } => self.send(queue, space)?,
            Op::AckThrough(through) => {
                let newer = queue.acknowledge_through(through, &mut |a: Acked| acked += a.sent.size);
                prop_assert_eq!(newer.is_none(), through > self.highest(), "{} is refused", through);
                if newer.is_some() {
                    prop_assert_eq!(newer, Some(through.cmp(&self.cumulative)));
                    self.cumulative = self.cumulative.max(through);
                    (1..=through).for_each(|sequence| self.acknowledge(sequence));
                    prop_assert_eq!(acked, before - self.in_flight());
                }
            }
            Op::AckRange(first, last) => {
                queue.acknowledge_range(first, last, &mut |a: Acked| acked += a.sent.size);
                (first..=last).for_each(|sequence| self.acknowledge(sequence));
                prop_assert_eq!(acked, before - self.in_flight());
            }
            Op::Lose(which) if !self.history.is_empty() => {
                let (sequence, tsn) = self.history[which % self.history.len()];
                self.lose_one(queue, sequence, tsn)?;
            }
            Op::Lose(_) => {}
            Op::LoseAll => {
                for (sequence, tsn) in self.history.clone() {
                    self.lose_one(queue, sequence, tsn)?;
                }
                prop_assert_eq!(queue.outstanding(), 0);
            }
            Op::Abandon(message) => {
                queue.abandon(message);
                self.end(message, false);
            }
            Op::SetDeadlines(message, start_by, finish_by) => {
                let (start_by, finish_by) =
                    (Time::from_micros(self.now + start_by), Time::from_micros(self.now + finish_by));
                queue.set_deadlines(message, start_by, finish_by);
                if let Some(entry) = self.messages.get_mut(&message) {
                    (entry.start_by, entry.finish_by) = (start_by, finish_by);
                }
            }
            Op::Pass(time) => {
                self.now += time;
                queue.expire(Time::from_micros(self.now));
                self.expire();
            }
            Op::Close => self.closing = true,
        }
        Ok(())
    }

    fn lose_one(&mut self, queue: &mut Queue, sequence: u64, tsn: u64) -> Result<(), TestCaseError> {
        let lost = queue.lose(sequence, tsn);
        prop_assert_eq!(lost != Lost::Stale, self.lose(sequence, tsn), "{} in {}", sequence, tsn);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.fragments.values().filter(|f| f.fate == Fate::InFlight).map(|f| f.size).sum()
    }

    fn check(&mut self, queue: &mut Queue) -> Result<(), TestCaseError> {
        prop_assert_eq!(queue.outstanding(), self.in_flight());
        let live = || self.messages.values().filter(|entry| entry.delivered.is_none());
        prop_assert_eq!(queue.buffered(), live().map(|entry| entry.len + OVERHEAD).sum::<usize>());
        let unsent = live().map(|entry| entry.len - entry.cut.min(entry.len)).sum::<usize>();
        prop_assert_eq!(queue.unsent(), unsent);
        while let Some(ended) = queue.next_ended() {
            prop_assert_eq!(self.ended.insert(ended.receipt, ended.delivered), None, "ended twice");
        }
        for (&message, entry) in &self.messages {
            prop_assert_eq!(self.ended.get(&receipt(message)).copied(), entry.delivered);
            prop_assert_eq!(queue.is_begun(message), entry.delivered.is_none().then_some(entry.cut > 0));
        }
        let live = || self.messages.values().filter(|entry| entry.delivered.is_none());
        prop_assert_eq!(queue.next_expiry(), live().map(ModelMessage::deadline).min().unwrap_or(Time::MAX));
        prop_assert_eq!(queue.oldest(), live().next().map(|entry| entry.created));
        let unbegun = live().find(|entry| entry.cut == 0);
        prop_assert_eq!(queue.oldest_unbegun(), unbegun.map(|entry| entry.created));
        let garbage = queue.messages.iter().filter(|queued| queued.is_garbage()).count();
        prop_assert_eq!(queue.live, queue.messages.len() - garbage);
        prop_assert!(garbage <= queue.live.max(GARBAGE));
        let waiting = queue.fragments.iter().filter(|fragment| fragment.waits()).count();
        prop_assert_eq!(queue.waiting, waiting);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_schedule_keeps_exact_accounts_and_ends_every_write_once(
        ops in proptest::collection::vec(op(), 0..200)
    ) {
        let (mut queue, mut model) = (Queue::new(), Model::default());
        for op in &ops {
            model.apply(&mut queue, op)?;
            model.check(&mut queue)?;
        }
        queue.abandon_all();
        let messages: Vec<u64> = model.messages.keys().copied().collect();
        messages.into_iter().for_each(|message| model.end(message, false));
        model.check(&mut queue)?;
        prop_assert_eq!(queue.buffered(), 0);
    }
}

#[test]
fn the_end_of_a_flow_can_not_be_acknowledged_before_it_was_sent() {
    let mut queue = Queue::new();
    written(&mut queue, 10, &WriteOptions::default());
    send(&mut queue, 1, 1000);
    queue.finish_if_drained();
    assert_eq!(queue.acknowledge_through(2, &mut |_| {}), None);
    queue.acknowledge_range(2, 2, &mut |_| {});
    assert_eq!(queue.acknowledge_through(1, &mut |_| {}), Some(core::cmp::Ordering::Greater));
    assert!(!queue.is_finished());
    let last = queue.next_chunk(Time::ZERO, 0, true).expect("the end");
    assert!(last.last && last.abandoned && last.sequence == 2 && last.forward == 2, "{last:?}");
    queue.commit(&last, sent(2, 10));
    queue.acknowledge_through(2, &mut |_| {});
    assert!(queue.is_finished());
}

#[test]
fn the_end_of_a_flow_behind_a_torn_message_takes_one_number() {
    let mut queue = Queue::new();
    written(&mut queue, 10, &WriteOptions::default());
    send(&mut queue, 1, 1000);
    let torn = written(&mut queue, 1000, &WriteOptions::default());
    send(&mut queue, 2, 300);
    queue.abandon(torn);
    assert!(!queue.has_sendable(), "number 3 is to follow, once it is the head");
    queue.finish_if_drained();
    let last = queue.next_chunk(Time::ZERO, 1000, true).expect("the end");
    assert!(last.last && last.abandoned && last.sequence == 3, "{last:?}");
    assert_eq!(queue.acknowledge_through(3, &mut |_| {}), None, "it was not sent yet");
    queue.commit(&last, sent(3, 10));
    queue.acknowledge_through(3, &mut |_| {});
    assert!(queue.is_finished());
}

#[test]
fn the_last_message_carries_the_mark_of_the_end_when_it_is_still_there() {
    let mut queue = Queue::new();
    written(&mut queue, 10, &WriteOptions::default());
    written(&mut queue, 10, &WriteOptions::default());
    queue.finish_if_drained();
    let first = queue.next_chunk(Time::ZERO, 1000, true).expect("a chunk");
    queue.commit(&first, sent(1, 20));
    let second = queue.next_chunk(Time::ZERO, 1000, true).expect("a chunk");
    assert!(!first.last && second.last && !second.abandoned);
}

#[test]
fn what_expires_unsent_takes_one_number_in_front_of_the_next_message() {
    let mut queue = Queue::new();
    let options = WriteOptions { start_by: Time::from_micros(5), ..WriteOptions::default() };
    let now = Time::from_micros(6);
    written(&mut queue, 5, &WriteOptions::default());
    send(&mut queue, 1, 1000);
    for _ in 0..3 {
        written(&mut queue, 10, &options);
    }
    queue.expire(now);
    assert!(!queue.has_sendable(), "alone it is not worth a packet");
    written(&mut queue, 20, &WriteOptions::default());
    written(&mut queue, 30, &WriteOptions::default());
    assert!(queue.next_chunk(now, 19, false).is_none(), "nor where the next message has no room");
    let gap = queue.next_chunk(now, 1000, false).expect("the gap");
    assert_eq!((gap.sequence, gap.forward, gap.abandoned, gap.data_len()), (2, 0, true, 0));
    queue.commit(&gap, sent(2, 4));
    let chunk = queue.next_chunk(now, 1000, false).expect("the next message");
    assert_eq!((chunk.sequence, chunk.abandoned, chunk.data_len()), (3, false, 20));
    queue.commit(&chunk, sent(2, 30));
    let chunk = queue.next_chunk(now, 1000, false).expect("the one after it");
    assert_eq!((chunk.sequence, chunk.data_len()), (4, 30), "once is enough");
    // When the gap alone is lost, nothing is sent again but the forward number.
    queue.commit(&chunk, sent(3, 40));
    queue.acknowledge_range(3, 4, &mut |_| {});
    queue.acknowledge_through(1, &mut |_| {});
    queue.lose(2, 2);
    let again = queue.next_chunk(now, 1000, false).expect("what tells to go forward");
    assert_eq!((again.sequence, again.forward, again.abandoned), (2, 2, true));
}

#[test]
fn a_message_may_still_be_sent_at_its_deadline() {
    let mut queue = Queue::new();
    let options = WriteOptions { start_by: Time::from_micros(5), ..WriteOptions::default() };
    written(&mut queue, 10, &options);
    assert!(queue.next_chunk(Time::from_micros(5), 1000, false).is_some());
}

#[test]
fn expired_messages_behind_one_that_waits_for_ever_take_no_memory() {
    let mut queue = Queue::new();
    written(&mut queue, 2000, &WriteOptions::default());
    send(&mut queue, 1, 1000);
    for time in 0..100_000 {
        let options = WriteOptions { start_by: Time::from_micros(time + 10), ..WriteOptions::default() };
        written(&mut queue, 100, &options);
        queue.expire(Time::from_micros(time));
    }
    assert!(queue.messages.len() < 100, "{}", queue.messages.len());
    assert_eq!(queue.unsent(), 1000 + 11 * 100);
}

#[test]
fn a_far_end_that_never_acknowledges_the_first_fragment_can_not_make_the_account_grow() {
    let mut queue = Queue::new();
    for _ in 0..3 * MAX_SPAN {
        written(&mut queue, 1, &WriteOptions::default());
    }
    for tsn in 0.. {
        let Some(chunk) = send(&mut queue, tsn, 1000) else { break };
        if chunk.sequence != 1 {
            queue.acknowledge_range(chunk.sequence, chunk.sequence, &mut |_| {});
        }
        assert!(queue.fragments.len() <= MAX_SPAN);
    }
    assert!(!queue.has_sendable());
    assert_eq!(queue.lose(1, 0), Lost::Yes { size: 11, was_abandoned: false });
    assert_eq!(send(&mut queue, 1 << 40, 1000).map(|chunk| chunk.sequence), Some(1));
    queue.acknowledge_through(MAX_SPAN as u64, &mut |_| {});
    assert!(queue.has_sendable());
}

#[test]
fn thirty_thousand_messages_of_mixed_deadlines_expire_in_time_whatever_waits_in_front() {
    let mut queue = Queue::new();
    // It never expires and can't be sent, and so are all that have no deadline.
    written(&mut queue, 2000, &WriteOptions::default());
    send(&mut queue, 1, 1000);
    let deadline = |number: u64| match number % 4 {
        0 => Time::MAX,
        1 => Time::from_micros(100_000 - number),
        2 => Time::from_micros(number),
        _ => Time::from_micros(number * 7919 % 50_000),
    };
    let mut left = 0;
    for number in 0..30_000 {
        let options = if number % 8 < 4 {
            WriteOptions { start_by: deadline(number), ..WriteOptions::default() }
        } else {
            WriteOptions { finish_by: deadline(number), ..WriteOptions::default() }
        };
        written(&mut queue, 10, &options);
        left += usize::from(deadline(number).is_never());
    }
    for now in (0..100_000).map(Time::from_micros) {
        queue.expire(now);
        assert!(queue.next_expiry() >= now, "{now}");
    }
    queue.expire(Time::from_micros(100_001));
    assert_eq!(queue.next_expiry(), Time::MAX);
    assert_eq!(queue.unsent(), 1000 + left * 10);
    assert!(queue.messages.len() <= 2 * left + GARBAGE + 2, "{}", queue.messages.len());
}

#[test]
fn deadlines_moved_to_and_fro_take_no_memory_and_the_last_one_holds() {
    let mut queue = Queue::new();
    let message = written(&mut queue, 10, &WriteOptions::default());
    for round in 0..100_000 {
        let by = Time::from_micros(200_000 - round % 1000);
        queue.set_deadlines(message, by, Time::MAX);
    }
    assert!(queue.deadlines.len() <= 2 + GARBAGE, "{}", queue.deadlines.len());
    queue.set_deadlines(message, Time::from_micros(300_000), Time::MAX);
    queue.expire(Time::from_micros(300_000));
    assert_eq!(queue.next_expiry(), Time::from_micros(300_000));
    queue.expire(Time::from_micros(300_001));
    assert_eq!(queue.buffered(), 0);
}
