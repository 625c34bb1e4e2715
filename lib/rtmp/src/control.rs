//! The chunk layer's own messages (RTMP section 5.4) and what both ends count for them.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use std::collections::VecDeque;

use rtmfp_media::TcMessage;
use rtmfp_media::control::UserControl;
use rtmfp_media::message::{CONTROL_STREAM, kind};

use crate::header::{self, CONTROL_CHUNK_STREAM, Fields};
use crate::{Error, Role};

/// A received message of the chunk layer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Control {
    SetChunkSize(u32),
    Abort { chunk_stream: u32 },
    Acknowledgement(u32),
    WindowAckSize(u32),
    SetPeerBandwidth { size: u32, limit: Limit },
}

/// The kinds of Set Peer Bandwidth (RTMP section 5.4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    Hard,
    Soft,
    Dynamic,
}

impl Control {
    /// What `message` says to the chunk layer; `None` if it is not for it.
    pub(crate) fn parse(message: &TcMessage) -> Result<Option<Self>, Error> {
        let kind = message.kind;
        if !is_chunk_layer(kind) {
            return Ok(None);
        }
        if message.stream_id != CONTROL_STREAM {
            return Err(Error::ControlStream { kind, stream_id: message.stream_id });
        }
        let Some((value, rest)) = message.payload.split_first_chunk() else {
            return Err(Error::ControlLength { kind, length: message.payload.len() });
        };
        let value = u32::from_be_bytes(*value);
        Ok(Some(match kind {
            kind::SET_CHUNK_SIZE if value == 0 || value > 0x7fff_ffff => {
                return Err(Error::ChunkSize { size: value });
            }
            kind::SET_CHUNK_SIZE => Self::SetChunkSize(value),
            kind::ABORT => Self::Abort { chunk_stream: value },
            kind::ACKNOWLEDGEMENT => Self::Acknowledgement(value),
            kind::WINDOW_ACK_SIZE => Self::WindowAckSize(value.max(1)),
            _ => {
                let limit = match rest.first() {
                    Some(0) => Limit::Hard,
                    Some(1) => Limit::Soft,
                    _ => Limit::Dynamic,
                };
                Self::SetPeerBandwidth { size: value.max(1), limit }
            }
        }))
    }
}

/// Whether the chunk layer keeps messages of this type to itself.
pub(crate) const fn is_chunk_layer(kind: u8) -> bool {
    matches!(
        kind,
        kind::SET_CHUNK_SIZE
            | kind::ABORT
            | kind::ACKNOWLEDGEMENT
            | kind::WINDOW_ACK_SIZE
            | kind::SET_PEER_BANDWIDTH
    )
}

/// What a ping request wants echoed; `None` if `message` is none.
pub(crate) fn ping_request(message: &TcMessage) -> Option<u32> {
    if message.kind != kind::USER_CONTROL {
        return None;
    }
    match UserControl::parse(&message.payload) {
        Ok(UserControl::PingRequest(time)) => Some(time),
        _ => None,
    }
}

/// Acknowledgements, both directions.
#[derive(Debug)]
pub(crate) struct Acks {
    /// Bytes received after the handshake. It is left out: a sender that does not count it would see more
    /// acknowledged than it sent.
    received: u64,
    /// What `received` was when the last acknowledgement was sent.
    acknowledged: u64,
    window: u32,
    /// The last plausible count from the peer.
    peer_last: u32,
    pub(crate) plausible: u64,
    pub(crate) implausible: u64,
}

impl Acks {
    pub(crate) const fn new(window: u32) -> Self {
        Self { received: 0, acknowledged: 0, window, peer_last: 0, plausible: 0, implausible: 0 }
    }

    pub(crate) const fn count_received(&mut self, bytes: usize) {
        self.received = self.received.saturating_add(bytes as u64);
    }

    pub(crate) const fn set_window(&mut self, window: u32) {
        self.window = window;
    }

    /// Whether half of the window has come since the last acknowledgement. At half of it a sender that stops
    /// when its window is used up never has to.
    pub(crate) const fn is_due(&self) -> bool {
        let unacknowledged = self.received.saturating_sub(self.acknowledged);
        unacknowledged > 0 && unacknowledged.saturating_mul(2) >= self.window as u64
    }

    /// The count to acknowledge now.
    const fn acknowledge(&mut self) -> u32 {
        self.acknowledged = self.received;
        self.received as u32
    }

    /// Takes the peer's acknowledgement, having sent `sent` bytes. Plausible counts grow and never exceed that.
    pub(crate) const fn take(&mut self, count: u32, sent: u64) {
        let step = count.wrapping_sub(self.peer_last);
        let possible = (sent as u32).wrapping_sub(self.peer_last);
        if step > 0 && step <= possible {
            self.peer_last = count;
            self.plausible = self.plausible.saturating_add(1);
        } else {
            self.implausible = self.implausible.saturating_add(1);
        }
    }
}

/// Messages of the chunk layer that wait to be sent: before anything else, at the end of a chunk. Each takes a
/// fixed place, so a peer that provokes them but does not read costs nothing.
#[derive(Debug)]
pub(crate) struct Outbox {
    chunk_size: Option<u32>,
    window_ack_size: Option<u32>,
    peer_bandwidth: Option<u32>,
    /// One bit for each chunk stream below 64.
    aborts: u64,
    /// The newest unanswered ping requests.
    pings: VecDeque<u32>,
    announced_window: u32,
    /// Whether the last Set Peer Bandwidth that counted was a hard one.
    hard: bool,
}

/// How many pings wait for their answer; of more, the newest are answered.
const MAX_PINGS: usize = 8;

impl Outbox {
    pub(crate) fn new(role: Role, chunk_size: u32, window: u32) -> Self {
        let window = window.max(1);
        Self {
            chunk_size: Some(chunk_size),
            window_ack_size: Some(window),
            peer_bandwidth: (role == Role::Server).then_some(window.saturating_mul(10)),
            aborts: 0,
            pings: VecDeque::new(),
            announced_window: window,
            hard: false,
        }
    }

    pub(crate) const fn abort(&mut self, chunk_stream: u32) {
        self.aborts |= 1 << chunk_stream;
    }

    pub(crate) fn answer_ping(&mut self, echo: u32) {
        if self.pings.len() == MAX_PINGS {
            self.pings.pop_front();
        }
        self.pings.push_back(echo);
    }

    /// Answers Set Peer Bandwidth by a new Window Acknowledgement Size if it changes (RTMP section 5.4.5).
    pub(crate) fn limit_bandwidth(&mut self, size: u32, limit: Limit) {
        let size = match limit {
            Limit::Hard => size,
            Limit::Dynamic if self.hard => size,
            Limit::Soft => size.min(self.announced_window),
            Limit::Dynamic => return,
        };
        self.hard = limit != Limit::Soft;
        if size != self.announced_window {
            self.announced_window = size;
            self.window_ack_size = Some(size);
        }
    }

    pub(crate) fn wants_write(&self, acks: &Acks) -> bool {
        self.chunk_size.is_some()
            || self.window_ack_size.is_some()
            || self.peer_bandwidth.is_some()
            || self.aborts != 0
            || !self.pings.is_empty()
            || acks.is_due()
    }

    /// Appends the next message, if there is one.
    pub(crate) fn write_next(&mut self, acks: &mut Acks, out: &mut Vec<u8>) -> bool {
        if let Some(size) = self.chunk_size.take() {
            put(out, kind::SET_CHUNK_SIZE, &size.to_be_bytes());
        } else if let Some(size) = self.window_ack_size.take() {
            put(out, kind::WINDOW_ACK_SIZE, &size.to_be_bytes());
        } else if let Some(size) = self.peer_bandwidth.take() {
            let [a, b, c, d] = size.to_be_bytes();
            put(out, kind::SET_PEER_BANDWIDTH, &[a, b, c, d, DYNAMIC]);
        } else if self.aborts != 0 {
            let chunk_stream = self.aborts.trailing_zeros();
            self.aborts &= self.aborts.wrapping_sub(1);
            put(out, kind::ABORT, &chunk_stream.to_be_bytes());
        } else if acks.is_due() {
            put(out, kind::ACKNOWLEDGEMENT, &acks.acknowledge().to_be_bytes());
        } else if let Some(echo) = self.pings.pop_front() {
            put(out, kind::USER_CONTROL, &UserControl::PingResponse(echo).payload());
        } else {
            return false;
        }
        true
    }
}

/// The number of [`Limit::Dynamic`].
const DYNAMIC: u8 = 2;

/// Appends one message with a full header. It never needs more than one chunk.
fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    let fields = Fields { time: 0, length: payload.len(), kind, stream_id: CONTROL_STREAM };
    header::put(out, 0, CONTROL_CHUNK_STREAM, &fields);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests;
