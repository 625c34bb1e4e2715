//! The algorithm of RFC 7016 appendix A, with four changes: a loss that belongs to a window already cut does not
//! cut it again, the window is not grown while it is not used, time critical data grows it twice as fast as the
//! appendix says (as the implementation in the field does), and after a timeout two segments may be sent. It takes
//! delay for congestion, too, where the session wants that.

use core::time::Duration;

use rtmfp_base::Time;

use super::delay::{Delay, Sense};
use super::{Acknowledgement, Congestion};
use crate::MAX_FRAGMENT;

const MSS: usize = MAX_FRAGMENT;
const INITIAL: usize = 3 * MSS;
/// After a timeout: two segments, as an acknowledgement is obligatory for two. For one alone it may be delayed.
const TIMED_OUT: usize = 2 * MSS;
/// While the base of the round-trip time is looked for: the least that gets acknowledgements without delay.
const PROBING: usize = 2 * MSS;
/// From this much outstanding on, one eighth is a smaller cut than a TCP would need to be compatible with.
const SCALABLE: usize = 67_200;

/// The controller.
#[derive(Clone, Debug)]
pub struct Rfc7016 {
    window: usize,
    threshold: usize,
    accumulator: usize,
    /// Bytes that were outstanding at the last cut and are not accounted for yet: what is lost of them belongs to
    /// the same congestion.
    recovering: usize,
    delay: Delay,
    delay_events: u64,
}

impl Default for Rfc7016 {
    fn default() -> Self {
        Self::new()
    }
}

impl Rfc7016 {
    /// A controller at the start of a session.
    pub fn new() -> Self {
        Self {
            window: INITIAL,
            threshold: usize::MAX,
            accumulator: 0,
            recovering: 0,
            delay: Delay::default(),
            delay_events: 0,
        }
    }

    fn cut(&mut self, ack: &Acknowledgement) {
        let gentle = ack.time_critical || (ack.outstanding_before > SCALABLE && ack.fast_growth);
        self.cut_by(ack, if gentle { 8 } else { 2 });
    }

    /// Gives up one in `part` of what was used of the window.
    fn cut_by(&mut self, ack: &Acknowledgement, part: usize) {
        let from = ack.outstanding_before.min(self.window);
        let to = from - from / part;
        self.threshold = to.max(INITIAL);
        self.window = self.threshold;
        self.accumulator = 0;
        self.recovering = ack.outstanding;
    }

    /// Gives up one eighth: a queue that is seen before anything is lost needs no more. Everyone the same, or those with
    /// little would give up more and those with much would take it.
    fn ease(&mut self, ack: &Acknowledgement) {
        self.cut_by(ack, 8);
    }

    /// Lets the path run empty for a round trip, then goes back to the window of now.
    fn probe(&mut self, ack: &Acknowledgement) {
        self.threshold = self.window;
        self.window = (ack.outstanding_before.min(self.window) / 4).max(PROBING);
        self.accumulator = 0;
        self.recovering = ack.outstanding;
        self.delay.probed(ack.now);
    }

    fn grow(&mut self, ack: &Acknowledgement) {
        let slow_start = self.window < self.threshold;
        let increase;
        if slow_start && ack.fast_growth {
            increase = ack.acked;
            self.accumulator = 0;
        } else if slow_start && ack.time_critical {
            increase = ack.acked.div_ceil(4);
            self.accumulator = 0;
        } else {
            let (most, step) = match (ack.fast_growth, ack.time_critical) {
                (true, _) => (4800, 48),
                // Twice what the appendix says: with an eighth given up for each loss, live video of 1 Mbit/s would
                // not fit whole through a path of 40 ms that loses one packet in fifty.
                (false, true) => (4800, 48),
                (false, false) => (4800, 24),
            };
            // A step for each sixteenth of a window that was acknowledged.
            let threshold = (self.window / 16).clamp(64, most);
            self.accumulator += ack.acked;
            increase = self.accumulator / threshold * step;
            self.accumulator %= threshold;
        }
        self.window = (self.window + increase.min(MSS)).max(INITIAL);
    }
}

impl Congestion for Rfc7016 {
    fn window(&self) -> usize {
        self.window
    }

    fn on_acknowledgement(&mut self, ack: &Acknowledgement) {
        self.delay.note(ack);
        let settled = ack.acked + ack.lost;
        if self.recovering > settled {
            self.recovering -= settled;
            return;
        }
        self.recovering = 0;
        let sense = self.delay.sense(ack);
        let used = ack.outstanding_before > self.window / 64 * 63;
        if ack.any_loss || ack.marks > 0 {
            self.cut(ack);
        } else if sense == Sense::Congested {
            self.delay_events += 1;
            if self.window <= INITIAL {
                // No less can be sent: the queue that is left is not this end's, but part of the path.
                self.delay.forget();
            }
            self.ease(ack);
        } else if ack.any_naks {
            // Perhaps a loss.
        } else if sense == Sense::Probe && self.window > INITIAL && used && ack.fast_growth {
            self.probe(ack);
        } else if used {
            if sense == Sense::Queue {
                self.threshold = self.threshold.min(self.window);
            }
            self.grow(ack);
        }
    }

    fn on_path_change(&mut self, _now: Time) {
        self.delay.forget();
    }

    fn base_rtt(&self) -> Option<Duration> {
        self.delay.base()
    }

    fn delay_events(&self) -> u64 {
        self.delay_events
    }

    fn wants_ecn(&self) -> bool {
        true
    }

    fn on_timeout(&mut self, _now: Time, lost: bool) {
        self.threshold = self.threshold.max(self.window / 4 * 3);
        self.accumulator = 0;
        self.recovering = 0;
        self.delay.forget();
        self.window = if lost { TIMED_OUT } else { INITIAL };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(window: usize) -> Acknowledgement {
        Acknowledgement {
            now: Time::ZERO,
            acked: 2 * MSS,
            lost: 0,
            outstanding_before: window,
            outstanding: window.saturating_sub(2 * MSS),
            any_loss: false,
            any_naks: false,
            marks: 0,
            srtt: None,
            rtt_sample: None,
            delay: None,
            fast_growth: true,
            time_critical: false,
            delivery: None,
        }
    }

    #[test]
    fn slow_start_adds_what_was_acknowledged_up_to_a_segment() {
        let mut cc = Rfc7016::new();
        cc.on_acknowledgement(&ack(INITIAL));
        assert_eq!(cc.window(), INITIAL + MSS);
    }

    #[test]
    fn an_unused_window_does_not_grow() {
        let mut cc = Rfc7016::new();
        cc.on_acknowledgement(&ack(INITIAL / 2));
        assert_eq!(cc.window(), INITIAL);
    }

    #[test]
    fn loss_halves_once_for_each_window() {
        let mut cc = Rfc7016 { window: 60_000, ..Rfc7016::new() };
        let loss = Acknowledgement { any_loss: true, lost: MSS, ..ack(60_000) };
        cc.on_acknowledgement(&loss);
        assert_eq!(cc.window(), 30_000);
        cc.on_acknowledgement(&loss);
        assert_eq!(cc.window(), 30_000, "the same window's losses");
        for _ in 0..40 {
            cc.on_acknowledgement(&Acknowledgement { outstanding_before: 10_000, ..ack(10_000) });
        }
        let window = cc.window();
        cc.on_acknowledgement(&Acknowledgement { any_loss: true, lost: MSS, ..ack(window) });
        assert_eq!(cc.window(), window / 2);
    }

    #[test]
    fn time_critical_data_gives_up_one_eighth_only() {
        let mut cc = Rfc7016 { window: 64_000, ..Rfc7016::new() };
        cc.on_acknowledgement(&Acknowledgement {
            any_loss: true,
            lost: MSS,
            time_critical: true,
            fast_growth: false,
            ..ack(64_000)
        });
        assert_eq!(cc.window(), 56_000);
    }

    #[test]
    fn time_critical_data_grows_by_768_bytes_a_window() {
        let mut cc = Rfc7016 { window: 30_000, threshold: 0, ..Rfc7016::new() };
        let mut acked = 0;
        while acked < 30_000 {
            let window = cc.window();
            cc.on_acknowledgement(&Acknowledgement {
                fast_growth: false,
                time_critical: true,
                ..ack(window)
            });
            acked += 2 * MSS;
        }
        assert!((30_700..=30_850).contains(&cc.window()), "{}", cc.window());
    }

    #[test]
    fn yielding_to_time_critical_data_of_others_grows_by_at_most_384_bytes_a_window() {
        let mut cc = Rfc7016 { window: 30_000, threshold: 0, ..Rfc7016::new() };
        let mut acked = 0;
        while acked < 30_000 {
            cc.on_acknowledgement(&Acknowledgement { fast_growth: false, ..ack(30_000) });
            acked += 2 * MSS;
        }
        assert!((30_200..=30_500).contains(&cc.window()), "{}", cc.window());
    }

    /// An acknowledgement with delay: the smoothed round-trip time and the newest sample are the same.
    fn delayed(now: u64, rtt: u64, window: usize) -> Acknowledgement {
        let rtt = Some(Duration::from_millis(rtt));
        let delay = Some(Duration::from_millis(10));
        Acknowledgement {
            now: Time::from_micros(now * 1000),
            srtt: rtt,
            rtt_sample: rtt,
            delay,
            ..ack(window)
        }
    }

    #[test]
    fn the_base_from_before_a_time_out_is_forgotten() {
        let mut cc = Rfc7016::new();
        for step in 0..10 {
            cc.on_acknowledgement(&delayed(step * 20, 20, INITIAL));
        }
        assert_eq!(cc.base_rtt(), Some(Duration::from_millis(20)));
        cc.on_timeout(Time::from_secs(2), true);
        // Nothing that would be taken for congestion by 20 ms, which would have it forgotten as well.
        for step in 0..10 {
            let delay = Some(Duration::from_millis(100));
            cc.on_acknowledgement(&Acknowledgement { delay, ..delayed(2000 + step * 90, 90, INITIAL) });
        }
        assert_eq!(cc.delay_events(), 0);
        assert_eq!(cc.base_rtt(), Some(Duration::from_millis(90)));
    }

    #[test]
    fn delay_says_nothing_below_a_round_trip_of_30_ms() {
        for (rtt, is_seen) in [(29, false), (31, true)] {
            let mut cc = Rfc7016 { window: 60_000, ..Rfc7016::new() };
            cc.on_acknowledgement(&delayed(0, 1, 60_000));
            for step in 1..100 {
                let window = cc.window();
                cc.on_acknowledgement(&delayed(step * 10, rtt, window));
            }
            assert_eq!(cc.delay_events() > 0, is_seen, "{} at {rtt} ms", cc.delay_events());
        }
    }

    #[test]
    fn a_timeout_starts_again_below_three_quarters() {
        let mut cc = Rfc7016 { window: 80_000, threshold: 40_000, ..Rfc7016::new() };
        cc.on_timeout(Time::ZERO, true);
        assert_eq!((cc.window, cc.threshold), (2 * MSS, 60_000));
        cc.on_timeout(Time::ZERO, false);
        assert_eq!(cc.window, INITIAL);
    }
}
