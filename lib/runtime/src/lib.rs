//! The run loop and the host that runs a [`Service`](rtmfp_base::Service) for real: sockets, timers, worker
//! threads, name look-ups and signals. It knows nothing of what its services speak.
//!
//! [`run`] is what programs call, or [`run_group`] for several services on a thread each; [`spawn`] runs a service on a
//! thread of its own, for tests and for programs that embed one. The parts below are usable by themselves: [`RunLoop`] (readiness, timers, tasks),
//! [`Performer`] (tasks from other threads), [`Worker`] (threads with a bounded queue) and [`udp`].
//!
//! Everything that touches the service happens on one thread. Nothing here blocks that thread: names are looked
//! up and jobs are run on worker threads, sockets never wait.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

pub mod clock;
mod descriptors;
mod host;
mod performer;
mod resolver;
mod run_loop;
pub mod stats;
mod tcp;
mod timers;
pub mod udp;
mod worker;

pub use descriptors::raise_descriptor_limit;
pub use host::{Config, Error, Handle, Member, Report, ServiceHook, SignalHook, run, run_group, spawn};
pub use performer::Performer;
pub use resolver::ResolverOptions;
pub use run_loop::{Ready, RunLoop, SourceId, SourceKind};
/// Signals for a [`SignalHook`].
pub use signal_hook::consts::{SIGHUP, SIGUSR1};
pub use tcp::{HeldPort, TcpOptions};
pub use timers::TimerId;
pub use worker::{QueueFull, Worker};
