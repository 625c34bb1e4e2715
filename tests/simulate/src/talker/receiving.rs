//! The receiving half: reading, or not.

use std::time::Duration;

use rtmfp::{Endpoint, ReceiveOrder};
use rtmfp_base::Time;

use super::Talker;
use crate::ledger::Receiving;

/// Messages of a flow read at a time.
const TURN: usize = 64;

impl Talker {
    /// Reads all that waits, of flows that are not paused.
    pub(super) fn read_all(&mut self, now: Time, endpoint: &mut Endpoint) {
        let waiting = self.incoming.iter().filter(|(_, flow)| flow.unread && flow.paused_until <= now);
        let keys: Vec<u32> = waiting.map(|(key, _)| *key).collect();
        for key in keys {
            self.read(now, endpoint, key);
        }
    }

    /// A flow holds no more than twice what it has room for, or a message beyond it.
    fn check_memory(&self, endpoint: &mut Endpoint, key: u32) {
        let Some(mut flow) = self.incoming.get(&key).and_then(|flow| endpoint.recv_flow(flow.id)) else {
            return;
        };
        // Its room is changed to 100,000 bytes at the most, and what it holds already stays.
        let capacity = self.capacity.max(101_024);
        let most = (2 * capacity).max(capacity + self.max_message) + self.max_message + 1024;
        assert!(flow.buffered() <= most, "node {}: {} bytes of flow {key}", self.me, flow.buffered());
    }

    pub(super) fn read(&mut self, now: Time, endpoint: &mut Endpoint, key: u32) {
        self.check_memory(endpoint, key);
        let Some(flow) = self.incoming.get_mut(&key).filter(|flow| flow.paused_until <= now) else { return };
        for _ in 0..TURN {
            let read = endpoint.recv_flow(flow.id).and_then(|mut handle| handle.read(now));
            let Some(message) = read else {
                flow.unread = false;
                return;
            };
            let number = self.ledger.borrow_mut().received(key, &message.bytes);
            let ledger = self.ledger.borrow();
            ledger.log(now, format_args!("node {} reads message {number} of flow {key}", self.me));
        }
    }

    /// When reading goes on that was put off.
    pub(super) fn next_reading(&self) -> Option<Time> {
        let waiting = self.incoming.values().filter(|flow| flow.unread || flow.held);
        waiting.map(|flow| flow.paused_until).min()
    }

    pub(super) fn pause_some(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.incoming.is_empty() || !self.dice.chance(self.manners.pause) {
            return;
        }
        let nth = self.dice.below(self.incoming.len() as u64) as usize;
        let hold = self.dice.chance(0.3);
        let longest = if self.dice.chance(0.1) { 60 } else { 3 };
        let until = now + self.dice.up_to(Duration::from_secs(longest));
        let Some(flow) = self.incoming.values_mut().nth(nth) else { return };
        flow.paused_until = until;
        let mut ledger = self.ledger.borrow_mut();
        ledger.did("reading_paused");
        if hold && let Some(mut handle) = endpoint.recv_flow(flow.id) {
            ledger.did("flow_held");
            flow.held = true;
            handle.set_hold(now, true);
        }
    }

    /// Goes on with flows whose pause is over.
    pub(super) fn resume_some(&mut self, now: Time, endpoint: &mut Endpoint) {
        for flow in self.incoming.values_mut().filter(|flow| flow.held && flow.paused_until <= now) {
            flow.held = false;
            if let Some(mut handle) = endpoint.recv_flow(flow.id) {
                handle.set_hold(now, false);
            }
        }
    }

    pub(super) fn resume_all(&mut self, now: Time, endpoint: &mut Endpoint) {
        let (capacity, max_message) = (self.capacity, self.max_message);
        for flow in self.incoming.values_mut() {
            flow.paused_until = now;
            if let Some(mut handle) = endpoint.recv_flow(flow.id).filter(|_| flow.changed_capacity) {
                flow.changed_capacity = false;
                handle.set_capacity(now, capacity, max_message);
            }
        }
        self.resume_some(now, endpoint);
    }

    /// Refuses flows that were accepted.
    pub(super) fn refuse_some(&mut self, now: Time, endpoint: &mut Endpoint) {
        if self.incoming.is_empty() || !self.dice.chance(self.manners.refuse_later) {
            return;
        }
        let nth = self.dice.below(self.incoming.len() as u64) as usize;
        let Some((&key, flow)) = self.incoming.iter().nth(nth) else { return };
        let Some(handle) = endpoint.recv_flow(flow.id) else { return };
        let code = self.dice.below(1000);
        let mut ledger = self.ledger.borrow_mut();
        ledger.did("flow_refused_later");
        ledger.log(now, format_args!("node {} refuses flow {key} with {code}", self.me));
        ledger.flow(key).receiving = Receiving::Rejected(code);
        drop(ledger);
        handle.reject(now, code);
        self.incoming.remove(&key);
    }

    pub(super) fn choose_order(
        &mut self,
        now: Time,
        endpoint: &mut Endpoint,
        key: u32,
        id: rtmfp::RecvFlowId,
    ) {
        // Short messages of reliable flows don't tell their numbers.
        let reliable = self.ledger.borrow().flows[key as usize].reliable;
        if reliable || !self.dice.chance(self.manners.network_order) {
            return;
        }
        if let Some(mut handle) = endpoint.recv_flow(id) {
            let mut ledger = self.ledger.borrow_mut();
            ledger.did("network_order");
            ledger.flow(key).order = ReceiveOrder::Network;
            handle.set_order(now, ReceiveOrder::Network);
        }
    }
}
