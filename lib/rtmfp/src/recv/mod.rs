//! Receiving flows (RFC 7016 section 3.6.3).

mod assembly;
mod flow;
mod ranges;

pub use assembly::Received;
pub use flow::ReceiveOrder;
pub(crate) use flow::{Accepted, RANGE_COST, RecvFlow, Room, State};
pub(crate) use ranges::RangeSet;
