use super::header::Header;
use super::{Class, Codec, Media};

/// The sound format that announces an extended header.
const EXTENDED: u8 = 9;

const AAC: u8 = 10;

mod packet {
    pub(super) const SEQUENCE_START: u8 = 0;
    pub(super) const CODED_FRAMES: u8 = 1;
    pub(super) const SEQUENCE_END: u8 = 2;
    pub(super) const MULTICHANNEL_CONFIG: u8 = 4;
    pub(super) const MULTITRACK: u8 = 5;
}

impl<'a> Media<'a> {
    /// Classifies the payload of an audio message.
    pub fn audio(payload: &'a [u8]) -> Self {
        let Some((&first, rest)) = payload.split_first() else {
            return Self::without_tracks(Class::Silence);
        };
        let media = match first >> 4 {
            EXTENDED => extended(Header::new(first, rest)),
            AAC => aac(rest),
            format => Some(Self::single(Class::AudioFrame, Codec::Audio(format), rest)),
        };
        media.unwrap_or(Self::without_tracks(Class::Malformed))
    }
}

fn aac(rest: &[u8]) -> Option<Media<'_>> {
    let (packet, body) = rest.split_first()?;
    let class = match packet {
        0 => Class::Config,
        1 => Class::AudioFrame,
        _ => Class::Other,
    };
    Some(Media::single(class, Codec::Audio(AAC), body))
}

fn extended(mut header: Header<'_>) -> Option<Media<'_>> {
    header.take_mod_ex()?;
    header.media(packet::MULTITRACK, |packet| match packet {
        packet::SEQUENCE_START => Class::Config,
        packet::CODED_FRAMES => Class::AudioFrame,
        packet::SEQUENCE_END => Class::End,
        packet::MULTICHANNEL_CONFIG => Class::MultichannelConfig,
        _ => Class::Other,
    })
}
