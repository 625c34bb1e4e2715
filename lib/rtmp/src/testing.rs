//! What the tests share: a naive chunk encoder, a decoder, and connections that are open.

use bytes::Bytes;
use rtmfp_base::Time;
use rtmfp_media::TcMessage;

use crate::control::Control;
use crate::reader::Reader;
use crate::{Config, Connection, Error, Event, ReceiveLimits, Role};

pub(crate) const NO_LIMITS: ReceiveLimits =
    ReceiveLimits { message_bytes: usize::MAX, partial_bytes: usize::MAX };

/// A message whose payload depends on its other fields.
pub(crate) fn message(kind: u8, timestamp: u32, stream_id: u32, length: usize) -> TcMessage {
    let first = kind as usize + timestamp as usize + 0xa0;
    let payload: Vec<u8> = (0..length).map(|index| (first + index * 7) as u8).collect();
    TcMessage { kind, timestamp, stream_id, payload: Bytes::from(payload) }
}

/// A basic header in its shortest form.
pub(crate) fn basic(format: u8, chunk_stream: u32) -> Vec<u8> {
    let top = format << 6;
    match chunk_stream {
        2..64 => vec![top | chunk_stream as u8],
        64..320 => vec![top, (chunk_stream - 64) as u8],
        _ => {
            let [low, high, ..] = (chunk_stream - 64).to_le_bytes();
            vec![top | 1, low, high]
        }
    }
}

fn with_time(format: u8, chunk_stream: u32, time: u32, fields: &[u8]) -> Vec<u8> {
    let mut out = basic(format, chunk_stream);
    if time >= 0xff_ffff {
        out.extend([0xff; 3]);
    } else {
        out.extend(&time.to_be_bytes()[1..]);
    }
    out.extend(fields);
    if time >= 0xff_ffff {
        out.extend(time.to_be_bytes());
    }
    out
}

pub(crate) fn format0(chunk_stream: u32, timestamp: u32, length: u32, kind: u8, stream_id: u32) -> Vec<u8> {
    let mut fields = length.to_be_bytes()[1..].to_vec();
    fields.push(kind);
    fields.extend(stream_id.to_le_bytes());
    with_time(0, chunk_stream, timestamp, &fields)
}

pub(crate) fn format1(chunk_stream: u32, delta: u32, length: u32, kind: u8) -> Vec<u8> {
    let mut fields = length.to_be_bytes()[1..].to_vec();
    fields.push(kind);
    with_time(1, chunk_stream, delta, &fields)
}

pub(crate) fn format2(chunk_stream: u32, delta: u32) -> Vec<u8> {
    with_time(2, chunk_stream, delta, &[])
}

pub(crate) fn format3(chunk_stream: u32) -> Vec<u8> {
    basic(3, chunk_stream)
}

/// A control message in one chunk.
pub(crate) fn control(kind: u8, payload: &[u8]) -> Vec<u8> {
    [format0(2, 0, payload.len() as u32, kind, 0), payload.to_vec()].concat()
}

/// Reads a chunk stream and obeys Set Chunk Size and Abort, which are in the result as well.
pub(crate) struct Decoder(pub(crate) Reader);

impl Decoder {
    pub(crate) fn new() -> Self {
        Self(Reader::new(NO_LIMITS, usize::MAX))
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8]) -> Result<Vec<TcMessage>, Error> {
        let mut messages = Vec::new();
        while let Some(message) = self.0.read(&mut bytes)? {
            match Control::parse(&message)? {
                Some(Control::SetChunkSize(size)) => self.0.set_chunk_size(size),
                Some(Control::Abort { chunk_stream }) => self.0.abort(chunk_stream),
                _ => {}
            }
            messages.push(message);
        }
        Ok(messages)
    }
}

/// Reads a whole chunk stream in pieces of every small length, which must not matter.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<TcMessage>, Error> {
    let whole = Decoder::new().read(bytes);
    for length in 1..=20 {
        let mut decoder = Decoder::new();
        let pieces: Result<Vec<_>, _> = bytes.chunks(length).map(|piece| decoder.read(piece)).collect();
        assert_eq!(pieces.map(|messages| messages.concat()), whole, "in pieces of {length}");
    }
    whole
}

/// An open connection that has sent its part of the handshake and its announcements.
pub(crate) fn open(role: Role, config: Config) -> Connection {
    let mut connection = just_open(role, config);
    fill(&mut connection, Time::ZERO, usize::MAX);
    connection
}

/// An open connection that has sent its part of the handshake only.
pub(crate) fn just_open(role: Role, config: Config) -> Connection {
    let mut connection = Connection::new(role, config, Time::ZERO, 1);
    let mut peer = vec![0; 3073];
    peer[0] = 3;
    assert_eq!(connection.receive(Time::ZERO, &peer), Ok(&[][..]));
    assert_eq!(connection.poll_event(), Some(Event::Open));
    assert_eq!(fill(&mut connection, Time::ZERO, 3073).len(), 3073);
    connection
}

pub(crate) fn fill(connection: &mut Connection, now: Time, limit: usize) -> Vec<u8> {
    let mut out = Vec::new();
    connection.fill(now, limit, &mut out);
    out
}

/// Hands all bytes in and returns all events.
pub(crate) fn receive(connection: &mut Connection, mut bytes: &[u8]) -> Result<Vec<Event>, Error> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        bytes = connection.receive(Time::ZERO, bytes)?;
        events.extend(core::iter::from_fn(|| connection.poll_event()));
    }
    Ok(events)
}
