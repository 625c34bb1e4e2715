//! Time critical data of one session slows the growth of the others of its endpoint, and of its receiver's other
//! senders (RFC 7016 sections 3.5.2.1 and A.2).

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::bottleneck::roomy;
use crate::common::{PORT, Pair, node};
use bytes::Bytes;
use rtmfp::{FlowSpec, Priority, SendFlowId};
use rtmfp_base::{Tag, WriteOptions};
use rtmfp_netsim::{HostId, LinkConfig};

const C: [u8; 4] = [10, 0, 0, 3];

/// Hosts `a` and `b`, and a third one.
fn three() -> (Pair, HostId) {
    let link = LinkConfig::with_delay(Duration::from_millis(20));
    let mut pair = Pair::with(1, link, roomy(None), roomy(None));
    let c = pair.net.add_host("c", &[C.into()], node("c", 9, roomy(None)));
    pair.run(0.001);
    (pair, c)
}

fn open(pair: &mut Pair, from: HostId, to: (&'static [u8], [u8; 4]), priority: Priority) -> SendFlowId {
    let now = pair.now();
    let spec = FlowSpec { metadata: Bytes::from_static(b"flow"), priority };
    let endpoint = pair.node(from).endpoint();
    let flow = endpoint.open_flow(now, to.0, spec, Tag(7)).expect("a flow");
    let candidate = SocketAddr::from((to.1, PORT));
    endpoint.send_flow(flow).expect("the flow").add_candidate(now, candidate);
    flow
}

fn write(pair: &mut Pair, from: HostId, flow: SendFlowId, len: usize) {
    let now = pair.now();
    let mut flow = pair.node(from).endpoint().send_flow(flow).expect("the flow");
    flow.write(now, vec![1; len].into(), &WriteOptions::default()).expect("room");
}

fn window(pair: &mut Pair, flow: SendFlowId) -> u64 {
    let a = pair.a;
    let endpoint = pair.node(a).endpoint();
    let session = endpoint.send_flow(flow).and_then(|mut flow| flow.session()).expect("bound");
    endpoint.session(session).expect("open").counters().window_bytes
}

/// The window of `a`'s bulk data to `b` after 50 round trips of 40 ms on a path without limits, while another flow
/// sends a little each 20 ms.
fn window_beside(other: impl FnOnce(&mut Pair, HostId) -> (HostId, SendFlowId)) -> u64 {
    let (mut pair, c) = three();
    let a = pair.a;
    let (other_host, other) = other(&mut pair, c);
    pair.run(0.5);
    write(&mut pair, other_host, other, 100);
    pair.run(0.1);
    let bulk = open(&mut pair, a, (b"b", crate::common::B), Priority::Bulk);
    for _ in 0..115 {
        write(&mut pair, other_host, other, 100);
        let mut flow = pair.node(a).endpoint().send_flow(bulk).expect("the flow");
        let missing = 300_000usize.saturating_sub(flow.buffered()) / 8000;
        (0..missing).for_each(|_| write(&mut pair, a, bulk, 8000));
        pair.run(0.02);
    }
    window(&mut pair, bulk)
}

#[test]
fn time_critical_data_of_another_session_of_the_endpoint_ends_slow_start() {
    let free = window_beside(|pair, _| {
        let a = pair.a;
        (a, open(pair, a, (b"c", C), Priority::Bulk))
    });
    assert!(free > 200_000, "{free}");
    let held = window_beside(|pair, _| {
        let a = pair.a;
        (a, open(pair, a, (b"c", C), Priority::Immediate))
    });
    // 384 bytes each round trip.
    assert!((12_000..28_000).contains(&held), "{held}");
}

#[test]
fn time_critical_data_from_another_sender_to_the_same_receiver_ends_slow_start() {
    let held = window_beside(|pair, c| (c, open(pair, c, (b"b", crate::common::B), Priority::Immediate)));
    assert!((12_000..28_000).contains(&held), "{held}");
    let free = window_beside(|pair, c| (c, open(pair, c, (b"b", crate::common::B), Priority::Bulk)));
    assert!(free > 200_000, "{free}");
}

#[test]
fn growth_is_free_again_800_milliseconds_after_the_last_time_critical_data() {
    let (mut pair, _) = three();
    let a = pair.a;
    let critical = open(&mut pair, a, (b"c", C), Priority::Immediate);
    let bulk = open(&mut pair, a, (b"b", crate::common::B), Priority::Bulk);
    pair.run(0.5);
    let fill = |pair: &mut Pair, seconds: f64| {
        for _ in 0..(seconds / 0.02) as u32 {
            let mut flow = pair.node(a).endpoint().send_flow(bulk).expect("the flow");
            let missing = 300_000usize.saturating_sub(flow.buffered()) / 8000;
            (0..missing).for_each(|_| write(pair, a, bulk, 8000));
            pair.run(0.02);
        }
        window(pair, bulk)
    };
    write(&mut pair, a, critical, 100);
    let held = fill(&mut pair, 0.74);
    assert!(held < 20_000, "{held}");
    let free = fill(&mut pair, 0.5);
    assert!(free > held * 4, "{held} {free}");
}
