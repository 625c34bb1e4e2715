//! What can be known of a flow at any time, at no cost: sizes, ages, counters, and the mark below which it wants more.

use core::time::Duration;

use rtmfp_base::Time;

use super::{RecvFlowRef, SendFlowRef};
use crate::{RecvFlowCounters, SendFlowCounters};

impl SendFlowRef<'_> {
    /// Sets the low-water mark: [`Event::UnsentLow`](crate::Event::UnsentLow) tells when fewer bytes than that are
    /// unsent after there were as many, so that an application can write late and choose what is worth sending then. 0,
    /// as at first: never.
    pub fn set_low_water(&mut self, now: Time, bytes: usize) {
        let Some(flow) = self.flow() else { return };
        flow.low_water = bytes;
        flow.wants_low = bytes > 0 && flow.queue.unsent() >= bytes;
        self.endpoint.settle_send(now, self.id);
    }

    /// How old the oldest message is that was neither delivered nor abandoned.
    pub fn buffered_age(&mut self, now: Time) -> Option<Duration> {
        Some(now.since(self.flow()?.queue.oldest()?))
    }

    /// How old the oldest message is that has not begun to be sent.
    pub fn unstarted_age(&mut self, now: Time) -> Option<Duration> {
        Some(now.since(self.flow()?.queue.oldest_unbegun()?))
    }

    /// Bytes of its chunks in the network.
    pub fn outstanding(&mut self) -> usize {
        self.flow().map_or(0, |flow| flow.queue.outstanding())
    }

    /// Bytes that the far end has advertised room for, what is in the network included.
    pub fn peer_window(&mut self) -> u64 {
        self.flow().map_or(0, |flow| flow.window)
    }

    /// Its counters.
    pub fn counters(&mut self) -> SendFlowCounters {
        self.flow().map(|flow| flow.queue.counters().clone()).unwrap_or_default()
    }
}

impl RecvFlowRef<'_> {
    /// Bytes held of what was received and not read, overhead included.
    pub fn buffered(&mut self) -> usize {
        self.flow().map_or(0, |flow| flow.buffered())
    }

    /// The number up to which all was received or given up by the sender.
    pub fn cumulative(&mut self) -> u64 {
        self.flow().map_or(0, |flow| flow.seen().cumulative())
    }

    /// Its counters.
    pub fn counters(&mut self) -> RecvFlowCounters {
        self.flow().map(|flow| flow.counters().clone()).unwrap_or_default()
    }
}
