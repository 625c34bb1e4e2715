//! What a session has done, for people.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use rtmfp::{Endpoint, SessionCounters, SessionId};

/// The newest figures of a session. It has none any more when it has ended, so they are taken while it is open.
#[derive(Debug)]
pub(crate) struct Report {
    far_address: SocketAddr,
    max_packet: usize,
    /// How often one of the ends moved, so that packets go another way.
    pub(crate) moves: u64,
    counters: SessionCounters,
}

impl Report {
    /// The figures of now, if the session is open.
    pub(crate) fn of(endpoint: &mut Endpoint, session: SessionId) -> Option<Self> {
        let session = endpoint.session(session)?;
        let info = session.info();
        Some(Self {
            far_address: info.far_address,
            max_packet: info.max_packet,
            moves: 0,
            counters: session.counters(),
        })
    }

    /// Takes the figures of now, as far as there still are any.
    pub(crate) fn update(&mut self, endpoint: &mut Endpoint, session: SessionId) {
        if let Some(now) = Self::of(endpoint, session) {
            *self = Self { moves: self.moves, ..now };
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counters;
        let time = Duration::from_micros;
        writeln!(f, "session with {}; {} changes of address", self.far_address, self.moves)?;
        let line = |f: &mut fmt::Formatter<'_>, way: &str, packets: u64, bytes: u64, data: u64| {
            writeln!(f, "  {way}: {packets} packets, {bytes} bytes, {data} of them user data")
        };
        line(f, "sent", c.sent_packets, c.sent_bytes, c.sent_data_bytes + c.resent_data_bytes)?;
        line(f, "received", c.received_packets, c.received_bytes, c.received_data_bytes)?;
        writeln!(
            f,
            "  lost: {} fragments, {} sent again; {} time-outs, {} tail probes, {} times congested by delay",
            c.lost_fragments, c.resent_fragments, c.timeouts, c.tail_probes, c.delay_events
        )?;
        writeln!(
            f,
            "  round trip: {:?} smoothed, {:?} at least; window {} bytes; packets up to {} bytes",
            time(c.rtt_smoothed_micros),
            time(c.rtt_base_micros),
            c.window_bytes,
            self.max_packet
        )?;
        writeln!(
            f,
            "  ECN sent: {} capable packets, {} reports came back with {} marks",
            c.sent_capable, c.received_ecn_reports, c.reported_marks
        )?;
        write!(
            f,
            "  ECN received: {} capable packets with {} marks, {} reports sent",
            c.received_capable, c.received_marks, c.sent_ecn_reports
        )
    }
}
