//! Sending flows (RFC 7016 section 3.6.2).

mod flow;
mod queue;
mod receipts;

pub(crate) use flow::{Probe, SendFlow, State};
pub(crate) use queue::{Acked, Lost, Sent};
pub(crate) use receipts::Receipts;
