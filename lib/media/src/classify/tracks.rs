use core::iter::FusedIterator;

use super::Codec;

/// One track of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Track<'a> {
    /// Its id; 0 is the default track, and the only one of messages that are not multitrack.
    pub id: u8,
    /// How it is encoded.
    pub codec: Codec,
    /// What comes after all headers that classification reads; for video frames of some codecs three bytes of
    /// composition time come first.
    pub body: &'a [u8],
}

/// The tracks of a message in their order. They end before one that is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tracks<'a> {
    layout: Layout,
    rest: &'a [u8],
}

/// How what is left of a message is divided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// There is nothing left.
    None,
    /// The body of track 0.
    Plain(Codec),
    /// An id and the body.
    One(Codec),
    /// Ids, sizes and bodies.
    OneCodec(Codec),
    /// Codecs, ids, sizes and bodies.
    ManyCodecs,
}

impl<'a> Tracks<'a> {
    pub(super) const fn new(layout: Layout, rest: &'a [u8]) -> Self {
        Self { layout, rest }
    }

    pub(super) const fn none() -> Self {
        Self { layout: Layout::None, rest: &[] }
    }

    pub(super) const fn one(codec: Codec, body: &'a [u8]) -> Self {
        Self { layout: Layout::Plain(codec), rest: body }
    }
}

impl<'a> Iterator for Tracks<'a> {
    type Item = Track<'a>;

    fn next(&mut self) -> Option<Track<'a>> {
        // Whatever goes wrong below, or is the last of its kind, ends the iteration.
        let Self { layout, rest } = core::mem::replace(self, Self::none());
        let (codec, rest) = match layout {
            Layout::None => return None,
            Layout::Plain(codec) => return Some(Track { id: 0, codec, body: rest }),
            Layout::One(codec) => {
                let (&id, body) = rest.split_first()?;
                return Some(Track { id, codec, body });
            }
            Layout::OneCodec(codec) => (codec, rest),
            Layout::ManyCodecs => {
                let (code, rest) = rest.split_first_chunk()?;
                (Codec::FourCc(*code), rest)
            }
        };
        let (&[id, a, b, c], rest) = rest.split_first_chunk()?;
        let (body, rest) = rest.split_at_checked(u32::from_be_bytes([0, a, b, c]) as usize)?;
        *self = Self { layout, rest };
        Some(Track { id, codec, body })
    }
}

impl FusedIterator for Tracks<'_> {}
