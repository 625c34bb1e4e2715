//! Any sequence of what two applications can do to flows, over a network that loses, delays and repeats, against a
//! model that only knows the promises.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{Fate, Hands};
use proptest::prelude::*;
use rtmfp::{Config, Event, Priority, ReceiveOrder, RecvFlowId, SendFlowId};
use rtmfp_base::{Message, ReceiptId, Time, WriteOptions};

const FLOWS: usize = 3;
const MILLI: Duration = Duration::from_millis(1);

#[derive(Clone, Debug)]
enum Op {
    Write {
        flow: usize,
        len: usize,
        start: Option<u32>,
        finish: Option<u32>,
        best_effort: bool,
        parent: Option<usize>,
    },
    Abandon(usize),
    Lower {
        write: usize,
        millis: u32,
    },
    Priority(usize, u8),
    Order(usize, bool),
    Hold(usize, bool),
    Capacity(usize, usize),
    Pass(u32),
    Close(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let flow = 0..FLOWS;
    let time = || prop_oneof![3 => Just(None), 1 => (0..400u32).prop_map(Some)];
    let parent = prop_oneof![2 => Just(None), 1 => (0..40usize).prop_map(Some)];
    let len = prop_oneof![3 => 8..2000usize, 1 => 2000..30_000usize];
    prop_oneof![
        12 => (flow.clone(), len, time(), time(), 0..8u8, parent).prop_map(
            |(flow, len, start, finish, effort, parent)| Op::Write {
                flow, len, start, finish, best_effort: effort == 0, parent
            }
        ),
        2 => (0..40usize).prop_map(Op::Abandon),
        2 => (0..40usize, 0..300u32).prop_map(|(write, millis)| Op::Lower { write, millis }),
        2 => (flow.clone(), 0..8u8).prop_map(|(flow, priority)| Op::Priority(flow, priority)),
        2 => (flow.clone(), any::<bool>()).prop_map(|(flow, network)| Op::Order(flow, network)),
        2 => (flow.clone(), any::<bool>()).prop_map(|(flow, hold)| Op::Hold(flow, hold)),
        1 => (flow.clone(), 0..70_000usize).prop_map(|(flow, bytes)| Op::Capacity(flow, bytes)),
        8 => (0..200u32).prop_map(Op::Pass),
        1 => flow.prop_map(Op::Close),
    ]
}

#[derive(Debug)]
struct Written {
    receipt: ReceiptId,
    flow: usize,
    number: u64,
    len: usize,
    parent: Option<usize>,
}

struct Run {
    hands: Hands,
    sending: [SendFlowId; FLOWS],
    receiving: [RecvFlowId; FLOWS],
    writes: Vec<Written>,
    /// The flow was always read in sequence.
    in_sequence: [bool; FLOWS],
}

const NAMES: [&[u8]; FLOWS] = [b"0", b"1", b"2"];

fn bytes(number: u64, len: usize) -> Vec<u8> {
    crate::common::numbered(number, len)
}

impl Run {
    fn new(tape: Vec<u8>) -> Self {
        let config = Config::default;
        let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
        let sending = NAMES.map(|name| {
            let flow = hands.open(name, Priority::Routine);
            hands.write(flow, 8);
            flow
        });
        hands.run_millis(1000);
        let receiving = NAMES.map(|name| {
            let found = hands.events[1].iter().find_map(|event| match event {
                Event::FlowOffered { flow, metadata, .. } if metadata == name => Some(*flow),
                _ => None,
            });
            found.expect("an offer")
        });
        hands.received[1].clear();
        let mut tape = tape.into_iter();
        hands.network = Box::new(move |_, _| match tape.next() {
            Some(0..50) => Fate::Lost,
            Some(byte) if byte > 200 => Fate::After(u32::from(byte - 170) * MILLI),
            _ => Fate::After(20 * MILLI),
        });
        Self { hands, sending, receiving, writes: Vec::new(), in_sequence: [true; FLOWS] }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.hands.now;
        let [a, b] = &mut self.hands.ends;
        match *op {
            Op::Write { flow, len, start, finish, best_effort, parent } => {
                let by = |time: Option<u32>| time.map_or(Time::MAX, |millis| now + millis * MILLI);
                let parent = parent.and_then(|parent| parent.checked_rem(self.writes.len()));
                let options = WriteOptions {
                    start_by: by(start),
                    finish_by: by(finish),
                    best_effort,
                    notify: true,
                    parent: parent.map(|parent| self.writes[parent].receipt),
                };
                let number = self.writes.len() as u64;
                let Some(mut sender) = a.send_flow(self.sending[flow]) else { return };
                let message = Message::from(bytes(number, len));
                if let Ok(Some(receipt)) = sender.write(now, message, &options) {
                    // One whose end was told has no effect.
                    let told = |receipt| {
                        let told =
                            |e: &Event| matches!(e, Event::WriteEnded { receipt: r, .. } if *r == receipt);
                        self.hands.events[0].iter().any(told)
                    };
                    let parent = parent.filter(|&parent| !told(self.writes[parent].receipt));
                    self.writes.push(Written { receipt, flow, number, len, parent });
                }
            }
            Op::Abandon(write) => {
                let id = write.checked_rem(self.writes.len()).map(|write| self.writes[write].receipt);
                if let Some(receipt) = id.and_then(|id| a.receipt(id)) {
                    receipt.abandon(now);
                }
            }
            Op::Lower { write, millis } => {
                let id = write.checked_rem(self.writes.len()).map(|write| self.writes[write].receipt);
                if let Some(mut receipt) = id.and_then(|id| a.receipt(id)) {
                    receipt.lower_deadlines(now, Time::MAX, now + millis * MILLI);
                }
            }
            Op::Priority(flow, priority) => {
                let all = [Priority::Background, Priority::Routine, Priority::Priority, Priority::Flash];
                if let Some(mut flow) = a.send_flow(self.sending[flow]) {
                    flow.set_priority(now, all[usize::from(priority) % 4]);
                }
            }
            Op::Order(flow, network) => {
                self.in_sequence[flow] &= !network;
                let order = if network { ReceiveOrder::Network } else { ReceiveOrder::Sequence };
                if let Some(mut flow) = b.recv_flow(self.receiving[flow]) {
                    flow.set_order(now, order);
                }
            }
            Op::Hold(flow, hold) => {
                if let Some(mut flow) = b.recv_flow(self.receiving[flow]) {
                    flow.set_hold(now, hold);
                }
            }
            Op::Capacity(flow, bytes) => {
                if let Some(mut flow) = b.recv_flow(self.receiving[flow]) {
                    flow.set_capacity(now, bytes, 65_536);
                }
            }
            Op::Pass(millis) => self.hands.run(millis * MILLI),
            Op::Close(flow) => {
                if let Some(flow) = a.send_flow(self.sending[flow]) {
                    flow.close(now);
                }
            }
        }
    }

    /// Nothing goes wrong any more, and everything ends.
    fn finish(&mut self) {
        self.hands.network = Box::new(|_, _| Fate::After(20 * MILLI));
        for flow in 0..FLOWS {
            self.apply(&Op::Hold(flow, false));
            self.apply(&Op::Capacity(flow, 65_536));
            self.apply(&Op::Close(flow));
        }
        self.hands.run(Duration::from_secs(100));
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut ended = BTreeMap::new();
        for event in &self.hands.events[0] {
            if let Event::WriteEnded { receipt, delivered, .. } = event {
                prop_assert_eq!(ended.insert(*receipt, *delivered), None, "it ended twice");
            }
        }
        prop_assert_eq!(ended.len(), self.writes.len(), "every write ends");
        for flow in 0..FLOWS {
            let received = self.hands.received[1].get(&self.receiving[flow]);
            let mut numbers = Vec::new();
            for message in received.into_iter().flatten() {
                let number = u64::from_be_bytes(message.bytes[..8].try_into().expect("eight bytes"));
                let write = &self.writes[number as usize];
                prop_assert_eq!(write.flow, flow);
                prop_assert!(message.bytes[..] == bytes(number, write.len)[..], "another message");
                numbers.push(number);
            }
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted.dedup();
            prop_assert_eq!(sorted.len(), numbers.len(), "one came twice");
            if self.in_sequence[flow] {
                prop_assert_eq!(&sorted, &numbers, "out of order");
            }
            for write in self.writes.iter().filter(|write| write.flow == flow) {
                if ended[&write.receipt] {
                    prop_assert!(sorted.binary_search(&write.number).is_ok(), "{write:?} did not come");
                }
            }
        }
        // A child may have been delivered before its parent was abandoned; never begun afterwards.
        for write in &self.writes {
            if let Some(parent) = write.parent.map(|parent| self.writes[parent].receipt)
                && !ended[&parent]
                && ended[&write.receipt]
            {
                let place = |receipt| {
                    let is = |e: &Event| matches!(e, Event::WriteEnded { receipt: r, .. } if *r == receipt);
                    self.hands.events[0].iter().position(is)
                };
                prop_assert!(place(write.receipt) < place(parent), "{write:?}");
            }
        }
        let closed = self.hands.count(0, |event| matches!(event, Event::FlowClosed { .. }));
        let finished = self.hands.count(1, |event| matches!(event, Event::FlowFinished { .. }));
        prop_assert_eq!((closed, finished), (FLOWS, FLOWS));
        for end in &self.hands.ends {
            let holdings = end.holdings();
            prop_assert_eq!(holdings.held_receipts, 0);
            prop_assert_eq!((holdings.held_queued_bytes, holdings.held_received_bytes), (0, 0));
            prop_assert_eq!((holdings.held_send_flows, holdings.held_recv_flows), (0, 0));
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn whatever_is_done_every_write_ends_once_and_what_was_delivered_came_whole_once_and_in_order(
        ops in proptest::collection::vec(op(), 1..60),
        tape in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut run = Run::new(tape);
        for op in &ops {
            run.apply(op);
        }
        run.finish();
        run.check()?;
    }
}
