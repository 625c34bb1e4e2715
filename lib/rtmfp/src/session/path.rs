//! Where a session's packets go, and how long they take (RFC 7016 section 3.5.2.2).

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use rtmfp_base::{InterfaceId, Time};

use super::{Blank, Lazy};
use crate::wire::PacketHeader;

const TICK: Duration = Duration::from_millis(4);
/// An echo of an older timestamp says nothing any more.
const ECHO_AGE: Duration = Duration::from_secs(128);
const MIN_ERTO: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
const DELAYED_ACK: Duration = Duration::from_millis(200);
const FIRST_ERTO: Duration = Duration::from_secs(3);

/// The timestamp of RFC 7016 section 2.2.4: ticks of 4 ms, modulo 2¹⁶.
pub(crate) fn timestamp(now: Time) -> u16 {
    (now.as_micros() / TICK.as_micros() as u64) as u16
}

#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) interface: InterfaceId,
    pub(crate) to: SocketAddr,
    pub(crate) src_ip: Option<IpAddr>,
    pub(crate) erto: Duration,
    /// Time-outs since the last measured round trip.
    pub(crate) timeouts: u32,
    pub(super) measured: Lazy<Measured>,
}

/// What timestamps have told of a path.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    srtt: Option<Duration>,
    rttvar: Duration,
    latest: Option<Duration>,
    mrto: Duration,
    /// The far end's last timestamp and when it was first seen.
    received: Option<(u16, Time)>,
    /// The last echo sent and received.
    pub(super) echo_sent: Option<u16>,
    echo_received: Option<u16>,
}

impl Blank for Measured {
    const NEW: Self = Self {
        srtt: None,
        rttvar: Duration::ZERO,
        latest: None,
        mrto: MIN_ERTO,
        received: None,
        echo_sent: None,
        echo_received: None,
    };
    const BLANK: &'static Self = &Self::NEW;
}

impl Path {
    pub(crate) fn new(interface: InterfaceId, to: SocketAddr, src_ip: Option<IpAddr>) -> Self {
        Self { interface, to, src_ip, erto: FIRST_ERTO, timeouts: 0, measured: Lazy::new() }
    }

    /// Notes the far end's timestamp.
    pub(crate) fn note_timestamp(&mut self, now: Time, header: &PacketHeader) {
        if let Some(timestamp) = header.timestamp
            && self.measured.received.is_none_or(|(last, _)| last != timestamp)
        {
            self.measured.received = Some((timestamp, now));
        }
    }

    /// Takes the round-trip time that an echo tells; answers the sample.
    pub(crate) fn note_echo(&mut self, now: Time, header: &PacketHeader) -> Option<Duration> {
        let echo = header.timestamp_echo?;
        if self.measured.echo_received == Some(echo) {
            return None;
        }
        self.measured.echo_received = Some(echo);
        let ticks = timestamp(now).wrapping_sub(echo);
        if ticks > 0x7fff {
            return None;
        }
        let rtt = TICK * u32::from(ticks);
        let measured = &mut *self.measured;
        measured.latest = Some(rtt);
        let (srtt, rttvar) = match measured.srtt {
            Some(srtt) => ((srtt * 7 + rtt) / 8, (measured.rttvar * 3 + srtt.abs_diff(rtt)) / 4),
            None => (rtt, rtt / 2),
        };
        measured.srtt = Some(srtt);
        measured.rttvar = rttvar;
        measured.mrto = srtt + rttvar * 4 + DELAYED_ACK;
        self.forget_back_off();
        Some(rtt)
    }

    /// The header of a packet sent now: a timestamp always, for peers that know no packet without one, and the echo
    /// if it changed.
    pub(crate) fn stamp(&mut self, now: Time, header: &mut PacketHeader) {
        header.timestamp = Some(timestamp(now));
        let Some((received, at)) = self.measured.received else { return };
        let age = now.since(at);
        if age > ECHO_AGE {
            self.measured.received = None;
            self.measured.echo_sent = None;
            return;
        }
        let echo = received.wrapping_add((age.as_micros() / TICK.as_micros()) as u16);
        if self.measured.echo_sent != Some(echo) {
            self.measured.echo_sent = Some(echo);
            header.timestamp_echo = Some(echo);
        }
    }

    /// Waits as long as the measured round-trip time asks for.
    pub(crate) fn forget_back_off(&mut self) {
        self.timeouts = 0;
        self.erto = if self.measured.srtt.is_some() { self.measured.mrto.max(MIN_ERTO) } else { FIRST_ERTO };
    }

    /// A time-out has passed: wait longer the next time. When it was not the first one, the near address may have gone:
    /// the system is to choose one.
    pub(crate) fn back_off(&mut self) {
        self.timeouts = self.timeouts.saturating_add(1);
        if self.timeouts > 1 {
            self.src_ip = None;
        }
        self.erto = self.erto.mul_f64(core::f64::consts::SQRT_2).min(MAX_BACKOFF).max(self.measured.mrto);
    }

    /// The smoothed round-trip time.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.measured.srtt
    }

    /// The variance of the round-trip time.
    pub(crate) fn rttvar(&self) -> Duration {
        self.measured.rttvar
    }

    /// The newest sample.
    pub(crate) fn latest_rtt(&self) -> Option<Duration> {
        self.measured.latest
    }

    /// The measured time-out, without back-off.
    pub(crate) fn mrto(&self) -> Duration {
        self.measured.mrto
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Mode;

    fn header() -> PacketHeader {
        PacketHeader {
            mode: Mode::Initiator,
            time_critical: false,
            time_critical_reverse: false,
            timestamp: None,
            timestamp_echo: None,
        }
    }

    fn path() -> Path {
        Path::new(InterfaceId(0), SocketAddr::from(([127, 0, 0, 1], 1)), None)
    }

    #[test]
    fn back_off_follows_the_measured_sequence() {
        // Facts section 10.8, seen with a smoothed round-trip time of 40 ms.
        let mut path = path();
        for tick in 0..200u64 {
            let now = Time::from_millis(1000 + tick * 40);
            let echo = timestamp(now - Duration::from_millis(40));
            path.note_echo(now, &PacketHeader { timestamp_echo: Some(echo), ..header() });
        }
        assert_eq!(path.srtt().map(|d| d.as_millis()), Some(40));
        let mut seen = Vec::new();
        for _ in 0..16 {
            path.back_off();
            seen.push((path.erto.as_secs_f64() * 100.0).round() / 100.0);
        }
        assert_eq!(seen.last(), Some(&10.0));
        assert!((seen[1] / seen[0] - 1.414).abs() < 0.05);
    }

    #[test]
    fn an_echo_is_the_timestamp_plus_its_age_and_is_sent_once() {
        let mut path = path();
        path.note_timestamp(Time::from_millis(1000), &PacketHeader { timestamp: Some(0xffff), ..header() });
        let mut first = header();
        path.stamp(Time::from_millis(1009), &mut first);
        assert_eq!(first.timestamp_echo, Some(1));
        assert_eq!(first.timestamp, Some(252));
        let mut second = header();
        path.stamp(Time::from_millis(1010), &mut second);
        assert_eq!(second.timestamp_echo, None);
        let mut late = header();
        path.stamp(Time::from_millis(1000 + 129_000), &mut late);
        assert_eq!(late.timestamp_echo, None);
    }

    #[test]
    fn an_echo_from_the_future_is_not_a_sample() {
        let mut path = path();
        let now = Time::from_millis(4000);
        let echo = timestamp(now).wrapping_add(10);
        assert_eq!(path.note_echo(now, &PacketHeader { timestamp_echo: Some(echo), ..header() }), None);
        assert_eq!(path.srtt(), None);
    }
}
