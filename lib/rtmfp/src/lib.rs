//! RTMFP (RFC 7016): the transport, without I/O.
#![forbid(unsafe_code)]

pub mod crypto;
pub mod wire;
