//! The flows of all sessions of an endpoint, and their places in a session.

use std::collections::VecDeque;

use core::time::Duration;

use rtmfp_base::{Arena, Message, ReceiptId, Time, WriteOptions};

use super::total::{QueuedTotal, Total};
use super::{Session, Timer};
use crate::event::Event;
use crate::ids::{RecvFlowKind, SendFlowKind};
use crate::recv::{self, RecvFlow};
use crate::send::{Receipts, SendFlow, State};
use crate::wire::write_startup_options;
use crate::{Priority, RecvFlowId, SendFlowId};

/// RFC 7016 sections 3.6.2.11 and 3.6.3.
const SEND_LINGER: Duration = Duration::from_secs(130);
const RECEIVE_LINGER: Duration = Duration::from_secs(120);

impl super::Sending {
    /// The ready list of a priority.
    fn ready(&mut self, priority: usize) -> &mut VecDeque<SendFlowId> {
        if self.ready.is_empty() {
            self.ready.resize_with(Priority::COUNT, VecDeque::new);
        }
        &mut self.ready[priority]
    }
}

/// What belongs to all sessions.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    pub(crate) send: Arena<SendFlowKind, SendFlow>,
    pub(crate) recv: Arena<RecvFlowKind, RecvFlow>,
    pub(crate) receipts: Receipts,
    /// Flows in which writes were abandoned because of others; their sessions have to settle them.
    pub(crate) unsettled: Vec<SendFlowId>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) received: Total,
    pub(crate) queued: QueuedTotal,
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
        let Some(flow) = self.send.get(id) else { return };
        let tag = flow.tag;
        // What depends on an abandoned write is abandoned as well, which may end more of this flow: no recursion.
        while let Some(ended) = self.send.get_mut(id).and_then(|flow| flow.queue.next_ended()) {
            let (receipt, delivered) = (ended.receipt, ended.delivered);
            if self.receipts.end(ended) {
                self.events.push_back(Event::WriteEnded { receipt, tag, delivered });
            }
            if !delivered {
                self.abandon_children(id, receipt);
            }
        }
        let Some(flow) = self.send.get_mut(id) else { return };
        let counted = (flow.session, flow.queue.buffered());
        if flow.counted != counted {
            self.queued.recount(flow.counted, counted);
            flow.counted = counted;
        }
        if !flow.bound || flow.state != State::Open {
            return;
        }
        if flow.wants_writable && flow.queue.buffered() < flow.capacity {
            flow.wants_writable = false;
            self.events.push_back(Event::Writable { flow: id, tag });
        }
        if flow.wants_low && flow.queue.unsent() < flow.low_water {
            flow.wants_low = false;
            self.events.push_back(Event::UnsentLow { flow: id, tag });
        }
    }

    /// Queues a message in a flow; answers its receipt, if the options want one or it depends on another message.
    pub(crate) fn write(
        &mut self,
        now: Time,
        id: SendFlowId,
        message: Message,
        options: &WriteOptions,
    ) -> Option<ReceiptId> {
        let flow = self.send.get_mut(id)?;
        let number = flow.queue.next_number();
        let receipt = (options.notify || options.parent.is_some())
            .then(|| self.receipts.insert(id, number, options.notify, options.parent));
        flow.queue.write(now, message, options, receipt);
        flow.wants_writable |= flow.queue.buffered() >= flow.capacity;
        flow.wants_low |= flow.low_water > 0 && flow.queue.unsent() >= flow.low_water;
        if options.parent.is_some_and(|parent| self.receipts.is_abandoned(parent)) {
            flow.queue.abandon(number);
        }
        receipt
    }

    /// Abandons what depends on a write of a flow.
    fn abandon_children(&mut self, id: SendFlowId, parent: ReceiptId) {
        while let Some((child, number)) = self.receipts.take_child(parent) {
            if let Some(flow) = self.send.get_mut(child) {
                flow.queue.abandon(number);
            }
            if child != id && self.unsettled.last() != Some(&child) {
                self.unsettled.push(child);
            }
        }
    }

    /// The application is about to be told something after which an id is dead.
    pub(crate) fn note_told(&mut self, event: &Event) {
        match *event {
            Event::WriteEnded { receipt, .. } => self.receipts.forget(receipt),
            Event::FlowLost { flow, .. } | Event::FlowFinished { flow, .. }
                if self.recv.get(flow).is_some_and(|flow| flow.state == recv::State::Ended) =>
            {
                self.drop_ended(flow);
            }
            _ => {}
        }
    }

    /// The application does not want what is left of a flow whose session has gone.
    pub(crate) fn forget_ended(&mut self, id: RecvFlowId) {
        self.drop_ended(id);
        self.events.retain(|event| match *event {
            Event::Readable { flow, .. }
            | Event::FlowLost { flow, .. }
            | Event::FlowFinished { flow, .. } => flow != id,
            _ => true,
        });
    }

    fn drop_ended(&mut self, id: RecvFlowId) {
        if let Some(flow) = self.recv.remove(id) {
            self.received.change(flow.buffered(), 0);
        }
    }

    /// Reads from a flow whose session has gone.
    pub(crate) fn read_ended(&mut self, id: RecvFlowId) -> Option<recv::Received> {
        let flow = self.recv.get_mut(id)?;
        let before = flow.buffered();
        let message = flow.read();
        self.received.change(before, flow.buffered());
        message
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
        if self.basic {
            flow.queue.be_basic();
        }
        let association = flow.association.map(|(_, wire)| wire);
        write_startup_options(&flow.metadata, association, &mut flow.options);
        self.sending.by_wire.insert(wire_id, id);
        flows.events.push_back(Event::FlowBound { flow: id, tag: flow.tag, session: self.id });
        flows.tell_progress(id);
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
        let bit = 1 << flow.priority as u8;
        if flow.queued & bit == 0 && flow.is_ready() {
            flow.queued |= bit;
            self.sending.ready(flow.priority as usize).push_back(id);
        }
    }

    /// Gives a flow that was taken out of the list of a priority its turn back.
    pub(crate) fn enqueue_first(&mut self, flows: &mut Flows, id: SendFlowId, priority: usize) {
        let Some(flow) = flows.send.get_mut(id) else { return };
        let bit = 1 << priority;
        if flow.priority as usize == priority && flow.queued & bit == 0 {
            flow.queued |= bit;
            self.sending.ready(priority).push_front(id);
        }
    }

    /// The highest priority with a flow that may have data to send.
    pub(crate) fn ready_priority(&self) -> Option<usize> {
        self.sending.ready.iter().rposition(|list| !list.is_empty())
    }

    /// Takes the next flow that is ready out of the list of a priority.
    pub(crate) fn next_ready(&mut self, now: Time, flows: &mut Flows, priority: usize) -> Option<SendFlowId> {
        while let Some(id) = self.sending.ready.get_mut(priority).and_then(VecDeque::pop_front) {
            let Some(flow) = flows.send.get_mut(id) else { continue };
            flow.queued &= !(1 << priority);
            flow.queue.expire(now);
            // What depends on the expired ones goes before anything is sent.
            flows.tell_progress(id);
            let Some(flow) = flows.send.get_mut(id) else { continue };
            // If its priority has changed since, it is in another list as well.
            if flow.priority as usize == priority && flow.is_ready() {
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
        if let Some(at) = flow.next_reminder() {
            self.timers.set_earlier(Timer::Rejection, at);
        }
        if !flow.is_complete() || flow.state == recv::State::Offered {
            return;
        }
        let through = flow.seen().cumulative();
        let (wire_id, tag, exception) = (flow.wire_id, flow.tag, flow.exception());
        debug_assert_eq!(flow.buffered(), 0);
        let overhead = flow.overhead();
        flows.recv.remove(id);
        self.charge(&mut flows.received, overhead, 0);
        self.receiving.by_wire.insert(wire_id, RecvSlot::Lingering { through, exception });
        self.receiving.lingering.push_back((now + RECEIVE_LINGER, wire_id));
        self.timers.set_earlier(Timer::Linger, now + RECEIVE_LINGER);
        if exception.is_none() {
            flows.events.push_back(Event::FlowFinished { flow: id, tag });
        }
        self.note_flows(now);
    }

    /// Tells those again whose flows were rejected and who have not said since that they know.
    pub(crate) fn repeat_rejections(&mut self, now: Time, flows: &mut Flows) {
        for (&wire_id, slot) in &self.receiving.by_wire {
            let RecvSlot::Live(id) = slot else { continue };
            let Some(flow) = flows.recv.get_mut(*id) else { continue };
            if flow.take_reminder(now) {
                self.acks.owe(wire_id);
            }
            if let Some(at) = flow.next_reminder() {
                self.timers.set_earlier(Timer::Rejection, at);
            }
        }
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
        if !due.is_empty() {
            self.life.probe_outstanding = true;
            self.life.waiting_since.get_or_insert(now);
            self.counts.buffer_probes += due.len() as u64;
        }
        // The next probe may be a minute away.
        if let Some(since) = self.life.waiting_since.filter(|_| self.life.probe_outstanding) {
            self.timers.set_earlier(Timer::Probe, since + self.config.retransmit_limit);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use rtmfp_base::{Id, InterfaceId, Tag};

    use super::*;
    use crate::session::{Path, Role};

    #[test]
    fn a_priority_that_changes_all_the_time_does_not_lengthen_the_ready_lists() {
        let to = ([192, 0, 2, 1], 1935).into();
        let path = Path::new(InterfaceId(0), to, None);
        let config = crate::Config::default();
        let shared = Arc::new(config.session.clone());
        let mut session =
            Session::new(Id::from_parts(0, 0), 1, Role::Initiator, path, &config, &shared, Time::ZERO);
        let mut flows = Flows::default();
        let flow = SendFlow::new(Bytes::new(), Bytes::new(), Tag(0), Priority::Bulk, 65_536);
        let id = flows.send.insert(flow);
        assert!(session.bind(&mut flows, id, 10));
        flows.write(Time::ZERO, id, Message::from(vec![1; 10]), &WriteOptions::default());
        for round in 0..1000 {
            let priority = [Priority::Bulk, Priority::Data, Priority::Flash][round % 3];
            flows.send.get_mut(id).expect("the flow").priority = priority;
            session.settle_send(Time::ZERO, &mut flows, id);
        }
        assert!(session.sending.ready.iter().map(VecDeque::len).sum::<usize>() <= 3);
        let mut found = Vec::new();
        for priority in (0..Priority::COUNT).rev() {
            found.extend(session.next_ready(Time::ZERO, &mut flows, priority).map(|_| priority));
        }
        assert_eq!(found, [Priority::Bulk as usize], "only where it belongs");
    }
}
