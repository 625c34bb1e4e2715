//! The syntax of RTMFP (`rtmfp::wire`), and the metadata of its flows (`rtmfp-netconn`).

use rtmfp::wire::{
    Ack, Address, Chunk, Chunks, FlowOptions, HEADER_LEN, Item, Items, PacketHeader, Reader, kind, scramble,
    unscramble, vlu, write_ack_ranges, write_field, write_marker, write_option, write_startup_options,
    write_user_data_header,
};
use rtmfp_netconn::FlowMetadata;

use crate::Tape;

/// Numbers, fields, options and Markers.
pub fn vlu_options(data: &[u8]) {
    let mut reader = Reader::new(data);
    let number = reader.vlu();
    assert_eq!(number.ok(), naive_vlu(data).map(|(value, _)| value));
    if let Ok(value) = number {
        assert_eq!(data.len() - reader.remaining(), naive_vlu(data).map_or(0, |(_, len)| len));
        let mut out = Vec::new();
        vlu::write(value, &mut out);
        assert_eq!(out.len(), vlu::len(value));
        assert_eq!(Reader::new(&out).vlu(), Ok(value));
    }
    let mut reader = Reader::new(data);
    if let Ok(field) = reader.field() {
        let mut out = Vec::new();
        write_field(field, &mut out);
        assert_eq!(Reader::new(&out).field(), Ok(field));
        assert!(field.len() + reader.remaining() < data.len());
    }

    let mut items = Items::new(data);
    let (mut out, mut read) = (Vec::new(), Vec::new());
    while let Some(item) = items.next() {
        let Ok(item) = item else {
            assert!(items.next().is_none(), "nothing follows a bad element");
            break;
        };
        match item {
            Item::Marker => write_marker(&mut out),
            Item::Option { kind, value } => write_option(kind, value, &mut out),
        }
        read.push(Ok(item));
    }
    assert!(Items::new(&out).eq(read), "what was understood reads back");
    assert!(out.len() <= data.len(), "the canonical form is the shortest");
}

/// A number and how many bytes it has, the plain way.
fn naive_vlu(bytes: &[u8]) -> Option<(u64, usize)> {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let value = bytes[..len]
        .iter()
        .fold(0_u128, |value, byte| (value << 7 | u128::from(byte & 0x7f)).min(u128::from(u64::MAX) << 7));
    Some((u64::try_from(value).unwrap_or(u64::MAX), len))
}

/// A clear packet: header, chunks, padding; and the session id in front of it.
pub fn packet(data: &[u8]) {
    let mut datagram = data.to_vec();
    if let Some(id) = unscramble(data) {
        scramble(id, &mut datagram);
        assert_eq!(datagram, data, "scrambling is undone by scrambling");
    }
    let Ok((header, chunks)) = PacketHeader::parse(data) else { return };
    assert_eq!(header.encoded_len() + chunks.len(), data.len());
    let mut out = Vec::new();
    header.write(&mut out);
    assert_eq!(out.len(), header.encoded_len());
    let mut used = 0;
    for (kind, payload) in Chunks::new(chunks) {
        used += HEADER_LEN + payload.len();
        chunk(kind, payload);
        if let Ok(chunk) = Chunk::parse(kind, payload) {
            chunk.write(&mut out);
        }
    }
    assert!(used <= chunks.len());

    // The packet of what was understood is understood the same.
    let (again, rest) = PacketHeader::parse(&out).expect("a header that was written");
    assert_eq!(again, header);
    let understood =
        |chunks| Chunks::new(chunks).filter_map(|(kind, payload)| Chunk::parse(kind, payload).ok());
    assert!(understood(rest).eq(understood(chunks)));
}

/// A hello, Redirect or Cookie Change; the first byte says which.
pub fn hello(data: &[u8]) {
    one_of(&[kind::IHELLO, kind::FIHELLO, kind::RHELLO, kind::REDIRECT, kind::COOKIE_CHANGE], data);
}

/// A fragment of a packet.
pub fn fragment(data: &[u8]) {
    chunk(kind::PACKET_FRAGMENT, data);
}

/// Either keying chunk; the first byte says which.
pub fn keying(data: &[u8]) {
    one_of(&[kind::IIKEYING, kind::RIKEYING], data);
}

/// User Data or Next User Data; the first byte says which.
pub fn user_data(data: &[u8]) {
    one_of(&[kind::USER_DATA, kind::NEXT_USER_DATA], data);
}

/// Either acknowledgement; the first byte says which.
pub fn acks(data: &[u8]) {
    one_of(&[kind::ACK_BITMAP, kind::ACK_RANGES], data);
}

fn one_of(kinds: &[u8], data: &[u8]) {
    let mut tape = Tape::new(data);
    let kind = tape.pick(kinds);
    chunk(kind, tape.rest());
}

/// The options of a flow.
pub fn flow_options(data: &[u8]) {
    let Ok(options) = FlowOptions::parse(data) else { return };
    let Some(metadata) = options.metadata else { return };
    let mut out = Vec::new();
    write_startup_options(metadata, options.association, &mut out);
    let canonical = FlowOptions { unknown_mandatory: false, ..options };
    assert_eq!(FlowOptions::parse(&out), Ok(canonical));
}

/// The metadata of a flow that carries messages.
pub fn flow_metadata(data: &[u8]) {
    let Some(metadata) = FlowMetadata::parse(data) else { return };
    let canonical = metadata.encode();
    assert!(canonical.len() <= data.len());
    assert_eq!(FlowMetadata::parse(&canonical), Some(metadata));
}

/// An address.
pub fn address(data: &[u8]) {
    let mut reader = Reader::new(data);
    let Ok(address) = Address::read(&mut reader) else {
        assert_eq!(reader.remaining(), data.len(), "a failed read does not move");
        return;
    };
    assert_eq!(address.encoded_len(), data.len() - reader.remaining());
    let mut out = Vec::new();
    address.write(&mut out);
    assert_eq!(out.len(), address.encoded_len());
    assert_eq!(out[1..], data[1..out.len()], "all but the reserved bits is kept");
    assert_eq!(Address::read(&mut Reader::new(&out)), Ok(address));
}

/// The payload of any chunk: what is understood has a stable canonical form, no longer than it was.
fn chunk(kind: u8, payload: &[u8]) {
    let Ok(chunk) = Chunk::parse(kind, payload) else { return };
    assert!(chunk.encoded_len() <= HEADER_LEN + payload.len());
    let mut out = Vec::new();
    chunk.write(&mut out);
    if payload.len() > usize::from(u16::MAX) {
        return;
    }
    assert_eq!(out.len(), chunk.encoded_len());
    let (again, canonical) = Chunks::new(&out).next().expect("a chunk that was written");
    assert_eq!(Chunk::parse(again, canonical), Ok(chunk));

    match chunk {
        Chunk::AckBitmap(ack) => ack_ranges(&ack, naive_bitmap(payload)),
        Chunk::AckRanges(ack) => ack_ranges(&ack, naive_ranges(payload)),
        Chunk::UserData(data) => {
            assert!(data.fsn_offset <= data.sequence);
            assert_eq!(data.forward_sequence(), data.sequence - data.fsn_offset);
            if let Some(list) = data.options {
                flow_options(list);
            }
            let options = data.options.filter(|options| !options.is_empty());
            let mut in_place = Vec::new();
            let list = options.unwrap_or_default();
            let open = write_user_data_header(
                data.flags,
                data.flow_id,
                data.sequence,
                data.fsn_offset,
                list,
                &mut in_place,
            );
            in_place.extend_from_slice(data.data);
            open.finish(&mut in_place);
            let mut through_the_chunk = Vec::new();
            Chunk::UserData(rtmfp::wire::UserData { options, ..data }).write(&mut through_the_chunk);
            assert_eq!(in_place, through_the_chunk);
        }
        Chunk::NextUserData(data) => data.options.into_iter().for_each(flow_options),
        Chunk::Redirect(redirect) => {
            let addresses: Vec<Address> = redirect.addresses().collect();
            let mut canonical = Vec::new();
            rtmfp::wire::Redirect::write_to(redirect.tag_echo, &addresses, &mut canonical);
            let (_, payload) = Chunks::new(&canonical).next().expect("a chunk that was written");
            let Ok(Chunk::Redirect(again)) = Chunk::parse(kind::REDIRECT, payload) else {
                panic!("not a Redirect any more");
            };
            assert!(again.addresses().eq(addresses));
        }
        Chunk::IIKeying(keying) => assert_eq!([keying.signed, keying.signature].concat(), payload),
        Chunk::RIKeying(keying) => assert_eq!([keying.signed, keying.signature].concat(), payload),
        _ => {}
    }
}

/// The ranges of an acknowledgement are the expected ones; written as a Range Ack they are the same again.
fn ack_ranges(ack: &Ack<'_>, expected: Vec<(u64, u64)>) {
    let ranges: Vec<(u64, u64)> = ack.ranges().map(core::ops::RangeInclusive::into_inner).collect();
    assert_eq!(ranges, expected);
    let mut out = Vec::new();
    let Some(written) =
        write_ack_ranges(ack.flow_id, ack.window_blocks, ack.cumulative, ack.ranges(), 1200, &mut out)
    else {
        panic!("three numbers always fit");
    };
    assert!(out.len() <= 1200);
    let (_, payload) = Chunks::new(&out).next().expect("a chunk that was written");
    let Ok(Chunk::AckRanges(again)) = Chunk::parse(kind::ACK_RANGES, payload) else {
        panic!("not a Range Ack any more");
    };
    assert!(again.ranges().eq(ack.ranges().take(written)));
}

/// The three numbers in front of what is acknowledged beyond the cumulative one: the last, and what follows.
fn beyond(payload: &[u8]) -> (u64, &[u8]) {
    let mut reader = Reader::new(payload);
    let numbers: Vec<u64> = (0..3).map_while(|_| reader.vlu().ok()).collect();
    (numbers[2], reader.rest())
}

/// Bit by bit.
fn naive_bitmap(payload: &[u8]) -> Vec<(u64, u64)> {
    let (cumulative, bits) = beyond(payload);
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for bit in 0..bits.len() as u64 * 8 {
        if bits[(bit / 8) as usize] >> (bit % 8) & 1 == 0 {
            continue;
        }
        let Some(number) = cumulative.checked_add(2).and_then(|first| first.checked_add(bit)) else { break };
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == number => last.1 = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// With numbers that are large enough for any sum.
fn naive_ranges(payload: &[u8]) -> Vec<(u64, u64)> {
    let (cumulative, pairs) = beyond(payload);
    let mut reader = Reader::new(pairs);
    let mut cursor = u128::from(cumulative);
    let mut ranges = Vec::new();
    while let (Ok(holes), Ok(received)) = (reader.vlu(), reader.vlu()) {
        let from = cursor + 2 + u128::from(holes);
        let Ok(first) = u64::try_from(from) else { break };
        let last = u64::try_from(from + u128::from(received)).unwrap_or(u64::MAX);
        ranges.push((first, last));
        cursor = u128::from(last);
    }
    ranges
}
