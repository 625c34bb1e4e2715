//! Packets as another implementation sends them, byte for byte, and the examples of RFC 7016.

use rtmfp::wire::{
    Address, Chunk, Chunks, DataFlags, FIHello, FlowOptions, Fragment, IHello, IIKeying, Mode, NextUserData,
    Origin, PacketHeader, RHello, RIKeying, UserData,
};

const TAG: &[u8; 16] = b"0123456789abcdef";
const COOKIE: [u8; 65] = [0xc0; 65];
const WHOLE: DataFlags = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };

/// Bytes from their hexadecimal digits; blanks are for the reader.
fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.chars().filter_map(|c| Some(c.to_digit(16)? as u8)).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn header(mode: Mode, timestamp: u16, timestamp_echo: Option<u16>) -> PacketHeader {
    let timestamp = Some(timestamp);
    PacketHeader { mode, time_critical: false, time_critical_reverse: false, timestamp, timestamp_echo }
}

/// The packet reads as this header and these chunks, and they are written as the packet.
#[track_caller]
fn assert_packet(packet: &[u8], header: PacketHeader, chunks: &[Chunk<'_>]) {
    let (read, rest) = PacketHeader::parse(packet).unwrap();
    assert_eq!(read, header);
    let read: Vec<_> =
        Chunks::new(rest).map(|(kind, payload)| Chunk::parse(kind, payload).unwrap()).collect();
    assert_eq!(read, chunks);
    let mut out = Vec::new();
    header.write(&mut out);
    for chunk in chunks {
        chunk.write(&mut out);
    }
    assert_eq!(out, packet);
}

#[test]
fn initiator_hello() {
    let packet = [&hex("0b 007d 30 0020 0f 0e0a 72746d66703a2f2f682f617070")[..], TAG].concat();
    let epd = hex("0e0a 72746d66703a2f2f682f617070");
    assert_packet(
        &packet,
        header(Mode::Startup, 0x7d, None),
        &[Chunk::IHello(IHello { epd: &epd, tag: TAG })],
    );
}

#[test]
fn responder_hello() {
    let packet = [&hex("0b 0082 70 00a5 10")[..], TAG, &hex("41"), &COOKIE, &[0xce; 82]].concat();
    let hello = RHello { tag_echo: TAG, cookie: &COOKIE, certificate: &[0xce; 82] };
    assert_packet(&packet, header(Mode::Startup, 0x82, None), &[Chunk::RHello(hello)]);
}

#[test]
fn initiator_keying() {
    let component = [&hex("02 1d 10  41 0e")[..], &[0x7a; 64], &hex("03 1a 07 10  02 1e 07")].concat();
    let certificate = [0xce; 908];
    let signed =
        [&hex("02000000 41")[..], &COOKIE, &hex("870c"), &certificate, &hex("4c"), &component].concat();
    let packet = [&hex("0b 0087 38 0422")[..], &signed, &hex("58")].concat();
    let keying = IIKeying {
        session_id: 0x0200_0000,
        cookie: &COOKIE,
        certificate: &certificate,
        component: &component,
        signature: b"X",
        signed: &signed,
    };
    assert_packet(&packet, header(Mode::Startup, 0x87, None), &[Chunk::IIKeying(keying)]);

    let mut parameters = Vec::new();
    IIKeying::write_parameters(0x0200_0000, &COOKIE, &certificate, &component, &mut parameters);
    assert_eq!(parameters, signed);
}

#[test]
fn responder_keying() {
    let component = [&hex("02 1e 07  03 1a 07 10  8402 0d 10")[..], &[0x6b; 512]].concat();
    let signed = [&hex("02000000 840b")[..], &component].concat();
    let packet = [&hex("0b 008c 78 0212")[..], &signed, &hex("58")].concat();
    let keying =
        RIKeying { session_id: 0x0200_0000, component: &component, signature: b"X", signed: &signed };
    assert_packet(&packet, header(Mode::Startup, 0x8c, None), &[Chunk::RIKeying(keying)]);

    let mut parameters = Vec::new();
    RIKeying::write_parameters(0x0200_0000, &component, &mut parameters);
    assert_eq!(parameters, signed);
}

#[test]
fn first_data_of_a_flow() {
    let packet = hex("8d 0091 008c 10 0010 80 02 01 01 05 00 54430400 00 68656c6c6f");
    let options = hex("05 00 54430400");
    let data = UserData {
        flags: WHOLE,
        flow_id: 2,
        sequence: 1,
        fsn_offset: 1,
        options: Some(&options),
        data: b"hello",
    };
    let header = PacketHeader { time_critical: true, ..header(Mode::Initiator, 0x91, Some(0x8c)) };
    assert_packet(&packet, header, &[Chunk::UserData(data)]);
    let metadata = Some(&[0x54, 0x43, 0x04, 0x00][..]);
    let expected = FlowOptions { metadata, association: None, unknown_mandatory: false };
    assert_eq!(FlowOptions::parse(&options), Ok(expected));
}

#[test]
fn later_data_and_the_end_of_a_flow() {
    let time_critical = |timestamp, echo| PacketHeader {
        time_critical: true,
        ..header(Mode::Initiator, timestamp, Some(echo))
    };
    let world =
        UserData { flags: WHOLE, flow_id: 2, sequence: 2, fsn_offset: 1, options: None, data: b"world" };
    let packet = hex("8d 02ee 02e8 10 0009 00 02 02 01 776f726c64");
    assert_packet(&packet, time_critical(0x2ee, 0x2e8), &[Chunk::UserData(world)]);

    let flags = DataFlags { abandoned: true, last: true, ..WHOLE };
    let end = UserData { flags, flow_id: 2, sequence: 3, fsn_offset: 0, options: None, data: &[] };
    let packet = hex("8d 036b 0365 10 0004 03 02 03 00");
    assert_packet(&packet, time_critical(0x36b, 0x365), &[Chunk::UserData(end)]);
}

#[test]
fn acknowledgement_with_ecn_report() {
    for (packet, timestamp, echo, cumulative) in [
        ("0e 0096 0091 ec 0001 00 51 0004 02 8800 01", 0x96, 0x91, 1),
        ("0e 0325 0320 ec 0001 00 51 0004 02 8800 02", 0x325, 0x320, 2),
    ] {
        let packet = hex(packet);
        let acked = Chunk::parse(0x51, &packet[12..]).unwrap();
        let Chunk::AckRanges(ack) = acked else { panic!("{acked:?}") };
        assert_eq!((ack.flow_id, ack.window_blocks, ack.cumulative), (2, 1024, cumulative));
        assert_eq!(ack.ranges().next(), None);
        let header = header(Mode::Responder, timestamp, Some(echo));
        assert_packet(&packet, header, &[Chunk::EcnReport { count: 0 }, acked]);
    }
}

#[test]
fn close_and_its_acknowledgement() {
    let initiator = header(Mode::Initiator, 0x465, Some(0x460));
    assert_packet(&hex("0d 0465 0460 0c 0000"), initiator, &[Chunk::Close]);
    let responder = header(Mode::Responder, 0x46a, Some(0x465));
    assert_packet(&hex("0e 046a 0465 4c 0000"), responder, &[Chunk::CloseAck]);
}

/// Chunks without a packet around them.
#[track_caller]
fn assert_chunks(bytes: &str, chunks: &[Chunk<'_>]) {
    let packet = [&hex("02")[..], &hex(bytes)].concat();
    let header = PacketHeader { timestamp: None, ..header(Mode::Responder, 0, None) };
    assert_packet(&packet, header, chunks);
}

#[test]
fn rejection_of_a_flow() {
    let acked = Chunk::parse(0x51, &[0x02, 0x40, 0x01]).unwrap();
    let exception = Chunk::FlowException { flow_id: 2, code: 0 };
    assert_chunks(
        "ec 0001 00 5e 0002 02 00 51 0003 02 40 01",
        &[Chunk::EcnReport { count: 0 }, exception, acked],
    );
}

#[test]
fn probes_and_pings() {
    let closed_window = Chunk::parse(0x51, &[0x02, 0x00, 0x01]).unwrap();
    assert_chunks("51 0003 02 00 01 18 0001 02", &[closed_window, Chunk::BufferProbe { flow_id: 2 }]);
    assert_chunks("01 0000 41 0000", &[Chunk::Ping(&[]), Chunk::PingReply(&[])]);
    let mobility = [&hex("4d 01")[..], &[0x3c; 32]].concat();
    let ping = Chunk::Ping(&mobility);
    assert_chunks(&format!("01 0022 4d 01 {}", "3c".repeat(32)), &[ping]);
}

#[test]
fn forwarded_hello() {
    let epd = hex("070a72746d66703a");
    let reply = Address { origin: Origin::Unknown, addr: "127.0.0.1:44934".parse().unwrap() };
    let tag: String = TAG.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_chunks(
        &format!("0f 0020 08 070a72746d66703a 00 7f000001 af86 {tag}"),
        &[Chunk::FIHello(FIHello { epd: &epd, reply, tag: TAG })],
    );
}

#[test]
fn options_of_a_return_flow() {
    let options = hex(&format!("26 00 {} 02 0a 02", "6d".repeat(37)));
    let parsed = FlowOptions::parse(&options).unwrap();
    assert_eq!((parsed.metadata.map(<[u8]>::len), parsed.association), (Some(37), Some(2)));
}

#[test]
fn three_messages_in_a_packet() {
    let first =
        UserData { flags: WHOLE, flow_id: 2, sequence: 5, fsn_offset: 3, options: None, data: &[0, 1, 2] };
    assert_eq!(first.forward_sequence(), 2);
    let next = |data| Chunk::NextUserData(NextUserData { flags: WHOLE, options: None, data });
    assert_chunks(
        "10 0007 00 02 05 03 000102 11 0004 00 030405 11 0004 00 060708",
        &[Chunk::UserData(first), next(&[3, 4, 5]), next(&[6, 7, 8])],
    );
}
