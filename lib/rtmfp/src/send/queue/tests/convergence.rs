//! A queue and the receiving flow of its far end, joined by a channel that loses whatever a tape of bytes says.

use std::collections::VecDeque;

use super::*;
use crate::recv::{RecvFlow, Room, State};
use crate::wire::DataFlags;

const ROOM: Room = Room { session: usize::MAX / 2, progress: usize::MAX / 2, ranges: 64 };

/// A message that says which one it is.
fn message(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; len.max(8)];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes
}

struct Joined {
    queue: Queue,
    flow: RecvFlow,
    tape: VecDeque<u8>,
    tsn: u64,
    now: u64,
    sent: VecDeque<(u64, u64)>,
    /// Messages that were read: number and bytes.
    read: Vec<Vec<u8>>,
    ended: BTreeMap<u64, bool>,
    /// The far end is of the installed base: it ignores forward sequence numbers, and goes on behind any abandoned
    /// fragment.
    basic: bool,
}

impl Joined {
    fn new(tape: Vec<u8>, basic: bool) -> Self {
        let mut flow = RecvFlow::new(Id::from_parts(0, 0), 2, 1 << 20, 1 << 20);
        flow.state = State::Open;
        let (sent, read, ended) = Default::default();
        let mut queue = Queue::new();
        if basic {
            queue.be_basic();
        }
        Self { queue, flow, tape: tape.into(), tsn: 0, now: 0, sent, read, ended, basic }
    }

    /// Whether the next thing goes wrong; nothing does once the tape is used up.
    fn fails(&mut self, of_256: u8) -> bool {
        self.tape.pop_front().is_some_and(|byte| byte < of_256)
    }

    /// Sends a packet's worth, and brings or loses it.
    fn send_packet(&mut self, closing: bool) -> bool {
        if closing {
            self.queue.finish_if_drained();
        }
        let arrives = !self.fails(90);
        self.tsn += 1;
        let mut room: usize = 1200;
        let mut any = false;
        while self.queue.has_sendable()
            && let Some(chunk) = self.queue.next_chunk(Time::from_micros(self.now), room.min(1100), closing)
            && chunk.data_len() + 13 <= room
        {
            any = true;
            room -= chunk.data_len() + 13;
            let head = self.queue.commit(&chunk, sent(self.tsn, chunk.data_len() + 13));
            self.sent.push_back((chunk.sequence, self.tsn));
            self.sent.extend(head.map(|head| (head, self.tsn)));
            if arrives {
                let flags =
                    DataFlags { fragment: chunk.position, abandoned: chunk.abandoned, last: chunk.last };
                let mut data = Vec::new();
                if let Some((message, range)) = &chunk.data {
                    message.copy_range(range.clone(), &mut data);
                }
                let forward = match (self.basic, chunk.abandoned) {
                    (false, _) => chunk.forward,
                    (true, true) => chunk.sequence,
                    (true, false) => 0,
                };
                self.flow.receive(chunk.sequence, forward, flags, &data, ROOM);
            }
        }
        while let Some(message) = self.flow.read() {
            self.read.push(message.bytes.to_vec());
        }
        any
    }

    /// Brings or loses an acknowledgement of all that was received.
    fn acknowledge(&mut self) {
        if self.fails(90) {
            return;
        }
        let seen = self.flow.seen().clone();
        assert!(self.queue.acknowledge_through(seen.cumulative(), &mut |_| {}).is_some());
        for range in seen.beyond_cumulative() {
            self.queue.acknowledge_range(*range.start(), *range.end(), &mut |_| {});
        }
    }

    fn lose(&mut self, keep: usize) {
        while self.sent.len() > keep {
            let Some((sequence, tsn)) = self.sent.pop_front() else { break };
            self.queue.lose(sequence, tsn);
        }
    }

    fn note_ended(&mut self) {
        while let Some(ended) = self.queue.next_ended() {
            let before = self.ended.insert(ended.receipt.index().into(), ended.delivered);
            assert_eq!(before, None, "ended twice");
        }
    }

    fn step(&mut self, closing: bool) -> bool {
        let any = self.send_packet(closing);
        if !self.fails(128) {
            self.acknowledge();
        }
        if self.fails(60) {
            self.lose(3);
        }
        self.note_ended();
        any
    }

    /// Without more losses, until nothing is left to be sent and acknowledged.
    fn settle(&mut self, closing: bool) {
        self.tape.clear();
        for _ in 0..2000 {
            let any = self.step(closing);
            self.lose(0);
            if !any && !self.queue.has_sendable() && self.queue.outstanding() == 0 {
                return;
            }
        }
        panic!("it goes on for ever: {:?}", self.queue);
    }
}

#[derive(Clone, Debug)]
struct Write {
    len: usize,
    finish_after: Option<u64>,
    best_effort: bool,
    abandon_after: Option<u64>,
}

fn write() -> impl Strategy<Value = Write> {
    let some = || prop_oneof![2 => Just(None), 1 => (0..12u64).prop_map(Some)];
    let len = prop_oneof![0..200usize, 0..5000usize];
    (len, some(), proptest::bool::weighted(0.2), some()).prop_map(
        |(len, finish_after, best_effort, abandon_after)| Write {
            len,
            finish_after,
            best_effort,
            abandon_after,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn after_any_losses_nothing_is_missing_for_ever(
        writes in proptest::collection::vec((write(), 0..5u8), 1..40),
        tape in proptest::collection::vec(any::<u8>(), 0..400),
        settles in any::<bool>(),
        basic in any::<bool>(),
    ) {
        let mut joined = Joined::new(tape, basic);
        let mut abandons: Vec<(u64, u64)> = Vec::new();
        for (number, (write, steps)) in writes.iter().enumerate() {
            let number = number as u64;
            let finish_by = write.finish_after.map_or(Time::MAX, |after| Time::from_micros(joined.now + after));
            let options =
                WriteOptions { finish_by, best_effort: write.best_effort, ..WriteOptions::default() };
            let bytes = message(number, write.len);
            joined.queue.write(Time::ZERO, Message::from(bytes), &options, Some(receipt(number)));
            abandons.extend(write.abandon_after.map(|after| (joined.now + after, number)));
            for _ in 0..*steps {
                joined.now += 1;
                for &(at, number) in &abandons {
                    if at == joined.now {
                        joined.queue.abandon(number);
                    }
                }
                joined.queue.expire(Time::from_micros(joined.now));
                joined.step(false);
            }
        }
        if settles {
            // A flow that stays open has no holes either.
            joined.settle(false);
            prop_assert!(joined.flow.seen().is_gapless());
            prop_assert_eq!(joined.queue.buffered(), 0);
        }
        joined.settle(true);
        prop_assert!(joined.queue.is_finished());
        prop_assert!(joined.flow.is_complete());
        prop_assert_eq!(joined.flow.buffered(), 0);
        // In order, once, whole; and all that were told to be delivered.
        let numbers: Vec<u64> =
            joined.read.iter().map(|bytes| u64::from_be_bytes(bytes[..8].try_into().unwrap())).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{:?}", numbers);
        for (bytes, &number) in joined.read.iter().zip(&numbers) {
            prop_assert!(*bytes == message(number, writes[number as usize].0.len));
        }
        prop_assert_eq!(joined.ended.len(), writes.len());
        for (number, delivered) in &joined.ended {
            prop_assert!(!delivered || numbers.contains(number), "{} was not delivered", number);
        }
    }
}
