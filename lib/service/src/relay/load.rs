//! How loaded a relay is, as one number.

use core::time::Duration;

use rtmfp_base::Time;

/// What a relay's load is measured by.
///
/// The load is the largest of three parts, each multiplied by its weight, in units of a [`FULL`]th:
///
/// - clients against [`LoadConfig::max_connections`];
/// - bytes of messages from and to clients against [`LoadConfig::max_bitrate`], averaged over some seconds;
/// - the latency of the run loop against [`LoadConfig::max_latency`], averaged over some seconds. Only what exceeds half of
///   that counts, so that relays that are quick enough are told apart by what they carry; and it counts for one unit less
///   than [`FULL`] at most, so that a whole fleet that has become slow still takes clients.
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

/// Measures it.
#[derive(Debug)]
pub(super) struct Meter {
    config: LoadConfig,
    max_connections: usize,
    /// Bytes from and to clients so far, and when.
    carried: Option<(u64, Time)>,
    bitrate: f64,
    latency: f64,
    is_full: bool,
}

impl Meter {
    pub(super) fn new(config: LoadConfig, max_clients: usize) -> Self {
        let max_connections = config.max_connections.unwrap_or(max_clients).clamp(1, max_clients.max(1));
        Self { config, max_connections, carried: None, bitrate: 0.0, latency: 0.0, is_full: false }
    }

    /// The run loop's latency in the last second.
    pub(super) fn latency(&mut self, latency: Duration) {
        self.latency += NEWEST * (latency.as_secs_f64() - self.latency);
    }

    /// With so many clients, to and from which so many bytes have gone since the beginning.
    pub(super) fn measure(&mut self, now: Time, clients: usize, carried: u64) -> Load {
        if let Some((before, at)) = self.carried.replace((carried, now)) {
            let seconds = now.since(at).as_secs_f64().max(1e-3);
            let bits = carried.saturating_sub(before) as f64 * 8.0 / seconds;
            self.bitrate += NEWEST * (bits - self.bitrate);
        }
        let weights = self.config.weights;
        let connections = weights.connections * clients as f64 / self.max_connections as f64;
        let bitrate = self.config.max_bitrate.map_or(0.0, |max| self.bitrate / max.max(1) as f64);
        let latency = self.latency / self.config.max_latency.as_secs_f64().max(1e-6);
        let latency = (weights.latency * (2.0 * latency - 1.0)).clamp(0.0, 1.0 - 1.0 / FULL as f64);
        let share = connections.max(weights.bitrate * bitrate).max(latency);
        // A conversion from f64 saturates.
        let level = (share * FULL as f64).round() as u64;
        self.is_full = level >= if self.is_full { FULL / 10 * 9 } else { FULL };
        Load { level, is_full: self.is_full, bitrate: self.bitrate as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBIT: u64 = 1_000_000;

    /// Loads after a minute with so many clients, bits per second, and latency.
    fn load(meter: &mut Meter, clients: usize, bitrate: u64, latency: Duration) -> Load {
        let begun = meter.carried.map_or(Time::ZERO, |(_, at)| at);
        let before = meter.carried.map_or(0, |(bytes, _)| bytes);
        (1..=60)
            .map(|second| {
                meter.latency(latency);
                meter.measure(begun + second * INTERVAL, clients, before + u64::from(second) * bitrate / 8)
            })
            .last()
            .unwrap()
    }

    fn meter(config: LoadConfig) -> Meter {
        Meter::new(config, 1000)
    }

    #[test]
    fn the_load_is_the_share_of_what_is_scarcest() {
        let config = LoadConfig { max_bitrate: Some(100 * MBIT), ..LoadConfig::default() };
        let quick = Duration::from_micros(300);
        assert_eq!(load(&mut meter(config.clone()), 250, 10 * MBIT, quick).level, 2500);
        assert_eq!(load(&mut meter(config.clone()), 250, 50 * MBIT, quick).level, 5000);
        assert_eq!(load(&mut meter(config.clone()), 250, 10 * MBIT, Duration::from_micros(4000)).level, 6000);
        assert_eq!(load(&mut meter(config), 0, 0, quick), Load::default());
    }

    #[test]
    fn latency_up_to_half_of_the_limit_does_not_count_and_alone_it_does_not_fill() {
        let mut meter = meter(LoadConfig::default());
        assert_eq!(load(&mut meter, 0, 0, Duration::from_micros(2500)).level, 0);
        let slow = load(&mut meter, 0, 0, Duration::from_secs(1));
        assert_eq!((slow.level, slow.is_full), (FULL - 1, false));
    }

    #[test]
    fn weights_say_how_much_a_part_counts() {
        let weights = LoadWeights { connections: 0.5, bitrate: 0.0, latency: 0.0 };
        let config = LoadConfig { max_bitrate: Some(MBIT), weights, ..LoadConfig::default() };
        assert_eq!(load(&mut meter(config), 500, 10 * MBIT, Duration::from_secs(1)).level, 2500);
    }

    #[test]
    fn a_full_relay_wants_clients_again_when_it_has_room_for_some() {
        let mut meter = meter(LoadConfig { max_connections: Some(100), ..LoadConfig::default() });
        let is_full: Vec<bool> = [99, 100, 95, 90, 89, 95, 100]
            .into_iter()
            .map(|clients| meter.measure(Time::ZERO, clients, 0).is_full)
            .collect();
        assert_eq!(is_full, [false, true, true, true, false, false, true]);
    }

    #[test]
    fn no_more_connections_count_than_clients_are_taken() {
        let mut meter = meter(LoadConfig { max_connections: Some(100_000), ..LoadConfig::default() });
        assert!(meter.measure(Time::ZERO, 1000, 0).is_full);
        assert!(Meter::new(LoadConfig::default(), 0).measure(Time::ZERO, 1, 0).is_full);
    }
    #[test]
    fn averages_follow_a_change_by_a_quarter_each_time_whatever_the_interval_is() {
        let at = Time::from_secs;
        let mut meter = meter(LoadConfig { max_latency: Duration::from_millis(4), ..LoadConfig::default() });
        let mut bitrate = |now, bytes| meter.measure(now, 0, bytes).bitrate;
        assert_eq!(bitrate(at(1), 5_000_000), 0, "what was before is not known");
        assert_eq!(bitrate(at(2), 5_125_000), 250_000);
        assert_eq!(bitrate(at(4), 5_625_000), 687_500, "two megabits in each of two seconds");
        assert_eq!(bitrate(at(5), 0), 515_625, "fewer bytes are none");
        assert_eq!(bitrate(at(5), 0), 386_718, "nor does it matter when no time has passed");
        meter.latency(Duration::from_millis(8));
        assert_eq!(meter.measure(at(6), 0, 0).level, 0, "2 ms by now");
        meter.latency(Duration::from_millis(8));
        assert_eq!(meter.measure(at(7), 0, 0).level, 7500, "3.5 ms by now");
    }

    #[test]
    fn a_limit_of_no_bits_is_one_that_nothing_carried_does_not_reach() {
        let mut meter = meter(LoadConfig { max_bitrate: Some(0), ..LoadConfig::default() });
        assert_eq!(meter.measure(Time::from_secs(1), 0, 0).level, 0);
        meter.measure(Time::from_secs(2), 0, 0);
        assert!(meter.measure(Time::from_secs(3), 0, 1000).is_full);
    }
}
