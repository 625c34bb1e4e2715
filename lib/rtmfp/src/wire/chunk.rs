use super::{
    Ack, CookieChange, FIHello, IHello, IIKeying, NextUserData, PacketFragment, RHello, RIKeying, Reader,
    Redirect, UserData, WireError, vlu,
};

/// The length of a chunk's header: type and length.
pub const HEADER_LEN: usize = 3;

/// Chunk types (RFC 7016 section 2.3).
pub mod kind {
    /// Ping (RFC 7016 section 2.3.9).
    pub const PING: u8 = 0x01;
    /// Session Close Request (RFC 7016 section 2.3.17).
    pub const CLOSE: u8 = 0x0c;
    /// Forwarded Initiator Hello (RFC 7016 section 2.3.3).
    pub const FIHELLO: u8 = 0x0f;
    /// User Data (RFC 7016 section 2.3.11).
    pub const USER_DATA: u8 = 0x10;
    /// Next User Data (RFC 7016 section 2.3.12).
    pub const NEXT_USER_DATA: u8 = 0x11;
    /// Buffer Probe (RFC 7016 section 2.3.15).
    pub const BUFFER_PROBE: u8 = 0x18;
    /// Initiator Hello (RFC 7016 section 2.3.2).
    pub const IHELLO: u8 = 0x30;
    /// Initiator Initial Keying (RFC 7016 section 2.3.7).
    pub const IIKEYING: u8 = 0x38;
    /// Ping Reply (RFC 7016 section 2.3.10).
    pub const PING_REPLY: u8 = 0x41;
    /// Session Close Acknowledgement (RFC 7016 section 2.3.18).
    pub const CLOSE_ACK: u8 = 0x4c;
    /// Data Acknowledgement Bitmap (RFC 7016 section 2.3.13).
    pub const ACK_BITMAP: u8 = 0x50;
    /// Data Acknowledgement Ranges (RFC 7016 section 2.3.14).
    pub const ACK_RANGES: u8 = 0x51;
    /// Flow Exception Report (RFC 7016 section 2.3.16).
    pub const FLOW_EXCEPTION: u8 = 0x5e;
    /// Responder Hello (RFC 7016 section 2.3.4).
    pub const RHELLO: u8 = 0x70;
    /// Responder Redirect (RFC 7016 section 2.3.5).
    pub const REDIRECT: u8 = 0x71;
    /// Responder Initial Keying (RFC 7016 section 2.3.8).
    pub const RIKEYING: u8 = 0x78;
    /// RHello Cookie Change (RFC 7016 section 2.3.6).
    pub const COOKIE_CHANGE: u8 = 0x79;
    /// Packet Fragment (RFC 7016 section 2.3.1).
    pub const PACKET_FRAGMENT: u8 = 0x7f;
    /// ECN Report, an extension; a receiver that does not know it ignores it.
    pub const ECN_REPORT: u8 = 0xec;
}

/// A chunk of any type (RFC 7016 section 2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Chunk<'a> {
    /// A part of a packet that is larger than the path takes.
    PacketFragment(PacketFragment<'a>),
    /// Begins a session.
    IHello(IHello<'a>),
    /// Begins a session on behalf of an initiator.
    FIHello(FIHello<'a>),
    /// Answers a hello.
    RHello(RHello<'a>),
    /// Sends an initiator elsewhere.
    Redirect(Redirect<'a>),
    /// Has the initiator repeat its keying with another cookie.
    CookieChange(CookieChange<'a>),
    /// The initiator's part of a session's keys.
    IIKeying(IIKeying<'a>),
    /// The responder's part of a session's keys.
    RIKeying(RIKeying<'a>),
    /// Asks for a Ping Reply with this message.
    Ping(&'a [u8]),
    /// Echoes the message of a Ping.
    PingReply(&'a [u8]),
    /// A fragment of a message.
    UserData(UserData<'a>),
    /// The fragment after the one before it in the packet.
    NextUserData(NextUserData<'a>),
    /// Acknowledges data, as a bitmap.
    AckBitmap(Ack<'a>),
    /// Acknowledges data, as ranges.
    AckRanges(Ack<'a>),
    /// Asks for an acknowledgement, to learn the receive window.
    BufferProbe {
        /// The flow, as its sender numbers it.
        flow_id: u64,
    },
    /// Tells the sender of a flow that the flow is not wanted.
    FlowException {
        /// The flow, as its sender numbers it.
        flow_id: u64,
        /// Why, as the application defines it; 0 when the flow was rejected automatically.
        code: u64,
    },
    /// Asks to close the session.
    Close,
    /// Tells that the session is closed.
    CloseAck,
    /// Reports Congestion Experienced marks, an extension.
    EcnReport {
        /// The low 8 bits of the number of marked packets received in the session.
        count: u8,
    },
    /// A chunk of this type, which is not one of the above, to be ignored. The payload is not kept: it is written
    /// without one.
    Unknown(u8),
}

impl<'a> Chunk<'a> {
    /// Reads the payload of a chunk, as [`Chunks`](super::Chunks) yields it.
    ///
    /// # Errors
    /// When the payload is malformed: the chunk is to be ignored, the rest of the packet is not.
    pub fn parse(kind: u8, payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        Ok(match kind {
            kind::PACKET_FRAGMENT => Self::PacketFragment(PacketFragment::parse(payload)?),
            kind::IHELLO => Self::IHello(IHello::parse(payload)?),
            kind::FIHELLO => Self::FIHello(FIHello::parse(payload)?),
            kind::RHELLO => Self::RHello(RHello::parse(payload)?),
            kind::REDIRECT => Self::Redirect(Redirect::parse(payload)?),
            kind::COOKIE_CHANGE => Self::CookieChange(CookieChange::parse(payload)?),
            kind::IIKEYING => Self::IIKeying(IIKeying::parse(payload)?),
            kind::RIKEYING => Self::RIKeying(RIKeying::parse(payload)?),
            kind::PING => Self::Ping(payload),
            kind::PING_REPLY => Self::PingReply(payload),
            kind::USER_DATA => Self::UserData(UserData::parse(payload)?),
            kind::NEXT_USER_DATA => Self::NextUserData(NextUserData::parse(payload)?),
            kind::ACK_BITMAP => Self::AckBitmap(Ack::parse_bitmap(payload)?),
            kind::ACK_RANGES => Self::AckRanges(Ack::parse_ranges(payload)?),
            kind::BUFFER_PROBE => Self::BufferProbe { flow_id: bytes.vlu()? },
            kind::FLOW_EXCEPTION => Self::FlowException { flow_id: bytes.vlu()?, code: bytes.vlu()? },
            kind::CLOSE => Self::Close,
            kind::CLOSE_ACK => Self::CloseAck,
            kind::ECN_REPORT => Self::EcnReport { count: bytes.u8()? },
            unknown => Self::Unknown(unknown),
        })
    }

    /// The type of the chunk.
    pub const fn kind(&self) -> u8 {
        match self {
            Self::PacketFragment(_) => kind::PACKET_FRAGMENT,
            Self::IHello(_) => kind::IHELLO,
            Self::FIHello(_) => kind::FIHELLO,
            Self::RHello(_) => kind::RHELLO,
            Self::Redirect(_) => kind::REDIRECT,
            Self::CookieChange(_) => kind::COOKIE_CHANGE,
            Self::IIKeying(_) => kind::IIKEYING,
            Self::RIKeying(_) => kind::RIKEYING,
            Self::Ping(_) => kind::PING,
            Self::PingReply(_) => kind::PING_REPLY,
            Self::UserData(_) => kind::USER_DATA,
            Self::NextUserData(_) => kind::NEXT_USER_DATA,
            Self::AckBitmap(ack) | Self::AckRanges(ack) => ack.kind(),
            Self::BufferProbe { .. } => kind::BUFFER_PROBE,
            Self::FlowException { .. } => kind::FLOW_EXCEPTION,
            Self::Close => kind::CLOSE,
            Self::CloseAck => kind::CLOSE_ACK,
            Self::EcnReport { .. } => kind::ECN_REPORT,
            Self::Unknown(unknown) => *unknown,
        }
    }

    /// How many bytes [`Chunk::write`] appends, header included. Above [`HEADER_LEN`] + 65535 the chunk cannot be
    /// written.
    pub fn encoded_len(&self) -> usize {
        let payload = match self {
            Self::PacketFragment(fragment) => fragment.payload_len(),
            Self::IHello(hello) => hello.payload_len(),
            Self::FIHello(hello) => hello.payload_len(),
            Self::RHello(hello) => hello.payload_len(),
            Self::Redirect(redirect) => redirect.payload_len(),
            Self::CookieChange(change) => change.payload_len(),
            Self::IIKeying(keying) => keying.payload_len(),
            Self::RIKeying(keying) => keying.payload_len(),
            Self::Ping(message) | Self::PingReply(message) => message.len(),
            Self::UserData(data) => data.payload_len(),
            Self::NextUserData(data) => data.payload_len(),
            Self::AckBitmap(ack) | Self::AckRanges(ack) => ack.payload_len(),
            Self::BufferProbe { flow_id } => vlu::len(*flow_id),
            Self::FlowException { flow_id, code } => vlu::len(*flow_id).saturating_add(vlu::len(*code)),
            Self::EcnReport { .. } => 1,
            Self::Close | Self::CloseAck | Self::Unknown(_) => 0,
        };
        payload.saturating_add(HEADER_LEN)
    }

    /// Appends the chunk, header included; nothing when its payload is longer than 65535 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let chunk = OpenChunk::begin(self.kind(), out);
        match self {
            Self::PacketFragment(fragment) => fragment.write_payload(out),
            Self::IHello(hello) => hello.write_payload(out),
            Self::FIHello(hello) => hello.write_payload(out),
            Self::RHello(hello) => hello.write_payload(out),
            Self::Redirect(redirect) => redirect.write_payload(out),
            Self::CookieChange(change) => change.write_payload(out),
            Self::IIKeying(keying) => keying.write_payload(out),
            Self::RIKeying(keying) => keying.write_payload(out),
            Self::Ping(message) | Self::PingReply(message) => out.extend_from_slice(message),
            Self::UserData(data) => data.write_payload(out),
            Self::NextUserData(data) => data.write_payload(out),
            Self::AckBitmap(ack) | Self::AckRanges(ack) => ack.write_payload(out),
            Self::BufferProbe { flow_id } => vlu::write(*flow_id, out),
            Self::FlowException { flow_id, code } => {
                vlu::write(*flow_id, out);
                vlu::write(*code, out);
            }
            Self::EcnReport { count } => out.push(*count),
            Self::Close | Self::CloseAck | Self::Unknown(_) => {}
        }
        chunk.finish(out);
    }
}

/// A chunk that is being written into a packet: whatever is appended until [`finish`](OpenChunk::finish) is its
/// payload.
#[derive(Debug)]
#[must_use = "the chunk has no length until it is finished"]
pub struct OpenChunk {
    at: usize,
}

impl OpenChunk {
    /// Appends the header of a chunk, its length open.
    pub fn begin(kind: u8, out: &mut Vec<u8>) -> Self {
        let at = out.len();
        out.extend_from_slice(&[kind, 0, 0]);
        Self { at }
    }

    /// Writes the length into the header. A payload that is too long for it, over 65535 bytes, is taken away again,
    /// header included.
    pub fn finish(self, out: &mut Vec<u8>) {
        let Some((header, payload)) = out.get_mut(self.at..).and_then(<[u8]>::split_first_chunk_mut) else {
            return;
        };
        let [_, length @ ..]: &mut [u8; HEADER_LEN] = header;
        match u16::try_from(payload.len()) {
            Ok(len) => *length = len.to_be_bytes(),
            Err(_) => out.truncate(self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_too_long_for_its_length_is_not_written() {
        let bytes = vec![7; 65536];
        let mut out = vec![0x0b];
        Chunk::Ping(&bytes).write(&mut out);
        assert_eq!(out, [0x0b]);
        let longest = Chunk::Ping(&bytes[1..]);
        longest.write(&mut out);
        assert_eq!(out.len(), 1 + longest.encoded_len());
        assert_eq!(out[..4], [0x0b, 0x01, 0xff, 0xff]);
    }

    #[test]
    fn bytes_after_the_last_field_are_ignored() {
        assert_eq!(Chunk::parse(0xec, &[7, 1, 2]), Ok(Chunk::EcnReport { count: 7 }));
        assert_eq!(Chunk::parse(0x18, &[2, 9]), Ok(Chunk::BufferProbe { flow_id: 2 }));
        assert_eq!(Chunk::parse(0x5e, &[2, 0, 9]), Ok(Chunk::FlowException { flow_id: 2, code: 0 }));
        assert_eq!(Chunk::parse(0x0c, &[9]), Ok(Chunk::Close));
    }

    #[test]
    fn chunks_without_their_fields_are_refused() {
        for kind in [0x7f, 0x30, 0x0f, 0x70, 0x71, 0x79, 0x38, 0x78, 0x10, 0x11, 0x50, 0x51, 0x18, 0x5e, 0xec]
        {
            assert!(Chunk::parse(kind, &[]).is_err(), "{kind:#04x}");
        }
        assert_eq!(Chunk::parse(0x7f, &[0x80, 1, 0]), Err(WireError::BadRange("empty packet fragment")));
    }

    #[test]
    fn unknown_types_and_padding_are_no_error() {
        for kind in [0x00, 0xff, 0x02, 0x80] {
            assert_eq!(Chunk::parse(kind, &[1, 2, 3]), Ok(Chunk::Unknown(kind)));
        }
    }
}
