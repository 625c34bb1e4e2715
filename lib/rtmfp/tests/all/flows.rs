//! Flows between two endpoints over a simulated network.

use std::time::Duration;

use crate::common::{Pair, bad_link, link, numbered};
use rtmfp::{Event, Priority};
use rtmfp_base::WriteOptions;
use rtmfp_netsim::for_each_seed;

#[test]
fn a_message_arrives_one_and_a_half_round_trips_after_the_hello() {
    let mut pair = Pair::new(1, link(20));
    let flow = pair.open(b"hello", Priority::Routine);
    pair.write(flow, b"world".to_vec());
    pair.run(0.099);
    assert!(pair.peer(pair.b).messages(b"hello").is_empty());
    pair.run(0.010);
    assert_eq!(pair.peer(pair.b).messages(b"hello"), [b"world"]);
}

#[test]
fn every_size_from_nothing_to_many_packets_arrives_whole() {
    let mut pair = Pair::new(1, link(5));
    let flow = pair.open(b"sizes", Priority::Bulk);
    let sizes = [0, 1, 8, 1100, 1161, 1162, 1200, 5000, 65_000];
    for (number, &size) in sizes.iter().enumerate() {
        pair.write(flow, vec![number as u8; size]);
    }
    pair.close(flow);
    pair.run(5.0);
    let got = pair.peer(pair.b).messages(b"sizes");
    assert_eq!(got.iter().map(Vec::len).collect::<Vec<_>>(), sizes);
    assert!(got.iter().enumerate().all(|(number, m)| m.iter().all(|&byte| byte == number as u8)));
    assert_eq!(pair.peer(pair.a).count(|e| matches!(e, Event::FlowClosed { .. })), 1);
    assert_eq!(pair.peer(pair.b).count(|e| matches!(e, Event::FlowFinished { .. })), 1);
}

#[test]
fn on_a_bad_network_reliable_flows_deliver_everything_once_and_in_order_and_every_write_ends() {
    for_each_seed(100, |seed| {
        let mut pair = Pair::new(seed, bad_link());
        let flows = [
            (pair.open(b"video", Priority::Priority), b"video".as_slice(), 60, 4000),
            (pair.open(b"audio", Priority::Immediate), b"audio".as_slice(), 90, 250),
            (pair.open(b"bulk", Priority::Bulk), b"bulk".as_slice(), 20, 20_000),
        ];
        let options = WriteOptions { notify: true, ..WriteOptions::default() };
        let mut written = 0;
        for step in 0..30 {
            for &(flow, _, count, len) in &flows {
                for number in step * count / 30..(step + 1) * count / 30 {
                    let len = 8 + (number * 7919 + len) % len;
                    pair.write_with(flow, numbered(number as u64, len), &options).unwrap();
                    written += 1;
                }
            }
            pair.run(0.05);
        }
        for &(flow, ..) in &flows {
            pair.close(flow);
        }
        pair.net.run_while(Duration::from_secs(60), |net| {
            let peer = &net.peek::<rtmfp::driver::Node<crate::common::Peer>>(pair.a).application;
            peer.count(|e| matches!(e, Event::FlowClosed { .. })) < 3
        });
        let (a, b) = (pair.peer(pair.a), pair.peer(pair.b));
        for &(_, metadata, count, len) in &flows {
            let expected: Vec<_> =
                (0..count).map(|n| numbered(n as u64, 8 + (n * 7919 + len) % len)).collect();
            assert_eq!(b.messages(metadata).len(), expected.len(), "{}", String::from_utf8_lossy(metadata));
            assert!(b.messages(metadata) == expected, "{}", String::from_utf8_lossy(metadata));
        }
        assert_eq!(a.count(|e| matches!(e, Event::WriteEnded { delivered: true, .. })), written);
        assert_eq!(a.count(|e| matches!(e, Event::WriteEnded { delivered: false, .. })), 0);
        assert_eq!(b.count(|e| matches!(e, Event::FlowFinished { .. })), 3);
        assert_eq!(a.count(|e| matches!(e, Event::SessionOpened { .. })), 1);
    });
}
