//! Where clients are sent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtmfp_netsim::{HostId, for_each_seed};
use rtmfp_redirect::selection::{Policy, SelectionConfig};
use rtmfp_redirect::wire::FULL_LOAD;
use rtmfp_redirect::{HashKey, ServerConfig, TargetState, Users};

use crate::world::{SECOND, URI, World, at, client_epd, quick, target_name};

fn one(policy: Policy) -> ServerConfig {
    let selection = SelectionConfig { policy, ..SelectionConfig::default() };
    ServerConfig { selection, targets: Some(1), ..ServerConfig::default() }
}

#[test]
fn clients_are_sent_to_targets_and_spread_among_them() {
    for_each_seed(3, |seed| {
        for policy in [Policy::LeastLoad, Policy::RoundRobin] {
            let mut world = World::new(seed);
            world.redirector(1, one(policy), Users::new());
            let targets: Vec<_> = (10..14).map(|last| world.target(last, &[1], quick())).collect();
            world.run(SECOND);
            let clients: Vec<_> = (0..60).map(|_| world.client(&[1])).collect();
            world.run(2 * SECOND);
            assert!(clients.iter().all(|&client| world.landed(client).is_some()));
            let counts = world.counts(&targets);
            println!("seed {seed}, {policy:?}: {counts:?}");
            // Of two that are drawn the less loaded one is chosen: the least loaded of all is not always among them.
            let even = if policy == Policy::LeastLoad { 10..=20 } else { 15..=15 };
            assert!(counts.iter().all(|count| even.contains(count)), "{policy:?}: {counts:?}");
        }
    });
}

#[test]
fn a_target_that_drains_or_is_full_gets_no_more_clients_at_once_until_it_wants_some_again() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, one(Policy::RoundRobin), Users::new());
    let targets: Vec<_> = (10..13).map(|last| world.target(last, &[1], quick())).collect();
    world.run(SECOND);
    world.with(targets[0], |registrant, now, endpoint| registrant.set_active(now, endpoint, false));
    world.with(targets[1], |registrant, now, endpoint| registrant.set_load(now, endpoint, FULL_LOAD));
    world.run(Duration::from_millis(50));
    assert_eq!(
        world.target_states(redirector),
        [TargetState::Draining, TargetState::Full, TargetState::Active]
    );
    for _ in 0..10 {
        world.client(&[1]);
    }
    world.run(SECOND);
    assert_eq!(world.counts(&targets), [0, 0, 10]);
    world.with(targets[0], |registrant, now, endpoint| registrant.set_active(now, endpoint, true));
    world.with(targets[1], |registrant, now, endpoint| registrant.set_load(now, endpoint, 1));
    world.run(Duration::from_millis(50));
    for _ in 0..9 {
        world.client(&[1]);
    }
    world.run(SECOND);
    assert_eq!(world.counts(&targets), [3, 3, 13]);
}

#[test]
fn a_target_that_is_killed_delays_nobody_with_two_targets_for_each_client_and_is_soon_out() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let targets: Vec<_> = (10..13).map(|last| world.target(last, &[1], quick())).collect();
        world.run(SECOND);
        world.network.vanish(targets[0]);
        let clients: Vec<_> = (0..20).map(|_| world.client(&[1])).collect();
        world.run(3 * SECOND);
        assert!(clients.iter().all(|&client| world.landed(client).is_some()), "within 3 s");
        world.run(6 * SECOND);
        assert_eq!(world.target_states(redirector)[0], TargetState::Silent);
        assert_eq!(world.server(redirector).stats().silenced, 1);
        world.run(10 * SECOND);
        assert_eq!(world.target_states(redirector), [TargetState::Active; 2]);
        assert_eq!(world.server(redirector).stats().lost, 1);
    });
}

#[test]
fn a_target_that_is_quiet_for_a_while_is_back_when_it_is_heard_again() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let targets = [10, 11].map(|last| world.target(last, &[1], quick()));
    world.run(SECOND);
    world.network.partition(redirector, targets[0]);
    world.run(8 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Silent, TargetState::Active]);
    world.network.heal(redirector, targets[0]);
    world.run(5 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active; 2]);
}

#[test]
fn a_look_up_by_fingerprint_finds_the_very_peer_also_while_it_drains() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let targets: Vec<_> = (10..15).map(|last| world.target(last, &[1], quick())).collect();
        world.run(SECOND);
        world.with(targets[2], |registrant, now, endpoint| registrant.set_active(now, endpoint, false));
        world.run(Duration::from_millis(100));
        let client = world.client_of(target_name(URI, 12), &[1]);
        let nobody = world.client_of(target_name(URI, 200), &[1]);
        world.run(2 * SECOND);
        assert_eq!(world.landed(client), Some(at(12)));
        assert_eq!(world.landed(nobody), None);
        let info = &world.targets(redirector)[2].1;
        assert!((info.state, info.redirects, info.forwards) == (TargetState::Draining, 1, 1), "{info:?}");
    });
}

/// Whom a redirector sends a client to that asks for a URI.
fn chosen(world: &mut World, redirector: HostId, uri: &str) -> Vec<SocketAddr> {
    let counts = |world: &World| -> Vec<_> {
        world.targets(redirector).into_iter().map(|(_, info)| (info.address, info.redirects)).collect()
    };
    let before = counts(world);
    world.hello(redirector, &client_epd(uri), "192.0.2.1:5".parse().unwrap());
    let chosen = counts(world).into_iter().zip(before).filter(|(after, before)| after != before);
    chosen.map(|((address, _), _)| address).collect()
}

#[test]
fn by_hash_clients_of_one_application_meet_at_one_target_also_through_another_redirector() {
    let mut world = World::new(1);
    let config = || ServerConfig { targets: None, ..one(Policy::Hash) };
    let redirectors = [1, 2].map(|last| world.redirector(last, config(), Users::new()));
    for last in 10..18 {
        world.target(last, &[1, 2], quick());
    }
    world.run(SECOND);
    let mut used = Vec::new();
    for application in 0..40 {
        let uri = format!("rtmfp://h/app{application}");
        let with_query = format!("{uri}?session={application}");
        let meeting = chosen(&mut world, redirectors[0], &uri);
        assert_eq!(meeting.len(), 1);
        assert_eq!(chosen(&mut world, redirectors[0], &with_query), meeting);
        assert_eq!(chosen(&mut world, redirectors[1], &uri), meeting);
        used.extend(meeting);
    }
    used.sort_unstable();
    used.dedup();
    assert!(used.len() >= 6, "{used:?}");
}

#[test]
fn by_hash_clients_may_bring_the_key_themselves() {
    let mut world = World::new(1);
    let key = HashKey::Parameter("room".to_owned());
    let redirector =
        world.redirector(1, ServerConfig { key, targets: None, ..one(Policy::Hash) }, Users::new());
    for last in 10..18 {
        world.target(last, &[1], quick());
    }
    world.run(SECOND);
    let mut used = Vec::new();
    for room in 0..40 {
        let meeting = chosen(&mut world, redirector, &format!("rtmfp://h/app?room={room}&x=1"));
        assert_eq!(chosen(&mut world, redirector, &format!("rtmfp://other/else?room={room}")), meeting);
        used.extend(meeting);
    }
    used.sort_unstable();
    used.dedup();
    assert!(used.len() >= 6, "{used:?}");
}

#[test]
fn redirects_begin_with_static_addresses_and_name_no_address_twice() {
    let mut world = World::new(1);
    let static_addresses = vec![at(200), at(200)];
    let redirector =
        world.redirector(1, ServerConfig { static_addresses, ..one(Policy::RoundRobin) }, Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let more = [
        at(10),
        at(11),
        at(11),
        SocketAddr::new(IpAddr::from([224, 0, 0, 1]), 1),
        (crate::world::ip(9), 0).into(),
    ];
    world.with(target, |registrant, now, endpoint| {
        registrant.set_additional_addresses(now, endpoint, &more);
    });
    world.run(Duration::from_millis(100));
    let info = world.targets(redirector).remove(0).1;
    assert_eq!(info.settings.addresses.len(), 3, "what can't be sent to is left out");
    assert_eq!(world.server(redirector).stats().unusable_addresses, 2);
    let client = world.client(&[1]);
    world.run(SECOND);
    assert_eq!(world.landed(client), Some(at(10)));
}

#[test]
fn a_target_with_very_many_addresses_is_still_redirected_to() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let targets = [10, 11].map(|last| world.target(last, &[1], quick()));
    world.run(SECOND);
    for (net, target) in (1..).zip(targets) {
        let many: Vec<SocketAddr> =
            (1..=231).map(|port| format!("[2001:db8:{net}::1]:{port}").parse().unwrap()).collect();
        world.with(target, |registrant, now, endpoint| {
            registrant.set_additional_addresses(now, endpoint, &many);
        });
    }
    world.run(SECOND);
    let stats = world.server(redirector).stats();
    assert_eq!(stats.limited_addresses, 2 * (231 - 16));
    let client = world.client(&[1]);
    world.run(SECOND);
    assert!(world.landed(client).is_some());
    assert!(world.server(redirector).stats().shortened_redirects > 0);
}

#[test]
fn addresses_and_forwards_may_be_kept_to_the_family_of_the_client() {
    for (same_family, forward_any_family, redirects, forwards) in
        [(false, false, 1, 0), (true, false, 0, 0), (true, true, 0, 1), (false, true, 1, 1)]
    {
        let mut world = World::new(1);
        let config = ServerConfig { same_family, forward_any_family, ..ServerConfig::default() };
        let redirector = world.redirector(1, config, Users::new());
        world.target(10, &[1], quick());
        world.run(SECOND);
        world.hello(redirector, &client_epd(URI), "[2001:db8::7]:9".parse().unwrap());
        let stats = world.server(redirector).stats();
        assert_eq!(
            (stats.redirects, stats.forwards),
            (redirects, forwards),
            "{same_family} {forward_any_family}"
        );
    }
}

#[test]
fn a_target_without_addresses_gets_no_clients() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.with(target, |registrant, now, endpoint| {
        registrant.set_advertise_reflexive(now, endpoint, false);
    });
    world.run(SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Unreachable]);
    let client = world.client(&[1]);
    world.run(SECOND);
    assert_eq!(world.landed(client), None);
    assert!(world.server(redirector).stats().unanswered_hellos > 0);
}

#[test]
fn a_target_that_moves_is_found_where_it_is_then() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.moving_target(10, &[1], quick());
    world.run(SECOND);
    world.network.move_host(target, None, &[crate::world::ip(99)]);
    world.run(15 * SECOND);
    assert_eq!(world.targets(redirector)[0].1.address, at(99));
    let id = world.app(target).registrant.redirectors().next().unwrap().0;
    assert_eq!(world.app(target).registrant.reflexive(id).unwrap().addr, at(99));
    assert_eq!(world.server(redirector).stats().registrations, 1, "in the same session");
    let client = world.client(&[1]);
    world.run(SECOND);
    assert_eq!(world.landed(client), Some(at(99)));
}

#[test]
fn a_client_is_sent_to_targets_with_an_address_of_its_family_while_there_are_any() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let four = world.target(10, &[1], quick());
    // These are seen by IPv4; where the last one is to be found is another matter.
    world.target(11, &[1], quick());
    let six = world.target(12, &[1], quick());
    world.run(SECOND);
    let address: SocketAddr = "[2001:db8::12]:1935".parse().unwrap();
    world.with(six, |registrant, now, endpoint| {
        registrant.set_additional_addresses(now, endpoint, &[address]);
        registrant.set_advertise_reflexive(now, endpoint, false);
    });
    world.run(SECOND);
    let named = |world: &World| -> Vec<u64> {
        world.targets(redirector).iter().map(|(_, info)| info.redirects).collect()
    };
    for port in 1..=20 {
        world.hello(redirector, &client_epd(URI), ([10, 9, 9, 9], port).into());
    }
    assert_eq!(named(&world), [20, 20, 0]);
    for port in 1..=20 {
        world.hello(redirector, &client_epd(URI), SocketAddr::new("2001:db8::1".parse().unwrap(), port));
    }
    assert_eq!(named(&world), [20, 20, 20]);
    // Those who have no choice are told what there is.
    world.with(six, |registrant, now, endpoint| registrant.set_active(now, endpoint, false));
    world.run(SECOND);
    world.hello(redirector, &client_epd(URI), SocketAddr::new("2001:db8::1".parse().unwrap(), 99));
    assert_eq!(named(&world), [21, 21, 20]);
    // A target that is told to have moved is found where it is now.
    world.with(six, |registrant, now, endpoint| registrant.set_active(now, endpoint, true));
    world.with(four, |registrant, now, endpoint| registrant.set_active(now, endpoint, false));
    world.with(six, |registrant, now, endpoint| registrant.set_advertise_reflexive(now, endpoint, true));
    world.run(SECOND);
    world.hello(redirector, &client_epd(URI), ([10, 9, 9, 9], 99).into());
    assert_eq!(named(&world), [21, 22, 21]);
}

#[test]
fn turns_go_another_way_at_their_interval_and_reports_change_nothing_in_them() {
    for shuffle_interval in [Duration::ZERO, 5 * SECOND] {
        let mut world = World::new(1);
        let config = ServerConfig { shuffle_interval, ..one(Policy::RoundRobin) };
        let redirector = world.redirector(1, config, Users::new());
        let targets: Vec<_> = (10..30).map(|last| world.target(last, &[1], quick())).collect();
        world.run(SECOND);
        let round = |world: &mut World| -> Vec<_> {
            (0..20).flat_map(|_| chosen(world, redirector, "rtmfp://h/app")).collect()
        };
        // The first timeout begins the interval.
        world.run(SECOND);
        let first = round(&mut world);
        world.run(2 * SECOND);
        for (load, &target) in (1..).zip(&targets) {
            world.with(target, |registrant, now, endpoint| registrant.set_load(now, endpoint, load));
        }
        world.run(Duration::from_millis(500));
        assert_eq!(round(&mut world), first, "{shuffle_interval:?}");
        world.run(10 * SECOND);
        assert_eq!(round(&mut world) == first, shuffle_interval.is_zero(), "{shuffle_interval:?}");
    }
}
