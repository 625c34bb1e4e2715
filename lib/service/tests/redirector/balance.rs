//! Clients are spread, and nothing is lost when somebody goes.

use rtmfp_base::Time;
use rtmfp_netsim::for_each_seed;
use rtmfp_redirect::{ServerConfig, Users};
use rtmfp_service::Redirector;

use crate::world::{SECOND, World, at, ip, one_each, targets};

#[test]
fn sixty_clients_are_spread_among_three_servers_within_a_fifth_of_even() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, one_each());
        let servers = [10, 11, 12].map(|last| world.server(last, &[at(1)], Users::new()));
        world.run(SECOND);
        let clients: Vec<_> = (0..60).map(|_| world.client(&[at(1)])).collect();
        world.run(5 * SECOND);
        assert!(clients.iter().all(|&client| world.app(client).echoes > 0), "all are served");
        let counts = servers.map(|server| world.clients_of(server));
        println!("seed {seed}: {counts:?}");
        assert!(counts.iter().all(|count| (16..=24).contains(count)), "{counts:?}");
        assert_eq!(world.look(redirector).server().unwrap().stats().redirects, 60);
    });
}

#[test]
fn a_redirector_that_restarts_is_not_noticed_by_those_who_are_served_and_gets_its_targets_back() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let redirector = world.redirector(1, one_each());
        let _servers = [10, 11].map(|last| world.server(last, &[at(1)], Users::new()));
        world.run(SECOND);
        let client = world.client(&[at(1)]);
        world.run(3 * SECOND);
        let before = world.app(client).echoes;
        world.network.vanish(redirector);
        world.run(25 * SECOND);
        assert!(world.app(client).echoes >= before + 24);
        let again = world.make_redirector(1, &[at(1)], one_each());
        world.network.restart(redirector, Box::new(again));
        world.run(6 * SECOND);
        assert_eq!(world.look(redirector).server().unwrap().target_count(), 2);
        let late = world.client(&[at(1)]);
        world.run(2 * SECOND);
        assert!(world.app(late).echoes > 0);
    });
}

#[test]
fn of_several_redirectors_behind_one_name_one_may_be_lost_and_new_clients_are_as_quick() {
    for_each_seed(3, |seed| {
        let mut world = World::new(seed);
        let both = [at(1), at(2)];
        let redirectors = [1, 2].map(|last| world.redirector(last, one_each()));
        let _servers = [10, 11].map(|last| world.server(last, &both, Users::new()));
        world.run(SECOND);
        for redirector in redirectors {
            assert_eq!(world.look(redirector).server().unwrap().target_count(), 2);
        }
        let early = world.client(&both);
        world.run(SECOND);
        world.network.vanish(redirectors[0]);
        let start = world.network.now();
        let late = world.client(&both);
        world.run(2 * SECOND);
        let landed: Time = world.app(late).landed.expect("a server").1;
        assert!(landed.since(start) < SECOND, "after {:?}", landed.since(start));
        world.run(30 * SECOND);
        assert!(world.app(early).echoes >= 30, "{}", world.app(early).echoes);
    });
}

#[test]
fn all_addresses_of_a_redirector_are_one_redirector_s() {
    let mut world = World::new(1);
    let addresses = [at(1), (ip(1), 443).into()];
    let redirector = world.make_redirector(1, &addresses, one_each());
    let redirector = world.network.add_host("redirector", &[ip(1)], Box::new(redirector));
    world.server(10, &addresses[..1], Users::new());
    world.run(SECOND);
    let client = world.client(&addresses[1..]);
    world.run(SECOND);
    assert_eq!(world.app(client).landed.unwrap().0, at(10));
    let expected = addresses.map(|address| format!("listening on rtmfp://{address}"));
    assert_eq!(world.network.announcements(redirector), expected);
}

#[test]
fn its_status_names_targets_states_loads_and_what_they_were_sent() {
    let mut world = World::new(1);
    let users: Users = [("relay", "secret")].into_iter().collect();
    let redirector = world.redirector(1, targets(ServerConfig::default(), users.clone()));
    world.server(10, &[at(1)], users);
    world.server(11, &[at(1)], Users::new());
    world.run(SECOND);
    world.client(&[at(1)]);
    world.run(SECOND);
    let now = world.network.now();
    let status = world.look(redirector).status(now);
    println!("{status}");
    for part in [
        "2 targets, 1 of them active; 1 redirect, 1 forwarded hello, 0 of 1 hellos not answered",
        "10.0.0.10:1935 0a0a0a0a0a0a0a0a active, load 1, 1 redirect, 1 forwarded hello, for 1 s, as relay, at 10.0.0.10:1935",
        "10.0.0.11:1935 0b0b0b0b0b0b0b0b refused",
        "good_auth: 1",
    ] {
        assert!(status.contains(part), "{part}");
    }
    assert!(!status.contains("secret"));
}

#[test]
fn users_may_change_while_it_runs() {
    let mut world = World::new(1);
    let [old, new]: [Users; 2] = ["old", "new"].map(|password| [("relay", password)].into_iter().collect());
    let redirector = world.redirector(1, targets(ServerConfig::default(), old.clone()));
    world.server(10, &[at(1)], old);
    world.server(11, &[at(1)], new.clone());
    let active = |world: &World| -> Vec<_> {
        let targets = world.look(redirector).server().unwrap().targets();
        targets.filter(|(_, info)| !info.users.is_empty()).map(|(_, info)| info.address).collect()
    };
    world.run(SECOND);
    assert_eq!(active(&world), [at(10)]);
    let now = world.network.now();
    world.network.service::<Redirector>(redirector).set_users(now, new);
    world.run(10 * SECOND);
    assert_eq!(active(&world), [at(11)]);
}

#[test]
fn one_that_drains_takes_leave_and_those_it_has_redirected_go_on() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, one_each());
    world.server(10, &[at(1)], Users::new());
    world.run(SECOND);
    let client = world.client(&[at(1)]);
    world.run(2 * SECOND);
    world.network.drain(redirector);
    world.run(2 * SECOND);
    assert_eq!(world.network.finished(redirector), Some(&Ok(())));
    let before = world.app(client).echoes;
    world.run(5 * SECOND);
    assert!(world.app(client).echoes >= before + 4);
}

#[test]
fn one_that_drains_answers_nobody_any_more_though_its_leave_takes_time() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, one_each());
    let servers = [10, 11].map(|last| world.server(last, &[at(1)], Users::new()));
    world.run(SECOND);
    // It waits for this one to say farewell.
    world.network.vanish(servers[0]);
    world.network.drain(redirector);
    let client = world.client(&[at(1)]);
    world.run(3 * SECOND);
    assert_eq!(world.network.finished(redirector), None);
    assert_eq!(world.look(redirector).server().unwrap().stats().hellos, 0);
    assert_eq!(world.network.link(redirector, client).passed, 0);
    assert_eq!(world.app(client).landed, None);
}

#[test]
fn an_address_that_can_not_be_bound_ends_it_with_the_reason() {
    let mut world = World::new(1);
    let redirector = world.make_redirector(1, &[at(77)], one_each());
    let redirector = world.network.add_host("redirector", &[ip(1)], Box::new(redirector));
    world.run(SECOND);
    let Some(Err(reason)) = world.network.finished(redirector) else { panic!("it ends") };
    assert!(reason.starts_with("cannot listen on rtmfp://10.0.0.77:1935: "), "{reason}");
}
