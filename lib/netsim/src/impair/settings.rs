use core::time::Duration;

use crate::{LinkConfig, Loss, Reorder};

/// How one direction is impaired: what a [`LinkConfig`] says, with depths of the queue that may be times. Those follow
/// the rate when that changes. The default is a perfect link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Its `queue` and `ce_threshold` do not count.
    link: LinkConfig,
    queue: Depth,
    ce: Option<Depth>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { link: LinkConfig::default(), queue: DEFAULT_QUEUE, ce: None }
    }
}

/// The queue unless something else is set: what a rate needs to be of use, without the seconds of some modems.
const DEFAULT_QUEUE: Depth = Depth::Time(Duration::from_millis(200));

impl Settings {
    /// Changes one thing.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Perfect => *self = Self::default(),
            Setting::Delay(delay) => self.link.delay = delay,
            Setting::Jitter(jitter) => self.link.jitter = jitter,
            Setting::Loss(loss) => self.link.loss = loss,
            Setting::Duplicate(probability) => self.link.duplicate = probability,
            Setting::Reorder(reorder) => self.link.reorder = reorder,
            Setting::Rate(rate) => self.link.rate = rate,
            Setting::Queue(depth) => self.queue = depth,
            Setting::Ce(depth) => self.ce = depth,
            Setting::Bleach(bleach) => self.link.bleach_ecn = bleach,
            Setting::Mtu(mtu) => self.link.mtu = mtu,
            Setting::Corrupt(probability) => self.link.corrupt = probability,
            Setting::Truncate(probability) => self.link.truncate = probability,
        }
    }

    /// The link that comes of it.
    pub fn link(&self) -> LinkConfig {
        let rate = self.link.rate;
        LinkConfig {
            queue: self.queue.bytes(rate).unwrap_or(usize::MAX),
            ce_threshold: self.ce.and_then(|depth| depth.bytes(rate)),
            ..self.link
        }
    }
}

/// One thing about a direction. The fields of [`LinkConfig`] say what each means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    /// Nothing is impaired any more.
    Perfect,
    /// Time on the wire.
    Delay(Duration),
    /// Added to the delay: anything from zero to this.
    Jitter(Duration),
    /// Which datagrams vanish.
    Loss(Loss),
    /// Probability that a datagram arrives twice.
    Duplicate(f64),
    /// Which datagrams are overtaken.
    Reorder(Reorder),
    /// Bytes per second that pass; `None`: any number.
    Rate(Option<u64>),
    /// What may wait for the rate.
    Queue(Depth),
    /// From which depth of the queue on datagrams are marked "congestion experienced".
    Ce(Option<Depth>),
    /// Whether ECN marks are cleared.
    Bleach(bool),
    /// Longest datagram that passes.
    Mtu(Option<usize>),
    /// Probability that bytes of a datagram are changed.
    Corrupt(f64),
    /// Probability that a datagram loses its end.
    Truncate(f64),
}

/// How deep a queue is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// In bytes.
    Bytes(usize),
    /// In time that the rate needs for it.
    Time(Duration),
}

impl Depth {
    /// In bytes; `None`: never so deep, without a rate.
    fn bytes(self, rate: Option<u64>) -> Option<usize> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Time(Duration::ZERO) => Some(0),
            Self::Time(time) => {
                let bytes = time.as_micros().saturating_mul(u128::from(rate?)) / 1_000_000;
                Some(usize::try_from(bytes).unwrap_or(usize::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths_that_are_times_follow_the_rate() {
        let mut settings = Settings::default();
        assert_eq!(settings.link(), LinkConfig::default());
        settings.set(Setting::Ce(Some(Depth::Time(Duration::from_millis(10)))));
        settings.set(Setting::Rate(Some(125_000)));
        assert_eq!((settings.link().queue, settings.link().ce_threshold), (25_000, Some(1250)));
        settings.set(Setting::Rate(Some(250_000)));
        settings.set(Setting::Queue(Depth::Bytes(7)));
        assert_eq!((settings.link().queue, settings.link().ce_threshold), (7, Some(2500)));
        settings.set(Setting::Rate(Some(u64::MAX)));
        settings.set(Setting::Queue(Depth::Time(Duration::MAX)));
        assert_eq!(settings.link().queue, usize::MAX);
        settings.set(Setting::Perfect);
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn a_mark_from_an_empty_queue_on_needs_no_rate() {
        let mut settings = Settings::default();
        settings.set(Setting::Ce(Some(Depth::Time(Duration::ZERO))));
        assert_eq!(settings.link().ce_threshold, Some(0));
        settings.set(Setting::Ce(Some(Depth::Time(Duration::from_millis(1)))));
        assert_eq!(settings.link().ce_threshold, None);
    }
}
