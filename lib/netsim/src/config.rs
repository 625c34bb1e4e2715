use core::time::Duration;

/// How one direction of a link treats what travels on it. The default is a perfect one: no delay, no limits.
///
/// A datagram passes these in this order: `mtu`, `queue`, `bleach_ecn`, `ce_threshold`, `rate`, `loss`,
/// `corrupt`, `truncate`, `delay` with `jitter`, `reorder`, `duplicate`. Lost datagrams have used the rate.
/// Lengths are those of UDP payloads.
///
/// Byte streams feel `delay` and `rate` only. They do not share the rate with datagrams: without a congestion
/// control of their own they would leave nothing to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkConfig {
    /// Time on the wire.
    pub delay: Duration,
    /// Added to `delay`: anything from zero to this. Never changes the order, so a datagram may have to wait
    /// for the one before it.
    pub jitter: Duration,
    /// Which datagrams vanish.
    pub loss: Loss,
    /// Probability that a datagram arrives twice. The copy has jitter and reordering of its own.
    pub duplicate: f64,
    /// Which datagrams are overtaken.
    pub reorder: Reorder,
    /// Bytes per second that pass; `None`: any number.
    pub rate: Option<u64>,
    /// Bytes that may wait for the rate, the one being sent included; what does not fit vanishes. An idle link
    /// takes a datagram of any length.
    pub queue: usize,
    /// From this many waiting bytes on, ECN-capable datagrams are marked "congestion experienced".
    pub ce_threshold: Option<usize>,
    /// Whether ECN marks are cleared, as some routers do. `ce_threshold` then finds nothing to mark.
    pub bleach_ecn: bool,
    /// Longest payload that passes; longer ones vanish.
    pub mtu: Option<usize>,
    /// Probability that one to four bytes of a datagram are changed.
    pub corrupt: f64,
    /// Probability that a datagram loses its end, of random length.
    /// One byte at least stays.
    pub truncate: f64,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: Reorder::default(),
            rate: None,
            queue: usize::MAX,
            ce_threshold: None,
            bleach_ecn: false,
            mtu: None,
            corrupt: 0.0,
            truncate: 0.0,
        }
    }
}

impl LinkConfig {
    /// A link with a delay, otherwise perfect.
    pub fn with_delay(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    pub(crate) fn check(&self) {
        let (loss, bursts) = match self.loss {
            Loss::None => (0.0, None),
            Loss::Independent(probability) => (probability, None),
            Loss::Bursts(bursts) => (0.0, Some(bursts)),
        };
        let in_bursts = bursts.map_or([0.0; 4], |b| [b.enter, b.leave, b.loss_inside, b.loss_outside]);
        let others = [loss, self.duplicate, self.reorder.probability, self.corrupt, self.truncate];
        for probability in others.into_iter().chain(in_bursts) {
            assert!((0.0..=1.0).contains(&probability), "{probability} is no probability");
        }
        assert_ne!(self.rate, Some(0), "a rate of zero: block the link instead");
    }
}

/// Which datagrams a link loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability.
    Independent(f64),
    /// Several in a row.
    Bursts(Bursts),
}

/// Loss in bursts: the Gilbert-Elliott model. The link is in or outside of a burst, and may change that with
/// each datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Probability that a burst begins before a datagram.
    pub enter: f64,
    /// Probability that a burst ends before a datagram.
    pub leave: f64,
    /// Probability of loss in a burst.
    pub loss_inside: f64,
    /// Probability of loss outside.
    pub loss_outside: f64,
}

impl Bursts {
    /// Loses this share of all datagrams, in bursts of this mean length in which all are lost.
    ///
    /// # Panics
    /// When there are no such bursts: `length` below one, `share` not below one, or `share` so high that the
    /// pauses between bursts would be shorter than one datagram.
    pub fn new(share: f64, length: f64) -> Self {
        let leave = 1.0 / length;
        let enter = leave * share / (1.0 - share);
        assert!((0.0..=1.0).contains(&enter) && leave <= 1.0, "no bursts of {length} lose {share} of all");
        Self { enter, leave, loss_inside: 1.0, loss_outside: 0.0 }
    }
}

/// Which datagrams a link lets others overtake.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reorder {
    /// Probability that a datagram is held back.
    pub probability: f64,
    /// For how long. Those behind it go on meanwhile.
    pub extra: Duration,
}

/// What becomes of the jobs of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct JobModel {
    /// Time that each takes.
    pub delay: Duration,
    /// Added to `delay`: anything from zero to this, so that jobs end in another order than they began.
    pub jitter: Duration,
    /// Probability that one never ends.
    pub lost: f64,
}

/// How byte streams work, on all hosts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamConfig {
    /// Bytes that a sender's host takes from its service before they are acknowledged.
    pub send_buffer: usize,
    /// Bytes that a receiver's host keeps while its service does not read.
    pub receive_buffer: usize,
    /// Most bytes that travel, and are handed to a service, at a time.
    pub segment: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// A stream whose peer leaves bytes, or keep-alive probes, unanswered for this long is closed.
    pub dead_after: Duration,
    /// Whether a peer that vanished is noticed without anything being sent to it. A host probes streams three
    /// times in [`dead_after`](Self::dead_after).
    pub keep_alive: bool,
    /// How long a stream that is being finished may take until its host has taken all bytes.
    pub flush_timeout: Duration,
    /// How long a finished stream then waits for the other end to finish as well.
    pub close_timeout: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            send_buffer: 64 * 1024,
            receive_buffer: 64 * 1024,
            segment: 1448,
            connect_timeout: Duration::from_secs(10),
            dead_after: Duration::from_secs(30),
            keep_alive: true,
            flush_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// What holds for a whole network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Byte streams.
    pub streams: StreamConfig,
    /// Jobs of hosts for which nothing else is set.
    pub jobs: JobModel,
    /// Time that a look-up of a name takes; literal addresses need none.
    pub name_delay: Duration,
    /// Whether a datagram to a port that nobody has open makes the sender get an
    /// [`Input::PathError`](rtmfp_base::Input::PathError).
    pub report_closed_ports: bool,
    /// Bytes of datagrams that a UDP socket holds for its service, unless that asks for another
    /// [buffer](rtmfp_base::UdpOptions::buffer); `None`: any number. What does not fit is lost; an empty buffer
    /// takes a datagram of any length. Services take all that arrives in one instant, so that a buffer fills
    /// by what arrives in one instant, and while the host [sleeps](crate::Network::sleep).
    pub udp_receive_buffer: Option<usize>,
    /// Actions, datagrams, timeouts and calls to fill a stream that one host may need without time passing.
    /// One that needs more is caught in a loop: the simulator panics.
    pub max_work: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams: StreamConfig::default(),
            jobs: JobModel::default(),
            name_delay: Duration::from_millis(20),
            report_closed_ports: false,
            udp_receive_buffer: None,
            max_work: 100_000,
        }
    }
}
