//! Flow synchronisation (RFC 7425 section 5.2): flows wait for each other at messages with a common number.

use core::time::Duration;
use std::collections::VecDeque;

use rtmfp::RecvFlowId;
use rtmfp_base::Time;

#[derive(Debug)]
struct Barrier {
    id: u32,
    arrived: u32,
    waiting: Vec<RecvFlowId>,
    until: Time,
}

/// The synchronisations of a connection that are under way.
#[derive(Debug, Default)]
pub(crate) struct Barriers(VecDeque<Barrier>);

/// What becomes of a flow that has come to a barrier.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Arrival {
    /// It waits.
    Waits,
    /// All are there: it goes on, and so do these.
    Opens(Vec<RecvFlowId>),
}

impl Barriers {
    /// A flow has come to barrier `id`, which `count` flows are to come to. No more than `limit` barriers are kept:
    /// beyond it the flows of the oldest are answered as well, to go on.
    pub(crate) fn arrive(
        &mut self,
        now: Time,
        flow: RecvFlowId,
        id: u32,
        count: u32,
        limit: usize,
        patience: Duration,
    ) -> (Arrival, Vec<RecvFlowId>) {
        let known = self.0.iter().position(|barrier| barrier.id == id);
        let arrived = known.map_or(0, |index| self.0[index].arrived) + 1;
        if arrived >= count {
            let waiting = known.and_then(|index| self.0.remove(index)).map(|barrier| barrier.waiting);
            return (Arrival::Opens(waiting.unwrap_or_default()), Vec::new());
        }
        let mut ended = Vec::new();
        match known {
            Some(index) => {
                self.0[index].arrived = arrived;
                self.0[index].waiting.push(flow);
            }
            None => {
                if self.0.len() >= limit.max(1) {
                    ended = self.0.pop_front().map(|barrier| barrier.waiting).unwrap_or_default();
                }
                self.0.push_back(Barrier { id, arrived, waiting: vec![flow], until: now + patience });
            }
        }
        (Arrival::Waits, ended)
    }

    /// When the oldest barrier ends.
    pub(crate) fn next_end(&self) -> Option<Time> {
        self.0.front().map(|barrier| barrier.until)
    }

    /// Ends what has lasted too long; answers the flows that go on.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<RecvFlowId> {
        let mut free = Vec::new();
        while self.next_end().is_some_and(|end| end <= now) {
            free.extend(self.0.pop_front().into_iter().flat_map(|barrier| barrier.waiting));
        }
        free
    }

    /// Ends all; answers the flows that go on.
    pub(crate) fn clear(&mut self) -> Vec<RecvFlowId> {
        self.0.drain(..).flat_map(|barrier| barrier.waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use rtmfp_base::Id;

    use super::*;

    fn flow(number: u32) -> RecvFlowId {
        Id::from_parts(number, 0)
    }

    fn arrive(
        barriers: &mut Barriers,
        at: u64,
        number: u32,
        id: u32,
        count: u32,
    ) -> (Arrival, Vec<RecvFlowId>) {
        barriers.arrive(Time::from_secs(at), flow(number), id, count, 2, Duration::from_secs(2))
    }

    #[test]
    fn flows_wait_until_as_many_as_announced_have_come() {
        let mut barriers = Barriers::default();
        assert_eq!(arrive(&mut barriers, 0, 1, 7, 3), (Arrival::Waits, vec![]));
        assert_eq!(arrive(&mut barriers, 0, 2, 7, 3), (Arrival::Waits, vec![]));
        assert_eq!(arrive(&mut barriers, 0, 3, 7, 3), (Arrival::Opens(vec![flow(1), flow(2)]), vec![]));
        assert_eq!(barriers.next_end(), None);
        for count in [0, 1] {
            assert_eq!(arrive(&mut barriers, 0, 1, 8, count), (Arrival::Opens(vec![]), vec![]));
        }
    }

    #[test]
    fn nothing_waits_longer_than_allowed_and_barriers_are_bounded() {
        let mut barriers = Barriers::default();
        arrive(&mut barriers, 0, 1, 1, 2);
        arrive(&mut barriers, 1, 2, 2, 2);
        assert_eq!(barriers.next_end(), Some(Time::from_secs(2)));
        assert_eq!(arrive(&mut barriers, 1, 3, 3, 2), (Arrival::Waits, vec![flow(1)]));
        assert_eq!(barriers.expire(Time::from_secs(2)), []);
        assert_eq!(barriers.expire(Time::from_secs(3)), [flow(2), flow(3)]);
        assert_eq!(barriers.next_end(), None);
    }
}
