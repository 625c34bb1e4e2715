//! What a message waits for in its session before it is sent first (RFC 7016 sections 3.5.2.3 and 3.6.2.3).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::common::bottleneck::roomy;
use crate::common::endpoint;
use crate::hand::flows::Seen;
use crate::hand::{Fate, Hands};
use rtmfp::{Priority, SendFlowId};
use rtmfp_base::Time;

/// Of 10 Mbit/s: the packets of bulk data, of 1418 bytes, take a little more than a millisecond.
const RATE: f64 = 1_250_000.0;
const PACKET: Duration = Duration::from_micros(1134);

/// Two ends whose way from `a` to `b` is a bottleneck with a queue of so many bytes.
struct Slow {
    hands: Hands,
    clock: Rc<Cell<Time>>,
}

impl Slow {
    fn new(queue: usize) -> Self {
        let mut hands = Hands::new(endpoint("a", 1, roomy(None)), endpoint("b", 2, roomy(None)));
        let clock = Rc::new(Cell::new(hands.now));
        let mut free_at = hands.now;
        let seen = Rc::clone(&clock);
        hands.network = Box::new(move |end, datagram| {
            let delay = Duration::from_millis(10);
            if end == 1 {
                return Fate::After(delay);
            }
            let now = seen.get();
            let backlog = free_at.since(now);
            if backlog.as_secs_f64() * RATE > queue as f64 {
                return Fate::Lost;
            }
            free_at = free_at.max(now) + Duration::from_secs_f64(datagram.bytes.len() as f64 / RATE);
            Fate::After(free_at.since(now) + delay)
        });
        Self { hands, clock }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis * 10 {
            self.clock.set(self.hands.now);
            self.hands.run(Duration::from_micros(100));
        }
    }

    fn fill(&mut self, flow: SendFlowId) {
        while self.hands.ends[0].send_flow(flow).expect("the flow").unsent() < 100_000 {
            self.hands.write(flow, 8000);
        }
    }

    fn lost(&mut self) -> u64 {
        let session = self.hands.session(0);
        self.hands.ends[0].session(session).expect("open").counters().lost_fragments
    }
}

/// When the fragments of a flow were first sent.
fn first_sent(hands: &Hands, wire_id: u64) -> Vec<Time> {
    let mut times: Vec<Time> = Vec::new();
    for (at, _, seen) in hands.packets(0) {
        for chunk in seen {
            if let Seen::Data { flow, sequence, .. } = chunk
                && flow == wire_id
                && sequence as usize == times.len() + 1
            {
                times.push(at);
            }
        }
    }
    times
}

/// The waits of small messages of a priority, one each 20 ms, with bulk data or without; those near a loss are left
/// out.
fn waits(priority: Priority, bulk: bool) -> Vec<Duration> {
    let mut slow = Slow::new(25_000);
    let flow = slow.hands.open(b"small", priority);
    let other = slow.hands.open(b"bulk", Priority::Bulk);
    slow.hands.write(flow, 10);
    slow.run(1000);
    let mut written = vec![(slow.hands.now, true)];
    let mut calm_since = slow.hands.now;
    let mut lost = 0;
    for round in 0..1500 {
        if bulk {
            slow.fill(other);
        }
        if round >= 250 {
            slow.hands.write(flow, 100);
            written.push((slow.hands.now, false));
        }
        // Not in step with the packets.
        slow.run(20 + round % 3);
        let now_lost = slow.lost();
        if now_lost != lost {
            lost = now_lost;
            calm_since = slow.hands.now + Duration::from_millis(100);
        }
        if let Some(last) = written.last_mut() {
            last.1 |= slow.hands.now < calm_since;
        }
    }
    slow.run(500);
    let sent = first_sent(&slow.hands, 2);
    assert_eq!(sent.len(), written.len());
    let pairs = sent.into_iter().zip(written);
    let calm = pairs.filter(|(_, (_, disturbed))| !disturbed);
    let mut waits: Vec<Duration> = calm.map(|(sent, (written, _))| sent.since(written)).collect();
    waits.sort_unstable();
    waits
}

fn percentile(waits: &[Duration], percent: usize) -> Duration {
    waits[(waits.len() - 1) * percent / 100]
}

#[test]
fn a_time_critical_message_waits_two_packet_times_more_with_bulk_data_at_most() {
    let alone = waits(Priority::Immediate, false);
    let beside = waits(Priority::Immediate, true);
    println!("alone {:?}, beside {:?} of {}", percentile(&alone, 99), percentile(&beside, 99), beside.len());
    println!("{:?}", [50, 90, 95, 99, 100].map(|percent| percentile(&beside, percent)));
    assert!(beside.len() > 300, "{}", beside.len());
    assert!(percentile(&beside, 99) <= percentile(&alone, 99) + PACKET * 2);
}
