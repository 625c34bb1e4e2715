//! Putting fragments together again (RFC 7016 section 3.6.3.3).

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::wire::Fragment;

/// What a fragment costs beside its bytes, in the account of a flow's receive buffer.
pub(crate) const OVERHEAD: usize = 64;

/// A message that was received whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// Its bytes.
    pub bytes: Bytes,
    /// The sequence number of its first fragment; jumps show what was abandoned.
    pub sequence: u64,
    /// How many fragments it came in.
    pub fragments: u64,
}

/// A run of fragments of one message, without a hole.
#[derive(Debug)]
struct Segment {
    last: u64,
    begins: bool,
    ends: bool,
    bytes: BytesMut,
}

/// The receive buffer of a flow.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// By the number of their first fragment.
    segments: BTreeMap<u64, Segment>,
    ready: VecDeque<Received>,
    /// Bytes and overhead of everything in `segments` and `ready`.
    buffered: usize,
}

impl Assembly {
    /// Bytes held, overhead included.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether a message waits to be read.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty() && self.ready.is_empty()
    }

    /// The next message.
    pub(crate) fn read(&mut self) -> Option<Received> {
        let message = self.ready.pop_front()?;
        self.buffered -= cost(message.bytes.len(), message.fragments);
        Some(message)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How long the message that this fragment continues would be with it, as far as is known.
    pub(crate) fn length_with(&self, sequence: u64, data: &[u8]) -> usize {
        let before = self.segments.range(..sequence).next_back();
        let held =
            before.filter(|(_, s)| s.last + 1 == sequence && !s.ends).map_or(0, |(_, s)| s.bytes.len());
        held + data.len()
    }

    /// Takes a fragment whose number was not seen before.
    pub(crate) fn insert(&mut self, sequence: u64, fragment: Fragment, data: &[u8]) {
        self.buffered += cost(data.len(), 1);
        let begins = matches!(fragment, Fragment::Whole | Fragment::Begin);
        let ends = matches!(fragment, Fragment::Whole | Fragment::End);
        let before = self.segments.range_mut(..sequence).next_back();
        let mut at = sequence;
        match before {
            Some((&first, segment)) if !begins && !segment.ends && segment.last + 1 == sequence => {
                segment.bytes.extend_from_slice(data);
                segment.last = sequence;
                segment.ends = ends;
                at = first;
            }
            _ => {
                let segment = Segment { last: sequence, begins, ends, bytes: BytesMut::from(data) };
                self.segments.insert(sequence, segment);
            }
        }
        if !ends && self.segments.get(&(sequence + 1)).is_some_and(|next| !next.begins) {
            let next = self.segments.remove(&(sequence + 1));
            if let (Some(next), Some(segment)) = (next, self.segments.get_mut(&at)) {
                segment.bytes.extend_from_slice(&next.bytes);
                segment.last = next.last;
                segment.ends = next.ends;
            }
        }
    }

    /// Makes complete messages up to the cumulative number readable, in order, and drops what can't be completed.
    pub(crate) fn deliver_in_sequence(&mut self, cumulative: u64) {
        while let Some(entry) = self.segments.first_entry() {
            let first = *entry.key();
            let segment = entry.get();
            if first > cumulative {
                break;
            }
            if segment.begins && !segment.ends && segment.last >= cumulative {
                break; // In progress.
            }
            let segment = entry.remove();
            self.finish(first, segment);
        }
    }

    /// Makes every complete message readable, whatever is missing before it.
    pub(crate) fn deliver_all_complete(&mut self, cumulative: u64) {
        let complete: Vec<u64> =
            self.segments.iter().filter(|(_, s)| s.begins && s.ends).map(|(&first, _)| first).collect();
        for first in complete {
            if let Some(segment) = self.segments.remove(&first) {
                self.finish(first, segment);
            }
        }
        self.deliver_in_sequence(cumulative);
    }

    fn finish(&mut self, first: u64, segment: Segment) {
        let fragments = segment.last - first + 1;
        if segment.begins && segment.ends {
            self.ready.push_back(Received { bytes: segment.bytes.freeze(), sequence: first, fragments });
        } else {
            self.buffered -= cost(segment.bytes.len(), fragments);
        }
    }
}

fn cost(bytes: usize, fragments: u64) -> usize {
    bytes + OVERHEAD * fragments as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fragment::{Begin, End, Middle, Whole};

    fn read_all(assembly: &mut Assembly) -> Vec<(u64, Vec<u8>)> {
        core::iter::from_fn(|| assembly.read()).map(|m| (m.sequence, m.bytes.to_vec())).collect()
    }

    #[test]
    fn any_order_of_arrival_gives_the_same_message() {
        let parts = [(1, Begin, b"ab"), (2, Middle, b"cd"), (3, Middle, b"ef"), (4, End, b"gh")];
        for a in 0..4 {
            for b in (0..4).filter(|&b| b != a) {
                for c in (0..4).filter(|&c| c != a && c != b) {
                    let d = 6 - a - b - c;
                    let mut assembly = Assembly::default();
                    for index in [a, b, c, d] {
                        let (sequence, fragment, data) = parts[index];
                        assembly.insert(sequence, fragment, data);
                    }
                    assembly.deliver_in_sequence(4);
                    assert_eq!(read_all(&mut assembly), [(1, b"abcdefgh".to_vec())]);
                    assert_eq!(assembly.buffered(), 0);
                    assert!(assembly.is_empty());
                }
            }
        }
    }

    #[test]
    fn a_message_that_lost_its_end_is_dropped_when_the_sender_moved_on() {
        let mut assembly = Assembly::default();
        assembly.insert(1, Begin, b"lost");
        assembly.deliver_in_sequence(1);
        assert!(!assembly.is_empty(), "still in progress at the cumulative number");
        assembly.insert(3, Whole, b"next");
        assembly.deliver_in_sequence(3);
        assert_eq!(read_all(&mut assembly), [(3, b"next".to_vec())]);
        assert_eq!(assembly.buffered(), 0);
    }

    #[test]
    fn a_message_that_lost_its_beginning_is_dropped() {
        let mut assembly = Assembly::default();
        assembly.insert(2, Middle, b"x");
        assembly.insert(3, End, b"y");
        assembly.insert(4, Begin, b"a");
        assembly.insert(5, End, b"b");
        assembly.deliver_in_sequence(5);
        assert_eq!(read_all(&mut assembly), [(4, b"ab".to_vec())]);
        assert_eq!(assembly.buffered(), 0);
    }

    #[test]
    fn fragments_of_neighbouring_messages_do_not_mix() {
        let mut assembly = Assembly::default();
        assembly.insert(2, Begin, b"b");
        assembly.insert(1, Begin, b"a");
        assembly.insert(3, End, b"c");
        assembly.deliver_in_sequence(3);
        assert_eq!(read_all(&mut assembly), [(2, b"bc".to_vec())]);
    }

    #[test]
    fn network_order_does_not_wait_for_holes() {
        let mut assembly = Assembly::default();
        assembly.insert(5, Whole, b"five");
        assembly.insert(2, Begin, b"t");
        assembly.deliver_all_complete(0);
        assert_eq!(read_all(&mut assembly), [(5, b"five".to_vec())]);
        assembly.insert(3, End, b"wo");
        assembly.deliver_all_complete(0);
        assert_eq!(read_all(&mut assembly), [(2, b"two".to_vec())]);
    }
}
