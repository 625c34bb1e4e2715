//! NetConnections and NetStreams over RTMFP and RTMP (RFC 7425 section 5), sans-I/O.
//!
//! A [`Link`] is one connection with a peer: it takes and gives the messages that RTMP, RTMFP and their relatives all
//! carry ([`TcMessage`]), whatever is below. What belongs to one hop only stays in the link: flows and their
//! metadata, flow synchronisation, peer information, keep-alive periods, aggregates, deadlines and priorities,
//! and the order in which a stream ends. So joining two links makes a relay.
//!
//! Links don't own the endpoints that carry them, and keep no borrow of one: their methods take a [`Cx`]. The
//! [`Endpoints`] of a program know which of them has something to tell, to compute, to send or to wait for.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod common;
mod config;
mod connect;
mod endpoints;
mod flow_sync;
mod gate;
mod link;
mod meaning;
mod metadata;
mod policy;
mod rtmfp_link;
mod rtmp_link;

pub use config::{LinkConfig, ReceiveLimits};
pub use connect::{
    ConnectRequest, StreamUse, connection_closed, connection_failed, connection_shut_down, public_uri,
};
pub use endpoints::{EndpointId, EndpointKind, Endpoints};
pub use link::{Cx, Link, LinkError, LinkEvent, LinkId, LinkStats, Progress, Role};
pub use metadata::FlowMetadata;
pub use policy::Lifetimes;
pub use rtmfp_link::RtmfpLink;
pub use rtmfp_media::TcMessage;
pub use rtmfp_rtmp::Config as RtmpConfig;
pub use rtmp_link::RtmpLink;
