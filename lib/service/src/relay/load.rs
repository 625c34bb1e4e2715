//! How loaded a relay is, as one number.

use core::time::Duration;

use rtmfp_base::Time;

use super::workers::Figures;

/// What a relay's load is measured by.
///
/// The load is the largest of three parts, each multiplied by its weight, in units of a [`FULL`]th:
///
/// - clients against [`LoadConfig::max_connections`];
/// - bytes of messages from and to clients against [`LoadConfig::max_bitrate`], averaged over some seconds;
/// - the latency of the run loop against [`LoadConfig::max_latency`], averaged over some seconds, in which a second that is
///   slower counts as one as slow as that: one turn that takes long is none for long. Only what exceeds half of it counts,
///   so that relays that are quick enough are told apart by what they carry; and it counts for one unit less than [`FULL`]
///   at most, so that a whole fleet that has become slow still takes clients.
///
/// Of several workers each is measured by its share of the limits, and all of them by the whole; the worse counts. So one is full
/// when it has its share, while the others take clients, and all are when there are as many clients as may be.
///
/// The largest and not the sum, because a relay has no room left as soon as one of its resources has none. From [`FULL`] on
/// it wants no new clients, until it has fallen below nine tenths of it again.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadConfig {
    /// Clients that fill the relay. Default: [`RelayConfig::max_clients`](super::RelayConfig::max_clients), beyond which they are turned
    /// away.
    pub max_connections: Option<usize>,
    /// Bits per second that fill the relay. It is a measure only: nothing is slowed down. Default: none, and so this part
    /// of the load is 0.
    pub max_bitrate: Option<u64>,
    /// The latency of the run loop that fills the relay. Default 5 ms.
    pub max_latency: Duration,
    /// How much each part counts.
    pub weights: LoadWeights,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_bitrate: None,
            max_latency: Duration::from_millis(5),
            weights: LoadWeights::default(),
        }
    }
}

/// How much each part of the load counts: 1, the default, as it is, 0 not at all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadWeights {
    /// Of the clients.
    pub connections: f64,
    /// Of the bytes.
    pub bitrate: f64,
    /// Of the run loop's latency.
    pub latency: f64,
}

impl Default for LoadWeights {
    fn default() -> Self {
        Self { connections: 1.0, bitrate: 1.0, latency: 1.0 }
    }
}

/// The load of a relay that has no room left. One client of the default 10,000 is one unit.
pub const FULL: u64 = 10_000;

/// How often the load is measured, and so told at most.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);

/// What share of an average the newest value has.
const NEWEST: f64 = 0.25;

/// What a relay is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// In [`FULL`]ths.
    pub(super) level: u64,
    /// No new clients, please.
    pub(super) is_full: bool,
    /// Bits per second from and to clients.
    pub(super) bitrate: u64,
}

/// What a relay carries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Carried {
    /// Clients.
    pub(super) clients: usize,
    /// Bytes from and to them, since the beginning.
    pub(super) bytes: u64,
}

/// Measures it.
#[derive(Debug)]
pub(super) struct Meter {
    config: LoadConfig,
    max_clients: usize,
    max_connections: usize,
    /// How many share the limits.
    workers: usize,
    /// Bytes from and to clients so far, and when.
    carried: Option<(u64, Time)>,
    bitrate: f64,
    latency: f64,
    is_full: bool,
}

impl Meter {
    pub(super) fn new(config: LoadConfig, max_clients: usize, workers: usize) -> Self {
        let max_clients = max_clients.max(1);
        let max_connections = config.max_connections.unwrap_or(max_clients).clamp(1, max_clients);
        let workers = workers.max(1);
        Self {
            config,
            max_clients,
            max_connections,
            workers,
            carried: None,
            bitrate: 0.0,
            latency: 0.0,
            is_full: false,
        }
    }

    /// The run loop's latency in the last second. Where few turns are taken, as by an idle relay, it is that of the slowest.
    pub(super) fn latency(&mut self, latency: Duration) {
        let latency = latency.min(self.config.max_latency);
        self.latency += NEWEST * (latency.as_secs_f64() - self.latency);
    }

    /// Of a relay, or of one of several workers that carry so much together.
    pub(super) fn measure(&mut self, now: Time, own: Carried, all: Figures) -> Load {
        if let Some((before, at)) = self.carried.replace((own.bytes, now)) {
            let seconds = now.since(at).as_secs_f64().max(1e-3);
            let bits = own.bytes.saturating_sub(before) as f64 * 8.0 / seconds;
            self.bitrate += NEWEST * (bits - self.bitrate);
        }
        let weights = self.config.weights;
        // Its share of a limit, or all of it: whichever is nearer.
        let share = |own: f64, all: u64, limit: f64| (own * self.workers as f64).max(all as f64) / limit;
        let connections =
            weights.connections * share(own.clients as f64, all.clients, self.max_connections as f64);
        let bitrate =
            self.config.max_bitrate.map_or(0.0, |max| share(self.bitrate, all.bitrate, max.max(1) as f64));
        let latency = self.latency / self.config.max_latency.as_secs_f64().max(1e-6);
        let latency = (weights.latency * (2.0 * latency - 1.0)).clamp(0.0, 1.0 - 1.0 / FULL as f64);
        let share = connections.max(weights.bitrate * bitrate).max(latency);
        // A conversion from f64 saturates.
        let level = (share * FULL as f64).round() as u64;
        self.is_full = level >= if self.is_full { FULL / 10 * 9 } else { FULL };
        // More would be turned away, whatever the weights are.
        self.is_full |= all.clients >= self.max_clients as u64;
        Load { level, is_full: self.is_full, bitrate: self.bitrate as u64 }
    }
}

#[cfg(test)]
mod tests;
