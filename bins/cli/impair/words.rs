//! The language of `rtmfp impair`: settings and steps of schedules.

use core::time::Duration;

use rtmfp_netsim::impair::{Direction, Setting, Step, What};
use rtmfp_netsim::{Bursts, Loss, Reorder};

use super::units::{self, UnitError};

/// Settings such as `delay=40ms,loss=2%` or `delay 40ms 5ms loss 2%`, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub struct Words(pub Vec<Setting>);

impl core::str::FromStr for Words {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, WordError> {
        let mut words = split(text).peekable();
        let mut settings = Vec::new();
        while let Some(word) = words.next() {
            let mut values = Vec::new();
            // What begins with a letter is the next word, unless it is a value that does.
            while let Some(value) = words.next_if(|word| is_value(word)) {
                values.push(value);
            }
            setting(word, &values, &mut settings)?;
        }
        if settings.is_empty() { Err(WordError::Nothing) } else { Ok(Self(settings)) }
    }
}

/// The parser of an option that is one word: its values alone.
pub(super) fn option(word: &'static str) -> impl Fn(&str) -> Result<Words, WordError> + Clone + Send + Sync {
    move |text| {
        let values: Vec<_> = split(text).collect();
        let mut settings = Vec::new();
        setting(word, &values, &mut settings)?;
        Ok(Words(settings))
    }
}

/// A line of a schedule without its time.
pub(super) fn what(text: &str) -> Result<What, WordError> {
    let (first, rest) = text.trim().split_once(char::is_whitespace).unwrap_or_else(|| (text.trim(), ""));
    let (direction, text) = match first {
        "up" => (Some(Direction::Up), rest),
        "down" => (Some(Direction::Down), rest),
        "both" => (None, rest),
        _ => (None, text),
    };
    let whole = |what| if first == text.trim() { Ok(what) } else { Err(WordError::NoDirection) };
    match text.trim() {
        "block" => Ok(What::Block(direction)),
        "unblock" => Ok(What::Unblock(direction)),
        "rebind" => whole(What::Rebind),
        "reset" => whole(What::Reset),
        "repeat" => whole(What::Repeat),
        settings => settings.parse().map(|Words(settings)| What::Set(direction, settings)),
    }
}

/// A step: its time, and what is done.
pub(super) fn step(time: &str, text: &str) -> Result<Step, WordError> {
    let at = units::time(time).map_err(|why| WordError::Value { word: "at", value: shown(time), why })?;
    Ok(Step { at, what: what(text)? })
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c == '=' || c.is_whitespace()).filter(|word| !word.is_empty())
}

fn is_value(word: &str) -> bool {
    !word.starts_with(|c: char| c.is_ascii_alphabetic()) || matches!(word, "none" | "yes" | "no")
}

/// One word and its values.
fn setting(word: &str, values: &[&str], out: &mut Vec<Setting>) -> Result<(), WordError> {
    let Some(&(word, form)) = WORDS.iter().find(|(known, _)| *known == word) else {
        return Err(WordError::Unknown { word: shown(word) });
    };
    let bad = |value: &str| {
        let value = shown(value);
        move |why| WordError::Value { word, value, why }
    };
    let time = |value: &str| units::time(value).map_err(bad(value));
    let share = |value: &str| units::share(value).map_err(bad(value));
    match (word, values) {
        ("delay", [delay]) => out.push(Setting::Delay(time(delay)?)),
        ("delay", [delay, jitter]) => {
            out.extend([Setting::Delay(time(delay)?), Setting::Jitter(time(jitter)?)]);
        }
        ("jitter", [jitter]) => out.push(Setting::Jitter(time(jitter)?)),
        ("loss", [value]) => {
            let share = share(value)?;
            out.push(Setting::Loss(if share > 0.0 { Loss::Independent(share) } else { Loss::None }));
        }
        ("loss", [value, length]) => {
            let bursts = bursts(share(value)?, length).map_err(bad(length))?;
            out.push(Setting::Loss(Loss::Bursts(bursts)));
        }
        ("duplicate", [value]) => out.push(Setting::Duplicate(share(value)?)),
        ("reorder", [value]) => out.push(reorder(share(value)?, HELD_BACK)),
        ("reorder", [value, extra]) => out.push(reorder(share(value)?, time(extra)?)),
        ("rate", ["none"]) => out.push(Setting::Rate(None)),
        ("rate", [rate]) => out.push(Setting::Rate(Some(units::rate(rate).map_err(bad(rate))?))),
        ("queue", [depth]) => out.push(Setting::Queue(units::depth(depth).map_err(bad(depth))?)),
        ("ce", ["none"]) => out.push(Setting::Ce(None)),
        ("ce", [depth]) => out.push(Setting::Ce(Some(units::depth(depth).map_err(bad(depth))?))),
        ("bleach", [] | ["yes"]) => out.push(Setting::Bleach(true)),
        ("bleach", ["no"]) => out.push(Setting::Bleach(false)),
        ("mtu", ["none"]) => out.push(Setting::Mtu(None)),
        ("mtu", [bytes]) => out.push(Setting::Mtu(Some(units::bytes(bytes).map_err(bad(bytes))?))),
        ("corrupt", [value]) => out.push(Setting::Corrupt(share(value)?)),
        ("truncate", [value]) => out.push(Setting::Truncate(share(value)?)),
        ("perfect", []) => out.push(Setting::Perfect),
        _ => return Err(WordError::Form { word, form }),
    }
    Ok(())
}

/// The words, and what belongs to each.
const WORDS: [(&str, &str); 13] = [
    ("delay", "delay 40ms, or with jitter delay 40ms 5ms"),
    ("jitter", "jitter 5ms"),
    ("loss", "loss 2%, or in bursts of 8 datagrams loss 2% 8"),
    ("duplicate", "duplicate 1%"),
    ("reorder", "reorder 1%, or with the time that they are held back reorder 1% 20ms"),
    ("rate", "rate 2mbit, or rate none"),
    ("queue", "queue 64kb or queue 100ms"),
    ("ce", "ce 30kb, ce 20ms, or ce none"),
    ("bleach", "bleach, or bleach no"),
    ("mtu", "mtu 1200, or mtu none"),
    ("corrupt", "corrupt 0.1%"),
    ("truncate", "truncate 0.1%"),
    ("perfect", "perfect, alone"),
];

/// How long a datagram is held back for others to overtake it, unless something else is said.
const HELD_BACK: Duration = Duration::from_millis(10);

const fn reorder(probability: f64, extra: Duration) -> Setting {
    Setting::Reorder(Reorder { probability, extra })
}

/// Bursts in which all is lost.
fn bursts(share: f64, length: &str) -> Result<Bursts, UnitError> {
    let length = units::number(length)?;
    // Pauses between bursts have a datagram at least.
    if !(1.0..=1e6).contains(&length) || share * (length + 1.0) > length {
        return Err(UnitError::NoBurst);
    }
    Ok(Bursts::new(share, length))
}

/// What was given, if that is not too much to repeat.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Why something is no setting or no step.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WordError {
    /// No words.
    #[error("there is nothing: write something like delay 40ms loss 2%")]
    Nothing,
    /// A word that means nothing.
    #[error(
        "{word:?} is not known: the words are delay, jitter, loss, duplicate, reorder, rate, queue, ce, bleach, mtu, \
         corrupt, truncate and perfect; in a schedule block, unblock, rebind, reset and repeat as well"
    )]
    Unknown {
        /// What was given.
        word: String,
    },
    /// A word without what belongs to it, or with more.
    #[error("{word:?} is used otherwise: write {form}")]
    Form {
        /// The word.
        word: &'static str,
        /// How it is used.
        form: &'static str,
    },
    /// A value that makes no sense.
    #[error("{word} {value:?}: {why}")]
    Value {
        /// The word that it belongs to.
        word: &'static str,
        /// What was given.
        value: String,
        /// What is wrong.
        why: UnitError,
    },
    /// Something has been given a direction and has none.
    #[error("this happens to all: write it without up, down or both")]
    NoDirection,
}
