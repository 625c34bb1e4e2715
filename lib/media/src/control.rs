//! User control events (type 4; RTMP section 7.1.7; RFC 7425 sections 5.2 and 5.3.4): a number of two bytes, and what
//! belongs to it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::{CONTROL_STREAM, TcMessage, event, kind};

/// A user control event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UserControl {
    /// This message stream has begun.
    StreamBegin(u32),
    /// The playback of this message stream has ended.
    StreamEof(u32),
    /// There is no more data on this message stream for now.
    StreamDry(u32),
    /// How much the client buffers of a stream that it plays.
    SetBufferLength {
        /// The message stream.
        stream_id: u32,
        /// Milliseconds.
        length: u32,
    },
    /// This message stream is a recording.
    StreamIsRecorded(u32),
    /// To be answered with the same time, in milliseconds. Not needed over RTMFP.
    PingRequest(u32),
    /// The answer to a ping, with its time.
    PingResponse(u32),
    /// The sender of this message stream ran out of data (of Flash servers).
    BufferEmpty(u32),
    /// The sender of this message stream has data again (of Flash servers).
    BufferReady(u32),
    /// A barrier among flows: RTMFP only (RFC 7425 section 5.2).
    FlowSync {
        /// Which barrier.
        id: u32,
        /// How many flows have a message of this barrier.
        count: u32,
    },
    /// Keepalive periods that the server advises: RTMFP only (RFC 7425 section 5.3.4).
    SetKeepalive {
        /// For the session with the server, in milliseconds.
        server: u32,
        /// For sessions with peers, in milliseconds.
        peer: u32,
    },
}

impl UserControl {
    /// Reads an event. Bytes after it are ignored.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn parse(payload: &[u8]) -> Result<Self, ControlError> {
        let (number, payload) = payload.split_first_chunk().ok_or(ControlError::Truncated)?;
        let first = || payload.first_chunk().copied().map(u32::from_be_bytes).ok_or(ControlError::Truncated);
        let second = || {
            let bytes = payload.get(4..).and_then(|rest| rest.first_chunk()).copied();
            bytes.map(u32::from_be_bytes).ok_or(ControlError::Truncated)
        };
        Ok(match u16::from_be_bytes(*number) {
            event::STREAM_BEGIN => Self::StreamBegin(first()?),
            event::STREAM_EOF => Self::StreamEof(first()?),
            event::STREAM_DRY => Self::StreamDry(first()?),
            event::SET_BUFFER_LENGTH => Self::SetBufferLength { stream_id: first()?, length: second()? },
            event::STREAM_IS_RECORDED => Self::StreamIsRecorded(first()?),
            event::PING_REQUEST => Self::PingRequest(first()?),
            event::PING_RESPONSE => Self::PingResponse(first()?),
            event::BUFFER_EMPTY => Self::BufferEmpty(first()?),
            event::BUFFER_READY => Self::BufferReady(first()?),
            event::FLOW_SYNC => Self::FlowSync { id: first()?, count: second()? },
            event::SET_KEEPALIVE => Self::SetKeepalive { server: first()?, peer: second()? },
            other => return Err(ControlError::Unknown(other)),
        })
    }

    /// The payload of a message of type 4.
    pub fn payload(self) -> Bytes {
        let (number, first, second) = match self {
            Self::StreamBegin(stream_id) => (event::STREAM_BEGIN, stream_id, None),
            Self::StreamEof(stream_id) => (event::STREAM_EOF, stream_id, None),
            Self::StreamDry(stream_id) => (event::STREAM_DRY, stream_id, None),
            Self::SetBufferLength { stream_id, length } => {
                (event::SET_BUFFER_LENGTH, stream_id, Some(length))
            }
            Self::StreamIsRecorded(stream_id) => (event::STREAM_IS_RECORDED, stream_id, None),
            Self::PingRequest(time) => (event::PING_REQUEST, time, None),
            Self::PingResponse(time) => (event::PING_RESPONSE, time, None),
            Self::BufferEmpty(stream_id) => (event::BUFFER_EMPTY, stream_id, None),
            Self::BufferReady(stream_id) => (event::BUFFER_READY, stream_id, None),
            Self::FlowSync { id, count } => (event::FLOW_SYNC, id, Some(count)),
            Self::SetKeepalive { server, peer } => (event::SET_KEEPALIVE, server, Some(peer)),
        };
        let mut payload = BytesMut::with_capacity(10);
        payload.put_u16(number);
        payload.put_u32(first);
        if let Some(second) = second {
            payload.put_u32(second);
        }
        payload.freeze()
    }

    /// A message of type 4 on the control stream at time 0. Over RTMFP, events of a stream may travel on a flow of
    /// that stream: the message's stream id is then to be set.
    pub fn message(self) -> TcMessage {
        TcMessage {
            kind: kind::USER_CONTROL,
            timestamp: 0,
            stream_id: CONTROL_STREAM,
            payload: self.payload(),
        }
    }
}

/// Why a user control event cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The message ends within the event.
    #[error("the message ends within the event")]
    Truncated,
    /// An event that has no meaning here.
    #[error("unknown event {0}")]
    Unknown(u16),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(message: &TcMessage) -> String {
        message.tc_head().iter().chain(&message.payload).map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn events_are_built_as_captured() {
        for (event, wire) in [
            (UserControl::FlowSync { id: 7, count: 3 }, "040000000000220000000700000003"),
            (UserControl::SetKeepalive { server: 15_000, peer: 10_000 }, "0400000000002900003a9800002710"),
            (UserControl::StreamBegin(5), "0400000000000000000005"),
        ] {
            assert_eq!(hex(&event.message()), wire);
        }
    }

    #[test]
    fn every_event_is_read_back_and_none_that_is_cut() {
        for event in [
            UserControl::StreamBegin(1),
            UserControl::StreamEof(2),
            UserControl::StreamDry(3),
            UserControl::SetBufferLength { stream_id: 4, length: 3_000 },
            UserControl::StreamIsRecorded(5),
            UserControl::PingRequest(6),
            UserControl::PingResponse(u32::MAX),
            UserControl::BufferEmpty(7),
            UserControl::BufferReady(8),
            UserControl::FlowSync { id: 9, count: 10 },
            UserControl::SetKeepalive { server: 11, peer: 12 },
        ] {
            let payload = event.payload();
            assert_eq!(UserControl::parse(&payload), Ok(event));
            assert_eq!(UserControl::parse(&[&payload[..], b"more"].concat()), Ok(event));
            for length in 0..payload.len() {
                assert_eq!(UserControl::parse(&payload[..length]), Err(ControlError::Truncated));
            }
        }
        assert_eq!(UserControl::parse(&[0, 5, 0, 0, 0, 0]), Err(ControlError::Unknown(5)));
    }
}
