//! Ids of sessions and flows, and the priorities of flows.

use rtmfp_base::{Id, IdKind};

/// Marks ids of sessions.
#[derive(Debug)]
pub struct SessionKind;
impl IdKind for SessionKind {
    const PREFIX: &'static str = "s";
}

/// A session.
pub type SessionId = Id<SessionKind>;

/// Marks ids of sending flows.
#[derive(Debug)]
pub struct SendFlowKind;
impl IdKind for SendFlowKind {
    const PREFIX: &'static str = "sf";
}

/// A sending flow.
pub type SendFlowId = Id<SendFlowKind>;

/// Marks ids of receiving flows.
#[derive(Debug)]
pub struct RecvFlowKind;
impl IdKind for RecvFlowKind {
    const PREFIX: &'static str = "rf";
}

/// A receiving flow.
pub type RecvFlowId = Id<RecvFlowKind>;

/// The priority of a sending flow. Higher ones go first, strictly; flows of equal priority take turns.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Priority {
    /// When nothing else wants to be sent.
    Background = 0,
    /// Bulk data.
    Bulk = 1,
    /// Data.
    Data = 2,
    /// The default.
    #[default]
    Routine = 3,
    /// Real-time video. From here on a flow is *time critical* (RFC 7016 section 3.5.2.1).
    Priority = 4,
    /// Real-time audio and commands.
    Immediate = 5,
    /// Above both.
    Flash = 6,
    /// Above all.
    FlashOverride = 7,
}

impl Priority {
    /// How many priorities there are.
    pub const COUNT: usize = 8;

    /// Whether other senders should yield to such a flow.
    pub const fn is_time_critical(self) -> bool {
        self as u8 >= Self::Priority as u8
    }
}
