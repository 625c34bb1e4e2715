//! What a session counts is what happened.

use crate::common::{Pair, bad_link, numbered};
use rtmfp::{Priority, SessionCounters};
use rtmfp_base::Counters;
use rtmfp_netsim::{HostId, LinkConfig, Loss};

fn counters(pair: &mut Pair, host: HostId) -> SessionCounters {
    let session = pair.session(host);
    pair.node(host).endpoint().session(session).expect("open").counters()
}

#[test]
fn the_counters_of_both_ends_and_of_the_link_agree() {
    let link = LinkConfig { loss: Loss::Independent(0.03), ..crate::common::link(20) };
    let mut pair = Pair::new(3, link);
    let flow = pair.open(b"flow", Priority::Routine);
    for number in 0..200 {
        pair.write(flow, numbered(number, 1000));
        pair.run(0.02);
    }
    pair.run(5.0);
    let ends = [pair.a, pair.b];
    let [a, b] = ends.map(|end| counters(&mut pair, end));
    assert_eq!(a.sent_data_bytes, 200 * 1000);
    assert!(a.resent_fragments >= 1 && a.resent_data_bytes == a.resent_fragments * 1000, "{a:?}");
    assert!(a.lost_fragments >= a.resent_fragments, "{a:?}");
    assert!(b.received_data_bytes >= 200 * 1000 && b.received_data_bytes < 220 * 1000, "{b:?}");
    assert_eq!((b.sent_data_bytes, a.received_data_bytes), (0, 0));
    // The link also carried the packets of the handshake, and may have lost some of them.
    let link = pair.net.link(pair.a, pair.b);
    let handshake = link.sent - a.sent_packets;
    let missing = a.sent_packets - b.received_packets;
    assert!((2..10).contains(&handshake), "{handshake}");
    assert!(missing <= link.lost && missing + handshake > link.lost, "{missing} of {}", link.lost);
    assert!(a.sent_bytes < link.sent_bytes && b.received_bytes < link.passed_bytes);
    let (latest, smoothed) = (a.rtt_latest_micros, a.rtt_smoothed_micros);
    for micros in [latest, smoothed, a.rtt_base_micros] {
        assert!((36_000..=48_000).contains(&micros), "{a:?}");
    }
    assert_eq!((a.outstanding_bytes, a.delay_events), (0, 0));
    assert!(a.window_bytes >= 2000);
}

#[test]
fn counters_have_names_and_only_those_of_now_go_down() {
    let mut pair = Pair::new(4, bad_link());
    let flow = pair.open(b"flow", Priority::Routine);
    pair.run(2.0);
    let gauges = ["window_bytes", "outstanding_bytes"];
    let mut before: Vec<(&str, u64)> = Vec::new();
    for number in 0..100 {
        pair.write(flow, numbered(number, 3000));
        pair.run(0.05);
        let a = pair.a;
        let now = counters(&mut pair, a).to_list();
        for (then, now) in before.iter().zip(&now) {
            assert_eq!(then.0, now.0);
            let figure = gauges.contains(&now.0) || now.0.ends_with("_micros");
            assert!(figure || now.1 >= then.1, "{then:?} {now:?}");
        }
        before = now;
    }
    assert!(before.len() > 20);
}

#[test]
fn what_one_end_marks_and_reports_is_what_the_other_one_counts() {
    let mut pair = Pair::new(5, crate::common::link(20));
    let flow = pair.open(b"flow", Priority::Routine);
    for number in 0..50 {
        pair.write(flow, numbered(number, 1000));
        pair.run(0.05);
    }
    pair.run(5.0);
    let ends = [pair.a, pair.b];
    let [a, b] = ends.map(|end| counters(&mut pair, end));
    assert!(a.sent_capable >= 50 && a.sent_capable <= a.sent_packets, "{a:?}");
    assert_eq!((b.received_capable, b.received_marks), (a.sent_capable, 0));
    assert!(b.sent_ecn_reports >= 1 && b.sent_ecn_reports <= b.sent_packets, "{b:?}");
    assert_eq!((a.received_ecn_reports, a.reported_marks), (b.sent_ecn_reports, 0));
    let back = (b.sent_capable, a.received_capable, a.sent_ecn_reports, b.received_ecn_reports);
    assert_eq!(back, (0, 0, 0, 0), "only packets with user data are marked");
}
