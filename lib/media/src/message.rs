//! The virtual message that RTMP, RTMFP and RTWebSocket all carry (RFC 7425 section 5 calls its use
//! "TC"), and the numbers of its types and user control events.

use core::fmt;

use bytes::Bytes;

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
