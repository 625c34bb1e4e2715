//! FLV files: read tag by tag as their bytes arrive, and written the same way.
//!
//! A tag is a [`TcMessage`] of stream 0: audio, video, or data (a "script tag"), whose payload is the same in files and
//! in messages.

#[cfg(test)]
mod tests;

use bytes::{Buf, BytesMut};

use crate::command::amf0_part;
use crate::message::{MAX_PAYLOAD, TcMessage, kind};

/// The length of the head of a tag, in bytes.
pub(crate) const TAG_HEAD: usize = 11;

/// What a file begins with, extensions of the header not counted.
const FILE_HEAD: usize = 9;

/// The length that follows each tag, to go backwards by.
const BACK_POINTER: usize = 4;

const SIGNATURE: [u8; 3] = *b"FLV";
const VERSION: u8 = 1;
const HAS_AUDIO: u8 = 0x04;
const HAS_VIDEO: u8 = 0x01;

/// In the first byte of a tag: the payload is encrypted.
const FILTERED: u8 = 0x20;

/// In the first byte of a tag: its type.
const KIND: u8 = 0x1f;

/// What the header of a file announces. Often wrong; the tags decide.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileHeader {
    /// There are audio tags.
    pub audio: bool,
    /// There are video tags.
    pub video: bool,
}

/// Turns the bytes of a file into tags.
///
/// Nothing is reserved by what the file announces: one tag at most and the bytes given last are held.
#[derive(Debug)]
pub struct Reader {
    unread: BytesMut,
    state: State,
    header: Option<FileHeader>,
    max_tag: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the beginning of the file.
    Header,
    /// So many bytes of no interest, then a tag: the rest of the header, back pointers.
    Skip(u64),
    Failed(FlvError),
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(MAX_PAYLOAD)
    }
}

impl Reader {
    /// A reader at the beginning of a file, which takes tags of at most `max_tag` bytes. No tag can be longer than
    /// [`MAX_PAYLOAD`].
    pub fn new(max_tag: usize) -> Self {
        Self { unread: BytesMut::new(), state: State::Header, header: None, max_tag }
    }

    /// Adds bytes of the file. All tags should be taken out before more are added.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The header, once it has been read.
    pub const fn header(&self) -> Option<FileHeader> {
        self.header
    }

    /// Whether nothing is missing that began. If not, a file that ends here is cut.
    pub fn is_between_tags(&self) -> bool {
        self.unread.is_empty() && matches!(self.state, State::Skip(left) if left <= BACK_POINTER as u64)
    }

    /// The next tag; none if more bytes are needed. Payloads share memory with the bytes that came with them.
    ///
    /// # Errors
    /// See [`FlvError`]. After one the reader is of no more use.
    pub fn next_tag(&mut self) -> Result<Option<TcMessage>, FlvError> {
        let tag = self.advance();
        if let Err(error) = tag {
            self.state = State::Failed(error);
            self.unread = BytesMut::new();
        }
        tag
    }

    fn advance(&mut self) -> Result<Option<TcMessage>, FlvError> {
        loop {
            match self.state {
                State::Header => {
                    if !self.read_header()? {
                        return Ok(None);
                    }
                }
                State::Skip(0) => return self.read_tag(),
                State::Skip(count) => {
                    let skipped = usize::try_from(count).unwrap_or(usize::MAX).min(self.unread.len());
                    self.unread.advance(skipped);
                    self.state = State::Skip(count.saturating_sub(skipped as u64));
                    if self.unread.is_empty() {
                        return Ok(None);
                    }
                }
                State::Failed(error) => return Err(error),
            }
        }
    }

    /// Answers whether the header was all there.
    fn read_header(&mut self) -> Result<bool, FlvError> {
        if self.unread.iter().zip(&SIGNATURE).any(|(byte, expected)| byte != expected) {
            return Err(FlvError::Signature);
        }
        let Some(&[_, _, _, version, flags, ref length @ ..]) = self.unread.first_chunk::<FILE_HEAD>() else {
            return Ok(false);
        };
        if version != VERSION {
            return Err(FlvError::Version(version));
        }
        let length = u64::from(u32::from_be_bytes(*length));
        // The header says how long it is, and a back pointer to nothing follows it.
        let extension = length.checked_sub(FILE_HEAD as u64).ok_or(FlvError::HeaderLength)?;
        self.state = State::Skip(extension.saturating_add(BACK_POINTER as u64));
        self.header = Some(FileHeader { audio: flags & HAS_AUDIO != 0, video: flags & HAS_VIDEO != 0 });
        self.unread.advance(FILE_HEAD);
        Ok(true)
    }

    fn read_tag(&mut self) -> Result<Option<TcMessage>, FlvError> {
        let Some(head) = self.unread.first_chunk().map(TagHead::parse) else { return Ok(None) };
        if head.kind & FILTERED != 0 {
            return Err(FlvError::Encrypted);
        }
        if head.length > self.max_tag {
            return Err(FlvError::TagLength(head.length));
        }
        if self.unread.len() < head.length.saturating_add(TAG_HEAD) {
            return Ok(None);
        }
        self.unread.advance(TAG_HEAD);
        let payload = self.unread.split_to(head.length).freeze();
        self.state = State::Skip(BACK_POINTER as u64);
        Ok(Some(TcMessage { kind: head.kind & KIND, timestamp: head.timestamp, stream_id: 0, payload }))
    }
}

/// Appends the beginning of a file.
pub fn write_header(out: &mut Vec<u8>, header: FileHeader) {
    out.extend_from_slice(&SIGNATURE);
    let audio = if header.audio { HAS_AUDIO } else { 0 };
    let video = if header.video { HAS_VIDEO } else { 0 };
    out.extend_from_slice(&[VERSION, audio | video, 0, 0, 0, FILE_HEAD as u8, 0, 0, 0, 0]);
}

/// Appends a message as a tag. Extended data (type 15) becomes a plain script tag; any other type than audio, video
/// and data is refused.
///
/// # Errors
/// See [`FlvWriteError`]. Then nothing was appended.
pub fn write_tag(out: &mut Vec<u8>, message: &TcMessage) -> Result<(), FlvWriteError> {
    let kind = match message.kind {
        kind::AUDIO | kind::VIDEO | kind::DATA => message.kind,
        kind::DATA_EXTENDED => kind::DATA,
        other => return Err(FlvWriteError::Kind(other)),
    };
    let payload = amf0_part(message.kind, &message.payload).map_err(|_| FlvWriteError::Kind(message.kind))?;
    if payload.len() > MAX_PAYLOAD {
        return Err(FlvWriteError::Length(payload.len()));
    }
    let length = payload.len().saturating_add(TAG_HEAD);
    out.reserve(length.saturating_add(BACK_POINTER));
    out.extend_from_slice(&TagHead { kind, length: payload.len(), timestamp: message.timestamp }.bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(&(length as u32).to_be_bytes());
    Ok(())
}

/// The head of a tag, or of a part of an aggregate message. Both have a stream id, which means nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagHead {
    /// The first byte.
    pub(crate) kind: u8,
    /// The length of the payload.
    pub(crate) length: usize,
    /// Milliseconds; the highest byte comes last.
    pub(crate) timestamp: u32,
}

impl TagHead {
    pub(crate) fn parse(bytes: &[u8; TAG_HEAD]) -> Self {
        let &[kind, a, b, c, t2, t1, t0, t3, ..] = bytes;
        Self {
            kind,
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
        }
    }

    fn bytes(self) -> [u8; TAG_HEAD] {
        let [.., a, b, c] = self.length.to_be_bytes();
        let [t3, t2, t1, t0] = self.timestamp.to_be_bytes();
        [self.kind, a, b, c, t2, t1, t0, t3, 0, 0, 0]
    }
}

/// Why a file cannot be read (any further).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlvError {
    /// It does not begin with `FLV`.
    #[error("not an FLV file")]
    Signature,
    /// A version of the format that is not 1.
    #[error("FLV version {0}")]
    Version(u8),
    /// The header says that it is shorter than it is.
    #[error("bad length of the FLV header")]
    HeaderLength,
    /// A tag is longer, in bytes, than the reader was told to take.
    #[error("an FLV tag of {0} bytes")]
    TagLength(usize),
    /// A tag is encrypted.
    #[error("an encrypted FLV tag")]
    Encrypted,
}

/// Why a message cannot be written as a tag.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FlvWriteError {
    /// A message of a type that has no place in a file, or extended data of an unknown format.
    #[error("messages of type {0} cannot be written to FLV files")]
    Kind(u8),
    /// The payload is longer than [`MAX_PAYLOAD`].
    #[error("a message of {0} bytes is too long for FLV files")]
    Length(usize),
}
