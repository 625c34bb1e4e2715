//! What an operator is told, and when a redirector wants to be woken.

use rtmfp::driver::Node;
use rtmfp_base::Service;
use rtmfp_redirect::{PoolConfig, ServerConfig, Users};
use rtmfp_service::Redirector;

use crate::world::{EchoServer, SECOND, World, at, one_each, targets};

#[test]
fn targets_are_listed_in_the_order_of_their_addresses_then_pools_then_what_was_counted() {
    let pool = PoolConfig {
        name: "live".to_owned(),
        host: None,
        application: "app*".to_owned(),
        users: vec![b"live".to_vec()],
    };
    let config = ServerConfig { targets: Some(1), pools: vec![pool], ..ServerConfig::default() };
    let users = |list: &[(&str, &str)]| -> Users { list.iter().copied().collect() };
    let passwords = [("live", "1"), ("rest", "2")];
    let mut world = World::new(1);
    let redirector = world.redirector(1, targets(config, users(&passwords)));
    // Its first hellos find nobody.
    let client = world.client(&[at(1)]);
    world.run(SECOND);
    world.server(11, &[at(1)], users(&passwords[..1]));
    world.server(10, &[at(1)], users(&passwords[1..]));
    world.run(20 * SECOND);
    assert_eq!(world.app(client).landed.unwrap().0, at(11));
    let text = world.look(redirector).status(world.network.now());
    let stats = world.look(redirector).server().unwrap().stats().clone();
    assert!(stats.unanswered_hellos > 0 && stats.hellos > stats.unanswered_hellos);
    let lines: Vec<&str> = text.lines().collect();
    let unanswered = format!("{} of {} hellos not answered", stats.unanswered_hellos, stats.hellos);
    assert!(lines[0].starts_with("2 targets, 2 of them active; 1 redirect, 1 forwarded hello, "), "{text}");
    assert!(lines[0].ends_with(&unanswered), "{text}");
    assert!(lines[1].starts_with("  10.0.0.10:1935 0a0a0a0a0a0a0a0a active, load 0, 0 redirects"), "{text}");
    assert!(lines[1].ends_with(", as rest, at 10.0.0.10:1935"), "{text}");
    assert!(lines[2].starts_with("  10.0.0.11:1935 ") && lines[2].contains(", 1 redirect, "), "{text}");
    assert_eq!(lines[3..5], ["  no pool: 1 active target", "  pool live: 1 active target"], "{text}");
    assert!(lines.contains(&"  good_auth: 2") && !text.contains(": 0\n"), "{text}");
}

#[test]
fn what_a_target_does_not_have_is_not_shown() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, one_each());
    let server = world.server(10, &[at(1)], Users::new());
    world.run(SECOND);
    let now = world.network.now();
    let (endpoint, app) = world.network.service::<Node<EchoServer>>(server).parts();
    app.registrant.set_advertise_reflexive(now, endpoint, false);
    world.run(SECOND);
    let text = world.look(redirector).status(world.network.now());
    assert!(text.starts_with("1 target, 0 of them active; 0 redirects"), "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with(" for 1 s, at no address"), "{text}");
    assert!(!text.contains("pool") && !text.contains(", as "), "{text}");
}

#[test]
fn a_redirector_with_targets_is_woken_often_enough_to_find_those_that_are_silent() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, one_each());
    world.server(10, &[at(1)], Users::new());
    world.run(20 * SECOND);
    for _ in 0..10 {
        world.run(SECOND / 3);
        let now = world.network.now_at(redirector);
        let next = world.network.service::<Redirector>(redirector).poll_timeout();
        assert!(next.is_some_and(|at| at <= now + SECOND), "{next:?} at {now:?}");
    }
}
