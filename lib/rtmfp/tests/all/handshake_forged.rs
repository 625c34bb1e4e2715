//! Opening sessions against ends that answer by hand: cookies, Redirects, early packets, wrong answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::common::endpoint;
use crate::hand::{A, B, DELAY, Fate, Forger, Hands, deliver, events, kinds, parse, run_jobs, transmits, v4};
use bytes::Bytes;
use rtmfp::crypto::{DEFAULT_KEY, KeyingError, Profile};
use rtmfp::wire::{Address, Chunk, CookieChange, IIKeying, Mode, Origin, RHello, RIKeying, Redirect, kind};
use rtmfp::{Config, Disposition, Endpoint, Event, FlowSpec, KeyingFailure, Priority};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};

/// An endpoint that wants to talk with `b` at [`B`].
struct Caller {
    now: Time,
    endpoint: Endpoint,
    forger: Forger,
}

impl Caller {
    fn new() -> Self {
        let now = Time::from_secs(1);
        let mut endpoint = endpoint("a", 1, Config::default());
        endpoint.add_interface(InterfaceId(0), A);
        let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
        let flow = endpoint.open_flow(now, b"b", spec, Tag(7)).expect("a flow");
        endpoint.send_flow(flow).expect("it").add_candidate(now, B);
        let mut forger = Forger::new("b", B);
        forger.mode = Mode::Responder;
        Self { now, endpoint, forger }
    }

    /// What it sends now, as destination and chunks.
    fn sends(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        run_jobs(&mut self.endpoint, self.now);
        self.endpoint.handle_timeout(self.now);
        let sent = transmits(&mut self.endpoint, self.now);
        sent.into_iter().map(|(_, to, bytes)| (to, self.forger.open(DEFAULT_KEY, &bytes).1)).collect()
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn tag(&mut self) -> Vec<u8> {
        let sent = self.sends();
        match parse(&sent[0].1)[..] {
            [Chunk::IHello(hello)] => hello.tag.to_vec(),
            ref other => panic!("{other:?} instead of a hello"),
        }
    }

    fn gets_from(&mut self, from: SocketAddr, bytes: &[u8]) -> Disposition {
        deliver(&mut self.endpoint, self.now, from, bytes)
    }

    fn gets(&mut self, bytes: &[u8]) -> Disposition {
        self.gets_from(B, bytes)
    }

    /// Up to the keying; answers its chunks.
    fn reach_keying(&mut self) -> Vec<u8> {
        let tag = self.tag();
        let rhello = self.forger.rhello(&tag, b"cookie 1");
        self.gets(&rhello);
        let mut sent = self.sends();
        assert_eq!(sent.len(), 1);
        sent.remove(0).1
    }

    fn redirect(&mut self, tag: &[u8], addresses: &[Address]) -> Vec<u8> {
        let mut chunk = Vec::new();
        Redirect::write_to(tag, addresses, &mut chunk);
        self.forger.seal_clear(DEFAULT_KEY, 0, &[&[3], &chunk[..]].concat())
    }

    fn is_open(&mut self) -> bool {
        run_jobs(&mut self.endpoint, self.now);
        !self.endpoint.open_sessions().is_empty()
    }
}

fn keying(chunks: &[u8]) -> IIKeying<'_> {
    match parse(chunks)[..] {
        [Chunk::IIKeying(keying)] => keying,
        ref other => panic!("{other:?} instead of keying"),
    }
}

fn address(addr: SocketAddr) -> Address {
    Address { origin: Origin::Unknown, addr }
}

#[test]
fn one_cookie_change_is_followed_if_it_is_for_the_cookie_in_use() {
    let mut caller = Caller::new();
    let first = caller.reach_keying();
    assert_eq!(keying(&first).cookie, b"cookie 1");
    let id = keying(&first).session_id;
    let change = |caller: &mut Caller, old: &[u8], new: &[u8]| {
        let packet = caller.forger.startup(id, &[Chunk::CookieChange(CookieChange { old, new })]);
        caller.gets(&packet);
        caller.sends()
    };
    assert_eq!(change(&mut caller, b"cookie 0", b"cookie X"), []);
    let second = change(&mut caller, b"cookie 1", b"cookie 2");
    assert_eq!(second.len(), 1, "at once");
    let second = keying(&second[0].1);
    assert_eq!((second.cookie, second.component), (&b"cookie 2"[..], keying(&first).component));
    let signatures = caller.forger.profile.signatures();
    assert!(signatures.verify(b"a", second.signed, second.signature));
    assert_eq!(change(&mut caller, b"cookie 2", b"cookie 3"), [], "only once");
    // The schedule began anew.
    caller.wait(999);
    assert_eq!(caller.sends(), []);
    caller.wait(1);
    let third = caller.sends();
    assert_eq!(keying(&third[0].1).cookie, b"cookie 2");
    let answer = caller.forger.rikeying(&keying(&third[0].1));
    caller.gets(&answer);
    assert!(caller.is_open());
}

#[test]
fn an_initiator_whose_address_changes_before_its_keying_gets_another_cookie_and_opens_one_session() {
    let mut hands = Hands::new(endpoint("a", 1, Config::default()), endpoint("b", 2, Config::default()));
    hands.jobs = Box::new(|end| Fate::After(DELAY * (1 - end as u32)));
    let now = hands.now;
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = hands.ends[0].open_flow(now, b"b", spec, Tag(7)).expect("a flow");
    hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
    hands.run(DELAY * 2);
    hands.addresses[0] = v4(77);
    hands.run(DELAY * 7);
    assert_eq!([hands.opened(0), hands.opened(1)], [1, 1]);
    assert_eq!(hands.times(1, kind::COOKIE_CHANGE).len(), 1);
    let session = hands.ends[1].open_sessions()[0];
    assert_eq!(hands.ends[1].session(session).expect("it").info().far_address, v4(77));
}

#[test]
fn cookies_live_95_seconds_across_the_change_of_secrets_and_for_one_address() {
    for start in [1, 100, 119, 130, 239, 500] {
        for (age, good) in [(0, true), (60, true), (94, true), (96, false), (130, false), (400, false)] {
            let made = Time::from_secs(start);
            let mut b = endpoint("b", start, Config::default());
            let mut forger = Forger::new("a", A);
            let cookie = forger.cookie(made, &mut b, b"b");
            assert_eq!(cookie.len(), 64);
            let now = made + Duration::from_secs(age);
            let keying = forger.keying(&cookie, *b"salt");
            deliver(&mut b, now, A, &keying);
            run_jobs(&mut b, now);
            assert_eq!(b.session_count(), usize::from(good), "made at {start}, {age} s old");
            assert_eq!(b.stats().bad_cookies, u64::from(!good));
        }
    }
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    let mut forger = Forger::new("a", A);
    let cookie = forger.cookie(now, &mut b, b"b");
    let keying = forger.keying(&cookie, *b"salt");
    let other_port = SocketAddr::new(A.ip(), A.port() + 1);
    for from in [v4(9), other_port] {
        deliver(&mut b, now, from, &keying);
        let answer = transmits(&mut b, now);
        assert_eq!(kinds(&answer[0].2), [kind::COOKIE_CHANGE]);
        assert!(answer[0].2.len() <= 3 * keying.len());
    }
    for index in 0..64 {
        let mut forged = cookie.clone();
        forged[index] ^= 1;
        let keying = forger.keying(&forged, *b"salt");
        deliver(&mut b, now, A, &keying);
    }
    // Half of it tells who made it: the other half, for whom. Only the first is needed for a change.
    assert_eq!(b.stats().bad_cookies, 32);
    assert_eq!(transmits(&mut b, now).len(), 32);
    assert_eq!(b.session_count(), 0);
}

#[test]
fn a_keying_with_a_wrong_signature_makes_no_session() {
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    let mut forger = Forger::new("a", A);
    let cookie = forger.cookie(now, &mut b, b"b");
    let mut parameters = Vec::new();
    IIKeying::write_parameters(1, &cookie, b"a", b"salt", &mut parameters);
    let mut chunk = Vec::new();
    IIKeying::write_to(&parameters, b"signature", &mut chunk);
    let keying = forger.seal_clear(DEFAULT_KEY, 0, &[&[3], &chunk[..]].concat());
    deliver(&mut b, now, A, &keying);
    run_jobs(&mut b, now);
    assert_eq!(b.stats().failed_handshakes, 1);
    assert_eq!(b.holdings(), rtmfp::Holdings::default());
    assert!(transmits(&mut b, now).is_empty() && events(&mut b, now).is_empty());
}

#[test]
fn a_redirect_is_followed_to_all_its_addresses_and_the_first_answer_wins() {
    let mut caller = Caller::new();
    let tag = caller.tag();
    let redirect = caller.redirect(&tag, &[address(v4(3)), address(v4(4)), address(B), address(v4(3))]);
    assert_eq!(caller.gets(&redirect), Disposition::Consumed);
    let sent = caller.sends();
    assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [v4(3), v4(4)], "B is known");
    let rhello = caller.forger.rhello(&tag, b"cookie 1");
    caller.gets_from(v4(4), &rhello);
    caller.gets_from(v4(3), &rhello);
    let sent = caller.sends();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].0, v4(4));
    let answer = caller.forger.rikeying(&keying(&sent[0].1));
    // The responder's keying may come from anywhere; the far end stays where it was.
    caller.gets_from(v4(9), &answer);
    assert!(caller.is_open());
    let session = caller.endpoint.open_sessions()[0];
    assert_eq!(caller.endpoint.session(session).expect("it").info().far_address, v4(4));
}

#[test]
fn a_redirect_without_addresses_means_where_it_came_from() {
    let mut caller = Caller::new();
    let tag = caller.tag();
    let redirect = caller.redirect(&tag, &[]);
    caller.gets_from(v4(9), &redirect);
    assert_eq!(caller.sends().iter().map(|(to, _)| *to).collect::<Vec<_>>(), [v4(9)]);
    let stranger = caller.redirect(&[1; 16], &[address(v4(8))]);
    assert_eq!(caller.gets(&stranger), Disposition::NotOurs);
    assert_eq!(caller.sends(), []);
}

#[test]
fn redirects_name_24_addresses_at_most_and_none_that_leads_astray() {
    let mut caller = Caller::new();
    let tag = caller.tag();
    let astray = [
        "0.0.0.0:1935",
        "[::]:1935",
        "[::ffff:0.0.0.0]:1935",
        "224.0.0.1:1935",
        "[ff02::1]:1935",
        "[::ffff:224.0.0.1]:1935",
        "255.255.255.255:1935",
        "127.0.0.1:1935",
        "[::1]:1935",
        "192.0.2.200:0",
    ];
    let astray: Vec<_> = astray.iter().map(|text| address(text.parse().expect("an address"))).collect();
    let packet = caller.redirect(&tag, &astray);
    caller.gets(&packet);
    assert_eq!(caller.sends(), []);
    for round in 0..10u8 {
        let many: Vec<_> = (0..100).map(|n| address(SocketAddr::from(([203, 1, round, n], 1935)))).collect();
        let packet = caller.redirect(&tag, &many);
        caller.gets(&packet);
        caller.gets(&packet);
        assert_eq!(caller.sends().len(), if round == 0 { 24 } else { 0 });
    }
    // Each address gets one hello in a second.
    caller.wait(1000);
    assert_eq!(caller.sends().len(), 25);
    caller.wait(1000);
    assert_eq!(caller.sends(), []);
    // A redirector on this host may name another one on it.
    let mut caller = Caller::new();
    let tag = caller.tag();
    let packet = caller.redirect(&tag, &astray);
    caller.gets_from(SocketAddr::from(([127, 0, 0, 1], 1935)), &packet);
    assert_eq!(caller.sends().len(), 1, "there is no interface for IPv6");
}

#[test]
fn answers_to_other_hellos_or_with_other_certificates_are_ignored() {
    let mut caller = Caller::new();
    let tag = caller.tag();
    for (tag, certificate) in [(&tag[..], &b"mallory"[..]), (&tag, b""), (&[1; 16], b"b"), (b"", b"b")] {
        let hello = RHello { tag_echo: tag, cookie: b"cookie", certificate };
        let packet = caller.forger.startup(0, &[Chunk::RHello(hello)]);
        caller.gets(&packet);
        assert_eq!(caller.sends(), []);
    }
    let good = caller.forger.rhello(&tag, b"cookie 1");
    caller.gets(&good);
    assert_eq!(caller.sends().len(), 1);
    for _ in 0..3 {
        let again = caller.forger.rhello(&tag, b"cookie 2");
        assert_eq!(caller.gets_from(v4(5), &again), Disposition::Consumed);
        assert_eq!(caller.sends(), [], "the responder is chosen");
    }
    // Nor does a Redirect change that.
    let redirect = caller.redirect(&tag, &[address(v4(3))]);
    caller.gets(&redirect);
    assert_eq!(caller.sends(), []);
}

#[test]
fn a_wrong_keying_of_a_responder_does_not_stop_the_right_one() {
    let mut caller = Caller::new();
    let sent = caller.reach_keying();
    let request = keying(&sent);
    let good = caller.forger.rikeying(&request);
    let mut parameters = Vec::new();
    RIKeying::write_parameters(77, b"evil", &mut parameters);
    let unsigned = caller.forger.rikeying_with(&parameters, b"signature");
    let signature = caller.forger.profile.signatures().sign(&parameters);
    // Signed without the initiator's component: it may be of another session.
    let replayed = caller.forger.rikeying_with(&parameters, &signature);
    let mut parameters = Vec::new();
    RIKeying::write_parameters(0, b"good", &mut parameters);
    let nowhere = caller.forger.rikeying_with(&parameters, b"");
    for wrong in [unsigned, replayed, nowhere] {
        caller.gets(&wrong);
        assert!(!caller.is_open());
    }
    caller.gets(&good);
    assert!(caller.is_open());
    assert!(matches!(
        events(&mut caller.endpoint, caller.now)[..],
        [
            Event::KeyingFailed {
                initiator: true,
                failure: KeyingFailure::Refused(KeyingError::BadSignature),
                ..
            },
            Event::SessionOpened { initiator: true, .. },
            Event::FlowBound { .. },
        ]
    ));
}

#[test]
fn packets_that_overtake_the_responders_keying_are_kept_up_to_a_bound() {
    let mut caller = Caller::new();
    let sent = caller.reach_keying();
    let request = keying(&sent);
    let answer = caller.forger.rikeying(&request);
    for number in 0..60u8 {
        let early = caller.forger.packet(&[Chunk::Ping(&[number])]);
        assert_eq!(caller.gets(&early), Disposition::Consumed);
    }
    let long = vec![0; 1500];
    let too_long = caller.forger.packet(&[Chunk::Ping(&long)]);
    caller.gets(&too_long);
    caller.gets(&answer);
    assert!(caller.is_open());
    let key = caller.forger.key;
    let replies: Vec<Vec<u8>> = transmits(&mut caller.endpoint, caller.now)
        .iter()
        .flat_map(|(_, _, bytes)| {
            let (_, chunks) = caller.forger.open(key, bytes);
            let replies = parse(&chunks).into_iter().filter_map(|chunk| match chunk {
                Chunk::PingReply(message) => Some(message.to_vec()),
                _ => None,
            });
            replies.collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(replies, (42..60).map(|number| vec![number]).collect::<Vec<_>>(), "the last 18");
}

#[test]
fn what_a_responder_sends_at_once_is_there_when_its_late_keying_comes() {
    let mut hands = Hands::new(endpoint("a", 1, Config::default()), endpoint("b", 2, Config::default()));
    hands.network = Box::new(|_, datagram| {
        let late = kinds(&datagram.bytes) == [kind::RIKEYING];
        Fate::After(DELAY + Duration::from_millis(if late { 150 } else { 0 }))
    });
    let now = hands.now;
    let spec = FlowSpec { metadata: Bytes::from_static(b"early"), priority: Priority::Routine };
    let flow = hands.ends[0].open_flow(now, b"b", spec.clone(), Tag(7)).expect("a flow");
    hands.ends[0].send_flow(flow).expect("it").add_candidate(now, B);
    hands.run(DELAY * 3);
    let Event::SessionOpened { session, initiator: false } = hands.events[1][0] else {
        panic!("{:?}", hands.events[1]);
    };
    let now = hands.now;
    let flow = hands.ends[1].session(session).expect("open").open_flow(now, spec, Tag(8)).expect("a flow");
    let options = WriteOptions { notify: true, ..WriteOptions::default() };
    for _ in 0..3 {
        let mut flow = hands.ends[1].send_flow(flow).expect("it");
        flow.write(now, Message::from(vec![1; 900]), &options).expect("room");
    }
    hands.run(DELAY + Duration::from_millis(149));
    assert_eq!(hands.events[0], []);
    hands.run(Duration::from_millis(1) + DELAY);
    let sizes: Vec<_> = hands.received[0].values().flatten().map(|message| message.bytes.len()).collect();
    assert_eq!(sizes, [900; 3]);
    hands.run(DELAY);
    assert_eq!(hands.count(1, |e| matches!(e, Event::WriteEnded { delivered: true, .. })), 3);
    let data = hands.times(1, kind::USER_DATA);
    assert!(data.iter().all(|at| *at == data[0]), "nothing was sent again: {data:?}");
}

#[test]
fn flows_find_a_responders_session_by_identity_only_when_the_keys_were_shown() {
    let now = Time::from_secs(1);
    let mut b = endpoint("b", 1, Config::default());
    b.add_interface(InterfaceId(0), B);
    let mut forger = Forger::new("a", A);
    forger.connect(now, &mut b, b"b");
    let spec = || FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let before = b.open_flow(now, b"a", spec(), Tag(1)).expect("a flow");
    assert_eq!(b.send_flow(before).expect("it").session(), None);
    b.send_flow(before).expect("it").close(now);
    let ping = forger.packet(&[Chunk::Ping(b"")]);
    deliver(&mut b, now, A, &ping);
    let after = b.open_flow(now, b"a", spec(), Tag(1)).expect("a flow");
    assert_eq!(b.send_flow(after).expect("it").session(), Some(b.open_sessions()[0]));
}
