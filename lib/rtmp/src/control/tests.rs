use bytes::Bytes;
use rtmfp_base::Time;
use rtmfp_media::TcMessage;

use super::{Acks, Control, Limit};
use crate::testing::{Decoder, control, fill, format0, format1, just_open, open, receive};
use crate::{Config, Error, Event, Role};

fn on_stream(kind: u8, stream_id: u32, payload: &'static [u8]) -> TcMessage {
    TcMessage { kind, timestamp: 0, stream_id, payload: Bytes::from_static(payload) }
}

/// The (type, payload) of all messages that a connection has to send now.
fn sent(connection: &mut crate::Connection) -> Vec<(u8, Vec<u8>)> {
    let bytes = fill(connection, Time::ZERO, usize::MAX);
    let messages = Decoder::new().read(&bytes).expect("valid chunks");
    messages.into_iter().map(|m| (m.kind, m.payload.to_vec())).collect()
}

#[test]
fn control_messages_are_read() {
    let parse = |kind, payload| Control::parse(&on_stream(kind, 0, payload));
    assert_eq!(parse(1, &[0, 0, 16, 0]), Ok(Some(Control::SetChunkSize(4096))));
    assert_eq!(parse(2, &[0, 0, 0, 5]), Ok(Some(Control::Abort { chunk_stream: 5 })));
    assert_eq!(parse(3, &[0, 0, 1, 0]), Ok(Some(Control::Acknowledgement(256))));
    assert_eq!(parse(5, &[0, 0, 1, 0]), Ok(Some(Control::WindowAckSize(256))));
    assert_eq!(parse(5, &[0, 0, 0, 0]), Ok(Some(Control::WindowAckSize(1))));
    for (byte, limit) in [(0, Limit::Hard), (1, Limit::Soft), (2, Limit::Dynamic), (9, Limit::Dynamic)] {
        let message = TcMessage { payload: vec![0, 0, 1, 0, byte].into(), ..on_stream(6, 0, &[]) };
        assert_eq!(Control::parse(&message), Ok(Some(Control::SetPeerBandwidth { size: 256, limit })));
    }
    assert_eq!(parse(4, &[0, 6]), Ok(None), "user control is the application's");
    assert_eq!(parse(9, &[]), Ok(None));
}

#[test]
fn control_messages_that_make_no_sense_are_refused() {
    for size in [0, 0x8000_0000, u32::MAX] {
        let message = TcMessage { payload: size.to_be_bytes().to_vec().into(), ..on_stream(1, 0, &[]) };
        assert_eq!(Control::parse(&message), Err(Error::ChunkSize { size }));
    }
    for kind in [1, 2, 3, 5, 6] {
        let elsewhere = Control::parse(&on_stream(kind, 7, &[0, 0, 1, 0, 2]));
        assert_eq!(elsewhere, Err(Error::ControlStream { kind, stream_id: 7 }));
        let short = Control::parse(&on_stream(kind, 0, &[0, 0, 1]));
        assert_eq!(short, Err(Error::ControlLength { kind, length: 3 }));
    }
}

#[test]
fn an_open_connection_announces_its_sizes_first() {
    let window = 250_000_u32.to_be_bytes().to_vec();
    let common = [(1, vec![0, 0, 16, 0]), (5, window)];
    assert_eq!(sent(&mut just_open(Role::Client, Config::default())), common);
    let mut server = just_open(Role::Server, Config::default());
    assert_eq!(sent(&mut server), [&common[..], &[(6, vec![0, 0x26, 0x25, 0xa0, 2])]].concat());
    assert!(!server.wants_write());
    let config = Config { chunk_size: 1 << 24, ..Config::default() };
    assert_eq!(sent(&mut just_open(Role::Server, config))[0], (1, vec![0, 1, 0, 0]), "65,536 is the most");
}

#[test]
fn half_a_window_is_acknowledged_without_the_handshake_and_unasked() {
    let config = Config { default_ack_window: 1000, ..Config::default() };
    let mut server = open(Role::Server, config);
    let chunk = |length| [format0(4, 0, length, 9, 1), vec![0; length as usize]].concat();
    receive(&mut server, &chunk(100)).expect("valid chunks");
    receive(&mut server, &[chunk(100), chunk(100)].concat()).expect("valid chunks");
    assert!(!server.wants_write(), "336 bytes");
    receive(&mut server, &[chunk(100), chunk(100)].concat()).expect("valid chunks");
    assert_eq!(sent(&mut server), [(3, 560_u32.to_be_bytes().to_vec())]);
    assert_eq!(sent(&mut server), []);
}

#[test]
fn a_smaller_window_makes_an_acknowledgement_due_at_once() {
    let mut server = open(Role::Server, Config::default());
    assert_eq!(sent(&mut server), []);
    receive(&mut server, &control(5, &[0, 0, 0, 20])).expect("valid chunks");
    assert_eq!(sent(&mut server), [(3, vec![0, 0, 0, 16])]);
    receive(&mut server, &control(5, &[0, 0, 0, 0])).expect("valid chunks");
    assert_eq!(sent(&mut server), [(3, vec![0, 0, 0, 32])]);
}

#[test]
fn acknowledgements_of_any_kind_are_counted_and_change_nothing_else() {
    let mut acks = Acks::new(1);
    for (count, sent) in [(1000, 5000), (1000, 5000), (900, 5000), (5001, 5000), (5000, 5000)] {
        acks.take(count, sent);
    }
    assert_eq!((acks.plausible, acks.implausible), (2, 3));
    // Counts wrap at 2³².
    let mut acks = Acks::new(1);
    for sent in (1..=20_u64).map(|step| step * 1_000_000_000) {
        acks.take(sent as u32, sent);
    }
    assert_eq!((acks.plausible, acks.implausible), (20, 0));

    let mut server = open(Role::Server, Config::default());
    let video = crate::testing::message(9, 0, 1, 300_000);
    server.send(Time::ZERO, video.clone(), &crate::SendOptions::default()).expect("there is room");
    let mut decoder = Decoder::new();
    decoder.0.set_chunk_size(4096);
    let mut messages = Vec::new();
    for _ in 0..200 {
        // More than was sent, then the same for ever.
        receive(&mut server, &control(3, &[0x7f, 0, 0, 0])).expect("valid chunks");
        messages.extend(decoder.read(&fill(&mut server, Time::ZERO, 2048)).expect("valid chunks"));
    }
    assert_eq!(messages, [video]);
}

#[test]
fn peer_bandwidth_is_answered_by_a_window_where_it_changes() {
    let mut client = open(Role::Client, Config { window_ack_size: 1000, ..Config::default() });
    let mut answer = |size: u32, limit: u8| {
        let payload = [&size.to_be_bytes()[..], &[limit]].concat();
        receive(&mut client, &control(6, &payload)).expect("valid chunks");
        sent(&mut client).first().map(|(kind, payload)| (*kind, crate::header::u32_be(payload)))
    };
    assert_eq!(answer(5000, 2), None, "dynamic and nothing hard before");
    assert_eq!(answer(5000, 1), None, "soft, and above the window");
    assert_eq!(answer(500, 1), Some((5, 500)));
    assert_eq!(answer(5000, 2), None, "dynamic after soft");
    assert_eq!(answer(5000, 0), Some((5, 5000)));
    assert_eq!(answer(5000, 0), None, "no change");
    assert_eq!(answer(6000, 2), Some((5, 6000)));
    assert_eq!(answer(7000, 2), Some((5, 7000)), "dynamic after dynamic after hard");
}

#[test]
fn pings_are_answered_or_handed_out_as_configured() {
    let request = control(4, &[0, 6, 1, 2, 3, 4]);
    let mut client = open(Role::Client, Config::default());
    assert_eq!(receive(&mut client, &request), Ok(vec![]));
    assert_eq!(sent(&mut client), [(4, vec![0, 7, 1, 2, 3, 4])]);

    let mut client = open(Role::Client, Config { answer_pings: false, ..Config::default() });
    let events = receive(&mut client, &request).expect("valid chunks");
    assert_eq!(events, [Event::Message(on_stream(4, 0, &[0, 6, 1, 2, 3, 4]))]);
    assert!(!client.wants_write());
}

#[test]
fn user_control_other_than_whole_ping_requests_is_handed_out() {
    let mut client = open(Role::Client, Config::default());
    let response = [format1(2, 0, 6, 4), vec![0, 7, 1, 2, 3, 4]].concat();
    let short = control(4, &[0, 6, 1]);
    let events = receive(&mut client, &[response, short].concat()).expect("valid chunks");
    let messages = [on_stream(4, 0, &[0, 7, 1, 2, 3, 4]), on_stream(4, 0, &[0, 6, 1])];
    assert_eq!(events, messages.map(Event::Message));
}

#[test]
fn a_flood_of_what_needs_answers_costs_a_fixed_amount() {
    let mut server = open(Role::Server, Config::default());
    let before = server.memory();
    for step in 0..10_000_u32 {
        let [.., a, b] = step.to_be_bytes();
        let bytes = [
            control(4, &[0, 6, 0, 0, a, b]),
            control(6, &[0, 1, a, b, 0]),
            control(5, &[0, 0, 0, 1]),
            control(2, &[0, 0, a, b]),
        ];
        receive(&mut server, &bytes.concat()).expect("valid chunks");
    }
    assert!(server.memory() <= before + 500, "{before} to {}", server.memory());
    let answers = sent(&mut server);
    assert_eq!(answers.iter().filter(|(kind, _)| *kind == 4).count(), 8);
    assert_eq!(answers.iter().filter(|(kind, _)| *kind == 3).count(), 1);
    assert_eq!(answers.last(), Some(&(4, vec![0, 7, 0, 0, 0x27, 0x0f])), "the newest is answered");
}
