use core::iter::FusedIterator;
use core::ops::RangeInclusive;

use super::{HEADER_LEN, OpenChunk, Reader, WireError, kind, vlu};

/// A Data Acknowledgement chunk of either form (RFC 7016 sections 2.3.13 and 2.3.14).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ack<'a> {
    /// The flow, as its sender numbers it.
    pub flow_id: u64,
    /// How much the receiver is able to accept, in blocks of 1024 bytes.
    pub window_blocks: u64,
    /// All sequence numbers up to this one were received.
    pub cumulative: u64,
    form: Form,
    /// What follows the cumulative acknowledgement, in the syntax of the form.
    beyond: &'a [u8],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    Bitmap,
    Ranges,
}

impl<'a> Ack<'a> {
    pub(super) fn parse_bitmap(payload: &'a [u8]) -> Result<Self, WireError> {
        Self::parse(Form::Bitmap, payload)
    }

    pub(super) fn parse_ranges(payload: &'a [u8]) -> Result<Self, WireError> {
        Self::parse(Form::Ranges, payload)
    }

    fn parse(form: Form, payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        Ok(Self {
            flow_id: bytes.vlu()?,
            window_blocks: bytes.vlu()?,
            cumulative: bytes.vlu()?,
            form,
            beyond: bytes.rest(),
        })
    }

    /// The sequence numbers received beyond the cumulative acknowledgement.
    pub const fn ranges(&self) -> AckedRanges<'a> {
        match self.form {
            Form::Bitmap => {
                AckedRanges(Walk::Bitmap { cumulative: self.cumulative, bits: self.beyond, at: 0 })
            }
            Form::Ranges => {
                AckedRanges(Walk::Ranges { cursor: self.cumulative, pairs: Reader::new(self.beyond) })
            }
        }
    }

    pub(super) const fn kind(&self) -> u8 {
        match self.form {
            Form::Bitmap => kind::ACK_BITMAP,
            Form::Ranges => kind::ACK_RANGES,
        }
    }

    pub(super) fn payload_len(&self) -> usize {
        fixed_len(self.flow_id, self.window_blocks, self.cumulative).saturating_add(self.beyond.len())
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        vlu::write(self.flow_id, out);
        vlu::write(self.window_blocks, out);
        vlu::write(self.cumulative, out);
        out.extend_from_slice(self.beyond);
    }
}

/// Ranges of sequence numbers received beyond a cumulative acknowledgement, ascending and with a hole before each
/// but perhaps the last: one that would go beyond 2⁶⁴ − 1 ends there.
///
/// There are at most as many ranges as half the bytes of a Range Ack, or four times those of a Bitmap Ack. A Range
/// Ack that is cut off within a range ends before it (RFC 7016 section 2.3.14).
#[derive(Clone, Debug)]
pub struct AckedRanges<'a>(Walk<'a>);

#[derive(Clone, Debug)]
enum Walk<'a> {
    /// `at` is a bit, counted from the least significant of the first byte, which is `cumulative` + 2.
    Bitmap { cumulative: u64, bits: &'a [u8], at: u64 },
    /// `cursor` is the last sequence number that the pairs read so far tell of.
    Ranges { cursor: u64, pairs: Reader<'a> },
}

impl Iterator for AckedRanges<'_> {
    type Item = RangeInclusive<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Bitmap { cumulative, bits, at } => {
                let first_bit = cumulative.checked_add(2)?;
                let run = next_run(bits, at)?;
                let from = first_bit.checked_add(*run.start())?;
                Some(from..=first_bit.saturating_add(*run.end()))
            }
            Walk::Ranges { cursor, pairs } => {
                let holes_less_one = pairs.vlu().ok()?;
                let received_less_one = pairs.vlu().ok()?;
                let from = cursor.checked_add(2)?.checked_add(holes_less_one)?;
                *cursor = from.saturating_add(received_less_one);
                Some(from..=*cursor)
            }
        }
    }
}

impl FusedIterator for AckedRanges<'_> {}

/// The next run of set bits at or after the bit `at`, which moves behind it.
fn next_run(bits: &[u8], at: &mut u64) -> Option<RangeInclusive<u64>> {
    let byte_at = |at: u64| usize::try_from(at / 8).ok().and_then(|index| bits.get(index));
    let first = loop {
        let ahead = byte_at(*at)? >> (*at % 8);
        if ahead != 0 {
            break at.saturating_add(u64::from(ahead.trailing_zeros()));
        }
        *at = (*at / 8).saturating_add(1).saturating_mul(8);
    };
    *at = first;
    while let Some(byte) = byte_at(*at) {
        let ones = (byte >> (*at % 8)).trailing_ones();
        *at = at.saturating_add(u64::from(ones));
        if ones == 0 {
            break;
        }
    }
    Some(first..=at.saturating_sub(1))
}

/// Appends a whole Range Ack chunk (RFC 7016 section 2.3.14), header included, of at most `max_len` bytes with as
/// many of the `ranges` as fit, and answers how many those are. When not even the cumulative acknowledgement fits,
/// appends nothing and answers `None`.
///
/// The ranges are what was received beyond `cumulative`, ascending, each with a hole before it; a range that is not
/// so ends the chunk.
pub fn write_ack_ranges(
    flow_id: u64,
    window_blocks: u64,
    cumulative: u64,
    ranges: impl Iterator<Item = RangeInclusive<u64>>,
    max_len: usize,
    out: &mut Vec<u8>,
) -> Option<usize> {
    let room = max_len.checked_sub(HEADER_LEN)?.min(usize::from(u16::MAX));
    let mut room = room.checked_sub(fixed_len(flow_id, window_blocks, cumulative))?;
    let chunk = OpenChunk::begin(kind::ACK_RANGES, out);
    vlu::write(flow_id, out);
    vlu::write(window_blocks, out);
    vlu::write(cumulative, out);
    let mut cursor = cumulative;
    let mut written: usize = 0;
    for range in ranges {
        let holes = range.start().checked_sub(cursor).and_then(|gap| gap.checked_sub(2));
        let received = range.end().checked_sub(*range.start());
        let (Some(holes_less_one), Some(received_less_one)) = (holes, received) else { break };
        let pair_len = vlu::len(holes_less_one).saturating_add(vlu::len(received_less_one));
        let Some(left) = room.checked_sub(pair_len) else { break };
        room = left;
        vlu::write(holes_less_one, out);
        vlu::write(received_less_one, out);
        cursor = *range.end();
        written = written.saturating_add(1);
    }
    chunk.finish(out);
    Some(written)
}

fn fixed_len(flow_id: u64, window_blocks: u64, cumulative: u64) -> usize {
    [flow_id, window_blocks, cumulative].into_iter().map(vlu::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(ack: Result<Ack<'_>, WireError>) -> Vec<RangeInclusive<u64>> {
        ack.unwrap().ranges().collect()
    }

    #[test]
    fn examples_of_the_rfc() {
        let ack = Ack::parse_ranges(&[0x05, 0x7f, 0x10, 0, 0, 1, 3]).unwrap();
        assert_eq!((ack.flow_id, ack.window_blocks, ack.cumulative), (5, 127, 16));
        assert_eq!(ranges(Ok(ack)), [18..=18, 21..=24]);
        let truncated = [0x05, 0x7f, 0x10, 0, 0, 1, 0x83];
        assert_eq!(ranges(Ack::parse_ranges(&truncated)), [18..=18]);
        let bitmap = [0x05, 0x7f, 0x10, 0x79, 0x06];
        assert_eq!(ranges(Ack::parse_bitmap(&bitmap)), [18..=18, 21..=24, 27..=28]);

        let mut out = Vec::new();
        let written = write_ack_ranges(5, 127, 16, [18..=18, 21..=24].into_iter(), 10, &mut out);
        assert_eq!(written, Some(2));
        assert_eq!(out, [0x51, 0, 7, 0x05, 0x7f, 0x10, 0, 0, 1, 3]);
    }

    #[test]
    fn runs_cross_the_bytes_of_a_bitmap() {
        let acked = |bits: &[u8]| {
            let payload = [&[0, 0, 10], bits].concat();
            ranges(Ack::parse_bitmap(&payload))
        };
        assert_eq!(acked(&[]), []);
        assert_eq!(acked(&[0, 0]), []);
        assert_eq!(acked(&[0xff]), [12..=19]);
        assert_eq!(acked(&[0x80, 0xff, 0x01]), [19..=28]);
        assert_eq!(acked(&[0x80, 0x02, 0, 0x01]), [19..=19, 21..=21, 36..=36]);
        assert_eq!(acked(&[0x55]), [12..=12, 14..=14, 16..=16, 18..=18]);
    }

    #[test]
    fn sequence_numbers_do_not_wrap() {
        let near_the_end = |cumulative: u64, beyond: &[u8]| {
            let mut payload = vec![0, 0];
            vlu::write(cumulative, &mut payload);
            payload.extend_from_slice(beyond);
            payload
        };
        let max = u64::MAX;
        assert_eq!(ranges(Ack::parse_ranges(&near_the_end(max, &[0, 0]))), []);
        assert_eq!(ranges(Ack::parse_ranges(&near_the_end(max - 1, &[0, 0]))), []);
        assert_eq!(ranges(Ack::parse_ranges(&near_the_end(max - 2, &[0, 9, 0, 0]))), [max..=max]);
        assert_eq!(ranges(Ack::parse_bitmap(&near_the_end(max, &[0xff]))), []);
        assert_eq!(ranges(Ack::parse_bitmap(&near_the_end(max - 3, &[0xff]))), [max - 1..=max]);
        assert_eq!(ranges(Ack::parse_bitmap(&near_the_end(max - 3, &[0x01, 0x02]))), [max - 1..=max - 1]);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let all = [18..=18, 21..=24, 400..=1000];
        let mut out = Vec::new();
        for (max_len, expected) in
            [(0, None), (5, None), (6, Some(0)), (7, Some(0)), (8, Some(1)), (13, Some(2)), (14, Some(3))]
        {
            out.clear();
            assert_eq!(write_ack_ranges(5, 127, 16, all.iter().cloned(), max_len, &mut out), expected);
            assert!(out.len() <= max_len);
            assert_eq!(out.is_empty(), expected.is_none());
        }
    }

    #[test]
    fn a_chunk_is_no_longer_than_its_length_can_tell() {
        let alternate = (0..40_000).map(|index| 2 + 2 * index..=2 + 2 * index);
        let mut out = Vec::new();
        assert_eq!(write_ack_ranges(5, 127, 0, alternate, usize::MAX, &mut out), Some((65535 - 3) / 2));
        assert_eq!(out.len(), 3 + 65535);
    }

    #[test]
    fn ranges_out_of_order_end_the_chunk() {
        for bad in [20..=20, 17..=17, 19..=30, 0..=0] {
            let mut out = Vec::new();
            let all = [18..=19, bad.clone(), 50..=51];
            assert_eq!(write_ack_ranges(5, 127, 16, all.into_iter(), 100, &mut out), Some(1), "{bad:?}");
        }
    }
}
