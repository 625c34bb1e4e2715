//! What is in a Redirect, and when there is none.

use std::net::SocketAddr;

use bytes::Bytes;
use rtmfp::crypto::{DEFAULT_KEY, Profile};
use rtmfp::wire::{Chunk, Chunks, PacketHeader};
use rtmfp::{Config, Endpoint, Event};
use rtmfp_base::{Batch, InterfaceId, Time};
use rtmfp_netsim::HostId;
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::selection::{Policy, SelectionConfig};
use rtmfp_redirect::{
    Fixed, HashKey, PoolConfig, Rate, RedirectLimits, RegistrantConfig, ServerConfig, ServerLimits,
    TargetState, Users,
};

use crate::world::{SECOND, URI, World, at, client_epd, quick, target_name, users};

/// The addresses in the Redirects that an endpoint has to send to somebody.
fn redirects(endpoint: &mut Endpoint, now: Time, to: SocketAddr) -> Vec<Vec<SocketAddr>> {
    let mut batch = Batch::new(1 << 20);
    endpoint.poll_transmit(now, &mut batch);
    let mut profile = PlainProfile::new("nobody");
    let mut read = |datagram: &[u8]| {
        let mut packet = datagram[4..].to_vec();
        let clear = profile.open(DEFAULT_KEY, &mut packet).expect("a startup packet");
        let (_, chunks) = PacketHeader::parse(&packet[clear]).expect("its header");
        let (kind, payload) = Chunks::new(chunks).next().expect("a chunk");
        match Chunk::parse(kind, payload) {
            Ok(Chunk::Redirect(redirect)) => redirect.addresses().map(|address| address.addr).collect(),
            other => panic!("{other:?} is no Redirect"),
        }
    };
    batch.datagrams().filter(|(transmit, _)| transmit.to == to).map(|(_, bytes)| read(bytes)).collect()
}

/// The addresses that a redirector names to a client that asks from there; `None`: it does not answer.
fn named_to(world: &mut World, redirector: HostId, uri: &str, from: &str) -> Option<Vec<SocketAddr>> {
    let from = from.parse().unwrap();
    world.hello(redirector, &client_epd(uri), from);
    let mut answers = Vec::new();
    world.with_server(redirector, |_, now, endpoint| answers = redirects(endpoint, now, from));
    assert!(answers.len() < 2, "{answers:?}");
    answers.pop()
}

/// Bytes of the answers to a hello of so many bytes.
fn answered(world: &mut World, redirector: HostId, len: usize, from: SocketAddr) -> Vec<usize> {
    world.hello_of(len, redirector, &client_epd(URI), from);
    let mut batch = Batch::new(1 << 20);
    world.with_server(redirector, |_, now, endpoint| endpoint.poll_transmit(now, &mut batch));
    let to_there = batch.datagrams().filter(|(transmit, _)| transmit.to == from);
    to_there.map(|(_, bytes)| bytes.len()).collect()
}

fn named(world: &mut World, redirector: HostId) -> Vec<SocketAddr> {
    named_to(world, redirector, URI, "192.0.2.1:9").unwrap_or_default()
}

fn turns() -> ServerConfig {
    let selection = SelectionConfig { policy: Policy::RoundRobin, ..SelectionConfig::default() };
    ServerConfig { selection, ..ServerConfig::default() }
}

#[test]
fn static_addresses_come_first_then_those_of_the_targets_each_once_and_no_hidden_one() {
    let mut world = World::new(1);
    let config = ServerConfig { static_addresses: vec![at(200), at(201)], ..turns() };
    let redirector = world.redirector(1, config, Users::new());
    let hidden = world.target(10, &[1], quick());
    world.target(11, &[1], quick());
    world.run(SECOND);
    world.with(hidden, |registrant, now, endpoint| {
        registrant.set_load(now, endpoint, 1);
        registrant.set_additional_addresses(now, endpoint, &[at(77), at(78), at(77), at(11)]);
        registrant.set_advertise_reflexive(now, endpoint, false);
    });
    world.run(SECOND);
    let expected = [at(200), at(201), at(11), at(77), at(78)];
    assert_eq!(named(&mut world, redirector), expected);
}

#[test]
fn of_the_targets_in_an_answer_the_one_with_less_load_by_its_last_report_comes_first() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, turns(), Users::new());
    let targets = [10, 11].map(|last| world.target(last, &[1], quick()));
    world.run(SECOND);
    for (loads, first) in [([5, 3], 11), ([5, 7], 10), ([8, 7], 11)] {
        for (target, load) in targets.into_iter().zip(loads) {
            world.with(target, |registrant, now, endpoint| registrant.set_load(now, endpoint, load));
        }
        world.run(SECOND);
        assert_eq!(named(&mut world, redirector)[0], at(first), "{loads:?}");
    }
    // What was told while it took no clients counts as well.
    world.with(targets[0], |registrant, now, endpoint| {
        registrant.set_active(now, endpoint, false);
        registrant.set_load(now, endpoint, 6);
        registrant.set_active(now, endpoint, true);
        registrant.set_load(now, endpoint, 9);
        registrant.set_active(now, endpoint, false);
        registrant.set_active(now, endpoint, true);
    });
    world.run(SECOND);
    assert_eq!(named(&mut world, redirector), [at(11), at(10)]);
}

#[test]
fn an_ipv4_address_written_as_ipv6_is_of_the_family_that_it_belongs_to() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig { same_family: true, ..turns() }, Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let [mapped, other] = ["[::ffff:10.0.0.9]:1", "[2001:db8::9]:1"].map(|addr| addr.parse().unwrap());
    world.with(target, |registrant, now, endpoint| {
        registrant.set_additional_addresses(now, endpoint, &[mapped, other]);
    });
    world.run(SECOND);
    for from in ["192.0.2.1:9", "[::ffff:192.0.2.1]:9"] {
        assert_eq!(named_to(&mut world, redirector, URI, from), Some(vec![at(10), mapped]), "{from}");
    }
    assert_eq!(named_to(&mut world, redirector, URI, "[2001:db8::1]:9"), Some(vec![other]));
}

#[test]
fn hellos_are_counted_by_what_they_ask_for() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, turns(), Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    for epd in [client_epd(URI), target_name(URI, 10), target_name(URI, 99), b"\x03\0no".to_vec()] {
        world.hello(redirector, &epd, "192.0.2.1:9".parse().unwrap());
    }
    let stats = world.server(redirector).stats();
    assert_eq!((stats.hellos, stats.fingerprint_hellos, stats.ignored_hellos), (4, 2, 1));
    assert_eq!((stats.redirects, stats.unanswered_hellos, stats.failed_answers), (2, 1, 0));
}

#[test]
fn by_hash_of_the_whole_uri_clients_of_one_application_are_spread() {
    let mut world = World::new(1);
    let selection = SelectionConfig { policy: Policy::Hash, ..SelectionConfig::default() };
    let config = ServerConfig { selection, key: HashKey::Uri, ..ServerConfig::default() };
    let redirector = world.redirector(1, config, Users::new());
    for last in 10..18 {
        world.target(last, &[1], quick());
    }
    world.run(SECOND);
    let mut used: Vec<_> = (0..40)
        .map(|room| {
            let uri = format!("rtmfp://h/app?room={room}");
            let first = named_to(&mut world, redirector, &uri, "192.0.2.1:9").unwrap();
            assert_eq!(named_to(&mut world, redirector, &uri, "192.0.2.2:9").unwrap(), first);
            first
        })
        .collect();
    used.sort_unstable();
    used.dedup();
    assert!(used.len() >= 6, "{used:?}");
}

#[test]
fn at_least_one_target_is_named_whatever_is_configured() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig { targets: Some(0), ..turns() }, Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    assert_eq!(named(&mut world, redirector), [at(10)]);
}

#[test]
fn a_target_serves_the_pools_of_the_users_that_it_has_left() {
    let pool = |name: &str| PoolConfig {
        name: name.to_owned(),
        host: None,
        application: name.to_owned(),
        users: vec![name.as_bytes().to_vec()],
    };
    let mut world = World::new(1);
    let config = ServerConfig { pools: vec![pool("live"), pool("vod")], ..turns() };
    let both = users(&[("live", "l"), ("vod", "v")]);
    let redirector = world.redirector(1, config, both.clone());
    world.target(10, &[1], RegistrantConfig { users: both, ..quick() });
    world.run(SECOND);
    let served = |world: &mut World| {
        ["live", "vod"]
            .map(|pool| named_to(world, redirector, &format!("rtmfp://h/{pool}/x"), "192.0.2.1:9").is_some())
    };
    assert_eq!(served(&mut world), [true, true]);
    world.with_server(redirector, |server, now, endpoint| {
        server.set_users(now, endpoint, users(&[("live", "l"), ("vod", "new")]));
    });
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
    assert_eq!(served(&mut world), [true, false]);
    assert_eq!(world.server(redirector).pools().collect::<Vec<_>>(), [("", 0), ("live", 1), ("vod", 0)]);
}

#[test]
fn an_answer_has_three_times_the_bytes_of_its_hello_at_most_and_an_address_in_any_case() {
    let mut world = World::new(1);
    let static_addresses = (100..140).map(at).collect();
    let redirector = world.redirector(1, ServerConfig { static_addresses, ..turns() }, Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    let mut worst = 0.0_f64;
    for len in 60..400_usize {
        let answers = answered(&mut world, redirector, len, ([192, 0, 2, 1], 1000 + len as u16).into());
        // The rate of the prefix ends it.
        let Some(answer) = answers.first() else { break };
        assert!(answers.len() == 1 && *answer <= 3 * len, "{answers:?} for {len} bytes");
        worst = worst.max(*answer as f64 / len as f64);
    }
    println!("a redirector's answers to its hellos, {worst:.2} times their bytes at most");
    assert!(worst > 2.5, "there is room for more: {worst}");
    assert!(world.server(redirector).stats().redirects > 200);
    // One that is shorter than any gets one address or two.
    let from = "198.51.100.1:9".parse().unwrap();
    assert_eq!(answered(&mut world, redirector, 1, from).len(), 1);
}

#[test]
fn short_hellos_are_answered_as_often_as_long_ones_as_their_answers_are_short() {
    let mut world = World::new(1);
    let static_addresses = (100..140).map(at).collect();
    let redirector = world.redirector(1, ServerConfig { static_addresses, ..turns() }, Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    // As librtmfp's for a short URL.
    for host in 1..=200 {
        let from = SocketAddr::from(([192, 0, 2, host], 9));
        let answers = answered(&mut world, redirector, 36, from);
        assert!(answers.len() == 1 && answers[0] <= 3 * 36, "{answers:?}");
    }
}

#[test]
fn a_target_of_which_no_address_has_room_is_neither_named_nor_told_of_the_client() {
    let mut world = World::new(1);
    let static_addresses = vec![at(100), at(101)];
    let redirects = RedirectLimits { bytes: 14 + 7, ..RedirectLimits::default() };
    let limits = ServerLimits { redirects, ..ServerLimits::default() };
    let config = ServerConfig { static_addresses, limits, targets: Some(3), ..turns() };
    let redirector = world.redirector(1, config, Users::new());
    (10..13).for_each(|last| _ = world.target(last, &[1], quick()));
    world.run(SECOND);
    let mut answers = named(&mut world, redirector);
    assert_eq!(answers.len(), 3, "{answers:?}");
    answers.retain(|address| ![at(100), at(101)].contains(address));
    let figures: Vec<_> = world
        .targets(redirector)
        .into_iter()
        .map(|(_, info)| (answers.contains(&info.address) as u64, info.redirects, info.forwards))
        .collect();
    assert!(figures.iter().all(|&(named, redirects, forwards)| redirects == named && forwards == named));
    assert_eq!(world.server(redirector).stats().forwards, answers.len() as u64, "{figures:?}");
}

#[test]
fn a_target_without_addresses_hears_of_clients_of_both_families_where_families_do_not_matter() {
    let mut world = World::new(1);
    let config = ServerConfig { forward_any_family: true, ..turns() };
    let redirector = world.redirector(1, config, Users::new());
    let target = world.target(10, &[1], quick());
    world.with(target, |registrant, now, endpoint| {
        registrant.set_advertise_reflexive(now, endpoint, false);
    });
    world.run(SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
    for (number, from) in (1..).zip(["192.0.2.1:9", "[2001:db8::1]:9"]) {
        assert_eq!(named_to(&mut world, redirector, URI, from), None, "there is no address to tell");
        let info = world.targets(redirector).remove(0).1;
        assert_eq!((info.redirects, info.forwards), (0, number));
    }
    assert_eq!(world.server(redirector).stats().unanswered_hellos, 0);
    // It answers the client itself.
    let client = world.client(&[1]);
    world.run(SECOND);
    assert_eq!(world.landed(client), Some(at(10)));
}

// ---- without targets ----

struct Alone {
    endpoint: Endpoint,
    fixed: Fixed,
}

impl Alone {
    fn new(addresses: &[SocketAddr], rotate: bool, limits: RedirectLimits) -> Self {
        let profile = Box::new(PlainProfile::new("fixed"));
        let mut endpoint = Endpoint::new(Config::default(), profile, [1; 32], Time::ZERO);
        endpoint.add_interface(InterfaceId(0), at(1));
        let fixed = Fixed::new(addresses, rotate, limits, 7);
        fixed.start(&mut endpoint);
        Self { endpoint, fixed }
    }

    fn answers(&mut self, tag: &[u8]) -> Vec<Vec<SocketAddr>> {
        self.answers_to(tag, 1000, "192.0.2.1:9")
    }

    /// The answers to a hello of so many bytes.
    fn answers_to(&mut self, tag: &[u8], len: usize, from: &str) -> Vec<Vec<SocketAddr>> {
        let (now, from) = (Time::from_secs(1), from.parse().unwrap());
        let via = Some(InterfaceId(0).into());
        let hello = Event::UnmatchedIHello {
            epd: client_epd(URI).into(),
            tag: Bytes::copy_from_slice(tag),
            from,
            via,
            len,
        };
        assert!(self.fixed.on_event(now, &mut self.endpoint, &hello));
        redirects(&mut self.endpoint, now, from)
    }
}

#[test]
fn fixed_addresses_stay_in_their_order_or_take_turns_to_be_first() {
    let all = [at(10), at(11), at(12)];
    for (rotate, firsts) in [(false, [10, 10, 10, 10]), (true, [10, 11, 12, 10])] {
        let mut alone = Alone::new(&all, rotate, RedirectLimits::default());
        for first in firsts {
            let mut named = alone.answers(b"tag").concat();
            assert_eq!(named[0], at(first), "{rotate}");
            named.sort_unstable();
            assert_eq!(named, all);
        }
        assert_eq!((alone.fixed.redirects(), alone.fixed.limited()), (4, 0));
    }
}

#[test]
fn fixed_addresses_that_are_too_many_are_shortened_beside_any_tag() {
    let many: Vec<SocketAddr> = (1..=500).map(|port| (crate::world::ip(10), port).into()).collect();
    let mut alone = Alone::new(&many, false, RedirectLimits::default());
    assert_eq!(alone.answers(b"tag"), [&many[..512 / 7]]);
    let unlimited = RedirectLimits { bytes: usize::MAX, ..RedirectLimits::default() };
    let mut alone = Alone::new(&many, false, unlimited);
    for len in 0..200 {
        assert_eq!(alone.answers(&vec![7; len]).len(), 1, "beside a tag of {len} bytes");
    }
}

#[test]
fn fixed_addresses_are_told_at_the_rate_that_is_allowed() {
    let limits = RedirectLimits { prefix: Rate::new(2, 1), ..RedirectLimits::default() };
    let mut alone = Alone::new(&[at(10)], true, limits);
    let answers: Vec<usize> = (0..5).map(|_| alone.answers(b"tag").len()).collect();
    assert_eq!(answers, [1, 1, 0, 0, 0]);
    assert_eq!((alone.fixed.redirects(), alone.fixed.limited()), (2, 3));
}

#[test]
fn fixed_addresses_keep_to_the_length_of_the_hello_and_to_its_family_if_they_are_to() {
    let six: SocketAddr = "[2001:db8::9]:1".parse().unwrap();
    let all: Vec<SocketAddr> = (100..140).map(at).chain([six]).collect();
    let mut alone = Alone::new(&all, false, RedirectLimits::default());
    let count = |answers: Vec<Vec<SocketAddr>>| answers.concat().len();
    assert_eq!(count(alone.answers_to(b"tag", 1000, "192.0.2.1:9")), 41);
    let few = count(alone.answers_to(b"tag", 60, "192.0.2.1:9"));
    assert!((15..25).contains(&few), "{few}");
    assert!((1..=2).contains(&count(alone.answers_to(b"tag", 1, "192.0.2.1:9"))));
    alone.fixed.set_same_family(true);
    assert_eq!(count(alone.answers_to(b"tag", 1000, "192.0.2.1:9")), 40);
    assert_eq!(alone.answers_to(b"tag", 1000, "[2001:db8::1]:9"), [[six]]);
    assert_eq!(alone.fixed.limited(), 0);
    // One that a forwarder has brought.
    assert_eq!(count(alone.answers_to(b"tag", 0, "192.0.2.1:9")), 40);
}

/// A Redirect without addresses would send clients to where they have just come from.
#[test]
fn without_an_address_nobody_is_answered() {
    for (addresses, bytes) in [(&[][..], 512), (&[at(10)][..], 6)] {
        let limits = RedirectLimits { bytes, ..RedirectLimits::default() };
        let mut alone = Alone::new(addresses, true, limits);
        assert!(alone.answers(b"tag").is_empty(), "{addresses:?}");
        assert_eq!(alone.fixed.redirects(), 0);
    }
}
