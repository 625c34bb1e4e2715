//! What RFC 7016 says about receiving flows, rule by rule: see `tests/rfc/rfc7016.txt`.

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::Hands;
use crate::hand::flows::Seen;
use crate::hand::forged::{Forged, WHOLE, data, data_with, options, options_and};
use rtmfp::wire::{Chunk, DataFlags, NextUserData};
use rtmfp::{Config, Event, OpenFlowError, Priority};
use rtmfp_base::{Tag, WriteOptions};

const NOTHING: [Vec<Seen>; 0] = [];

/// Whether an endpoint answered by nothing but an acknowledgement through this number.
fn acknowledges(answers: &[Vec<Seen>], through: u64) -> bool {
    matches!(answers, [packet] if matches!(packet[..], [Seen::Ack { cumulative, .. }] if cumulative == through))
}

/// Whether an endpoint answered by an exception with this code and an acknowledgement.
fn rejects(answers: &[Vec<Seen>], code: u64) -> bool {
    let exception = |packet: &Vec<Seen>| match packet[..] {
        [Seen::Exception { flow, code: told }, Seen::Ack { flow: same, .. }] => flow == same && told == code,
        _ => false,
    };
    matches!(answers, [packet] if exception(packet))
}

#[test]
fn data_that_is_marked_as_abandoned_is_ignored() {
    let mut forged = Forged::new(Config::default());
    let options = options(None);
    let abandoned = DataFlags { abandoned: true, ..WHOLE };
    forged.bring(&[data(5, 1, Some(&options), b"one")]);
    forged.bring(&[data_with(abandoned, 5, 2, 2, None, b"two")]);
    let answers = forged.bring(&[data_with(abandoned, 5, 3, 2, None, b"three"), data(5, 4, None, b"four")]);
    assert!(acknowledges(&answers, 4), "{answers:?}");
    let flow = forged.offered()[0];
    assert_eq!(forged.read_all(flow), [&b"one"[..], b"four"]);
}

#[test]
fn unknown_options_below_8192_get_a_flow_rejected_and_others_do_not() {
    let mut forged = Forged::new(Config::default());
    for (flow, kind) in (10..).zip([1, 9, 11, 8191]) {
        let answers = forged.bring(&[data(flow, 1, Some(&options_and(kind)), b"x")]);
        assert!(rejects(&answers, 0), "{kind}: {answers:?}");
        assert_eq!(forged.offered(), []);
    }
    for (flow, kind) in (20..).zip([8192, 8193, 1 << 40, u64::MAX]) {
        let answers = forged.bring(&[data(flow, 1, Some(&options_and(kind)), b"x")]);
        assert!(acknowledges(&answers, 1), "{kind}: {answers:?}");
        assert_eq!(forged.offered().len() as u64, flow - 19);
    }
}

#[test]
fn a_flow_without_metadata_is_rejected() {
    let mut forged = Forged::new(Config::default());
    let flow = forged.open();
    forged.write(flow, 10);
    forged.answers();
    // No options, empty ones, and the return association with an open flow alone.
    for (flow, options) in (10..).zip([None, Some(&b""[..]), Some(&[2, 10, 2])]) {
        let answers = forged.bring(&[data(flow, 1, options, b"x")]);
        assert!(rejects(&answers, 0), "{options:?}: {answers:?}");
    }
    assert_eq!(forged.offered(), []);
}

#[test]
fn a_flow_in_return_of_none_that_is_open_is_rejected() {
    let mut forged = Forged::new(Config::default());
    let [open, closing] = [forged.open(), forged.open()];
    for flow in [open, closing] {
        forged.write(flow, 10);
    }
    // The flows of the victim are numbered from 2 on.
    forged.answers();
    let now = forged.now;
    forged.victim.send_flow(closing).expect("it").close(now);
    forged.answers();
    assert!(forged.victim.send_flow(closing).is_some(), "it is closing: nothing was acknowledged");
    for (flow, association) in (10..).zip([0, 1, 3, 4, 77, u64::MAX]) {
        let answers = forged.bring(&[data(flow, 1, Some(&options(Some(association))), b"x")]);
        assert!(rejects(&answers, 0), "{association}: {answers:?}");
    }
    assert_eq!(forged.offered(), []);
    let answers = forged.bring(&[data(20, 1, Some(&options(Some(2))), b"x")]);
    assert!(acknowledges(&answers, 1), "{answers:?}");
    let associated = |event: &Event| matches!(event, Event::FlowOffered { associated: Some((flow, _)), .. } if *flow == open);
    assert!(forged.events.iter().any(associated), "{:?}", forged.events);
}

#[test]
fn an_unknown_option_in_the_middle_of_a_flow_gets_it_rejected_and_the_application_hears() {
    for in_next_chunk in [false, true] {
        let mut forged = Forged::new(Config::default());
        forged.bring(&[data(5, 1, Some(&options(None)), b"x")]);
        let flow = forged.offered()[0];
        let harmless = options_and(8192);
        assert_eq!(
            forged.bring(&[data(5, 2, Some(&harmless), b"x")]),
            NOTHING,
            "one is not acknowledged at once"
        );
        let harmful = options_and(8191);
        let next = Chunk::NextUserData(NextUserData { flags: WHOLE, options: Some(&harmful), data: b"x" });
        let answers = match in_next_chunk {
            true => forged.bring(&[data(5, 3, None, b"x"), next]),
            false => forged.bring(&[data(5, 3, Some(&harmful), b"x")]),
        };
        assert!(rejects(&answers, 0), "{answers:?}");
        let lost = |event: &&Event| matches!(event, Event::FlowLost { flow: lost, .. } if *lost == flow);
        assert_eq!(forged.events.iter().filter(lost).count(), 1);
        assert!(forged.victim.recv_flow(flow).is_none());
    }
}

#[test]
fn an_exception_comes_before_each_acknowledgement_of_a_rejected_flow() {
    let mut forged = Forged::new(Config::default());
    forged.bring(&[data(5, 1, Some(&options(None)), b"x")]);
    let (now, flow) = (forged.now, forged.offered()[0]);
    forged.victim.recv_flow(flow).expect("it").reject(now, 42);
    let answers = forged.answers();
    assert!(rejects(&answers, 42), "{answers:?}");
    // New data, a hole, a repetition, a probe, the end.
    let last = DataFlags { last: true, ..WHOLE };
    for chunk in [
        data(5, 2, None, b"x"),
        data_with(WHOLE, 5, 4, 0, None, b"x"),
        data_with(WHOLE, 5, 4, 0, None, b"x"),
        Chunk::BufferProbe { flow_id: 5 },
        data_with(last, 5, 5, 0, None, b"x"),
        data_with(last, 5, 5, 0, None, b"x"),
    ] {
        let answers = forged.bring(&[chunk]);
        assert!(rejects(&answers, 42), "{chunk:?}: {answers:?}");
    }
    let answers = forged.bring(&[data(5, 3, None, b"x")]);
    let through = match &answers[0][..] {
        [Seen::Exception { .. }, Seen::Ack { cumulative, .. }] => *cumulative,
        other => panic!("{other:?}"),
    };
    assert_eq!(through, 5, "all of it is acknowledged all the same");
}

#[test]
fn the_number_of_a_flow_means_nothing() {
    let mut forged = Forged::new(Config::default());
    let numbers = [0, 1, 2, 127, 128, 1 << 32, u64::MAX];
    for (count, number) in (1..).zip(numbers) {
        let message = number.to_be_bytes();
        let answers = forged.bring(&[data(number, 1, Some(&options(None)), &message)]);
        assert!(acknowledges(&answers, 1), "{number}: {answers:?}");
        assert_eq!(forged.offered().len(), count);
        let flow = forged.offered()[count - 1];
        assert_eq!(forged.read_all(flow), [message]);
        assert_eq!(forged.victim.recv_flow(flow).expect("it").associated(), None);
    }
}

#[test]
fn an_abandoned_message_shows_as_a_jump_of_numbers() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::Routine);
    hands.write(flow, 10);
    hands.run_millis(1000);
    hands.network = Box::new(|_, _| crate::hand::Fate::Lost);
    let best_effort = WriteOptions { best_effort: true, ..WriteOptions::default() };
    hands.write_with(flow, 2000, &best_effort);
    hands.run_millis(1);
    hands.network = Box::new(|_, _| crate::hand::Fate::After(crate::hand::DELAY));
    for len in [30, 40] {
        hands.write(flow, len);
    }
    hands.run_millis(3000);
    let offered = hands.offered(1)[0];
    let received: Vec<_> =
        hands.received[1][&offered].iter().map(|m| (m.bytes.len(), m.sequence, m.fragments)).collect();
    let [(10, 1, 1), (30, third, 1), (40, fourth, 1)] = received[..] else { panic!("{received:?}") };
    assert_eq!(
        (third, fourth),
        (1 + 1 + 2, 1 + 1 + 2 + 1),
        "two fragments are missing, and none behind them"
    );
}

#[test]
fn a_flow_that_is_rejected_or_over_can_not_be_answered() {
    let mut forged = Forged::new(Config::default());
    let last = DataFlags { last: true, ..WHOLE };
    for number in 5..8 {
        forged.bring(&[data(number, 1, Some(&options(None)), b"x")]);
    }
    let now = forged.now;
    let [open, rejected, over] = forged.offered()[..] else { panic!() };
    forged.victim.recv_flow(rejected).expect("it").reject(now, 1);
    forged.bring(&[data_with(last, 7, 2, 1, None, b"x")]);
    assert_eq!(forged.read_all(over).len(), 2);
    let answer = |forged: &mut Forged, flow| {
        let spec = crate::hand::flows::spec(b"back", Priority::Bulk);
        forged.victim.recv_flow(flow).ok_or(OpenFlowError::NotOpen)?.open_return_flow(now, spec, Tag(0))
    };
    assert_eq!(answer(&mut forged, rejected), Err(OpenFlowError::NotOpen));
    assert_eq!(answer(&mut forged, over), Err(OpenFlowError::NotOpen));
    assert!(answer(&mut forged, open).is_ok());
}

#[test]
fn the_number_of_a_finished_flow_rests_for_two_minutes() {
    let mut forged = Forged::new(Config::default());
    let options = options(None);
    let last = DataFlags { last: true, ..WHOLE };
    let all = data_with(last, 5, 1, 0, Some(&options), b"x");
    forged.bring(&[all]);
    let flow = forged.offered()[0];
    assert_eq!(forged.read_all(flow).len(), 1);
    let finished = forged.now;
    for seconds in [1, 60, 119] {
        forged.wait_until(finished + Duration::from_secs(seconds));
        let answers = forged.bring(&[all]);
        assert!(acknowledges(&answers, 1), "{answers:?}");
        assert_eq!(forged.offered().len(), 1, "{seconds} s later");
    }
    forged.wait_until(finished + Duration::from_secs(121));
    forged.bring(&[all]);
    assert_eq!(forged.offered().len(), 2, "a new flow");
}

#[test]
fn what_is_unusual_is_acknowledged_at_once() {
    let fresh = options(None);
    let [abandoned, last] = [DataFlags { abandoned: true, ..WHOLE }, DataFlags { last: true, ..WHOLE }];
    let one = data(5, 2, None, b"x");
    let behind_a_hole = |sequence| data_with(WHOLE, 5, sequence, 0, None, b"x");
    let long = [7; 1000];
    // Packets that come before, and the one that is to be acknowledged at once.
    let cases: [(&str, &[Chunk<'_>], Chunk<'_>); 9] = [
        ("a new flow", &[], data(6, 1, Some(&fresh), b"x")),
        ("a hole", &[], behind_a_hole(3)),
        ("a hole that is closed", &[behind_a_hole(3)], one),
        ("a hole that was there before", &[behind_a_hole(3)], behind_a_hole(4)),
        ("a repetition", &[], data(5, 1, None, b"x")),
        ("an abandoned number", &[], data_with(abandoned, 5, 2, 2, None, b"")),
        ("the end", &[], data_with(last, 5, 2, 1, None, b"x")),
        ("a probe", &[], Chunk::BufferProbe { flow_id: 5 }),
        ("a buffer with less than 1024 bytes left", &[], data(5, 2, None, &long)),
    ];
    let open = || {
        let mut forged = Forged::new(Config { receive_capacity: 2080, ..Config::default() });
        let answers = forged.bring(&[data(5, 1, Some(&fresh), b"x")]);
        assert!(acknowledges(&answers, 1), "{answers:?}");
        let flow = forged.offered()[0];
        forged.read_all(flow);
        forged
    };
    for (name, before, chunk) in cases {
        let mut forged = open();
        for chunk in before {
            forged.bring(&[*chunk]);
        }
        assert_eq!(forged.bring(&[chunk]).len(), 1, "{name}");
        assert_eq!(forged.bring(&[Chunk::BufferProbe { flow_id: 99 }]), NOTHING, "{name}, and nothing twice");
    }
    // What is as usual is acknowledged with the second packet, or 200 ms later.
    let mut forged = open();
    assert_eq!(forged.bring(&[one]), NOTHING);
    let began = forged.now;
    assert_eq!(forged.wait_until(began + Duration::from_millis(199)), NOTHING);
    let answers = forged.wait_until(began + Duration::from_millis(200));
    assert!(acknowledges(&answers, 2), "{answers:?}");
    assert_eq!(forged.bring(&[data(5, 3, None, b"x")]), NOTHING);
    assert!(acknowledges(&forged.bring(&[data(5, 4, None, b"x")]), 4));
}

#[test]
fn acknowledgements_of_several_flows_share_a_packet() {
    let mut forged = Forged::new(Config::default());
    let fresh = options(None);
    for flow in 5..8 {
        forged.bring(&[data(flow, 1, Some(&fresh), b"x")]);
    }
    assert_eq!(forged.bring(&[data(5, 2, None, b"x")]), NOTHING);
    // Only one of them has to be acknowledged now.
    let answers = forged.bring(&[Chunk::BufferProbe { flow_id: 7 }]);
    let flows = |packet: &Vec<Seen>| -> Vec<u64> {
        packet.iter().map(|seen| if let Seen::Ack { flow, .. } = seen { *flow } else { 0 }).collect()
    };
    assert_eq!(answers.iter().map(flows).collect::<Vec<_>>(), [[5, 7]]);
}
