//! Hellos from addresses that are forged.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use rtmfp::crypto::{DEFAULT_KEY, Profile, Sealing};
use rtmfp::wire::{Chunk, IHello, Mode, scramble};
use rtmfp_base::{Counters, Ecn, Input, InterfaceId, RecvMeta, Service};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::Users;
use rtmfp_service::Redirector;

use crate::world::{CLIENT_EPD, REDIRECTOR_EPD, SECOND, World, at, one_each};

/// The datagram of a hello.
fn hello(epd: &[u8], tag: &[u8]) -> Vec<u8> {
    let mut profile = PlainProfile::new("nobody");
    let mut clear = vec![Mode::Startup as u8];
    Chunk::IHello(IHello { epd, tag }).write(&mut clear);
    let room = profile.reserve(DEFAULT_KEY, clear.len());
    let mut bytes = vec![0; 4 + room.sealed_len];
    bytes[4 + room.front..][..clear.len()].copy_from_slice(&clear);
    let sealing = Sealing { key: DEFAULT_KEY, room, clear_len: clear.len(), start: 4 };
    profile.seal(&mut bytes, &mut [sealing]);
    scramble(0, &mut bytes);
    bytes
}

/// An address that somebody made up; a third of them in one network.
fn forged(number: u32) -> SocketAddr {
    let scattered = number.wrapping_mul(0x9e37_79b9);
    let ip = match number % 3 {
        0 => Ipv4Addr::new(203, 0, 113, scattered as u8),
        _ => Ipv4Addr::from(scattered | 1 << 31),
    };
    SocketAddr::new(IpAddr::V4(ip), 1024 + (scattered >> 16) as u16 % 60_000)
}

#[test]
fn a_million_forged_hellos_in_ten_seconds_get_few_answers_and_others_are_served_throughout() {
    const HELLOS: u32 = 1_000_000;
    const STEPS: u32 = 10_000;
    let mut world = World::new(1);
    let redirector = world.redirector(1, one_each());
    let servers = [10, 11].map(|last| world.server(last, &[at(1)], Users::new()));
    world.run(SECOND);
    let hellos = [
        hello(CLIENT_EPD, b"a tag of 16 byte"),
        hello(CLIENT_EPD, &[7; 100]),
        hello(b"\x04\x0anot", b"short"),
        hello(b"\x21\x0f\x0a", b"malformed"),
    ];
    let sent = |world: &World| {
        let stats = world.look(redirector).endpoint().stats();
        (stats.sent_datagrams, stats.sent_bytes)
    };
    let before = sent(&world);
    let (mut clients, mut brought) = (Vec::new(), 0);
    for step in 0..STEPS {
        let now = world.network.now();
        if step % 500 == 0 {
            clients.push(world.client(&[at(1)]));
        }
        let service = world.network.service::<Redirector>(redirector);
        for number in step * (HELLOS / STEPS)..(step + 1) * (HELLOS / STEPS) {
            let mut bytes = hellos[(number / 5 % 4) as usize].clone();
            brought += bytes.len();
            let meta = RecvMeta {
                interface: InterfaceId(0),
                from: forged(number),
                dst_ip: None,
                ecn: Ecn::default(),
            };
            service.handle(now, Input::Datagram { meta, bytes: &mut bytes });
        }
        world.run(Duration::from_millis(1));
    }
    let after = sent(&world);
    let (answers, given) = (after.0 - before.0, after.1 - before.1);
    println!("{HELLOS} hellos of {brought} bytes, {answers} answers of {given} bytes");
    // The rates of ten seconds, each answer a Redirect and a forwarded hello; those for the clients and the targets besides.
    assert!((40_000..200_000).contains(&answers), "{answers}");
    assert!(given < brought as u64 / 2, "{given}");
    let service = world.look(redirector);
    let server = service.server().unwrap();
    assert_eq!(server.target_count(), 2);
    assert_eq!(service.endpoint().session_count(), 2);
    let limited = service.endpoint().stats().limited_hellos + server.stats().limited_hellos;
    assert!(limited > 750_000, "{limited}");
    assert!(!service.to_list().is_empty());
    world.run(3 * SECOND);
    let served = clients.iter().filter(|&&client| world.app(client).echoes > 0).count();
    println!(
        "{served} of {} clients served, {:?}",
        clients.len(),
        servers.map(|host| world.clients_of(host))
    );
    // Hellos that are not answered are repeated: while a flood takes the whole rate, that takes some time.
    assert_eq!(served, clients.len());
}

/// What answers those are RHellos, which are long beside them.
#[test]
fn short_hellos_for_the_redirector_itself_are_answered_at_the_small_rate() {
    let mut world = World::new(1);
    let redirector = world.redirector(1, one_each());
    world.run(SECOND);
    let now = world.network.now();
    let service = world.network.service::<Redirector>(redirector);
    let hello = hello(REDIRECTOR_EPD, b"tag");
    assert!(hello.len() < 60);
    for host in 0..200 {
        let from = ([192, 0, 2, host], 9).into();
        let meta = RecvMeta { interface: InterfaceId(0), from, dst_ip: None, ecn: Ecn::default() };
        service.handle(now, Input::Datagram { meta, bytes: &mut hello.clone() });
    }
    world.run(SECOND);
    assert_eq!(world.look(redirector).endpoint().stats().sent_datagrams, 20);
}
