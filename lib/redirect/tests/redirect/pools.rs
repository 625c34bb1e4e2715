//! Several services behind one redirector.

use rtmfp_redirect::{PoolConfig, RegistrantConfig, ServerConfig, Users};

use crate::world::{SECOND, World, at, client_epd, quick, users};

#[test]
fn clients_are_sent_to_the_targets_that_serve_what_they_ask_for() {
    let pool = |name: &str, application: &str| PoolConfig {
        name: name.to_owned(),
        host: None,
        application: application.to_owned(),
        users: vec![name.as_bytes().to_vec()],
    };
    let config = ServerConfig {
        pools: vec![pool("live", "live"), pool("vod", "vod")],
        targets: Some(1),
        ..ServerConfig::default()
    };
    let mut world = World::new(1);
    let passwords = [("live", "l"), ("vod", "v"), ("rest", "r")];
    world.redirector(1, config, users(&passwords));
    let of = |list: &[(&str, &str)]| RegistrantConfig { users: users(list), ..quick() };
    for (last, uri, user) in [
        (10, "rtmfp://h/live/*", &passwords[..1]),
        (11, "rtmfp://h/vod/*", &passwords[1..2]),
        (12, "rtmfp://h/other/*", &passwords[2..]),
    ] {
        world.target_as((last, uri, last), &[1], of(user));
    }
    world.run(SECOND);
    let clients = [("rtmfp://h/live/*", 10), ("rtmfp://h/vod/*", 11), ("rtmfp://h/other/*", 12)]
        .map(|(uri, last)| ([0; 4].map(|_| world.client_of(client_epd(uri), &[1])), last));
    world.run(SECOND);
    for (clients, last) in clients {
        assert!(clients.iter().all(|&client| world.landed(client) == Some(at(last))), "{last}");
    }
}

#[test]
fn without_pools_users_serve_all() {
    let mut world = World::new(1);
    world.redirector(1, ServerConfig::default(), Users::new());
    world.target(10, &[1], quick());
    world.run(SECOND);
    let client = world.client(&[1]);
    world.run(SECOND);
    assert_eq!(world.landed(client), Some(at(10)));
}
