//! The syntax of RTMFP: packets, chunks and what they are made of (RFC 7016 section 2), and nothing about when they
//! are sent.
//!
//! Reading borrows: a [`Chunk`] points into the packet that it was read from. The contract of this module:
//!
//! - *Parsing never panics* and never allocates, whatever the bytes are; its work is linear in their number. Numbers
//!   are those of the far end: a VLU saturates at 2⁶⁴ − 1 and sums saturate or end the parse, none wraps.
//! - *Writing appends exactly `encoded_len` bytes*, in the canonical form (shortest VLUs, reserved bits 0). The one
//!   exception is a chunk whose payload would not fit its 16-bit length: then nothing is appended, so whoever puts
//!   a far end's bytes into a chunk compares `encoded_len` with the room first.
//! - Reserved bits, and bytes after the last field of a chunk, are ignored (RFC 7016 section 2).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod ack;
mod address;
mod chunk;
mod data;
mod fragment;
mod hello;
mod keying;
mod option;
mod packet;
mod reader;
pub mod vlu;

pub use ack::{Ack, AckedRanges, write_ack_ranges};
pub use address::{Address, Addresses, Origin};
pub use chunk::{Chunk, HEADER_LEN, OpenChunk, kind};
pub use data::{
    DataFlags, FlowOptions, Fragment, NextUserData, UserData, next_user_data_header_len,
    user_data_header_len, write_next_user_data_header, write_startup_options, write_user_data_header,
};
pub use fragment::PacketFragment;
pub use hello::{CookieChange, FIHello, IHello, RHello, Redirect};
pub use keying::{IIKeying, RIKeying};
pub use option::{Item, Items, write_marker, write_option};
pub use packet::{Chunks, Mode, PacketHeader, scramble, unscramble};
pub use reader::{Reader, field_len, write_field};

/// Why bytes were not understood. The element that they make up is ignored (RFC 7016 sections 2 and 2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// A field does not fit into what contains it.
    #[error("truncated")]
    Truncated,
    /// An option is too short for its type or its value, or an option list has no end.
    #[error("malformed option")]
    BadOption,
    /// An address does not fit into what contains it.
    #[error("malformed address")]
    BadAddress,
    /// A field, named here, has a value that is forbidden.
    #[error("forbidden value: {0}")]
    BadRange(&'static str),
}
