//! Publishing and playing at once, to see how long each frame takes.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;

use rtmfp_base::{Service, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::message::kind;

use super::client::{Client, Event, Purpose};
use super::publish::Pacer;
use super::task::{Clients, Running, Task};
use super::{Figures, Report, Source, Target, earlier, is_compared};

/// A stream to publish and to play back.
pub struct MeasureOptions {
    /// Where to publish.
    pub publish: Target,
    /// Where to play.
    pub play: Target,
    /// What to publish.
    pub source: Source,
    /// How long to wait for the last frames. Older frames count as lost.
    pub patience: Duration,
}

impl fmt::Debug for MeasureOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publish, play, .. } = self;
        f.debug_struct("MeasureOptions").field("publish", publish).field("play", play).finish_non_exhaustive()
    }
}

/// How long frames took, from their being handed to the publisher's connection to their being in the player.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Measurement {
    /// Audio.
    pub audio: Measured,
    /// Video.
    pub video: Measured,
    /// Both together.
    pub all: Figures,
}

/// Frames of one type.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Measured {
    /// How many were sent.
    pub sent: usize,
    /// How long those that came took.
    pub figures: Figures,
}

/// Publishes a stream, plays it back and measures. Publishing begins when the player is there too. Ends with an error
/// if not all came back.
pub fn measure(options: MeasureOptions, report: Report<Measurement>) -> Box<dyn Service> {
    let MeasureOptions { publish, play, source, patience } = options;
    let publisher = Client::new(Purpose::Publish, publish, PUBLISHER);
    let player = Client::new(Purpose::Play, play, PLAYER);
    let task = Measure {
        pacer: Pacer::new(source),
        tracks: [Track::default(), Track::default()],
        patience,
        sent_all: None,
        error: None,
        report: Some(report),
    };
    Running::boxed(task, vec![publisher, player])
}

const PUBLISHER: u64 = 0;
const PLAYER: u64 = 1;

struct Measure {
    pacer: Pacer,
    /// Audio, video.
    tracks: [Track; 2],
    patience: Duration,
    /// When the publisher had ended.
    sent_all: Option<Time>,
    error: Option<String>,
    report: Option<Report<Measurement>>,
}

#[derive(Default)]
struct Track {
    sent: usize,
    /// Those that have not come back.
    under_way: VecDeque<(Time, TcMessage)>,
    took: Vec<Duration>,
}

impl Track {
    fn of<'a>(tracks: &'a mut [Self; 2], message: &TcMessage) -> Option<&'a mut Self> {
        let [audio, video] = tracks;
        match message.kind {
            _ if !is_compared(message) => None,
            kind::AUDIO => Some(audio),
            kind::VIDEO => Some(video),
            _ => None,
        }
    }

    fn sent(&mut self, now: Time, patience: Duration, message: &TcMessage) {
        while self.under_way.front().is_some_and(|(sent, _)| *sent + patience < now) {
            self.under_way.pop_front();
        }
        self.sent += 1;
        self.under_way.push_back((now, message.clone()));
    }

    fn came(&mut self, now: Time, message: &TcMessage) {
        // Those before it that have not come will not come any more: frames of a type keep their order.
        if let Some(at) = self.under_way.iter().position(|(_, sent)| sent.payload == message.payload)
            && let Some((sent, _)) = self.under_way.drain(..=at).next_back()
        {
            self.took.push(now.since(sent));
        }
    }
}

impl Measure {
    fn advance_publisher(&mut self, now: Time, clients: &mut Clients) {
        let Self { pacer, tracks, patience, .. } = self;
        pacer.advance_with(now, PUBLISHER, clients, |message| {
            if let Some(track) = Track::of(tracks, message) {
                track.sent(now, *patience, message);
            }
        });
    }

    /// Ends when all that was sent is there, or not expected any more.
    fn see_end(&self, now: Time, clients: &mut Clients) {
        let Some(sent_all) = self.sent_all else { return };
        let all_came = self.tracks.iter().all(|track| track.under_way.is_empty());
        if all_came || sent_all + self.patience <= now {
            clients.finish_all(now);
        }
    }

    fn fail(&mut self, now: Time, clients: &mut Clients, error: String) {
        self.error.get_or_insert(error);
        clients.finish_all(now);
    }
}

impl Task for Measure {
    fn start(&mut self, now: Time, clients: &mut Clients) {
        clients.with(PUBLISHER, |client, out| client.open(now, out));
    }

    fn handle(&mut self, now: Time, clients: &mut Clients, number: u64, event: Event) {
        match (number, event) {
            (PUBLISHER, Event::Ready) => clients.with(PLAYER, |client, out| client.open(now, out)),
            (PUBLISHER, Event::Failed(error)) => self.fail(now, clients, format!("publishing: {error}")),
            (PUBLISHER, Event::Closed) => {
                self.pacer.closed();
                match self.pacer.published.error.take() {
                    Some(error) => self.fail(now, clients, format!("publishing: {error}")),
                    None => {
                        self.sent_all = Some(now);
                        self.see_end(now, clients);
                    }
                }
            }
            (_, Event::Ready) => {
                self.pacer.begin(now);
                self.advance_publisher(now, clients);
            }
            (_, Event::Message(message)) => {
                if let Some(track) = Track::of(&mut self.tracks, &message) {
                    track.came(now, &message);
                    self.see_end(now, clients);
                }
            }
            (_, Event::Failed(error)) => self.fail(now, clients, format!("playing: {error}")),
            (_, Event::EndOfStream | Event::Closed) => clients.finish_all(now),
        }
    }

    fn advance(&mut self, now: Time, clients: &mut Clients) {
        self.advance_publisher(now, clients);
        self.see_end(now, clients);
    }

    fn next_timeout(&self) -> Option<Time> {
        earlier(self.pacer.due(), self.sent_all.map(|sent_all| sent_all + self.patience))
    }

    fn conclude(&mut self, _now: Time, clients: &Clients) -> Option<Result<(), String>> {
        if !clients.all_ended() {
            return None;
        }
        let [audio, video] = &mut self.tracks;
        let mut all: Vec<_> = audio.took.iter().chain(&video.took).copied().collect();
        let measurement = Measurement {
            audio: Measured { sent: audio.sent, figures: Figures::of(&mut audio.took) },
            video: Measured { sent: video.sent, figures: Figures::of(&mut video.took) },
            all: Figures::of(&mut all),
        };
        let (sent, came) = (audio.sent + video.sent, measurement.all.count);
        if let Some(report) = self.report.take() {
            report(measurement);
        }
        Some(match self.error.take() {
            Some(error) => Err(error),
            None if sent == 0 => Err("nothing was sent".to_owned()),
            None if came < sent => Err(format!("{} of {sent} frames did not come back", sent - came)),
            None => Ok(()),
        })
    }
}
