//! The chunk streams to send on, and what headers can leave out on each (RTMP section 5.3.1.2).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use rtmfp_media::TcMessage;

use crate::header::{self, CONTROL_CHUNK_STREAM, EXTENDED, Fields};

/// The chunk streams that messages are sent on, made as they are needed.
#[derive(Debug)]
pub(crate) struct ChunkStreams {
    list: Vec<ChunkStream>,
    compress: bool,
    /// Messages begun so far.
    begun: u64,
}

#[derive(Debug)]
struct ChunkStream {
    id: u32,
    /// A message is under way on it.
    busy: bool,
    /// The number of the last message that began on it.
    last_used: u64,
    /// What the next header can build on. `None`: it has to be a full one.
    previous: Option<Previous>,
}

/// What the headers of the last message said.
#[derive(Clone, Copy, Debug)]
struct Previous {
    stream_id: u32,
    kind: u8,
    length: usize,
    timestamp: u32,
    /// The difference that a header of format 3 would repeat. `None` after format 0: the specification says
    /// that it is then the timestamp, and not all implementations agree.
    delta: Option<u32>,
}

/// How many chunk streams are used at most. There are servers that take none above 31.
const MAX_CHUNK_STREAMS: usize = 24;

impl ChunkStreams {
    pub(crate) const fn new(compress: bool) -> Self {
        Self { list: Vec::new(), compress, begun: 0 }
    }

    /// Whether a message can begin.
    pub(crate) fn has_free(&self) -> bool {
        self.list.len() < MAX_CHUNK_STREAMS || self.list.iter().any(|stream| !stream.busy)
    }

    /// Begins a message on a free chunk stream, of which there is one: writes the header of its first chunk, as
    /// short as the message before allows. Gives the chunk stream, which is busy now.
    pub(crate) fn begin(&mut self, message: &TcMessage, out: &mut Vec<u8>) -> u32 {
        let length = message.payload.len();
        let compress = self.compress;
        self.begun = self.begun.saturating_add(1);
        let begun = self.begun;
        let stream = self.choose(message);
        let compressed = stream.previous.filter(|_| compress).and_then(|previous| {
            let delta = message.timestamp.wrapping_sub(previous.timestamp);
            let format = if previous.kind != message.kind || previous.length != length {
                1
            } else if previous.delta != Some(delta) {
                2
            } else {
                3
            };
            // When time goes backwards, the difference is large.
            let fits = delta < EXTENDED && previous.stream_id == message.stream_id;
            fits.then_some((format, delta))
        });
        let (format, time) = compressed.unwrap_or((0, message.timestamp));
        header::put(out, format, stream.id, &Fields { time, ..message.into() });
        stream.busy = true;
        stream.last_used = begun;
        stream.previous = Some(Previous {
            stream_id: message.stream_id,
            kind: message.kind,
            length,
            timestamp: message.timestamp,
            delta: compressed.map(|(_, delta)| delta),
        });
        stream.id
    }

    /// Writes the header of a chunk that continues a message.
    pub(crate) fn go_on(&self, id: u32, out: &mut Vec<u8>) {
        out.push(3 << 6 | id as u8);
        let previous = self.list.iter().find(|stream| stream.id == id).and_then(|stream| stream.previous);
        // Differences are never that large, so only format 0 has extended timestamps.
        if let Some(Previous { delta: None, timestamp: timestamp @ EXTENDED.., .. }) = previous {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
    }

    /// A message has been finished.
    pub(crate) fn finish(&mut self, id: u32) {
        if let Some(stream) = self.list.iter_mut().find(|stream| stream.id == id) {
            stream.busy = false;
        }
    }

    /// A message has been given up. What the peer keeps of its header is better not relied on.
    pub(crate) fn abort(&mut self, id: u32) {
        if let Some(stream) = self.list.iter_mut().find(|stream| stream.id == id) {
            stream.busy = false;
            stream.previous = None;
        }
    }

    /// Bytes on the heap.
    pub(crate) const fn memory(&self) -> usize {
        self.list.capacity().saturating_mul(size_of::<ChunkStream>())
    }

    /// Finds or makes a chunk stream that is not busy. The best had a message of the same type on the same
    /// stream before; then come those that have to begin anew anyway, new ones, and last the one that was not
    /// used for longest.
    #[allow(clippy::indexing_slicing, reason = "the place was found, or made, just now")]
    fn choose(&mut self, message: &TcMessage) -> &mut ChunkStream {
        let free = self.list.iter().enumerate().filter(|(_, stream)| !stream.busy);
        let ranked = free.map(|(place, stream)| match stream.previous {
            Some(previous) if previous.stream_id == message.stream_id && previous.kind == message.kind => {
                (0, 0, place)
            }
            None => (1, 0, place),
            Some(_) => (2, stream.last_used, place),
        });
        let place = match ranked.min() {
            Some((0 | 1, _, place)) => place,
            Some((_, _, place)) if self.list.len() >= MAX_CHUNK_STREAMS => place,
            _ => {
                const FIRST: u32 = CONTROL_CHUNK_STREAM + 1;
                let place = self.list.len();
                let id = FIRST.saturating_add(place as u32);
                self.list.push(ChunkStream { id, busy: false, last_used: 0, previous: None });
                place
            }
        };
        &mut self.list[place]
    }
}
