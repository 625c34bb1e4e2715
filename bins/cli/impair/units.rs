//! Numbers with units, as network engineers write them.

use core::time::Duration;

use rtmfp_netsim::impair::Depth;

/// A time such as `40ms`, `1.5s`, `300us` or `2min`, up to a day; `0` needs no unit.
pub(super) fn time(text: &str) -> Result<Duration, UnitError> {
    let (number, unit) = parts(text)?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "min" => 6e7,
        "" if number == 0.0 => 0.0,
        _ => return Err(UnitError::NoTime),
    };
    let micros = number * factor;
    if micros > 86_400e6 { Err(UnitError::Large) } else { Ok(Duration::from_micros(micros.round() as u64)) }
}

/// A share such as `2%` or `0.5%`; `0` needs no unit.
pub(super) fn share(text: &str) -> Result<f64, UnitError> {
    match parts(text)? {
        (number, "%") if number <= 100.0 => Ok(number / 100.0),
        (0.0, "") => Ok(0.0),
        _ => Err(UnitError::NoShare),
    }
}

/// A rate such as `500kbit` or `1.5mbit`, in bytes per second.
pub(super) fn rate(text: &str) -> Result<u64, UnitError> {
    let (number, unit) = parts(text)?;
    let factor = match unit {
        "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return Err(UnitError::NoRate),
    };
    let bytes = (number * factor / 8.0).round();
    match bytes {
        _ if bytes < 1.0 => Err(UnitError::SmallRate),
        _ if bytes > 1e12 => Err(UnitError::Large),
        _ => Ok(bytes as u64),
    }
}

/// A number of bytes such as `1200`, `64kb` or `2mb` (1024 and 1024 × 1024 of them).
pub(super) fn bytes(text: &str) -> Result<usize, UnitError> {
    let (number, unit) = parts(text)?;
    let factor = match unit {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        _ => return Err(UnitError::NoBytes),
    };
    let bytes = number * factor;
    if bytes > 1e9 { Err(UnitError::Large) } else { Ok(bytes.round() as usize) }
}

/// A depth of a queue, in bytes or as time.
pub(super) fn depth(text: &str) -> Result<Depth, UnitError> {
    if text.ends_with('s') {
        return time(text).map(Depth::Time);
    }
    match bytes(text) {
        Err(UnitError::NoBytes) => Err(UnitError::NoDepth),
        result => result.map(Depth::Bytes),
    }
}

/// A number without unit.
pub(super) fn number(text: &str) -> Result<f64, UnitError> {
    match parts(text)? {
        (number, "") => Ok(number),
        _ => Err(UnitError::NoNumber),
    }
}

/// Number and unit. `f64::from_str` alone would take names, exponents and signs.
fn parts(text: &str) -> Result<(f64, &str), UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.len() > MOST_DIGITS {
        return Err(UnitError::Large);
    }
    Ok((number.parse().map_err(|_| UnitError::NoNumber)?, unit))
}

const MOST_DIGITS: usize = 15;

/// Why something is no such number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// It does not begin with digits and at most one point.
    #[error("it does not begin with a number, such as 5 or 0.5")]
    NoNumber,
    /// No time.
    #[error("it is no time: write 300us, 40ms, 1.5s or 2min")]
    NoTime,
    /// A time too short to be of use.
    #[error("it must be 10ms at least")]
    Short,
    /// No share.
    #[error("it is no share: write it in percent, such as 2% or 0.5%, 100% at most")]
    NoShare,
    /// No rate.
    #[error("it is no rate: write 500kbit, 1.5mbit or 1gbit (bits per second)")]
    NoRate,
    /// A rate that lets nothing pass.
    #[error("it must be 8bit at least: block lets nothing pass")]
    SmallRate,
    /// No number of bytes.
    #[error("it is no number of bytes: write 1200, 64kb or 2mb")]
    NoBytes,
    /// No depth of a queue.
    #[error("it is neither a number of bytes, such as 64kb, nor a time, such as 100ms")]
    NoDepth,
    /// Bursts that cannot be.
    #[error(
        "there are no such bursts: 1 datagram is the shortest, and of N lost in a row one more must pass"
    )]
    NoBurst,
    /// Too much.
    #[error("it is too large")]
    Large,
}
