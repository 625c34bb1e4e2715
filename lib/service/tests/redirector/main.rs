//! The redirector on simulated networks, with servers that register and clients that are redirected.

mod balance;
mod fixed;
mod flood;
mod status;
mod world;
