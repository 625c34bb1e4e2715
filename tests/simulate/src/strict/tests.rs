//! The strict peers themselves: they compute what others compute, and refuse what they are to refuse.

use std::net::SocketAddr;

use rtmfp_base::Time;
use rtmfp_netsim::{Dice, for_each_seed};
use sha2::{Digest, Sha256};

use super::client::Offer;
use super::client::startup::{Startup, offered};
use super::code::{self, Cipher, Pair, chunk, put_field, put_vlu};
use super::flows::{Flow, Writer};
use crate::legacy;

/// Both session ids.
const SESSION: u32 = 0x0200_0000;
const P1: &str = "8d0090008c100010800201010500544304000068656c6c6f";

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|at| first + at as u8)
}

/// The key pairs of the client, of the server, and of the server with a public key of 127 bytes.
fn pairs() -> [Pair; 3] {
    let mut short = from::<28>(0xc0);
    short[25..].copy_from_slice(&[0x00, 0x12, 0x5b]);
    [Pair::of(&from(0x80)), Pair::of(&from(0xc0)), Pair::of(&short)]
}

/// The packet p1 of a session.
fn p1(secret: &[u8], initiator: &[u8], responder: &[u8]) -> String {
    let (send, _) = code::keys(secret, initiator, responder);
    hex(&Cipher::new(&send).seal(SESSION, &unhex(P1)))
}

fn rikeying(component: &[u8]) -> Vec<u8> {
    let mut content = SESSION.to_be_bytes().to_vec();
    put_field(component, &mut content);
    content.push(0x58);
    Cipher::of_startup().seal(SESSION, &[&[0x0b, 0, 0x8c][..], &chunk(0x78, &content)].concat())
}

/// A client that is to be answered.
fn keying_client(offer: Offer) -> Startup {
    let [client, ..] = pairs();
    let server = SocketAddr::from(([192, 0, 2, 2], 1935));
    let mut startup = Startup::of(offer, client, &from(0x80), from(0), server, SESSION);
    let hello = [&[16][..], &from::<16>(0), &[64], &[7; 64], &[1, 0x0a]].concat();
    let hello = Cipher::of_startup().seal(0, &[&[0x0b, 0, 0x82][..], &chunk(0x70, &hello)].concat());
    startup.receive(Time::ZERO, server, &hello);
    startup
}

#[test]
fn the_least_answer_is_that_of_the_vectors() {
    let [client, server, _] = pairs();
    let (certificate, component) = offered(Offer::Flash, &client, &from(0x80));
    assert_eq!(
        hex(&Sha256::digest(&certificate)),
        "8ea944e7f36d660001d72380cf82c44154e1f8659c9f2a11f35e4b3755ce281a"
    );
    assert_eq!((certificate.len(), component.len()), (132, 76));
    let answer = [&unhex("031a0000021e0081020d02")[..], &server.public].concat();
    let secret = client.agree(&server.public).expect("a secret");
    assert_eq!(Some(&secret), server.agree(&client.public).as_ref());
    assert_eq!(
        p1(&secret, &component, &answer),
        "98069d52dcd8002646de9d7466f3b3ef681a277a3115eb112cb931dd711065addfba4bc7"
    );
    let rikeying = rikeying(&answer);
    assert_eq!(
        hex(&Sha256::digest(&rikeying)),
        "7231280ca09614929a7eeb3655f020e3137beec40c30de3e3334a2f926347a6d"
    );
    assert!(keying_client(Offer::Flash).answer(&rikeying).is_some());
}

#[test]
fn ephemeral_keys_and_a_short_secret_are_those_of_the_vectors() {
    let [client, _, server] = pairs();
    let (certificate, component) = offered(Offer::Ephemeral, &client, &from(0x20));
    assert_eq!(
        hex(&Sha256::digest(&certificate)),
        "03ba77d652c99fce62431614a79892f145cd828b546bd1d2c6c033798173ba53"
    );
    let answer = [&unhex("021e02031a021081010d02")[..], &server.public].concat();
    let secret = client.agree(&server.public).expect("a secret");
    assert_eq!((server.public.len(), secret.len()), (127, 127));
    let packet = "deef0bde5788d93f8b67d2e1f49d65d6b5f3577ed9c0a986d8d4a4c8d79541c59b89be3c";
    assert_eq!(p1(&secret, &component, &answer), packet);
    assert_eq!(
        hex(&Sha256::digest(rikeying(&answer))),
        "58354ce33decae9963757e52270b0077ab4b29796c8df99a7f3c4d173f2d7681"
    );
}

#[test]
fn two_static_ends_get_the_keys_of_the_vectors() {
    let [client, _, server] = pairs();
    let component = [&unhex("021d02410e")[..], &from::<64>(0x80), &unhex("031a0710021e07")].concat();
    let answer = [&unhex("021e07031a0710410e")[..], &from::<64>(0xa0)].concat();
    let secret = client.agree(&server.public).expect("a secret");
    let (send, receive) = code::keys(&secret, &component, &answer);
    assert_eq!(hex(&send), "2d5088787ccf7a9bf55038eca420bbd4");
    assert_eq!(hex(&receive), "d31ddc398da9ced2ea9a9a7744702c0e");
}

#[test]
#[should_panic(expected = "L2: the responder's component is")]
fn an_answer_that_still_offers_is_refused() {
    let [_, server, _] = pairs();
    let answer = [&unhex("021e02031a021081020d02")[..], &server.public].concat();
    keying_client(Offer::Librtmfp).answer(&rikeying(&answer));
}

#[test]
#[should_panic(expected = "L2: the length of the responder's component")]
fn a_short_public_key_is_refused() {
    let [.., server] = pairs();
    let answer = [&unhex("031a0000021e0081010d02")[..], &server.public].concat();
    keying_client(Offer::Librtmfp).answer(&rikeying(&answer));
}

#[test]
fn flows_arrive_whole_in_any_order_and_are_acknowledged() {
    for_each_seed(20, |seed| {
        let mut dice = Dice::new(seed, 3);
        let rto = core::time::Duration::from_secs(1);
        let messages: Vec<Vec<u8>> = (1..20).map(|n| vec![n; 1 + dice.below(4000) as usize]).collect();
        let mut writer = Writer::new(2, 0, Some(300));
        messages.chunks(3).for_each(|messages| writer.write(messages));
        let mut flow = Flow::new(0);
        let mut received = Vec::new();
        let mut now = Time::from_secs(1);
        while !writer.is_idle() {
            let mut packets = Vec::new();
            writer.poll(now, rto, &mut packets);
            now += rto;
            if dice.chance(0.5) {
                packets.reverse();
            }
            for packet in packets.into_iter().filter(|_| !dice.chance(0.3)) {
                take(&mut flow, &packet);
                received.extend(flow.messages());
            }
            let ack = flow.ack(2);
            let mut ack = code::Reader(&ack[3..]);
            let (_, _, cumulative) = (ack.vlu(), ack.vlu(), ack.vlu());
            let lost = if ack.0.is_empty() { 0 } else { ack.vlu() + 1 };
            writer.acknowledge(now, cumulative, lost, rto);
        }
        assert!(received == messages);
    });
}

/// The data of a packet.
fn take(flow: &mut Flow, packet: &[u8]) {
    let mut packet = code::Reader(packet);
    let mut stage = 0;
    while !packet.0.is_empty() {
        let kind = packet.u8();
        let len = packet.u16();
        let mut content = code::Reader(packet.take(len.into()));
        let flags = content.u8();
        stage += 1;
        if kind == 0x10 {
            content.vlu();
            stage = content.vlu();
            content.vlu();
        }
        if flags & 0x80 != 0 {
            while !content.field().is_empty() {}
        }
        flow.take(stage, flags, content.0);
    }
}

#[test]
fn numbers_of_variable_length_are_read_as_they_are_written() {
    for number in [0, 1, 127, 128, 16_383, 16_384, 0xff7f, u64::from(u32::MAX), 1 << 62] {
        let mut bytes = Vec::new();
        put_vlu(number, &mut bytes);
        let mut reader = code::Reader(&bytes);
        assert_eq!((reader.vlu(), reader.0.len()), (number, 0));
    }
    let mut bytes = Vec::new();
    put_vlu(300, &mut bytes);
    assert_eq!(bytes, [0x82, 0x2c]);
}

#[test]
fn peers_of_the_installed_base_get_through_the_relay() {
    for_each_seed(12, |seed| drop(legacy::run(seed, Dice::new(seed, 2))));
}

#[test]
fn every_handshake_of_a_client_that_knows_group_2_only_succeeds() {
    for_each_seed(3, |seed| drop(legacy::handshakes(seed, Dice::new(seed, 2))));
}
