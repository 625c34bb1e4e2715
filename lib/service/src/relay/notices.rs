//! How much is said in the log of what others can bring about: enough to see what is wrong, too little to fill a disk.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

use log::{Level, log};
use rtmfp_base::{Time, TokenBucket};
use rtmfp_netconn::LinkError;
use rtmfp_rtmp::{Error as RtmpError, Foreign};

/// What is said of clients and destinations.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Destinations that could not be reached.
    pub(super) failures: Lines,
    /// Destinations that do not want a client.
    pub(super) refusals: Lines,
    /// Destinations that were lost.
    pub(super) losses: Lines,
    /// Clients that send too much.
    pub(super) floods: Lines,
    /// Clients that speak something else.
    foreign: Told,
}

impl Notices {
    /// How loudly to tell of a client that has ended so. An encoder that is set to RTMPS, or a browser, is worth a line at
    /// the default level: who has set that up looks for what is wrong. Probes do it every few seconds.
    pub(super) fn level_of_end(&mut self, now: Time, ip: IpAddr, error: &LinkError) -> Level {
        match error {
            LinkError::Rtmp(RtmpError::NotRtmp(Foreign::Tls | Foreign::Http))
                if self.foreign.is_worth_a_line(now, ip) =>
            {
                Level::Warn
            }
            _ => Level::Info,
        }
    }
}

/// Lines at once, and each second.
const LINES: (u32, u32) = (20, 1);

/// Lines of one kind. Of too many only debuggers hear; the next line says how many there were.
#[derive(Debug)]
pub(super) struct Lines {
    room: TokenBucket,
    untold: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self { room: TokenBucket::new(LINES.0, LINES.1), untold: 0 }
    }
}

impl Lines {
    pub(super) fn warn(&mut self, now: Time, line: fmt::Arguments<'_>) {
        self.log(now, Level::Warn, line);
    }

    pub(super) fn log(&mut self, now: Time, level: Level, line: fmt::Arguments<'_>) {
        match self.take(now) {
            Some(more) => log!(level, "{line}{more}"),
            None => log!(Level::Debug, "{line}"),
        }
    }

    /// What to put behind a line, if there is room for one.
    fn take(&mut self, now: Time) -> Option<More> {
        if self.room.take(now, 1) {
            return Some(More(core::mem::take(&mut self.untold)));
        }
        self.untold += 1;
        None
    }
}

/// How many lines were left out before one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct More(pub(super) u64);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, "; {} more since the last line", self.0) }
    }
}

/// Remembers who was written about: one line an address and [`AGAIN`], and few lines in all.
#[derive(Debug)]
pub(super) struct Told {
    addresses: HashMap<IpAddr, Time>,
    lines: TokenBucket,
}

/// When an address is worth another line.
pub(super) const AGAIN: Duration = Duration::from_secs(600);

/// Addresses that are remembered.
const ADDRESSES: usize = 256;

impl Default for Told {
    fn default() -> Self {
        Self { addresses: HashMap::new(), lines: TokenBucket::new(LINES.0, LINES.1) }
    }
}

impl Told {
    pub(super) fn is_worth_a_line(&mut self, now: Time, ip: IpAddr) -> bool {
        if self.addresses.get(&ip).is_some_and(|&told| now.since(told) < AGAIN) || !self.lines.take(now, 1) {
            return false;
        }
        if self.addresses.len() >= ADDRESSES {
            self.addresses.clear();
        }
        self.addresses.insert(ip, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_a_few_lines_are_told_and_how_many_were_not() {
        let mut lines = Lines::default();
        let now = Time::from_secs(1);
        assert_eq!((0..1000).filter_map(|_| lines.take(now)).collect::<Vec<_>>(), [More(0); 20]);
        assert_eq!(lines.take(now + Duration::from_secs(1)), Some(More(980)));
        assert_eq!(More(980).to_string(), "; 980 more since the last line");
        assert_eq!(lines.take(now + Duration::from_secs(1)), None);
        assert_eq!(lines.take(now + Duration::from_secs(3)), Some(More(1)));
    }

    #[test]
    fn addresses_are_remembered_in_bounded_memory() {
        let mut told = Told::default();
        for number in 0..2000_u16 {
            let [high, low] = number.to_be_bytes();
            told.is_worth_a_line(Time::from_secs(u64::from(number) + 1), [10, 1, high, low].into());
            assert!(told.addresses.len() <= ADDRESSES);
        }
    }

    #[test]
    fn those_who_speak_something_else_are_worth_one_line_each_and_others_none_at_this_level() {
        let mut notices = Notices::default();
        let now = Time::from_secs(1);
        let mut level =
            |now, last, error: LinkError| notices.level_of_end(now, [10, 0, 0, last].into(), &error);
        let foreign = |foreign| LinkError::Rtmp(RtmpError::NotRtmp(foreign));
        assert_eq!(level(now, 1, foreign(Foreign::Tls)), Level::Warn);
        assert_eq!(level(now, 1, foreign(Foreign::Tls)), Level::Info);
        assert_eq!(level(now, 2, foreign(Foreign::Http)), Level::Warn);
        assert_eq!(level(now + AGAIN, 1, foreign(Foreign::Tls)), Level::Warn);
        assert_eq!(level(now, 3, foreign(Foreign::Unknown)), Level::Info);
        assert_eq!(level(now, 4, LinkError::EarlyEnd), Level::Info);
    }
}
