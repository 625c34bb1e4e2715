use super::tracks::Layout;
use super::{Class, Codec, Media, Tracks};

/// The packet types of Enhanced RTMP that audio and video share.
pub(super) const MOD_EX: u8 = 7;

/// How many ModEx entries a message may have: more than there are kinds of them, and few enough that a message full
/// of them costs nothing.
const MAX_MOD_EX: usize = 16;

/// Reads the extended header of audio or video from its second byte on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    rest: &'a [u8],
    /// The packet type, the wrappers taken off as far as they were read.
    pub(super) packet: u8,
    pub(super) nanoseconds: u32,
}

impl<'a> Header<'a> {
    /// `first` is the message's first byte, with the packet type in the low half.
    pub(super) const fn new(first: u8, rest: &'a [u8]) -> Self {
        Self { rest, packet: first & 0x0f, nanoseconds: 0 }
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    fn four_cc(&mut self) -> Option<Codec> {
        let (code, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(Codec::FourCc(*code))
    }

    /// Takes off the ModEx entries: each is a size, data, and a byte with the entry's type and the packet type that
    /// applies, which may be ModEx again.
    pub(super) fn take_mod_ex(&mut self) -> Option<()> {
        for _ in 0..MAX_MOD_EX {
            if self.packet != MOD_EX {
                return Some(());
            }
            let mut size = usize::from(self.byte()?) + 1;
            if size == 256 {
                size = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?])) + 1;
            }
            let (data, rest) = self.rest.split_at_checked(size)?;
            self.rest = rest;
            let types = self.byte()?;
            self.packet = types & 0x0f;
            if let (0, [a, b, c, ..]) = (types >> 4, data) {
                let nanoseconds = u32::from_be_bytes([0, *a, *b, *c]);
                // A millisecond or more would contradict the timestamp, and is ignored.
                self.nanoseconds = if nanoseconds <= 999_999 { nanoseconds } else { 0 };
            }
        }
        None
    }

    /// Reads what is left: the FourCC, or, if the packet type is `multitrack`, the arrangement of tracks. `class`
    /// says what the (inner) packet type means.
    pub(super) fn media(mut self, multitrack: u8, class: impl FnOnce(u8) -> Class) -> Option<Media<'a>> {
        let tracks = if self.packet == multitrack {
            let arrangement = self.byte()?;
            self.packet = arrangement & 0x0f;
            if matches!(self.packet, MOD_EX) || self.packet == multitrack {
                return None;
            }
            let layout = match arrangement >> 4 {
                0 => Layout::One(self.four_cc()?),
                1 => Layout::OneCodec(self.four_cc()?),
                2 => Layout::ManyCodecs,
                _ => return None,
            };
            Tracks::new(layout, self.rest)
        } else {
            let codec = self.four_cc()?;
            Tracks::one(codec, self.rest)
        };
        let codec = Some({ tracks }.next()?.codec);
        Some(Media { class: class(self.packet), codec, nanoseconds: self.nanoseconds, tracks })
    }
}
