//! Both forms of acknowledgement against a naive reading of RFC 7016 sections 2.3.13 and 2.3.14.

use core::ops::RangeInclusive;
use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;
use rtmfp::wire::{Ack, Chunk, Chunks, kind, vlu, write_ack_ranges};

fn ack(kind: u8, payload: &[u8]) -> Ack<'_> {
    match Chunk::parse(kind, payload) {
        Ok(Chunk::AckBitmap(ack) | Chunk::AckRanges(ack)) => ack,
        other => panic!("not an acknowledgement: {other:?}"),
    }
}

fn payload(cumulative: u64, beyond: &[u8]) -> Vec<u8> {
    let mut payload = vec![2, 64];
    vlu::write(cumulative, &mut payload);
    payload.extend_from_slice(beyond);
    payload
}

/// Cumulative acknowledgements: small, large, and at the very end of the numbers.
fn cumulative() -> impl Strategy<Value = u64> {
    prop_oneof![0..200u64, any::<u64>(), (0..200u64).prop_map(|below| u64::MAX - below)]
}

fn all(ranges: impl Iterator<Item = RangeInclusive<u64>>) -> BTreeSet<u64> {
    ranges.flatten().collect()
}

/// The sequence numbers of `received` bits, of which the first is two beyond `cumulative`.
fn naive_set(cumulative: u64, received: &[bool]) -> BTreeSet<u64> {
    let numbers = (0..).zip(received).filter(|(_, received)| **received);
    numbers.filter_map(|(index, _)| cumulative.checked_add(2)?.checked_add(index)).collect()
}

/// The runs of a set.
fn naive_runs(set: &BTreeSet<u64>) -> Vec<RangeInclusive<u64>> {
    let mut runs: Vec<RangeInclusive<u64>> = Vec::new();
    for &number in set {
        match runs.last_mut() {
            Some(run) if *run.end() + 1 == number => *run = *run.start()..=number,
            _ => runs.push(number..=number),
        }
    }
    runs
}

/// A VLU, in arithmetic too wide to overflow.
fn naive_vlu(bytes: &mut impl Iterator<Item = u8>) -> Option<u128> {
    let mut value: u128 = 0;
    loop {
        let byte = bytes.next()?;
        value = (value * 128 + u128::from(byte & 0x7f)).min(1 << 80);
        if byte < 0x80 {
            return Some(value.min(u128::from(u64::MAX)));
        }
    }
}

/// The pairs of a Range Ack, in arithmetic too wide to overflow, then cut at 2⁶⁴ − 1.
fn naive_ranges(cumulative: u64, beyond: &[u8]) -> Vec<RangeInclusive<u64>> {
    let mut bytes = beyond.iter().copied();
    let mut cursor = u128::from(cumulative);
    let mut ranges = Vec::new();
    while let (Some(holes), Some(received)) = (naive_vlu(&mut bytes), naive_vlu(&mut bytes)) {
        let from = cursor + 1 + holes + 1;
        let to = from + received;
        cursor = to;
        if let Ok(from) = u64::try_from(from) {
            ranges.push(from..=u64::try_from(to).unwrap_or(u64::MAX));
        }
    }
    ranges
}

proptest! {
    #[test]
    fn bitmaps(cumulative in cumulative(), received in vec(prop_oneof![any::<bool>(), Just(true)], 0..200)) {
        let mut bits = vec![0u8; received.len().div_ceil(8)];
        for (index, received) in received.iter().enumerate() {
            bits[index / 8] |= u8::from(*received) << (index % 8);
        }
        let payload = payload(cumulative, &bits);
        let expected = naive_runs(&naive_set(cumulative, &received));
        prop_assert_eq!(ack(kind::ACK_BITMAP, &payload).ranges().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn range_tails_of_noise(
        cumulative in cumulative(),
        beyond in vec(prop_oneof![3 => any::<u8>(), 2 => 0..0x10u8, 1 => Just(0xff)], 0..60),
    ) {
        let payload = payload(cumulative, &beyond);
        let expected = naive_ranges(cumulative, &beyond);
        prop_assert_eq!(ack(kind::ACK_RANGES, &payload).ranges().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn written_ranges_read_back(cumulative in 0..1u64 << 40, received in vec(any::<bool>(), 0..300)) {
        let set = naive_set(cumulative, &received);
        let runs = naive_runs(&set);
        let mut out = Vec::new();
        let written = write_ack_ranges(2, 64, cumulative, runs.iter().cloned(), 1200, &mut out);
        prop_assert_eq!(written, Some(runs.len()));
        let (kind, payload) = Chunks::new(&out).next().unwrap();
        let ack = ack(kind, payload);
        prop_assert_eq!((ack.flow_id, ack.window_blocks, ack.cumulative), (2, 64, cumulative));
        prop_assert_eq!(all(ack.ranges()), set);
    }

    #[test]
    fn little_room_takes_the_first_ranges(
        cumulative in cumulative(),
        gaps in vec((0..300u64, 0..300u64), 0..40),
        max_len in 0..80usize,
    ) {
        let mut ranges = Vec::new();
        let mut cursor = cumulative;
        for (holes, received) in gaps {
            let Some(from) = cursor.checked_add(holes + 2) else { break };
            cursor = from.saturating_add(received);
            ranges.push(from..=cursor);
        }
        let mut out = vec![0xaa];
        let written = write_ack_ranges(2, 64, cumulative, ranges.iter().cloned(), max_len, &mut out);
        prop_assert!(out.len() - 1 <= max_len);
        let Some(written) = written else {
            prop_assert!(max_len < 5 + vlu::len(cumulative));
            prop_assert_eq!(out, [0xaa]);
            return Ok(());
        };
        let (kind, payload) = Chunks::new(&out[1..]).next().unwrap();
        prop_assert_eq!(ack(kind, payload).ranges().collect::<Vec<_>>(), &ranges[..written]);
        if written < ranges.len() {
            let mut more = Vec::new();
            let next = write_ack_ranges(2, 64, cumulative, ranges[..=written].iter().cloned(), 1200, &mut more);
            prop_assert_eq!(next, Some(written + 1));
            prop_assert!(more.len() > max_len, "there was room for one range more");
        }
    }
}
