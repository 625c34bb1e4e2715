use core::time::Duration;

use crate::Lifetimes;

/// How links behave and what they grant their peers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkConfig {
    /// How long media may wait to be sent.
    pub lifetimes: Lifetimes,
    /// What a peer is granted until its connect was accepted.
    pub untrusted: ReceiveLimits,
    /// What a peer is granted from then on.
    pub trusted: ReceiveLimits,
    /// Bytes that may wait to be sent. Above it media is dropped; where only what has no deadline waits, the link
    /// ends. Default 32 MiB.
    pub max_queued_bytes: usize,
    /// NetStreams that a link may use. Default 1024.
    pub max_streams: usize,
    /// Flow synchronisations under way at a time; of more, the oldest ends early. Default 16.
    pub max_barriers: usize,
    /// Longest time for which a flow waits for another one. Default 2 s.
    pub barrier_limit: Duration,
    /// Longest time for which a command that ends a stream waits for the stream's media to be delivered, while
    /// the link lives on. Default 2.5 s: by then media with the default lifetimes has arrived or is too late.
    pub drain_limit: Duration,
    /// Longest time for which a link that is being finished waits for anything to be delivered. Default 8 s.
    pub finish_limit: Duration,
    /// How long the far end's other flows may outlive its control flow, and that the near end's. Default 2.5 s.
    pub tail_limit: Duration,
    /// Whether a client's link that is finished leaves its control flow open and ends the session instead, once everything
    /// was delivered. There are old servers that break when a control flow ends before its session. Default: no.
    pub keeps_control_flow: bool,
    /// How long a ping of an RTMP peer, which is passed on, waits for its answer before it is answered here: not all RTMFP
    /// clients know pings. Default 5 s.
    pub ping_limit: Duration,
    /// How often an RTMFP session asks an idle peer whether it is there. Default 10 s.
    pub keepalive: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            lifetimes: Lifetimes::default(),
            untrusted: ReceiveLimits { message_bytes: 64 << 10, session_bytes: 192 << 10 },
            trusted: ReceiveLimits { message_bytes: 6 << 20, session_bytes: 8 << 20 },
            max_queued_bytes: 32 << 20,
            max_streams: 1024,
            max_barriers: 16,
            barrier_limit: Duration::from_secs(2),
            drain_limit: Duration::from_millis(2500),
            finish_limit: Duration::from_secs(8),
            tail_limit: Duration::from_millis(2500),
            keeps_control_flow: false,
            ping_limit: Duration::from_secs(5),
            keepalive: Duration::from_secs(10),
        }
    }
}

/// What a peer may make a link hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiveLimits {
    /// The longest message in bytes.
    pub message_bytes: usize,
    /// Memory for all that was received in part, or not handed out yet, in bytes.
    pub session_bytes: usize,
}

impl ReceiveLimits {
    /// What of it a session's account gets, so that what is really held stays within it: one message beside the limit of
    /// all (an eighth of its buffer may be spare), flows and holes at what they really take, and small parts, which
    /// take up to twice what they count.
    pub fn grant(self, session: &mut rtmfp::SessionConfig) {
        let message = self.message_bytes + self.message_bytes / 8;
        let rest = self.session_bytes.saturating_sub(message).max(LEAST);
        session.receive_limit = rest / 2;
        session.overhead_limit = rest / 4;
    }
}

/// With less than this, hardly anything could be received.
const LEAST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_get_no_more_than_was_measured_to_stay_within_the_bounds() {
        // The transport's test of memory measures these: 256 KiB before connect is accepted, 8 MiB afterwards.
        let config = LinkConfig::default();
        let mut session = rtmfp::SessionConfig::default();
        config.untrusted.grant(&mut session);
        assert_eq!((session.receive_limit, session.overhead_limit), (60 << 10, 30 << 10));
        config.trusted.grant(&mut session);
        assert_eq!((session.receive_limit, session.overhead_limit), (640 << 10, 320 << 10));
    }
}
