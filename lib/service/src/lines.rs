//! How much is said in the log of what others can bring about: enough to see what is wrong, too little to fill a disk.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::collections::HashMap;

use log::{Level, log};
use rtmfp_base::{Time, TokenBucket};

/// Lines at once, and each second.
const LINES: (u32, u32) = (20, 1);

/// Lines of one kind. Of too many only debuggers hear; the next line says how many there were.
#[derive(Debug)]
pub(crate) struct Lines {
    room: TokenBucket,
    untold: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Self { room: TokenBucket::new(LINES.0, LINES.1), untold: 0 }
    }
}

impl Lines {
    pub(crate) fn warn(&mut self, now: Time, line: fmt::Arguments<'_>) {
        self.log(now, Level::Warn, line);
    }

    pub(crate) fn log(&mut self, now: Time, level: Level, line: fmt::Arguments<'_>) {
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
pub(crate) struct More(pub(crate) u64);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, "; {} more since the last line", self.0) }
    }
}

/// Remembers who was written about: one line an address and [`AGAIN`], and few lines in all.
#[derive(Debug)]
pub(crate) struct Told {
    addresses: HashMap<IpAddr, Time>,
    lines: TokenBucket,
}

/// When an address is worth another line.
pub(crate) const AGAIN: Duration = Duration::from_secs(600);

/// Addresses that are remembered.
const ADDRESSES: usize = 256;

impl Default for Told {
    fn default() -> Self {
        Self { addresses: HashMap::new(), lines: TokenBucket::new(LINES.0, LINES.1) }
    }
}

impl Told {
    pub(crate) fn is_worth_a_line(&mut self, now: Time, ip: IpAddr) -> bool {
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
}
