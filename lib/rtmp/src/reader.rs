//! The chunk stream as received (RTMP section 5.3).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use core::mem;

use bytes::Bytes;
use rtmfp_media::TcMessage;

use crate::header::{EXTENDED, MAX_HEADER, basic_len, chunk_stream_id, fields_len, u24, u32_be};
use crate::{Error, ReceiveLimits};

/// Puts messages together from chunks.
///
/// What the peer can make it allocate is bounded by [`ReceiveLimits`] and the number of chunk streams; buffers
/// follow the bytes that have arrived, never what a header announces.
#[derive(Debug)]
pub(crate) struct Reader {
    limits: ReceiveLimits,
    max_chunk_streams: usize,
    /// In the order of their ids.
    chunk_streams: Vec<ChunkStream>,
    state: State,
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// Bytes that were taken for an extended timestamp but are payload; they come before new input.
    stepped_back: SteppedBack,
    chunk_size: usize,
    style: ExtendedStyle,
    /// Capacity of all buffers of unfinished messages.
    partial: usize,
    /// Messages that were given up unfinished: by Abort, or by a new header in their middle.
    pub(crate) dropped: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Header,
    /// The header of a continuation is complete but for an extended timestamp that may not be there.
    Peek {
        index: usize,
    },
    Body {
        index: usize,
        /// Bytes of the chunk still to come, never 0.
        left: usize,
    },
}

/// Whether the peer repeats an extended timestamp in the headers of format 3 that continue a message. It should
/// (RTMP section 5.3.1.3), but there are encoders that do not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ExtendedStyle {
    /// None was seen yet: compare with what would be there.
    Unknown,
    Repeated,
    LeftOut,
}

#[derive(Debug)]
struct ChunkStream {
    id: u32,
    timestamp: u32,
    /// The last header's time: a timestamp in format 0, else a difference.
    time: u32,
    /// Whether the last header of format 0 to 2 had an extended timestamp.
    extended: bool,
    kind: u8,
    stream_id: u32,
    length: usize,
    /// The message under way. It may not have got a byte yet.
    partial: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct SteppedBack {
    bytes: [u8; 4],
    done: usize,
    len: usize,
}

impl Reader {
    pub(crate) const fn new(limits: ReceiveLimits, max_chunk_streams: usize) -> Self {
        Self {
            limits,
            max_chunk_streams,
            chunk_streams: Vec::new(),
            state: State::Header,
            header: [0; MAX_HEADER],
            header_len: 0,
            stepped_back: SteppedBack { bytes: [0; 4], done: 0, len: 0 },
            chunk_size: 128,
            style: ExtendedStyle::Unknown,
            partial: 0,
            dropped: 0,
        }
    }

    pub(crate) const fn set_limits(&mut self, limits: ReceiveLimits) {
        self.limits = limits;
    }

    /// Sets the size of the chunks that begin from now on, from 1.
    pub(crate) fn set_chunk_size(&mut self, size: u32) {
        self.chunk_size = size.max(1) as usize;
    }

    /// Gives up the unfinished message of a chunk stream, if there is one; the chunk stream goes on.
    pub(crate) fn abort(&mut self, chunk_stream: u32) {
        if let Ok(index) = self.find(chunk_stream) {
            self.drop_partial(index);
        }
    }

    /// Whether the peer was seen to leave extended timestamps out of continuations.
    pub(crate) fn leaves_extended_out(&self) -> bool {
        self.style == ExtendedStyle::LeftOut
    }

    /// Bytes on the heap.
    pub(crate) const fn memory(&self) -> usize {
        self.chunk_streams.capacity().saturating_mul(size_of::<ChunkStream>()).saturating_add(self.partial)
    }

    /// Takes bytes off `input`, up to the end of a message or of the input.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<TcMessage>, Error> {
        loop {
            let message = if self.stepped_back.done < self.stepped_back.len {
                let back = mem::take(&mut self.stepped_back);
                let mut rest = back.bytes.get(back.done..back.len).unwrap_or_default();
                let message = self.step(&mut rest)?;
                // Nothing steps back twice on one connection, so the place is free.
                self.stepped_back = SteppedBack { done: back.len.saturating_sub(rest.len()), ..back };
                message
            } else if input.is_empty() {
                return Ok(None);
            } else {
                self.step(input)?
            };
            if message.is_some() {
                return Ok(message);
            }
        }
    }

    /// Takes at least one byte off `input`, which has one.
    fn step(&mut self, input: &mut &[u8]) -> Result<Option<TcMessage>, Error> {
        match self.state {
            State::Header => self.read_header(input),
            State::Peek { index } => {
                self.peek(index, input);
                Ok(None)
            }
            State::Body { index, left } => self.read_body(index, left, input),
        }
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<TcMessage>, Error> {
        loop {
            let needed = self.header_needs();
            if needed == self.header_len {
                break;
            }
            let (taken, rest) = input.split_at(input.len().min(needed.saturating_sub(self.header_len)));
            if taken.is_empty() {
                return Ok(None);
            }
            self.push_header(taken);
            *input = rest;
        }
        let header = self.header;
        let len = mem::take(&mut self.header_len);
        self.begin_chunk(header.get(..len).unwrap_or_default())
    }

    /// Adds to what has come of the header; no more than there is room for.
    fn push_header(&mut self, bytes: &[u8]) {
        let room = self.header.iter_mut().skip(self.header_len);
        room.zip(bytes).for_each(|(place, byte)| *place = *byte);
        self.header_len = self.header_len.saturating_add(bytes.len());
    }

    /// What has come of the header.
    fn header(&self) -> &[u8] {
        self.header.get(..self.header_len).unwrap_or_default()
    }

    /// How long the header is, by what has come of it: it grows until all that tells the length is there.
    fn header_needs(&self) -> usize {
        let header = self.header();
        let Some(&first) = header.first() else { return 1 };
        let basic = basic_len(first);
        let format = first >> 6;
        let fixed = basic.saturating_add(fields_len(format));
        if header.len() < fixed {
            return fixed;
        }
        let extended = if format < 3 {
            u24(header.get(basic..).unwrap_or_default()) == EXTENDED
        } else {
            let id = chunk_stream_id(header.get(..basic).unwrap_or_default());
            match self.find(id).ok().and_then(|index| self.chunk_streams.get(index)) {
                // Continuations of peers of unknown style are for `peek`.
                Some(stream) if stream.partial.is_some() => {
                    stream.extended && self.style == ExtendedStyle::Repeated
                }
                Some(stream) => stream.extended,
                None => false,
            }
        };
        if extended { fixed.saturating_add(4) } else { fixed }
    }

    /// Acts on a complete header.
    fn begin_chunk(&mut self, header: &[u8]) -> Result<Option<TcMessage>, Error> {
        let Some(&first) = header.first() else { return Ok(None) };
        let format = first >> 6;
        let (basic, fields) = header.split_at(basic_len(first));
        let index = self.find_or_insert(chunk_stream_id(basic), format)?;
        let stream = at(&mut self.chunk_streams, index);
        if format == 3 && stream.partial.is_some() {
            if stream.extended && self.style == ExtendedStyle::Unknown {
                self.state = State::Peek { index };
                return Ok(None);
            }
            return Ok(self.begin_body(index));
        }

        if format < 3 {
            let time = u24(fields);
            stream.extended = time == EXTENDED;
            let extended = fields.get(fields_len(format)..).unwrap_or_default();
            stream.time = if stream.extended { u32_be(extended) } else { time };
        }
        if format < 2
            && let [_, _, _, a, b, c, kind, ..] = *fields
        {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let limit = self.limits.message_bytes;
            if length > limit {
                return Err(Error::MessageLength { kind, length, limit });
            }
            stream.length = length;
            stream.kind = kind;
        }
        if format == 0 {
            stream.stream_id = u32_be(fields.get(7..).unwrap_or_default()).swap_bytes();
            stream.timestamp = stream.time;
        } else {
            // A new message by format 3 repeats the difference, and after format 0 that is the timestamp
            // itself (RTMP section 5.3.1.2.4).
            stream.timestamp = stream.timestamp.wrapping_add(stream.time);
        }
        self.drop_partial(index);
        at(&mut self.chunk_streams, index).partial = Some(Vec::new());
        Ok(self.begin_body(index))
    }

    /// Compares bytes with the extended timestamp that should be here, until they differ or are complete.
    fn peek(&mut self, index: usize, input: &mut &[u8]) {
        let stream = at(&mut self.chunk_streams, index);
        // Some repeat the header's value, others give the message's timestamp, and some keep 31 bits only.
        let likely = [stream.time, stream.timestamp].map(|time| [time, time & 0x7fff_ffff]);
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            self.push_header(&[byte]);
            let peeked = self.header();
            let matches = likely.iter().flatten().any(|time| time.to_be_bytes().starts_with(peeked));
            if matches && peeked.len() < 4 {
                continue;
            }
            self.style = if matches {
                ExtendedStyle::Repeated
            } else {
                log::debug!("the peer leaves extended timestamps out of continued chunks");
                let mut bytes = [0; 4];
                bytes.iter_mut().zip(peeked).for_each(|(place, byte)| *place = *byte);
                self.stepped_back = SteppedBack { bytes, done: 0, len: peeked.len() };
                ExtendedStyle::LeftOut
            };
            self.header_len = 0;
            // A continuation has bytes left, so this completes nothing.
            let _none = self.begin_body(index);
            return;
        }
    }

    /// Goes on to the payload of a chunk; a message without payload is complete with its header.
    fn begin_body(&mut self, index: usize) -> Option<TcMessage> {
        let stream = at(&mut self.chunk_streams, index);
        let left = stream.length.saturating_sub(stream.partial.as_ref().map_or(0, Vec::len));
        if left == 0 {
            self.state = State::Header;
            return self.finish(index);
        }
        self.state = State::Body { index, left: left.min(self.chunk_size) };
        None
    }

    fn read_body(
        &mut self,
        index: usize,
        left: usize,
        input: &mut &[u8],
    ) -> Result<Option<TcMessage>, Error> {
        let (taken, rest) = input.split_at(left.min(input.len()));
        *input = rest;
        let stream = at(&mut self.chunk_streams, index);
        let buffer = stream.partial.get_or_insert_default();
        let needed = buffer.len().saturating_add(taken.len());
        if needed > buffer.capacity() {
            let others = self.partial.saturating_sub(buffer.capacity());
            let room = self.limits.partial_bytes.saturating_sub(others);
            if needed > room {
                return Err(Error::PartialMessages { limit: self.limits.partial_bytes });
            }
            let twice = buffer.len().saturating_mul(2);
            let capacity = twice.max(needed).max(MIN_BUFFER).min(stream.length).min(room);
            buffer.reserve_exact(capacity.saturating_sub(buffer.len()));
            self.partial = others.saturating_add(buffer.capacity());
        }
        buffer.extend_from_slice(taken);
        let complete = buffer.len() == stream.length;
        self.state = match left.saturating_sub(taken.len()) {
            0 => State::Header,
            left => State::Body { index, left },
        };
        Ok(if complete { self.finish(index) } else { None })
    }

    fn finish(&mut self, index: usize) -> Option<TcMessage> {
        let stream = at(&mut self.chunk_streams, index);
        let buffer = stream.partial.take()?;
        self.partial = self.partial.saturating_sub(buffer.capacity());
        Some(TcMessage {
            kind: stream.kind,
            timestamp: stream.timestamp,
            stream_id: stream.stream_id,
            payload: Bytes::from(buffer),
        })
    }

    fn drop_partial(&mut self, index: usize) {
        if let Some(buffer) = at(&mut self.chunk_streams, index).partial.take() {
            self.partial = self.partial.saturating_sub(buffer.capacity());
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    fn find(&self, id: u32) -> Result<usize, usize> {
        self.chunk_streams.binary_search_by_key(&id, |stream| stream.id)
    }

    fn find_or_insert(&mut self, id: u32, format: u8) -> Result<usize, Error> {
        let place = match self.find(id) {
            Ok(index) => return Ok(index),
            Err(place) => place,
        };
        // Format 1 is wrong here too, but it is how librtmp answers the first ping.
        if format > 1 {
            return Err(Error::FreshChunkStream { chunk_stream: id, format });
        }
        let limit = self.max_chunk_streams;
        if self.chunk_streams.len() >= limit {
            return Err(Error::ChunkStreams { chunk_stream: id, limit });
        }
        let stream = ChunkStream {
            id,
            timestamp: 0,
            time: 0,
            extended: false,
            kind: 0,
            stream_id: 0,
            length: 0,
            partial: None,
        };
        self.chunk_streams.insert(place, stream);
        Ok(place)
    }
}

/// The chunk stream at an index, which [`Reader::find`] gave: none is ever taken out.
#[allow(clippy::indexing_slicing, reason = "the index is that of a chunk stream")]
fn at(chunk_streams: &mut [ChunkStream], index: usize) -> &mut ChunkStream {
    &mut chunk_streams[index]
}

/// The smallest buffer of a message that is not shorter itself.
const MIN_BUFFER: usize = 512;

#[cfg(test)]
mod tests;
