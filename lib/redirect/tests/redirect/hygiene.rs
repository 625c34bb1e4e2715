//! What strangers and bad registrants cost.

use std::time::Duration;

use rtmfp::driver::Node;
use rtmfp_base::{Message, Tag};
use rtmfp_netsim::HostId;
use rtmfp_redirect::wire::Command;
use rtmfp_redirect::{
    Rate, RedirectLimits, RegistrantConfig, ServerConfig, ServerLimits, TargetState, Users,
};

use crate::world::{RedirectorApp, SECOND, TargetApp, URI, World, at, client_epd, quick, users};

fn limited(change: impl FnOnce(&mut ServerLimits)) -> ServerConfig {
    let mut config = ServerConfig::default();
    change(&mut config.limits);
    config
}

/// Sends a redirector messages by a flow of its own, in the session that a registrant has opened.
pub(crate) fn send(world: &mut World, target: HostId, messages: Vec<Vec<u8>>) {
    world.with(target, |_, now, endpoint| {
        let session = endpoint.open_sessions()[0];
        let metadata = bytes::Bytes::from_static(rtmfp_redirect::wire::METADATA);
        let spec = rtmfp::FlowSpec { metadata, priority: rtmfp::Priority::Routine };
        let flow = endpoint.session(session).unwrap().open_flow(now, spec, Tag(5)).unwrap();
        for message in messages {
            let mut flow = endpoint.send_flow(flow).unwrap();
            flow.write(now, Message::from(message), &Default::default()).unwrap();
        }
    });
}

#[test]
fn hellos_from_one_network_are_answered_at_its_rate_and_others_are_served() {
    let rates = RedirectLimits { prefix: Rate::new(20, 10), ..RedirectLimits::default() };
    let mut world = World::new(1);
    let redirector = world.redirector(1, limited(|limits| limits.redirects = rates), Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    for host in 0..5000u32 {
        world.hello(redirector, &client_epd(URI), ([192, 0, 2, host as u8], 1000 + host as u16).into());
    }
    let stats = world.server(redirector).stats();
    assert_eq!((stats.redirects, stats.limited_hellos), (20, 4980));
    let client = world.client(&[1]);
    world.run(SECOND);
    assert_eq!(world.landed(client), Some(at(10)));
}

#[test]
fn hellos_from_everywhere_are_answered_at_one_rate() {
    let rates = RedirectLimits { total: Rate::new(100, 10), ..RedirectLimits::default() };
    let mut world = World::new(1);
    let redirector = world.redirector(1, limited(|limits| limits.redirects = rates), Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    for host in 0..20_000u32 {
        let [_, a, b, c] = host.to_be_bytes();
        world.hello(redirector, &client_epd(URI), ([172, b, c, a], 1000).into());
    }
    let stats = world.server(redirector).stats();
    assert_eq!((stats.redirects, stats.limited_hellos), (100, 19_900));
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
}

#[test]
fn there_are_no_more_registrants_than_allowed() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, limited(|limits| limits.clients = 3), Users::new());
    let targets: Vec<_> = (10..16).map(|last| world.target(last, &[1], quick())).collect();
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 3);
    assert_eq!(world.server(redirector).stats().limited_clients, 3);
    // A place that becomes free is taken when the next one tries again.
    let is_in = |world: &World, target: HostId| {
        world.app(target).states().last() == Some(&rtmfp_redirect::RegistrantState::Registered)
    };
    let leaving = targets.iter().copied().find(|&target| is_in(&world, target)).expect("one of three");
    world.with(leaving, |registrant, now, endpoint| registrant.close(now, endpoint));
    world.run(6 * SECOND);
    assert_eq!(world.server(redirector).target_count(), 3);
}

#[test]
fn those_who_have_not_authenticated_leave_room_for_those_who_have() {
    let config = limited(|limits| limits.unauthenticated = 2);
    let mut world = World::new(1);
    let redirector = world.redirector(1, config, users(&[("a", "b")]));
    let wrong = [10, 11, 12, 13, 14, 15].map(|last| {
        world.run(SECOND / 10);
        world.target(last, &[1], RegistrantConfig { users: users(&[("a", "wrong")]), ..quick() })
    });
    world.run(SECOND / 10);
    assert_eq!(world.server(redirector).target_count(), 2, "the oldest make room");
    assert_eq!(world.server(redirector).stats().limited_unauthenticated, 4);
    world.target(20, &[1], RegistrantConfig { users: users(&[("a", "b")]), ..quick() });
    world.run(SECOND);
    assert!(world.target_states(redirector).contains(&TargetState::Active));
    let told =
        |&target: &HostId| world.app(target).states().contains(&rtmfp_redirect::RegistrantState::BadAuth);
    assert_eq!(
        wrong.iter().filter(|target| told(target)).count(),
        5,
        "who makes room is told what was wrong"
    );
}

#[test]
fn two_hosts_can_not_keep_the_others_of_the_world_out() {
    let mut world = World::new(1);
    let config = limited(|limits| limits.unauthenticated = 16);
    let redirector = world.redirector(1, config, users(&[("a", "b")]));
    for net in [7, 8] {
        for host in 1..=10 {
            world.target_at(([10, 0, net, host], 1935).into(), net * 10 + host, &[1], quick());
        }
    }
    world.run(SECOND);
    let stats = world.server(redirector).stats();
    assert_eq!((stats.limited_unauthenticated_per_prefix, stats.limited_unauthenticated), (4, 0));
    assert_eq!(world.server(redirector).target_count(), 16, "each network has its share");
    world.target(10, &[1], RegistrantConfig { users: users(&[("a", "b")]), ..quick() });
    world.run(SECOND / 2);
    assert_eq!(world.server(redirector).stats().limited_unauthenticated, 1);
    let states = world.target_states(redirector);
    assert_eq!(states.iter().filter(|&&state| state == TargetState::Active).count(), 1, "{states:?}");
}

#[test]
fn a_network_s_share_of_those_who_have_not_authenticated_can_be_set() {
    let mut world = World::new(1);
    let config = limited(|limits| limits.unauthenticated_per_prefix = Some(3));
    let redirector = world.redirector(1, config, users(&[("a", "b")]));
    (10..15).for_each(|last| _ = world.target(last, &[1], quick()));
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 3);
    assert_eq!(world.server(redirector).stats().limited_unauthenticated_per_prefix, 2);
}

#[test]
fn a_flow_that_begins_anew_does_not_begin_the_limits_of_its_session_anew() {
    let mut config = limited(|limits| {
        limits.attempts = 6;
        limits.wrong_attempts = Rate::new(1000, 1000);
        limits.messages = Rate::new(40, 1);
    });
    config.bad_auth_delay = Duration::ZERO;
    let mut world = World::new(1);
    let redirector = world.redirector(1, config, users(&[("a", "b")]));
    let target = world.target(10, &[1], RegistrantConfig { users: users(&[("a", "b")]), ..quick() });
    world.run(SECOND);
    // Each flow tries two names that are unknown, and is closed because it goes on without having authenticated.
    for _ in 0..4 {
        let attempt = |user: &[u8]| [&[0x1d][..], &[0; 32], user].concat();
        send(&mut world, target, vec![attempt(b"x"), attempt(b"y"), vec![0]]);
        world.run(Duration::from_millis(100));
    }
    let stats = world.server(redirector).stats();
    assert_eq!((stats.clients, stats.limited_clients), (5, 0));
    assert!(stats.limited_attempts > 0, "{stats:?}");
    // What they say counts together, too, and so do their beginnings.
    assert_eq!(stats.limited_messages, 0);
    for _ in 0..8 {
        send(&mut world, target, vec![vec![0x77], vec![0x77], vec![0]]);
        world.run(Duration::from_millis(100));
    }
    let stats = world.server(redirector).stats();
    assert!(stats.limited_messages > 0, "{stats:?}");
}

#[test]
fn attempts_to_authenticate_are_bounded_and_so_are_wrong_ones_from_one_network() {
    let config = limited(|limits| {
        limits.attempts = 3;
        limits.wrong_attempts = Rate::new(2, 0);
    });
    let mut world = World::new(1);
    let redirector = world.redirector(1, config, users(&[("a", "b")]));
    let list = [("p", "1"), ("q", "1"), ("r", "1"), ("s", "1")];
    let guesser = world.target(10, &[1], RegistrantConfig { users: users(&list), ..quick() });
    world.run(SECOND);
    assert_eq!(world.server(redirector).stats().limited_attempts, 1);
    assert_eq!(world.target_states(redirector), [TargetState::Refused]);
    world.with(guesser, |registrant, now, endpoint| registrant.close(now, endpoint));
    for last in 20..25 {
        world.target(last, &[1], RegistrantConfig { users: users(&[("a", "wrong")]), ..quick() });
    }
    world.run(SECOND);
    let stats = world.server(redirector).stats();
    assert_eq!((stats.limited_prefixes, stats.lost), (3, 0), "the first two of five wait to be told");
    assert_eq!(world.server(redirector).target_count(), 3, "with the first one of all");
    let mut sessions = 0;
    world.with_server(redirector, |_, _, endpoint| sessions = endpoint.session_count());
    assert!(sessions <= 3, "those of the other three were closed at once: {sessions}");
    world.run(3 * SECOND);
    assert_eq!(world.server(redirector).target_count(), 0);
}

#[test]
fn a_registrant_that_sends_too_many_messages_or_malformed_ones_is_closed() {
    let config = limited(|limits| limits.messages = Rate::new(10, 1));
    let mut world = World::new(1);
    let redirector = world.redirector(1, config, Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    send(&mut world, target, (0..20).map(|load| Command::LoadFactor(load).encode()).collect());
    world.run(SECOND);
    assert_eq!(world.server(redirector).stats().limited_messages, 1);
    world.run(5 * SECOND);
    send(&mut world, target, vec![vec![0x05, 0x05, 0x0a]]);
    world.run(SECOND);
    assert_eq!(world.server(redirector).stats().malformed, 1);
    assert_eq!(world.target_states(redirector), [TargetState::Active], "the flow of the real one goes on");
}

#[test]
fn user_data_is_bounded() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, limited(|limits| limits.user_data = 100), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let id = world.app(target).registrant.redirectors().next().unwrap().0;
    for len in [100, 101] {
        world.with(target, |registrant, now, endpoint| {
            registrant.send_user_data(now, endpoint, id, &vec![7; len]).unwrap();
        });
    }
    world.run(SECOND);
    assert_eq!(world.server(redirector).stats().limited_user_data, 1);
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
    // One that breaks the limit of messages loses its flow, and registers again.
    world.with(target, |registrant, now, endpoint| {
        registrant.send_user_data(now, endpoint, id, &[7; 10_000]).unwrap();
    });
    world.run(6 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
    assert_eq!(world.server(redirector).stats().registrations, 2);
}

#[test]
fn a_session_carries_few_registrants() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    for _ in 0..5 {
        send(&mut world, target, vec![vec![0x77]]);
    }
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 2);
    assert_eq!(world.server(redirector).stats().limited_clients, 4);
    let node = world.network.service::<Node<TargetApp>>(target);
    assert_eq!(node.endpoint().session_count(), 1);
}

#[test]
fn somebody_whose_certificate_accepts_no_uris_is_not_taken() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    // A client opens a flow of the protocol: its name is no certificate of a server.
    let client = world.client_of(crate::world::redirector_epd().to_vec(), &[1]);
    world.run(SECOND);
    let now = world.network.now();
    let endpoint = world.network.service::<Node<crate::world::ClientApp>>(client).endpoint();
    let session = endpoint.open_sessions()[0];
    let metadata = bytes::Bytes::from_static(rtmfp_redirect::wire::METADATA);
    let spec = rtmfp::FlowSpec { metadata, priority: rtmfp::Priority::Routine };
    let flow = endpoint.session(session).unwrap().open_flow(now, spec, Tag(5)).unwrap();
    let settings = Message::from(vec![0x05, 0x01, 0x0d]);
    endpoint.send_flow(flow).unwrap().write(now, settings, &Default::default()).unwrap();
    world.run(SECOND);
    let stats = world.server(redirector).stats();
    assert_eq!((stats.refused_clients, stats.clients), (1, 0));
}

#[test]
fn events_that_nobody_polls_are_bounded() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, limited(|limits| limits.events = 2), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let before = world.network.peek::<Node<RedirectorApp>>(redirector).application.events.len();
    // All of it comes in one packet, and so before the owner can poll.
    send(&mut world, target, (0..10).map(|byte| Command::UserData(&[byte]).encode()).collect());
    world.run(SECOND);
    let events = world.network.peek::<Node<RedirectorApp>>(redirector).application.events.len();
    assert_eq!(events - before, 2);
    assert_eq!(world.server(redirector).stats().limited_user_data, 8);
}

#[test]
fn a_registrant_that_leaves_makes_room_in_its_session_for_one_more_only() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    send(&mut world, target, vec![vec![0x77]]);
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 2);
    world.with(target, |registrant, now, endpoint| registrant.close(now, endpoint));
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 1);
    for _ in 0..3 {
        send(&mut world, target, vec![vec![0x77]]);
    }
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 2);
}
