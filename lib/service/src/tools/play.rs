//! Playing and counting.

use core::fmt;
use core::time::Duration;

use rtmfp_base::{Service, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::message::{kind, timestamp_after};

use super::client::{Client, Event, Purpose};
use super::task::{Clients, Running, Task};
use super::{Report, Target};

/// Takes each message that arrives; an error ends the playing.
pub type Sink = Box<dyn FnMut(&TcMessage) -> Result<(), String>>;

/// A stream to play.
pub struct PlayOptions {
    /// The stream. Its time-out also ends the playing when nothing arrives for so long.
    pub target: Target,
    /// Stop after so many audio and video messages.
    pub count: Option<u64>,
    /// Stop so long after the first audio or video message.
    pub duration: Option<Duration>,
    /// What happens to the messages.
    pub sink: Sink,
}

impl fmt::Debug for PlayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlayOptions").field("target", &self.target).finish_non_exhaustive()
    }
}

/// What arrived.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Played {
    /// From the start to the server's agreement.
    pub started_after: Option<Duration>,
    /// From the start to the first audio or video message.
    pub first_after: Option<Duration>,
    /// Audio.
    pub audio: Received,
    /// Video.
    pub video: Received,
    /// Data messages.
    pub data: u64,
    /// How it ended.
    pub ending: Ending,
}

/// Messages of one type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Received {
    /// How many came.
    pub count: u64,
    /// Their payloads' length together.
    pub bytes: u64,
    /// The first timestamp, in milliseconds.
    pub first_timestamp: Option<u32>,
    /// The highest timestamp, in milliseconds.
    pub last_timestamp: Option<u32>,
    /// The longest time between two of them.
    pub longest_wait: Duration,
}

impl Received {
    fn add(&mut self, now: Time, last_at: &mut Option<Time>, message: &TcMessage) {
        self.count += 1;
        self.bytes += message.payload.len() as u64;
        self.first_timestamp.get_or_insert(message.timestamp);
        if self.last_timestamp.is_none_or(|last| timestamp_after(message.timestamp, last)) {
            self.last_timestamp = Some(message.timestamp);
        }
        if let Some(last) = last_at.replace(now) {
            self.longest_wait = self.longest_wait.max(now.since(last));
        }
    }
}

/// Why playing ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Ending {
    /// It was stopped by the operator.
    #[default]
    Stopped,
    /// The stream ended.
    EndOfStream,
    /// As many messages came as were wanted.
    Count,
    /// The wanted time has passed.
    Duration,
    /// It went wrong.
    Failed(String),
}

/// Plays a stream. Ends with an error if that went wrong, or if nothing came.
pub fn play(options: PlayOptions, report: Report<Played>) -> Box<dyn Service> {
    let PlayOptions { target, count, duration, sink } = options;
    let silence = target.timeout;
    let client = Client::new(Purpose::Play, target, 0);
    let report = Some(report);
    let played = Played::default();
    let task = Play {
        count,
        duration,
        sink,
        silence,
        played,
        started: Time::ZERO,
        last: None,
        last_audio: None,
        last_video: None,
        until: None,
        ending: None,
        report,
    };
    Running::boxed(task, vec![client])
}

struct Play {
    count: Option<u64>,
    duration: Option<Duration>,
    sink: Sink,
    /// How long nothing may come.
    silence: Duration,
    played: Played,
    started: Time,
    /// When a message came last.
    last: Option<Time>,
    last_audio: Option<Time>,
    last_video: Option<Time>,
    until: Option<Time>,
    ending: Option<Ending>,
    report: Option<Report<Played>>,
}

impl Play {
    /// The first reason is what counts.
    fn end(&mut self, now: Time, clients: &mut Clients, ending: Ending) {
        self.ending.get_or_insert(ending);
        clients.finish_all(now);
    }

    fn message(&mut self, now: Time, message: &TcMessage, clients: &mut Clients) {
        if self.ending.is_some() {
            return;
        }
        self.last = Some(now);
        match message.kind {
            kind::AUDIO => self.played.audio.add(now, &mut self.last_audio, message),
            kind::VIDEO => self.played.video.add(now, &mut self.last_video, message),
            kind::DATA | kind::DATA_EXTENDED => self.played.data += 1,
            _ => return,
        }
        if let Err(error) = (self.sink)(message) {
            return self.end(now, clients, Ending::Failed(error));
        }
        if !matches!(message.kind, kind::AUDIO | kind::VIDEO) {
            return;
        }
        if self.played.first_after.is_none() {
            self.played.first_after = Some(now.since(self.started));
            self.until = self.duration.map(|duration| now + duration);
        }
        if self.count.is_some_and(|count| self.played.audio.count + self.played.video.count >= count) {
            self.end(now, clients, Ending::Count);
        }
    }
}

impl Task for Play {
    fn start(&mut self, now: Time, clients: &mut Clients) {
        self.started = now;
        clients.with(0, |client, out| client.open(now, out));
    }

    fn handle(&mut self, now: Time, clients: &mut Clients, _number: u64, event: Event) {
        match event {
            Event::Ready => {
                self.played.started_after = Some(now.since(self.started));
                self.last = Some(now);
            }
            Event::Message(message) => self.message(now, &message, clients),
            Event::EndOfStream => self.end(now, clients, Ending::EndOfStream),
            Event::Closed => self.end(now, clients, Ending::Stopped),
            Event::Failed(error) => self.end(now, clients, Ending::Failed(error)),
        }
    }

    fn advance(&mut self, now: Time, clients: &mut Clients) {
        if self.ending.is_some() {
            return;
        }
        if self.until.is_some_and(|until| until <= now) {
            self.end(now, clients, Ending::Duration);
        } else if self.last.is_some_and(|last| last + self.silence <= now) {
            let silence = self.silence.as_secs_f64();
            self.end(now, clients, Ending::Failed(format!("nothing came for {silence} s")));
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        let silence = self.last.map(|last| last + self.silence).filter(|_| self.ending.is_none());
        super::earlier(self.until.filter(|_| self.ending.is_none()), silence)
    }

    fn conclude(&mut self, _now: Time, clients: &Clients) -> Option<Result<(), String>> {
        if !clients.all_ended() {
            return None;
        }
        self.played.ending = self.ending.take().unwrap_or_default();
        let result = match &self.played.ending {
            Ending::Failed(error) => Err(error.clone()),
            _ if self.played.first_after.is_none() => Err("no audio or video came".to_owned()),
            _ => Ok(()),
        };
        if let Some(report) = self.report.take() {
            report(core::mem::take(&mut self.played));
        }
        Some(result)
    }
}
