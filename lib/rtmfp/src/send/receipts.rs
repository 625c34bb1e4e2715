//! Writes whose fate the application wants to know, and which of them depend on which.

use rtmfp_base::{Arena, ReceiptId, ReceiptKind};

use super::queue::Ended;
use crate::SendFlowId;

/// A write with a receipt, or one that depends on another.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) flow: SendFlowId,
    /// The number of its message in the flow's queue.
    pub(crate) number: u64,
    /// The application is told its end.
    notify: bool,
    /// It has ended, delivered or not, and the event that tells it was not polled yet.
    ended: Option<bool>,
    /// The first of the writes that depend on it; they are chained by `before` and `after`.
    first_child: Option<ReceiptId>,
    parent: Option<ReceiptId>,
    before: Option<ReceiptId>,
    after: Option<ReceiptId>,
}

/// All writes of an endpoint that have not ended, and those that have but were not told yet.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    writes: Arena<ReceiptKind, Write>,
}

impl Receipts {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// A write that has not ended.
    pub(crate) fn get(&self, id: ReceiptId) -> Option<&Write> {
        self.writes.get(id).filter(|write| write.ended.is_none())
    }

    /// Whether a write was abandoned and the application may not know yet.
    pub(crate) fn is_abandoned(&self, id: ReceiptId) -> bool {
        self.writes.get(id).is_some_and(|write| write.ended == Some(false))
    }

    /// Takes a write that wants a receipt or depends on another one.
    pub(crate) fn insert(
        &mut self,
        flow: SendFlowId,
        number: u64,
        notify: bool,
        parent: Option<ReceiptId>,
    ) -> ReceiptId {
        let parent = parent.filter(|&parent| self.get(parent).is_some());
        let after = parent.and_then(|parent| self.writes.get(parent)?.first_child);
        let write =
            Write { flow, number, notify, ended: None, first_child: None, parent, before: None, after };
        let id = self.writes.insert(write);
        if let Some(after) = after.and_then(|after| self.writes.get_mut(after)) {
            after.before = Some(id);
        }
        if let Some(parent) = parent.and_then(|parent| self.writes.get_mut(parent)) {
            parent.first_child = Some(id);
        }
        id
    }

    /// Takes note of the end of a write. Answers whether the application is to be told.
    pub(crate) fn end(&mut self, end: Ended) -> bool {
        self.unlink(end.receipt);
        let Some(write) = self.writes.get_mut(end.receipt) else { return false };
        write.ended = Some(end.delivered);
        let notify = write.notify;
        if !notify {
            // Nobody knows its id, so nothing depends on it.
            self.writes.remove(end.receipt);
        }
        notify
    }

    /// The application was told the end of a write.
    pub(crate) fn forget(&mut self, id: ReceiptId) {
        self.writes.remove(id);
    }

    /// Takes one of the writes that depend on another one: its flow and its number there.
    pub(crate) fn take_child(&mut self, id: ReceiptId) -> Option<(SendFlowId, u64)> {
        let child = self.writes.get(id)?.first_child?;
        self.unlink(child);
        self.writes.get(child).map(|write| (write.flow, write.number))
    }

    /// A write depends on nothing any more.
    fn unlink(&mut self, id: ReceiptId) {
        let Some(write) = self.writes.get_mut(id) else { return };
        let (parent, before, after) = (write.parent.take(), write.before.take(), write.after.take());
        if let Some(before) = before.and_then(|before| self.writes.get_mut(before)) {
            before.after = after;
        } else if let Some(parent) = parent.and_then(|parent| self.writes.get_mut(parent)) {
            parent.first_child = after;
        }
        if let Some(after) = after.and_then(|after| self.writes.get_mut(after)) {
            after.before = before;
        }
    }
}
