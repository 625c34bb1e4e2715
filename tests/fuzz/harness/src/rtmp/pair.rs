use std::collections::VecDeque;

use core::time::Duration;

use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::message::kind;
use rtmfp_rtmp::{Config, Connection, Event, MessageId, Role, SendOptions};

use crate::Tape;

/// Two connections with a byte stream between them. Each message that is sent ends once; those that end as sent
/// arrive, unchanged and in the order of their lane; no other arrives.
pub fn pair(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut ends = [End::new(Role::Client, &mut tape), End::new(Role::Server, &mut tape)];
    let mut now = Time::from_millis(1);
    for _ in 0..3 {
        exchange(&mut ends, now);
    }
    while !tape.is_empty() {
        let op = tape.u8();
        let [end, peer] = sides(&mut ends, op & 1);
        match op >> 1 & 7 {
            0..=2 => end.send(now, &mut tape),
            3 => end.fill(now, usize::from(tape.u8())),
            4 => {
                let len = usize::from(tape.u16());
                peer.deliver(now, end, len);
            }
            5 => {
                now += Duration::from_millis(u64::from(tape.u8()));
                end.connection.handle_timeout(now).expect("the handshake had time enough");
            }
            6 => {
                let index = usize::from(tape.u8());
                if let Some(id) = end.written.get(index % end.written.len().max(1)).map(|written| written.id)
                {
                    end.connection.abandon(id);
                }
            }
            _ => {
                let (stream_id, kind, group) =
                    (tape.u8().into(), tape.pick(&KINDS), u64::from(tape.u8() % 4));
                if tape.flag() {
                    end.connection.abandon_group(stream_id, kind, group);
                } else {
                    let by = now + Duration::from_millis(u64::from(tape.u8()));
                    end.connection.hasten_group(stream_id, kind, group, by, by);
                }
            }
        }
        end.poll();
        peer.poll();
    }
    for _ in 0..16 {
        exchange(&mut ends, now);
    }
    for side in [0, 1] {
        let [end, peer] = sides(&mut ends, side);
        end.check_against(peer);
    }
}

/// All that waits goes over, both ways.
fn exchange(ends: &mut [End; 2], now: Time) {
    for side in [0, 1] {
        let [end, peer] = sides(ends, side);
        end.fill(now, usize::MAX);
        peer.deliver(now, end, usize::MAX);
        end.poll();
        peer.poll();
    }
}

fn sides(ends: &mut [End; 2], first: u8) -> [&mut End; 2] {
    let [a, b] = ends;
    if first == 0 { [a, b] } else { [b, a] }
}

const KINDS: [u8; 5] = [kind::AUDIO, kind::VIDEO, kind::DATA, kind::COMMAND, kind::SHARED_OBJECT];

#[derive(Debug)]
struct Written {
    id: MessageId,
    message: TcMessage,
    sent: Option<bool>,
}

struct End {
    connection: Connection,
    /// Bytes for the peer that are under way.
    stream: VecDeque<u8>,
    written: Vec<Written>,
    received: Vec<TcMessage>,
}

impl End {
    fn new(role: Role, tape: &mut Tape<'_>) -> Self {
        let choices = tape.u8();
        let config = Config {
            chunk_size: 64 << (choices & 7),
            compress_headers: choices & 8 == 0,
            interleave: choices & 16 == 0,
            abandon_started: choices & 32 == 0,
            max_queued_bytes: if choices & 64 == 0 { 32 << 20 } else { 10_000 },
            ..Config::default()
        };
        let mut connection = Connection::new(role, config, Time::ZERO, 1);
        connection.set_trusted();
        Self { connection, stream: VecDeque::new(), written: Vec::new(), received: Vec::new() }
    }

    fn send(&mut self, now: Time, tape: &mut Tape<'_>) {
        let (kind, stream_id, shape) = (tape.pick(&KINDS), u32::from(tape.u8() % 4), tape.u8());
        let timestamp = match shape & 3 {
            0 => u32::from(tape.u8()),
            1 => 0xff_fff0 + u32::from(tape.u8()),
            2 => tape.u32(),
            _ => u32::MAX - u32::from(tape.u8()),
        };
        let len = if shape & 4 == 0 { usize::from(tape.u8()) } else { usize::from(tape.u16()) };
        let fill = self.written.len();
        let payload: Vec<u8> = (0..len).map(|index| (fill + index * 7) as u8).collect();
        let message = TcMessage { kind, timestamp, stream_id, payload: payload.into() };
        let soon = |set, tape: &mut Tape<'_>| {
            if set { now + Duration::from_millis(u64::from(tape.u8())) } else { Time::MAX }
        };
        let options = SendOptions {
            priority: tape.u8() & 7,
            start_by: soon(shape & 8 != 0, tape),
            finish_by: soon(shape & 16 != 0, tape),
            group: (shape & 32 != 0).then(|| u64::from(tape.u8() % 4)),
            notify: true,
        };
        if let Ok(id) = self.connection.send(now, message.clone(), &options) {
            assert!(self.written.iter().all(|written| written.id != id));
            self.written.push(Written { id, message, sent: None });
        }
        assert!(self.connection.memory() <= 96 << 20);
    }

    fn fill(&mut self, now: Time, limit: usize) {
        let mut out = Vec::new();
        self.connection.fill(now, limit, &mut out);
        assert!(out.len() <= limit.saturating_add(64), "a header may reach over the limit, no more");
        self.stream.extend(out);
    }

    /// Takes bytes that the peer has sent.
    fn deliver(&mut self, now: Time, from: &mut Self, len: usize) {
        let len = len.min(from.stream.len());
        let bytes: Vec<u8> = from.stream.drain(..len).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            rest = self.connection.receive(now, rest).expect("the peer keeps to the protocol");
            self.poll();
        }
    }

    fn poll(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Message(message) => self.received.push(message),
                Event::Sent(id) => self.end(id, true),
                Event::Dropped { id, .. } => self.end(id, false),
                _ => {}
            }
        }
    }

    fn end(&mut self, id: MessageId, sent: bool) {
        let written = self.written.iter_mut().find(|written| written.id == id).expect("it was written");
        assert_eq!(written.sent, None, "a message ends once");
        written.sent = Some(sent);
    }

    /// All that was to be sent was, and the peer has got it.
    fn check_against(&self, peer: &Self) {
        assert!(self.connection.is_open() && !self.connection.wants_write());
        assert_eq!(self.connection.queued_bytes(), 0);
        assert!(self.written.iter().all(|written| written.sent.is_some()), "each message ends");
        for kind in KINDS {
            for stream_id in 0..4 {
                let in_lane = |message: &&TcMessage| message.kind == kind && message.stream_id == stream_id;
                let sent = self.written.iter().filter(|written| written.sent == Some(true));
                let sent: Vec<&TcMessage> = sent.map(|written| &written.message).filter(in_lane).collect();
                let received: Vec<&TcMessage> = peer.received.iter().filter(in_lane).collect();
                assert!(sent == received, "type {kind} on stream {stream_id}: {sent:?} {received:?}");
            }
        }
    }
}
