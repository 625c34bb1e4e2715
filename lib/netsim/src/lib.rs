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
//! # Networks and links
//!
//! A host is in the public network or [behind a NAT box](Network::add_host_behind). A path from one host to
//! another in the same network has up to three links: the sender's uplink, the link of the pair, the receiver's
//! downlink. One that leaves or enters a network passes the up- or downlink of the NAT box as well, and the link
//! of the pair is that of the box. Up- and downlinks are shared by all that a host or box sends or receives and
//! are perfect unless [set](Network::set_uplink).
//!
//! # Mishaps
//!
//! Datagrams suffer what [`LinkConfig`] says; hosts [vanish](Network::vanish), [restart](Network::restart),
//! [move](Network::move_host), [sleep](Network::sleep) and have [clocks](Network::set_clock_pace) of their own;
//! byte streams are [reset](Network::reset_stream); NAT boxes [forget](Network::rebind_nat) what they knew; jobs
//! take time or get lost ([`JobModel`]). [`Network::faults`] tells how often each of these fired, so that a test
//! with many seeds can prove that all did.
//!
//! What happens can be [logged](Network::log_to) and [captured](Network::capture_to) for Wireshark, for one seed
//! of a test by variables of the environment: see [`for_each_seed`].
#![forbid(unsafe_code)]

mod capture;
mod clock;
mod config;
mod conn;
mod dice;
mod event;
mod faults;
mod host;
pub mod impair;
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
pub use seeds::{for_each_seed, seeds, with_seed};
