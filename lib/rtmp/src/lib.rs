//! RTMP over a byte stream, sans-I/O: the plain handshake, the chunk stream in both directions, the chunk
//! layer's control messages, and a send queue with priorities and deadlines.
//!
//! A [`Connection`] is one end. It takes received bytes and gives messages; it takes messages and, as late as
//! possible, gives bytes. Commands are its owner's business. Sections are those of Adobe's RTMP specification
//! 1.0 (2012), read with the errata that have become known since.
//!
//! # What peers get wrong, and what happens
//!
//! - The echo of the handshake differs: not looked at.
//! - A chunk stream begins with a header of format 1 (librtmp's answer to a ping): accepted, as of stream 0 and
//!   time 0. Formats 2 and 3 are refused there.
//! - Extended timestamps are left out of continued chunks (older librtmp and OBS, after 4 hours and 39 minutes):
//!   found out at the first such chunk, and remembered.
//! - Acknowledgements count by constant steps, or more than was sent: counted, nothing depends on them.
//! - Acknowledgements are expected though no window was announced: they are sent.
//! - librtmp acknowledges by the peer bandwidth, not by the window: a server announces both.
//! - A message is given up by a new header in its middle: it is dropped, the new one is taken.
//!
//! # What a hostile peer can do
//!
//! It can make a connection keep unfinished messages up to [`ReceiveLimits`], of no more chunk streams than
//! [`Config::max_chunk_streams`]; buffers follow the bytes that have arrived. It gets fixed room for the answers
//! that it provokes. Work is bounded for each byte received. If it does not read, the queue to it is bounded by
//! [`Config::max_queued_bytes`].
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod chunk_streams;
mod config;
mod connection;
mod control;
mod error;
mod handshake;
mod header;
mod queue;
mod reader;
#[cfg(test)]
mod testing;
mod writer;

pub use config::{Config, ReceiveLimits, Role, SendOptions};
pub use connection::{Connection, Event};
pub use error::{Error, Foreign, SendError};
pub use queue::{MessageId, MessageKind};
