//! Sending flows (RFC 7016 section 3.6.2).

mod flow;
mod queue;
#[cfg(test)]
mod tests;

pub(crate) use flow::{Probe, SendFlow, State};
pub(crate) use queue::{Acked, Chunk, Ended, Lost, Sent};
