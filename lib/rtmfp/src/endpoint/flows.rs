//! Flows of an endpoint: opened here, or offered by others.

use bytes::Bytes;
use rtmfp_base::{Tag, Time};

use super::Endpoint;
use crate::config::MAX_METADATA;
use crate::event::Event;
use crate::recv::State as RecvState;
use crate::send::SendFlow;
use crate::{Priority, RecvFlowId, SendFlowId, SessionId};

/// How a new sending flow is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FlowSpec {
    /// What the far end is told about it, at most [`MAX_METADATA`] bytes.
    pub metadata: Bytes,
    /// Its priority.
    pub priority: Priority,
}

/// Why a flow was not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenFlowError {
    /// The endpoint is shutting down.
    #[error("the endpoint is shutting down")]
    ShuttingDown,
    /// The metadata is too long.
    #[error("a flow's metadata has at most {MAX_METADATA} bytes")]
    LongMetadata,
    /// There are as many sessions, or flows in the session, as allowed.
    #[error("as many sessions or flows as allowed are open")]
    Limit,
    /// The session is not open, or the flow to answer is not.
    #[error("the session or the flow to answer is not open")]
    NotOpen,
}

impl Endpoint {
    /// Opens a sending flow to whoever an Endpoint Discriminator selects: in an open session with it, else in a new
    /// one. Messages can be written at once. For a new session, say where to look for the far end with
    /// [`SendFlowRef::add_candidate`](crate::SendFlowRef::add_candidate).
    ///
    /// # Errors
    /// [`OpenFlowError`].
    pub fn open_flow(
        &mut self,
        now: Time,
        epd: &[u8],
        spec: FlowSpec,
        tag: Tag,
    ) -> Result<SendFlowId, OpenFlowError> {
        self.open_to(now, epd, spec, tag, false)
    }

    /// The same, but never in a session with, or one that is being opened to, another end that the discriminator selects
    /// as well: for one of several ends that share a name, to be found at the candidates of this flow. Should it turn out
    /// that there is a session with the very end that answers, the flow goes there.
    ///
    /// # Errors
    /// [`OpenFlowError`].
    pub fn open_flow_apart(
        &mut self,
        now: Time,
        epd: &[u8],
        spec: FlowSpec,
        tag: Tag,
    ) -> Result<SendFlowId, OpenFlowError> {
        self.open_to(now, epd, spec, tag, true)
    }

    fn open_to(
        &mut self,
        now: Time,
        epd: &[u8],
        spec: FlowSpec,
        tag: Tag,
        apart: bool,
    ) -> Result<SendFlowId, OpenFlowError> {
        self.check_flow(&spec)?;
        let existing = if apart { None } else { self.session_to(epd) };
        let capacity = self.config.send_capacity;
        let flow = SendFlow::new(Bytes::copy_from_slice(epd), spec.metadata, tag, spec.priority, capacity);
        let session = match existing {
            Some(session) => session,
            None => self.begin_opening(now, Bytes::copy_from_slice(epd), apart)?,
        };
        self.attach_new(now, session, flow)
    }

    pub(super) fn check_flow(&self, spec: &FlowSpec) -> Result<(), OpenFlowError> {
        if self.shutdown.is_some() {
            return Err(OpenFlowError::ShuttingDown);
        }
        if spec.metadata.len() > MAX_METADATA {
            return Err(OpenFlowError::LongMetadata);
        }
        Ok(())
    }

    /// Puts a flow into a session that is open or will be. Answers whether there was room.
    pub(super) fn attach(&mut self, now: Time, session: SessionId, id: SendFlowId) -> bool {
        let limit = self.config.limits.send_flows;
        let Some(open) = self.sessions.get_mut(session) else { return false };
        if open.is_open() {
            if !open.bind(&mut self.flows, id, limit) {
                return false;
            }
        } else {
            let opening = open.opening.as_mut().filter(|opening| opening.flows.len() < limit);
            let Some(opening) = opening else { return false };
            opening.flows.push(id);
        }
        if let Some(flow) = self.flows.send.get_mut(id) {
            flow.session = Some(session);
        }
        self.touch(now, session);
        true
    }

    /// Puts a new flow into a session, or forgets it.
    pub(super) fn attach_new(
        &mut self,
        now: Time,
        session: SessionId,
        flow: SendFlow,
    ) -> Result<SendFlowId, OpenFlowError> {
        let id = self.flows.send.insert(flow);
        if self.attach(now, session, id) {
            return Ok(id);
        }
        self.flows.send.remove(id);
        Err(OpenFlowError::Limit)
    }

    /// Takes an offered flow. Its messages come with `tag`. When it has gone meanwhile, [`Event::FlowLost`] tells.
    pub fn accept(&mut self, now: Time, flow: RecvFlowId, tag: Tag) {
        let offer = self.flows.recv.get_mut(flow).filter(|offer| !offer.is_rejected());
        let Some(offer) = offer else {
            return self.flows.events.push_back(Event::FlowLost { flow, tag });
        };
        if offer.state != RecvState::Offered {
            return;
        }
        offer.state = RecvState::Open;
        offer.tag = tag;
        let session = offer.session;
        if let Some(open) = self.sessions.get_mut(session) {
            open.deliver(now, &mut self.flows, flow);
            open.settle_recv(now, &mut self.flows, flow);
        }
        self.touch(now, session);
    }

    /// Refuses an offered flow, or an accepted one at any time. The far end gets the code.
    pub fn reject(&mut self, now: Time, flow: RecvFlowId, code: u64) {
        let Some(refused) = self.flows.recv.get_mut(flow) else { return };
        if refused.state == RecvState::Ended {
            return self.flows.forget_ended(flow);
        }
        let session = refused.session;
        let Some(open) = self.sessions.get_mut(session) else { return };
        let (wire_id, freed) = (refused.wire_id, refused.buffered());
        refused.reject(now, code);
        open.account(now, &mut self.flows, flow, freed, 0);
        open.owe_ack(now, wire_id, true);
        open.settle_recv(now, &mut self.flows, flow);
        self.touch(now, session);
    }
}
