//! RTMFP, the Secure Real-Time Media Flow Protocol (RFC 7016): the transport, without I/O.
//!
//! An [`Endpoint`] takes datagrams, the time and the application's wishes, and gives events, jobs (public-key work),
//! datagrams and the time at which it wants to be called again. It reads no clock, opens no socket, spawns no
//! thread and calls nobody back, so the same code runs in a program and under a simulator. Cryptography is
//! a [profile](crypto::Profile) that the application brings.
//!
//! The [guide] says how to build with it.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

pub mod congestion;
pub mod crypto;
pub mod driver;
pub mod guide;
pub mod wire;

mod config;
mod endpoint;
mod event;
mod ids;
mod partial;
mod recv;
mod send;
mod session;

pub use config::{
    Config, FIHelloMode, FragmentLimits, HelloLimits, Limits, MAX_FRAGMENT, MAX_METADATA, MAX_PACKET,
    MAX_STARTUP_PACKET, MOST_PACKET, Mobility, SessionConfig,
};
pub use endpoint::{
    Disposition, DropReason, Endpoint, FlowSpec, Holdings, IntroduceError, OpenFlowError, Receipt,
    RecvFlowCounters, RecvFlowRef, SendFlowCounters, SendFlowRef, SessionCounters, SessionInfo, SessionRef,
    Shutdown, Stats, TimeoutReason, WriteChain, WriteError,
};
pub use event::{CloseReason, Event, KeyingFailure, Via};
pub use ids::{Priority, RecvFlowId, RecvFlowKind, SendFlowId, SendFlowKind, SessionId, SessionKind};
pub use recv::{ReceiveOrder, Received};
