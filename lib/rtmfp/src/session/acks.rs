//! Acknowledgements that a session owes (RFC 7016 section 3.6.3.4).

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rtmfp_base::Time;

use super::{Blank, Flows, RecvSlot, Session, Timer};
use crate::wire::{Chunk, write_ack_ranges};

const DELAY: Duration = Duration::from_millis(200);

/// Refused flows that are told of at a time. The far end sends again what it hears nothing of.
const REFUSED: usize = 16;

#[derive(Debug)]
pub(crate) struct Acks {
    /// Wire ids of the receiving flows that owe one.
    pending: BTreeSet<u64>,
    /// Those among them that there is no room for at all, and what came of them.
    refused: BTreeMap<u64, u64>,
    /// They should go out at once.
    pub(crate) now: bool,
    /// Packets with user data since the last time that none was owed.
    data_packets: u8,
}

impl Blank for Acks {
    const NEW: Self =
        Self { pending: BTreeSet::new(), refused: BTreeMap::new(), now: false, data_packets: 0 };
    const BLANK: &'static Self = &Self::NEW;
}

impl Acks {
    /// Whether acknowledgements have to be sent now.
    pub(crate) fn are_obligatory(&self) -> bool {
        self.now && !self.pending.is_empty()
    }

    /// A flow owes an acknowledgement, that is to go out at once.
    pub(crate) fn owe(&mut self, wire_id: u64) {
        self.pending.insert(wire_id);
        self.now = true;
    }

    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

impl Session {
    /// There is no room for a flow: tells the far end, and that it need not send again what came. Nothing is kept of the
    /// flow but for that.
    pub(crate) fn refuse_flow(&mut self, now: Time, wire_id: u64, sequence: u64) {
        let full = self.acks.refused.len() >= REFUSED;
        if let Some(through) = self.acks.refused.get_mut(&wire_id) {
            *through = sequence.max(*through);
        } else if !full {
            self.acks.refused.insert(wire_id, sequence);
        }
        if self.acks.refused.contains_key(&wire_id) {
            self.owe_ack(now, wire_id, true);
        }
    }

    /// A flow owes an acknowledgement.
    pub(crate) fn owe_ack(&mut self, now: Time, wire_id: u64, at_once: bool) {
        self.acks.pending.insert(wire_id);
        self.acks.now |= at_once;
        if !self.acks.now && !self.timers.is_set(Timer::Acknowledge) {
            self.timers.set(Timer::Acknowledge, now + DELAY);
        }
    }

    /// A packet with user data was processed: every second one is acknowledged at once.
    pub(crate) fn count_data_packet(&mut self) {
        if self.acks.pending.is_empty() {
            self.acks.now = false; // There was nothing in it to be acknowledged.
            return;
        }
        self.acks.data_packets = self.acks.data_packets.saturating_add(1);
        self.acks.now |= self.acks.data_packets >= 2;
    }

    /// Appends acknowledgements until `end` is reached (the length of `out`, not of what is appended). With
    /// `truncate` the first one may be cut short, else each has to fit whole. Answers whether there was any.
    pub(crate) fn write_acks(
        &mut self,
        now: Time,
        flows: &mut Flows,
        out: &mut Vec<u8>,
        end: usize,
        truncate: bool,
    ) -> bool {
        let mut any = false;
        let now_open = |flows: &Flows, slot: RecvSlot| match slot {
            RecvSlot::Live(id) => flows.recv.get(id).map(|flow| !flow.is_nearly_closed()),
            RecvSlot::Lingering { .. } => None,
        };
        while let Some(&wire_id) = self.acks.pending.first() {
            let start = out.len();
            let report = self.marks.report_due && !any;
            let refused = self.acks.refused.get(&wire_id);
            let refused = refused.map(|&through| RecvSlot::Lingering { through, exception: Some(0) });
            if let Some(slot) = self.receiving.by_wire.get(&wire_id).copied().or(refused) {
                if report {
                    Chunk::EcnReport { count: self.marks.received }.write(out);
                }
                let was_open = now_open(flows, slot);
                if !self.write_ack(flows, wire_id, slot, out, end, truncate && !any) {
                    out.truncate(start);
                    break;
                }
                self.marks.report_due &= !report;
                self.counts.sent_ecn_reports += u64::from(report);
                any = true;
                match (was_open, now_open(flows, slot)) {
                    (Some(false), Some(true)) => self.note_reopened(now, wire_id),
                    (_, Some(true)) => {}
                    _ => self.forget_reopened(wire_id),
                }
            }
            self.acks.pending.remove(&wire_id);
            self.acks.refused.remove(&wire_id);
        }
        if self.acks.pending.is_empty() {
            self.acks.now = false;
            self.acks.data_packets = 0;
            self.timers.stop(Timer::Acknowledge);
        }
        any
    }

    /// Appends one acknowledgement. Answers whether it fitted.
    fn write_ack(
        &self,
        flows: &mut Flows,
        wire_id: u64,
        slot: RecvSlot,
        out: &mut Vec<u8>,
        end: usize,
        truncate: bool,
    ) -> bool {
        let room = |out: &Vec<u8>| end.saturating_sub(out.len());
        match slot {
            RecvSlot::Lingering { through, exception } => {
                write_exception(wire_id, exception, out);
                write_ack_ranges(wire_id, 1, through, core::iter::empty(), room(out), out).is_some()
            }
            RecvSlot::Live(id) => {
                let Some(flow) = flows.recv.get(id) else { return true };
                write_exception(wire_id, flow.exception(), out);
                let seen = flow.seen();
                let blocks = flow.window_blocks(self.window_room(&flows.received, id, flow));
                // What then comes too much is not taken, and so comes again.
                let blocks = blocks.max(self.basic.into());
                let all = seen.len() - 1; // The first one is the cumulative part.
                let ranges = seen.beyond_cumulative();
                match write_ack_ranges(wire_id, blocks, seen.cumulative(), ranges, room(out), out) {
                    Some(written) if truncate || written == all => {}
                    _ => return false,
                }
                if let Some(flow) = flows.recv.get_mut(id) {
                    flow.note_advertised(blocks);
                }
                true
            }
        }
    }
}

fn write_exception(flow_id: u64, code: Option<u64>, out: &mut Vec<u8>) {
    if let Some(code) = code {
        Chunk::FlowException { flow_id, code }.write(out);
    }
}
