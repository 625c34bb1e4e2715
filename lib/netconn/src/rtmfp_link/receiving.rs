//! What a link receives.

use rtmfp::RecvFlowId;
use rtmfp_media::TcMessage;

use super::{FarControl, HEAD, RtmfpLink, Use};
use crate::FlowMetadata;
use crate::common::Received;
use crate::flow_sync::Arrival;
use crate::link::{Cx, LinkError, Progress, Role};
use crate::meaning::Meaning;
use crate::policy::Lane;

/// A receiving flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    stream_id: u32,
    /// It waits for other flows.
    held: bool,
}

impl Incoming {
    pub(super) const fn new(stream_id: u32) -> Self {
        Self { stream_id, held: false }
    }
}

impl RtmfpLink {
    /// A flow in return of one of this link's.
    pub(super) fn on_offer(&mut self, cx: &mut Cx<'_>, flow: RecvFlowId, metadata: &[u8]) {
        let Some(FlowMetadata { stream_id, .. }) = FlowMetadata::parse(metadata) else {
            return self.reject(cx, flow);
        };
        match (self.far_control, stream_id) {
            (FarControl::Awaited, 0) => self.far_control = FarControl::Open(flow),
            (FarControl::Awaited, _) => {
                self.reject(cx, flow);
                return self.fail(cx, LinkError::NoControlFlow);
            }
            (FarControl::Open(_), 1..) => {}
            _ => return self.reject(cx, flow),
        }
        let low = if stream_id == 0 { Use::Control } else { Use::Stream(stream_id, Lane::Data) };
        let tag = self.common.id.tag(low.low());
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        self.receiving.insert(flow, Incoming::new(stream_id));
        endpoint.accept(cx.now, flow, tag);
        if self.common.progress == Progress::Accepted
            && let Some(mut flow) = endpoint.recv_flow(flow)
        {
            let limits = self.common.config.trusted;
            flow.set_capacity(cx.now, limits.session_bytes, limits.message_bytes + HEAD);
        }
    }

    pub(super) fn reject(&self, cx: &mut Cx<'_>, flow: RecvFlowId) {
        if let Some(endpoint) = cx.endpoints.get(self.endpoint) {
            endpoint.reject(cx.now, flow, 0);
        }
    }

    pub(super) fn reject_all(&mut self, cx: &mut Cx<'_>) {
        for flow in core::mem::take(&mut self.receiving).into_keys() {
            self.reject(cx, flow);
        }
    }

    /// Takes the messages of a flow, up to one that makes it wait for others.
    pub(super) fn read(&mut self, cx: &mut Cx<'_>, flow: RecvFlowId) {
        while let Some(&Incoming { stream_id, held: false }) = self.receiving.get(&flow)
            && let Some(endpoint) = cx.endpoints.get(self.endpoint)
            && let Some(received) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(cx.now))
        {
            let Some(message) = TcMessage::from_tc(stream_id, received.bytes) else {
                self.common.stats.ignored_messages += 1;
                continue;
            };
            self.take(cx, flow, message);
        }
    }

    fn take(&mut self, cx: &mut Cx<'_>, flow: RecvFlowId, message: TcMessage) {
        let meaning = Meaning::of(&message);
        if self.common.role == Role::Server
            && let Meaning::Ends { stream: Some(stream), deletes: true } = meaning
        {
            self.close_stream(cx, stream);
        }
        match self.common.receive(message, meaning) {
            Received::Done => {}
            Received::Accepted => self.on_accepted(cx),
            Received::Answer(answer) => self.put(cx, answer, Meaning::Command),
            Received::Own(Meaning::FlowSync { id, count }) => self.synchronise(cx, flow, id, count),
            Received::Own(Meaning::SetKeepalive { server }) if self.common.role == Role::Client => {
                self.set_keepalive(cx, server);
            }
            Received::Own(_) => {}
        }
    }

    fn synchronise(&mut self, cx: &mut Cx<'_>, flow: RecvFlowId, id: u32, count: u32) {
        let config = &self.common.config;
        let (limit, patience) = (config.max_barriers, config.barrier_limit);
        let (arrival, ended) = self.barriers.arrive(cx.now, flow, id, count, limit, patience);
        match arrival {
            Arrival::Waits => {
                if let Some(incoming) = self.receiving.get_mut(&flow) {
                    incoming.held = true;
                }
                if let Some(mut flow) = cx.endpoints.get(self.endpoint).and_then(|e| e.recv_flow(flow)) {
                    flow.set_hold(cx.now, true);
                }
            }
            Arrival::Opens(waiting) => self.resume(cx, waiting),
        }
        self.resume(cx, ended);
    }

    /// Lets flows go on that waited for others.
    pub(super) fn resume(&mut self, cx: &mut Cx<'_>, flows: Vec<RecvFlowId>) {
        for &flow in &flows {
            if let Some(incoming) = self.receiving.get_mut(&flow) {
                incoming.held = false;
            }
            if let Some(mut flow) = cx.endpoints.get(self.endpoint).and_then(|e| e.recv_flow(flow)) {
                flow.set_hold(cx.now, false);
            }
        }
        for flow in flows {
            self.read(cx, flow);
        }
    }

    /// The server wishes for another keep-alive period (RFC 7425 section 5.3.4).
    fn set_keepalive(&self, cx: &mut Cx<'_>, millis: u32) {
        let Some(endpoint) = cx.endpoints.get(self.endpoint) else { return };
        if let Some(mut session) = self.session.and_then(|session| endpoint.session(session)) {
            let period = core::time::Duration::from_millis(millis.max(SHORTEST_KEEPALIVE).into());
            session.configure(cx.now, |session| session.keepalive = period);
        }
    }

    /// A flow has ended and all its messages were read.
    pub(super) fn on_finished(&mut self, cx: &mut Cx<'_>, flow: RecvFlowId) {
        self.receiving.remove(&flow);
        if self.far_control == FarControl::Open(flow) {
            self.far_control = FarControl::Gone;
            self.begin_tail(cx);
        }
    }

    /// The far end's control flow has ended, or will: what else it has sent has some time to come.
    pub(super) fn begin_tail(&mut self, cx: &mut Cx<'_>) {
        let free = self.barriers.clear();
        self.resume(cx, free);
        self.tail_until.get_or_insert(cx.now + self.common.config.tail_limit);
    }

    /// A flow has ended before its end.
    pub(super) fn on_lost(&mut self, cx: &mut Cx<'_>, flow: RecvFlowId) {
        self.receiving.remove(&flow);
        if self.has_session(cx) {
            self.fail(cx, LinkError::BrokenLimit);
        } else {
            self.broken = true;
        }
    }
}

/// In milliseconds.
const SHORTEST_KEEPALIVE: u32 = 5000;
