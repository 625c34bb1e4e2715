//! AMF, FLV, media classification and the message vocabulary of RTMP: borrowed parsing with limits.
//!
//! Nothing here panics on, or reserves memory by, what a peer or a file says. Messages that are passed on need not
//! be decoded as a whole: parsers stop at what they are asked for and say where it lies.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod aggregate;
pub mod amf0;
pub mod amf3;
pub mod classify;
pub mod command;
pub mod control;
pub mod data;
pub mod flv;
pub mod message;
pub mod uri;

pub use message::TcMessage;
