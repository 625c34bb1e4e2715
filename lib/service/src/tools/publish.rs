//! Publishing in real time.

use core::time::Duration;

use rtmfp_base::{Service, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::Limits;
use rtmfp_media::data::{self, Data};
use rtmfp_media::message::kind;

use super::client::{Client, Event, Purpose};
use super::task::{Clients, Running, Task};
use super::{Report, Source, Target, earlier};

/// What became of a stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Published {
    /// From the start of all to the server's agreement.
    pub started_after: Option<Duration>,
    /// Audio messages handed to the connection.
    pub audio: u64,
    /// Video messages handed to the connection.
    pub video: u64,
    /// Bytes of all messages handed to the connection.
    pub bytes: u64,
    /// Why it was not published to its end.
    pub error: Option<String>,
}

/// Publishes streams in real time, all at once. Ends when all have ended, with an error if one was not published to
/// its end.
pub fn publish(
    streams: impl IntoIterator<Item = (Target, Source)>,
    report: Report<Vec<Published>>,
) -> Box<dyn Service> {
    let (targets, sources): (Vec<_>, Vec<_>) = streams.into_iter().unzip();
    let clients = targets.into_iter().zip(0..);
    let clients = clients.map(|(target, number)| Client::new(Purpose::Publish, target, number)).collect();
    let streams = sources.into_iter().map(Pacer::new).collect();
    Running::boxed(Publish { streams, started: Time::ZERO, report: Some(report) }, clients)
}

struct Publish {
    /// By the numbers of their clients.
    streams: Vec<Pacer>,
    started: Time,
    report: Option<Report<Vec<Published>>>,
}

impl Task for Publish {
    fn start(&mut self, now: Time, clients: &mut Clients) {
        self.started = now;
        for number in 0..self.streams.len() as u64 {
            clients.with(number, |client, out| client.open(now, out));
        }
    }

    fn handle(&mut self, now: Time, clients: &mut Clients, number: u64, event: Event) {
        let Some(stream) = self.streams.get_mut(number as usize) else { return };
        match event {
            Event::Ready => {
                stream.published.started_after = Some(now.since(self.started));
                stream.begin(now);
                stream.advance(now, number, clients);
            }
            Event::Failed(error) => stream.fail(error),
            Event::Closed => stream.closed(),
            Event::Message(_) | Event::EndOfStream => {}
        }
    }

    fn advance(&mut self, now: Time, clients: &mut Clients) {
        for (stream, number) in self.streams.iter_mut().zip(0..) {
            stream.advance(now, number, clients);
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        self.streams.iter().map(Pacer::due).fold(None, earlier)
    }

    fn conclude(&mut self, _now: Time, clients: &Clients) -> Option<Result<(), String>> {
        if !clients.all_ended() {
            return None;
        }
        let streams: Vec<_> = self.streams.iter().map(|stream| stream.published.clone()).collect();
        let failed = streams.iter().filter_map(|stream| stream.error.as_ref());
        let count = failed.clone().count();
        let result = match failed.into_iter().next() {
            Some(error) if streams.len() > 1 => {
                Err(format!("{count} of {} streams failed, the first of them: {error}", streams.len()))
            }
            Some(error) => Err(error.clone()),
            None => Ok(()),
        };
        if let Some(report) = self.report.take() {
            report(streams);
        }
        Some(result)
    }
}

/// Hands the messages of a source to a client when they are due.
pub(super) struct Pacer {
    source: Option<Source>,
    next: Option<TcMessage>,
    /// When the stream began, and the timestamp that it began with.
    origin: Option<(Time, u32)>,
    pub(super) published: Published,
}

impl Pacer {
    pub(super) fn new(source: Source) -> Self {
        Self { source: Some(source), next: None, origin: None, published: Published::default() }
    }

    /// Begins now with the first message.
    pub(super) fn begin(&mut self, now: Time) {
        self.pull();
        let timestamp = self.next.as_ref().map_or(0, |message| message.timestamp);
        self.origin = Some((now, timestamp));
    }

    /// When the next message is due.
    pub(super) fn due(&self) -> Option<Time> {
        let (began, first) = self.origin?;
        // A timestamp that lies before the first is due at once.
        let offset = self.next.as_ref()?.timestamp.wrapping_sub(first);
        let offset = if offset > 0x7fff_ffff { 0 } else { offset };
        Some(began + Duration::from_millis(offset.into()))
    }

    /// Sends what is due, and ends the stream after the last.
    pub(super) fn advance(&mut self, now: Time, number: u64, clients: &mut Clients) {
        self.advance_with(now, number, clients, |_| {});
    }

    /// The same, and shows each message to `sent` before it is sent.
    pub(super) fn advance_with(
        &mut self,
        now: Time,
        number: u64,
        clients: &mut Clients,
        mut sent: impl FnMut(&TcMessage),
    ) {
        if self.origin.is_none() {
            return;
        }
        let mut is_ready = false;
        clients.with(number, |client, _| is_ready = client.is_ready());
        while is_ready && self.due().is_some_and(|due| due <= now) {
            let Some(message) = self.next.take() else { break };
            match message.kind {
                kind::AUDIO => self.published.audio += 1,
                kind::VIDEO => self.published.video += 1,
                _ => {}
            }
            self.published.bytes += message.payload.len() as u64;
            sent(&message);
            clients.with(number, |client, out| client.send(now, as_live(message), out));
            clients.with(number, |client, _| is_ready = client.is_ready());
            self.pull();
        }
        if !is_ready {
            // It will not be again: nothing is due any more.
            self.origin = None;
        } else if self.next.is_none() {
            clients.with(number, |client, out| client.finish(now, out));
        }
    }

    fn pull(&mut self) {
        self.next = match self.source.as_mut().and_then(Iterator::next) {
            Some(Ok(message)) => Some(message),
            Some(Err(error)) => {
                self.fail(error);
                None
            }
            None => {
                self.source = None;
                None
            }
        };
    }

    /// The first failure is what counts.
    pub(super) fn fail(&mut self, error: String) {
        self.source = None;
        self.next = None;
        self.published.error.get_or_insert(error);
    }

    pub(super) fn closed(&mut self) {
        if self.next.is_some() || self.source.is_some() {
            self.fail("stopped before its end".to_owned());
        }
    }
}

/// A message of a file as encoders send it: metadata is for the server to keep.
fn as_live(message: TcMessage) -> TcMessage {
    match Data::parse(message.kind, &message.payload, &Limits::DEFAULT) {
        Ok(data) if message.kind == kind::DATA && data.name == data::ON_META_DATA => {
            TcMessage { payload: data::set_data_frame(&message.payload), ..message }
        }
        _ => message,
    }
}
