//! Acknowledgements that a session owes (RFC 7016 section 3.6.3.4).

use core::time::Duration;
use std::collections::BTreeSet;

use rtmfp_base::Time;

use super::{Flows, RecvSlot, Session, Timer};
use crate::recv::State;
use crate::wire::{Chunk, write_ack_ranges};

const DELAY: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// Wire ids of the receiving flows that owe one.
    pending: BTreeSet<u64>,
    /// They should go out at once.
    pub(crate) now: bool,
    /// Packets with user data since the last time that none was owed.
    data_packets: u8,
}

impl Acks {
    /// Whether acknowledgements have to be sent now.
    pub(crate) fn are_obligatory(&self) -> bool {
        self.now && !self.pending.is_empty()
    }

    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }
}

impl Session {
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
        self.acks.data_packets = self.acks.data_packets.saturating_add(1);
        self.acks.now |= self.acks.data_packets >= 2;
    }

    /// Appends acknowledgements until `end` is reached (the length of `out`, not of what is appended). With
    /// `truncate` the first one may be cut short, else each has to fit whole. Answers whether there was any.
    pub(crate) fn write_acks(
        &mut self,
        flows: &mut Flows,
        out: &mut Vec<u8>,
        end: usize,
        truncate: bool,
    ) -> bool {
        let mut any = false;
        while let Some(&wire_id) = self.acks.pending.first() {
            let start = out.len();
            let report = self.marks.report_due && !any;
            if report {
                Chunk::EcnReport { count: self.marks.received }.write(out);
            }
            if !self.write_ack(flows, wire_id, out, end, truncate && !any) {
                out.truncate(start);
                break;
            }
            if report {
                self.marks.report_due = false;
            }
            any = true;
            self.acks.pending.remove(&wire_id);
        }
        if self.acks.pending.is_empty() {
            self.acks.now = false;
            self.acks.data_packets = 0;
            self.timers.stop(Timer::Acknowledge);
        }
        any
    }

    fn write_ack(
        &self,
        flows: &mut Flows,
        wire_id: u64,
        out: &mut Vec<u8>,
        end: usize,
        truncate: bool,
    ) -> bool {
        match self.receiving.by_wire.get(&wire_id) {
            // It was forgotten meanwhile: nothing is owed.
            None => true,
            Some(RecvSlot::Lingering { through }) => {
                let room = end.saturating_sub(out.len());
                write_ack_ranges(wire_id, 1, *through, core::iter::empty(), room, out).is_some()
            }
            Some(RecvSlot::Live(id)) => {
                let Some(flow) = flows.recv.get_mut(*id) else { return true };
                if let State::Rejected { code } = flow.state {
                    Chunk::FlowException { flow_id: wire_id, code }.write(out);
                }
                let seen = flow.seen();
                let blocks =
                    flow.window_blocks(self.config.receive_limit.saturating_sub(self.receiving.buffered));
                let room = end.saturating_sub(out.len());
                let ranges = seen.beyond_cumulative();
                let all = seen.beyond_cumulative().count();
                match write_ack_ranges(wire_id, blocks, seen.cumulative(), ranges, room, out) {
                    Some(written) if truncate || written == all => {
                        flow.note_advertised(blocks);
                        true
                    }
                    _ => false,
                }
            }
        }
    }
}
