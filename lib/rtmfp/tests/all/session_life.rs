//! The life of an open session: keep-alive, dead peers, idle ones, and every way to end.

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{
    A, B, DELAY, Fate, Forger, Hands, deliver, events, events_accepting, kinds, run_jobs, transmits, v4,
};
use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp::wire::{Chunk, DataFlags, Fragment, Mode, PacketHeader, kind, write_user_data_header};
use rtmfp::{
    CloseReason, Config, Endpoint, Event, FlowSpec, Holdings, Priority, SendFlowId, SessionConfig, SessionId,
    Shutdown,
};
use rtmfp_base::{Message, Tag, Time, WriteOptions};

const SECOND: Duration = Duration::from_secs(1);

fn config(change: impl FnOnce(&mut SessionConfig)) -> Config {
    let mut config = Config::default();
    change(&mut config.session);
    config
}

/// Two ends with a session and a flow from `a` to `b` that has carried a message.
struct Open {
    hands: Hands,
    flow: SendFlowId,
    sessions: [SessionId; 2],
}

fn write(hands: &mut Hands, flow: SendFlowId, len: usize) {
    let now = hands.now;
    let options = WriteOptions { notify: true, ..WriteOptions::default() };
    let mut flow = hands.ends[0].send_flow(flow).expect("it");
    flow.write(now, Message::from(vec![1; len]), &options).expect("room");
}

impl Open {
    fn new(config: &Config) -> Self {
        let ends = [endpoint("a", 1, config.clone()), endpoint("b", 2, config.clone())];
        let [a, b] = ends;
        let mut hands = Hands::new(a, b);
        let now = hands.now;
        let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
        let flow = hands.ends[0].open_flow(now, b"b", spec, Tag(7)).expect("a flow");
        hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
        write(&mut hands, flow, 100);
        hands.run(SECOND);
        let sessions = [0, 1].map(|end| hands.ends[end].open_sessions()[0]);
        let mut open = Self { hands, flow, sessions };
        open.hands.sent.clear();
        open.hands.events.iter_mut().for_each(Vec::clear);
        open
    }

    fn write(&mut self, len: usize) {
        write(&mut self.hands, self.flow, len);
    }

    fn run(&mut self, seconds: u64) {
        self.hands.run(SECOND * seconds as u32);
    }

    /// Nothing reaches or leaves `b` any more.
    fn b_vanishes(&mut self) {
        self.hands.network = Box::new(|_, _| Fate::Lost);
    }

    fn seconds(&self, end: usize, kind: u8) -> Vec<u64> {
        self.hands.times(end, kind).iter().map(|at| at.as_secs()).collect()
    }

    fn closed(&self, end: usize) -> Option<CloseReason> {
        self.hands.events[end].iter().find_map(|event| match event {
            Event::SessionClosed { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    fn is_empty(&self, end: usize) -> bool {
        self.hands.ends[end].holdings() == Holdings::default()
    }
}

#[test]
fn a_quiet_session_is_pinged_by_its_initiator_once_in_each_period() {
    let mut open = Open::new(&config(|c| c.keepalive = SECOND * 10));
    open.run(100);
    let pings = open.hands.times(0, kind::PING);
    assert_eq!(pings.len(), 10, "{pings:?}");
    assert!(pings.windows(2).all(|pair| pair[1].since(pair[0]) == SECOND * 10), "{pings:?}");
    assert_eq!(open.hands.times(1, kind::PING_REPLY).len(), 10);
    assert_eq!(open.hands.times(1, kind::PING), []);
    assert_eq!((open.closed(0), open.closed(1)), (None, None));
}

#[test]
fn a_peer_that_vanishes_is_noticed_at_the_retransmit_limit_whatever_the_keepalive() {
    for keepalive in [1, 2, 5, 20] {
        let mut open = Open::new(&config(|c| {
            c.keepalive = SECOND * keepalive;
            c.retransmit_limit = SECOND * 30;
        }));
        open.b_vanishes();
        let left = open.hands.now;
        while open.closed(0).is_none() && open.hands.now < left + SECOND * 100 {
            open.hands.run(SECOND / 10);
        }
        let noticed = open.hands.now.since(left).as_secs();
        assert_eq!(open.closed(0), Some(CloseReason::Unresponsive), "keep-alive of {keepalive} s");
        assert!((30..=31 + u64::from(keepalive)).contains(&noticed), "{noticed} s with {keepalive} s");
        assert!(open.hands.count(0, |e| matches!(e, Event::FlowException { code: 0, .. })) == 1);
        // It is told to close for another 90 seconds.
        open.run(89);
        assert_eq!(open.hands.times(0, kind::CLOSE).len(), 18);
        open.run(2);
        assert!(open.is_empty(0));
    }
}

#[test]
fn unanswered_data_ends_a_session_at_the_retransmit_limit() {
    let mut open = Open::new(&config(|c| c.retransmit_limit = SECOND * 30));
    open.b_vanishes();
    open.write(5000);
    open.run(29);
    assert_eq!(open.closed(0), None);
    open.run(1);
    assert_eq!(open.closed(0), Some(CloseReason::Unresponsive));
    assert_eq!(open.hands.count(0, |e| matches!(e, Event::WriteEnded { delivered: false, .. })), 1);
    let data = open.hands.times(0, kind::USER_DATA);
    assert!(data.len() < 30, "it backs off: {data:?}");
}

#[test]
fn a_reader_that_stands_still_keeps_its_session_but_one_that_vanishes_does_not() {
    let mut open = Open::new(&config(|c| c.retransmit_limit = SECOND * 30));
    open.hands.reads = false;
    for _ in 0..50 {
        open.write(5000);
    }
    open.run(600);
    assert_eq!(open.closed(0), None);
    let probes = open.hands.times(0, kind::BUFFER_PROBE).len();
    assert!((10..60).contains(&probes), "{probes} probes");
    open.b_vanishes();
    // From the first probe that is not answered on, which may be a minute away.
    let left = open.hands.now;
    while open.closed(0).is_none() && open.hands.now < left + SECOND * 200 {
        open.run(1);
    }
    assert_eq!(open.closed(0), Some(CloseReason::Unresponsive));
    let unanswered = open.hands.times(0, kind::BUFFER_PROBE).into_iter().find(|at| *at > left).expect("one");
    let patience = open.hands.now.since(unanswered);
    assert!((SECOND * 30..=SECOND * 31).contains(&patience), "{patience:?}");
    assert!(unanswered.since(left) <= SECOND * 60);
}

#[test]
fn a_session_without_flows_is_closed_at_its_idle_limit() {
    let mut open = Open::new(&config(|c| c.idle_limit = SECOND * 40));
    open.run(100);
    assert_eq!(open.closed(0), None, "it has a flow");
    let now = open.hands.now;
    open.hands.ends[0].send_flow(open.flow).expect("it").close(now);
    open.run(39);
    assert_eq!((open.closed(0), open.closed(1)), (None, None));
    open.run(2);
    let reasons = [open.closed(0), open.closed(1)];
    assert!(reasons.contains(&Some(CloseReason::Idle)), "{reasons:?}");
    open.run(20);
    assert!(open.is_empty(0) && open.is_empty(1));
}

#[test]
fn an_orderly_close_is_told_confirmed_and_remembered_for_a_while_at_the_far_end() {
    let mut open = Open::new(&Config::default());
    open.write(3000);
    let now = open.hands.now;
    let session = open.sessions[0];
    open.hands.ends[0].session(session).expect("open").close(now);
    assert!(open.hands.ends[0].session(session).is_none());
    open.hands.run(DELAY * 2);
    assert!(
        matches!(
            open.hands.events[0][..],
            [
                Event::WriteEnded { delivered: false, .. },
                Event::FlowException { code: 0, .. },
                Event::SessionClosed { reason: CloseReason::Near, .. },
            ]
        ),
        "{:?}",
        open.hands.events[0]
    );
    assert!(
        matches!(
            open.hands.events[1][..],
            [Event::FlowLost { .. }, Event::SessionClosed { reason: CloseReason::Far, .. },]
        ),
        "{:?}",
        open.hands.events[1]
    );
    assert!(open.is_empty(0), "confirmed");
    assert_eq!(open.hands.ends[1].session_count(), 1);
    open.run(18);
    assert_eq!(open.hands.ends[1].session_count(), 1);
    open.run(1);
    assert!(open.is_empty(1));
}

#[test]
fn a_close_is_repeated_every_five_seconds_and_for_90_seconds_at_most() {
    for lost in [1, 3, usize::MAX] {
        let mut open = Open::new(&Config::default());
        let mut left = lost;
        open.hands.network = Box::new(move |end, _| {
            if end == 1 && left > 0 {
                left -= 1;
                return Fate::Lost;
            }
            Fate::After(DELAY)
        });
        let now = open.hands.now;
        let session = open.sessions[0];
        open.hands.ends[0].session(session).expect("open").close(now);
        open.run(89);
        let closes: Vec<u64> =
            open.seconds(0, kind::CLOSE).iter().map(|second| second - now.as_secs()).collect();
        let repeated = if lost == usize::MAX { 18 } else { lost + 1 };
        assert_eq!(closes, (0..repeated as u64).map(|n| 5 * n).collect::<Vec<_>>());
        // The far end answers for 19 seconds.
        let answers = open.seconds(1, kind::CLOSE_ACK).len();
        assert_eq!(answers, repeated.min(4));
        assert_eq!(open.is_empty(0), lost != usize::MAX);
        open.run(2);
        assert!(open.is_empty(0) && open.is_empty(1));
    }
}

#[test]
fn both_ends_may_close_at_once() {
    let mut open = Open::new(&Config::default());
    let now = open.hands.now;
    for end in 0..2 {
        let session = open.sessions[end];
        open.hands.ends[end].session(session).expect("open").close(now);
    }
    open.hands.run(DELAY * 3);
    assert!(open.is_empty(0) && open.is_empty(1));
    assert_eq!([open.closed(0), open.closed(1)], [Some(CloseReason::Near); 2]);
}

#[test]
fn an_abrupt_close_is_told_once_and_ends_both_ends_at_once() {
    let mut open = Open::new(&Config::default());
    let now = open.hands.now;
    let session = open.sessions[0];
    open.hands.ends[0].session(session).expect("open").abort(now);
    open.hands.ends[0].shutdown(now, Shutdown::Abrupt);
    open.hands.run(DELAY);
    assert_eq!(open.closed(1), Some(CloseReason::Far));
    assert!(open.is_empty(1));
    open.hands.run(DELAY * 5);
    assert!(open.is_empty(0));
    assert_eq!(open.seconds(0, kind::CLOSE_ACK).len(), 1);
    assert_eq!(open.hands.count(0, |e| *e == Event::ShutDown), 1);
}

#[test]
fn a_shutdown_ends_when_the_last_session_has_ended() {
    for (how, far_is_there, seconds) in [
        (Shutdown::Orderly, true, 0.045),
        (Shutdown::Orderly, false, 90.1),
        (Shutdown::Abrupt, true, 0.11),
        (Shutdown::Abrupt, false, 0.11),
    ] {
        let mut open = Open::new(&Config::default());
        if !far_is_there {
            open.b_vanishes();
        }
        open.write(3000);
        let now = open.hands.now;
        open.hands.ends[0].shutdown(now, how);
        open.hands.run(Duration::from_secs_f64(seconds * 0.8));
        assert_eq!(open.hands.count(0, |e| *e == Event::ShutDown), 0, "{how:?} {far_is_there}");
        open.hands.run(Duration::from_secs_f64(seconds * 0.2));
        assert_eq!(open.hands.events[0].last(), Some(&Event::ShutDown), "{how:?} {far_is_there}");
        assert!(open.is_empty(0));
        open.run(4000); // The far end, if cut off, finds out by its hourly keep-alive.
        assert_eq!(open.hands.count(0, |e| *e == Event::ShutDown), 1);
        assert!(open.is_empty(1), "{:?}", open.hands.ends[1].holdings());
    }
}

#[test]
fn an_orderly_shutdown_can_be_cut_short() {
    let mut open = Open::new(&Config::default());
    open.b_vanishes();
    let now = open.hands.now;
    open.hands.ends[0].shutdown(now, Shutdown::Orderly);
    open.run(3);
    let now = open.hands.now;
    open.hands.ends[0].shutdown(now, Shutdown::Abrupt);
    open.run(1);
    assert_eq!(open.hands.events[0].last(), Some(&Event::ShutDown));
    assert_eq!(open.seconds(0, kind::CLOSE_ACK).len(), 1);
}

fn connected(count: usize) -> (Endpoint, Vec<Forger>, Time) {
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    let peers = (0..count).map(|number| {
        let [high, low] = (number as u16).to_be_bytes();
        let mut peer = Forger::new("a", ([10, high, low, 1], 1935).into());
        peer.connect(now, &mut b, b"b");
        peer
    });
    let peers = peers.collect();
    events(&mut b, now);
    (b, peers, now)
}

#[test]
fn an_abrupt_shutdown_tells_any_number_of_peers() {
    let (mut b, peers, now) = connected(1500);
    b.shutdown(now, Shutdown::Abrupt);
    let sent = transmits(&mut b, now);
    assert_eq!(sent.len(), peers.len());
    assert!(sent.iter().all(|(_, _, bytes)| kinds(bytes) == [kind::CLOSE_ACK]));
    // Timers are served in turns; each leaves the next one due.
    let later = now + SECOND;
    for _ in 0..2 {
        assert!(b.poll_timeout().is_some_and(|(at, _)| at <= later));
        b.handle_timeout(later);
    }
    assert_eq!(events(&mut b, later).last(), Some(&Event::ShutDown));
    assert_eq!(b.holdings(), Holdings::default());
}

#[test]
fn a_shutdown_ends_although_a_packet_still_waits() {
    let (mut b, mut peers, now) = connected(1);
    b.shutdown(now, Shutdown::Orderly);
    b.handle_timeout(now);
    let hello = Forger::new("c", v4(9)).hello(b"b");
    deliver(&mut b, now, v4(9), &hello);
    let confirmed = peers[0].packet(&[Chunk::CloseAck]);
    deliver(&mut b, now, peers[0].address, &confirmed);
    assert_eq!(events(&mut b, now).last(), Some(&Event::ShutDown));
}

#[test]
fn a_session_that_its_initiator_never_uses_is_forgotten() {
    let (mut b, _, now) = connected(2);
    b.handle_timeout(now + SECOND * 94);
    assert_eq!(b.session_count(), 2);
    b.handle_timeout(now + SECOND * 95);
    let told = events(&mut b, now + SECOND * 95);
    let unused = |e: &Event| matches!(e, Event::SessionClosed { reason: CloseReason::NeverUsed, .. });
    assert_eq!(told.iter().filter(|e| unused(e)).count(), 2);
    transmits(&mut b, now + SECOND * 95);
    b.handle_timeout(now + SECOND * 96);
    assert_eq!(b.holdings(), Holdings::default());

    let (mut b, mut peers, now) = connected(2);
    let ping = peers[0].packet(&[Chunk::Ping(b"here I am")]);
    deliver(&mut b, now, peers[0].address, &ping);
    transmits(&mut b, now);
    b.handle_timeout(now + SECOND * 96);
    assert_eq!(b.open_sessions().len(), 1, "the other one was used");
}

#[test]
fn round_trip_times_are_the_sum_of_both_ways_and_do_not_contain_the_wait_for_an_answer() {
    let config = Config::default();
    let [a, b] = [endpoint("a", 1, config.clone()), endpoint("b", 2, config)];
    let mut hands = Hands::new(a, b);
    hands.network = Box::new(|end, _| Fate::After(Duration::from_millis([30, 250][end])));
    let now = hands.now;
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = hands.ends[0].open_flow(now, b"b", spec, Tag(7)).expect("a flow");
    hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
    for _ in 0..40 {
        // A single packet is acknowledged 200 ms later: the echo is older, the measure is not.
        write(&mut hands, flow, 100);
        hands.run(Duration::from_millis(777));
    }
    for end in 0..2 {
        let session = hands.ends[end].open_sessions()[0];
        let info = hands.ends[end].session(session).expect("open").info();
        let srtt = info.srtt.expect("measured").as_millis();
        assert!((272..=288).contains(&srtt), "end {end}: {srtt} ms");
        assert!(info.erto.as_millis() < 700, "{:?}", info.erto);
    }
}

#[test]
fn time_critical_data_of_one_session_is_told_to_the_peers_of_the_others_for_800_ms() {
    let (mut b, mut peers, now) = connected(3);
    let reverse = |b: &mut Endpoint, peer: &mut Forger, now: Time| {
        let ping = peer.packet(&[Chunk::Ping(b"")]);
        deliver(b, now, peer.address, &ping);
        let (_, _, mut bytes) = transmits(b, now).pop().expect("a reply");
        let clear = peer.profile.open(peer.key, &mut bytes[4..]).expect("ours");
        PacketHeader::parse(&bytes[4..][clear]).expect("a header").0.time_critical_reverse
    };
    let check = |b: &mut Endpoint, peers: &mut [Forger], now: Time, expected: [bool; 3]| {
        let got: Vec<_> = peers.iter_mut().map(|peer| reverse(b, peer, now)).collect();
        assert_eq!(got, expected, "at {now}");
    };
    check(&mut b, &mut peers, now, [false; 3]);
    let critical = |peer: &mut Forger| {
        let (key, far_id) = (peer.key, peer.far_id);
        peer.seal_clear(key, far_id, &[0x80 | Mode::Initiator as u8])
    };
    let packet = critical(&mut peers[0]);
    deliver(&mut b, now, peers[0].address, &packet);
    check(&mut b, &mut peers, now, [false, true, true]);
    let later = now + Duration::from_millis(500);
    let packet = critical(&mut peers[1]);
    deliver(&mut b, later, peers[1].address, &packet);
    check(&mut b, &mut peers, later, [true; 3]);
    check(&mut b, &mut peers, now + Duration::from_millis(799), [true; 3]);
    check(&mut b, &mut peers, now + Duration::from_millis(800), [true, false, true]);
    check(&mut b, &mut peers, later + Duration::from_millis(800), [false; 3]);
}

#[test]
fn settings_below_their_minimum_do_no_harm() {
    let nothing = SessionConfig {
        keepalive: Duration::ZERO,
        retransmit_limit: Duration::ZERO,
        challenge_limit: Duration::ZERO,
        idle_limit: Duration::ZERO,
        dscp: 255,
        receive_limit: 100_000,
        overhead_limit: 100_000,
        congestion_delay: Some(Duration::ZERO),
        ..SessionConfig::default()
    };
    let mut open = Open::new(&config(|c| *c = nothing.clone()));
    assert_eq!(open.closed(0), None);
    let session = open.sessions[0];
    let now = open.hands.now;
    open.hands.ends[0].session(session).expect("open").configure(now, |c| *c = nothing.clone());
    open.run(10);
    assert!(open.hands.times(0, kind::PING).len() <= 12);
    open.b_vanishes();
    open.run(10);
    assert_eq!(open.closed(0), Some(CloseReason::Unresponsive));
}

#[test]
fn the_timers_of_a_session_do_not_pile_up() {
    let (mut b, mut peers, mut now) = connected(1);
    let peer = &mut peers[0];
    for number in 1..2000u64 {
        let mut clear = vec![Mode::Initiator as u8];
        let data = DataFlags { fragment: Fragment::Whole, abandoned: false, last: false };
        let options: &[u8] = &[2, 0, b'm', 0];
        let chunk = write_user_data_header(data, 2, number, 1, options, &mut clear);
        chunk.finish(&mut clear);
        let (key, far_id) = (peer.key, peer.far_id);
        let packet = peer.seal_clear(key, far_id, &clear);
        deliver(&mut b, now, A, &packet);
        for event in events_accepting(&mut b, now) {
            if let Event::Readable { flow, .. } = event {
                while b.recv_flow(flow).and_then(|mut flow| flow.read(now)).is_some() {}
            }
        }
        run_jobs(&mut b, now);
        transmits(&mut b, now);
        let next = now + Duration::from_millis(250);
        while let Some((at, _)) = b.poll_timeout().filter(|(at, _)| *at <= next) {
            b.handle_timeout(at);
            transmits(&mut b, at);
        }
        now = next;
        assert_eq!(b.holdings().held_timers, 1);
    }
}
