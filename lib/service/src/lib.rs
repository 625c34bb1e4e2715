//! What the programs do, sans-I/O: each is a [`Service`](rtmfp_base::Service) that asks its host for sockets, names, jobs
//! and time, and runs under the simulator as it runs for real.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

pub mod redirector;
pub mod relay;
pub mod tools;

mod lines;

pub use redirector::{Redirector, RedirectorConfig, RedirectorMode};
pub use relay::{
    Advertise, Credentials, Destination, Front, Listen, LoadConfig, LoadWeights, Profiles, Protocol,
    RegistrationConfig, Relay, RelayConfig, RelayTimeouts, WorkerConfig, Workers,
};
