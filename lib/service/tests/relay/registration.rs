//! Relays that register with redirectors.

use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::{ServerConfig, TargetState, Users};
use rtmfp_service::{
    Advertise, Listen, Protocol, Redirector, RedirectorConfig, RedirectorMode, RegistrationConfig, Relay,
    RelayConfig, WorkerConfig, Workers,
};

use crate::clip::Clip;
use crate::encoder::{Client, End, TAIL, Task};
use crate::journal;
use crate::limits::counter_of;
use crate::publish::assert_intact;
use crate::server::Server;
use crate::world::{Chain, Plain, SERVER, add_relay, at, config, ip};

pub(crate) const REDIRECTOR: u8 = 120;
const FAR: u8 = 150;
const NEAR: u8 = 50;

struct World {
    network: Network,
    redirector: HostId,
    relay: HostId,
    server: HostId,
    clients: u8,
}

fn users(password: &str) -> Users {
    [("relay", password)].into_iter().collect()
}

/// A redirector in one of its lives, each of which has secrets and session ids of its own.
pub(crate) fn redirector(users: Users, life: u8) -> Box<Redirector> {
    redirector_at(vec![at(REDIRECTOR)], users, life)
}

fn redirector_at(listen: Vec<SocketAddr>, users: Users, life: u8) -> Box<Redirector> {
    let server = Box::new(ServerConfig::default());
    let mode = RedirectorMode::Targets { server, users };
    // With the plain profile a certificate is found by its name: that of the discriminator with the host name "red".
    let profile = Box::new(PlainProfile::new(b"\x04\0red"));
    Box::new(Redirector::new(RedirectorConfig::new(listen, mode, [life; 32]), profile))
}

/// What has a relay register there.
pub(crate) fn registration(users: Users, redirector: Vec<SocketAddr>) -> RegistrationConfig {
    RegistrationConfig {
        redirectors: vec![("red".to_owned(), redirector)],
        credentials: users.into(),
        ..RegistrationConfig::default()
    }
}

/// How its targets are, sorted by their names.
pub(crate) fn target_states(network: &Network, redirector: HostId) -> Vec<TargetState> {
    let redirector: &Redirector = network.peek(redirector);
    let mut states: Vec<_> = redirector.server().unwrap().targets().map(|(_, info)| info.state).collect();
    states.sort_by_key(|state| format!("{state:?}"));
    states
}

impl World {
    /// Encoders' relay that knows the redirector only, and a relay beside the server that registers.
    fn new(password: &str, change: impl Fn(&mut RelayConfig)) -> Self {
        let mut network = Network::new(1);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        let host = [ip(REDIRECTOR)];
        let redirector = network.add_host("redirector", &host, redirector(users("right"), 1));
        let mut far = config(1, &format!("rtmfp://{}", at(FAR)), &format!("rtmp://{}", at(SERVER)));
        far.registration = registration(users(password), vec![at(REDIRECTOR)]);
        change(&mut far);
        let relay = add_relay(&mut network, FAR, far);
        let near = config(1, &format!("rtmp://{}", at(NEAR)), &format!("rtmfp://{}", at(REDIRECTOR)));
        add_relay(&mut network, NEAR, near);
        let server = network.add_host("server", &[ip(SERVER)], Box::new(Chain::friendly()));
        network.run_for(Duration::from_secs(3));
        Self { network, redirector, relay, server, clients: 0 }
    }

    fn add_client(&mut self, task: Task) {
        self.clients += 1;
        let client = Box::new(Client::new(at(NEAR), task));
        self.network.add_host("client", &[[10, 2, 0, self.clients].into()], client);
    }

    fn relay(&self) -> &Relay {
        self.network.peek(self.relay)
    }

    fn states(&self) -> Vec<TargetState> {
        target_states(&self.network, self.redirector)
    }

    fn server(&self) -> &Server {
        self.network.peek(self.server)
    }
}

#[test]
fn clients_of_a_redirector_land_on_a_relay_that_has_registered() {
    let mut world = World::new("right", |_| {});
    assert_eq!(world.states(), [TargetState::Active]);
    assert_eq!(counter_of(world.relay(), "registrations"), 1);
    let clip = Clip::new(90);
    world.add_client(Task::Publish(clip.clone(), End::Delete));
    world.network.run_for(Duration::from_secs(4) + TAIL);
    assert_intact(world.server().all().next().expect("the publisher was relayed"), &clip);
}

#[test]
fn a_wrong_password_registers_nothing_and_the_relay_goes_on() {
    journal::begin();
    let mut world = World::new("wrong", |_| {});
    world.network.run_for(Duration::from_secs(60));
    // Once on either side, however often it is tried.
    let warnings = journal::warnings();
    let here = "redirector red refuses the name or password: check --redirector-user";
    let there =
        "WARN a server at 10.0.0.150:1935 is refused: it gives no password that is right; compare its user";
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings.iter().any(|line| line.contains(here)), "{warnings:#?}");
    assert!(warnings.iter().any(|line| line.starts_with(there)), "{warnings:#?}");
    assert!(!world.states().contains(&TargetState::Active), "{:?}", world.states());
    assert_eq!(counter_of(world.relay(), "registrations"), 0);
    assert_eq!(world.network.finished(world.relay), None);
}

#[test]
fn redirectors_learn_of_a_drain_while_streams_go_on_to_their_end() {
    let mut world = World::new("right", |_| {});
    let clip = Clip::new(150);
    world.add_client(Task::Publish(clip.clone(), End::Delete));
    world.network.run_for(Duration::from_secs(2));
    world.network.drain(world.relay);
    world.network.run_for(Duration::from_millis(100));
    assert_eq!(world.states(), [TargetState::Draining]);
    assert_eq!(world.network.finished(world.relay), None);
    world.network.run_for(Duration::from_secs(5) + TAIL);
    assert_eq!(world.network.finished(world.relay), Some(&Ok(())));
    assert_eq!(world.states(), []);
    assert_intact(world.server().all().next().expect("the publisher was relayed"), &clip);
}

#[test]
fn a_relay_that_is_full_gets_no_more_clients_until_one_has_gone() {
    let mut world = World::new("right", |config| config.load.max_connections = Some(2));
    let state = |world: &mut World| {
        world.network.run_for(Duration::from_secs(3));
        world.states()[0]
    };
    world.add_client(Task::Publish(Clip::new(300), End::Delete));
    assert_eq!(state(&mut world), TargetState::Active);
    world.add_client(Task::Publish(Clip::new(3000), End::Stay));
    assert_eq!(state(&mut world), TargetState::Full);
    world.network.run_for(Duration::from_secs(10));
    assert_eq!(state(&mut world), TargetState::Active);
}

#[test]
fn a_redirector_that_restarts_finds_the_relay_again_and_its_streams_notice_nothing() {
    let mut world = World::new("right", |_| {});
    let clip = Clip::new(1500);
    world.add_client(Task::Publish(clip.clone(), End::Delete));
    world.network.run_for(Duration::from_secs(2));
    journal::begin();
    world.network.restart(world.redirector, redirector(users("right"), 2));
    world.network.run_for(Duration::from_secs(60));
    let warnings = journal::warnings();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let lost = "lost redirector red: it is tried again, running streams go on";
    assert!(warnings[0].contains(lost), "what was right before needs no checking: {warnings:#?}");
    assert_eq!(world.states(), [TargetState::Active]);
    world.network.run_for(TAIL);
    let sessions: Vec<_> = world.server().all().collect();
    assert_eq!(sessions.len(), 1);
    assert_intact(sessions[0], &clip);
}

#[test]
fn a_redirector_that_is_killed_and_comes_back_has_the_relay_again_within_twenty_seconds() {
    for offset in 0..4 {
        let mut world = World::new("right", |_| {});
        world.network.run_for(Duration::from_secs(offset));
        world.network.vanish(world.redirector);
        world.network.run_for(Duration::from_millis(100));
        world.network.restart(world.redirector, redirector(users("right"), 2));
        world.network.run_for(Duration::from_secs(19));
        assert_eq!(world.states(), [TargetState::Active], "{offset} s");
    }
}

#[test]
fn a_redirector_that_leaves_keying_unanswered_is_no_client_that_was_refused() {
    let mut world = World::new("right", |_| {});
    world.network.vanish(world.redirector);
    world.network.run_for(Duration::from_secs(20));
    world.network.restart(world.redirector, redirector(users("right"), 2));
    // What it says gets there once more: its answer to the hello.
    let answers = world.network.link(world.redirector, world.relay).passed;
    let limit = Duration::from_secs(40);
    let is_answered = |network: &Network| network.link(world.redirector, world.relay).passed > answers;
    assert!(world.network.run_while(limit, |network| !is_answered(network)));
    world.network.block(world.redirector, world.relay);
    world.network.run_for(Duration::from_secs(10));
    assert_eq!(counter_of(world.relay(), "registrations"), 0);
    assert_eq!(counter_of(world.relay(), "sessions_refused"), 0);
    world.network.unblock(world.redirector, world.relay);
    world.network.run_for(Duration::from_secs(40));
    assert_eq!(world.states(), [TargetState::Active]);
}

#[test]
fn a_relay_is_found_where_it_is_advertised_a_worker_at_its_own_port_and_nowhere_else_if_so_wanted() {
    let advertised = |hide_reflexive| {
        let world = World::new("right", |config| {
            let ip = "192.0.2.1".parse().unwrap();
            let advertise = [None, Some(9000)].map(|port| Advertise { ip, port });
            config.registration.advertise = advertise.to_vec();
            config.registration.hide_reflexive = hide_reflexive;
            let worker = Workers::new(2, 1).worker(1);
            config.worker = Some(WorkerConfig { worker, ports: vec![4000] });
        });
        let redirector: &Redirector = world.network.peek(world.redirector);
        let settings = redirector.server().unwrap().targets().next().expect("the relay").1.settings;
        let addresses: Vec<_> = settings.addresses.iter().map(|address| address.addr.to_string()).collect();
        (settings.reflexive, addresses.join(" "))
    };
    let addresses = "192.0.2.1:4000 192.0.2.1:9001".to_owned();
    assert_eq!(advertised(false), (true, addresses.clone()));
    assert_eq!(advertised(true), (false, addresses));
}

#[test]
fn all_listeners_of_a_relay_register_and_drain_together() {
    let mut world = World::new("right", |config| {
        config.listen.push(rtmfp(SocketAddr::new(ip(FAR), 1940)));
    });
    assert_eq!(world.states(), [TargetState::Active; 2]);
    assert_eq!(counter_of(world.relay(), "registrations"), 2);
    world.add_client(Task::Publish(Clip::new(150), End::Delete));
    world.network.run_for(Duration::from_secs(2));
    world.network.drain(world.relay);
    world.network.run_for(Duration::from_millis(100));
    assert_eq!(world.states(), [TargetState::Draining; 2]);
}

fn rtmfp(address: SocketAddr) -> Listen {
    Listen { protocol: Protocol::Rtmfp, address, legacy: false }
}

/// The addresses that a relay with a listener of each family names to a redirector, by the addresses of its targets.
fn named(change: impl Fn(&mut RelayConfig)) -> Vec<(String, String)> {
    let [six, six_too]: [SocketAddr; 2] =
        ["[fd00::120]:1935", "[fd00::150]:1940"].map(|text| text.parse().unwrap());
    let mut network = Network::new(1);
    let redirector = redirector_at(vec![at(REDIRECTOR), six], Users::new(), 1);
    let redirector = network.add_host("redirector", &[ip(REDIRECTOR), six.ip()], redirector);
    let mut far = config(1, &format!("rtmfp://{}", at(FAR)), &format!("rtmp://{}", at(SERVER)));
    far.listen.push(rtmfp(six_too));
    far.registration = registration(Users::new(), vec![at(REDIRECTOR), six]);
    let advertise = |text: &str, port| Advertise { ip: text.parse().unwrap(), port };
    far.registration.advertise = vec![
        advertise("192.0.2.1", None),
        advertise("198.51.100.1", Some(9000)),
        // That is where it is seen.
        advertise("10.0.0.150", None),
        advertise("2001:db8::1", None),
        advertise("192.0.2.1", None),
    ];
    change(&mut far);
    let relay = Relay::new(far, Box::new(Plain::new("relay")));
    network.add_host("relay", &[ip(FAR), six_too.ip()], Box::new(relay));
    network.run_for(Duration::from_secs(3));
    let redirector: &Redirector = network.peek(redirector);
    let targets = redirector.server().unwrap().targets();
    let mut named: Vec<_> = targets
        .map(|(_, info)| {
            let addresses = info.settings.addresses.iter().map(|address| address.addr.to_string());
            (info.address.to_string(), addresses.collect::<Vec<_>>().join(" "))
        })
        .collect();
    named.sort();
    named
}

fn strings(expected: [(&str, &str); 2]) -> Vec<(String, String)> {
    expected.map(|(at, addresses)| (at.to_owned(), addresses.to_owned())).to_vec()
}

#[test]
fn a_listener_names_advertised_addresses_of_its_family_and_not_the_one_at_which_it_is_seen_anyway() {
    let expected =
        [("10.0.0.150:1935", "192.0.2.1:1935 198.51.100.1:9000"), ("[fd00::150]:1940", "[2001:db8::1]:1940")];
    assert_eq!(named(|_| {}), strings(expected));
    let expected =
        [("10.0.0.150:4000", "192.0.2.1:4000 198.51.100.1:9001"), ("[fd00::150]:4001", "[2001:db8::1]:4001")];
    let as_worker = |config: &mut RelayConfig| {
        let worker = Workers::new(2, 2).worker(1);
        config.worker = Some(WorkerConfig { worker, ports: vec![4000, 4001] });
    };
    assert_eq!(named(as_worker), strings(expected));
    // Where it is not told to go where it is seen, that is one more.
    let expected = [
        ("10.0.0.150:1935", "192.0.2.1:1935 198.51.100.1:9000 10.0.0.150:1935"),
        ("[fd00::150]:1940", "[2001:db8::1]:1940"),
    ];
    assert_eq!(named(|config| config.registration.hide_reflexive = true), strings(expected));
}

#[test]
fn an_address_with_a_port_that_no_listener_is_of_the_family_of_is_for_the_others() {
    let named = named(|config| _ = config.listen.remove(0));
    let addresses = "198.51.100.1:9000 [2001:db8::1]:1940";
    assert_eq!(named, [("[fd00::150]:1940".to_owned(), addresses.to_owned())]);
}
