//! What all crates of the RTMFP toolkit share, and nothing else: time, ids, messages, batches of
//! datagrams, jobs, counters, rates, text of others, and the host's interface ([`Service`], [`Input`], [`Action`]).
//!
//! Nothing here reads a clock, opens a socket or spawns a thread. A [`Service`] is a program's whole
//! behaviour as a state machine; a *host* runs it: the run loop for real, the simulator in virtual time.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod arena;
mod batch;
mod bucket;
mod counters;
mod host;
mod job;
mod limiter;
mod message;
mod shown;
mod time;

pub use arena::{Arena, Id, IdKind};
pub use batch::{Batch, Ecn, InterfaceId, RecvMeta, Transmit};
pub use bucket::TokenBucket;
pub use counters::{Counters, Visit};
pub use host::{Action, Input, ListenerId, NameId, Service, SocketId, StreamId, UdpOptions};
pub use job::{Job, JobDone, JobId, JobResult};
pub use limiter::{Limiter, Prefix};
pub use message::{MAX_HEAD, Message, ReceiptId, ReceiptKind, Tag, WriteOptions};
pub use shown::Shown;
pub use time::Time;
