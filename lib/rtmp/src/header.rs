//! Chunk headers as bytes (RTMP section 5.3.1).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use rtmfp_media::TcMessage;

/// The value of a 3-byte timestamp field that says: 4 more bytes follow.
pub(crate) const EXTENDED: u32 = 0xff_ffff;
/// The chunk stream of the chunk layer's own messages.
pub(crate) const CONTROL_CHUNK_STREAM: u32 = 2;
/// The longest header: 3 bytes of chunk stream, 11 of fields, 4 of extended timestamp.
pub(crate) const MAX_HEADER: usize = 18;

/// How many bytes the basic header takes that begins with `first`.
pub(crate) const fn basic_len(first: u8) -> usize {
    match first & 0x3f {
        0 => 2,
        1 => 3,
        _ => 1,
    }
}

/// How many bytes the message header of a format takes, the extended timestamp left out.
pub(crate) const fn fields_len(format: u8) -> usize {
    match format {
        0 => 11,
        1 => 7,
        2 => 3,
        _ => 0,
    }
}

/// The chunk stream id of a complete basic header. The form of 3 bytes is little-endian.
pub(crate) const fn chunk_stream_id(basic: &[u8]) -> u32 {
    match *basic {
        [_, low] => (low as u32).saturating_add(64),
        [_, low, high] => (u16::from_le_bytes([low, high]) as u32).saturating_add(64),
        [only, ..] => only as u32 & 0x3f,
        [] => 0,
    }
}

/// A big-endian number of 3 bytes; 0 where there are fewer.
pub(crate) fn u24(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<3>().map_or(0, |&[a, b, c]| u32::from_be_bytes([0, a, b, c]))
}

/// A big-endian number of 4 bytes; 0 where there are fewer.
pub(crate) fn u32_be(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |four| u32::from_be_bytes(*four))
}

/// What a header can say of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields {
    /// The timestamp (format 0) or the difference to the one before (formats 1 and 2).
    pub(crate) time: u32,
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) stream_id: u32,
}

impl From<&TcMessage> for Fields {
    fn from(message: &TcMessage) -> Self {
        Self {
            time: message.timestamp,
            length: message.payload.len(),
            kind: message.kind,
            stream_id: message.stream_id,
        }
    }
}

/// Appends a header on a chunk stream below 64. The message stream's id is little-endian.
pub(crate) fn put(out: &mut Vec<u8>, format: u8, chunk_stream: u32, fields: &Fields) {
    out.push(format << 6 | chunk_stream as u8);
    if format < 3 {
        put_u24(out, fields.time.min(EXTENDED));
    }
    if format < 2 {
        put_u24(out, fields.length as u32);
        out.push(fields.kind);
    }
    if format == 0 {
        out.extend_from_slice(&fields.stream_id.to_le_bytes());
    }
    if format < 3 && fields.time >= EXTENDED {
        out.extend_from_slice(&fields.time.to_be_bytes());
    }
}

fn put_u24(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes()[1..]);
}
