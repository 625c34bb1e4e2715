//! The virtual message that RTMP, RTMFP and RTWebSocket all carry (RFC 7425 section 5 calls its use
//! "TC"), and the numbers of its types and user control events.

use core::fmt;

use bytes::{Buf, Bytes};

/// The longest payload that RTMP's 24-bit length field can announce, in bytes.
pub const MAX_PAYLOAD: usize = 0xff_ffff;

/// The message stream of connection-level commands and events.
pub const CONTROL_STREAM: u32 = 0;

/// Message type numbers (RTMP section 5.4 and 7; RFC 7425 section 5.1.3).
#[allow(missing_docs, reason = "each name is the specification's own")]
pub mod kind {
    pub const SET_CHUNK_SIZE: u8 = 1;
    pub const ABORT: u8 = 2;
    pub const ACKNOWLEDGEMENT: u8 = 3;
    pub const USER_CONTROL: u8 = 4;
    pub const WINDOW_ACK_SIZE: u8 = 5;
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    pub const AUDIO: u8 = 8;
    pub const VIDEO: u8 = 9;
    pub const DATA_EXTENDED: u8 = 15;
    pub const SHARED_OBJECT_EXTENDED: u8 = 16;
    pub const COMMAND_EXTENDED: u8 = 17;
    pub const DATA: u8 = 18;
    pub const SHARED_OBJECT: u8 = 19;
    pub const COMMAND: u8 = 20;
    pub const AGGREGATE: u8 = 22;
}

/// User control event numbers (RTMP section 7.1.7; RFC 7425 sections 5.2 and 5.3.4).
#[allow(missing_docs, reason = "each name is the specification's own")]
pub mod event {
    pub const STREAM_BEGIN: u16 = 0;
    pub const STREAM_EOF: u16 = 1;
    pub const STREAM_DRY: u16 = 2;
    pub const SET_BUFFER_LENGTH: u16 = 3;
    pub const STREAM_IS_RECORDED: u16 = 4;
    pub const PING_REQUEST: u16 = 6;
    pub const PING_RESPONSE: u16 = 7;
    pub const BUFFER_EMPTY: u16 = 31;
    pub const BUFFER_READY: u16 = 32;
    pub const FLOW_SYNC: u16 = 34;
    pub const SET_KEEPALIVE: u16 = 41;
}

/// One message as the application sees it, whatever carries it.
#[derive(Clone, Eq, PartialEq)]
pub struct TcMessage {
    /// The type, see [`kind`].
    pub kind: u8,
    /// Milliseconds, modulo 2³².
    pub timestamp: u32,
    /// The message stream; 0 is the connection's own.
    pub stream_id: u32,
    /// The payload, at most [`MAX_PAYLOAD`] bytes.
    pub payload: Bytes,
}

impl TcMessage {
    /// What comes before the payload of a message in an RTMFP flow or over RTWebSocket: the type and the timestamp
    /// (RFC 7425 section 5.1.2). The stream id is the flow's.
    pub const fn tc_head(&self) -> [u8; 5] {
        let [a, b, c, d] = self.timestamp.to_be_bytes();
        [self.kind, a, b, c, d]
    }

    /// Reads a message of a flow with this stream id. None if it is too short to be one.
    pub fn from_tc(stream_id: u32, mut message: Bytes) -> Option<Self> {
        let &[kind, ref timestamp @ ..] = message.first_chunk::<5>()?;
        let timestamp = u32::from_be_bytes(*timestamp);
        message.advance(5);
        Some(Self { kind, timestamp, stream_id, payload: message })
    }
}

impl fmt::Debug for TcMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "TcMessage(type {}, {} ms, stream {}, {} bytes)",
            self.kind,
            self.timestamp,
            self.stream_id,
            self.payload.len()
        )
    }
}

/// Whether timestamp `a` is later than `b`, in the wrap-around order of RTMP section 5.2.
pub const fn timestamp_after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) > 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_flows_are_read_back_and_short_ones_are_none() {
        let payload = Bytes::from_static(b"\xaf\x01xyz");
        let message = TcMessage { kind: kind::AUDIO, timestamp: 0x0102_0304, stream_id: 6, payload };
        let wire = Bytes::from([&message.tc_head()[..], &message.payload].concat());
        assert_eq!(wire[..6], [8, 1, 2, 3, 4, 0xaf]);
        assert_eq!(TcMessage::from_tc(6, wire.clone()), Some(message));
        assert_eq!(TcMessage::from_tc(6, wire.slice(..5)).unwrap().payload, b""[..]);
        assert_eq!(TcMessage::from_tc(6, wire.slice(..4)), None);
    }

    #[test]
    fn timestamps_are_ordered_around_the_wrap() {
        assert!(timestamp_after(5, u32::MAX));
        assert!(!timestamp_after(u32::MAX, 5));
        assert!(!timestamp_after(7, 7));
        assert!(timestamp_after(8, 7));
    }
}
