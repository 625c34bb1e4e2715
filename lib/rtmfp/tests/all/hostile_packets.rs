//! Packets of live sessions that come again, damaged, or authentic with other contents.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{endpoint, numbered};
use crate::hand::{A, B, DELAY, Forger, Hands, deliver, transmits};
use bytes::Bytes;
use rtmfp::crypto::{DEFAULT_KEY, KeyId};
use rtmfp::wire::unscramble;
use rtmfp::{Config, Event, FlowSpec, Holdings, Priority, SendFlowId, Shutdown};
use rtmfp_base::{Message, Tag, WriteOptions};
use rtmfp_netsim::{Dice, for_each_seed};

/// A pair that exchanges messages on two flows in each direction.
struct Talk {
    hands: Hands,
    flows: [Vec<SendFlowId>; 2],
    written: [u64; 2],
}

impl Talk {
    fn new(seed: u64) -> Self {
        let [a, b] = [endpoint("a", seed, Config::default()), endpoint("b", seed + 1, Config::default())];
        let mut talk = Self { hands: Hands::new(a, b), flows: Default::default(), written: [0; 2] };
        for _ in 0..2 {
            let now = talk.hands.now;
            let flow = talk.hands.ends[0].open_flow(now, b"b", Self::spec(), Tag(7)).expect("a flow");
            talk.hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
            talk.flows[0].push(flow);
        }
        talk.write(0);
        talk.hands.run(DELAY * 6);
        let now = talk.hands.now;
        let session = talk.hands.ends[1].open_sessions()[0];
        for _ in 0..2 {
            let mut session = talk.hands.ends[1].session(session).expect("open");
            talk.flows[1].push(session.open_flow(now, Self::spec(), Tag(8)).expect("a flow"));
        }
        talk
    }

    fn spec() -> FlowSpec {
        FlowSpec { metadata: Bytes::from_static(b"talk"), priority: Priority::Routine }
    }

    /// Writes one message to each flow of an end that is still there.
    fn write(&mut self, end: usize) {
        let now = self.hands.now;
        let len = 10 + (self.written[end] as usize * 977) % 3000;
        let message = numbered(self.written[end], len);
        self.written[end] += 1;
        let options = WriteOptions { notify: true, ..WriteOptions::default() };
        for flow in &self.flows[end] {
            if let Some(mut flow) = self.hands.ends[end].send_flow(*flow) {
                let _ = flow.write(now, Message::from(message.clone()), &options);
            }
        }
    }

    /// Puts a datagram in front of an end.
    fn inject(&mut self, end: usize, bytes: &[u8]) {
        let now = self.hands.now;
        let from = [B, A][end];
        deliver(&mut self.hands.ends[end], now, from, bytes);
    }

    fn assert_all_arrived_once(&self) {
        for (end, other) in [(0, 1), (1, 0)] {
            assert_eq!(self.hands.received[end].len(), 2);
            for messages in self.hands.received[end].values() {
                assert_eq!(messages.len() as u64, self.written[other]);
                for (number, message) in (0..).zip(messages) {
                    assert_eq!(message.bytes[..8], u64::to_be_bytes(number));
                }
            }
        }
    }

    /// Whatever happened, both ends can be shut down and hold nothing afterwards.
    fn assert_ends_clean(mut self) {
        let now = self.hands.now;
        for end in &mut self.hands.ends {
            end.shutdown(now, Shutdown::Orderly);
        }
        self.hands.run(Duration::from_secs(200));
        for end in 0..2 {
            assert_eq!(self.hands.count(end, |e| *e == Event::ShutDown), 1);
            assert_eq!(self.hands.ends[end].holdings(), Holdings::default());
            let writes = self.written[end] as usize * 2;
            assert!(self.hands.count(end, |e| matches!(e, Event::WriteEnded { .. })) <= writes);
        }
    }
}

#[test]
fn packets_that_come_again_at_any_time_deliver_nothing_twice() {
    for_each_seed(30, |seed| {
        let mut talk = Talk::new(seed);
        let mut dice = Dice::new(seed, 1);
        for _ in 0..40 {
            talk.write(0);
            talk.write(1);
            talk.hands.run(DELAY);
            for _ in 0..20 {
                let index = dice.below(talk.hands.sent.len() as u64) as usize;
                let (_, end, datagram) = talk.hands.sent[index].clone();
                talk.inject(1 - end, &datagram.bytes);
            }
        }
        talk.hands.run(Duration::from_secs(10));
        talk.assert_all_arrived_once();
        talk.assert_ends_clean();
    });
}

#[test]
fn damaged_packets_are_dropped_and_harm_nothing() {
    let mut passed = 0;
    for_each_seed(30, |seed| {
        let mut talk = Talk::new(seed);
        let mut dice = Dice::new(seed, 1);
        for _ in 0..40 {
            talk.write(0);
            talk.write(1);
            let from = talk.hands.sent.len();
            talk.hands.run(DELAY);
            let fresh = talk.hands.sent[from..].to_vec();
            for (_, end, datagram) in fresh {
                let mut bytes = datagram.bytes.clone();
                damage(&mut dice, &mut bytes);
                if bytes != datagram.bytes {
                    talk.inject(1 - end, &bytes);
                }
            }
        }
        talk.hands.run(Duration::from_secs(10));
        let refused = |end: usize| {
            let stats = talk.hands.ends[end].stats();
            stats.unauthentic_packets + stats.unknown_sessions
        };
        assert!(refused(0) > 20 && refused(1) > 20);
        passed += talk.hands.ends.iter().map(|end| end.stats().malformed_packets).sum::<u64>();
        talk.assert_all_arrived_once();
        talk.assert_ends_clean();
    });
    assert!(passed < 10, "a checksum of 16 bits lets one in 65,536 pass, not {passed}");
}

/// Flips bits, cuts, or appends.
fn damage(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    match dice.below(4) {
        0 => bytes.truncate(dice.below(bytes.len() as u64) as usize),
        1 => bytes.extend((0..dice.below(20)).map(|n| n as u8)),
        _ => {
            for _ in 0..1 + dice.below(8) {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
            }
        }
    }
}

#[test]
fn authentic_packets_with_any_contents_neither_panic_nor_pile_up() {
    for_each_seed(300, |seed| {
        let mut talk = Talk::new(seed);
        let mut dice = Dice::new(seed, 1);
        let mut thief = Forger::new("thief", A);
        let mut keys: BTreeMap<Vec<u8>, KeyId> = BTreeMap::new();
        keys.insert(b"open".to_vec(), DEFAULT_KEY);
        for _ in 0..12 {
            talk.write(0);
            talk.write(1);
            let from = talk.hands.sent.len();
            talk.hands.run(DELAY);
            let fresh = talk.hands.sent[from..].to_vec();
            for (_, end, datagram) in fresh {
                let Some(id) = unscramble(&datagram.bytes) else { continue };
                let mut clear = datagram.bytes[8..datagram.bytes.len() - 2].to_vec();
                damage(&mut dice, &mut clear);
                if dice.chance(0.3) && !clear.is_empty() {
                    // The chunks of another packet behind this one's header.
                    let other = dice.below(talk.hands.sent.len() as u64) as usize;
                    let other = &talk.hands.sent[other].2.bytes;
                    clear.extend_from_slice(&other[11.min(other.len())..]);
                }
                if clear.is_empty() {
                    continue;
                }
                let salt = datagram.bytes[4..8].to_vec();
                let key = *keys.entry(salt).or_insert_with(|| thief.steal(&datagram.bytes));
                let forged = thief.seal_clear(key, id, &clear);
                talk.inject(1 - end, &forged);
            }
            for end in &talk.hands.ends {
                let held = end.holdings();
                assert!(held.held_sessions <= 40 && held.held_recv_flows <= 1024 * 2, "{held:?}");
                assert!(held.held_timers <= held.held_sessions);
            }
        }
        talk.hands.run(Duration::from_secs(5));
        talk.assert_ends_clean();
    });
}

#[test]
fn startup_packets_with_any_contents_neither_panic_nor_pile_up() {
    for_each_seed(200, |seed| {
        let [a, b] = [endpoint("a", seed, Config::default()), endpoint("b", seed + 1, Config::default())];
        let mut hands = Hands::new(a, b);
        let mut dice = Dice::new(seed, 1);
        let mut forger = Forger::new("thief", A);
        let now = hands.now;
        let flow = hands.ends[0].open_flow(now, b"b", Talk::spec(), Tag(7)).expect("a flow");
        hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
        for _ in 0..10 {
            let from = hands.sent.len();
            hands.run(DELAY / 2);
            let fresh = hands.sent[from..].to_vec();
            for (_, end, datagram) in fresh {
                for _ in 0..5 {
                    let Some(id) = unscramble(&datagram.bytes) else { continue };
                    let mut clear = datagram.bytes[8..datagram.bytes.len() - 2].to_vec();
                    damage(&mut dice, &mut clear);
                    if !clear.is_empty() && datagram.bytes[4..8] == *b"open" {
                        let forged = forger.seal_clear(DEFAULT_KEY, id, &clear);
                        let now = hands.now;
                        deliver(&mut hands.ends[1 - end], now, [B, A][1 - end], &forged);
                    }
                }
            }
        }
        hands.run(Duration::from_secs(300));
        let now = hands.now;
        for end in 0..2 {
            hands.ends[end].shutdown(now, Shutdown::Abrupt);
        }
        hands.run(Duration::from_secs(2));
        for end in &mut hands.ends {
            transmits(end, now);
            assert_eq!(end.holdings(), Holdings::default());
        }
    });
}
