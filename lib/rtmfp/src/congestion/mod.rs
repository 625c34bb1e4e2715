//! Congestion control behind a trait (RFC 7016 section 3.5.2).

mod base_rtt;
mod delay;
mod rfc7016;

use core::fmt;
use core::time::Duration;

use rtmfp_base::Time;

pub use rfc7016::Rfc7016;

/// A new controller of RFC 7016 appendix A.
pub fn rfc7016() -> Box<dyn Congestion> {
    Box::new(Rfc7016::new())
}

/// Decides how much user data may be in the network. One for each session.
pub trait Congestion: Send + fmt::Debug {
    /// Bytes of chunks that may be outstanding. Sending is allowed while less than this is.
    fn window(&self) -> usize;

    /// Bytes a second to spread sends at; `None` where only the window and burst avoidance hold.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// A packet with at least one acknowledgement was processed.
    fn on_acknowledgement(&mut self, ack: &Acknowledgement);

    /// The retransmission alarm fired. With `lost`, data (or a ping) was outstanding; without, nothing was.
    fn on_timeout(&mut self, now: Time, lost: bool);

    /// The session's packets take, or may take, another path from now on: what was measured of the one before need
    /// not hold (RFC 7016 section 3.5.4.2).
    fn on_path_change(&mut self, now: Time) {
        let _ = now;
    }

    /// The round-trip time of the path when its queues are empty, where the controller looks for it.
    fn base_rtt(&self) -> Option<Duration> {
        None
    }

    /// How often delay alone was taken for congestion.
    fn delay_events(&self) -> u64 {
        0
    }

    /// Marked packets are counted by the far end: `true` lets sends be marked ECN-capable.
    fn wants_ecn(&self) -> bool {
        false
    }
}

/// What one packet's acknowledgements said. Sizes are of chunks on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledgement {
    /// When the packet arrived.
    pub now: Time,
    /// Bytes that it acknowledged for the first time.
    pub acked: usize,
    /// Bytes that it showed to be lost.
    pub lost: usize,
    /// Bytes outstanding before the packet was processed.
    pub outstanding_before: usize,
    /// Bytes outstanding now.
    pub outstanding: usize,
    /// Data that was wanted has been lost.
    pub any_loss: bool,
    /// Some data was overtaken by data sent later.
    pub any_naks: bool,
    /// Congestion marks that the far end newly reported.
    pub marks: u8,
    /// Smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// The round-trip time that this packet measured.
    pub rtt_sample: Option<Duration>,
    /// The session's threshold of congestion by delay (`SessionConfig::congestion_delay`).
    pub delay: Option<Duration>,
    /// No time critical data of others would be harmed by growth (RFC 7016 appendix A.2).
    pub fast_growth: bool,
    /// Time critical data was sent on this session lately.
    pub time_critical: bool,
    /// The delivery rate that the newest acknowledged packet shows.
    pub delivery: Option<Delivery>,
}

/// A sample of the delivery rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// Bytes delivered between the sending of a packet and its acknowledgement.
    pub bytes: u64,
    /// The time between the two.
    pub interval: Duration,
    /// The application had no more to send, so the rate is not the path's.
    pub application_limited: bool,
}
