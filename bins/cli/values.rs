//! Values of options: times, sizes, code points, groups.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use rtmfp_flash::Group;

#[cfg(test)]
#[path = "values/tests.rs"]
mod tests;

/// A duration in seconds, such as `10` or `0.5`, above zero and up to a day.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Self, SecondsError> {
        let seconds = parse_seconds(text)?;
        if seconds.is_zero() { Err(SecondsError::Zero) } else { Ok(Self(seconds)) }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

/// How long a frame may wait, in seconds, such as `2` or `0.4`; `inf` means for ever.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetime(pub Option<Duration>);

impl FromStr for Lifetime {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Self, SecondsError> {
        if text == "inf" { Ok(Self(None)) } else { parse_seconds(text).map(|time| Self(Some(time))) }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => write!(f, "{}", time.as_secs_f64()),
            None => f.write_str("inf"),
        }
    }
}

fn parse_seconds(text: &str) -> Result<Duration, SecondsError> {
    // `f64::from_str` alone would take names, exponents and signs.
    let digits = |c: u8| c.is_ascii_digit() || c == b'.';
    let seconds: f64 = match text.parse() {
        Ok(seconds) if text.bytes().all(digits) => seconds,
        _ => return Err(SecondsError::NoNumber),
    };
    if seconds > DAY { Err(SecondsError::Long) } else { Ok(Duration::from_secs_f64(seconds)) }
}

const DAY: f64 = 86_400.0;

/// Why something is no time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SecondsError {
    /// Not digits with at most one point.
    #[error("it is no number of seconds, such as 10 or 0.5")]
    NoNumber,
    /// Zero.
    #[error("it must be above 0 seconds")]
    Zero,
    /// Longer than a day.
    #[error("it must be at most a day, 86400 seconds")]
    Long,
}

/// A number of bytes, such as `65536`, `64K` or `6M` (KiB and MiB).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ByteCount(pub usize);

impl FromStr for ByteCount {
    type Err = CountError;

    fn from_str(text: &str) -> Result<Self, CountError> {
        let (digits, unit) = match text.as_bytes() {
            [.., b'k' | b'K'] => (&text[..text.len() - 1], 1 << 10),
            [.., b'm' | b'M'] => (&text[..text.len() - 1], 1 << 20),
            _ => (text, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(CountError::NoNumber);
        }
        let count = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(unit));
        count.map(Self).ok_or(CountError::Large)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            count if count > 0 && count % (1 << 20) == 0 => write!(f, "{}M", count >> 20),
            count if count > 0 && count % (1 << 10) == 0 => write!(f, "{}K", count >> 10),
            count => write!(f, "{count}"),
        }
    }
}

/// Why something is no number of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CountError {
    /// Not digits, with K or M at most.
    #[error("it is no number of bytes, such as 65536, 64K or 6M")]
    NoNumber,
    /// More than the machine can count.
    #[error("it is too large")]
    Large,
}

/// A differentiated services code point: a number or one of its names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dscp(pub u8);

impl FromStr for Dscp {
    type Err = DscpError;

    fn from_str(text: &str) -> Result<Self, DscpError> {
        let name = text.to_ascii_uppercase();
        let digit = |c: u8, range: core::ops::RangeInclusive<u8>| {
            let digit = c.wrapping_sub(b'0');
            range.contains(&digit).then_some(digit)
        };
        let code = match name.as_bytes() {
            b"EF" => Some(46),
            b"VA" => Some(44),
            b"LE" => Some(1),
            b"DF" => Some(0),
            [b'C', b'S', class] => digit(*class, 0..=7).map(|class| 8 * class),
            [b'A', b'F', class, drop] => {
                digit(*class, 1..=4).zip(digit(*drop, 1..=3)).map(|(class, drop)| 8 * class + 2 * drop)
            }
            number if number.iter().all(u8::is_ascii_digit) => text.parse().ok().filter(|code| *code < 64),
            _ => None,
        };
        code.map(Self).ok_or(DscpError)
    }
}

impl fmt::Display for Dscp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// It is no code point.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it is no code point: write a number from 0 to 63, or CS0 to CS7, AF11 to AF43, EF, VA, LE")]
pub struct DscpError;

/// Diffie-Hellman groups in order of preference, such as `16,14,2`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Groups(pub Vec<Group>);

impl FromStr for Groups {
    type Err = GroupsError;

    fn from_str(text: &str) -> Result<Self, GroupsError> {
        let mut groups = Vec::new();
        for number in text.split(',') {
            let group = group(number)?;
            if groups.contains(&group) {
                return Err(GroupsError::Twice { number: group.id() });
            }
            groups.push(group);
        }
        Ok(Self(groups))
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.iter().enumerate() {
            write!(f, "{}{group}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// One Diffie-Hellman group, such as `14`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MaxGroup(pub Group);

impl FromStr for MaxGroup {
    type Err = GroupsError;

    fn from_str(text: &str) -> Result<Self, GroupsError> {
        group(text).map(Self)
    }
}

fn group(number: &str) -> Result<Group, GroupsError> {
    let group = number.trim().parse().ok().and_then(Group::from_id);
    group.ok_or_else(|| GroupsError::Unknown { number: number.to_owned() })
}

/// Why something is no list of groups.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupsError {
    /// No number of a group.
    #[error("there is no group {number:?}: the groups are 16, 14, 5 and 2, with commas between them")]
    Unknown {
        /// What was given.
        number: String,
    },
    /// A group that came before.
    #[error("group {number} is there twice")]
    Twice {
        /// Its number.
        number: u64,
    },
}
