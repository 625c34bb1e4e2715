use super::header::Header;
use super::{Class, Codec, Media};

/// Set in the first byte of an extended header.
const EXTENDED: u8 = 0x80;

/// The frame type that says that a command comes instead of a frame.
const COMMAND: u8 = 5;

mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    /// Coded frames with a composition time of 0 that is left out.
    pub(super) const CODED_FRAMES_X: u8 = 3;
    pub(super) const METADATA: u8 = 4;
    pub(super) const MPEG2_TS_SEQUENCE_START: u8 = 5;
    pub(super) const MULTITRACK: u8 = 6;
}

impl<'a> Media<'a> {
    /// Classifies the payload of a video message.
    pub fn video(payload: &'a [u8]) -> Self {
        let Some((&first, rest)) = payload.split_first() else {
            return Self::without_tracks(Class::End);
        };
        let frame_type = (first >> 4) & 7;
        let media = if first & EXTENDED == 0 {
            legacy(frame_type, Codec::Video(first & 0x0f), rest)
        } else {
            extended(frame_type, Header::new(first, rest))
        };
        media.unwrap_or(Self::without_tracks(Class::Malformed))
    }
}

const fn coded(frame_type: u8) -> Class {
    match frame_type {
        // Type 4 are key frames that a server made, for a seek.
        1 | 4 => Class::KeyFrame,
        3 => Class::DisposableFrame,
        _ => Class::InterFrame,
    }
}

fn legacy(frame_type: u8, codec: Codec, rest: &[u8]) -> Option<Media<'_>> {
    if frame_type == COMMAND {
        // After AVC's header of four bytes, if that is there.
        let command = if codec.is_avc_like() { rest.get(4).or_else(|| rest.first()) } else { rest.first() };
        return Some(Media::without_tracks(Class::Command(*command?)));
    }
    if !codec.is_avc_like() {
        return Some(Media::single(coded(frame_type), codec, rest));
    }
    let (packet, body) = rest.split_first()?;
    let class = match packet {
        0 => Class::Config,
        1 => coded(frame_type),
        2 => Class::End,
        _ => Class::Other,
    };
    Some(Media::single(class, codec, body))
}

fn extended(frame_type: u8, mut header: Header<'_>) -> Option<Media<'_>> {
    header.take_mod_ex()?;
    if frame_type == COMMAND && header.packet != packet::METADATA {
        let class = Class::Command(header.byte()?);
        return Some(Media { nanoseconds: header.nanoseconds, ..Media::without_tracks(class) });
    }
    header.media(packet::MULTITRACK, |packet| match packet {
        packet::SEQUENCE_START | packet::MPEG2_TS_SEQUENCE_START => Class::Config,
        packet::CODED_FRAMES | packet::CODED_FRAMES_X => coded(frame_type),
        packet::SEQUENCE_END => Class::End,
        packet::METADATA => Class::Metadata,
        _ => Class::Other,
    })
}
