//! Applications that do anything at any time, on networks that do the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::common::{A, B, PORT, Pair, Peer, bad_link};
use bytes::Bytes;
use rtmfp::driver::Node;
use rtmfp::{Event, FlowSpec, Holdings, Priority, ReceiveOrder, RecvFlowId, SendFlowId, SessionId, Shutdown};
use rtmfp_base::{Message, ReceiptId, Tag, Time, WriteOptions};
use rtmfp_netsim::{Dice, HostId, for_each_seed};

/// What an application has, as far as it can know.
#[derive(Debug, Default)]
struct Books {
    send_flows: Vec<SendFlowId>,
    receipts: Vec<ReceiptId>,
    rejected: Vec<RecvFlowId>,
}

struct Actor {
    host: HostId,
    epd: &'static [u8],
    to: SocketAddr,
    books: Books,
}

const PRIORITIES: [Priority; 4] =
    [Priority::Bulk, Priority::Routine, Priority::Immediate, Priority::FlashOverride];

fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> Option<T> {
    from.get(dice.below(from.len() as u64) as usize).copied()
}

fn recv_flows(peer: &Peer) -> Vec<RecvFlowId> {
    let offers = peer.events.iter().filter_map(|event| match event {
        Event::FlowOffered { flow, .. } => Some(*flow),
        _ => None,
    });
    offers.collect()
}

impl Actor {
    /// Does one thing.
    fn act(&mut self, dice: &mut Dice, now: Time, node: &mut Node<Peer>) {
        let (endpoint, peer) = node.parts();
        let spec = FlowSpec {
            metadata: Bytes::from(vec![b'm'; dice.below(100) as usize]),
            priority: pick(dice, &PRIORITIES).unwrap_or_default(),
        };
        let session: Option<SessionId> = pick(dice, &endpoint.open_sessions());
        let send = pick(dice, &self.books.send_flows);
        let recv = pick(dice, &recv_flows(peer));
        match dice.below(20) {
            0 => {
                if let Ok(flow) = endpoint.open_flow(now, self.epd, spec, Tag(1)) {
                    self.books.send_flows.push(flow);
                    endpoint.send_flow(flow).expect("new").add_candidate(now, self.to);
                }
            }
            1 => {
                let flow = session.and_then(|id| endpoint.session(id)?.open_flow(now, spec, Tag(2)).ok());
                self.books.send_flows.extend(flow);
            }
            2 => {
                let flow =
                    recv.and_then(|id| endpoint.recv_flow(id)?.open_return_flow(now, spec, Tag(3)).ok());
                self.books.send_flows.extend(flow);
            }
            3..9 => {
                let Some(mut flow) = send.and_then(|id| endpoint.send_flow(id)) else { return };
                let mut by = || if dice.chance(0.7) { Time::MAX } else { now + dice.up_to(SECOND) };
                let (start_by, finish_by) = (by(), by());
                let options = WriteOptions {
                    start_by,
                    finish_by,
                    best_effort: dice.chance(0.2),
                    notify: dice.chance(0.7),
                    parent: pick(dice, &self.books.receipts).filter(|_| dice.chance(0.3)),
                };
                let message = Message::from(vec![7; dice.below(20_000) as usize]);
                if let Ok(Some(receipt)) = flow.write(now, message, &options) {
                    self.books.receipts.push(receipt);
                }
            }
            9 => {
                let Some(mut receipt) = pick(dice, &self.books.receipts).and_then(|id| endpoint.receipt(id))
                else {
                    return;
                };
                if receipt.is_started() && dice.chance(0.5) {
                    receipt.set_deadlines(now, Time::MAX, now + dice.up_to(SECOND));
                } else {
                    receipt.abandon(now);
                }
            }
            10 => {
                if let Some(flow) = send.and_then(|id| endpoint.send_flow(id)) {
                    flow.close(now);
                }
            }
            11 => {
                let Some(mut flow) = send.and_then(|id| endpoint.send_flow(id)) else { return };
                flow.set_priority(now, pick(dice, &PRIORITIES).unwrap_or_default());
                flow.set_capacity(now, dice.below(100_000) as usize);
            }
            12 => {
                if let Some(flow) = recv.and_then(|id| endpoint.recv_flow(id))
                    && dice.chance(0.3)
                {
                    self.books.rejected.extend(recv);
                    flow.reject(now, 42);
                }
            }
            13 => {
                let Some(mut flow) = recv.and_then(|id| endpoint.recv_flow(id)) else { return };
                flow.set_hold(now, dice.chance(0.3));
                flow.set_order(
                    now,
                    pick(dice, &[ReceiveOrder::Sequence, ReceiveOrder::Network]).unwrap_or_default(),
                );
            }
            14 => {
                let Some(mut flow) = recv.and_then(|id| endpoint.recv_flow(id)) else { return };
                flow.set_capacity(now, dice.below(100_000) as usize, 1000 + dice.below(100_000) as usize);
            }
            15 => {
                let Some(mut flow) = recv.and_then(|id| endpoint.recv_flow(id)) else { return };
                while flow.read(now).is_some() {}
            }
            16 => {
                peer.reads = dice.chance(0.8);
                peer.accepts = dice.chance(0.9);
            }
            17 => {
                let Some(mut session) = session.and_then(|id| endpoint.session(id)) else { return };
                session.configure(now, |config| {
                    config.keepalive = dice.up_to(SECOND * 10);
                    config.retransmit_limit = SECOND + dice.up_to(SECOND * 10);
                    config.idle_limit = dice.up_to(SECOND * 10);
                });
            }
            18 if dice.chance(0.1) => {
                let Some(session) = session.and_then(|id| endpoint.session(id)) else { return };
                if dice.chance(0.5) { session.close(now) } else { session.abort(now) }
            }
            _ => {}
        }
    }

    /// Everything that was begun has ended, once.
    fn audit(&self, node: &mut Node<Peer>) {
        let (endpoint, peer) = node.parts();
        assert_eq!(endpoint.holdings(), Holdings::default());
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        for event in &peer.events {
            let what = match event {
                Event::FlowClosed { flow, .. } | Event::FlowException { flow, .. } => format!("{flow:?}"),
                Event::FlowFinished { flow, .. } | Event::FlowLost { flow, .. } => format!("{flow:?}"),
                Event::WriteEnded { receipt, .. } => format!("{receipt:?}"),
                Event::ShutDown => "shut down".to_owned(),
                _ => continue,
            };
            *ends.entry(what).or_default() += 1;
        }
        for (what, count) in &ends {
            assert_eq!(*count, 1, "{what} ended {count} times");
        }
        let ended = |what: String| ends.contains_key(&what);
        assert!(ended("shut down".to_owned()));
        for flow in &self.books.send_flows {
            assert!(ended(format!("{flow:?}")), "{flow:?} did not end");
        }
        for receipt in &self.books.receipts {
            assert!(ended(format!("{receipt:?}")), "{receipt:?} did not end");
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn whatever_applications_do_every_flow_and_write_ends_once_and_nothing_is_left() {
    for_each_seed(300, |seed| {
        let mut dice = Dice::new(seed, 1);
        let mut pair = Pair::new(seed, bad_link());
        let mut actors = [
            Actor { host: pair.a, epd: b"b", to: (B, PORT).into(), books: Books::default() },
            Actor { host: pair.b, epd: b"a", to: (A, PORT).into(), books: Books::default() },
        ];
        for _ in 0..150 {
            let now = pair.now();
            for actor in &mut actors {
                for _ in 0..1 + dice.below(3) {
                    actor.act(&mut dice, now, pair.node(actor.host));
                }
            }
            if dice.chance(0.02) {
                pair.net.partition(pair.a, pair.b);
            } else if dice.chance(0.2) {
                pair.net.heal(pair.a, pair.b);
            }
            pair.net.run_for(dice.up_to(Duration::from_millis(100)));
        }
        if dice.chance(0.7) {
            pair.net.heal(pair.a, pair.b);
        }
        let how = if dice.chance(0.5) { Shutdown::Orderly } else { Shutdown::Abrupt };
        for host in [pair.a, pair.b] {
            let now = pair.now();
            pair.node(host).endpoint().shutdown(now, how);
            pair.net.run_for(dice.up_to(SECOND));
        }
        pair.run(120.0);
        for actor in &actors {
            assert_eq!(pair.net.finished(actor.host), Some(&Ok(())));
            actor.audit(pair.node(actor.host));
        }
    });
}
