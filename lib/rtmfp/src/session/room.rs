//! The room that the receiving flows of a session share.
//!
//! While there is enough, each flow advertises its own: mostly few of them are busy. When less than half is left, the
//! busy ones share the rest; when there is none, a window of nothing holds the others while one flow after the other
//! is exempt from the limit for one message. Otherwise none of them could complete any, and nothing would be read.

use core::time::Duration;

use rtmfp_base::Time;

use super::{Flows, RecvSlot, Session, Total};
use crate::RecvFlowId;
use crate::recv::RecvFlow;

/// Two blocks: less is hardly a window.
const REOPENED: usize = 2048;

/// The flow that may go beyond the limit of all must go on in this time, else it is another's turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// The flow that may go beyond the limit to complete a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exempt {
    flow: RecvFlowId,
    wire_id: u64,
    /// When it got the exemption, or last went on.
    at: Time,
}

/// What the flows of a session hold together.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: usize,
    /// Flows that hold anything.
    flows: usize,
    exempt: Option<Exempt>,
    /// When no flow was found that an exemption would help.
    searched: Option<Time>,
}

impl Held {
    pub(crate) const fn new() -> Self {
        Self { bytes: 0, flows: 0, exempt: None, searched: None }
    }
}

impl Session {
    fn own_room(&self) -> usize {
        self.config.receive_limit.saturating_sub(self.receiving.held.bytes)
    }

    fn receive_room(&self, total: &Total) -> usize {
        self.own_room().min(total.share(self.id))
    }

    /// What flows and holes may still cost beside the bytes.
    pub(crate) fn overhead_room(&self, total: &Total) -> usize {
        self.config.overhead_limit.saturating_sub(self.receiving.overhead).min(total.room())
    }

    /// What cost `before` beside the bytes costs `after` now.
    pub(crate) fn charge(&mut self, total: &mut Total, before: usize, after: usize) {
        self.receiving.overhead = self.receiving.overhead + after - before;
        total.change(before, after);
    }

    /// All flows have gone.
    pub(crate) fn release_room(&mut self, total: &mut Total) {
        total.change_session(Time::ZERO, self.id, self.receiving.held.bytes, 0);
        total.change(self.receiving.overhead, 0);
        total.end_turn(self.id);
        if let Some(receiving) = self.receiving.used() {
            receiving.held = Held::new();
            receiving.overhead = 0;
        }
    }

    fn is_scarce(&self, total: &Total) -> bool {
        self.own_room() < self.config.receive_limit / 2 || total.is_scarce()
    }

    /// What each busy flow may advertise, and `more` others.
    fn share(&self, total: &Total, more: usize) -> usize {
        let room = self.receive_room(total);
        if self.is_scarce(total) { room / (self.receiving.held.flows + more).max(1) } else { room }
    }

    /// Bytes that all flows together may take, and those that a flow may if they are the next ones it needs.
    pub(crate) fn rooms(&self, total: &Total, id: RecvFlowId, flow: &RecvFlow) -> (usize, usize) {
        let room = self.receive_room(total);
        if !self.is_exempt(id) {
            return (room, room);
        }
        let most = self.config.receive_limit.saturating_add(flow.max_message);
        (room, most.saturating_sub(self.receiving.held.bytes).min(total.progress_room(self.id)))
    }

    /// What a flow may advertise at the most.
    pub(crate) fn window_room(&self, total: &Total, id: RecvFlowId, flow: &RecvFlow) -> usize {
        if self.is_exempt(id) {
            self.rooms(total, id, flow).1
        } else {
            self.share(total, usize::from(flow.buffered() == 0))
        }
    }

    fn is_exempt(&self, id: RecvFlowId) -> bool {
        self.receiving.held.exempt.is_some_and(|exempt| exempt.flow == id)
    }

    /// A flow that held `before` bytes holds `after` now. Where that makes room, those flows tell that they are open
    /// which were closed for want of it.
    pub(crate) fn account(
        &mut self,
        now: Time,
        flows: &mut Flows,
        id: RecvFlowId,
        before: usize,
        after: usize,
    ) {
        let share_before = self.share(&flows.received, 1);
        let held = &mut self.receiving.held;
        let bytes = held.bytes + after - before;
        flows.received.change_session(now, self.id, held.bytes, bytes);
        held.bytes = bytes;
        held.flows = held.flows + usize::from(after > 0) - usize::from(before > 0);
        if after > before
            && let Some(exempt) = held.exempt.as_mut().filter(|exempt| exempt.flow == id)
        {
            exempt.at = now;
        }
        if after < before {
            held.searched = None;
        }
        self.choose_exempt(now, flows);
        let share = self.share(&flows.received, 1);
        if share_before < REOPENED && share >= REOPENED {
            self.tell_reopened(flows, share);
        }
    }

    fn tell_reopened(&mut self, flows: &Flows, share: usize) {
        for (&wire_id, slot) in &self.receiving.by_wire {
            if let RecvSlot::Live(id) = slot
                && flows.recv.get(*id).is_some_and(|flow| flow.window_reopened(share))
            {
                self.acks.owe(wire_id);
            }
        }
    }

    /// Where room is scarce, sees to it that one flow can go on, in turn.
    pub(crate) fn choose_exempt(&mut self, now: Time, flows: &Flows) {
        if !self.is_scarce(&flows.received) {
            self.receiving.held.exempt = None;
            return;
        }
        let last = self.receiving.held.exempt;
        let goes_on = |exempt: &Exempt| {
            now.since(exempt.at) < PATIENCE
                && flows.recv.get(exempt.flow).is_some_and(RecvFlow::is_in_progress)
        };
        if last.as_ref().is_some_and(goes_on) || self.receiving.held.searched == Some(now) {
            return;
        }
        let waits = |(&wire_id, slot): (&u64, &RecvSlot)| match slot {
            RecvSlot::Live(id) => {
                let waits = flows.recv.get(*id).is_some_and(RecvFlow::is_in_progress);
                waits.then_some(Exempt { flow: *id, wire_id, at: now })
            }
            RecvSlot::Lingering { .. } => None,
        };
        let (by_wire, after) = (&self.receiving.by_wire, last.map_or(0, |exempt| exempt.wire_id));
        let mut in_turn = by_wire.range(after.saturating_add(1)..).chain(by_wire.range(..=after));
        self.receiving.held.exempt = in_turn.find_map(waits);
        match self.receiving.held.exempt {
            Some(exempt) => self.acks.owe(exempt.wire_id),
            None => self.receiving.held.searched = Some(now),
        }
    }
}
