//! Putting fragments together again (RFC 7016 section 3.6.3.3).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::wire::Fragment;

/// What a message, or a part of one, costs beside its bytes, in the account of a flow's receive buffer.
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
    bytes: Vec<u8>,
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
        self.buffered -= message.bytes.len() + OVERHEAD;
        Some(message)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets everything but what is ready to be read.
    pub(crate) fn forget_incomplete(&mut self) {
        self.segments.clear();
        self.buffered = self.ready.iter().map(|message| message.bytes.len() + OVERHEAD).sum();
    }

    /// How long the message that this fragment belongs to would be with it, as far as is known.
    pub(crate) fn length_with(&self, sequence: u64, fragment: Fragment, data: &[u8]) -> usize {
        let before = self.before(sequence, fragment).map_or(0, |(_, segment)| segment.bytes.len());
        let after = self.after(sequence, fragment).map_or(0, |(_, segment)| segment.bytes.len());
        before + data.len() + after
    }

    /// The part of the same message that ends right before a fragment.
    fn before(&self, sequence: u64, fragment: Fragment) -> Option<(u64, &Segment)> {
        let continues = matches!(fragment, Fragment::Middle | Fragment::End);
        let (&first, segment) = self.segments.range(..sequence).next_back().filter(|_| continues)?;
        (!segment.ends && segment.last.checked_add(1) == Some(sequence)).then_some((first, segment))
    }

    /// The part of the same message that begins right behind a fragment.
    fn after(&self, sequence: u64, fragment: Fragment) -> Option<(u64, &Segment)> {
        let goes_on = matches!(fragment, Fragment::Begin | Fragment::Middle);
        let next = sequence.checked_add(1).filter(|_| goes_on)?;
        self.segments.get(&next).filter(|segment| !segment.begins).map(|segment| (next, segment))
    }

    /// Takes a fragment whose number was not seen before. Answers the number of the first fragment of the part of a
    /// message that it belongs to now.
    pub(crate) fn insert(&mut self, sequence: u64, fragment: Fragment, data: &[u8]) -> u64 {
        let before = self.before(sequence, fragment).map(|(first, _)| first);
        let after = self.after(sequence, fragment).map(|(next, _)| next);
        let ends = matches!(fragment, Fragment::Whole | Fragment::End);
        let first = before.unwrap_or(sequence);
        self.buffered += data.len();
        let next = after.and_then(|next| self.segments.remove(&next));
        self.buffered -= if next.is_some() { OVERHEAD } else { 0 };
        let segment = self.segments.entry(first).or_insert_with(|| {
            self.buffered += OVERHEAD;
            let begins = matches!(fragment, Fragment::Whole | Fragment::Begin);
            Segment { last: sequence, begins, ends, bytes: Vec::new() }
        });
        append(&mut segment.bytes, data);
        (segment.last, segment.ends) = (sequence, ends);
        if let Some(next) = next {
            append(&mut segment.bytes, &next.bytes);
            (segment.last, segment.ends) = (next.last, next.ends);
        }
        first
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
            self.deliver_if_complete(first);
        }
        self.deliver_in_sequence(cumulative);
    }

    /// Makes a message readable if it is complete, whatever is missing before it. `first` is the number of its first
    /// fragment.
    pub(crate) fn deliver_if_complete(&mut self, first: u64) {
        if self.segments.get(&first).is_some_and(|segment| segment.begins && segment.ends)
            && let Some(segment) = self.segments.remove(&first)
        {
            self.finish(first, segment);
        }
    }

    fn finish(&mut self, first: u64, segment: Segment) {
        let fragments = segment.last - first + 1;
        if segment.begins && segment.ends {
            self.ready.push_back(Received { bytes: segment.bytes.into(), sequence: first, fragments });
        } else {
            self.buffered -= segment.bytes.len() + OVERHEAD;
        }
    }
}

/// Appends with little to spare: what a peer may make an endpoint hold is counted in bytes received, and a buffer that
/// doubles would cost up to twice as much.
fn append(buffer: &mut Vec<u8>, data: &[u8]) {
    let needed = buffer.len() + data.len();
    if needed > buffer.capacity() {
        let spare = buffer.len().min(SPARE.max(buffer.len() / 8));
        buffer.reserve_exact(data.len() + spare);
    }
    buffer.extend_from_slice(data);
}

/// Up to here a buffer doubles; above, an eighth of it is spare.
const SPARE: usize = 8 * 1024;

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

    #[test]
    fn the_part_of_an_abandoned_message_does_not_count_for_the_next_one() {
        let mut assembly = Assembly::default();
        assembly.insert(1, Begin, b"abandoned");
        assert_eq!(assembly.length_with(2, Begin, b"ab"), 2);
        assert_eq!(assembly.length_with(2, Whole, b"ab"), 2);
        assert_eq!(assembly.length_with(2, Middle, b"ab"), 11);
        assembly.insert(4, Middle, b"cdef");
        assert_eq!(assembly.length_with(3, Begin, b"ab"), 6);
        assert_eq!(assembly.length_with(3, End, b"ab"), 2);
        assembly.insert(2, Middle, b"-");
        assert_eq!(assembly.length_with(3, Middle, b"ab"), 16);
    }

    #[test]
    fn parts_cost_their_bytes_and_an_overhead_each() {
        let mut assembly = Assembly::default();
        for (sequence, cost) in [(1, 164), (3, 328), (2, 364), (5, 528), (4, 564)] {
            assembly.insert(sequence, if sequence == 1 { Begin } else { Middle }, &[0; 100]);
            assert_eq!(assembly.buffered(), cost, "{sequence}");
        }
        assembly.insert(6, End, &[0; 100]);
        assembly.deliver_in_sequence(6);
        assert_eq!(assembly.buffered(), 664);
        assert_eq!(assembly.read().map(|message| message.fragments), Some(6));
        assert_eq!(assembly.buffered(), 0);
    }
}
