//! One sending flow.

use core::time::Duration;

use bytes::Bytes;
use rtmfp_base::{Tag, Time};

use super::queue::Queue;
use crate::{Priority, RecvFlowId, SessionId};

/// Where a sending flow is in its life. A completed one is kept by its session as a reserved number only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Open,
    Closing,
    /// Closing because the far end has rejected it, not because the application wants nothing more of it.
    Rejected,
}

/// The timer of a flow whose far end has closed its window (RFC 7016 section 3.6.2.9.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Probe {
    pub(crate) at: Time,
    pub(crate) period: Duration,
}

#[derive(Debug)]
pub(crate) struct SendFlow {
    /// The session that carries the flow, or that is being opened for it.
    pub(crate) session: Option<SessionId>,
    /// The session is open.
    pub(crate) bound: bool,
    /// The Endpoint Discriminator it was opened to, until it is bound.
    pub(crate) epd: Bytes,
    pub(crate) wire_id: u64,
    pub(crate) tag: Tag,
    pub(crate) priority: Priority,
    pub(crate) state: State,
    pub(crate) metadata: Bytes,
    /// The receiving flow that this one is in return of, and its number on the wire.
    pub(crate) association: Option<(RecvFlowId, u64)>,
    /// Startup options as they go into chunks, until the first acknowledgement.
    pub(crate) options: Vec<u8>,
    pub(crate) queue: Queue,
    /// The far end's last advertisement in bytes.
    pub(crate) window: u64,
    /// The timestamp of the packet that it came in, and when that was.
    pub(crate) window_told: Option<(u16, Time)>,
    /// The far end has rejected the flow.
    pub(crate) exception: bool,
    pub(crate) probe: Option<Probe>,
    /// In the session's ready lists of these priorities, one bit each; only that of its own priority counts.
    pub(crate) queued: u8,
    pub(crate) capacity: usize,
    /// Tell `Event::Writable` when the buffer has room again.
    pub(crate) wants_writable: bool,
    /// Tell `Event::UnsentLow` when fewer bytes are unsent; 0: never.
    pub(crate) low_water: usize,
    /// As many were unsent since it was told.
    pub(crate) wants_low: bool,
    /// The session and the bytes that it was last counted with.
    pub(crate) counted: (Option<SessionId>, usize),
}

impl SendFlow {
    pub(crate) fn new(epd: Bytes, metadata: Bytes, tag: Tag, priority: Priority, capacity: usize) -> Self {
        Self {
            session: None,
            bound: false,
            epd,
            wire_id: 0,
            tag,
            priority,
            state: State::Open,
            metadata,
            association: None,
            options: Vec::new(),
            queue: Queue::new(),
            window: 65_536,
            window_told: None,
            exception: false,
            probe: None,
            queued: 0,
            capacity,
            wants_writable: false,
            low_water: 0,
            wants_low: false,
            counted: (None, 0),
        }
    }

    /// Has data to send, and the far end's window (RFC 7016 section 3.6.2.3) lets it.
    pub(crate) fn is_ready(&mut self) -> bool {
        if !self.bound {
            return false;
        }
        if self.state != State::Open {
            self.queue.finish_if_drained();
        }
        self.window_allows() && self.queue.has_sendable()
    }

    pub(crate) fn window_allows(&self) -> bool {
        self.exception || self.window > self.queue.outstanding() as u64
    }

    /// Suspended by a closed window with data to send.
    pub(crate) fn is_suspended(&mut self) -> bool {
        self.bound && self.window == 0 && !self.exception && self.queue.has_sendable()
    }

    /// All is known to the far end.
    pub(crate) fn is_complete(&self) -> bool {
        self.state != State::Open && self.queue.is_finished()
    }
}
