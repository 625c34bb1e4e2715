//! The tests of the transport over the simulator, and of its wire format: one program, as building one is quicker than
//! building forty. Those that count allocations are programs of their own.
#![allow(missing_docs, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../hand/mod.rs"]
mod hand;

mod acks;
mod amplification;
mod apart;
mod callers;
mod congestion;
mod counters;
mod deadlines;
mod delay;
mod dependent_writes;
mod ecn;
mod far_close;
mod flow_control;
mod flow_life;
mod flow_model;
mod flows;
mod fragments;
mod half_dead;
mod handshake;
mod handshake_forged;
mod hostile;
mod hostile_packets;
mod identity;
mod interfaces;
mod introduction;
mod latency;
mod legacy_wire;
mod limits;
mod mobility;
mod mtu;
#[cfg(target_os = "linux")]
mod mtu_loopback;
mod operations;
mod order;
mod race;
mod replay;
mod rfc_packets;
mod rfc_receiver;
mod rfc_sender;
mod rfc_timing;
mod session_life;
mod storm;
mod tail_loss;
mod time_critical;
mod wire_acks;
mod wire_hostile;
mod wire_round_trip;
mod wire_vectors;
