//! Everything at once on a bad network: several sessions, both directions, return flows, deadlines.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::{PORT, bad_link, endpoint, numbered};
use bytes::Bytes;
use rtmfp::driver::{Application, Node};
use rtmfp::{CloseReason, Config, Endpoint, Event, FlowSpec, Priority, RecvFlowId, SendFlowId};
use rtmfp_base::{Message, ReceiptId, Tag, Time, WriteOptions};
use rtmfp_netsim::{Dice, HostId, Network, for_each_seed};

const HOSTS: u8 = 3;
const PRIORITIES: [Priority; 4] =
    [Priority::Bulk, Priority::Data, Priority::Priority, Priority::FlashOverride];

/// A flow's messages, each with what must become of it.
struct Written {
    id: SendFlowId,
    priority: Priority,
    /// Nothing is ever given up.
    reliable: bool,
    messages: Vec<(usize, Option<bool>)>,
    to_write: u64,
    closed: bool,
}

/// Opens flows to the other hosts, answers each flow by a return flow, writes now and then.
struct Talker {
    name: u8,
    dice: Dice,
    next: Time,
    /// By what the metadata says: the host that opened it and a number.
    sent: BTreeMap<Vec<u8>, Written>,
    receipts: BTreeMap<ReceiptId, (Vec<u8>, u64)>,
    offered: BTreeMap<RecvFlowId, Vec<u8>>,
    received: BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
    finished: Vec<Vec<u8>>,
    others: Vec<Event>,
}

impl Talker {
    fn new(name: u8, seed: u64) -> Self {
        let (sent, receipts, offered, received, finished, others) = Default::default();
        let dice = Dice::new(seed, name.into());
        let next = Time::from_millis(1);
        Self { name, dice, next, sent, receipts, offered, received, finished, others }
    }

    fn plan(&mut self, metadata: Vec<u8>, id: SendFlowId, priority: Priority) {
        let reliable = self.dice.chance(0.5);
        let to_write = 1 + self.dice.below(25);
        let written = Written { id, priority, reliable, messages: Vec::new(), to_write, closed: false };
        self.sent.insert(metadata, written);
    }

    fn open_flows(&mut self, now: Time, endpoint: &mut Endpoint) {
        let own = self.name;
        for other in (0..HOSTS).filter(|&other| other != own) {
            for number in 0..1 + self.dice.below(3) {
                let metadata = vec![self.name, other, number as u8];
                let priority = PRIORITIES[self.dice.below(4) as usize];
                let spec = FlowSpec { metadata: Bytes::from(metadata.clone()), priority };
                let epd = [b'a' + other];
                let id = endpoint.open_flow(now, &epd, spec, Tag(0)).expect("a flow");
                let mut flow = endpoint.send_flow(id).expect("the flow");
                flow.add_candidate(now, SocketAddr::from(([10, 0, 0, other + 1], PORT)));
                self.plan(metadata, id, priority);
            }
        }
    }

    fn write(&mut self, now: Time, endpoint: &mut Endpoint) {
        for (metadata, flow) in &mut self.sent {
            if flow.closed {
                continue;
            }
            let Some(mut handle) = endpoint.send_flow(flow.id) else {
                flow.closed = true; // It was rejected and is done with.
                continue;
            };
            if flow.messages.len() as u64 == flow.to_write {
                handle.close(now);
                flow.closed = true;
                continue;
            }
            let len = match self.dice.below(10) {
                0 => self.dice.below(30_000),
                1..4 => self.dice.below(4000),
                _ => self.dice.below(300),
            };
            let mut options = WriteOptions { notify: true, ..WriteOptions::default() };
            if !flow.reliable {
                let after = |millis: u64| now + Duration::from_millis(millis);
                match self.dice.below(4) {
                    0 => options.start_by = after(self.dice.below(200)),
                    1 => options.finish_by = after(self.dice.below(400)),
                    2 => options.best_effort = true,
                    _ => {}
                }
            }
            let number = flow.messages.len() as u64;
            let message = Message::from(numbered(number, len as usize));
            let Ok(receipt) = handle.write(now, message, &options) else {
                // The flow that this one was to answer was closed meanwhile, so it is rejected.
                assert_eq!(metadata.len(), 4, "{metadata:?}");
                (flow.closed, flow.reliable) = (true, false);
                continue;
            };
            let receipt = receipt.expect("a receipt");
            if self.dice.chance(0.02) {
                let priority = PRIORITIES[self.dice.below(4) as usize];
                (flow.priority != priority).then(|| handle.set_priority(now, priority));
                flow.priority = priority;
            }
            flow.messages.push((len as usize, None));
            self.receipts.insert(receipt, (metadata.clone(), number));
            if !flow.reliable && self.dice.chance(0.05) {
                endpoint.receipt(receipt).expect("a receipt").abandon(now);
            }
        }
    }

    fn is_done(&self, endpoint: &Endpoint) -> bool {
        let all_closed = self.sent.values().all(|flow| flow.closed);
        all_closed && endpoint.holdings().held_send_flows == 0 && endpoint.holdings().held_recv_flows == 0
    }
}

impl Application for Talker {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.open_flows(now, endpoint);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, metadata, .. } => {
                endpoint.accept(now, flow, Tag(1));
                self.offered.insert(flow, metadata.to_vec());
                let is_answer = metadata.len() == 4;
                if !is_answer && self.dice.chance(0.6) {
                    let answer = [&metadata[..], b"r"].concat();
                    let spec =
                        FlowSpec { metadata: Bytes::from(answer.clone()), priority: Priority::Routine };
                    // All its messages may have expired: then it ends as it is accepted.
                    let Some(mut asked) = endpoint.recv_flow(flow) else { return };
                    let id = asked.open_return_flow(now, spec, Tag(2)).expect("a flow");
                    self.plan(answer, id, Priority::Routine);
                }
            }
            Event::Readable { flow, .. } => {
                let metadata = &self.offered[&flow];
                let read = || Some(endpoint.recv_flow(flow)?.read(now)?.bytes.to_vec());
                let messages = core::iter::from_fn(read);
                self.received.entry(metadata.clone()).or_default().extend(messages);
            }
            Event::FlowFinished { flow, .. } => self.finished.push(self.offered[&flow].clone()),
            Event::WriteEnded { receipt, delivered, .. } => {
                let (metadata, number) = self.receipts.remove(&receipt).expect("it ends once");
                let flow = self.sent.get_mut(&metadata).expect("the flow");
                flow.messages[number as usize].1 = Some(delivered);
            }
            other => self.others.push(other),
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        Some(self.next)
    }

    fn on_timeout(&mut self, now: Time, endpoint: &mut Endpoint) {
        self.next = now + Duration::from_millis(20 + self.dice.below(60));
        self.write(now, endpoint);
    }
}

fn talker(net: &mut Network, host: HostId) -> (&mut Endpoint, &mut Talker) {
    net.service::<Node<Talker>>(host).parts()
}

#[test]
fn whatever_happens_at_once_every_write_ends_and_reliable_flows_deliver_everything_once_and_in_order() {
    for_each_seed(100, |seed| {
        let mut net = Network::new(seed);
        net.set_default_link(bad_link());
        let hosts: Vec<HostId> = (0..HOSTS)
            .map(|number| {
                let name = char::from(b'a' + number).to_string();
                let endpoint = endpoint(&name, seed * 10 + u64::from(number), Config::default());
                let any = SocketAddr::from(([0, 0, 0, 0], PORT));
                let node = Node::new(endpoint, &[any], Talker::new(number, seed));
                net.add_host(&name, &[IpAddr::from([10, 0, 0, number + 1])], Box::new(node))
            })
            .collect();
        let mut rounds = 0;
        loop {
            net.run_for(Duration::from_millis(500));
            let done = hosts.iter().all(|&host| {
                let (endpoint, talker) = talker(&mut net, host);
                talker.is_done(endpoint)
            });
            rounds += 1;
            if done && rounds > 10 {
                break;
            }
            let held = |net: &mut Network, host| talker(net, host).0.holdings();
            let mut all = || hosts.iter().map(|&host| held(&mut net, host)).collect::<Vec<_>>();
            assert!(rounds < 240, "it does not come to an end: {:?}", all());
        }
        let mut flows = 0;
        for &host in &hosts {
            let (_, sender) = talker(&mut net, host);
            assert!(sender.receipts.is_empty());
            let rejected = |id| {
                let told = |e: &Event| matches!(e, Event::FlowException { flow, code: 0, .. } if *flow == id);
                sender.others.iter().any(told)
            };
            let all = sender.sent.iter().filter(|(metadata, flow)| metadata.len() == 3 || !rejected(flow.id));
            let sent: Vec<_> = all.map(|(m, f)| (m.clone(), f.messages.clone(), f.reliable)).collect();
            for (metadata, messages, reliable) in sent {
                flows += 1;
                // An answer goes back to where the flow came from.
                let to = if metadata.len() == 4 { metadata[0] } else { metadata[1] };
                let (_, receiver) = talker(&mut net, hosts[to as usize]);
                let got = receiver.received.get(&metadata).cloned().unwrap_or_default();
                let numbers: Vec<u64> =
                    got.iter().map(|bytes| u64::from_be_bytes(bytes[..8].try_into().unwrap())).collect();
                assert!(numbers.is_sorted_by(|a, b| a < b), "{metadata:?}: {numbers:?}");
                for (bytes, &number) in got.iter().zip(&numbers) {
                    assert!(*bytes == numbered(number, messages[number as usize].0), "{metadata:?} {number}");
                }
                for (number, (_, delivered)) in messages.iter().enumerate() {
                    let delivered = delivered.expect("every write ends");
                    assert!(delivered || !reliable, "{metadata:?} {number} was given up");
                    assert!(!delivered || numbers.contains(&(number as u64)), "{metadata:?} {number}");
                }
                let finished = receiver.finished.iter().filter(|other| **other == metadata).count();
                assert_eq!(finished, 1, "{metadata:?}");
            }
        }
        assert!(flows >= 6);
        for &host in &hosts {
            let (_, talker) = talker(&mut net, host);
            let bad = talker.others.iter().find(|event| {
                let answers = |id| talker.sent.iter().any(|(metadata, f)| f.id == id && metadata.len() == 4);
                match event {
                    Event::FlowException { flow, .. } => !answers(*flow),
                    // All open to each other at once: of two sessions between the same ends one is left.
                    Event::SessionClosed { reason, .. } => {
                        !matches!(reason, CloseReason::Idle | CloseReason::Duplicate)
                    }
                    Event::FlowLost { .. } => true,
                    _ => false,
                }
            });
            assert_eq!(bad, None);
        }
    });
}
