//! Redirecting everybody to the same addresses.

use rtmfp_redirect::{RedirectLimits, Users};
use rtmfp_service::RedirectorMode;

use crate::world::{SECOND, World, at, one_each};

fn fixed(addresses: &[u8], rotate: bool) -> RedirectorMode {
    let addresses = addresses.iter().map(|&last| at(last)).collect();
    RedirectorMode::Fixed { addresses, rotate, same_family: false, limits: RedirectLimits::default() }
}

#[test]
fn everybody_is_sent_to_its_addresses_and_nobody_can_register() {
    for rotate in [false, true] {
        let mut world = World::new(1);
        let redirector = world.redirector(1, fixed(&[10, 11], rotate));
        let servers = [10, 11].map(|last| world.server(last, &[at(1)], Users::new()));
        world.run(SECOND);
        let clients: Vec<_> = (0..20).map(|_| world.client(&[at(1)])).collect();
        world.run(3 * SECOND);
        assert!(clients.iter().all(|&client| world.app(client).echoes > 0));
        assert_eq!(servers.map(|server| world.clients_of(server)).iter().sum::<usize>(), 20);
        assert!(world.look(redirector).server().is_none());
        assert_eq!(world.look(redirector).endpoint().session_count(), 0);
        let now = world.network.now();
        assert!(world.look(redirector).status(now).contains(" redirects, 0 hellos not answered"));
    }
}

#[test]
fn it_may_send_clients_on_to_redirectors() {
    let mut world = World::new(1);
    world.redirector(1, fixed(&[2], false));
    world.redirector(2, one_each());
    world.server(10, &[at(2)], Users::new());
    world.run(SECOND);
    let client = world.client(&[at(1)]);
    world.run(2 * SECOND);
    assert_eq!(world.app(client).landed.unwrap().0, at(10));
}
