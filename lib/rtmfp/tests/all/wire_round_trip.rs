//! Whatever is written reads back the same, and takes exactly the room announced.

use core::net::SocketAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use rtmfp::wire::{
    Address, Chunk, Chunks, CookieChange, DataFlags, FIHello, FlowOptions, HEADER_LEN, IHello, IIKeying,
    Item, Items, Mode, NextUserData, Origin, PacketFragment, PacketHeader, RHello, RIKeying, Reader,
    Redirect, UserData, field_len, kind, user_data_header_len, vlu, write_field, write_marker, write_option,
    write_startup_options, write_user_data_header,
};

/// Numbers of all magnitudes.
fn number() -> impl Strategy<Value = u64> {
    (0..=64u32, any::<u64>()).prop_map(|(bits, value)| value.checked_shr(64 - bits).unwrap_or(0))
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 100..300)]
}

fn address() -> impl Strategy<Value = Address> {
    let origin = prop_oneof![
        Just(Origin::Unknown),
        Just(Origin::Reported),
        Just(Origin::Observed),
        Just(Origin::Relayed)
    ];
    let addr = prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        any::<([u8; 16], u16)>().prop_map(SocketAddr::from)
    ];
    (origin, addr).prop_map(|(origin, addr)| Address { origin, addr })
}

fn flags() -> impl Strategy<Value = DataFlags> {
    any::<u8>().prop_map(DataFlags::from_byte)
}

fn options() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
    vec((number(), bytes()), 0..5)
}

fn encode(options: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, value) in options {
        write_option(*kind, value, &mut out);
    }
    out
}

/// Writes a chunk twice behind other bytes and reads it back.
fn assert_reads_back(chunk: Chunk<'_>) -> Result<(), TestCaseError> {
    let mut out = vec![0xaa];
    chunk.write(&mut out);
    prop_assert_eq!(out.len(), 1 + chunk.encoded_len());
    chunk.write(&mut out);
    out.extend_from_slice(&[0xff; 5]);
    let read: Vec<_> = Chunks::new(&out[1..]).map(|(kind, payload)| Chunk::parse(kind, payload)).collect();
    prop_assert_eq!(read, vec![Ok(chunk); 2]);
    Ok(())
}

proptest! {
    #[test]
    fn numbers(value in number(), extra in 0..4usize) {
        let mut out = vec![0x80; extra];
        vlu::write(value, &mut out);
        prop_assert_eq!(out.len(), extra + vlu::len(value));
        let mut reader = Reader::new(&out);
        prop_assert_eq!((reader.vlu(), reader.is_empty()), (Ok(value), true));
    }

    #[test]
    fn fields(field in bytes()) {
        let mut out = Vec::new();
        write_field(&field, &mut out);
        prop_assert_eq!(out.len(), field_len(field.len()));
        let mut reader = Reader::new(&out);
        prop_assert_eq!((reader.field(), reader.is_empty()), (Ok(&field[..]), true));
    }

    #[test]
    fn options_and_markers(options in options(), after in options()) {
        let mut out = encode(&options);
        write_marker(&mut out);
        out.extend(encode(&after));
        let expected = options.iter().map(Some).chain([None]).chain(after.iter().map(Some)).map(|option| {
            Ok(option.map_or(Item::Marker, |(kind, value)| Item::Option { kind: *kind, value }))
        });
        prop_assert!(Items::new(&out).eq(expected));
    }

    #[test]
    fn addresses(address in address()) {
        let mut out = Vec::new();
        address.write(&mut out);
        prop_assert_eq!(out.len(), address.encoded_len());
        let mut reader = Reader::new(&out);
        prop_assert_eq!((Address::read(&mut reader), reader.is_empty()), (Ok(address), true));
    }

    #[test]
    fn packet_headers(
        mode in prop_oneof![Just(Mode::Initiator), Just(Mode::Responder), Just(Mode::Startup)],
        (time_critical, time_critical_reverse) in any::<(bool, bool)>(),
        (timestamp, timestamp_echo) in any::<(Option<u16>, Option<u16>)>(),
        chunks in bytes(),
    ) {
        let header = PacketHeader { mode, time_critical, time_critical_reverse, timestamp, timestamp_echo };
        let mut out = Vec::new();
        header.write(&mut out);
        prop_assert_eq!(out.len(), header.encoded_len());
        out.extend_from_slice(&chunks);
        prop_assert_eq!(PacketHeader::parse(&out), Ok((header, &chunks[..])));
    }

    #[test]
    fn hellos(epd in bytes(), tag in bytes(), cookie in bytes(), rest in bytes(), reply in address()) {
        assert_reads_back(Chunk::IHello(IHello { epd: &epd, tag: &tag }))?;
        assert_reads_back(Chunk::FIHello(FIHello { epd: &epd, reply, tag: &tag }))?;
        assert_reads_back(Chunk::RHello(RHello { tag_echo: &tag, cookie: &cookie, certificate: &rest }))?;
        assert_reads_back(Chunk::CookieChange(CookieChange { old: &cookie, new: &rest }))?;
    }

    #[test]
    fn redirects(tag in bytes(), addresses in vec(address(), 0..30)) {
        let mut out = Vec::new();
        Redirect::write_to(&tag, &addresses, &mut out);
        let (kind, payload) = Chunks::new(&out).next().unwrap();
        prop_assert_eq!(HEADER_LEN + payload.len(), out.len());
        let Ok(chunk @ Chunk::Redirect(redirect)) = Chunk::parse(kind, payload) else {
            return Err(TestCaseError::fail("not a Redirect"));
        };
        prop_assert_eq!(redirect.tag_echo, &tag[..]);
        prop_assert_eq!(redirect.addresses().collect::<Vec<_>>(), addresses);
        assert_reads_back(chunk)?;
    }

    #[test]
    fn keyings(id in any::<u32>(), cookie in bytes(), cert in bytes(), component in bytes(), signature in bytes()) {
        let mut signed = Vec::new();
        IIKeying::write_parameters(id, &cookie, &cert, &component, &mut signed);
        let keying = IIKeying {
            session_id: id,
            cookie: &cookie,
            certificate: &cert,
            component: &component,
            signature: &signature,
            signed: &signed,
        };
        assert_reads_back(Chunk::IIKeying(keying))?;
        let (mut direct, mut through_the_chunk) = (Vec::new(), Vec::new());
        IIKeying::write_to(&signed, &signature, &mut direct);
        Chunk::IIKeying(keying).write(&mut through_the_chunk);
        prop_assert_eq!(&direct, &through_the_chunk);

        signed.clear();
        RIKeying::write_parameters(id, &component, &mut signed);
        let keying = RIKeying { session_id: id, component: &component, signature: &signature, signed: &signed };
        assert_reads_back(Chunk::RIKeying(keying))?;
        direct.clear();
        through_the_chunk.clear();
        RIKeying::write_to(&signed, &signature, &mut direct);
        Chunk::RIKeying(keying).write(&mut through_the_chunk);
        prop_assert_eq!(direct, through_the_chunk);
    }

    #[test]
    fn user_data(
        flags in flags(),
        (flow_id, sequence, offset) in (number(), number(), number()),
        options in proptest::option::of(options()),
        data in bytes(),
    ) {
        let options = options.map(|options| encode(&options));
        let options = options.as_deref();
        let fsn_offset = offset.min(sequence);
        let whole = UserData { flags, flow_id, sequence, fsn_offset, options, data: &data };
        assert_reads_back(Chunk::UserData(whole))?;
        assert_reads_back(Chunk::NextUserData(NextUserData { flags, options, data: &data }))?;

        // Written in place it is the same, but an empty list is not written.
        let mut in_place = Vec::new();
        let list = options.unwrap_or_default();
        let chunk = write_user_data_header(flags, flow_id, sequence, fsn_offset, list, &mut in_place);
        prop_assert_eq!(in_place.len(), user_data_header_len(flow_id, sequence, fsn_offset, list.len()));
        in_place.extend_from_slice(&data);
        chunk.finish(&mut in_place);
        let options = options.filter(|options| !options.is_empty());
        let mut through_the_chunk = Vec::new();
        Chunk::UserData(UserData { options, ..whole }).write(&mut through_the_chunk);
        prop_assert_eq!(in_place, through_the_chunk);
    }

    #[test]
    fn startup_options(metadata in bytes(), association in proptest::option::of(number())) {
        let mut out = Vec::new();
        write_startup_options(&metadata, association, &mut out);
        let expected = FlowOptions { metadata: Some(&metadata), association, unknown_mandatory: false };
        prop_assert_eq!(FlowOptions::parse(&out), Ok(expected));
    }

    #[test]
    fn acks(numbers in [number(), number(), number()], beyond in bytes()) {
        let mut payload = Vec::new();
        for number in numbers {
            vlu::write(number, &mut payload);
        }
        payload.extend_from_slice(&beyond);
        for kind in [kind::ACK_BITMAP, kind::ACK_RANGES] {
            let chunk = Chunk::parse(kind, &payload).unwrap();
            let (Chunk::AckBitmap(ack) | Chunk::AckRanges(ack)) = chunk else {
                return Err(TestCaseError::fail("not an acknowledgement"));
            };
            prop_assert_eq!([ack.flow_id, ack.window_blocks, ack.cumulative], numbers);
            prop_assert_eq!(chunk.kind(), kind);
            assert_reads_back(chunk)?;
        }
    }

    #[test]
    fn the_other_chunks(
        message in bytes(),
        data in vec(any::<u8>(), 1..50),
        (more, count) in any::<(bool, u8)>(),
        (a, b) in (number(), number()),
        unknown in prop_oneof![Just(0x00u8), Just(0xff), 0x80..0xecu8],
    ) {
        for chunk in [
            Chunk::PacketFragment(PacketFragment { more, packet_id: a, index: b, data: &data }),
            Chunk::Ping(&message),
            Chunk::PingReply(&message),
            Chunk::BufferProbe { flow_id: a },
            Chunk::FlowException { flow_id: a, code: b },
            Chunk::Close,
            Chunk::CloseAck,
            Chunk::EcnReport { count },
            Chunk::Unknown(unknown),
        ] {
            assert_reads_back(chunk)?;
        }
    }
}
