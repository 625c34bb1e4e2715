use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rtmfp_media::TcMessage;

use super::Reader;
use crate::testing::{Decoder, control, decode, format0, format1, format2, format3, message};
use crate::{Error, ReceiveLimits};

/// The chunks of one message with a full header, `continuation` before each further chunk.
fn chunked(header: Vec<u8>, message: &TcMessage, size: usize, continuation: &[u8]) -> Vec<u8> {
    let mut out = header;
    for (index, part) in message.payload.chunks(size).enumerate() {
        if index > 0 {
            out.extend(continuation);
        }
        out.extend(part);
    }
    out
}

fn full(chunk_stream: u32, message: &TcMessage) -> Vec<u8> {
    let length = message.payload.len() as u32;
    let header = format0(chunk_stream, message.timestamp, length, message.kind, message.stream_id);
    chunked(header, message, 128, &format3(chunk_stream))
}

#[test]
fn chunk_stream_ids_of_one_two_and_three_bytes_are_read() {
    for chunk_stream in [2, 3, 63, 64, 65, 319, 320, 321, 575, 576, 40_000, 65_599] {
        let sent = message(9, 5, 0x01_0203, 300);
        assert_eq!(decode(&full(chunk_stream, &sent)), Ok(vec![sent]), "chunk stream {chunk_stream}");
    }
}

#[test]
fn the_same_chunk_stream_is_found_in_either_of_its_forms() {
    let sent = message(9, 5, 1, 200);
    let header = format0(100, 5, 200, 9, 1);
    // Chunk stream 100 in the form of three bytes.
    assert_eq!(decode(&chunked(header, &sent, 128, &[0xc1, 36, 0])), Ok(vec![sent]));
}

#[test]
fn formats_1_to_3_inherit_what_they_leave_out() {
    let bytes = [
        format0(4, 1000, 3, 8, 1),
        vec![1; 3],
        format1(4, 20, 2, 9),
        vec![2; 2],
        format2(4, 30),
        vec![3; 2],
        format3(4),
        vec![4; 2],
    ]
    .concat();
    let messages = decode(&bytes).expect("valid chunks");
    let seen: Vec<_> = messages.iter().map(|m| (m.kind, m.timestamp, m.stream_id, m.payload.len())).collect();
    assert_eq!(seen, [(8, 1000, 1, 3), (9, 1020, 1, 2), (9, 1050, 1, 2), (9, 1080, 1, 2)]);
}

#[test]
fn format_3_after_format_0_repeats_the_timestamp_as_difference() {
    let bytes = [format0(4, 1000, 1, 8, 1), vec![1], format3(4), vec![2]].concat();
    let timestamps: Vec<_> = decode(&bytes).expect("valid chunks").iter().map(|m| m.timestamp).collect();
    assert_eq!(timestamps, [1000, 2000]);
}

#[test]
fn timestamps_wrap_around() {
    let bytes = [format0(4, u32::MAX - 5, 1, 8, 1), vec![1], format2(4, 10), vec![2]].concat();
    let timestamps: Vec<_> = decode(&bytes).expect("valid chunks").iter().map(|m| m.timestamp).collect();
    assert_eq!(timestamps, [u32::MAX - 5, 4]);
}

#[test]
fn a_timestamp_is_extended_from_the_value_that_says_so_on() {
    for timestamp in [0xff_fffe, 0xff_ffff, 0x100_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let sent = message(8, timestamp, 1, 1);
        assert_eq!(decode(&full(4, &sent)), Ok(vec![sent]));
    }
}

/// A message after one at 1000 ms, with continuations as `extended` says, and one more behind it.
fn long_message(first: Vec<u8>, timestamp: u32, length: usize, extended: Option<u32>) {
    let sent = [message(8, 1000, 1, 10), message(9, timestamp, 1, length), message(8, 7, 1, 0)];
    let mut continuation = format3(4);
    continuation.extend(extended.iter().flat_map(|value| value.to_be_bytes()));
    let bytes = [full(4, &sent[0]), chunked(first, &sent[1], 128, &continuation), full(5, &sent[2])].concat();
    assert_eq!(decode(&bytes), Ok(sent.to_vec()), "{length} bytes, {extended:?}");
}

#[test]
fn extended_timestamps_of_continuations_are_skipped_or_missed_as_needed() {
    // Lengths with a last chunk of 1 to 4 and more bytes: what is peeked at can reach into the next header.
    for length in [129, 130, 131, 132, 133, 256, 257, 1000] {
        let timestamp = 0xf123_4567;
        let absolute = || format0(4, timestamp, length as u32, 9, 1);
        long_message(absolute(), timestamp, length, Some(timestamp));
        long_message(absolute(), timestamp, length, Some(timestamp & 0x7fff_ffff));
        long_message(absolute(), timestamp, length, None);

        let delta = 0x0200_0000;
        let difference = || format1(4, delta, length as u32, 9);
        long_message(difference(), 1000 + delta, length, Some(delta));
        long_message(difference(), 1000 + delta, length, Some(1000 + delta));
        long_message(difference(), 1000 + delta, length, None);
    }
}

#[test]
fn payload_that_resembles_the_timestamp_at_first_is_payload() {
    let timestamp = 0x0123_4567_u32;
    let mut sent = message(9, timestamp, 1, 128).payload.to_vec();
    sent.extend([0x01, 0x23, 0x45, 0x99, 5]);
    let sent = TcMessage { payload: sent.into(), ..message(9, timestamp, 1, 0) };
    let bytes = chunked(format0(4, timestamp, 133, 9, 1), &sent, 128, &format3(4));
    assert_eq!(decode(&bytes), Ok(vec![sent]));
}

#[test]
fn what_the_first_continuation_showed_holds_for_the_connection() {
    let timestamp = 0x0123_4567_u32;
    // All payload after the first message looks like the timestamp: only memory can tell.
    let tricky: Vec<u8> = timestamp.to_be_bytes().repeat(64);
    let second = TcMessage { payload: tricky.into(), ..message(9, timestamp, 1, 0) };
    for style in [None, Some(timestamp)] {
        let mut continuation = format3(4);
        continuation.extend(style.iter().flat_map(|value| value.to_be_bytes()));
        let first = message(9, timestamp, 1, 200);
        let header = |length| format0(4, timestamp, length, 9, 1);
        let bytes = [
            chunked(header(200), &first, 128, &continuation),
            chunked(header(256), &second, 128, &continuation),
        ];
        assert_eq!(decode(&bytes.concat()), Ok(vec![first, second.clone()]));
        let mut decoder = Decoder::new();
        decoder.read(&bytes.concat()).expect("valid chunks");
        assert_eq!(decoder.0.leaves_extended_out(), style.is_none());
    }
}

#[test]
fn format_3_that_begins_a_message_has_the_extended_timestamp_whatever_the_style() {
    let delta = 0x0100_0000_u32;
    let first = message(9, delta, 0, 200);
    // Continued without it, begun anew with it.
    let mut bytes = chunked(format1(4, delta, 200, 9), &first, 128, &format3(4));
    bytes.extend(format3(4));
    bytes.extend(delta.to_be_bytes());
    let second = message(9, 2 * delta, 0, 200);
    bytes.extend(chunked(Vec::new(), &second, 128, &format3(4)));
    assert_eq!(decode(&bytes), Ok(vec![first, second]));
}

#[test]
fn a_fresh_chunk_stream_may_begin_with_format_1_only() {
    // How librtmp answers its first ping.
    let answer = [format1(2, 0, 6, 4), vec![0, 7, 1, 2, 3, 4]].concat();
    let messages = decode(&answer).expect("tolerated");
    assert_eq!((messages[0].kind, messages[0].stream_id, messages[0].timestamp), (4, 0, 0));

    let refused = |format| Err(Error::FreshChunkStream { chunk_stream: 70, format });
    assert_eq!(decode(&format2(70, 1)), refused(2));
    assert_eq!(decode(&format3(70)), refused(3));
}

#[test]
fn a_new_header_in_the_middle_drops_the_partial_message() {
    let partial = &full(4, &message(9, 10, 1, 300))[..12 + 128];
    for (header, timestamp) in
        [(format0(4, 50, 10, 9, 1), 50), (format1(4, 5, 10, 9), 15), (format2(4, 5), 15)]
    {
        let sent = message(9, timestamp, 1, if header.len() == 4 { 300 } else { 10 });
        let bytes = [partial.to_vec(), chunked(header, &sent, 128, &format3(4))].concat();
        assert_eq!(decode(&bytes), Ok(vec![sent]));
    }
}

#[test]
fn messages_without_payload_are_complete_at_once() {
    let bytes = [format0(4, 1, 0, 8, 1), format2(4, 1), format3(4), format3(4)].concat();
    let timestamps: Vec<_> = decode(&bytes).expect("valid chunks").iter().map(|m| m.timestamp).collect();
    assert_eq!(timestamps, [1, 2, 3, 4]);
}

#[test]
fn abort_drops_the_partial_message_and_keeps_the_chunk_stream() {
    let mut bytes = full(4, &message(9, 10, 1, 300));
    bytes.truncate(12 + 128);
    bytes.extend(control(2, &[0, 0, 0, 4]));
    // One that was never used, and one without a message.
    bytes.extend(control(2, &[0, 0, 0, 99]));
    bytes.extend(control(2, &[0, 0, 0, 4]));
    bytes.extend(format2(4, 5));
    let sent = message(9, 15, 1, 300);
    bytes.extend(chunked(Vec::new(), &sent, 128, &format3(4)));
    let messages = decode(&bytes).expect("valid chunks");
    assert_eq!(messages.iter().map(|m| m.kind).collect::<Vec<_>>(), [2, 2, 2, 9]);
    assert_eq!(messages[3], sent);
}

#[test]
fn a_new_chunk_size_holds_from_the_next_chunk_on() {
    let (video, audio) = (message(9, 10, 1, 600), message(8, 12, 1, 300));
    let mut bytes = format0(4, 10, 600, 9, 1);
    bytes.extend(&video.payload[..128]);
    bytes.extend(control(1, &[0, 0, 0, 200]));
    bytes.extend(format0(5, 12, 300, 8, 1));
    bytes.extend(&audio.payload[..200]);
    bytes.extend(format3(4));
    bytes.extend(&video.payload[128..328]);
    bytes.extend(control(1, &[0x7f, 0xff, 0xff, 0xff]));
    bytes.extend(format3(5));
    bytes.extend(&audio.payload[200..]);
    bytes.extend(format3(4));
    bytes.extend(&video.payload[328..]);
    assert_eq!(decode(&bytes).expect("valid chunks")[2..], [audio, video]);
}

#[test]
fn chunks_of_one_byte_work() {
    let sent = message(9, 10, 1, 50);
    let chunks = chunked(format0(4, 10, 50, 9, 1), &sent, 1, &format3(4));
    let bytes = [control(1, &[0, 0, 0, 1]), chunks].concat();
    assert_eq!(decode(&bytes).expect("valid chunks")[1], sent);
}

#[test]
fn what_exceeds_a_limit_is_refused_with_its_values() {
    let limits = ReceiveLimits { message_bytes: 1000, partial_bytes: 1500 };
    let mut reader = Reader::new(limits, 3);
    let mut read = |bytes: &[u8]| {
        let mut rest = bytes;
        reader.read(&mut rest)
    };
    assert_eq!(read(&full(4, &message(9, 0, 1, 1000))).map(|m| m.map(|m| m.payload.len())), Ok(Some(1000)));
    assert_eq!(
        read(&format1(4, 0, 1001, 9)),
        Err(Error::MessageLength { kind: 9, length: 1001, limit: 1000 })
    );

    let mut reader = Reader::new(limits, 3);
    reader.set_chunk_size(900);
    let mut read = |bytes: &[u8]| {
        let mut rest = bytes;
        reader.read(&mut rest)
    };
    assert_eq!(read(&[format0(4, 0, 1000, 9, 1), vec![0; 900]].concat()), Ok(None));
    assert_eq!(
        read(&[format0(5, 0, 1000, 9, 1), vec![0; 900]].concat()),
        Err(Error::PartialMessages { limit: 1500 })
    );

    let mut reader = Reader::new(limits, 3);
    for chunk_stream in 4..7 {
        let bytes = [format0(chunk_stream, 0, 1000, 9, 1), vec![0; 128]].concat();
        assert_eq!(reader.read(&mut &bytes[..]), Ok(None));
    }
    assert_eq!(
        reader.read(&mut &format0(7, 0, 9, 9, 1)[..]),
        Err(Error::ChunkStreams { chunk_stream: 7, limit: 3 })
    );
}

#[test]
fn buffers_follow_the_bytes_that_have_arrived() {
    let mut reader = Reader::new(crate::testing::NO_LIMITS, 64);
    reader.set_chunk_size(u32::MAX);
    let mut rest = &format0(4, 0, 0xff_ffff, 9, 1)[..];
    assert_eq!(reader.read(&mut rest), Ok(None));
    let before = reader.memory();
    let mut arrived = 0;
    while arrived < 3_000_000 {
        assert_eq!(reader.read(&mut &[0; 1000][..]), Ok(None));
        arrived += 1000;
        assert!(reader.memory() - before <= 2 * arrived, "{} for {arrived}", reader.memory());
    }
    reader.abort(4);
    assert_eq!(reader.memory(), before, "an aborted message keeps nothing");
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes_never_panic_and_stay_within_the_limits(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        piece in 1_usize..50,
    ) {
        let limits = ReceiveLimits { message_bytes: 5000, partial_bytes: 8000 };
        let mut reader = Reader::new(limits, 8);
        for piece in bytes.chunks(piece) {
            let mut rest = piece;
            while let Ok(Some(_)) = reader.read(&mut rest) {}
            prop_assert!(reader.memory() <= 8000 + 8 * 100);
            if !rest.is_empty() {
                break;
            }
        }
    }
}
