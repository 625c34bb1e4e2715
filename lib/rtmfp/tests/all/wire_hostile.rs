//! Bytes of any kind are refused or understood, never more than that.

use proptest::collection::vec;
use proptest::prelude::*;
use rtmfp::wire::{
    Address, Chunk, Chunks, FlowOptions, HEADER_LEN, Items, PacketHeader, Reader, kind, unscramble, vlu,
};

const KINDS: [u8; 21] = [
    kind::PING,
    kind::CLOSE,
    kind::FIHELLO,
    kind::USER_DATA,
    kind::NEXT_USER_DATA,
    kind::BUFFER_PROBE,
    kind::IHELLO,
    kind::IIKEYING,
    kind::PING_REPLY,
    kind::CLOSE_ACK,
    kind::ACK_BITMAP,
    kind::ACK_RANGES,
    kind::FLOW_EXCEPTION,
    kind::RHELLO,
    kind::REDIRECT,
    kind::RIKEYING,
    kind::COOKIE_CHANGE,
    kind::PACKET_FRAGMENT,
    kind::ECN_REPORT,
    0x00,
    0xff,
];

/// Random bytes, many of them small, so that lengths and numbers often fit.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => 0..8u8, 1 => Just(0x80u8), 1 => Just(0xffu8), 2 => any::<u8>()];
    vec(byte, 0..120)
}

/// Reads all there is to read in a payload; what is understood has a stable canonical form, no longer than it was.
fn examine(kind: u8, payload: &[u8]) -> Result<(), TestCaseError> {
    let Ok(chunk) = Chunk::parse(kind, payload) else { return Ok(()) };
    prop_assert!(chunk.encoded_len() <= HEADER_LEN + payload.len());
    let mut out = Vec::new();
    chunk.write(&mut out);
    prop_assert_eq!(out.len(), chunk.encoded_len());
    let (again, canonical) = Chunks::new(&out).next().unwrap();
    let reread = Chunk::parse(again, canonical);
    match chunk {
        Chunk::AckBitmap(ack) | Chunk::AckRanges(ack) => {
            let mut last = Some(ack.cumulative);
            for range in ack.ranges() {
                prop_assert!(
                    last.is_some_and(|last| last < *range.start()),
                    "ascending, beyond the cumulative ack"
                );
                prop_assert!(range.start() <= range.end());
                last = (*range.end() < u64::MAX).then(|| range.end() + 1);
            }
            prop_assert!(ack.ranges().count() <= payload.len() * 4);
        }
        Chunk::UserData(data) => {
            prop_assert!(data.fsn_offset <= data.sequence);
            prop_assert_eq!(data.options.is_some(), payload[0] & 0x80 != 0);
            let _ = data.options.map(FlowOptions::parse);
        }
        Chunk::NextUserData(data) => {
            let _ = data.options.map(FlowOptions::parse);
        }
        Chunk::Redirect(redirect) => prop_assert!(redirect.addresses().count() <= payload.len() / 7),
        // What is signed is what was sent, even if its lengths have longer forms than necessary.
        Chunk::IIKeying(keying) => prop_assert_eq!(&[keying.signed, keying.signature].concat(), payload),
        Chunk::RIKeying(keying) => prop_assert_eq!(&[keying.signed, keying.signature].concat(), payload),
        _ => {}
    }
    prop_assert_eq!(reread, Ok(chunk));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn payloads_of_noise(payload in noise(), other in any::<u8>()) {
        for kind in KINDS.into_iter().chain([other]) {
            examine(kind, &payload)?;
        }
    }

    #[test]
    fn packets_of_noise(packet in noise()) {
        let _ = unscramble(&packet);
        let Ok((header, chunks)) = PacketHeader::parse(&packet) else { return Ok(()) };
        prop_assert_eq!(header.encoded_len() + chunks.len(), packet.len());
        let mut used = 0;
        for (kind, payload) in Chunks::new(chunks) {
            used += HEADER_LEN + payload.len();
            examine(kind, payload)?;
        }
        prop_assert!(used <= chunks.len());
    }

    #[test]
    fn damaged_packets(
        kinds in vec((proptest::sample::select(KINDS.to_vec()), noise()), 1..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut packet = vec![0x8d, 0, 1, 0, 2];
        for (kind, payload) in kinds {
            packet.extend_from_slice(&[kind, 0, payload.len() as u8]);
            packet.extend_from_slice(&payload);
        }
        for (at, byte) in damage {
            *at.get_mut(&mut packet) = byte;
        }
        packet.truncate(cut.index(packet.len()) + 1);
        let Ok((_, chunks)) = PacketHeader::parse(&packet) else { return Ok(()) };
        for (kind, payload) in Chunks::new(chunks) {
            examine(kind, payload)?;
        }
    }

    #[test]
    fn elements_of_noise(bytes in noise()) {
        let mut items = Items::new(&bytes);
        let mut before = bytes.len();
        while let Some(item) = items.next() {
            let after = items.rest().len();
            prop_assert_eq!(after < before, item.is_ok(), "a good element moves on, a bad one does not");
            before = after;
        }
        prop_assert!(items.next().is_none());
        let _ = FlowOptions::parse(&bytes);

        let mut reader = Reader::new(&bytes);
        if let Ok(value) = reader.vlu() {
            prop_assert!(value == u64::MAX || vlu::len(value) <= bytes.len() - reader.remaining());
        }
        let mut reader = Reader::new(&bytes);
        if let Ok(address) = Address::read(&mut reader) {
            prop_assert_eq!(address.encoded_len(), bytes.len() - reader.remaining());
        }
        let mut reader = Reader::new(&bytes);
        if let Ok(field) = reader.field() {
            prop_assert!(field.len() + reader.remaining() < bytes.len());
        }
    }
}
