//! Aggregate messages (type 22; RTMP section 7.1.6): several messages in one, laid out as in an FLV file. They are to
//! be split on receipt; nothing here makes them.

use bytes::{Buf, Bytes};
use core::iter::FusedIterator;

use crate::flv::{TAG_HEAD, TagHead};
use crate::message::{TcMessage, kind};

/// How many messages an aggregate may hold, if not told otherwise.
pub const DEFAULT_LIMIT: usize = 4096;

/// What the back pointer after each part takes. Its value is not needed.
const BACK_POINTER: usize = 4;

/// The messages of an aggregate, one by one, their payloads slices of its payload.
///
/// They have the stream id of the aggregate, and times shifted so that the first has the aggregate's. After an error
/// there are no more; the messages before it are good.
#[derive(Clone, Debug)]
pub struct Parts {
    rest: Bytes,
    stream_id: u32,
    timestamp: u32,
    /// What to add to timestamps, known from the first part on.
    shift: Option<u32>,
    left: usize,
}

impl Parts {
    /// Splits `aggregate`, which may hold at most `limit` messages. None if it is of another type.
    pub fn of(aggregate: &TcMessage, limit: usize) -> Option<Self> {
        (aggregate.kind == kind::AGGREGATE).then(|| Self {
            rest: aggregate.payload.clone(),
            stream_id: aggregate.stream_id,
            timestamp: aggregate.timestamp,
            shift: None,
            left: limit,
        })
    }

    fn part(&mut self) -> Result<TcMessage, AggregateError> {
        self.left = self.left.checked_sub(1).ok_or(AggregateError::TooMany)?;
        let head = self.rest.first_chunk().map(TagHead::parse).ok_or(AggregateError::Truncated)?;
        if !matches!(head.kind, kind::AUDIO..=kind::COMMAND) {
            return Err(AggregateError::Kind(head.kind));
        }
        self.rest.advance(TAG_HEAD);
        if self.rest.len() < head.length {
            return Err(AggregateError::Truncated);
        }
        let payload = self.rest.split_to(head.length);
        // Some leave out the last back pointer.
        self.rest.advance(BACK_POINTER.min(self.rest.len()));
        let shift = *self.shift.get_or_insert_with(|| self.timestamp.wrapping_sub(head.timestamp));
        let timestamp = head.timestamp.wrapping_add(shift);
        Ok(TcMessage { kind: head.kind, timestamp, stream_id: self.stream_id, payload })
    }
}

impl Iterator for Parts {
    type Item = Result<TcMessage, AggregateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let part = self.part();
        if part.is_err() {
            self.rest.clear();
        }
        Some(part)
    }
}

impl FusedIterator for Parts {}

/// Why an aggregate cannot be split (any further).
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AggregateError {
    /// It ends within a message.
    #[error("the aggregate ends within a message")]
    Truncated,
    /// A message of a type that has no place in an aggregate: chunk control, user control or another aggregate.
    #[error("a message of type {0} in an aggregate")]
    Kind(u8),
    /// More messages than allowed.
    #[error("too many messages in an aggregate")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn aggregate(timestamp: u32, parts: &[(u8, u32, &[u8])]) -> TcMessage {
        let mut payload = Vec::new();
        for &(kind, timestamp, body) in parts {
            let [high, low @ ..] = timestamp.to_be_bytes();
            payload.push(kind);
            payload.extend_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
            payload.extend_from_slice(&low);
            payload.extend_from_slice(&[high, 9, 9, 9]);
            payload.extend_from_slice(body);
            payload.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
        }
        TcMessage { kind: kind::AGGREGATE, timestamp, stream_id: 3, payload: payload.into() }
    }

    fn split(message: &TcMessage) -> Vec<Result<TcMessage, AggregateError>> {
        Parts::of(message, DEFAULT_LIMIT).unwrap().collect()
    }

    fn part(kind: u8, timestamp: u32, payload: &'static [u8]) -> TcMessage {
        TcMessage { kind, timestamp, stream_id: 3, payload: Bytes::from_static(payload) }
    }

    #[test]
    fn parts_get_the_stream_of_the_aggregate_and_times_shifted_to_it() {
        let message = aggregate(1000, &[(8, 70_000, b"a"), (9, 70_040, b""), (18, 69_990, b"data")]);
        assert_eq!(
            split(&message),
            [Ok(part(8, 1000, b"a")), Ok(part(9, 1040, b"")), Ok(part(18, 990, b"data"))]
        );
    }

    #[test]
    fn times_use_all_four_bytes_and_wrap() {
        let message = aggregate(0xffff_fff0, &[(8, 0x0102_0304, b"a"), (8, 0x0102_0324, b"b")]);
        assert_eq!(split(&message), [Ok(part(8, 0xffff_fff0, b"a")), Ok(part(8, 0x10, b"b"))]);
    }

    #[test]
    fn payloads_are_slices_of_the_aggregate() {
        let message = aggregate(0, &[(8, 0, b"audio"), (9, 0, b"video")]);
        let range = message.payload.as_ptr_range();
        assert!(split(&message).iter().flatten().all(|part| range.contains(&part.payload.as_ptr())));
    }

    #[test]
    fn what_comes_before_a_cut_is_kept_and_a_missing_last_pointer_is_forgiven() {
        let whole = aggregate(0, &[(8, 0, b"a"), (9, 0, b"bc")]);
        for length in 0..=whole.payload.len() {
            let cut = TcMessage { payload: whole.payload.slice(..length), ..whole.clone() };
            let expected = match length {
                0 => vec![],
                1..12 => vec![Err(AggregateError::Truncated)],
                12..=16 => vec![Ok(part(8, 0, b"a"))],
                17..29 => vec![Ok(part(8, 0, b"a")), Err(AggregateError::Truncated)],
                _ => vec![Ok(part(8, 0, b"a")), Ok(part(9, 0, b"bc"))],
            };
            assert_eq!(split(&cut), expected, "{length} bytes");
        }
    }

    #[test]
    fn control_and_nested_aggregates_are_refused() {
        for kind in [0, 1, 2, 3, 4, 5, 6, 7, 21, 22, 255] {
            let message = aggregate(0, &[(8, 0, b"a"), (kind, 0, b"....."), (8, 0, b"b")]);
            assert_eq!(split(&message), [Ok(part(8, 0, b"a")), Err(AggregateError::Kind(kind))]);
        }
    }

    #[test]
    fn a_million_empty_parts_stop_at_the_limit() {
        let one = aggregate(0, &[(8, 0, b"")]);
        let bomb = TcMessage { payload: one.payload.repeat(1_000_000).into(), ..one };
        let parts = split(&bomb);
        assert_eq!(parts.len(), DEFAULT_LIMIT + 1);
        assert_eq!(parts.last(), Some(&Err(AggregateError::TooMany)));
    }

    #[test]
    fn other_messages_are_no_aggregates() {
        assert!(Parts::of(&part(8, 0, b""), 1).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: RngSeed::Fixed(22),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_bytes_can_be_split(
            payload in prop::collection::vec(prop_oneof![2 => 0..10_u8, 1 => any::<u8>()], 0..100), limit in 0..5_usize
        ) {
            let length = payload.len();
            let message = TcMessage { payload: payload.into(), ..aggregate(0, &[]) };
            let parts: Vec<_> = Parts::of(&message, limit).unwrap().collect();
            prop_assert!(parts.len() <= limit + 1);
            prop_assert!(parts.iter().rev().skip(1).all(Result::is_ok), "nothing after an error");
            prop_assert!(parts.iter().flatten().map(|part| part.payload.len() + TAG_HEAD).sum::<usize>() <= length);
        }
    }
}
