//! Who may register: names and passwords.

use std::time::Duration;

use rtmfp_base::Counters;
use rtmfp_netsim::for_each_seed;
use rtmfp_redirect::wire::METADATA;
use rtmfp_redirect::{RegistrantConfig, RegistrantState, ServerConfig, ServerEvent, TargetState, Users};

use crate::world::{SECOND, World, at, quick, users};

#[test]
fn those_who_know_a_password_are_taken_and_others_are_told_after_a_delay() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector =
            world.redirector(1, ServerConfig::default(), users(&[("relay", "right"), ("other", "x")]));
        let as_user = |list: &[(&str, &str)]| RegistrantConfig { users: users(list), ..quick() };
        let good = world.target(10, &[1], as_user(&[("relay", "right")]));
        // Names that are unknown are ignored.
        let several = world.target(11, &[1], as_user(&[("aaa", "?"), ("other", "x"), ("zzz", "?")]));
        let wrong = world.target(12, &[1], as_user(&[("relay", "wrong")]));
        let unknown = world.target(13, &[1], as_user(&[("nobody", "right")]));
        let none = world.target(14, &[1], as_user(&[]));
        world.run(Duration::from_millis(1500));
        for target in [good, several] {
            assert_eq!(world.app(target).states().last(), Some(&RegistrantState::Registered));
        }
        use TargetState::{Active, Refused};
        assert_eq!(world.target_states(redirector), [Active, Active, Refused, Refused, Refused]);
        world.run(SECOND);
        assert_eq!(world.target_states(redirector), [Active, Active]);
        for target in [wrong, unknown, none] {
            use RegistrantState::{BadAuth, Connected, Connecting};
            assert_eq!(world.app(target).states(), [Connecting, Connected, BadAuth]);
        }
        world.run(5 * SECOND);
        assert_eq!(world.app(wrong).states().len(), 6, "it tries again, and is refused again");
        assert!(
            world.server(redirector).stats().good_auth == 2 && world.server(redirector).stats().bad_auth >= 6
        );
    });
}

#[test]
fn who_says_nothing_without_having_authenticated_is_closed_in_time() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), users(&[("relay", "right")]));
    let config = RegistrantConfig { users: users(&[]), ..quick() };
    let silent = world.target(10, &[1], config);
    // It opens the flow and says nothing of its own accord.
    world.network.run_for(Duration::from_millis(200));
    world.with(silent, |registrant, now, endpoint| {
        registrant.close(now, endpoint);
        let session = endpoint.open_sessions()[0];
        let metadata = bytes::Bytes::from_static(METADATA);
        let spec = rtmfp::FlowSpec { metadata, priority: rtmfp::Priority::Routine };
        let flow = endpoint.session(session).unwrap().open_flow(now, spec, rtmfp_base::Tag(5)).unwrap();
        let nothing = rtmfp_base::Message::from(vec![0x77]);
        endpoint.send_flow(flow).unwrap().write(now, nothing, &Default::default()).unwrap();
    });
    world.run(5 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::New]);
    world.run(6 * SECOND);
    assert_eq!(world.server(redirector).target_count(), 0);
    assert_eq!(world.server(redirector).stats().late_clients, 1);
}

#[test]
fn users_that_go_take_their_targets_with_them_and_others_stay() {
    let mut world = World::new(1);
    let redirector =
        world.redirector(1, ServerConfig::default(), users(&[("a", "1"), ("b", "2"), ("c", "3")]));
    let of = |list: &[(&str, &str)]| RegistrantConfig { users: users(list), ..quick() };
    let _stays = world.target(10, &[1], of(&[("a", "1")]));
    let changed = world.target(11, &[1], of(&[("b", "2")]));
    let gone = world.target(12, &[1], of(&[("c", "3")]));
    let _both = world.target(13, &[1], of(&[("a", "1"), ("c", "3")]));
    world.run(SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active; 4]);
    world.with_server(redirector, |server, now, endpoint| {
        server.set_users(now, endpoint, users(&[("a", "1"), ("b", "new")]));
    });
    world.run(SECOND);
    let left: Vec<_> = world.targets(redirector).iter().map(|(_, info)| info.address).collect();
    assert_eq!(left, [at(10), at(13)]);
    for target in [changed, gone] {
        assert_eq!(world.app(target).states().last(), Some(&RegistrantState::BadAuth));
    }
    // Without any users everybody is welcome again.
    world.with_server(redirector, |server, now, endpoint| server.set_users(now, endpoint, Users::new()));
    world.run(6 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active; 4]);
    assert!(world.server(redirector).stats().to_list().contains(&("bad_auth", 2)));
}

#[test]
fn when_there_are_no_users_any_more_those_who_have_not_authenticated_yet_may_stay() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), users(&[("relay", "right")]));
    // It waits with its authentication.
    let waiting = world.target(10, &[1], quick());
    world.network.run_for(Duration::from_millis(200));
    world.with(waiting, |registrant, now, endpoint| registrant.close(now, endpoint));
    world.run(3 * SECOND);
    crate::hygiene::send(&mut world, waiting, vec![vec![0x77]]);
    world.run(SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::New]);
    world.with_server(redirector, |server, now, endpoint| server.set_users(now, endpoint, Users::new()));
    world.run(20 * SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::New], "nothing is late any more");
    // It counts among the others now.
    world.with_server(redirector, |server, now, endpoint| {
        server.set_users(now, endpoint, users(&[("relay", "right")]));
    });
    world.run(SECOND);
    assert_eq!(world.server(redirector).target_count(), 0);
    let good = world.target(12, &[1], RegistrantConfig { users: users(&[("relay", "right")]), ..quick() });
    world.run(SECOND);
    assert_eq!(world.app(good).states().last(), Some(&RegistrantState::Registered));
}

#[test]
fn who_was_refused_stays_refused_when_there_are_no_users_any_more() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), users(&[("relay", "right")]));
    let wrong = world.target(10, &[1], RegistrantConfig { users: users(&[("relay", "no")]), ..quick() });
    world.run(SECOND);
    world.with_server(redirector, |server, now, endpoint| server.set_users(now, endpoint, Users::new()));
    assert_eq!(world.target_states(redirector), [TargetState::Refused]);
    world.run(2 * SECOND);
    assert_eq!(world.app(wrong).states().last(), Some(&RegistrantState::BadAuth));
}

#[test]
fn one_that_makes_too_many_attempts_gets_no_clients_though_one_of_them_was_good() {
    let limits = rtmfp_redirect::ServerLimits { attempts: 2, ..Default::default() };
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig { limits, ..Default::default() }, users(&[("a", "1")]));
    let of = |list: &[(&str, &str)]| RegistrantConfig { users: users(list), ..quick() };
    world.target(10, &[1], of(&[("a", "1"), ("b", "2")]));
    world.target(11, &[1], of(&[("a", "1"), ("b", "2"), ("c", "3")]));
    world.run(SECOND);
    assert_eq!(world.target_states(redirector), [TargetState::Active, TargetState::Refused]);
    assert_eq!(world.server(redirector).stats().bad_auth, 1);
    let told = |world: &World| {
        let node = world.network.peek::<rtmfp::driver::Node<crate::world::RedirectorApp>>(redirector);
        let refusals = node
            .application
            .events
            .iter()
            .filter(|event| matches!(event, ServerEvent::State { state: TargetState::Refused, .. }));
        refusals.count()
    };
    assert_eq!(told(&world), 1, "it is told to the owner, too");
}

#[test]
fn what_somebody_who_is_refused_still_sends_is_not_read() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig::default(), users(&[("a", "1")]));
    let wrong = world.target(10, &[1], RegistrantConfig { users: users(&[("a", "wrong")]), ..quick() });
    world.run(SECOND);
    let bad = world.server(redirector).stats().bad_auth;
    let id = world.app(wrong).registrant.redirectors().next().unwrap().0;
    for _ in 0..200 {
        world.with(wrong, |registrant, now, endpoint| {
            let _ = registrant.send_user_data(now, endpoint, id, &[7; 400]);
        });
    }
    world.run(Duration::from_millis(500));
    let stats = world.server(redirector).stats();
    assert_eq!((stats.limited_messages, stats.bad_auth), (0, bad));
    assert_eq!(world.target_states(redirector), [TargetState::Refused]);
}

#[test]
fn those_who_have_authenticated_do_not_count_among_those_who_have_not() {
    let limits = rtmfp_redirect::ServerLimits { unauthenticated: 1, ..Default::default() };
    let mut world = World::new(1);
    let redirector = world.redirector(1, ServerConfig { limits, ..Default::default() }, users(&[("a", "1")]));
    for last in 10..14 {
        world.target(last, &[1], RegistrantConfig { users: users(&[("a", "1")]), ..quick() });
        world.run(SECOND);
    }
    assert_eq!(world.target_states(redirector), [TargetState::Active; 4]);
}
