//! The room that the receiving flows of a session share.
//!
//! While there is enough, each flow advertises its own: mostly few of them are busy. When less than half is left, the
//! busy ones share the rest; when there is none, a window of nothing holds the others while one flow after the other
//! is exempt from the limit for one message. Otherwise none of them could complete any, and nothing would be read.

use core::time::Duration;

use rtmfp_base::Time;

use super::{Flows, RecvSlot, Session};
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

impl Session {
    /// Bytes that the flows may still take together.
    pub(crate) fn receive_room(&self) -> usize {
        self.config.receive_limit.saturating_sub(self.receiving.buffered)
    }

    /// What flows and holes may still cost beside the bytes.
    pub(crate) fn overhead_room(&self) -> usize {
        self.config.receive_limit.saturating_sub(self.receiving.overhead)
    }

    fn is_scarce(&self) -> bool {
        self.receive_room() < self.config.receive_limit / 2
    }

    fn live<'a>(&'a self, flows: &'a Flows) -> impl Iterator<Item = (u64, RecvFlowId, &'a RecvFlow)> {
        self.receiving.by_wire.iter().filter_map(|(&wire_id, slot)| match slot {
            RecvSlot::Live(id) => Some((wire_id, *id, flows.recv.get(*id)?)),
            RecvSlot::Lingering { .. } => None,
        })
    }

    /// Bytes that a flow may take if they are the next ones it needs.
    pub(crate) fn progress_room(&self, id: RecvFlowId, flow: &RecvFlow) -> usize {
        let most = match self.receiving.exempt {
            Some(exempt) if exempt.flow == id => self.config.receive_limit.saturating_add(flow.max_message),
            _ => self.config.receive_limit,
        };
        most.saturating_sub(self.receiving.buffered)
    }

    /// What a flow may advertise at the most.
    pub(crate) fn window_room(&self, flows: &Flows, id: RecvFlowId, flow: &RecvFlow) -> usize {
        if self.is_scarce() && flow.buffered() == 0 {
            self.share(flows, 1)
        } else if self.is_scarce() && self.receiving.exempt.is_none_or(|exempt| exempt.flow != id) {
            self.share(flows, 0)
        } else {
            self.progress_room(id, flow)
        }
    }

    /// The room for each busy flow, and for some more.
    fn share(&self, flows: &Flows, more: usize) -> usize {
        let busy = self.live(flows).filter(|(.., flow)| flow.buffered() > 0).count();
        self.receive_room() / (busy + more).max(1)
    }

    /// Something was received for a flow.
    pub(crate) fn took_room(&mut self, now: Time, flows: &Flows, id: RecvFlowId, taken: usize) {
        self.receiving.buffered += taken;
        if let Some(exempt) = self.receiving.exempt.as_mut().filter(|exempt| exempt.flow == id && taken > 0) {
            exempt.at = now;
        }
        self.choose_exempt(now, flows);
    }

    /// Flows hold less than before. Those that were closed for want of room tell that they are open.
    pub(crate) fn made_room(&mut self, now: Time, flows: &Flows, freed: usize) {
        let was_scarce = self.is_scarce();
        self.receiving.buffered -= freed;
        if !was_scarce {
            return;
        }
        self.choose_exempt(now, flows);
        let share = if self.is_scarce() { self.share(flows, 1) } else { self.receive_room() };
        if share < REOPENED {
            return;
        }
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
        if !self.is_scarce() {
            self.receiving.exempt = None;
            return;
        }
        let last = self.receiving.exempt;
        let goes_on = |exempt: &Exempt| {
            now.since(exempt.at) < PATIENCE
                && flows.recv.get(exempt.flow).is_some_and(RecvFlow::is_in_progress)
        };
        if last.as_ref().is_some_and(goes_on) {
            return;
        }
        let after = last.map_or(0, |exempt| exempt.wire_id);
        let waiting = || self.live(flows).filter(|(.., flow)| flow.is_in_progress());
        let next = waiting().find(|(wire_id, ..)| *wire_id > after).or_else(|| waiting().next());
        self.receiving.exempt = next.map(|(wire_id, flow, _)| Exempt { flow, wire_id, at: now });
        if let Some(exempt) = self.receiving.exempt {
            self.acks.owe(exempt.wire_id);
        }
    }
}
