//! Commands that old programs wait for the answer of, and that few servers know.
//!
//! All of them go to the destination. Where it answers, that is the answer. Where it answers with an error, or not in
//! time, the relay says what Flash Media Server says: `_result`, and for those that are followed by a call, the call.

use std::collections::VecDeque;

use rtmfp_base::Time;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::{self, Builder, Command, Info};
use rtmfp_media::message::{CONTROL_STREAM, kind};
use rtmfp_netconn::TcMessage;

use super::Answers;

/// The commands of a client that wait for an answer, or were answered here, in the order of their deadlines.
#[derive(Debug, Default)]
pub(super) struct Courtesies {
    calls: VecDeque<Call>,
}

#[derive(Debug)]
struct Call {
    what: What,
    transaction: f64,
    /// The stream's name, if the command has one.
    name: String,
    due: Time,
    /// What the destination has not sent yet: the answer, and the call that follows.
    wants_answer: bool,
    wants_call: bool,
    /// It was answered here: what the destination still sends comes too late.
    answered: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    /// `releaseStream`, `FCUnsubscribe`, `_checkbw`: nothing but an answer.
    Answer,
    /// `FCPublish`: `onFCPublish` follows.
    Publish,
    /// `FCUnpublish`: `onFCUnpublish` follows.
    Unpublish,
    /// `FCSubscribe`: `onFCSubscribe` follows.
    Subscribe,
    /// `checkBandwidth`: `onBWDone` follows; without figures, for none are known.
    Bandwidth,
    /// `getStreamLength`: the answer is a number, 0 for what is live.
    Length,
}

/// What is to be done with a message of the destination.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The client gets it.
    Pass,
    /// It was answered already.
    Drop,
    /// The client gets something better.
    Replace(Answers),
}

impl Courtesies {
    /// Looks at a message that goes to the destination.
    pub(super) fn note(&mut self, message: &TcMessage, due: Time, limit: usize) {
        if !matches!(message.kind, kind::COMMAND | kind::COMMAND_EXTENDED) {
            return;
        }
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else { return };
        if matches!(command.name, "publish" | "play") {
            // Who goes on without an answer wants none, and may end with it unread: a reset would then cut off what it
            // has sent last.
            self.calls.iter_mut().for_each(|call| call.due = Time::MAX);
            return;
        }
        let Some(what) = What::of(command.name) else { return };
        let transaction = command.transaction;
        let name = command.argument(0).and_then(Value::as_str).unwrap_or_default();
        let name = name.chars().take(MAX_NAME).collect();
        let (wants_answer, wants_call) = (transaction != 0.0, what.call().is_some());
        // An older one with the same number can have no answer of its own; and what comes from now on may be for this.
        self.calls.retain(|call| {
            !(wants_answer && call.transaction == transaction || call.answered && call.what == what)
        });
        let call = Call { what, transaction, name, due, wants_answer, wants_call, answered: false };
        if call.is_waiting() {
            self.calls.push_back(call);
        }
        while self.calls.len() > limit {
            self.calls.pop_front();
        }
    }

    /// Looks at a message that the destination has sent.
    pub(super) fn look(&mut self, message: &TcMessage) -> Verdict {
        if self.calls.is_empty() || !matches!(message.kind, kind::COMMAND | kind::COMMAND_EXTENDED) {
            return Verdict::Pass;
        }
        let Ok(command) = Command::parse(message.kind, &message.payload, &Limits::DEFAULT) else {
            return Verdict::Pass;
        };
        let is_answer = matches!(command.name, "_result" | "_error");
        let found = self.calls.iter().position(|call| match is_answer {
            true => call.wants_answer && call.transaction == command.transaction,
            false => call.wants_call && call.what.call() == Some(command.name),
        });
        let Some((at, call)) = found.and_then(|at| Some((at, self.calls.get_mut(at)?))) else {
            return Verdict::Pass;
        };
        let verdict = match (call.answered, command.name) {
            (true, _) => Verdict::Drop,
            (false, "_error") => Verdict::Replace(call.answers()),
            (false, _) => Verdict::Pass,
        };
        if is_answer {
            call.wants_answer = false;
            // A destination that knows the command makes the call itself, if it does so at all.
            call.wants_call &= call.answered;
        } else {
            call.wants_call = false;
        }
        if !call.is_waiting() {
            self.calls.remove(at);
        }
        verdict
    }

    /// All have until then.
    pub(super) fn restart(&mut self, due: Time) {
        self.calls.iter_mut().filter(|call| !call.due.is_never()).for_each(|call| call.due = due);
    }

    pub(super) fn next(&self) -> Option<Time> {
        let waiting = self.calls.iter().filter(|call| !call.answered && !call.due.is_never());
        waiting.map(|call| call.due).min()
    }

    /// The answers to one that has waited long enough.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Answers> {
        let call = self.calls.iter_mut().find(|call| !call.answered && call.due <= now)?;
        call.answered = true;
        Some(call.answers())
    }
}

impl What {
    /// What a command of this name asks for.
    fn of(command: &str) -> Option<Self> {
        Some(match command {
            "releaseStream" | "FCUnsubscribe" | "_checkbw" => Self::Answer,
            "FCPublish" => Self::Publish,
            "FCUnpublish" => Self::Unpublish,
            "FCSubscribe" => Self::Subscribe,
            "checkBandwidth" => Self::Bandwidth,
            "getStreamLength" => Self::Length,
            _ => return None,
        })
    }

    /// The call that follows it.
    const fn call(self) -> Option<&'static str> {
        match self {
            Self::Answer | Self::Length => None,
            Self::Publish => Some("onFCPublish"),
            Self::Unpublish => Some("onFCUnpublish"),
            Self::Subscribe => Some("onFCSubscribe"),
            Self::Bandwidth => Some("onBWDone"),
        }
    }
}

impl Call {
    const fn is_waiting(&self) -> bool {
        self.wants_answer || self.wants_call
    }

    /// What the destination has left out.
    fn answers(&self) -> Answers {
        let answer = self.wants_answer.then(|| {
            let answer = command::result(self.transaction).value(Value::Null);
            let answer = if self.what == What::Length { answer.value(0.0) } else { answer };
            answer.message(CONTROL_STREAM)
        });
        let call = self.what.call().filter(|_| self.wants_call).map(|name| {
            let call = Builder::new(name, 0.0).value(Value::Null);
            let code = match self.what {
                What::Publish => "NetStream.Publish.Start",
                What::Unpublish => "NetStream.Unpublish.Success",
                What::Subscribe => "NetStream.Play.Start",
                What::Answer | What::Bandwidth | What::Length => return call.message(CONTROL_STREAM),
            };
            call.info(&Info::status(code, &self.name)).message(CONTROL_STREAM)
        });
        [answer, call]
    }
}

/// Characters of a stream's name that are kept, for a description.
const MAX_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_publishes_without_waiting_is_answered_no_more_but_spared_errors() {
        let mut courtesies = Courtesies::default();
        courtesies.note(&call("releaseStream", 2.0), Time::from_micros(5), 8);
        courtesies.note(&command::publish("s", "live").message(1), Time::from_micros(6), 8);
        courtesies.restart(Time::from_micros(7));
        assert_eq!(courtesies.next(), None);
        assert!(courtesies.overdue(Time::from_micros(9)).is_none());
        let error = command::error(2.0, &Info::error("NetConnection.Call.Failed", "")).message(0);
        assert!(matches!(courtesies.look(&error), Verdict::Replace(_)));
    }

    fn call(name: &str, transaction: f64) -> TcMessage {
        Builder::new(name, transaction).value(Value::Null).value("s").message(0)
    }

    fn noted(messages: &[TcMessage]) -> Courtesies {
        let mut courtesies = Courtesies::default();
        messages.iter().for_each(|message| courtesies.note(message, Time::from_secs(2), 4));
        courtesies
    }

    fn names(answers: Answers) -> Vec<(String, f64)> {
        let name = |message: TcMessage| {
            let command = Command::parse(message.kind, &message.payload, &Limits::DEFAULT).unwrap();
            (command.name.to_owned(), command.transaction)
        };
        answers.into_iter().flatten().map(name).collect()
    }

    #[test]
    fn what_the_destination_answers_is_the_answer() {
        let mut courtesies = noted(&[call("FCPublish", 3.0), command::create_stream(4.0).message(0)]);
        let answer = command::result(3.0).value(Value::Null).message(0);
        assert_eq!(courtesies.look(&command::result(4.0).message(0)), Verdict::Pass);
        assert_eq!(courtesies.look(&answer), Verdict::Pass);
        assert_eq!(courtesies.next(), None);
    }

    #[test]
    fn a_call_that_comes_before_its_answer_leaves_that_awaited() {
        let mut courtesies = noted(&[call("FCPublish", 3.0)]);
        assert_eq!(courtesies.look(&call("onFCPublish", 0.0)), Verdict::Pass);
        assert_eq!(courtesies.next(), Some(Time::from_secs(2)));
        assert_eq!(courtesies.look(&command::result(3.0).message(0)), Verdict::Pass);
        assert_eq!(courtesies.next(), None);
    }

    #[test]
    fn errors_are_replaced_by_what_the_program_expects() {
        for (name, follows) in [
            ("releaseStream", None),
            ("FCPublish", Some("onFCPublish")),
            ("FCUnpublish", Some("onFCUnpublish")),
            ("FCSubscribe", Some("onFCSubscribe")),
            ("_checkbw", None),
            ("checkBandwidth", Some("onBWDone")),
            ("getStreamLength", None),
        ] {
            let mut courtesies = noted(&[call(name, 3.0)]);
            let error = command::error(3.0, &Info::error("NetConnection.Call.Failed", "")).message(0);
            let Verdict::Replace(answers) = courtesies.look(&error) else { panic!("{name}") };
            let mut wanted = vec![("_result".to_owned(), 3.0)];
            wanted.extend(follows.map(|name| (name.to_owned(), 0.0)));
            assert_eq!(names(answers), wanted);
        }
        let error = command::error(9.0, &Info::error("NetConnection.Call.Failed", "")).message(0);
        assert_eq!(noted(&[call("FCPublish", 3.0)]).look(&error), Verdict::Pass, "of something else");
    }

    #[test]
    fn what_is_not_answered_in_time_is_answered_once() {
        let mut courtesies = noted(&[call("releaseStream", 2.0), call("checkBandwidth", 0.0)]);
        assert_eq!(courtesies.overdue(Time::from_millis(1999)), None);
        assert_eq!(names(courtesies.overdue(Time::from_secs(2)).unwrap()), [("_result".to_owned(), 2.0)]);
        assert_eq!(names(courtesies.overdue(Time::from_secs(2)).unwrap()), [("onBWDone".to_owned(), 0.0)]);
        assert_eq!((courtesies.overdue(Time::from_secs(9)), courtesies.next()), (None, None));
        assert_eq!(courtesies.look(&command::result(2.0).message(0)), Verdict::Drop);
        assert_eq!(courtesies.look(&command::result(2.0).message(0)), Verdict::Pass);
        assert_eq!(courtesies.look(&call("onBWDone", 0.0)), Verdict::Drop);
        assert_eq!(courtesies.look(&call("onBWDone", 0.0)), Verdict::Pass);
    }

    #[test]
    fn the_next_of_the_kind_gets_the_call_that_comes_late() {
        let mut courtesies = noted(&[call("FCPublish", 3.0)]);
        assert!(courtesies.overdue(Time::from_secs(2)).is_some());
        courtesies.note(&call("FCPublish", 4.0), Time::from_secs(9), 4);
        assert_eq!(courtesies.look(&call("onFCPublish", 0.0)), Verdict::Pass);
        assert_eq!(names(courtesies.overdue(Time::from_secs(9)).unwrap()), [("_result".to_owned(), 4.0)]);
    }

    #[test]
    fn no_more_than_the_limit_are_kept() {
        let many: Vec<_> = (1..=9).map(|number| call("FCPublish", f64::from(number))).collect();
        assert_eq!(noted(&many).calls.len(), 4);
    }
    #[test]
    fn of_too_many_commands_the_oldest_is_forgotten() {
        let commands: Vec<TcMessage> = (2..8).map(|number| call("FCSubscribe", f64::from(number))).collect();
        let mut courtesies = noted(&commands);
        let answered: Vec<f64> = core::iter::from_fn(|| courtesies.overdue(Time::from_secs(2)))
            .map(|answers| names(answers)[0].1)
            .collect();
        assert_eq!(answered, [4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn only_commands_are_looked_at() {
        let mut courtesies = noted(&[call("FCPublish", 3.0)]);
        let error = command::error(3.0, &Info::error("NetConnection.Call.Failed", "")).message(0);
        let data = TcMessage { kind: kind::DATA, ..error.clone() };
        assert_eq!(courtesies.look(&data), Verdict::Pass);
        assert!(matches!(courtesies.look(&error), Verdict::Replace(_)));
        let mut none = noted(&[TcMessage { kind: kind::DATA, ..call("FCPublish", 3.0) }]);
        assert_eq!(none.look(&error), Verdict::Pass);
    }
}
