//! The timers of a session: a fixed table. The endpoint keeps one queue with an entry for each session and re-arms
//! it lazily, so moving a timer later touches nothing.

use rtmfp_base::Time;

/// What a session waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(usize)]
pub(crate) enum Timer {
    /// Hello or keying packets are to be sent (again).
    Startup,
    /// Opening takes too long, or the far end never used the session.
    Deadline,
    /// The retransmission alarm (RFC 7016 section 3.6.2.6).
    Retransmit,
    /// The last fragment under way is sent again.
    Tail,
    /// Delayed acknowledgement (RFC 7016 section 3.6.3.4.4).
    Acknowledge,
    Keepalive,
    Idle,
    /// Close is to be sent again, or enough of it.
    Close,
    /// The burst allowance is refilled.
    Pace,
    /// The earliest buffer probe of a flow.
    Probe,
    /// Windows that have reopened are told again.
    Reopen,
    /// The earliest expiry of a message.
    Expiry,
    /// A finished flow's number is free again.
    Linger,
    /// A rejection is to be told again.
    Rejection,
    /// Something about the path is due: an interface, a probe of its size, an opening that nobody hears.
    Path,
}

pub(crate) const ALL: [Timer; 15] = [
    Timer::Startup,
    Timer::Deadline,
    Timer::Retransmit,
    Timer::Tail,
    Timer::Acknowledge,
    Timer::Keepalive,
    Timer::Idle,
    Timer::Close,
    Timer::Pace,
    Timer::Probe,
    Timer::Reopen,
    Timer::Expiry,
    Timer::Linger,
    Timer::Rejection,
    Timer::Path,
];

impl Timer {
    /// The name, for logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Deadline => "deadline",
            Self::Retransmit => "retransmit",
            Self::Tail => "tail",
            Self::Acknowledge => "acknowledge",
            Self::Keepalive => "keepalive",
            Self::Idle => "idle",
            Self::Close => "close",
            Self::Pace => "pace",
            Self::Probe => "probe",
            Self::Reopen => "reopen",
            Self::Expiry => "expiry",
            Self::Linger => "linger",
            Self::Rejection => "rejection",
            Self::Path => "path",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Timers {
    at: [Time; ALL.len()],
    /// The entry for this session in the endpoint's queue; never: there is none.
    pub(crate) armed: Time,
}

impl Default for Timers {
    fn default() -> Self {
        Self { at: [Time::MAX; ALL.len()], armed: Time::MAX }
    }
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        self.at[timer as usize] = at;
    }

    /// Sets the timer unless it is set to an earlier time.
    pub(crate) fn set_earlier(&mut self, timer: Timer, at: Time) {
        let slot = &mut self.at[timer as usize];
        *slot = (*slot).min(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = Time::MAX;
    }

    pub(crate) fn stop_all(&mut self) {
        self.at = [Time::MAX; ALL.len()];
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        !self.at[timer as usize].is_never()
    }

    /// The earliest timer.
    pub(crate) fn next(&self) -> (Time, Timer) {
        ALL.into_iter()
            .map(|timer| (self.at[timer as usize], timer))
            .min_by_key(|entry| entry.0)
            .unwrap_or((Time::MAX, Timer::Idle))
    }

    /// A timer that is due; it is stopped.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = self.next();
        if at.is_never() || at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}
