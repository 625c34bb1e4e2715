//! How to build with this crate: a manual in chapters, from the first datagram to the peers that mean harm.
//!
//! 1. [`platform`]: giving an endpoint a network, a clock and a thread.
//! 2. [`flows`]: opening sessions and flows, accepting them, and not being drowned.
//! 3. [`deadlines`]: priorities, and messages that are not worth being late.
//! 4. [`introduction`]: sending others to somebody else, and getting two peers behind NATs together.
//! 5. [`profile`]: bringing a cryptography of one's own.
//! 6. [`attacks`]: what strangers, peers and people in between can try, and what comes of it.
//!
//! Programs that run: `examples/echo` (UDP on the run loop of `rtmfp-runtime`; what a session counts), `examples/introducer.rs`
//! (brings two of them together), `examples/not_udp.rs` (a platform adapter from nothing), `examples/two_endpoints.rs`
//! (a call on a bad line, simulated), `examples/own_profile` (a profile).
//!
//! The words are those of RFC 7016: an *endpoint* has *sessions* with others, a session carries *flows* in each
//! direction, a flow carries *messages*, and a message travels as one or more *fragments*.

#[doc = include_str!("platform.md")]
pub mod platform {}

#[doc = include_str!("flows.md")]
pub mod flows {}

#[doc = include_str!("deadlines.md")]
pub mod deadlines {}

#[doc = include_str!("introduction.md")]
pub mod introduction {}

#[doc = include_str!("profile.md")]
pub mod profile {}

#[doc = include_str!("attacks.md")]
pub mod attacks {}
