use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

const BOTH: FileHeader = FileHeader { audio: true, video: true };

fn tag(kind: u8, timestamp: u32, payload: &[u8]) -> TcMessage {
    TcMessage { kind, timestamp, stream_id: 0, payload: Bytes::copy_from_slice(payload) }
}

fn file(tags: &[TcMessage]) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out, BOTH);
    tags.iter().for_each(|tag| write_tag(&mut out, tag).unwrap());
    out
}

/// Everything that a reader makes of the file when it comes in pieces of this size.
fn read(reader: &mut Reader, file: &[u8], piece: usize) -> Result<Vec<TcMessage>, FlvError> {
    let mut tags = Vec::new();
    for piece in file.chunks(piece) {
        reader.feed(piece);
        while let Some(tag) = reader.next_tag()? {
            tags.push(tag);
        }
    }
    Ok(tags)
}

#[test]
fn a_file_is_laid_out_as_the_specification_says() {
    let bytes = file(&[tag(9, 0x0102_0304, b"\x17\x01")]);
    assert_eq!(bytes, b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\0\0\x02\x02\x03\x04\x01\0\0\0\x17\x01\0\0\0\x0d");
}

#[test]
fn tags_are_read_however_their_bytes_arrive() {
    let tags = [tag(18, 0, b"metadata"), tag(8, 20, b""), tag(9, u32::MAX, &[7; 300])];
    let bytes = file(&tags);
    for piece in 1..bytes.len() {
        let mut reader = Reader::default();
        assert_eq!(read(&mut reader, &bytes, piece).unwrap(), tags);
        assert_eq!(reader.header(), Some(BOTH));
        assert!(reader.is_between_tags());
    }
}

#[test]
fn extended_headers_of_any_length_are_skipped_without_being_held() {
    let mut bytes = b"FLV\x01\x04\x00\x10\x00\x00".to_vec();
    bytes.resize(0x10_0000 + 4, 0xee);
    bytes.extend_from_slice(&file(&[tag(8, 1, b"a")])[13..]);
    let mut reader = Reader::default();
    assert_eq!(read(&mut reader, &bytes, 1000).unwrap(), [tag(8, 1, b"a")]);
    assert_eq!(reader.header(), Some(FileHeader { audio: true, video: false }));
    let mut reader = Reader::default();
    for _ in 0..1000 {
        reader.feed(b"FLV\x01\x04\xff\xff\xff\xff");
        assert_eq!(reader.next_tag(), Ok(None));
        assert!(reader.unread.is_empty());
    }
}

#[test]
fn a_cut_file_is_known_as_such() {
    let bytes = file(&[tag(8, 0, b"abc")]);
    for length in 0..=bytes.len() {
        let mut reader = Reader::default();
        read(&mut reader, &bytes[..length], usize::MAX).unwrap();
        // The back pointers are of no use, so that they may be missing.
        assert_eq!(reader.is_between_tags(), matches!(length, 9..=13 | 27..), "{length} bytes");
    }
}

#[test]
fn what_is_no_file_is_refused_at_once_and_for_good() {
    for (bytes, error) in [
        (&b"\x00"[..], FlvError::Signature),
        (b"FLA", FlvError::Signature),
        (b"FLV\x02\x05\0\0\0\x09", FlvError::Version(2)),
        (b"FLV\x01\x05\0\0\0\x08", FlvError::HeaderLength),
        (b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x29\0\0\0\0\0\0\0\0\0\0", FlvError::Encrypted),
        (b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\0\x10\x01\0\0\0\0\0\0\0", FlvError::TagLength(4097)),
    ] {
        let mut reader = Reader::new(4096);
        reader.feed(bytes);
        assert_eq!(reader.next_tag(), Err(error));
        reader.feed(&file(&[]));
        assert_eq!(reader.next_tag(), Err(error));
    }
}

#[test]
fn extended_data_is_written_as_a_script_tag_and_other_types_are_refused() {
    let mut out = Vec::new();
    write_tag(&mut out, &tag(15, 5, b"\0\x02\0\x01a")).unwrap();
    assert_eq!(out, file(&[tag(18, 5, b"\x02\0\x01a")])[13..]);
    out.clear();
    assert_eq!(write_tag(&mut out, &tag(15, 5, b"\x01\x02")), Err(FlvWriteError::Kind(15)));
    assert_eq!(write_tag(&mut out, &tag(20, 5, b"")), Err(FlvWriteError::Kind(20)));
    let long = TcMessage { payload: vec![0; MAX_PAYLOAD + 1].into(), ..tag(9, 0, b"") };
    assert_eq!(write_tag(&mut out, &long), Err(FlvWriteError::Length(MAX_PAYLOAD + 1)));
    assert_eq!(out, b"");
}

/// As many cases as `PROPTEST_CASES` says; an nth of them where one costs more.
fn config(nth: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig {
        cases: usual.cases.div_ceil(nth),
        rng_seed: RngSeed::Fixed(0xf17),
        failure_persistence: None,
        ..usual
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn tags_survive_a_file(
        tags in prop::collection::vec(
            (prop::sample::select(&[8_u8, 9, 18]), any::<u32>(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
        piece in 1..100_usize,
    ) {
        let tags: Vec<_> = tags.iter().map(|(kind, time, payload)| tag(*kind, *time, payload)).collect();
        prop_assert_eq!(read(&mut Reader::default(), &file(&tags), piece).unwrap(), tags);
    }
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn no_bytes_make_the_reader_panic_and_pieces_do_not_matter(
        head in prop::sample::select(vec![&b""[..], b"FLV\x01", b"FLV\x01\x05\0\0\0\x09\0\0\0\0"]),
        tail in prop::collection::vec(prop_oneof![3 => 0..10_u8, 1 => any::<u8>()], 0..120),
        piece in 1..100_usize,
    ) {
        let bytes = [head, &tail].concat();
        let whole = read(&mut Reader::default(), &bytes, usize::MAX);
        prop_assert_eq!(read(&mut Reader::default(), &bytes, piece), whole);
    }
}
