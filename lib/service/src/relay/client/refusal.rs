//! What a destination says to clients that it does not want.

use core::fmt;

use rtmfp_base::Shown;
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::Limits;
use rtmfp_media::command::Command;

/// Why a destination does not take a client, in its own words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    code: String,
    description: String,
}

impl Refusal {
    /// What the answer to a connect says.
    pub(super) fn of(answer: &TcMessage) -> Self {
        let command = Command::parse(answer.kind, &answer.payload, &Limits::DEFAULT);
        let info = command.as_ref().ok().and_then(Command::info).unwrap_or_default();
        Self { code: info.code.to_owned(), description: info.description.to_owned() }
    }

    /// Whether this is no refusal but a step of a login (Adobe's and Limelight's `authmod`): the encoder comes back at
    /// once, with what was asked for. With `reason=authfailed` and the like it was in vain.
    pub(super) fn asks_for_login(&self) -> bool {
        let says = |words| self.description.contains(words);
        says("authmod=") && (says("code=403 need auth") || says("reason=needauth"))
    }
}

impl fmt::Display for Refusal {
    /// Others' text: no line of its own, and no long one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_first = true;
        for text in [&self.code, &self.description].into_iter().filter(|text| !text.is_empty()) {
            if !core::mem::replace(&mut is_first, false) {
                f.write_str(": ")?;
            }
            write!(f, "{}", Shown(text))?;
        }
        if is_first { f.write_str("it does not say why") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use rtmfp_media::command::{Info, error};

    use super::*;

    fn refusal(description: &str) -> Refusal {
        Refusal::of(&error(1.0, &Info::error("NetConnection.Connect.Rejected", description)).message(0))
    }

    #[test]
    fn a_login_is_told_from_a_refusal() {
        for description in [
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ",
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=a&salt=b&challenge=c&opaque=d",
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ",
        ] {
            assert!(refusal(description).asks_for_login(), "{description}");
        }
        for description in [
            "",
            "not today",
            "auth required",
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque=d",
        ] {
            assert!(!refusal(description).asks_for_login(), "{description}");
        }
    }

    #[test]
    fn the_destination_s_words_stay_one_short_line() {
        assert_eq!(refusal("it's \"no\"").to_string(), "NetConnection.Connect.Rejected: it's \"no\"");
        assert_eq!(refusal("a\nb\u{1b}").to_string(), "NetConnection.Connect.Rejected: a\\nb\\u{1b}");
        assert!(refusal(&"x".repeat(5000)).to_string().len() < 300);
        let silent =
            TcMessage { payload: bytes::Bytes::new(), ..error(1.0, &Info::error("", "")).message(0) };
        assert_eq!(Refusal::of(&silent).to_string(), "it does not say why");
    }
}
