//! Registering and leaving, and who takes whose place.

use std::time::Duration;

use rtmfp_netsim::for_each_seed;
use rtmfp_redirect::wire::Settings;
use rtmfp_redirect::{
    RegistrantConfig, RegistrantEvent, RegistrantState, ServerConfig, ServerEvent, TargetState, Users,
};

use crate::world::{SECOND, World, at, quick};

#[test]
fn a_target_registers_is_told_where_it_is_seen_and_leaves_in_order() {
    for_each_seed(5, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let target = world.target(10, &[1], RegistrantConfig::default());
        world.run(SECOND);
        let (id, info) = world.targets(redirector).remove(0);
        assert_eq!((info.state, info.address, info.load), (TargetState::Active, at(10), 0));
        assert_eq!(info.settings, Settings { reflexive: true, addresses: Vec::new() });
        use RegistrantState::{Connected, Connecting, Registered};
        assert_eq!(world.app(target).states(), [Connecting, Connected, Registered]);
        let id_here = world.app(target).registrant.redirectors().next().unwrap().0;
        assert_eq!(world.app(target).registrant.reflexive(id_here).unwrap().addr, at(10));

        world.with(target, |registrant, now, endpoint| {
            registrant.set_load(now, endpoint, 300);
            registrant.set_additional_addresses(now, endpoint, &[at(77)]);
            registrant.set_advertise_reflexive(now, endpoint, false);
            registrant.send_user_data(now, endpoint, id_here, b"hello").unwrap();
        });
        world.with_server(redirector, |server, now, endpoint| {
            server.send_user_data(now, endpoint, id, b"welcome").unwrap();
        });
        world.run(SECOND);
        let info = world.targets(redirector).remove(0).1;
        assert_eq!(
            (info.load, info.settings.reflexive, info.settings.addresses[0].addr),
            (300, false, at(77))
        );
        let told = world.app(target).events.last().unwrap().clone();
        assert!(matches!(told, RegistrantEvent::UserData { ref data, .. } if data == "welcome"), "{told:?}");
        world.with_server(redirector, |_, _, _| {});
        let events = &world.network.peek::<rtmfp::driver::Node<crate::world::RedirectorApp>>(redirector);
        let sent = events
            .application
            .events
            .iter()
            .any(|event| matches!(event, ServerEvent::UserData { data, .. } if data == "hello"));
        assert!(sent);

        world.with(target, |registrant, now, endpoint| registrant.close(now, endpoint));
        world.run(SECOND);
        assert_eq!(world.server(redirector).target_count(), 0);
        assert_eq!(world.server(redirector).stats().left, 1);
        assert_eq!(world.app(target).states().last(), Some(&RegistrantState::Closed));
    });
}

#[test]
fn a_target_registers_with_all_redirectors_of_one_name() {
    for_each_seed(5, |seed| {
        let mut world = World::new(seed);
        let redirectors = [1, 2, 3].map(|last| world.redirector(last, ServerConfig::default(), Users::new()));
        let target = world.target(10, &[1, 2, 3], quick());
        world.run(SECOND);
        for redirector in redirectors {
            assert_eq!(
                world.target_states(redirector),
                [TargetState::Active],
                "{:?}",
                world.app(target).events
            );
        }
        // One is lost: the others notice nothing, nor do the clients who know both.
        world.network.vanish(redirectors[1]);
        world.run(30 * SECOND);
        let states: Vec<_> = world.app(target).registrant.redirectors().map(|(_, _, state)| state).collect();
        use RegistrantState::{Connecting, Registered};
        assert_eq!(states, [Registered, Connecting, Registered]);
        let start = world.network.now();
        let client = world.client(&[2, 3]);
        world.run(SECOND);
        assert_eq!(world.landed(client), Some(at(10)), "at {start}");
    });
}

#[test]
fn of_two_specifications_that_lead_to_one_redirector_one_registers() {
    for_each_seed(5, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let target = world.target(10, &[1, 1], quick());
        world.run(18 * SECOND);
        assert_eq!(world.target_states(redirector), [TargetState::Active]);
        let stats = world.server(redirector).stats();
        assert_eq!((stats.clients, stats.replaced), (1, 0));
        let states: Vec<_> = world.app(target).registrant.redirectors().map(|(_, _, state)| state).collect();
        assert!(states.contains(&RegistrantState::Registered), "{states:?}");
        assert!(states.contains(&RegistrantState::Duplicate), "{states:?}");
        // When it comes again, still one of them registers.
        world.restart_redirector(redirector, 1, ServerConfig::default());
        world.run(30 * SECOND);
        assert_eq!(world.target_states(redirector), [TargetState::Active]);
    });
}

#[test]
fn a_fingerprint_that_registers_again_takes_the_place_of_the_older_one() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let old = world.target_as((10, crate::world::URI, 99), &[1], quick());
        world.run(SECOND);
        world.network.vanish(old);
        // The same, elsewhere: the older one is out at once, long before it is found to be dead.
        let new = world.target_as((11, crate::world::URI, 99), &[1], quick());
        world.run(SECOND);
        let targets = world.targets(redirector);
        assert_eq!(targets.len(), 1);
        assert_eq!((targets[0].1.address, targets[0].1.state), (at(11), TargetState::Active));
        assert_eq!(world.server(redirector).stats().replaced, 1);
        // The end of the older one's session does not take the newer one with it.
        world.run(30 * SECOND);
        assert_eq!(world.target_states(redirector), [TargetState::Active]);
        assert_eq!(world.app(new).states().last(), Some(&RegistrantState::Registered));
    });
}

#[test]
fn a_target_that_was_killed_and_starts_again_takes_the_place_of_its_older_self() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let target = world.target(10, &[1], quick());
        world.target(11, &[1], quick());
        world.run(SECOND);
        // It has made itself another certificate.
        world.restart_target(target, (10, crate::world::URI, 99), &[1]);
        world.run(SECOND);
        let there: Vec<_> = world.targets(redirector).iter().map(|(_, info)| info.address).collect();
        assert_eq!(there, [at(10), at(11)]);
        assert_eq!(world.server(redirector).stats().replaced, 1);
        world.run(30 * SECOND);
        assert_eq!(world.target_states(redirector), [TargetState::Active; 2]);
        assert_eq!(world.app(target).states().last(), Some(&RegistrantState::Registered));
    });
}

#[test]
fn loads_are_told_at_their_interval_and_the_last_one_counts() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], RegistrantConfig { load_interval: SECOND, ..quick() });
    world.run(2 * SECOND);
    let mut seen = Vec::new();
    for load in 1..=30 {
        world.with(target, |registrant, now, endpoint| registrant.set_load(now, endpoint, load));
        world.run(Duration::from_millis(100));
        seen.push(world.targets(redirector)[0].1.load);
    }
    seen.dedup();
    println!("{seen:?}");
    assert!((3..=4).contains(&seen.len()), "{seen:?}");
    world.run(2 * SECOND);
    assert_eq!(world.targets(redirector)[0].1.load, 30);
}

#[test]
fn while_it_is_paused_a_target_is_not_registered_and_afterwards_it_is() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.with(target, |registrant, now, endpoint| registrant.set_paused(now, endpoint, true));
    world.run(20 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::New]);
    world.with(target, |registrant, now, endpoint| registrant.set_paused(now, endpoint, false));
    world.run(SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
}

#[test]
fn registrations_and_drains_are_counted_once_each_however_often_they_are_told() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    world.with(target, |registrant, now, endpoint| {
        (50..53).for_each(|last| registrant.set_additional_addresses(now, endpoint, &[at(last)]));
        registrant.set_active(now, endpoint, false);
        registrant.set_active(now, endpoint, false);
    });
    world.run(SECOND);
    let stats = world.server(redirector).stats();
    assert_eq!((stats.registrations, stats.drained, stats.replaced), (1, 1, 0));
}

#[test]
fn who_is_replaced_loses_his_session_but_not_one_that_is_his_successor_s_too() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let sessions = |world: &mut World| {
        let mut count = 0;
        world.with_server(redirector, |_, _, endpoint| count = endpoint.session_count());
        (count, world.server(redirector).stats().replaced)
    };
    let old = world.target_as((10, crate::world::URI, 99), &[1], quick());
    world.run(SECOND);
    world.target_as((11, crate::world::URI, 99), &[1], quick());
    world.run(SECOND);
    assert_eq!(sessions(&mut world), (1, 1), "not of two that are alive");
    assert_eq!(world.app(old).states().last(), Some(&RegistrantState::Disconnected));
    // The newer one is who is meant by the fingerprint.
    let client = world.client_of(crate::world::target_name(crate::world::URI, 99), &[1]);
    world.run(Duration::from_millis(500));
    assert_eq!(world.landed(client), Some(at(11)));
    let before = sessions(&mut world).0;
    world.with(old, |registrant, now, endpoint| registrant.close(now, endpoint));
    let same = world.target(12, &[1], quick());
    world.run(SECOND);
    crate::hygiene::send(&mut world, same, vec![vec![0x05, 0x01, 0x0d]]);
    world.run(SECOND);
    assert_eq!(sessions(&mut world), (before + 1, 2));
    assert_eq!(world.target_states(redirector), [TargetState::Active; 2]);
}

#[test]
fn while_it_drains_or_is_paused_changes_of_its_settings_do_not_register_a_target() {
    for paused in [false, true] {
        let mut world = World::new(1);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let target = world.target(10, &[1], quick());
        world.with(target, |registrant, now, endpoint| match paused {
            true => registrant.set_paused(now, endpoint, true),
            false => registrant.set_active(now, endpoint, false),
        });
        world.run(SECOND);
        let expected = if paused { TargetState::New } else { TargetState::Draining };
        assert_eq!(world.target_states(redirector), [expected]);
        world.with(target, |registrant, now, endpoint| {
            registrant.set_additional_addresses(now, endpoint, &[at(50)]);
            registrant.set_advertise_reflexive(now, endpoint, false);
            // Said again, as it was.
            match paused {
                true => registrant.set_paused(now, endpoint, true),
                false => registrant.set_active(now, endpoint, false),
            }
        });
        world.run(SECOND);
        assert_eq!(world.target_states(redirector), [expected]);
    }
}

#[test]
fn a_registrant_that_was_closed_stays_so() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let id = world.app(target).registrant.redirectors().next().unwrap().0;
    world.with(target, |registrant, now, endpoint| {
        registrant.close(now, endpoint);
        registrant.start(now, endpoint);
        let sent = registrant.send_user_data(now, endpoint, id, b"late");
        assert_eq!(sent, Err(rtmfp_redirect::UserDataError::NotConnected));
        assert_eq!(registrant.reflexive(id), None);
        assert_eq!(registrant.poll_timeout(), None);
    });
    world.run(20 * SECOND);
    assert_eq!(world.server(redirector).target_count(), 0);
    assert_eq!(world.app(target).states().last(), Some(&RegistrantState::Closed));
}

#[test]
fn idle_targets_are_not_taken_for_silent_and_one_that_left_is_in_no_pool() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    assert_eq!(world.server(redirector).poll_timeout(), None, "there is nobody to look after");
    let targets = [10, 11].map(|last| world.target(last, &[1], RegistrantConfig::default()));
    world.run(120 * SECOND);
    assert_eq!(world.server(redirector).stats().silenced, 0);
    assert_eq!(world.server(redirector).pools().collect::<Vec<_>>(), [("", 2)]);
    world.network.partition(redirector, targets[0]);
    world.run(9 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Silent, TargetState::Active]);
    assert_eq!(world.server(redirector).pools().collect::<Vec<_>>(), [("", 1)]);
    world.with(targets[1], |registrant, now, endpoint| registrant.close(now, endpoint));
    world.run(SECOND);
    assert_eq!(world.server(redirector).pools().collect::<Vec<_>>(), [("", 0)]);
    world.run(10 * SECOND);
    assert_eq!(world.server(redirector).poll_timeout(), None);
}

#[test]
fn a_target_that_has_moved_leaves_its_place_to_others_and_is_known_at_its_new_one() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let moving = world.moving_target(10, &[1], quick());
    world.run(SECOND);
    world.network.move_host(moving, None, &[crate::world::ip(99)]);
    world.run(15 * SECOND);
    // Somebody else where it was.
    world.target_as((10, crate::world::URI, 20), &[1], quick());
    world.run(SECOND);
    let there = |world: &World| -> Vec<_> {
        world.targets(redirector).iter().map(|(_, info)| info.address).collect()
    };
    assert_eq!(there(&world), [at(10), at(99)]);
    assert_eq!(world.server(redirector).stats().replaced, 0);
    // Where it is, somebody else takes its place.
    world.restart_target(moving, (99, crate::world::URI, 21), &[1]);
    world.run(SECOND);
    assert_eq!(there(&world), [at(10), at(99)]);
    assert_eq!(world.server(redirector).stats().replaced, 1);
}
