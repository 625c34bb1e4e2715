use std::collections::VecDeque;

use rtmfp_base::Time;

use crate::link::Link;

/// One direction of a TCP connection: bytes on their way.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    bytes: VecDeque<u8>,
    /// Those at the front that have arrived.
    arrived: usize,
    /// Those behind them, as far as it is known when they arrive.
    pieces: VecDeque<Piece>,
    /// Those at the end for which it is not: the link is blocked.
    waiting: usize,
    /// How the source has ended, if the link does not carry that yet.
    end: Option<End>,
    /// Nothing arrives before this.
    last: Time,
}

#[derive(Debug)]
struct Piece {
    at: Time,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Bytes(usize),
    End(End),
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// In order: no more bytes come.
    Finished,
    /// It was reset.
    Broken,
}

/// Bytes that a link of limited rate carries at a time, as packets do.
const SEGMENT: usize = 1448;
/// Most pieces on their way: many of them are small.
const MAX_PIECES: usize = 8192;

impl Pipe {
    /// Takes bytes from the source.
    pub(super) fn push(&mut self, now: Time, link: &mut Link, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.waiting += bytes.len();
        self.carry(now, link);
    }

    /// The source has ended.
    pub(super) fn end(&mut self, now: Time, link: &mut Link, end: End) {
        self.end = Some(end);
        self.carry(now, link);
    }

    /// Has the link carry what waits.
    pub(super) fn carry(&mut self, now: Time, link: &mut Link) {
        while self.waiting > 0 {
            let limited = link.config().rate.is_some();
            let len = if limited { self.waiting.min(SEGMENT) } else { self.waiting };
            let Some(at) = link.carry(now, len) else { return };
            self.waiting -= len;
            self.last = self.last.max(at);
            match self.pieces.back_mut() {
                Some(Piece { at, content: Content::Bytes(more) }) if *at == self.last => *more += len,
                _ => self.pieces.push_back(Piece { at: self.last, content: Content::Bytes(len) }),
            }
        }
        if self.end.is_some()
            && let Some(at) = link.carry(now, 0)
            && let Some(end) = self.end.take()
        {
            self.last = self.last.max(at);
            self.pieces.push_back(Piece { at: self.last, content: Content::End(end) });
        }
    }

    /// When the next bytes arrive.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.pieces.front().map(|piece| piece.at)
    }

    /// Lets arrive what is due. The end comes when all before it has arrived.
    pub(super) fn arrive(&mut self, now: Time) -> Option<End> {
        while self.next_time().is_some_and(|at| at <= now)
            && let Some(piece) = self.pieces.pop_front()
        {
            match piece.content {
                Content::Bytes(len) => self.arrived += len,
                Content::End(end) => return Some(end),
            }
        }
        None
    }

    /// Takes out at most `limit` bytes that have arrived.
    pub(super) fn take(&mut self, limit: usize, out: &mut Vec<u8>) -> usize {
        let len = limit.min(self.arrived);
        self.arrived -= len;
        let (front, back) = self.bytes.as_slices();
        let in_front = len.min(front.len());
        out.extend_from_slice(&front[..in_front]);
        out.extend_from_slice(&back[..len - in_front]);
        self.bytes.drain(..len);
        len
    }

    /// Whether bytes have arrived that nobody took.
    pub(super) const fn has_arrived(&self) -> bool {
        self.arrived > 0
    }

    /// Whether it holds as much as it may.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.bytes.len() >= limit || self.pieces.len() >= MAX_PIECES
    }

    /// Whether it may be filled again. It is never far from full, or the wire would not be.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.bytes.len() <= limit - (limit / 8).min(2 * SEGMENT) && self.pieces.len() <= MAX_PIECES / 2
    }

    /// Forgets all that was on its way.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
