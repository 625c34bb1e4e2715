//! The end of a session (RFC 7016 section 3.5.5).

use core::time::Duration;

use rtmfp_base::Time;

use super::{Flows, RecvSlot, Session, State, Timer};
use crate::event::Event;
use crate::recv;

/// Close is sent again after this, at most for that long.
pub(crate) const CLOSE_PERIOD: Duration = Duration::from_secs(5);
pub(crate) const CLOSE_LIMIT: Duration = Duration::from_secs(90);
/// How long a session closed by the far end answers its Closes.
pub(crate) const FAR_CLOSE_LINGER: Duration = Duration::from_secs(19);

impl Session {
    /// Ends all flows; the application hears of each.
    pub(crate) fn end_flows(&mut self, flows: &mut Flows) {
        let sending = self.sending.used().map(|sending| core::mem::take(&mut sending.by_wire));
        for id in sending.unwrap_or_default().into_values() {
            flows.fail_send(id);
        }
        let receiving = self.receiving.used().map(|receiving| core::mem::take(&mut receiving.by_wire));
        for slot in receiving.unwrap_or_default().into_values() {
            if let RecvSlot::Live(id) = slot
                && let Some(flow) = flows.recv.remove(id)
                && flow.state == recv::State::Open
            {
                flows.events.push_back(Event::FlowLost { flow: id, tag: flow.tag });
            }
        }
        self.release_room(&mut flows.received);
        if let Some(receiving) = self.receiving.used() {
            receiving.reopened.clear();
        }
        self.flight = super::Lazy::new();
    }

    /// Before the flows end although the application did not want it: what was received whole and in order can still
    /// be read until the flow's end is told, and what is held is released. Bounded by what the session may hold.
    pub(crate) fn leave_unread(&mut self, flows: &mut Flows) {
        let live = self.receiving.by_wire.iter().filter_map(|(&wire_id, slot)| match slot {
            RecvSlot::Live(id) => Some((wire_id, *id)),
            RecvSlot::Lingering { .. } => None,
        });
        for (wire_id, id) in live.collect::<Vec<_>>() {
            let Some(flow) = flows.recv.get_mut(id).filter(|flow| flow.state == recv::State::Open) else {
                continue;
            };
            let (tag, finished) = (flow.tag, flow.end());
            // The session's own account ends with it.
            flows.received.change(0, flow.buffered());
            if flow.has_ready() {
                flows.events.push_back(Event::Readable { flow: id, tag });
            }
            let lost = Event::FlowLost { flow: id, tag };
            flows.events.push_back(if finished { Event::FlowFinished { flow: id, tag } } else { lost });
            self.receiving.by_wire.remove(&wire_id);
        }
    }

    /// The near end closes: Close is repeated until it is acknowledged.
    pub(crate) fn begin_near_close(&mut self, now: Time, flows: &mut Flows) {
        self.end_flows(flows);
        self.state = State::NearClose;
        self.life.closing_since = now;
        self.timers.stop_all();
        self.timers.set(Timer::Close, now);
    }

    /// The far end closed: its repeated Closes are answered for a while.
    pub(crate) fn begin_far_close(&mut self, now: Time, flows: &mut Flows) {
        self.end_flows(flows);
        self.state = State::FarCloseLinger;
        self.timers.stop_all();
        self.timers.set(Timer::Close, now + FAR_CLOSE_LINGER);
    }
}
