//! The flows of all sessions of an endpoint, and their places in a session.

use std::collections::VecDeque;

use core::time::Duration;

use rtmfp_base::{Arena, ReceiptId, Time};

use super::{Session, Timer};
use crate::event::Event;
use crate::ids::{RecvFlowKind, SendFlowKind};
use crate::recv::RecvFlow;
use crate::send::{SendFlow, State};
use crate::wire::write_startup_options;
use crate::{Priority, RecvFlowId, SendFlowId};

/// RFC 7016 sections 3.6.2.11 and 3.6.3.
const SEND_LINGER: Duration = Duration::from_secs(130);
const RECEIVE_LINGER: Duration = Duration::from_secs(120);

/// What belongs to all sessions.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) send: Arena<SendFlowKind, SendFlow>,
    pub(crate) recv: Arena<RecvFlowKind, RecvFlow>,
    /// The flow and the number of the message.
    pub(crate) receipts: Arena<rtmfp_base::ReceiptKind, (SendFlowId, u64)>,
    pub(crate) events: VecDeque<Event>,
}

/// A receiving flow as its session knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RecvSlot {
    Live(RecvFlowId),
    /// All was received up to this number; repetitions are acknowledged.
    Lingering {
        through: u64,
        /// The flow was rejected with this code. It may have been complete before the far end could be told.
        exception: Option<u64>,
    },
}

impl Flows {
    /// Tells what has ended in a flow's queue and whether it has room again.
    pub(crate) fn tell_progress(&mut self, id: SendFlowId) {
        let Some(flow) = self.send.get_mut(id) else { return };
        let tag = flow.tag;
        for ended in flow.queue.take_ended() {
            self.receipts.remove(ended.receipt);
            self.events.push_back(Event::WriteEnded {
                receipt: ended.receipt,
                tag,
                delivered: ended.delivered,
            });
        }
        if flow.wants_writable
            && flow.bound
            && flow.state == State::Open
            && flow.queue.buffered() < flow.capacity
        {
            flow.wants_writable = false;
            self.events.push_back(Event::Writable { flow: id, tag });
        }
    }

    /// Takes a sending flow out, whatever it still holds; tells the ends of its writes.
    pub(crate) fn drop_send(&mut self, id: SendFlowId) -> Option<SendFlow> {
        if let Some(flow) = self.send.get_mut(id) {
            flow.queue.abandon_all();
            flow.wants_writable = false;
        }
        self.tell_progress(id);
        self.send.remove(id)
    }

    /// Ends a flow whose session could not be opened or was lost.
    pub(crate) fn fail_send(&mut self, id: SendFlowId) {
        if let Some(flow) = self.drop_send(id)
            && !flow.exception
        {
            self.events.push_back(Event::FlowException { flow: id, tag: flow.tag, code: 0 });
        }
    }

    /// A new receipt.
    pub(crate) fn receipt(&mut self, flow: SendFlowId) -> ReceiptId {
        self.receipts.insert((flow, 0))
    }
}

impl Session {
    /// Binds a sending flow to this open session; answers whether there was a free number.
    pub(crate) fn bind(&mut self, flows: &mut Flows, id: SendFlowId, limit: usize) -> bool {
        if self.sending.by_wire.len() + self.sending.lingering.len() >= limit {
            return false;
        }
        let Some(flow) = flows.send.get_mut(id) else { return false };
        let wire_id = self.sending.free.pop_front().unwrap_or_else(|| {
            self.sending.next_wire += 1;
            self.sending.next_wire - 1
        });
        flow.session = Some(self.id);
        flow.bound = true;
        flow.wire_id = wire_id;
        flow.epd = bytes::Bytes::new();
        let association = flow.association.map(|(_, wire)| wire);
        write_startup_options(&flow.metadata, association, &mut flow.options);
        self.sending.by_wire.insert(wire_id, id);
        flows.events.push_back(Event::FlowBound { flow: id, tag: flow.tag, session: self.id });
        if flow.wants_writable {
            flows.tell_progress(id);
        }
        self.enqueue(flows, id);
        true
    }

    /// Gives back the number of a flow that never sent anything.
    pub(crate) fn release_wire_id(&mut self, wire_id: u64) {
        if self.sending.by_wire.remove(&wire_id).is_some() {
            self.sending.free.push_back(wire_id);
        }
    }

    /// Puts a flow into the ready list of its priority, if it has something to send.
    pub(crate) fn enqueue(&mut self, flows: &mut Flows, id: SendFlowId) {
        let Some(flow) = flows.send.get_mut(id) else { return };
        // A message may still be sent at its deadline, not after it.
        self.timers.set_earlier(Timer::Expiry, flow.queue.next_expiry() + Duration::from_micros(1));
        if flow.queued_at != Some(flow.priority) && flow.is_ready() {
            flow.queued_at = Some(flow.priority);
            self.sending.ready[flow.priority as usize].push_back(id);
        }
    }

    /// Gives a flow that was taken out of the list of a priority its turn back.
    pub(crate) fn enqueue_first(&mut self, flows: &mut Flows, id: SendFlowId, priority: usize) {
        let Some(flow) = flows.send.get_mut(id) else { return };
        if flow.priority as usize == priority {
            flow.queued_at = Some(flow.priority);
            self.sending.ready[priority].push_front(id);
        }
    }

    /// The highest priority with a flow that may have data to send.
    pub(crate) fn ready_priority(&self) -> Option<usize> {
        (0..Priority::COUNT).rev().find(|&priority| !self.sending.ready[priority].is_empty())
    }

    /// Takes the next flow that is ready out of the list of a priority.
    pub(crate) fn next_ready(&mut self, flows: &mut Flows, priority: usize) -> Option<SendFlowId> {
        while let Some(id) = self.sending.ready[priority].pop_front() {
            let Some(flow) = flows.send.get_mut(id) else { continue };
            if flow.queued_at.map(|queued| queued as usize) != Some(priority) {
                continue; // It was put into another list since.
            }
            flow.queued_at = None;
            if flow.is_ready() {
                return Some(id);
            }
        }
        None
    }

    /// What has to be told or done after a sending flow's queue has changed.
    pub(crate) fn settle_send(&mut self, now: Time, flows: &mut Flows, id: SendFlowId) {
        flows.tell_progress(id);
        self.enqueue(flows, id);
        let Some(flow) = flows.send.get_mut(id) else { return };
        if flow.is_suspended() {
            if flow.probe.is_none() {
                let period = self.path.erto.max(Duration::from_secs(1));
                flow.probe = Some(crate::send::Probe { at: now + period, period });
                self.timers.set_earlier(Timer::Probe, now + period);
            }
        } else {
            flow.probe = None;
        }
        if flow.is_complete() {
            let (wire_id, tag, told) = (flow.wire_id, flow.tag, flow.exception);
            flows.send.remove(id);
            if !told {
                flows.events.push_back(Event::FlowClosed { flow: id, tag });
            }
            self.sending.by_wire.remove(&wire_id);
            self.sending.lingering.push_back((now + SEND_LINGER, wire_id));
            self.timers.set_earlier(Timer::Linger, now + SEND_LINGER);
            self.note_flows(now);
        }
    }

    /// What has to be told or done after a receiving flow has changed: it is readable, or it is complete.
    pub(crate) fn settle_recv(&mut self, now: Time, flows: &mut Flows, id: RecvFlowId) {
        let Some(flow) = flows.recv.get_mut(id) else { return };
        if flow.has_ready() && !flow.readable_told {
            flow.readable_told = true;
            flows.events.push_back(Event::Readable { flow: id, tag: flow.tag });
        }
        if !flow.is_complete() || flow.state == crate::recv::State::Offered {
            return;
        }
        let through = flow.seen().cumulative();
        let (wire_id, tag, exception) = (flow.wire_id, flow.tag, flow.exception());
        debug_assert_eq!(flow.buffered(), 0);
        self.receiving.overhead -= flow.overhead();
        flows.recv.remove(id);
        self.receiving.by_wire.insert(wire_id, RecvSlot::Lingering { through, exception });
        self.receiving.lingering.push_back((now + RECEIVE_LINGER, wire_id));
        self.timers.set_earlier(Timer::Linger, now + RECEIVE_LINGER);
        if exception.is_none() {
            flows.events.push_back(Event::FlowFinished { flow: id, tag });
        }
        self.note_flows(now);
    }

    /// Makes readable what has become so without anything having been received.
    pub(crate) fn deliver(&mut self, now: Time, flows: &mut Flows, id: RecvFlowId) {
        let Some(flow) = flows.recv.get_mut(id) else { return };
        let before = flow.buffered();
        flow.deliver();
        let after = flow.buffered();
        self.account(now, flows, id, before, after);
    }

    /// Starts the idle clock when the last flow has gone.
    pub(crate) fn note_flows(&mut self, now: Time) {
        if self.is_flowless() {
            self.life.flowless_since = now;
            self.timers.set(Timer::Idle, now + self.config.idle_limit);
        }
    }

    /// Whether no flow is in use; those that only linger do not count.
    pub(crate) fn is_flowless(&self) -> bool {
        self.sending.by_wire.is_empty()
            && !self.receiving.by_wire.values().any(|slot| matches!(slot, RecvSlot::Live(_)))
    }

    /// Frees the numbers of flows that have lingered long enough.
    pub(crate) fn end_lingering(&mut self, now: Time) {
        while let Some(&(at, wire_id)) = self.sending.lingering.front() {
            if at > now {
                self.timers.set_earlier(Timer::Linger, at);
                break;
            }
            self.sending.lingering.pop_front();
            self.sending.free.push_back(wire_id);
        }
        while let Some(&(at, wire_id)) = self.receiving.lingering.front() {
            if at > now {
                self.timers.set_earlier(Timer::Linger, at);
                break;
            }
            self.receiving.lingering.pop_front();
            self.receiving.by_wire.remove(&wire_id);
        }
    }

    /// Expires messages of all flows and finds the next time to do so.
    pub(crate) fn expire_messages(&mut self, now: Time, flows: &mut Flows) {
        let mut ids = core::mem::take(&mut self.sending.scratch);
        ids.extend(self.sending.by_wire.values());
        ids.extend(self.opening.iter().flat_map(|opening| &opening.flows));
        for id in ids.drain(..) {
            if let Some(flow) = flows.send.get_mut(id) {
                flow.queue.expire(now);
            }
            self.settle_send(now, flows, id);
        }
        self.sending.scratch = ids;
    }

    /// Sends the buffer probes that are due and finds the next time to do so; answers their flows' wire ids.
    pub(crate) fn due_probes(&mut self, now: Time, flows: &mut Flows) -> Vec<u64> {
        let mut due = Vec::new();
        for (&wire_id, &id) in &self.sending.by_wire {
            let Some(flow) = flows.send.get_mut(id) else { continue };
            let Some(probe) = &mut flow.probe else { continue };
            if probe.at <= now {
                due.push(wire_id);
                let longest = Duration::from_secs(60).max(self.path.erto);
                probe.period = probe.period.mul_f64(core::f64::consts::SQRT_2).clamp(self.path.erto, longest);
                probe.at = now + probe.period;
            }
            self.timers.set_earlier(Timer::Probe, probe.at);
        }
        due
    }
}
