use core::fmt;
use core::ops::Range;

use bytes::Bytes;

use crate::{Id, IdKind, Time};

/// A number that the application gives to its own things; each event about them returns it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tag(pub u64);

/// Marks ids of write receipts.
#[derive(Debug)]
pub struct ReceiptKind;
impl IdKind for ReceiptKind {
    const PREFIX: &'static str = "r";
}

/// The id of a write whose fate the application wants to know or change.
pub type ReceiptId = Id<ReceiptKind>;

/// The longest head of a [`Message`], in bytes.
pub const MAX_HEAD: usize = 16;

/// A message: a few head bytes of its own and a shared body. Cloning it counts a reference, so one
/// publisher's frame goes to any number of sessions without a copy.
#[derive(Clone, Default)]
pub struct Message {
    head: [u8; MAX_HEAD],
    head_len: u8,
    body: Bytes,
}

impl Message {
    /// A message from its head and its body.
    ///
    /// # Panics
    /// When the head is longer than [`MAX_HEAD`].
    pub fn new(head: &[u8], body: Bytes) -> Self {
        assert!(head.len() <= MAX_HEAD, "a message's head has at most {MAX_HEAD} bytes, not {}", head.len());
        let mut own = [0; MAX_HEAD];
        own[..head.len()].copy_from_slice(head);
        Self { head: own, head_len: head.len() as u8, body }
    }

    /// Length of head and body in bytes.
    pub fn len(&self) -> usize {
        usize::from(self.head_len) + self.body.len()
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The head.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// The body.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Appends the bytes of `range` (head first, then body) to `out`.
    ///
    /// # Panics
    /// When the range reaches beyond the message.
    pub fn copy_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let head = self.head();
        let split = head.len();
        if range.start < split {
            out.extend_from_slice(&head[range.start..range.end.min(split)]);
        }
        if range.end > split {
            out.extend_from_slice(&self.body[range.start.max(split) - split..range.end - split]);
        }
    }

    /// Head and body as one vector: a copy, for tests and rare messages.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.copy_range(0..self.len(), &mut out);
        out
    }
}

impl From<Bytes> for Message {
    fn from(body: Bytes) -> Self {
        Self { head: [0; MAX_HEAD], head_len: 0, body }
    }
}

impl From<Vec<u8>> for Message {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

impl From<&'static [u8]> for Message {
    fn from(body: &'static [u8]) -> Self {
        Bytes::from_static(body).into()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.head().iter().chain(self.body.iter()).eq(other.head().iter().chain(other.body.iter()))
    }
}
impl Eq for Message {}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} + {} bytes)", self.head_len, self.body.len())
    }
}

/// How a message is to be sent: its deadlines, what it depends on, and whether its fate is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WriteOptions {
    /// Abandon the message when its first byte was not sent by then. [`Time::MAX`]: no such deadline.
    pub start_by: Time,
    /// Abandon the message when it was not delivered by then. [`Time::MAX`]: no such deadline.
    pub finish_by: Time,
    /// Send each part once only; a lost part abandons the message.
    pub best_effort: bool,
    /// Tell by an event when the message was delivered or abandoned.
    pub notify: bool,
    /// Abandon the message when that one is abandoned, whichever flow of the same endpoint it was written to: a picture
    /// is worth nothing without the one that it is a difference from. A parent whose end was told already, by the event,
    /// has no effect any more: the application knows it.
    pub parent: Option<ReceiptId>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { start_by: Time::MAX, finish_by: Time::MAX, best_effort: false, notify: false, parent: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cross_from_head_to_body() {
        let message = Message::new(b"head", Bytes::from_static(b"body!"));
        for start in 0..=9 {
            for end in start..=9 {
                let mut out = Vec::new();
                message.copy_range(start..end, &mut out);
                assert_eq!(out, b"headbody!"[start..end], "{start}..{end}");
            }
        }
        assert_eq!(message, Message::from(b"headbody!".to_vec()));
    }
}
