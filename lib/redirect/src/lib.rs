//! The redirector protocol, without I/O: servers register with redirectors, which send clients to them.
//!
//! A redirector is found by the clients of a service at a well-known address. It answers their hellos with the addresses of
//! servers, its *targets*, by Redirects (RFC 7016 section 3.5.1.4), and passes hellos that ask for one target by its
//! fingerprint on to that target (section 3.5.1.5). The targets have registered by a flow to the redirector, over which
//! they also say how loaded they are and when they want no more clients. Nobody who has been redirected needs the
//! redirector any longer: one that is lost delays new clients only, and only where it is the last.
//!
//! - [`Registrant`] is a target's half, for any number of redirectors at once.
//! - [`Server`] is the redirector's half: who has registered, and whom a client is sent to.
//! - [`Fixed`] redirects everybody to the same addresses, and has no targets.
//! - [`wire`] has the messages, [`selection`] the policies by which targets are chosen.
//!
//! All of them act on an [`Endpoint`](rtmfp::Endpoint) that is theirs or that they share with others: hand them the
//! endpoint's events, and they say which were for them.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod auth;
mod client;
mod fixed;
mod limiter;
mod pools;
pub mod selection;
mod server;
pub mod wire;

pub use auth::{Secret, Users};
pub use client::{
    Redirector, RedirectorId, Registrant, RegistrantConfig, RegistrantEvent, RegistrantState, UserDataError,
};
pub use fixed::Fixed;
pub use limiter::Rate;
pub use pools::PoolConfig;
pub use server::{
    HashKey, LeaveReason, RedirectLimits, Server, ServerConfig, ServerEvent, ServerLimits, ServerStats,
    TargetId, TargetInfo, TargetKind, TargetState,
};
