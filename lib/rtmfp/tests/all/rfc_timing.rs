//! What RFC 7016 says about times and rates, rule by rule: see `tests/rfc/rfc7016.txt`.

use std::time::Duration;

use crate::common::endpoint;
use crate::hand::flows::{Seen, has_data};
use crate::hand::forged::Forged;
use crate::hand::{Fate, Hands, kinds};
use rtmfp::wire::kind;
use rtmfp::{Config, MAX_FRAGMENT, Priority, SessionConfig};
use rtmfp_base::Time;

const MILLI: Duration = Duration::from_millis(1);
/// Time Critical Reverse Notification, in the flags of a packet.
const REVERSE: u8 = 0x40;

/// The victim's bulk data and the peer's acknowledgements of it, once in a round trip.
struct Bulk {
    forged: Forged,
    flow: rtmfp::SendFlowId,
    through: u64,
}

impl Bulk {
    fn new() -> Self {
        let mut forged = Forged::new(Config::default());
        let flow = forged.open();
        let mut bulk = Self { forged, flow, through: 0 };
        let sent = bulk.fill();
        bulk.note(&sent);
        bulk
    }

    fn fill(&mut self) -> Vec<Vec<Seen>> {
        while self.forged.victim.send_flow(self.flow).expect("it").unsent() < 200_000 {
            self.forged.write(self.flow, 10_000);
        }
        self.forged.answers()
    }

    fn note(&mut self, sent: &[Vec<Seen>]) {
        for seen in sent.iter().flatten() {
            if let Seen::Data { sequence, .. } = seen {
                self.through = self.through.max(*sequence);
            }
        }
    }

    fn window(&mut self) -> usize {
        let session = self.forged.victim.open_sessions()[0];
        self.forged.victim.session(session).expect("it").info().window
    }

    /// Acknowledges everything; answers by how much the window has grown.
    fn round(&mut self, flags: u8) -> usize {
        let before = self.window();
        self.forged.now += 50 * MILLI;
        let sent = self.forged.acknowledge(flags, 2, 1000, self.through);
        self.note(&sent);
        let sent = self.fill();
        self.note(&sent);
        self.window() - before
    }
}

#[test]
fn a_notice_of_time_critical_data_elsewhere_ends_slow_start_for_800_ms() {
    let mut bulk = Bulk::new();
    assert_eq!(bulk.round(0), MAX_FRAGMENT, "slow start");
    // A packet more than the window may be under way and be acknowledged with it, and growth goes by steps of 24 bytes.
    let most = |window: usize| 384.max(window / 200) * (window + MAX_FRAGMENT) / window + 24;
    for _ in 0..20 {
        let most = most(bulk.window());
        let grown = bulk.round(REVERSE);
        assert!(grown > 0 && grown <= most, "{grown}");
    }
    // The last notice holds for 15 more round trips of 50 ms.
    for _ in 0..15 {
        let most = most(bulk.window());
        assert!(bulk.round(0) <= most);
    }
    assert_eq!(bulk.round(0), MAX_FRAGMENT, "slow start goes on: nothing was lost");
}

fn open(config: Config, delay: Duration) -> (Hands, rtmfp::SendFlowId) {
    let mut hands = Hands::new(endpoint("a", 1, config.clone()), endpoint("b", 2, config));
    hands.network = Box::new(move |_, _| Fate::After(delay));
    let flow = hands.open(b"flow", Priority::Bulk);
    hands.write(flow, 10);
    hands.run(delay * 10 + 500 * MILLI);
    (hands, flow)
}

fn erto(hands: &mut Hands) -> Duration {
    let session = hands.session(0);
    hands.ends[0].session(session).expect("it").info().erto
}

#[test]
fn the_time_out_is_250_ms_at_least_and_allows_for_a_late_acknowledgement() {
    for millis in [0, 1, 20, 60, 400, 1500] {
        let delay = millis * MILLI;
        let (mut hands, flow) = open(Config::default(), delay);
        for _ in 0..40 {
            hands.write(flow, 10);
            hands.run(Duration::from_millis(777));
        }
        // Echoes tell the time in ticks of 4 ms.
        let least = (delay * 2 + 200 * MILLI - 8 * MILLI).max(250 * MILLI);
        let erto = erto(&mut hands);
        assert!(erto >= least && erto < least + 200 * MILLI, "{erto:?} with round trips of {:?}", delay * 2);
        assert_eq!(hands.ends[0].stats().timeouts, 0, "nothing is late");
    }
}

fn keepalive(seconds: u64) -> Config {
    let session = SessionConfig { keepalive: Duration::from_secs(seconds), ..SessionConfig::default() };
    Config { session, ..Config::default() }
}

#[test]
fn while_nothing_is_known_of_the_path_four_packets_and_4380_bytes_are_the_most() {
    let config = Config::default;
    let mut hands = Hands::new(endpoint("a", 1, config()), endpoint("b", 2, config()));
    let flow = hands.open(b"flow", Priority::FlashOverride);
    for _ in 0..200 {
        hands.write(flow, 1000);
    }
    // The handshake, but nothing that measures the path.
    hands.network = Box::new(|_, datagram| match kinds(&datagram.bytes)[0] {
        kind::IHELLO | kind::RHELLO | kind::IIKEYING | kind::RIKEYING => Fate::After(100 * MILLI),
        _ => Fate::Lost,
    });
    hands.run_millis(2500);
    let own: Vec<(Time, usize)> =
        hands.sent.iter().filter(|(_, end, _)| *end == 0).map(|(at, _, d)| (*at, d.bytes.len())).collect();
    assert!(own.len() > 4);
    for (from, _) in &own {
        let together = own.iter().filter(|(at, _)| at >= from && at.since(*from) < 200 * MILLI);
        let (packets, bytes) = together.fold((0, 0), |(packets, bytes), (_, len)| (packets + 1, bytes + len));
        assert!(packets <= 4 && bytes <= 4380, "{packets} packets of {bytes} bytes");
    }
}

#[test]
fn keep_alive_pings_are_empty_and_come_ever_later_without_a_reply() {
    let (mut hands, _) = open(keepalive(1), 20 * MILLI);
    hands.sent.clear();
    hands.run_millis(10_000);
    assert_eq!(hands.times(0, kind::PING).len(), 10);
    hands.network = Box::new(|_, _| Fate::Lost);
    let (before, from) = (erto(&mut hands), hands.now);
    hands.run_millis(60_000);
    let pings: Vec<Time> = hands.times(0, kind::PING).into_iter().filter(|at| *at > from).collect();
    let gaps: Vec<Duration> = pings.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    let mut expected = before;
    for gap in &gaps {
        assert!(gap.abs_diff(expected) < 2 * MILLI, "{gap:?}, not {expected:?}: {gaps:?}");
        expected = expected.mul_f64(core::f64::consts::SQRT_2).min(Duration::from_secs(10));
    }
    assert!(gaps.len() > 10 && erto(&mut hands) == Duration::from_secs(10));
    let ours =
        hands.sent.iter().filter(|(_, end, datagram)| *end == 0 && kinds(&datagram.bytes) == [kind::PING]);
    for (.., datagram) in ours {
        let clear = &datagram.bytes[8..datagram.bytes.len() - 2];
        assert!(clear.ends_with(&[kind::PING, 0, 0]), "not empty: {clear:?}");
    }
}

#[test]
fn keep_alive_pings_are_one_time_out_apart_on_the_slowest_path() {
    for millis in [20, 450, 950, 1400] {
        let (mut hands, _) = open(keepalive(1), millis * MILLI);
        hands.sent.clear();
        let mut last: Option<Time> = None;
        for _ in 0..4000 {
            let (known, erto) = (hands.times(0, kind::PING).len(), erto(&mut hands));
            hands.run_millis(10);
            for at in &hands.times(0, kind::PING)[known..] {
                let gap = last.map_or(Duration::MAX, |last| at.since(last));
                assert!(gap >= erto, "{gap:?} with a time-out of {erto:?}");
                last = Some(*at);
            }
        }
        assert!(hands.times(0, kind::PING).len() >= 5);
    }
}

#[test]
fn probes_end_when_the_window_is_open_again() {
    let (mut hands, flow) = open(Config::default(), 20 * MILLI);
    hands.reads = false;
    for _ in 0..200 {
        hands.write(flow, 1000);
    }
    hands.run_millis(30_000);
    assert!(hands.times(0, kind::BUFFER_PROBE).len() > 3);
    hands.reads = true;
    let offered = hands.offered(1)[0];
    hands.read_all(1, offered);
    hands.run_millis(5000);
    hands.sent.clear();
    for _ in 0..100 {
        hands.write(flow, 1000);
        hands.run_millis(2000);
    }
    assert!(hands.packets(0).iter().any(|(.., seen)| has_data(seen)));
    assert_eq!(hands.times(0, kind::BUFFER_PROBE), []);
    // Nor do they go on for a flow that has nothing to send.
    let mut forged = Forged::new(Config::default());
    let flow = forged.open();
    forged.write(flow, 10);
    forged.answers();
    forged.acknowledge(0, 2, 0, 1);
    let later = forged.now + Duration::from_secs(100);
    assert!(forged.wait_until(later).is_empty());
    forged.write(flow, 10);
    assert!(forged.answers().is_empty());
    let sent = forged.wait_until(later + Duration::from_secs(10));
    assert!(matches!(sent[0][..], [Seen::Probe { flow: 2 }]), "{sent:?}");
}
