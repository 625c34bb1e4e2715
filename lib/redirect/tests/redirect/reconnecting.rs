//! Redirectors that are away for a while, or not there yet.

use std::time::Duration;

use rtmfp_netsim::for_each_seed;
use rtmfp_redirect::{RegistrantConfig, RegistrantState, ServerConfig, TargetState, Users};

use crate::world::{SECOND, World, at, quick, users};

#[test]
fn registrations_return_when_the_redirector_restarts() {
    for_each_seed(5, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let targets: Vec<_> = (10..14).map(|last| world.target(last, &[1], quick())).collect();
        world.run(SECOND);
        assert_eq!(world.server(redirector).target_count(), 4);
        let client = world.client(&[1]);
        world.run(SECOND);
        let landed = world.landed(client).expect("a target");
        world.network.vanish(redirector);
        // Found out within keep-alive and retransmit limit.
        world.run(25 * SECOND);
        for &target in &targets {
            use RegistrantState::{Connecting, Disconnected, Registered};
            let states = world.app(target).states();
            assert_eq!(states[2..5], [Registered, Disconnected, Connecting], "{states:?}");
        }
        world.restart_redirector(redirector, 1, ServerConfig::default());
        world.run(6 * SECOND);
        assert_eq!(world.target_states(redirector), [TargetState::Active; 4]);
        let client_app = world.network.peek::<rtmfp::driver::Node<crate::world::ClientApp>>(client);
        assert!(!client_app.application.lost, "the session with {landed} goes on");
    });
}

#[test]
fn a_redirector_that_is_restarted_has_its_targets_again_long_before_the_usual_reconnect_time() {
    for_each_seed(5, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, ServerConfig::default(), Users::new());
        let target = world.target(10, &[1], RegistrantConfig::default());
        world.run(60 * SECOND);
        // The first attempt finds nobody.
        world.with_server(redirector, |_, now, endpoint| endpoint.shutdown(now, rtmfp::Shutdown::Orderly));
        world.run(Duration::from_millis(200));
        world.network.vanish(redirector);
        world.run(2 * SECOND);
        world.restart_redirector(redirector, 1, ServerConfig::default());
        world.run(4 * SECOND);
        assert_eq!(
            world.target_states(redirector),
            [TargetState::Active],
            "{:?}",
            world.app(target).states()
        );
    });
}

#[test]
fn a_redirector_that_never_answers_is_told_as_disconnected_and_tried_at_growing_intervals() {
    for_each_seed(5, |seed| {
        let mut world = World::new(seed);
        let target = world.target(10, &[1], RegistrantConfig::default());
        let mut attempts = Vec::new();
        for second in 0..130 {
            let states = world.app(target).states();
            let failed = states.iter().filter(|&&state| state == RegistrantState::Disconnected).count();
            if failed > attempts.len() {
                attempts.push(second);
            }
            world.run(SECOND);
        }
        // From 0 on: after 5 s, 10 s, 20 s, and then 30 s.
        let expected = [5, 15, 35, 65, 95, 125];
        assert_eq!(attempts.len(), expected.len(), "{attempts:?}");
        assert!(
            attempts.iter().zip(expected).all(|(&at, then)| (then..=then + 1).contains(&at)),
            "{attempts:?}"
        );
    });
}

#[test]
fn what_was_changed_while_a_redirector_was_away_is_told_when_it_is_back() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    world.network.vanish(redirector);
    world.run(25 * SECOND);
    world.with(target, |registrant, now, endpoint| {
        registrant.set_load(now, endpoint, 5);
        registrant.set_additional_addresses(now, endpoint, &[at(50), at(51)]);
    });
    world.restart_redirector(redirector, 1, ServerConfig::default());
    world.run(6 * SECOND);
    let info = world.targets(redirector).remove(0).1;
    assert_eq!((info.load, info.settings.addresses.len()), (5, 2));
}

#[test]
fn attempts_to_find_a_redirector_are_not_closer_than_the_least_period() {
    let mut world = World::new(1);
    let eager = RegistrantConfig { reconnect: Duration::ZERO, ..RegistrantConfig::default() };
    let target = world.target(10, &[1], eager);
    world.run(SECOND);
    world.redirector(1, ServerConfig::default(), users(&[("a", "1")]));
    world.run(60 * SECOND);
    let states = world.app(target).states();
    let refusals = states.iter().filter(|&&state| state == RegistrantState::BadAuth).count();
    assert!((9..=12).contains(&refusals), "{states:?}");
}

#[test]
fn nothing_can_be_sent_to_a_redirector_that_is_not_there_yet() {
    let mut world = World::new(1);
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    let id = world.app(target).registrant.redirectors().next().unwrap().0;
    world.with(target, |registrant, now, endpoint| {
        let sent = registrant.send_user_data(now, endpoint, id, b"early");
        assert_eq!(sent, Err(rtmfp_redirect::UserDataError::NotConnected));
        registrant.set_active(now, endpoint, false);
    });
    // What it was told meanwhile comes once.
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    world.run(12 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Draining]);
    let stats = world.server(redirector).stats();
    assert_eq!((stats.clients, stats.drained), (1, 1));
    let states = world.app(target).states();
    assert!(
        !states.contains(&RegistrantState::Duplicate),
        "of the attempts that failed nothing is left: {states:?}"
    );
}

#[test]
fn a_registrant_that_can_not_tell_its_changes_begins_anew() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), Users::new());
    let target = world.target(10, &[1], quick());
    world.run(SECOND);
    world.network.partition(redirector, target);
    let mut port = 0;
    while world.app(target).states().last() == Some(&RegistrantState::Registered) {
        port += 1;
        let many = [(crate::world::ip(50), port).into(); 5000];
        world.with(target, |registrant, now, endpoint| {
            registrant.set_additional_addresses(now, endpoint, &many);
        });
    }
    assert_eq!(world.app(target).states().last(), Some(&RegistrantState::Disconnected));
    world.with(target, |registrant, now, endpoint| {
        registrant.set_additional_addresses(now, endpoint, &[at(50)]);
    });
    world.network.heal(redirector, target);
    world.run(20 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active]);
    assert_eq!(world.targets(redirector)[0].1.settings.addresses[0].addr, at(50));
}
