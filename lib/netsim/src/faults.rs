use core::ops::AddAssign;

use rtmfp_base::{Counters, Visit};

macro_rules! faults {
    ($($(#[$doc:meta])+ $fault:ident = $name:literal,)+) => {
        /// A kind of mishap that a network can bring about.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Fault {
            $($(#[$doc])+ $fault,)+
        }

        impl Fault {
            /// All kinds.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$fault),+];

            /// Its name among counters.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fault => $name,)+
                }
            }
        }
    };
}

faults! {
    /// A link lost a datagram by chance.
    Lost = "lost",
    /// A burst of losses began on a link.
    LossBurst = "loss_bursts",
    /// A datagram did not fit a link's queue.
    QueueFull = "queue_full",
    /// A datagram was longer than a link takes.
    TooLong = "too_long",
    /// A datagram came to a blocked link.
    Blocked = "blocked",
    /// A datagram was sent on twice.
    Duplicated = "duplicated",
    /// A datagram was held back for others to overtake.
    Reordered = "reordered",
    /// A datagram took longer than the delay.
    Jittered = "jittered",
    /// Bytes of a datagram were changed.
    Corrupted = "corrupted",
    /// A datagram lost its end.
    Truncated = "truncated",
    /// A datagram was marked "congestion experienced".
    CeMarked = "ce_marked",
    /// A datagram lost its ECN mark.
    Bleached = "bleached",
    /// A datagram did not fit the receive buffer of its socket.
    ReceiveBufferFull = "receive_buffer_full",
    /// A datagram had nobody to go to: no host has the address, or no socket the port, or the host was off or
    /// had no way out.
    Undeliverable = "undeliverable",
    /// A NAT box refused a datagram from outside: no mapping, or none for this sender.
    NatRefused = "nat_refused",
    /// A NAT box refused a datagram from inside to its own public address.
    HairpinRefused = "hairpin_refused",
    /// A mapping of a NAT box timed out.
    NatExpired = "nat_expired",
    /// A mapping of a NAT box was forgotten by a rebinding.
    NatRebound = "nat_rebound",
    /// A byte stream was reset from outside.
    StreamReset = "stream_reset",
    /// A NAT box forgot a byte stream.
    StreamSevered = "stream_severed",
    /// A host gave up a byte stream because the other end did not answer.
    StreamTimedOut = "stream_timed_out",
    /// A job took time.
    JobSlow = "job_slow",
    /// A job ends before one that began earlier.
    JobReordered = "job_reordered",
    /// A job never ended.
    JobLost = "job_lost",
    /// A host was put to sleep.
    Slept = "slept",
    /// A host was switched off.
    Vanished = "vanished",
    /// A host was restarted.
    Restarted = "restarted",
    /// A host got other addresses.
    Moved = "moved",
    /// A host's clock changed its pace.
    ClockPaced = "clock_paced",
}

/// How often each kind of [`Fault`] fired.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Faults([u64; Fault::ALL.len()]);

impl Faults {
    /// How often this kind fired.
    pub const fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }

    /// All kinds and how often each fired.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64)> {
        Fault::ALL.into_iter().map(|fault| (fault, self.count(fault)))
    }

    pub(crate) fn add(&mut self, fault: Fault, count: u64) {
        self.0[fault as usize] += count;
    }
}

impl AddAssign<&Self> for Faults {
    fn add_assign(&mut self, other: &Self) {
        for (fault, count) in other.iter() {
            self.add(fault, count);
        }
    }
}

impl Counters for Faults {
    fn visit(&self, visit: &mut Visit<'_>) {
        for (fault, count) in self.iter() {
            visit(fault.name(), count);
        }
    }
}
