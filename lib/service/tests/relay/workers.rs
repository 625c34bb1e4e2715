//! Several workers behind one address.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rtmfp_netsim::{HostId, LinkConfig, NatConfig, NatId, Network, for_each_seed};
use rtmfp_redirect::{TargetState, Users};
use rtmfp_service::{Relay, RelayConfig};

use crate::clip::Clip;
use crate::encoder::{Client, End, TAIL, Task};
use crate::limits::counter_of;
use crate::machine::{Machine, listen};
use crate::publish::assert_intact;
use crate::registration::{REDIRECTOR, redirector, registration, target_states};
use crate::server::Server;
use crate::world::{Chain, Plain, SERVER, at, config, ip};

/// The host with the workers.
const MACHINE: u8 = 150;
/// The encoders' relay, in a network of theirs.
const NEAR: u8 = 50;

struct World {
    network: Network,
    machine: HostId,
    server: HostId,
    nat: NatId,
    clients: u8,
}

impl World {
    /// Encoders behind a NAT box, with a relay of theirs, and a relay of so many workers beside the server.
    fn new(seed: u64, workers: usize) -> Self {
        Self::with(seed, workers, |_| {})
    }

    fn with(seed: u64, workers: usize, change: impl Fn(&mut RelayConfig)) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        let far = config(seed, &format!("rtmfp://{}", at(MACHINE)), &format!("rtmp://{}", at(SERVER)));
        // Clients are redirected to the address that they have used, whatever is bound.
        let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 1935));
        let mut far = RelayConfig { listen: listen(wildcard), ..far };
        change(&mut far);
        let machine = Box::new(Machine::new(&far, workers));
        let machine = network.add_host("machine", &[ip(MACHINE)], machine);
        let server = network.add_host("server", &[ip(SERVER)], Box::new(Chain::friendly()));
        let nat = network.add_nat("nat", ip(250), NatConfig::default());
        let near = config(seed, &format!("rtmp://{}", at(NEAR)), &format!("rtmfp://{}", at(MACHINE)));
        let near = Relay::new(near, Box::new(Plain::new("near").trusted()));
        network.add_host_behind(nat, "near", &[ip(NEAR)], Box::new(near));
        network.run_for(Duration::from_millis(50));
        Self { network, machine, server, nat, clients: 0 }
    }

    fn add_client(&mut self, task: Task) {
        self.clients += 1;
        let inside = [10, 2, 0, self.clients].into();
        let client = Box::new(Client::new(at(NEAR), task));
        self.network.add_host_behind(self.nat, "client", &[inside], client);
    }

    fn machine(&self) -> &Machine {
        self.network.peek(self.machine)
    }

    fn server(&self) -> &Server {
        self.network.peek(self.server)
    }

    /// Clients that each worker has taken so far.
    fn taken(&self) -> Vec<u64> {
        self.machine().workers.iter().map(|worker| counter_of(worker, "clients_accepted")).collect()
    }
}

#[test]
fn clients_are_spread_over_the_workers_and_their_streams_arrive() {
    for_each_seed(8, |seed| {
        let clip = Clip::new(90);
        let mut world = World::new(seed, 3);
        assert_eq!(world.network.announcements(world.machine), ["listening on rtmfp://0.0.0.0:1935"]);
        for _ in 0..30 {
            world.add_client(Task::Publish(clip.clone(), End::Delete));
        }
        world.network.run_for(Duration::from_secs(4) + TAIL);
        assert_eq!(world.server().all().count(), 30);
        world.server().all().for_each(|session| assert_intact(session, &clip));
        let taken = world.taken();
        assert!(taken.iter().all(|taken| (8..=12).contains(taken)), "{taken:?}");
    });
}

#[test]
fn clients_that_come_one_by_one_go_to_the_worker_with_the_fewest() {
    let mut world = World::new(1, 2);
    for _ in 0..8 {
        world.add_client(Task::Publish(Clip::new(3000), End::Stay));
        world.network.run_for(Duration::from_secs(5));
    }
    assert_eq!(world.taken(), [4, 4]);
}

#[test]
fn clients_that_send_nothing_are_counted_too() {
    let mut world = World::new(1, 2);
    for _ in 0..8 {
        world.add_client(Task::Idle);
        world.network.run_for(Duration::from_secs(5));
    }
    assert_eq!(world.taken(), [4, 4]);
}

#[test]
fn the_front_tells_of_those_who_come_to_the_wrong_port() {
    // 1935 may be the destination's.
    let listens = SocketAddr::new(ip(MACHINE), 1936);
    let mut world = World::with(1, 2, |config| config.listen = listen(listens));
    let client = Box::new(Client::new(listens, Task::Idle));
    let client = world.network.add_host("lost", &[ip(77)], client);
    world.network.run_for(Duration::from_secs(1));
    let lost: &Client = world.network.peek(client);
    assert!(lost.closed.is_some());
    assert_eq!(counter_of(&world.machine().front, "came_to_wrong_port"), 1);
    assert_eq!(world.taken(), [0, 0]);
}

#[test]
fn a_client_of_a_worker_that_changes_its_address_keeps_its_session() {
    for_each_seed(8, |seed| {
        let clip = Clip::new(600);
        let mut world = World::new(seed, 2);
        for _ in 0..4 {
            world.add_client(Task::Publish(clip.clone(), End::Delete));
        }
        for _ in 0..3 {
            world.network.run_for(Duration::from_secs(4));
            world.network.rebind_nat(world.nat);
        }
        world.network.run_for(Duration::from_secs(10) + TAIL);
        assert_eq!(world.server().all().count(), 4, "nobody came twice");
        assert_eq!(world.taken().iter().sum::<u64>(), 4);
        world.server().all().for_each(|session| assert_intact(session, &clip));
    });
}

#[test]
fn a_limit_of_clients_holds_for_all_workers_together() {
    let mut world = World::with(1, 2, |config| config.max_clients = 3);
    for _ in 0..5 {
        world.add_client(Task::Idle);
    }
    world.network.run_for(Duration::from_secs(2));
    assert_eq!(world.taken().iter().sum::<u64>(), 3);
}

#[test]
fn workers_that_are_full_together_say_so_to_redirectors_and_nobody_more_is_sent_to_them() {
    let mut world = World::with(1, 2, |config| {
        config.max_clients = 2;
        config.registration = registration(Users::new(), vec![at(REDIRECTOR)]);
    });
    let redirector = world.network.add_host("redirector", &[ip(REDIRECTOR)], redirector(Users::new(), 1));
    world.network.run_for(Duration::from_secs(8));
    assert_eq!(target_states(&world.network, redirector), [TargetState::Active; 2]);
    world.add_client(Task::Publish(Clip::new(3000), End::Stay));
    world.network.run_for(Duration::from_secs(3));
    let one_has_its_share = [TargetState::Active, TargetState::Full];
    assert_eq!(target_states(&world.network, redirector), one_has_its_share);
    world.add_client(Task::Publish(Clip::new(3000), End::Stay));
    world.network.run_for(Duration::from_secs(3));
    assert_eq!(target_states(&world.network, redirector), [TargetState::Full; 2]);
    world.add_client(Task::Idle);
    world.network.run_for(Duration::from_secs(3));
    assert_eq!(world.taken(), [1, 1]);
    let turned_away = |worker| counter_of(worker, "clients_turned_away");
    assert_eq!(world.machine().workers.iter().map(turned_away).sum::<u64>(), 0);
    assert!(counter_of(&world.machine().front, "worker_hellos_unanswered") > 0);
}

#[test]
fn workers_drain_together() {
    let clip = Clip::new(150);
    let mut world = World::new(1, 2);
    for _ in 0..4 {
        world.add_client(Task::Publish(clip.clone(), End::Delete));
    }
    world.network.run_for(Duration::from_secs(2));
    world.network.drain(world.machine);
    world.network.run_for(Duration::from_millis(100));
    world.add_client(Task::Idle);
    world.network.run_for(Duration::from_secs(2));
    assert_eq!(world.network.finished(world.machine), None);
    world.network.run_for(TAIL);
    assert_eq!(world.network.finished(world.machine), Some(&Ok(())));
    assert_eq!(world.server().all().count(), 4);
    world.server().all().for_each(|session| assert_intact(session, &clip));
}

#[test]
fn workers_end_what_outlives_the_drain_together() {
    let mut world = World::with(1, 2, |config| config.timeouts.drain = Duration::from_secs(3));
    for _ in 0..4 {
        world.add_client(Task::Publish(Clip::new(3000), End::Stay));
    }
    world.add_client(Task::Idle);
    world.network.run_for(Duration::from_secs(5));
    world.network.drain(world.machine);
    world.network.run_for(Duration::from_millis(2900));
    assert_eq!(
        world.machine().workers.iter().map(Relay::client_count).sum::<usize>(),
        4,
        "the idle one has left"
    );
    world.network.run_for(Duration::from_secs(12));
    assert_eq!(world.network.finished(world.machine), Some(&Ok(())));
    let ended = world.server().all().filter(|session| session.position("deleteStream").is_some());
    assert_eq!(ended.count(), 4);
    assert!(world.server().all().all(|session| session.end_of_stream.is_some()));
}
