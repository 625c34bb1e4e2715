//! Messages in files and in each other, and addresses of streams (`rtmfp-media`).

use rtmfp_media::aggregate::Parts;
use rtmfp_media::flv::{self, FileHeader, FlvError};
use rtmfp_media::message::{TcMessage, kind};
use rtmfp_media::uri::StreamUri;

use crate::{Dice, Tape};

/// The payload of an aggregate message, behind its time and the number of parts that are allowed.
pub fn aggregate(data: &[u8]) {
    let mut tape = Tape::new(data);
    let (timestamp, limit) = (tape.u32(), usize::from(tape.u8()));
    let payload = tape.rest();
    let message = |payload: Vec<u8>| TcMessage {
        kind: kind::AGGREGATE,
        timestamp,
        stream_id: 7,
        payload: payload.into(),
    };
    let aggregate = message(payload.to_vec());
    let parts: Vec<_> = Parts::of(&aggregate, limit).expect("an aggregate").collect();
    assert!(parts.iter().rev().skip(1).all(Result::is_ok), "an error is the last");
    let good: Vec<TcMessage> = parts.into_iter().filter_map(Result::ok).collect();
    assert!(good.len() <= limit);
    assert!(good.iter().map(|part| part.payload.len() + 11).sum::<usize>() <= payload.len());
    assert!(good.first().is_none_or(|first| first.timestamp == timestamp));
    assert!(good.iter().all(|part| part.stream_id == 7 && part.kind != kind::AGGREGATE));

    let mut again = Vec::new();
    for part in &good {
        let [_, length @ ..] = (part.payload.len() as u32).to_be_bytes();
        let [high, low @ ..] = part.timestamp.to_be_bytes();
        again.push(part.kind);
        again.extend(length);
        again.extend(low);
        again.extend([high, 0, 0, 0]);
        again.extend_from_slice(&part.payload);
        again.extend([0; 4]);
    }
    let again: Result<Vec<TcMessage>, _> = Parts::of(&message(again), limit).expect("an aggregate").collect();
    assert_eq!(again, Ok(good));
}

/// An FLV file, read whole and in pieces.
pub fn flv(data: &[u8]) {
    let mut tape = Tape::new(data);
    let mut dice = Dice::new(tape.u8().into());
    let max_tag = usize::from(tape.u16());
    let file = tape.rest();

    let mut reader = flv::Reader::new(max_tag);
    let whole = read(&mut reader, [file].into_iter());
    let mut in_pieces = flv::Reader::new(max_tag);
    let mut rest = file;
    let pieces = core::iter::from_fn(|| {
        let (piece, after) = rest.split_at(rest.len().min(1 + dice.below(20)));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    assert_eq!(read(&mut in_pieces, pieces), whole);
    assert_eq!(in_pieces.header(), reader.header());
    assert_eq!(in_pieces.is_between_tags(), reader.is_between_tags());

    let (tags, _) = whole;
    assert!(tags.iter().map(|tag| tag.payload.len() + 11).sum::<usize>() <= file.len());
    let mut out = Vec::new();
    flv::write_header(&mut out, reader.header().unwrap_or(FileHeader { audio: true, video: true }));
    let written: Vec<TcMessage> =
        tags.into_iter().filter(|tag| flv::write_tag(&mut out, tag).is_ok()).collect();
    let mut reader = flv::Reader::default();
    let (again, error) = read(&mut reader, [&out[..]].into_iter());
    assert_eq!(error, None);
    assert!(reader.is_between_tags());
    assert_eq!(again.len(), written.len());
    for (again, written) in again.iter().zip(&written) {
        assert_eq!(again.timestamp, written.timestamp);
        assert!(written.payload.ends_with(&again.payload), "extended data loses its format byte");
    }
}

fn read<'a>(
    reader: &mut flv::Reader,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<TcMessage>, Option<FlvError>) {
    let mut tags = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.next_tag() {
                Ok(Some(tag)) => tags.push(tag),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next_tag(), Err(error), "an error is final");
                    return (tags, Some(error));
                }
            }
        }
    }
    (tags, None)
}

/// The address of a stream.
pub fn uri(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let Ok(uri) = text.parse::<StreamUri>() else { return };
    assert!(!uri.scheme.is_empty() && uri.scheme == uri.scheme.to_ascii_lowercase());
    let _ = format!("{uri:?}");
    let tc_url = uri.tc_url();
    let again: StreamUri = tc_url.parse().expect("what connect says is an address");
    assert_eq!((&again.scheme, &again.host), (&uri.scheme, &uri.host));
    assert_eq!((again.port, again.effective_port()), (uri.port, uri.effective_port()));
    assert!(again.arguments.is_empty());
    // A slash in the application moves its last part to the stream, as the plain form says.
    assert!(again.tc_url().len() <= tc_url.len());
}
