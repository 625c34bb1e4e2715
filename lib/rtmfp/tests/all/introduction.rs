//! Redirectors, forwarders and introducers: through NAT boxes, and against those who abuse them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::common::{PORT, Peer, endpoint, node};
use crate::hand::{A, B, Forger, deliver, events, kinds, parse, run_jobs, transmits, v4};
use bytes::Bytes;
use rtmfp::crypto::DEFAULT_KEY;
use rtmfp::driver::{Application, Node};
use rtmfp::wire::{Address, Chunk, FIHello, Origin, RHello, Redirect, kind};
use rtmfp::{
    Config, Disposition, Endpoint, Event, FIHelloMode, FlowSpec, IntroduceError, Priority, SendFlowId, Via,
};
use rtmfp_base::{InterfaceId, Message, Tag, Time, WriteOptions};
use rtmfp_netsim::{HostId, NatConfig, NatKind, NatPorts, Network};

const SECOND: Duration = Duration::from_secs(1);
const INTRODUCER: [u8; 4] = [10, 0, 0, 1];

/// What an introducer does with a hello for somebody with whom it has a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Redirects,
    Forwards,
    Both,
}

#[derive(Debug)]
struct Introducer(Role);

impl Application for Introducer {
    fn on_ready(&mut self, _now: Time, endpoint: &mut Endpoint) {
        endpoint.set_watch_hellos(true);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if let Event::FlowOffered { flow, .. } = event {
            return endpoint.accept(now, flow, Tag(0));
        }
        let Event::UnmatchedIHello { epd, tag, from, via, .. } = event else { return };
        for id in endpoint.open_sessions() {
            let mut session = endpoint.session(id).expect("an open one");
            let info = session.info();
            if info.epd != epd {
                continue;
            }
            if self.0 != Role::Redirects {
                session.forward_ihello(&epd, from, &tag).expect("room");
            }
            if self.0 != Role::Forwards {
                let there = Address { origin: Origin::Observed, addr: info.far_address };
                endpoint.send_redirect(via, from, &tag, &[there]).expect("room");
            }
        }
    }
}

/// An introducer, an initiator `a` and a responder `b`, each behind a NAT box of its own or not.
struct Scene {
    net: Network,
    a: HostId,
    b: HostId,
    flow: SendFlowId,
}

fn open(endpoint: &mut Endpoint, now: Time, epd: &[u8], to: SocketAddr) -> SendFlowId {
    let spec = FlowSpec { metadata: Bytes::from_static(b"flow"), priority: Priority::Routine };
    let flow = endpoint.open_flow(now, epd, spec, Tag(7)).expect("a flow");
    let mut opened = endpoint.send_flow(flow).expect("the flow");
    opened.add_candidate(now, to);
    opened.write(now, Message::from(b"hello".to_vec()), &WriteOptions::default()).expect("room");
    flow
}

impl Scene {
    fn new(role: Role, mode: FIHelloMode, nats: [Option<NatKind>; 2]) -> Self {
        let mut net = Network::new(1);
        let mut config = Config::default();
        config.session.fihello = mode;
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let introducer = Node::new(endpoint("i", 1, Config::default()), &[any], Introducer(role));
        net.add_host("introducer", &[IpAddr::from(INTRODUCER)], Box::new(introducer));
        let [a, b] = [(0, "a"), (1, "b")].map(|(end, name)| {
            let service = node(name, end as u64 + 2, config.clone());
            let public = IpAddr::from([10, 0, 0, end as u8 + 2]);
            let Some(kind) = nats[end] else { return net.add_host(name, &[public], service) };
            let ports = NatPorts::Random;
            let nat = net.add_nat("nat", public, NatConfig { kind, ports, ..NatConfig::default() });
            net.add_host_behind(nat, name, &[IpAddr::from([192, 168, 0, 1])], service)
        });
        net.run_for(Duration::from_millis(1));
        let introducer = SocketAddr::from((INTRODUCER, PORT));
        let now = net.now();
        open(net.service::<Node<Peer>>(b).endpoint(), now, b"i", introducer);
        net.run_for(SECOND);
        let now = net.now();
        let flow = open(net.service::<Node<Peer>>(a).endpoint(), now, b"b", introducer);
        net.run_for(SECOND * 8);
        Self { net, a, b, flow }
    }

    /// Whether `a` has reached `b`.
    fn met(&mut self) -> bool {
        let (a, flow) = (self.a, self.flow);
        let bound =
            self.net.service::<Node<Peer>>(a).endpoint().send_flow(flow).and_then(|mut f| f.session());
        let heard = self.net.peek::<Node<Peer>>(self.b).application.messages(b"flow");
        assert_eq!(bound.is_some(), heard == [b"hello"]);
        bound.is_some()
    }
}

const CONES: [NatKind; 3] = [NatKind::FullCone, NatKind::Restricted, NatKind::PortRestricted];

#[test]
fn an_introducer_brings_two_ends_together_through_any_two_cone_boxes() {
    for mode in [FIHelloMode::RHello, FIHelloMode::Redirect] {
        for near in CONES {
            for far in CONES {
                let mut scene = Scene::new(Role::Both, mode, [Some(near), Some(far)]);
                assert!(scene.met(), "{near:?} to {far:?}, {mode:?}");
            }
        }
    }
}

#[test]
fn a_symmetric_box_is_passed_if_the_other_one_does_not_ask_for_the_port() {
    let far = [(NatKind::FullCone, true), (NatKind::Restricted, true), (NatKind::PortRestricted, false)];
    for (other, expected) in far.into_iter().chain([(NatKind::Symmetric, false)]) {
        for nats in [[NatKind::Symmetric, other], [other, NatKind::Symmetric]] {
            let mut scene = Scene::new(Role::Both, FIHelloMode::RHello, nats.map(Some));
            assert_eq!(scene.met(), expected, "{nats:?}");
        }
    }
}

#[test]
fn forwarding_alone_is_enough_for_an_initiator_that_everybody_can_reach() {
    for near in [None, Some(NatKind::FullCone)] {
        for far in CONES {
            for mode in [FIHelloMode::RHello, FIHelloMode::Redirect] {
                let mut scene = Scene::new(Role::Forwards, mode, [near, Some(far)]);
                assert!(scene.met(), "{near:?} to {far:?}, {mode:?}");
            }
        }
    }
    let mut scene = Scene::new(Role::Forwards, FIHelloMode::Ignore, [None, None]);
    assert!(!scene.met(), "forwarded hellos are ignored unless they are wanted");
}

#[test]
fn redirecting_alone_is_enough_for_a_responder_that_everybody_can_reach() {
    for near in [None, Some(NatKind::PortRestricted), Some(NatKind::Symmetric)] {
        for far in [None, Some(NatKind::FullCone)] {
            let mut scene = Scene::new(Role::Redirects, FIHelloMode::Ignore, [near, far]);
            assert!(scene.met(), "{near:?} to {far:?}");
        }
        let mut scene = Scene::new(Role::Redirects, FIHelloMode::Ignore, [near, Some(NatKind::Restricted)]);
        assert!(!scene.met(), "{near:?}");
    }
}

#[test]
fn two_ends_that_are_introduced_to_each_other_at_once_get_one_session() {
    for nats in CONES.into_iter().flat_map(|near| CONES.map(|far| [Some(near), Some(far)])) {
        let mut scene = Scene::new(Role::Both, FIHelloMode::RHello, [nats[0], nats[1]]);
        // `a` is registered too, and now both open flows to each other.
        let [a, b] = [scene.a, scene.b];
        let introducer = SocketAddr::from((INTRODUCER, PORT));
        let now = scene.net.now();
        let session = scene.net.service::<Node<Peer>>(a).endpoint().open_sessions()[0];
        let near = scene.net.service::<Node<Peer>>(a).endpoint();
        near.session(session).expect("open").abort(now);
        open(near, now, b"i", introducer);
        scene.net.run_for(SECOND * 2);
        let now = scene.net.now();
        let flows = [(a, b"b"), (b, b"a")]
            .map(|(host, epd)| open(scene.net.service::<Node<Peer>>(host).endpoint(), now, epd, introducer));
        scene.net.run_for(SECOND * 20);
        for (host, flow) in [(a, flows[0]), (b, flows[1])] {
            let end = scene.net.service::<Node<Peer>>(host).endpoint();
            assert_eq!(end.session_count(), 2, "{nats:?}: one with the introducer, one with each other");
            assert!(end.send_flow(flow).expect("it").session().is_some());
        }
    }
}

// ---- by hand ----

fn watching() -> Endpoint {
    let mut end = endpoint("i", 1, Config::default());
    end.add_interface(InterfaceId(0), B);
    end.set_watch_hellos(true);
    end
}

#[test]
fn hellos_for_others_are_told_to_whoever_watches_only() {
    let now = Time::from_secs(1);
    let mut forger = Forger::new("a", A);
    let hello = forger.hello(b"somebody");
    let mut end = endpoint("i", 1, Config::default());
    assert_eq!(deliver(&mut end, now, A, &hello), Disposition::NotOurs);
    assert_eq!(events(&mut end, now), []);
    end.set_watch_hellos(true);
    assert_eq!(deliver(&mut end, now, A, &hello), Disposition::Consumed);
    let [Event::UnmatchedIHello { epd, tag, from, via, len }] = &events(&mut end, now)[..] else {
        panic!("no event")
    };
    assert_eq!((&epd[..], &tag[..], *from), (&b"somebody"[..], &[7; 16][..], A));
    assert_eq!(*via, Some(Via { interface: InterfaceId(0), src_ip: None }));
    assert_eq!(*len, hello.len());
    assert!(transmits(&mut end, now).is_empty());
    // Those for itself are answered.
    let hello = forger.hello(b"i");
    deliver(&mut end, now, A, &hello);
    assert_eq!(events(&mut end, now), []);
    assert_eq!(transmits(&mut end, now).len(), 1);
}

#[test]
fn who_limits_hellos_for_others_himself_hears_of_all_as_far_as_there_is_room() {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.limits.hellos.limit_watched = false;
    let mut end = endpoint("i", 1, config);
    end.set_watch_hellos(true);
    let mut forger = Forger::new("a", A);
    let (other, own) = (forger.hello(b"somebody"), forger.hello(b"i"));
    for _ in 0..20 {
        (0..200).for_each(|_| _ = deliver(&mut end, now, A, &other));
        assert_eq!(events(&mut end, now).len(), 200);
    }
    deliver(&mut end, now, A, &own);
    assert_eq!(transmits(&mut end, now).len(), 1, "they take nothing from those that it answers");
    (0..1000).for_each(|_| _ = deliver(&mut end, now, A, &other));
    assert_eq!((events(&mut end, now).len(), end.stats().limited_hellos), (256, 0));
}

#[test]
fn strangers_can_not_fill_the_queue_of_events() {
    let now = Time::from_secs(1);
    let mut end = watching();
    let mut forger = Forger::new("a", A);
    let hello = forger.hello(b"somebody");
    let answer = forger.rhello(b"whatever", b"cookie");
    for number in 0..20_000u32 {
        let from = SocketAddr::from((number.wrapping_mul(7919).to_be_bytes(), 1935));
        deliver(&mut end, now, from, if number % 2 == 0 { &hello } else { &answer });
    }
    assert_eq!(end.holdings().held_events, 256);
    let stats = end.stats().clone();
    assert_eq!(stats.unmatched_hellos + stats.limited_watched + stats.limited_hellos, 20_000);
    assert!(stats.limited_watched > 0 && stats.limited_hellos > 0);
    assert_eq!(events(&mut end, now).len(), 256);
    // There is room again, and one prefix has its rate only.
    let later = now + SECOND * 60;
    let told = (0..1000).filter(|_| {
        deliver(&mut end, later, A, &hello);
        !events(&mut end, later).is_empty()
    });
    assert_eq!(told.count(), 256);
}

fn addresses(chunks: &[u8]) -> Vec<Address> {
    match parse(chunks)[..] {
        [Chunk::Redirect(redirect)] => redirect.addresses().collect(),
        ref other => panic!("{other:?} instead of a Redirect"),
    }
}

#[test]
fn redirects_never_carry_an_address_of_unknown_origin() {
    let now = Time::from_secs(1);
    let mut end = watching();
    let mut forger = Forger::new("a", A);
    let origins = [Origin::Unknown, Origin::Reported, Origin::Observed, Origin::Relayed];
    let sent = origins.map(|origin| Address { origin, addr: v4(9) });
    end.send_redirect(Some(InterfaceId(0).into()), A, b"tag", &sent).expect("room");
    end.send_redirect(None, A, b"tag", &[]).expect("room");
    let packets = transmits(&mut end, now);
    assert!(packets.iter().all(|(interface, to, _)| (*interface, *to) == (InterfaceId(0), A)));
    let [first, second] = [0, 1].map(|n: usize| addresses(&forger.open(DEFAULT_KEY, &packets[n].2).1));
    let expected = [Origin::Reported, Origin::Reported, Origin::Observed, Origin::Relayed];
    assert_eq!(first.iter().map(|address| address.origin).collect::<Vec<_>>(), expected);
    assert_eq!(second, [], "implied");
}

#[test]
fn what_can_not_be_sent_is_an_error() {
    let mut config = Config::default();
    config.limits.control_queue = 2;
    let mut end = endpoint("i", 1, config);
    end.add_interface(InterfaceId(0), B);
    let v6: SocketAddr = "[2001:db8::1]:1935".parse().expect("an address");
    let many = vec![Address { origin: Origin::Reported, addr: v6 }; 231];
    assert_eq!(end.send_redirect(None, A, b"tag", &many), Err(IntroduceError::TooLong));
    assert_eq!(end.send_redirect(None, A, &[0; 70_000], &[]), Err(IntroduceError::TooLong));
    assert_eq!(end.send_ihello(None, A, &[1; 5000], b"tag"), Err(IntroduceError::TooLong));
    assert_eq!(end.send_redirect(None, v6, b"tag", &[]), Err(IntroduceError::NoInterface));
    assert_eq!(end.send_ihello(None, v6, b"b", b"tag"), Err(IntroduceError::NoInterface));
    assert_eq!(end.send_redirect(None, A, b"tag", &many[..200]), Ok(()));
    assert_eq!(end.send_ihello(None, A, b"b", b"tag"), Ok(()));
    assert_eq!(end.send_ihello(None, A, b"b", b"tag"), Err(IntroduceError::Busy));
    assert_eq!(end.stats().limited_control, 1);
}

#[test]
fn a_synthetic_hello_brings_its_answer_as_an_event() {
    let now = Time::from_secs(1);
    let mut end = watching();
    end.send_ihello(None, A, b"a", b"probe").expect("room");
    let packet = transmits(&mut end, now).remove(0);
    let mut other = endpoint("a", 2, Config::default());
    deliver(&mut other, now, B, &packet.2);
    let answer = transmits(&mut other, now).remove(0).2;
    deliver(&mut end, now, v4(5), &answer);
    let [Event::UnmatchedRHello { tag, certificate, from, .. }] = &events(&mut end, now)[..] else {
        panic!("no event")
    };
    assert_eq!((&tag[..], &certificate[..], *from), (&b"probe"[..], &b"a"[..], v4(5)));
    end.set_watch_hellos(false);
    assert_eq!(deliver(&mut end, now, A, &answer), Disposition::NotOurs);
}

/// An endpoint `b` with a session to a forwarder at [`A`].
fn forwarded(mode: FIHelloMode, change: impl FnOnce(&mut Config)) -> (Time, Endpoint, Forger) {
    let now = Time::from_secs(1);
    let mut config = Config::default();
    config.session.fihello = mode;
    change(&mut config);
    let mut end = endpoint("b", 1, config);
    end.add_interface(InterfaceId(0), B);
    end.add_interface(InterfaceId(1), v4(22));
    let mut forwarder = Forger::new("i", A);
    forwarder.connect(now, &mut end, b"b");
    let ping = forwarder.packet(&[Chunk::PingReply(b"")]);
    deliver(&mut end, now, A, &ping);
    transmits(&mut end, now);
    events(&mut end, now);
    (now, end, forwarder)
}

fn forward(forwarder: &mut Forger, epd: &[u8], reply: SocketAddr) -> Vec<u8> {
    let reply = Address { origin: Origin::Observed, addr: reply };
    forwarder.packet(&[Chunk::FIHello(FIHello { epd, reply, tag: &[5; 16] })])
}

#[test]
fn a_forwarded_hello_is_answered_as_the_session_is_set() {
    for mode in [FIHelloMode::Ignore, FIHelloMode::RHello, FIHelloMode::Redirect] {
        let (now, mut end, mut forwarder) = forwarded(mode, |_| {});
        let hello = forward(&mut forwarder, b"b", v4(7));
        deliver(&mut end, now, A, &hello);
        let sent = transmits(&mut end, now);
        let ways: Vec<_> = sent.iter().map(|(interface, to, _)| (interface.0, *to)).collect();
        if mode == FIHelloMode::Ignore {
            assert_eq!(ways, []);
            continue;
        }
        assert_eq!(ways, [(0, v4(7)), (1, v4(7))], "from every interface");
        let (_, chunks) = forwarder.open(DEFAULT_KEY, &sent[0].2);
        match (parse(&chunks)[0], mode) {
            (Chunk::RHello(RHello { tag_echo: [5, ..], cookie, certificate: b"b" }), FIHelloMode::RHello) => {
                // The cookie is good for whom it was sent to, and for nobody else.
                let mut initiator = Forger::new("a", v4(7));
                let keying = initiator.keying(cookie, *b"salt");
                deliver(&mut end, now, v4(8), &keying);
                assert_eq!(kinds(&transmits(&mut end, now)[0].2), [kind::COOKIE_CHANGE]);
                deliver(&mut end, now, v4(7), &keying);
                run_jobs(&mut end, now);
                assert_eq!(kinds(&transmits(&mut end, now)[0].2), [kind::RIKEYING]);
            }
            (Chunk::Redirect(redirect), FIHelloMode::Redirect) => {
                assert_eq!((redirect.tag_echo, redirect.addresses().count()), (&[5; 16][..], 0));
            }
            (other, _) => panic!("{other:?}"),
        }
        // The mode can be changed.
        let session = end.open_sessions()[0];
        end.session(session).expect("it").configure(now, |c| c.fihello = FIHelloMode::Ignore);
        let hello = forward(&mut forwarder, b"b", v4(7));
        deliver(&mut end, now, A, &hello);
        assert!(transmits(&mut end, now).is_empty());
    }
}

#[test]
fn a_rogue_forwarder_can_not_make_an_end_flood_anybody() {
    let (now, mut end, mut forwarder) = forwarded(FIHelloMode::RHello, |_| {});
    let mut sent = 0;
    for number in 0..2000u16 {
        // One network, many of its hosts and ports.
        let target = SocketAddr::from(([198, 51, 100, number as u8], 1000 + number));
        let hello = forward(&mut forwarder, b"b", target);
        deliver(&mut end, now + SECOND * u32::from(number) / 1000, A, &hello);
        sent += transmits(&mut end, now).len();
    }
    // A burst of 20, 10 a second, from two interfaces.
    assert!((2 * 38..=2 * 41).contains(&sent), "{sent}");
    assert!(end.stats().limited_forwards > 1900);
    let later = now + SECOND * 100;
    let answered = (0..2000u32).filter(|number| {
        let target = SocketAddr::from(((0xc800_0000 + number * 256).to_be_bytes(), 1935));
        let hello = forward(&mut forwarder, b"b", target);
        deliver(&mut end, later, A, &hello);
        !transmits(&mut end, later).is_empty()
    });
    assert_eq!(answered.count(), 256);
    // Nor have it send where a Redirect could not.
    let evening = later + SECOND * 100;
    let astray =
        ["224.0.0.1:9", "255.255.255.255:9", "0.0.0.0:9", "127.0.0.1:9", "10.0.0.1:9", "198.51.100.1:0"];
    for text in astray {
        let hello = forward(&mut forwarder, b"b", text.parse().expect("an address"));
        deliver(&mut end, evening, A, &hello);
        assert!(transmits(&mut end, evening).is_empty(), "{text}");
    }
    assert_eq!(end.stats().refused_addresses, 6);
}

#[test]
fn a_forwarded_hello_for_somebody_else_is_told_without_an_interface() {
    for (mode, told) in [(FIHelloMode::Ignore, 0), (FIHelloMode::RHello, 1), (FIHelloMode::Redirect, 1)] {
        let (now, mut end, mut forwarder) = forwarded(mode, |_| {});
        end.set_watch_hellos(true);
        let hello = forward(&mut forwarder, b"c", v4(7));
        deliver(&mut end, now, A, &hello);
        let events = events(&mut end, now);
        assert_eq!(events.len(), told, "{mode:?}");
        assert!(events.iter().all(|event| {
            matches!(event, Event::UnmatchedIHello { from, via: None, len: 0, .. } if *from == v4(7))
        }));
        assert!(transmits(&mut end, now).is_empty());
    }
}

#[test]
fn a_forwarder_sends_what_fits_and_names_the_address_as_observed() {
    let (now, mut end, mut far) = forwarded(FIHelloMode::Ignore, |_| {});
    let id = end.open_sessions()[0];
    let mut session = end.session(id).expect("it");
    assert_eq!(session.forward_ihello(&[1; 1200], v4(7), b"tag"), Err(IntroduceError::TooLong));
    assert_eq!(session.forward_ihello(b"epd", v4(7), &[1; 1200]), Err(IntroduceError::TooLong));
    assert_eq!(session.forward_ihello(b"epd", v4(7), b"tag"), Ok(()));
    let sent = transmits(&mut end, now);
    assert_eq!(sent.len(), 1);
    let (_, chunks) = far.open(far.key, &sent[0].2);
    let reply = Address { origin: Origin::Observed, addr: v4(7) };
    assert_eq!(parse(&chunks), [Chunk::FIHello(FIHello { epd: b"epd", reply, tag: b"tag" })]);
    // The longest that fits is not longer than a packet may be.
    let longest = (900..1200).rev().find(|&len| {
        let mut session = end.session(id).expect("it");
        session.forward_ihello(&vec![1; len], v4(7), b"tag").is_ok()
    });
    let sent = transmits(&mut end, now).remove(0).2;
    assert!(longest.is_some_and(|len| len > 1150) && sent.len() <= 4 + 1200 + 2, "{}", sent.len());
}

/// An endpoint that looks for `b` at [`A`] from two public addresses, the tag of its hellos, and somebody who answers.
fn looking(config: Config) -> (Time, Endpoint, SendFlowId, Vec<u8>, Forger) {
    let now = Time::from_secs(1);
    let mut end = endpoint("a", 1, config);
    end.add_interface(InterfaceId(0), B);
    let spec = FlowSpec { metadata: Bytes::new(), priority: Priority::Routine };
    let flow = end.open_flow(now, b"b", spec, Tag(7)).expect("a flow");
    end.send_flow(flow).expect("it").add_candidate(now, A);
    end.handle_timeout(now);
    let hello = transmits(&mut end, now).remove(0).2;
    let mut forger = Forger::new("i", A);
    let (_, chunks) = forger.open(DEFAULT_KEY, &hello);
    let Chunk::IHello(hello) = parse(&chunks)[0] else { panic!("no hello") };
    let tag = hello.tag.to_vec();
    (now, end, flow, tag, forger)
}

fn redirect(forger: &mut Forger, tag: &[u8], to: &[SocketAddr]) -> Vec<u8> {
    let addresses: Vec<_> = to.iter().map(|&addr| Address { origin: Origin::Reported, addr }).collect();
    let mut chunk = Vec::new();
    Redirect::write_to(tag, &addresses, &mut chunk);
    forger.seal_clear(DEFAULT_KEY, 0, &[&[3], &chunk[..]].concat())
}

#[test]
fn candidates_may_be_added_with_a_delay_of_their_own() {
    let (now, mut end, flow, ..) = looking(Config::default());
    let mut flow = end.send_flow(flow).expect("it");
    flow.add_candidate_after(now, v4(7), SECOND / 4);
    flow.add_candidate_after(now, v4(8), SECOND * 2);
    flow.add_candidate_after(now, v4(7), Duration::ZERO);
    let mut sent = Vec::new();
    while let Some((at, _)) = end.poll_timeout().filter(|(at, _)| *at <= now + SECOND * 5) {
        end.handle_timeout(at);
        let millis = at.since(now).as_millis();
        sent.extend(transmits(&mut end, at).iter().map(|(_, to, _)| (millis, *to)));
    }
    let expected =
        [(250, v4(7)), (1000, A), (1250, v4(7)), (2000, v4(8)), (3000, v4(8)), (3500, A), (3750, v4(7))];
    assert_eq!(sent, expected);
}

#[test]
fn a_redirector_that_names_one_host_many_times_gets_it_one_hello_in_a_tenth_of_a_second() {
    let (now, mut end, _, tag, mut forger) = looking(Config::default());
    let victim = |port| SocketAddr::from(([203, 0, 113, 5], port));
    for round in 0..50u16 {
        let mapped = SocketAddr::from(([0, 0, 0, 0, 0, 0xffff, 0xcb00, 0x7105], 1));
        let many: Vec<_> = (0..40).map(|port| victim(1 + port + 40 * round)).chain([mapped]).collect();
        let packet = redirect(&mut forger, &tag, &many);
        deliver(&mut end, now, A, &packet);
    }
    let mut times = Vec::new();
    while let Some((at, _)) = end.poll_timeout().filter(|(at, _)| *at < now + SECOND) {
        end.handle_timeout(at);
        times.extend(transmits(&mut end, at).iter().map(|_| at.since(now).as_millis()));
    }
    assert_eq!(times, [0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    assert_eq!(end.stats().limited_addresses, 50 * 40 - 24);
}

#[test]
fn private_addresses_are_tried_if_the_redirector_is_in_a_private_network_or_the_host_says_so() {
    let private = ["10.1.2.3:9", "172.20.0.1:9", "192.168.1.1:9", "169.254.3.4:9", "100.64.1.1:9"];
    let private: Vec<SocketAddr> = private.iter().map(|text| text.parse().expect("an address")).collect();
    for (from, allowed, expected) in [
        (A, false, 0),
        (A, true, 5),
        (SocketAddr::from(([10, 9, 9, 9], 1935)), false, 5),
        (SocketAddr::from(([127, 0, 0, 1], 1935)), false, 5),
    ] {
        let config = Config { private_redirects: allowed, ..Config::default() };
        let (now, mut end, _, tag, mut forger) = looking(config);
        let packet = redirect(&mut forger, &tag, &private);
        deliver(&mut end, now, from, &packet);
        end.handle_timeout(now);
        assert_eq!(transmits(&mut end, now).len(), expected, "from {from}, {allowed}");
        assert_eq!(end.stats().refused_addresses, 5 - expected as u64);
        // Where it is itself it may always mean.
        let packet = redirect(&mut forger, &tag, &[]);
        deliver(&mut end, now, SocketAddr::from(([10, 3, 3, 3], 7)), &packet);
        end.handle_timeout(now);
        assert_eq!(transmits(&mut end, now).len(), 1);
    }
}
