//! The sending half: flows that are opened, messages that are written and given up.

use std::time::Duration;

use bytes::Bytes;
use rtmfp::{Endpoint, FlowSpec, OpenFlowError, Priority, RecvFlowId, SendFlowId, WriteError};
use rtmfp_base::{ReceiptId, Tag, Time, WriteOptions};

use super::{Outgoing, Talker};
use crate::introducer;
use crate::ledger::Sending;

const PRIORITIES: [Priority; 8] = [
    Priority::Background,
    Priority::Bulk,
    Priority::Data,
    Priority::Routine,
    Priority::Priority,
    Priority::Immediate,
    Priority::Flash,
    Priority::FlashOverride,
];

impl Talker {
    pub(super) fn open_first_flows(&mut self, now: Time, endpoint: &mut Endpoint) {
        for _ in 0..self.dice.below(self.manners.first_flows + 1) {
            self.open_flow(now, endpoint);
        }
    }

    fn metadata(&mut self, key: u32) -> Bytes {
        let filler = if self.dice.chance(0.05) { self.dice.below(508) } else { self.dice.below(16) };
        let mut metadata = key.to_be_bytes().to_vec();
        metadata.resize(4 + filler as usize, 0x2e);
        metadata.into()
    }

    fn any_priority(&mut self) -> Priority {
        PRIORITIES[self.dice.below(8) as usize]
    }

    pub(super) fn open_flow(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.manners.targets.is_empty() {
            return;
        }
        let to = self.manners.targets[self.dice.below(self.manners.targets.len() as u64) as usize];
        self.opened += 1;
        let reliable = self.dice.chance(self.manners.reliable);
        let key = self.ledger.borrow_mut().add_flow(self.me, to, None, reliable);
        let spec = FlowSpec { metadata: self.metadata(key), priority: self.any_priority() };
        let epd = self.ledger.borrow().nodes[to].epd();
        let opened = endpoint.open_flow(now, &epd, spec, Tag(key.into()));
        let Some(id) = self.opened(now, key, opened) else { return };
        self.add_candidates(now, endpoint, id, to);
        self.plan(key, id, reliable);
    }

    /// Where to look for another node.
    fn add_candidates(&mut self, now: Time, endpoint: &mut Endpoint, id: SendFlowId, to: usize) {
        let introducer = self.registrant.is_some().then_some(introducer::ADDRESS);
        let alone = introducer.is_some() && (self.quiet || self.dice.chance(0.7));
        let known = if alone { Vec::new() } else { self.book.borrow().addresses(self.me, to) };
        for candidate in known.into_iter().chain(introducer) {
            if let Some(mut flow) = endpoint.send_flow(id) {
                flow.add_candidate(now, candidate);
            }
        }
    }

    /// Opens a flow to another node, says something, and closes it.
    pub(crate) fn visit(&mut self, now: Time, endpoint: &mut Endpoint, to: usize) -> Option<u32> {
        let key = self.ledger.borrow_mut().add_flow(self.me, to, None, true);
        let spec = FlowSpec { metadata: self.metadata(key), priority: Priority::Routine };
        let epd = self.ledger.borrow().nodes[to].epd();
        let opened = endpoint.open_flow(now, &epd, spec, Tag(key.into()));
        let id = self.opened(now, key, opened)?;
        self.add_candidates(now, endpoint, id, to);
        self.plan(key, id, true);
        if let Some(flow) = self.outgoing.get_mut(&key) {
            flow.to_write = 1;
        }
        self.write_one(now, endpoint, key);
        self.close_flow(now, endpoint, key);
        Some(key)
    }

    /// Answers a flow by one in return of it.
    pub(super) fn answer(&mut self, now: Time, endpoint: &mut Endpoint, asked: u32, flow: RecvFlowId) {
        let to = self.ledger.borrow().flows[asked as usize].from;
        let reliable = self.dice.chance(self.manners.reliable);
        let key = self.ledger.borrow_mut().add_flow(self.me, to, Some(asked), reliable);
        let spec = FlowSpec { metadata: self.metadata(key), priority: self.any_priority() };
        let opened = match endpoint.recv_flow(flow) {
            Some(mut flow) => flow.open_return_flow(now, spec, Tag(key.into())),
            None => Err(OpenFlowError::NotOpen),
        };
        if let Some(id) = self.opened(now, key, opened) {
            self.ledger.borrow_mut().did("return_flow");
            self.plan(key, id, reliable);
        }
    }

    fn opened(&self, now: Time, key: u32, opened: Result<SendFlowId, OpenFlowError>) -> Option<SendFlowId> {
        let mut ledger = self.ledger.borrow_mut();
        match opened {
            Ok(id) => {
                let (from, to) = (self.me, ledger.flow(key).to);
                ledger.log(now, format_args!("node {from} opens flow {key}, {id}, to node {to}"));
                ledger.did("flow_opened");
                Some(id)
            }
            Err(error) => {
                ledger.log(now, format_args!("node {} can't open flow {key}: {error}", self.me));
                ledger.flow(key).sending = Sending::Failed(0);
                None
            }
        }
    }

    fn plan(&mut self, key: u32, id: SendFlowId, reliable: bool) {
        let longest = match self.dice.below(4) {
            0 => 200,
            1 => 3000,
            _ => self.manners.longest,
        };
        let longest = longest.min(self.manners.longest);
        let to_write = self.dice.below(self.manners.messages + 1);
        self.outgoing.insert(key, Outgoing { id, reliable, longest, to_write, closing: false });
    }

    pub(super) fn write_some(&mut self, now: Time, endpoint: &mut Endpoint) {
        let keys: Vec<u32> =
            self.outgoing.iter().filter(|(_, flow)| !flow.closing).map(|(key, _)| *key).collect();
        for key in keys {
            if self.outgoing.get(&key).is_none_or(|flow| flow.to_write == 0) {
                if self.dice.chance(0.3) {
                    self.close_flow(now, endpoint, key);
                }
                continue;
            }
            for _ in 0..self.dice.below(4) {
                if !self.write_one(now, endpoint, key) {
                    break;
                }
            }
        }
    }

    fn length(&mut self, longest: u64, reliable: bool) -> usize {
        let most = match self.dice.below(10) {
            0 => longest,
            1..4 => longest.min(4000),
            _ => longest.min(300),
        };
        let len = self.dice.below(most + 1) as usize;
        // Where messages may be missing each tells its number.
        if reliable { len } else { len.max(4) }
    }

    fn options(&mut self, now: Time, reliable: bool) -> WriteOptions {
        let mut options = WriteOptions { notify: true, ..WriteOptions::default() };
        if reliable {
            return options;
        }
        let mut ledger = self.ledger.borrow_mut();
        let kind = self.dice.below(6);
        let mut soon = |longest: u64| now + Duration::from_millis(self.dice.below(longest));
        match kind {
            0 => {
                options.start_by = soon(300);
                ledger.did("start_by");
            }
            1 => {
                options.finish_by = soon(1000);
                ledger.did("finish_by");
            }
            2 => {
                options.start_by = soon(300);
                options.finish_by = soon(2000);
                ledger.did("both_deadlines");
            }
            3 => {
                options.best_effort = true;
                ledger.did("best_effort");
            }
            _ => {}
        }
        options
    }

    /// Writes a message, if the flow takes one.
    fn write_one(&mut self, now: Time, endpoint: &mut Endpoint, key: u32) -> bool {
        let Some(flow) = self.outgoing.get_mut(&key).filter(|flow| flow.to_write > 0) else { return false };
        let (id, reliable, longest) = (flow.id, flow.reliable, flow.longest);
        let Some(mut handle) = endpoint.send_flow(id) else { return false };
        if !handle.is_writable() && !self.dice.chance(self.manners.pushy) {
            return false;
        }
        let len = self.length(longest, reliable);
        let mut options = self.options(now, reliable);
        let parent = if reliable { None } else { self.any_parent() };
        options.parent = parent.map(|(receipt, _)| receipt);
        let message = self.ledger.borrow().next_message(key, len);
        let receipt = match handle.write(now, message, &options) {
            Ok(receipt) => receipt.expect("a receipt was asked for"),
            Err(WriteError::Full) => {
                self.ledger.borrow_mut().did("queue_full");
                return false;
            }
            // Its event is still to be polled.
            Err(_) => return false,
        };
        let number = self.ledger.borrow_mut().written(key, len, parent.map(|(_, written)| written));
        self.receipts.insert(receipt, (key, number));
        self.set_due(key, number, options.finish_by);
        if let Some(flow) = self.outgoing.get_mut(&key) {
            flow.to_write -= 1;
        }
        if !reliable {
            self.doubt(now, endpoint, receipt, key, number);
        }
        true
    }

    /// A message that another one may depend on: the last but a few, of whatever flow.
    fn any_parent(&mut self) -> Option<(ReceiptId, (u32, u32))> {
        if self.receipts.is_empty() || !self.dice.chance(self.manners.depend) {
            return None;
        }
        let nth = self.dice.below(self.receipts.len().min(5) as u64) as usize;
        self.ledger.borrow_mut().did("message_with_parent");
        self.receipts.iter().nth_back(nth).map(|(id, written)| (*id, *written))
    }

    fn set_due(&mut self, key: u32, number: u32, by: Time) {
        self.forget_due(key, number);
        if !by.is_never() {
            self.due.insert((by, key, number), ());
            self.due_of.insert((key, number), by);
        }
    }

    pub(super) fn forget_due(&mut self, key: u32, number: u32) {
        if let Some(by) = self.due_of.remove(&(key, number)) {
            self.due.remove(&(by, key, number));
        }
    }

    /// Gives a message up, this one or an older one, or changes its deadlines.
    fn doubt(&mut self, now: Time, endpoint: &mut Endpoint, newest: ReceiptId, key: u32, number: u32) {
        let (mut id, mut message) = (newest, (key, number));
        if self.dice.chance(0.5) {
            let nth = self.dice.below(self.receipts.len() as u64) as usize;
            let Some((&other, &written)) = self.receipts.iter().nth(nth) else { return };
            if self.ledger.borrow().flows[written.0 as usize].reliable {
                return;
            }
            (id, message) = (other, written);
        }
        let (key, number) = message;
        let Some(mut receipt) = endpoint.receipt(id) else { return };
        if self.dice.chance(self.manners.abandon) {
            let mut ledger = self.ledger.borrow_mut();
            ledger.did("abandoned");
            if !receipt.is_started() {
                ledger.did("abandoned_unsent");
                ledger.flow(key).messages[number as usize].never_sent = true;
            }
            receipt.abandon(now);
        } else if self.dice.chance(self.manners.reconsider) {
            self.ledger.borrow_mut().did("deadline_changed");
            let start_by = now + Duration::from_millis(self.dice.below(500));
            let finish_by = now + Duration::from_millis(self.dice.below(3000));
            receipt.set_deadlines(now, start_by, finish_by);
            self.set_due(key, number, finish_by);
        }
    }

    pub(super) fn close_flow(&mut self, now: Time, endpoint: &mut Endpoint, key: u32) {
        let Some(flow) = self.outgoing.get_mut(&key).filter(|flow| !flow.closing) else { return };
        flow.closing = true;
        let Some(handle) = endpoint.send_flow(flow.id) else { return };
        let mut ledger = self.ledger.borrow_mut();
        ledger.log(now, format_args!("node {} closes flow {key}", self.me));
        let record = ledger.flow(key);
        if record.sending == Sending::Open {
            record.sending = Sending::Closing;
        }
        drop(ledger);
        handle.close(now);
    }

    /// What each flow has in the network.
    pub(crate) fn flights(&self, endpoint: &mut Endpoint) -> Vec<(u32, SendFlowId, usize)> {
        let flight = |(&key, flow): (&u32, &Outgoing)| {
            endpoint.send_flow(flow.id).map(|mut handle| (key, flow.id, handle.outstanding()))
        };
        self.outgoing.iter().filter_map(flight).collect()
    }

    /// After sending: a flow sends while less than its far end has advertised room for is under way.
    pub(crate) fn check_window(
        &self,
        endpoint: &mut Endpoint,
        key: u32,
        id: SendFlowId,
        before: usize,
        packet: usize,
    ) {
        let Some(mut flow) = endpoint.send_flow(id) else { return };
        let (outstanding, window) = (flow.outstanding(), flow.peer_window());
        assert!(
            outstanding <= before || outstanding as u64 <= window + packet as u64,
            "node {}: {outstanding} bytes of flow {key} are under way, there is room for {window}",
            self.me
        );
    }

    /// Changes a priority now and then.
    pub(super) fn tweak_some(&mut self, now: Time, endpoint: &mut Endpoint) {
        if !self.dice.chance(self.manners.tweak) {
            return;
        }
        let priority = self.any_priority();
        let capacity = 1024 + self.dice.below(100_000) as usize;
        if !self.outgoing.is_empty() {
            let nth = self.dice.below(self.outgoing.len() as u64) as usize;
            let flow = self.outgoing.values().nth(nth).and_then(|flow| endpoint.send_flow(flow.id));
            if let Some(mut flow) = flow {
                self.ledger.borrow_mut().did("priority_changed");
                flow.set_priority(now, priority);
                flow.set_capacity(now, capacity);
                flow.set_low_water(now, capacity / 4);
            }
        }
        if !self.incoming.is_empty() {
            let nth = self.dice.below(self.incoming.len() as u64) as usize;
            let max_message = self.max_message;
            if let Some(flow) = self.incoming.values_mut().nth(nth)
                && let Some(mut handle) = endpoint.recv_flow(flow.id)
            {
                self.ledger.borrow_mut().did("receive_capacity_changed");
                flow.changed_capacity = true;
                handle.set_capacity(now, capacity - 1024, max_message);
            }
        }
    }
}
