use super::{Reader, WireError, vlu, write_field};

/// An element of a sequence of options (RFC 7016 section 2.1.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Item<'a> {
    /// An empty option, which ends a list (RFC 7016 section 2.1.4).
    Marker,
    /// An option.
    Option {
        /// Its type.
        kind: u64,
        /// Its value; may be empty.
        value: &'a [u8],
    },
}

/// Reads a sequence of options and Markers to the end of its container.
///
/// An element that does not fit or is too short for its type yields [`WireError::BadOption`] and ends the sequence.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    bytes: Reader<'a>,
    failed: bool,
}

impl<'a> Items<'a> {
    /// Starts at the first of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: Reader::new(bytes), failed: false }
    }

    /// The bytes that follow the last element returned; after an error, those from the bad element on.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.clone().rest()
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.bytes.is_empty() {
            return None;
        }
        let mut ahead = self.bytes.clone();
        match read_item(&mut ahead) {
            Ok(item) => {
                self.bytes = ahead;
                Some(Ok(item))
            }
            Err(_) => {
                self.failed = true;
                Some(Err(WireError::BadOption))
            }
        }
    }
}

impl core::iter::FusedIterator for Items<'_> {}

fn read_item<'a>(bytes: &mut Reader<'a>) -> Result<Item<'a>, WireError> {
    let payload = bytes.field()?;
    if payload.is_empty() {
        return Ok(Item::Marker);
    }
    let mut payload = Reader::new(payload);
    Ok(Item::Option { kind: payload.vlu()?, value: payload.rest() })
}

/// Reads an option list (RFC 7016 section 2.1.4) and answers its options without the Marker.
pub(super) fn read_list<'a>(bytes: &mut Reader<'a>) -> Result<&'a [u8], WireError> {
    let all = bytes.clone().rest();
    let mut items = Items::new(all);
    loop {
        let before = items.rest().len();
        match items.next() {
            Some(Ok(Item::Marker)) => {
                *bytes = Reader::new(items.rest());
                return Reader::new(all).take(all.len().saturating_sub(before));
            }
            Some(Ok(Item::Option { .. })) => {}
            Some(Err(_)) | None => return Err(WireError::BadOption),
        }
    }
}

/// Appends an option.
pub fn write_option(kind: u64, value: &[u8], out: &mut Vec<u8>) {
    vlu::write(vlu::len(kind).saturating_add(value.len()) as u64, out);
    vlu::write(kind, out);
    out.extend_from_slice(value);
}

/// Appends a Marker.
pub fn write_marker(out: &mut Vec<u8>) {
    write_field(&[], out);
}

/// The length of a Marker.
pub(super) const MARKER_LEN: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_markers_read_back() {
        let mut out = Vec::new();
        write_option(0x0a, b"rtmfp://h/app", &mut out);
        write_marker(&mut out);
        write_option(300, &[], &mut out);
        assert_eq!(out, b"\x0e\x0artmfp://h/app\0\x02\x82\x2c");

        let mut items = Items::new(&out);
        assert_eq!(items.next(), Some(Ok(Item::Option { kind: 10, value: b"rtmfp://h/app" })));
        assert_eq!(items.next(), Some(Ok(Item::Marker)));
        assert_eq!(items.rest(), [0x02, 0x82, 0x2c]);
        assert_eq!(items.next(), Some(Ok(Item::Option { kind: 300, value: &[] })));
        assert_eq!((items.next(), items.rest()), (None, &[][..]));
    }

    #[test]
    fn a_bad_element_ends_the_sequence() {
        for bad in [&[0x05, 0x01][..], &[0x01, 0x80], &[0x81]] {
            let mut items = Items::new(bad);
            assert_eq!(items.next(), Some(Err(WireError::BadOption)), "{bad:?}");
            assert_eq!((items.next(), items.rest()), (None, bad));
        }
    }

    #[test]
    fn a_list_needs_its_marker() {
        let mut reader = Reader::new(&[0x02, 0x00, 0x54, 0x80, 0x00, 0x77]);
        assert_eq!(read_list(&mut reader), Ok(&[0x02, 0x00, 0x54][..]), "a Marker may have a long form");
        assert_eq!(reader.rest(), [0x77]);
        assert_eq!(read_list(&mut Reader::new(&[0x00])), Ok(&[][..]));
        for bad in [&[][..], &[0x02, 0x00, 0x54], &[0x02, 0x00], &[0x01, 0x80, 0x00]] {
            assert_eq!(read_list(&mut Reader::new(bad)), Err(WireError::BadOption), "{bad:?}");
        }
    }
}
