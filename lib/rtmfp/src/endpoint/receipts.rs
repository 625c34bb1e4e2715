//! Receipts: what becomes of a write, and what an application can do about it (RFC 7016 section 3.6.2.7).

use std::collections::VecDeque;

use rtmfp_base::{ReceiptId, Time, WriteOptions};

use super::Endpoint;
use crate::send::SendFlow;

/// A write whose fate is told, and that has not ended.
#[derive(Debug)]
pub struct Receipt<'a> {
    endpoint: &'a mut Endpoint,
    id: ReceiptId,
}

impl Endpoint {
    /// A write's receipt; `None` when the write has ended.
    pub fn receipt(&mut self, id: ReceiptId) -> Option<Receipt<'_>> {
        self.flows.receipts.get(id)?;
        Some(Receipt { endpoint: self, id })
    }

    /// Settles the flows in which writes were abandoned because of others.
    pub(super) fn settle_dependent(&mut self, now: Time) {
        while let Some(flow) = self.flows.unsettled.pop() {
            self.settle_send(now, flow);
        }
    }
}

impl Receipt<'_> {
    fn with<T>(&mut self, act: impl FnOnce(&mut SendFlow, u64) -> T) -> Option<T> {
        let write = self.endpoint.flows.receipts.get(self.id)?;
        let number = write.number;
        Some(act(self.endpoint.flows.send.get_mut(write.flow)?, number))
    }

    /// The same, and what has to be done after a change.
    fn change(&mut self, now: Time, act: impl FnOnce(&mut SendFlow, u64)) {
        let flow = self.endpoint.flows.receipts.get(self.id).map(|write| write.flow);
        self.with(|flow, number| {
            act(flow, number);
            flow.queue.expire(now);
        });
        if let Some(flow) = flow {
            self.endpoint.settle_send(now, flow);
            self.endpoint.settle_dependent(now);
        }
    }

    /// Whether the message has begun to be sent.
    pub fn is_started(&mut self) -> bool {
        self.with(|flow, number| flow.queue.is_begun(number)).flatten().unwrap_or(false)
    }

    /// When it was written.
    pub fn created(&mut self) -> Option<Time> {
        self.with(|flow, number| flow.queue.created(number)).flatten()
    }

    /// Its deadlines: to be begun by then, to be delivered by then.
    pub fn deadlines(&mut self) -> Option<(Time, Time)> {
        self.with(|flow, number| flow.queue.deadlines(number)).flatten()
    }

    /// Abandons the message and all that depend on it: what was not delivered of them will not be.
    pub fn abandon(mut self, now: Time) {
        self.change(now, |flow, number| flow.queue.abandon(number));
    }

    /// Abandons the message unless it has begun to be sent. Answers whether it did.
    pub fn abandon_if_not_started(mut self, now: Time) -> bool {
        let waits = !self.is_started();
        if waits {
            self.abandon(now);
        }
        waits
    }

    /// Changes the deadlines of the message, to earlier or later ones. One that has passed abandons it.
    pub fn set_deadlines(&mut self, now: Time, start_by: Time, finish_by: Time) {
        self.change(now, |flow, number| flow.queue.set_deadlines(number, start_by, finish_by));
    }

    /// Makes the deadlines of the message earlier where they are later than these.
    pub fn lower_deadlines(&mut self, now: Time, start_by: Time, finish_by: Time) {
        if let Some((start, finish)) = self.deadlines() {
            self.set_deadlines(now, start.min(start_by), finish.min(finish_by));
        }
    }
}

/// Writes of which each depends on the one before, such as a group of pictures.
///
/// When one of them is abandoned, so are all that follow, those too that are written later. When the next group begins,
/// [`Self::expire`] gives the rest of this one little time to be sent.
#[derive(Clone, Debug, Default)]
pub struct WriteChain {
    members: VecDeque<ReceiptId>,
    broken: bool,
}

impl WriteChain {
    /// The options for the chain's next write: it depends on the last one and its end is told.
    pub fn next(&self, options: &WriteOptions) -> WriteOptions {
        WriteOptions { notify: true, parent: self.members.back().copied(), ..*options }
    }

    /// Appends a write that was made with the options of [`Self::next`]. Forgets those in front that have ended.
    pub fn append(&mut self, endpoint: &mut Endpoint, receipt: ReceiptId) {
        self.members.push_back(receipt);
        while let Some(&first) = self.members.front()
            && self.members.len() > 1
            && endpoint.receipt(first).is_none()
        {
            self.members.pop_front();
        }
    }

    /// To be called with each [`Event::WriteEnded`](crate::Event::WriteEnded) that may be about a member.
    pub fn note_ended(&mut self, receipt: ReceiptId, delivered: bool) {
        self.broken |= !delivered && self.members.contains(&receipt);
    }

    /// Whether a member was abandoned: what depends on it need not be written.
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Lowers the deadlines of all members to these and begins anew, empty.
    pub fn expire(&mut self, endpoint: &mut Endpoint, now: Time, start_by: Time, finish_by: Time) {
        self.broken = false;
        for id in self.members.drain(..) {
            if let Some(mut receipt) = endpoint.receipt(id) {
                receipt.lower_deadlines(now, start_by, finish_by);
            }
        }
    }
}
