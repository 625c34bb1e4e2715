//! How large packets may be on a session's path: found by pings in padded packets (RFC 7016 section 3.5.4.3).
//!
//! A session begins with packets that nearly every path takes. Once it has something bulky to send, it asks the far end
//! by a ping in a fragmented packet whether it puts those together: a fragment of a message keeps its size when it is
//! sent again, and on a path that has become narrower only packet fragments (RFC 7016 section 3.4) carry it then. With
//! a far end that does not answer, the session stays as it is. With others, pings in padded packets find the largest
//! size that comes through, which is verified from time to time. When large packets alone are lost, the session goes
//! back to the size of the beginning and searches anew.

use core::time::Duration;

use rtmfp_base::Time;

use super::{Blank, Session};
use crate::config::{MAX_FRAGMENT, MAX_PACKET};
use crate::wire::{Reader, vlu};

/// Marks the message of a ping as one that probes the size of packets.
const MARK: u8 = b'P';

/// Sizes are searched for in steps of this many bytes, the block of most ciphers.
const STEP: usize = 16;

/// A size of which so many probes were not answered does not come through.
const TRIES: u32 = 3;

/// Full packets after which a session has something bulky to send.
const BULK: u32 = 8;

/// Before the search begins anew where large packets got lost.
const PAUSE: Duration = Duration::from_secs(1);

/// So many large packets lost, and none that came through since: they do not come through any more.
const LOST: u32 = 8;

/// What is to be sent to find something out about the path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Probe {
    /// A packet in fragments.
    Fragmented,
    /// A packet of this size.
    Padded(usize),
}

#[derive(Clone, Copy, Debug)]
struct Search {
    probe: Probe,
    /// No packet of this size or larger comes through, as far as is known.
    high: usize,
    /// The probe was sent with these numbers, the last one at that time.
    first: u64,
    sent: Option<Time>,
    tries: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing is searched for before that time; then this size is tried first.
    Idle {
        until: Time,
        first: usize,
    },
    Searching(Search),
    /// The far end does not know packet fragments.
    Off,
}

/// The sizes of a session's packets: clear bytes with the profile's front, as [`MAX_PACKET`].
#[derive(Debug)]
pub(crate) struct Mtu {
    size: usize,
    state: State,
    /// The far end puts fragmented packets together.
    fragments_known: bool,
    /// Full packets sent since a search might have begun.
    full: u32,
    /// The number of the next probe.
    serial: u64,
    /// The number of the next fragmented packet.
    packet_id: u64,
}

impl Blank for Mtu {
    const NEW: Self = Self {
        size: MAX_PACKET,
        state: State::Idle { until: Time::ZERO, first: usize::MAX },
        fragments_known: false,
        full: 0,
        serial: 0,
        packet_id: 0,
    };
    const BLANK: &'static Self = &Self::NEW;
}

impl Mtu {
    /// The largest packet.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The largest fragment of a message.
    pub(super) fn fragment(&self) -> usize {
        if self.is_raised() { self.size } else { MAX_FRAGMENT }
    }

    fn is_raised(&self) -> bool {
        self.size > MAX_PACKET
    }

    /// A number for a fragmented packet.
    pub(crate) fn packet_id(&mut self) -> u64 {
        self.packet_id += 1;
        self.packet_id
    }

    /// A packet of `len` bytes with user data was sent.
    fn note_sent(&mut self, now: Time, len: usize, ceiling: usize) {
        let State::Idle { until, first } = self.state else { return };
        self.full += u32::from(len >= self.size / 4 * 3);
        if now < until || self.full < BULK || ceiling <= MAX_PACKET {
            return;
        }
        self.full = 0;
        let probe = match (self.fragments_known, self.is_raised()) {
            (false, _) => Probe::Fragmented,
            (true, true) => Probe::Padded(self.size),
            (true, false) => Probe::Padded(first.min(ceiling)),
        };
        self.search(probe, ceiling + STEP);
    }

    fn search(&mut self, probe: Probe, high: usize) {
        self.state = State::Searching(Search { probe, high, first: self.serial, sent: None, tries: 0 });
    }

    /// Whether a search has begun of which no probe was sent yet.
    pub(crate) fn begins(&self) -> bool {
        matches!(self.state, State::Searching(Search { sent: None, .. }))
    }

    /// When [`Self::poll`] wants to be called.
    pub(crate) fn due(&self, wait: Duration) -> Option<Time> {
        match self.state {
            State::Searching(search) => Some(search.sent.map_or(Time::ZERO, |at| at + wait)),
            State::Idle { .. } | State::Off => None,
        }
    }

    /// The probe to send now and the message of its ping. An answer is waited for that long. Where nothing comes through
    /// at all (it is not `alive`), that there was none says nothing of sizes.
    pub(crate) fn poll(
        &mut self,
        now: Time,
        wait: Duration,
        alive: bool,
        config: &crate::SessionConfig,
    ) -> Option<(Probe, Vec<u8>)> {
        if self.due(wait).is_none_or(|at| at > now) {
            return None;
        }
        if let State::Searching(Search { probe, high, tries: TRIES, .. }) = self.state {
            match probe {
                _ if !alive => {
                    let first = if let Probe::Padded(size) = probe { size } else { usize::MAX };
                    self.state = State::Idle { until: now + PAUSE, first };
                }
                Probe::Fragmented => self.state = State::Off,
                Probe::Padded(size) => {
                    if size == self.size {
                        self.size = MAX_PACKET;
                    }
                    self.narrow(now, size.min(high), config);
                }
            }
        }
        let State::Searching(search) = &mut self.state else { return None };
        search.tries += 1;
        search.sent = Some(now);
        let mut message = vec![MARK];
        vlu::write(self.serial, &mut message);
        self.serial += 1;
        Some((search.probe, message))
    }

    /// Sizes from `high` on do not come through: tries the middle between that and what does.
    fn narrow(&mut self, now: Time, high: usize, config: &crate::SessionConfig) {
        let middle = (self.size + (high - self.size) / 2) / STEP * STEP;
        if middle > self.size && middle < high {
            return self.search(Probe::Padded(middle), high);
        }
        self.state = State::Idle { until: now + config.mtu_interval, first: usize::MAX };
        self.full = 0;
    }

    /// A ping was answered with this message.
    pub(crate) fn on_reply(&mut self, now: Time, message: &[u8], config: &crate::SessionConfig) {
        let State::Searching(search) = self.state else { return };
        let mut reader = Reader::new(message);
        let serial = if reader.u8() == Ok(MARK) { reader.vlu().ok() } else { None };
        if !serial.is_some_and(|serial| (search.first..self.serial).contains(&serial)) {
            return;
        }
        let ceiling = config.max_packet;
        match search.probe {
            Probe::Fragmented => {
                self.fragments_known = true;
                self.search(Probe::Padded(ceiling), search.high);
            }
            Probe::Padded(size) => {
                let verified = size == self.size;
                self.size = size;
                if verified && size < ceiling {
                    self.search(Probe::Padded(ceiling), search.high);
                } else if size >= ceiling {
                    self.state = State::Idle { until: now + config.mtu_interval, first: usize::MAX };
                    self.full = 0;
                } else {
                    self.narrow(now, search.high, config);
                }
            }
        }
    }

    /// Packets larger than at first do not come through, or there is no telling: back to the beginning. The size that
    /// was found is tried first when the search begins anew.
    pub(super) fn shrink(&mut self, until: Time) {
        if matches!(self.state, State::Off) {
            return;
        }
        let first = if self.is_raised() { self.size } else { usize::MAX };
        self.size = MAX_PACKET;
        self.full = 0;
        self.state = State::Idle { until, first };
    }
}

impl Session {
    /// A packet of `len` clear bytes with user data was put together where `room` are the most.
    pub(super) fn note_packet(&mut self, now: Time, len: usize, room: usize) {
        let front = self.mtu.size().saturating_sub(room);
        if self.mtu.is_raised() && len + front > MAX_PACKET {
            self.flight.mark_large();
        }
        if self.path.timeouts == 0 {
            self.mtu.note_sent(now, len + front, self.config.max_packet);
        }
    }

    /// After losses: answers whether large packets are taken not to come through any more. That nothing came through
    /// may have other reasons, but then the size that was found is soon found again.
    pub(crate) fn leave_black_hole(&mut self, now: Time) -> bool {
        let lost = self.flight.large_lost();
        let hole = lost >= LOST || (lost > 0 && self.path.timeouts > 1);
        if hole && self.mtu.is_raised() {
            self.mtu.shrink(now + PAUSE);
            self.flight.forget_large_lost();
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionConfig;

    const WAIT: Duration = Duration::from_millis(250);

    /// Searches on a path that takes packets up to a size, from a far end that may know fragments. Answers the number of
    /// probes.
    fn search(mtu: &mut Mtu, now: &mut Time, path: usize, known: bool, config: &SessionConfig) -> u32 {
        for _ in 0..BULK {
            mtu.note_sent(*now, MAX_PACKET, config.max_packet);
        }
        let mut probes = 0;
        while mtu.due(WAIT).is_some() {
            while let Some((probe, message)) = mtu.poll(*now, WAIT, true, config) {
                probes += 1;
                let through = match probe {
                    Probe::Fragmented => known,
                    Probe::Padded(size) => size <= path,
                };
                if through {
                    mtu.on_reply(*now, &message, config);
                }
            }
            *now += WAIT;
            assert!(probes < 100, "it ends");
        }
        probes
    }

    #[test]
    fn the_largest_size_is_found_to_a_step() {
        for max_packet in [1216, 1408, 4000, 8128] {
            let config = SessionConfig { max_packet, ..SessionConfig::default() };
            for path in (1200..8300).step_by(37) {
                let (mut mtu, mut now) = (Mtu::NEW, Time::from_secs(1));
                search(&mut mtu, &mut now, path, true, &config);
                let best = path.min(max_packet);
                assert!(mtu.size() <= best && mtu.size() + STEP > best, "{} of {best}", mtu.size());
                assert!(now < Time::from_secs(20), "{now}");
            }
        }
    }

    #[test]
    fn a_far_end_that_does_not_know_fragments_is_asked_three_times() {
        let (mut mtu, mut now, config) = (Mtu::NEW, Time::from_secs(1), SessionConfig::default());
        assert_eq!(search(&mut mtu, &mut now, 9000, false, &config), TRIES);
        assert_eq!(search(&mut mtu, &mut now, 9000, true, &config), 0);
        assert_eq!(mtu.size(), MAX_PACKET);
    }

    #[test]
    fn nothing_is_probed_without_something_bulky_to_send() {
        let (mut mtu, config) = (Mtu::NEW, SessionConfig::default());
        for second in 0..10_000 {
            mtu.note_sent(Time::from_secs(second), 800, config.max_packet);
        }
        assert_eq!(mtu.due(WAIT), None);
    }

    #[test]
    fn what_was_found_is_verified_after_the_interval_and_lost_again_on_a_narrower_path() {
        let (mut mtu, mut now, config) = (Mtu::NEW, Time::from_secs(1), SessionConfig::default());
        search(&mut mtu, &mut now, 1300, true, &config);
        assert_eq!(mtu.size(), 1296);
        assert_eq!(search(&mut mtu, &mut now, 9000, true, &config), 0, "not yet");
        now += config.mtu_interval;
        search(&mut mtu, &mut now, 9000, true, &config);
        assert_eq!(mtu.size(), config.max_packet);
        now += config.mtu_interval;
        search(&mut mtu, &mut now, 1250, true, &config);
        assert_eq!(mtu.size(), 1248);
    }

    #[test]
    fn after_a_false_alarm_the_size_is_found_again_by_one_probe() {
        let (mut mtu, mut now, config) = (Mtu::NEW, Time::from_secs(1), SessionConfig::default());
        search(&mut mtu, &mut now, 9000, true, &config);
        mtu.shrink(now);
        assert_eq!(mtu.size(), MAX_PACKET);
        assert_eq!(search(&mut mtu, &mut now, 9000, true, &config), 1);
        assert_eq!(mtu.size(), config.max_packet);
    }
}
