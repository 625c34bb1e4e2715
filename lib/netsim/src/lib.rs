//! A deterministic network for tests: hosts that run services, links between them, virtual time.
//!
//! A [`Network`] executes the [`Action`](rtmfp_base::Action)s of any [`Service`](rtmfp_base::Service) as the
//! run loop of a program does, but in virtual time and over links that delay, lose, reorder, duplicate and
//! damage what they carry. It knows no protocol. The same seed and the same calls give the same run, which
//! [`Network::trace_hash`] proves; [`for_each_seed`] runs a test with many seeds and names the one that
//! fails.
//!
//! What hosts may rely on, and what holds for the run loop of programs as well:
//!
//! - All inputs of one instant are delivered before the service is polled.
//! - Then it is polled for actions until there are none, and streams that can take bytes are filled, again
//!   until nothing comes of it; then for datagrams until a batch stays empty. If that led to new actions, all
//!   this is done again. At last it is asked for its timeout.
//! - Datagrams that a service still has when it closes a socket or ends are sent first.
//!
//! A path from one host to another has up to three links: the sender's uplink, the link of the pair, the
//! receiver's downlink. Up- and downlinks are shared by all that a host sends or receives and are perfect
//! unless [set](Network::set_uplink).
#![forbid(unsafe_code)]

mod capture;
mod clock;
mod config;
mod conn;
mod dice;
mod event;
mod faults;
mod host;
mod link;
mod links;
mod nat;
mod network;
mod path;
mod ports;
mod seeds;
mod trace;

pub use config::{Bursts, Config, JobModel, LinkConfig, Loss, Reorder, StreamConfig};
pub use dice::Dice;
pub use faults::{Fault, Faults};
pub use host::HostId;
pub use link::LinkCounters;
pub use nat::{NatConfig, NatCounters, NatKind, NatPorts};
pub use network::Network;
pub use path::{NatId, Node};
pub use seeds::{for_each_seed, seeds};
