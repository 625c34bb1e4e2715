use super::option::{MARKER_LEN, read_list};
use super::{HEADER_LEN, Item, Items, OpenChunk, Reader, WireError, kind, vlu, write_marker, write_option};

/// Which part of a message a fragment is (RFC 7016 section 2.3.11, `fragmentControl`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fragment {
    /// A whole message.
    Whole,
    /// The first of several.
    Begin,
    /// Neither the first nor the last.
    Middle,
    /// The last of several.
    End,
}

/// The flags of a User Data chunk but for the presence of options (RFC 7016 section 2.3.11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DataFlags {
    /// Which part of a message it is.
    pub fragment: Fragment,
    /// ABN: the sender has given up this sequence number; data is to be ignored.
    pub abandoned: bool,
    /// FIN: it is the last sequence number of the flow.
    pub last: bool,
}

impl DataFlags {
    /// Takes the flags from their byte; other bits are ignored.
    pub const fn from_byte(byte: u8) -> Self {
        let fragment = match byte & FRAGMENT {
            BEGIN => Fragment::Begin,
            MIDDLE => Fragment::Middle,
            END => Fragment::End,
            _ => Fragment::Whole,
        };
        Self { fragment, abandoned: byte & ABANDONED != 0, last: byte & LAST != 0 }
    }

    /// The byte of these flags, and of OPT when `options` follow.
    pub const fn to_byte(self, options: bool) -> u8 {
        let fragment = match self.fragment {
            Fragment::Whole => 0,
            Fragment::Begin => BEGIN,
            Fragment::Middle => MIDDLE,
            Fragment::End => END,
        };
        fragment
            | if options { OPTIONS } else { 0 }
            | if self.abandoned { ABANDONED } else { 0 }
            | if self.last { LAST } else { 0 }
    }
}

/// A User Data chunk (RFC 7016 section 2.3.11).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UserData<'a> {
    /// What the fragment is.
    pub flags: DataFlags,
    /// The flow, as its sender numbers it.
    pub flow_id: u64,
    /// The sequence number of the fragment.
    pub sequence: u64,
    /// How far the Forward Sequence Number is behind the sequence number; never above `sequence`. A 0 without ABN,
    /// which a sender must not send, is let through.
    pub fsn_offset: u64,
    /// The option list without its Marker, every option of it well-formed; [`FlowOptions::parse`] interprets it.
    pub options: Option<&'a [u8]>,
    /// The user's data.
    pub data: &'a [u8],
}

impl<'a> UserData<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        let flags = bytes.u8()?;
        let (flow_id, sequence, fsn_offset) = (bytes.vlu()?, bytes.vlu()?, bytes.vlu()?);
        if fsn_offset > sequence {
            return Err(WireError::BadRange("FSN offset above the sequence number"));
        }
        let options = read_options(flags, &mut bytes)?;
        let flags = DataFlags::from_byte(flags);
        Ok(Self { flags, flow_id, sequence, fsn_offset, options, data: bytes.rest() })
    }

    /// The sender will not send any sequence number up to this one any more.
    pub const fn forward_sequence(&self) -> u64 {
        self.sequence.saturating_sub(self.fsn_offset)
    }

    pub(super) fn payload_len(&self) -> usize {
        [
            1,
            vlu::len(self.flow_id),
            vlu::len(self.sequence),
            vlu::len(self.fsn_offset),
            options_len(self.options),
            self.data.len(),
        ]
        .into_iter()
        .sum()
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        out.push(self.flags.to_byte(self.options.is_some()));
        vlu::write(self.flow_id, out);
        vlu::write(self.sequence, out);
        vlu::write(self.fsn_offset, out);
        write_options(self.options, out);
        out.extend_from_slice(self.data);
    }
}

/// A Next User Data chunk (RFC 7016 section 2.3.12): the next sequence number of the flow that the User Data chunk
/// before it in the packet belongs to, with the same Forward Sequence Number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NextUserData<'a> {
    /// What the fragment is.
    pub flags: DataFlags,
    /// The option list, as in [`UserData`].
    pub options: Option<&'a [u8]>,
    /// The user's data.
    pub data: &'a [u8],
}

impl<'a> NextUserData<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        let flags = bytes.u8()?;
        let options = read_options(flags, &mut bytes)?;
        Ok(Self { flags: DataFlags::from_byte(flags), options, data: bytes.rest() })
    }

    pub(super) fn payload_len(&self) -> usize {
        [1, options_len(self.options), self.data.len()].into_iter().sum()
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        out.push(self.flags.to_byte(self.options.is_some()));
        write_options(self.options, out);
        out.extend_from_slice(self.data);
    }
}

/// How many bytes a User Data chunk has in front of its data, chunk header included. `options` is the option list
/// without its Marker; an empty one is not written at all.
pub fn user_data_header_len(flow_id: u64, sequence: u64, fsn_offset: u64, options: usize) -> usize {
    let list = if options == 0 { 0 } else { options.saturating_add(MARKER_LEN) };
    [HEADER_LEN, 1, vlu::len(flow_id), vlu::len(sequence), vlu::len(fsn_offset), list].into_iter().sum()
}

/// How many bytes a Next User Data chunk without options has in front of its data, chunk header included.
pub const fn next_user_data_header_len() -> usize {
    HEADER_LEN + 1
}

/// Begins a User Data chunk in a packet: appends all that [`user_data_header_len`] counts. Append the data, then
/// [`finish`](OpenChunk::finish) the chunk.
pub fn write_user_data_header(
    flags: DataFlags,
    flow_id: u64,
    sequence: u64,
    fsn_offset: u64,
    options: &[u8],
    out: &mut Vec<u8>,
) -> OpenChunk {
    let chunk = OpenChunk::begin(kind::USER_DATA, out);
    let options = Some(options).filter(|options| !options.is_empty());
    UserData { flags, flow_id, sequence, fsn_offset, options, data: &[] }.write_payload(out);
    chunk
}

/// Begins a Next User Data chunk without options, like [`write_user_data_header`].
pub fn write_next_user_data_header(flags: DataFlags, out: &mut Vec<u8>) -> OpenChunk {
    let chunk = OpenChunk::begin(kind::NEXT_USER_DATA, out);
    out.push(flags.to_byte(false));
    chunk
}

/// What the options of a flow say (RFC 7016 section 2.3.11.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlowOptions<'a> {
    /// User's Per-Flow Metadata: the first, should there be several.
    pub metadata: Option<&'a [u8]>,
    /// Return Flow Association, the receiver's flow: the first, should there be several.
    pub association: Option<u64>,
    /// Whether there is an option that is not understood and whose type, below 8192, makes its flow to be rejected.
    pub unknown_mandatory: bool,
}

impl<'a> FlowOptions<'a> {
    /// Interprets an option list, Marker or not.
    ///
    /// # Errors
    /// [`WireError::BadOption`] when an option, or the value of an association, is malformed.
    pub fn parse(options: &'a [u8]) -> Result<Self, WireError> {
        let mut found = Self::default();
        for item in Items::new(options) {
            match item? {
                Item::Marker => break,
                Item::Option { kind: METADATA, value } => {
                    found.metadata.get_or_insert(value);
                }
                Item::Option { kind: ASSOCIATION, value } => {
                    let flow_id = Reader::new(value).vlu().map_err(|_| WireError::BadOption)?;
                    found.association.get_or_insert(flow_id);
                }
                Item::Option { kind, .. } => found.unknown_mandatory |= kind < FIRST_IGNORABLE,
            }
        }
        Ok(found)
    }
}

/// Appends the options that a flow has until it is acknowledged, without a Marker: its metadata and, for a return
/// flow, the flow of the far end that it answers.
pub fn write_startup_options(metadata: &[u8], association: Option<u64>, out: &mut Vec<u8>) {
    write_option(METADATA, metadata, out);
    if let Some(flow_id) = association {
        let mut value = Vec::new();
        vlu::write(flow_id, &mut value);
        write_option(ASSOCIATION, &value, out);
    }
}

fn read_options<'a>(flags: u8, bytes: &mut Reader<'a>) -> Result<Option<&'a [u8]>, WireError> {
    if flags & OPTIONS == 0 { Ok(None) } else { read_list(bytes).map(Some) }
}

fn write_options(options: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(options) = options {
        out.extend_from_slice(options);
        write_marker(out);
    }
}

fn options_len(options: Option<&[u8]>) -> usize {
    options.map_or(0, |options| options.len().saturating_add(MARKER_LEN))
}

const OPTIONS: u8 = 0x80;
const FRAGMENT: u8 = 0x30;
const BEGIN: u8 = 0x10;
const END: u8 = 0x20;
const MIDDLE: u8 = 0x30;
const ABANDONED: u8 = 0x02;
const LAST: u8 = 0x01;

const METADATA: u64 = 0x00;
const ASSOCIATION: u64 = 0x0a;
/// Options of this type and above may be ignored when they are not understood.
const FIRST_IGNORABLE: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_keep_to_their_bits() {
        for (byte, fragment) in [
            (0x00, Fragment::Whole),
            (0x10, Fragment::Begin),
            (0x20, Fragment::End),
            (0x30, Fragment::Middle),
        ] {
            for (bits, abandoned, last) in
                [(0x00, false, false), (0x01, false, true), (0x02, true, false), (0x03, true, true)]
            {
                let flags = DataFlags { fragment, abandoned, last };
                assert_eq!(flags.to_byte(false), byte | bits);
                assert_eq!(flags.to_byte(true), 0x80 | byte | bits);
                assert_eq!(DataFlags::from_byte(0xcc | byte | bits), flags);
            }
        }
    }

    #[test]
    fn the_fsn_offset_stays_below_the_sequence_number() {
        assert_eq!(
            UserData::parse(&[0x00, 2, 5, 6, 0xaa]),
            Err(WireError::BadRange("FSN offset above the sequence number"))
        );
        assert_eq!(UserData::parse(&[0x00, 2, 5, 5, 0xaa]).unwrap().forward_sequence(), 0);
        assert_eq!(UserData::parse(&[0x00, 2, 5, 0, 0xaa]).unwrap().forward_sequence(), 5);
    }

    #[test]
    fn malformed_options_spoil_the_chunk() {
        assert_eq!(UserData::parse(&[0x80, 2, 1, 1, 0x05, 0x00, 0x54]), Err(WireError::BadOption));
        assert_eq!(NextUserData::parse(&[0x80]), Err(WireError::BadOption));
        let next = NextUserData::parse(&[0x80, 0x00, 0x55]).unwrap();
        assert_eq!((next.options, next.data), (Some(&[][..]), &[0x55][..]));
    }

    #[test]
    fn startup_options_of_a_return_flow() {
        let mut out = Vec::new();
        write_startup_options(b"TC\x04\0", Some(300), &mut out);
        assert_eq!(out, b"\x05\0TC\x04\0\x03\x0a\x82\x2c");
        let options = FlowOptions::parse(&out).unwrap();
        assert_eq!((options.metadata, options.association), (Some(&b"TC\x04\0"[..]), Some(300)));
        assert!(!options.unknown_mandatory);
    }

    #[test]
    fn unknown_options_are_mandatory_below_8192() {
        let parse = |kind| {
            let mut out = Vec::new();
            write_option(kind, b"?", &mut out);
            write_startup_options(b"m", None, &mut out);
            let options = FlowOptions::parse(&out).unwrap();
            assert_eq!(options.metadata, Some(&b"m"[..]));
            options.unknown_mandatory
        };
        assert!(parse(1) && parse(8191));
        assert!(!parse(8192) && !parse(u64::MAX));
    }

    #[test]
    fn the_first_option_of_a_kind_counts() {
        let mut out = Vec::new();
        write_startup_options(b"a", Some(2), &mut out);
        write_startup_options(b"b", Some(3), &mut out);
        let options = FlowOptions::parse(&out).unwrap();
        assert_eq!((options.metadata, options.association), (Some(&b"a"[..]), Some(2)));
        assert_eq!(FlowOptions::parse(&[]), Ok(FlowOptions::default()));
        assert_eq!(FlowOptions::parse(&[0x01, 0x0a]), Err(WireError::BadOption), "no flow id");
    }

    #[test]
    fn headers_written_in_place_take_the_room_announced() {
        let flags = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };
        let mut out = vec![0x09];
        for options in [&b""[..], b"\x02\0m"] {
            out.truncate(1);
            let chunk = write_user_data_header(flags, 2, 300, 1, options, &mut out);
            assert_eq!(out.len() - 1, user_data_header_len(2, 300, 1, options.len()));
            out.extend_from_slice(b"data");
            chunk.finish(&mut out);
            assert_eq!(usize::from(out[2]) << 8 | usize::from(out[3]), out.len() - 4);
            let data = UserData::parse(&out[4..]).unwrap();
            assert_eq!((data.options.unwrap_or_default(), data.data), (options, &b"data"[..]));
        }

        out.clear();
        let chunk = write_next_user_data_header(flags, &mut out);
        assert_eq!(out.len(), next_user_data_header_len());
        out.extend_from_slice(&[3, 4, 5]);
        chunk.finish(&mut out);
        assert_eq!(out, [0x11, 0, 4, 0, 3, 4, 5]);
    }
}
