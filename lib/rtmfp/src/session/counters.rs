//! What a session counts.

use core::time::Duration;

use super::Session;
use crate::endpoint::{SessionCounters, SessionRef};

impl Session {
    fn counters(&self) -> SessionCounters {
        let micros = |time: Option<Duration>| time.map_or(0, |time| time.as_micros() as u64);
        let (delay_events, base_rtt, window) =
            self.congestion.glance(|made| (made.delay_events(), made.base_rtt(), made.window()));
        SessionCounters {
            delay_events,
            rtt_latest_micros: micros(self.path.latest_rtt()),
            rtt_smoothed_micros: micros(self.path.srtt()),
            rtt_variance_micros: micros(Some(self.path.rttvar())),
            rtt_base_micros: micros(base_rtt),
            window_bytes: window as u64,
            outstanding_bytes: self.flight.outstanding as u64,
            ..(*self.counts).clone()
        }
    }
}

impl SessionRef<'_> {
    /// What it has counted. Times are 0 before they are known.
    pub fn counters(&self) -> SessionCounters {
        self.session().map(Session::counters).unwrap_or_default()
    }
}
