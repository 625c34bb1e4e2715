use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::ServiceHook;
use crate::stats::LoopStats;
use crate::{ResolverOptions, TcpOptions};

/// How a service is run.
pub struct Config {
    /// Threads for jobs; 0 runs them on the loop, a few in each turn.
    pub crypto_threads: usize,
    /// How many jobs may wait; more are lost (logged and counted).
    pub max_jobs: usize,
    /// Bytes of kernel buffer in each direction for UDP sockets whose options do not say; `None` leaves the system's
    /// default.
    pub udp_buffer: Option<usize>,
    /// How byte streams behave.
    pub tcp: TcpOptions,
    /// How names are looked up.
    pub resolver: ResolverOptions,
    /// Whether SIGTERM and SIGINT end the service: the first drains it, the second stops it, the third makes the
    /// host leave it where it is.
    pub signals: bool,
    /// How long the service has to finish after [`Input::Stop`](rtmfp_base::Input::Stop); then it is left where it is.
    pub stop_patience: Duration,
    /// Other signals that are listened to, and what they do.
    pub signal_hook: Option<SignalHook>,
    /// Signals that the program and the service handle together.
    pub service_hook: Option<ServiceHook>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            crypto_threads: 1,
            max_jobs: 4096,
            udp_buffer: None,
            tcp: TcpOptions::default(),
            resolver: ResolverOptions::default(),
            signals: true,
            stop_patience: Duration::from_secs(2),
            signal_hook: None,
            service_hook: None,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").field("crypto_threads", &self.crypto_threads).finish_non_exhaustive()
    }
}

pub(super) type SignalCall = Box<dyn FnMut(i32, &Report) + Send>;

/// Signals that a program handles itself, SIGUSR1 or SIGHUP for example.
pub struct SignalHook {
    pub(super) signals: Vec<i32>,
    pub(super) call: SignalCall,
}

impl SignalHook {
    /// Has `call` called on the loop with the number of each of these signals that arrives, and how things are
    /// going.
    pub fn new(signals: &[i32], call: impl FnMut(i32, &Report) + Send + 'static) -> Self {
        Self { signals: signals.to_vec(), call: Box::new(call) }
    }
}

impl fmt::Debug for SignalHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalHook").field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// What a host measured and counted.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Latencies of the loop and of jobs.
    pub stats: LoopStats,
    /// Counters by name, of the host and of its service.
    pub counters: Vec<(&'static str, u64)>,
    /// Of a [group](crate::run_group): its members by name. What is above is their sum.
    pub members: Vec<(String, Self)>,
}

impl Report {
    /// The sum of several.
    pub fn of(members: Vec<(String, Self)>) -> Self {
        let mut sum = Self::default();
        for (_, member) in &members {
            sum.stats.add(&member.stats);
            for &(name, value) in &member.counters {
                match sum.counters.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, total)) => *total += value,
                    None => sum.counters.push((name, value)),
                }
            }
        }
        Self { members, ..sum }
    }

    /// A counter; 0 if there is none of that name.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|(other, _)| *other == name).map_or(0, |&(_, value)| value)
    }
}

impl fmt::Display for Report {
    /// Several lines: the latencies, then the counters that are not zero; then the same for each member, behind its
    /// name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stats)?;
        for (name, value) in self.counters.iter().filter(|(_, value)| *value != 0) {
            write!(f, "\n{name}: {value}")?;
        }
        for (name, member) in &self.members {
            for line in member.to_string().lines() {
                write!(f, "\n{name}: {line}")?;
            }
        }
        Ok(())
    }
}

/// Why running a service ended badly.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// The loop or its threads could not be started.
    #[error("cannot start: {0}")]
    Start(String),
    /// Waiting for events failed.
    #[error("the run loop failed: {0}")]
    Loop(String),
    /// What the service finished with.
    #[error("{0}")]
    Service(String),
    /// The service was told to stop and did not finish in time, or the operator did not want to wait.
    #[error("forced to end before everything was finished")]
    Forced,
    /// The thread of the service panicked.
    #[error("the service panicked")]
    Panicked,
}
