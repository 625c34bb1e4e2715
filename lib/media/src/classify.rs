//! What an audio or video message is to someone who forwards it without decoding: configuration, key frame, other
//! frame, end of sequence and so on, by the rules of FLV and of Enhanced RTMP v2, for each track.
//!
//! Bytes of any kind can be classified. What cannot be understood because it is cut or contradicts itself is
//! [`Class::Malformed`]; packet types that are not known (yet) are [`Class::Other`].

mod audio;
mod header;
mod tracks;
mod video;

#[cfg(test)]
mod tests;

pub use tracks::{Track, Tracks};

use core::fmt;

use bytes::Bytes;

use crate::message::{TcMessage, kind};

/// The payload of a video message by which a relay tells the next one that the last key frame it sent is a valid
/// picture at this message's time: command 3 of the legacy form.
pub const CHECKPOINT: [u8; 2] = [0x50, CHECKPOINT_COMMAND];

/// The number of the video command random access checkpoint.
pub const CHECKPOINT_COMMAND: u8 = 3;

/// What an audio or video message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Media<'a> {
    /// What it is. In a message of several tracks the same for all of them, as they share one packet type.
    pub class: Class,
    /// The codec, of the first track if there are several. None for empty messages, commands and malformed ones.
    pub codec: Option<Codec>,
    /// What the message adds to its timestamp, in nanoseconds, below a millisecond.
    pub nanoseconds: u32,
    tracks: Tracks<'a>,
}

impl<'a> Media<'a> {
    /// Classifies a message. None if it is neither audio nor video.
    pub fn of(message: &'a TcMessage) -> Option<Self> {
        match message.kind {
            kind::AUDIO => Some(Self::audio(&message.payload)),
            kind::VIDEO => Some(Self::video(&message.payload)),
            _ => None,
        }
    }

    /// Whether it may be dropped when late: only frames, and what nobody can use. Commands may not, by this; a
    /// policy may have a lifetime of their own for [`CHECKPOINT`]s.
    pub const fn may_expire(&self) -> bool {
        match self.class {
            Class::KeyFrame
            | Class::InterFrame
            | Class::DisposableFrame
            | Class::AudioFrame
            | Class::Malformed => true,
            Class::Config
            | Class::MultichannelConfig
            | Class::End
            | Class::Silence
            | Class::Metadata
            | Class::Command(_)
            | Class::Other => false,
        }
    }

    /// Whether decoding of video can begin here.
    pub const fn is_keyframe(&self) -> bool {
        matches!(self.class, Class::KeyFrame)
    }

    /// Whether it configures a decoder, in one track at least, and so is to be kept for those who come later.
    /// [`Class::MultichannelConfig`] is not meant; it is to be kept beside.
    pub const fn is_config(&self) -> bool {
        matches!(self.class, Class::Config)
    }

    /// The tracks: one with the id 0 unless the message is a multitrack one; none for empty messages, commands and
    /// malformed ones.
    pub const fn tracks(&self) -> Tracks<'a> {
        self.tracks
    }

    const fn without_tracks(class: Class) -> Self {
        Self { class, codec: None, nanoseconds: 0, tracks: Tracks::none() }
    }

    const fn single(class: Class, codec: Codec, body: &'a [u8]) -> Self {
        Self { class, codec: Some(codec), nanoseconds: 0, tracks: Tracks::one(codec, body) }
    }
}

/// The kinds of audio and video messages.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Class {
    /// The configuration of a decoder ("sequence header", "sequence start").
    Config,
    /// The layout of audio channels.
    MultichannelConfig,
    /// Video that needs no earlier frame, key frames made by a server included.
    KeyFrame,
    /// Video that needs earlier frames.
    InterFrame,
    /// Video that needs earlier frames and that no later one needs.
    DisposableFrame,
    /// Audio.
    AudioFrame,
    /// The end of a sequence: a decoder may show or play all that it holds. For video an empty message also is one.
    End,
    /// An empty audio message: there will be no audio for a while, so it is no clock any more.
    Silence,
    /// Facts about the pictures, such as their colour space.
    Metadata,
    /// A video command, by number: 0 and 1 begin and end a seek, [`CHECKPOINT_COMMAND`] is a checkpoint.
    Command(u8),
    /// A packet type without known meaning. It may be a configuration, so it must not be dropped.
    Other,
    /// Cut, or contradicting itself.
    Malformed,
}

/// How a track is encoded.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Codec {
    /// By the codec id of a legacy video header: 7 is AVC, and 12 HEVC for many.
    Video(u8),
    /// By the sound format of a legacy audio header: 10 is AAC.
    Audio(u8),
    /// By an Enhanced RTMP code of four characters, such as `av01`.
    FourCc([u8; 4]),
}

impl Codec {
    /// Whether it is a legacy video codec with AVC's second byte, which tells configuration from frames.
    const fn is_avc_like(self) -> bool {
        matches!(self, Self::Video(7 | 12))
    }

    /// The payload that ends a sequence of video in this codec: what a server sends before it withholds frames.
    pub fn video_end(self) -> Bytes {
        match self {
            Self::Video(id) if self.is_avc_like() => Bytes::copy_from_slice(&[0x10 | id, 2, 0, 0, 0]),
            Self::FourCc([a, b, c, d]) => Bytes::copy_from_slice(&[0x92, a, b, c, d]),
            Self::Video(_) | Self::Audio(_) => Bytes::new(),
        }
    }
}

/// `avc1` and the like; legacy codecs by their common names, or numbers as `video 3`.
impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::FourCc(code) => return write!(f, "{}", code.escape_ascii()),
            Self::Video(2) => "H.263",
            Self::Video(4 | 5) => "VP6",
            Self::Video(7) => "AVC",
            Self::Video(12) => "HEVC",
            Self::Audio(2 | 14) => "MP3",
            Self::Audio(7 | 8) => "G.711",
            Self::Audio(10) => "AAC",
            Self::Audio(11) => "Speex",
            Self::Video(id) => return write!(f, "video {id}"),
            Self::Audio(id) => return write!(f, "audio {id}"),
        };
        f.write_str(name)
    }
}
