//! Congestion marks that the far end reports (the ECN Report extension).

use crate::common::endpoint;
use crate::hand::flows::spec;
use crate::hand::{A, Forger, deliver, events_accepting, transmits, transmits_marked};
use rtmfp::wire::{Ack, Chunk, kind};
use rtmfp::{Config, Endpoint, Priority, SendFlowId};
use rtmfp_base::{Ecn, InterfaceId, Message, Tag, Time, WriteOptions};

/// An endpoint with a flow to a peer that says what it likes.
struct Reported {
    forger: Forger,
    victim: Endpoint,
    flow: SendFlowId,
    now: Time,
    sent: u8,
}

impl Reported {
    fn new() -> Self {
        let (mut forger, mut victim) = (Forger::new("f", A), endpoint("v", 1, Config::default()));
        victim.add_interface(InterfaceId(0), crate::hand::B);
        let now = Time::from_secs(1);
        forger.connect(now, &mut victim, b"v");
        let ping = forger.packet(&[Chunk::Ping(b"")]);
        deliver(&mut victim, now, A, &ping);
        events_accepting(&mut victim, now);
        transmits(&mut victim, now);
        let session = victim.open_sessions()[0];
        let mut session = victim.session(session).expect("open");
        let flow = session.open_flow(now, spec(b"flow", Priority::Routine), Tag(0)).expect("a flow");
        Self { forger, victim, flow, now, sent: 0 }
    }

    /// Sends a packet with a little data; answers its mark.
    fn send(&mut self) -> Ecn {
        let mut flow = self.victim.send_flow(self.flow).expect("the flow");
        flow.write(self.now, Message::from(vec![1; 10]), &WriteOptions::default()).expect("room");
        self.sent += 1;
        transmits_marked(&mut self.victim, self.now).pop().expect("a packet").2
    }

    /// Acknowledges all that was sent, with a report before or after it.
    fn bring(&mut self, before: Option<u8>, after: Option<u8>) {
        let payload = [2, 64, self.sent];
        let ack = || Chunk::parse(kind::ACK_RANGES, &payload).expect("an acknowledgement");
        let report = |count: Option<u8>| count.map(|count| Chunk::EcnReport { count });
        let chunks: Vec<Chunk<'_>> = report(before).into_iter().chain([ack()]).chain(report(after)).collect();
        let packet = self.forger.packet(&chunks);
        deliver(&mut self.victim, self.now, A, &packet);
    }

    fn marks(&mut self) -> u64 {
        let session = self.victim.open_sessions()[0];
        self.victim.session(session).expect("open").counters().reported_marks
    }
}

#[test]
fn marks_are_counted_modulo_256_and_overtaken_reports_are_ignored() {
    let mut reported = Reported::new();
    let mut total = 0;
    // Up to 31 marks back is an older report, anything else is news.
    for (count, new) in [
        (0, 0),
        (5, 5),
        (5, 0),
        (3, 0),
        (6, 1),
        (200, 194),
        (190, 0),
        (169, 0),
        (250, 50),
        (4, 10),
        (252, 0),
        (4, 0),
        (227, 223),
        (3, 32),
    ] {
        reported.send();
        reported.bring(Some(count), None);
        total += new;
        assert_eq!(reported.marks(), total, "after a report of {count}");
    }
}

#[test]
fn a_report_counts_on_either_side_of_the_acknowledgement() {
    for (before, after) in [(Some(0), None), (None, Some(0))] {
        let mut reported = Reported::new();
        assert_eq!(reported.send(), Ecn::Ect0);
        reported.bring(before, after);
        assert_eq!(reported.send(), Ecn::Ect0);
        reported.bring(None, None);
        assert_eq!(reported.send(), Ecn::Ect0, "once is enough");
    }
    let mut reported = Reported::new();
    reported.send();
    reported.bring(None, None);
    assert_eq!(reported.send(), Ecn::NotEct);
    reported.bring(Some(1), None);
    assert_eq!(reported.send(), Ecn::NotEct, "for good");
}

#[test]
fn an_acknowledgement_of_an_unknown_flow_does_not_end_marking() {
    let mut reported = Reported::new();
    reported.send();
    let payload = [99, 64, 0];
    let ack = Chunk::parse(kind::ACK_RANGES, &payload).expect("an acknowledgement");
    assert!(matches!(&ack, Chunk::AckRanges(Ack { flow_id: 99, .. })));
    let packet = reported.forger.packet(&[ack]);
    deliver(&mut reported.victim, reported.now, A, &packet);
    assert_eq!(reported.send(), Ecn::Ect0);
}
