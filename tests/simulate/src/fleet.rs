//! Redirectors and relays that register with them, as they run for real: clients of a relay beside the encoders are sent to
//! relays beside the server, while any of them restarts, drains, moves, sleeps or is cut off.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtmfp::crypto::Profile;
use rtmfp_base::{Counters, Time};
use rtmfp_netsim::{Dice, HostId, LinkConfig, Network, Node as Place};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::selection::Policy;
use rtmfp_redirect::{ServerConfig, TargetState, Users};
use rtmfp_service::{
    Destination, Listen, Profiles, Redirector, RedirectorConfig, RedirectorMode, RegistrationConfig, Relay,
};

use crate::clip::{self, Clip};
use crate::encoder::{Client, End, Task};
use crate::ledger::Deeds;
use crate::random::Impairments;
use crate::server::Server;
use crate::trial::Outcome;
use crate::world::{self, Plain, at, ip};

const SERVER: u8 = 1;
const NEAR: u8 = 2;
const FIRST_REDIRECTOR: u8 = 10;
const FIRST_FAR: u8 = 20;
/// What the redirectors are called in the DNS, and by those who register.
const DNS_NAME: &str = "redirectors.test";
const NAME: &str = "red";
/// By then everything is as it should be, once nothing is in the way any more: a session that was cut off is given up after
/// 125 s at the most, opening another one after 95 s, and redirectors are tried again every 30 s.
const CALM: Duration = Duration::from_secs(400);

/// Profiles of a relay beside the server. Like a certificate that is made at each start, the name of its listener is another
/// one in each of its lives.
struct Lives {
    relay: u8,
    life: u8,
}

impl Profiles for Lives {
    fn listener(&mut self, _listen: &Listen) -> Result<Box<dyn Profile>, String> {
        let mut name = world::listener_name(None);
        name.extend([33, 0x0f]);
        name.extend([self.relay; 31]);
        name.push(self.life);
        Ok(Box::new(PlainProfile::new(name).trusted()))
    }

    fn outgoing(&mut self, _to: &Destination) -> Result<Box<dyn Profile>, String> {
        Err("its destination speaks RTMP".to_owned())
    }
}

/// A redirector or a relay that registers.
struct Member {
    host: HostId,
    number: u8,
    life: u8,
    ip: IpAddr,
    /// It was told to end, or stopped: it has to be started again.
    leaves: bool,
}

impl Member {
    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 1935)
    }
}

/// Which of the members.
#[derive(Clone, Copy)]
enum Who {
    Redirector(usize),
    Relay(usize),
}

struct Fleet {
    network: Network,
    dice: Dice,
    seed: u64,
    deeds: Deeds,
    impairments: Impairments,
    redirectors: Vec<Member>,
    relays: Vec<Member>,
    near: HostId,
    server: HostId,
    clients: Vec<HostId>,
    client_count: u8,
    cut: Vec<(Place, Place)>,
    shaken: Vec<(Place, Place)>,
    selection: ServerConfig,
    users: Users,
    moves: u8,
}

impl Fleet {
    fn new(seed: u64, mut dice: Dice) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        let server = Server::playing(at(SERVER), Clip::new(30));
        let server = network.add_host("server", &[ip(SERVER)], Box::new(server));
        let mut selection = ServerConfig::default();
        let policies = [Policy::LeastLoad, Policy::Weighted, Policy::RoundRobin, Policy::Hash];
        selection.selection.policy = policies[dice.below(4) as usize];
        selection.targets = dice.chance(0.5).then(|| 1 + dice.below(3) as usize);
        let users = if dice.chance(0.5) { [("relay", "secret")].into_iter().collect() } else { Users::new() };
        let redirectors = 1 + dice.below(2) as u8;
        let relays = 2 + dice.below(3) as u8;
        let names: Vec<IpAddr> = (0..redirectors).map(|number| ip(FIRST_REDIRECTOR + number)).collect();
        network.add_name(DNS_NAME, &names);
        let near = world::config(seed, &format!("rtmp://{}", at(NEAR)), &format!("rtmfp://{DNS_NAME}"));
        let near = Relay::new(near, Box::new(Plain::new("near").trusted()));
        let near = network.add_host("near", &[ip(NEAR)], Box::new(near));
        let impairments = Impairments::any(&mut dice);
        let mut fleet = Self {
            network,
            dice,
            seed,
            deeds: Deeds::new(),
            impairments,
            redirectors: Vec::new(),
            relays: Vec::new(),
            near,
            server,
            clients: Vec::new(),
            client_count: 0,
            cut: Vec::new(),
            shaken: Vec::new(),
            selection,
            users,
            moves: 0,
        };
        for number in 0..redirectors {
            let service = fleet.redirector(number, 0);
            let ip = ip(FIRST_REDIRECTOR + number);
            let host = fleet.network.add_host(&format!("redirector {number}"), &[ip], service);
            fleet.redirectors.push(Member { host, number, life: 0, ip, leaves: false });
        }
        for number in 0..relays {
            let service = fleet.relay(number, 0);
            let ip = ip(FIRST_FAR + number);
            let host = fleet.network.add_host(&format!("relay {number}"), &[ip], service);
            fleet.relays.push(Member { host, number, life: 0, ip, leaves: false });
        }
        fleet
    }

    fn did(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }

    fn redirector(&mut self, number: u8, life: u8) -> Box<Redirector> {
        let mode =
            RedirectorMode::Targets { server: Box::new(self.selection.clone()), users: self.users.clone() };
        let listen = SocketAddr::new(ip(FIRST_REDIRECTOR + number), 1935);
        // An Endpoint Discriminator with the host name, of which the last byte tells redirectors and lives apart: registrants
        // look for all that begin so.
        let mut name = vec![NAME.len() as u8 + 2, 0];
        name.extend(NAME.bytes());
        name.push(number << 6 | life & 63);
        let config = RedirectorConfig::new(vec![listen], mode, self.dice.bytes());
        Box::new(Redirector::new(config, Box::new(PlainProfile::new(name).trusted())))
    }

    fn relay(&self, number: u8, life: u8) -> Box<Relay> {
        let seed = self.seed ^ u64::from(life) << 32 ^ u64::from(number) << 40;
        let mut config = world::config(seed, "rtmfp://0.0.0.0:1935", &format!("rtmp://{}", at(SERVER)));
        let redirector = |member: &Member| (format!("{NAME}*"), vec![member.address()]);
        config.registration = RegistrationConfig {
            redirectors: self.redirectors.iter().map(redirector).collect(),
            credentials: self.users.clone().into(),
            ..RegistrationConfig::default()
        };
        Box::new(Relay::new(config, Box::new(Lives { relay: number, life })))
    }

    // ---- what befalls them ----

    fn any_member(&mut self) -> Who {
        let (redirectors, relays) = (self.redirectors.len() as u64, self.relays.len() as u64);
        let nth = self.dice.below(redirectors + relays);
        match nth.checked_sub(redirectors) {
            None => Who::Redirector(nth as usize),
            Some(nth) => Who::Relay(nth as usize),
        }
    }

    fn member(&mut self, who: Who) -> &mut Member {
        match who {
            Who::Redirector(nth) => &mut self.redirectors[nth],
            Who::Relay(nth) => &mut self.relays[nth],
        }
    }

    fn members(&self) -> Vec<Who> {
        let redirectors = (0..self.redirectors.len()).map(Who::Redirector);
        redirectors.chain((0..self.relays.len()).map(Who::Relay)).collect()
    }

    /// Another life begins, whatever has become of the one before.
    fn restart(&mut self, who: Who) {
        let member = self.member(who);
        member.life += 1;
        member.leaves = false;
        let (host, number, life) = (member.host, member.number, member.life);
        match who {
            Who::Redirector(_) => {
                let service = self.redirector(number, life);
                self.network.restart(host, service);
            }
            Who::Relay(_) => {
                let service = self.relay(number, life);
                self.network.restart(host, service);
            }
        }
    }

    fn is_up(&mut self, who: Who) -> bool {
        let host = self.member(who).host;
        !self.member(who).leaves && self.network.finished(host).is_none()
    }

    /// Two that talk with each other.
    fn any_pair(&mut self) -> (Place, Place) {
        let relay = self.relays[self.dice.below(self.relays.len() as u64) as usize].host;
        let redirector = self.redirectors[self.dice.below(self.redirectors.len() as u64) as usize].host;
        match self.dice.below(3) {
            0 => (relay.into(), redirector.into()),
            1 => (self.near.into(), relay.into()),
            _ => (self.near.into(), redirector.into()),
        }
    }

    fn befall(&mut self) {
        let who = self.any_member();
        let host = self.member(who).host;
        match self.dice.below(20) {
            0..3 => {
                let (a, b) = self.any_pair();
                let link = self.impairments.link(&mut self.dice);
                self.network.set_links(a, b, link);
                self.shaken.push((a, b));
            }
            3 | 4 => {
                let (a, b) = self.any_pair();
                self.network.partition(a, b);
                self.cut.push((a, b));
            }
            5 | 6 => {
                for (a, b) in core::mem::take(&mut self.cut) {
                    self.network.heal(a, b);
                }
            }
            7 => {
                self.did(if matches!(who, Who::Relay(_)) { "relay_killed" } else { "redirector_killed" });
                self.restart(who);
            }
            8 => {
                self.did(if matches!(who, Who::Relay(_)) { "relay_vanished" } else { "redirector_vanished" });
                self.network.vanish(host);
                self.member(who).leaves = true;
            }
            9 if self.is_up(who) => {
                self.did(if matches!(who, Who::Relay(_)) { "relay_drained" } else { "redirector_drained" });
                self.network.drain(host);
                self.member(who).leaves = true;
            }
            10 if !self.is_up(who) => self.restart(who),
            11 if self.is_up(who) && !self.network.is_asleep(host) => {
                self.network.sleep(host);
                let longest = if self.dice.chance(0.2) { 60 } else { 5 };
                self.network.run_for(self.dice.up_to(Duration::from_secs(longest)));
                self.network.wake(host);
            }
            12 if matches!(who, Who::Relay(_)) => {
                self.did("relay_moved");
                self.moves += 1;
                let ip = IpAddr::from([10, 3, 0, self.moves]);
                self.network.set_addresses(host, &[ip]);
                self.member(who).ip = ip;
            }
            13 if !self.clients.is_empty() => {
                let gone = self.clients.swap_remove(self.dice.below(self.clients.len() as u64) as usize);
                self.network.vanish(gone);
            }
            _ => {
                self.did("fleet_client");
                let clip = Clip::new(self.dice.below(150) as u32 + 1);
                let task = match self.dice.below(4) {
                    0 => Task::Publish(clip, End::Delete),
                    1 => Task::Publish(clip, End::Disconnect),
                    2 => Task::Publish(clip, End::Stay),
                    _ => Task::Play,
                };
                let client = self.add_client(task);
                self.clients.push(client);
            }
        }
    }

    fn add_client(&mut self, task: Task) -> HostId {
        self.client_count += 1;
        let ip = IpAddr::from([10, 2, 0, self.client_count]);
        self.network.add_host("client", &[ip], Box::new(Client::new(at(NEAR), task)))
    }

    // ---- how it ends ----

    /// Nothing is in the way any more, everybody is there, and clients have gone.
    fn calm_down(&mut self) {
        for (a, b) in core::mem::take(&mut self.cut) {
            self.network.heal(a, b);
        }
        for (a, b) in core::mem::take(&mut self.shaken) {
            self.network.set_links(a, b, LinkConfig::with_delay(Duration::from_millis(10)));
        }
        for who in self.members() {
            if !self.is_up(who) {
                self.restart(who);
            }
        }
        for client in core::mem::take(&mut self.clients) {
            self.network.vanish(client);
        }
    }

    fn counter(&self, host: HostId, name: &str) -> u64 {
        let list = self.network.peek::<Relay>(host).to_list();
        list.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no counter {name}")).1
    }

    /// What is not yet as it has to be when all is calm.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expected: Vec<SocketAddr> = self.relays.iter().map(Member::address).collect();
        expected.sort();
        for member in &self.redirectors {
            let server = self.network.peek::<Redirector>(member.host).server().expect("it has targets");
            let mut found: Vec<_> = server.targets().map(|(_, info)| (info.address, info.state)).collect();
            found.sort_by_key(|&(address, _)| address);
            let right = found.iter().map(|(address, _)| *address).eq(expected.iter().copied())
                && found.iter().all(|&(_, state)| state == TargetState::Active);
            if !right {
                faults.push(format!("redirector {} has {found:?}", member.number));
            }
        }
        let redirectors = self.redirectors.len() as u64;
        let far = self.relays.iter().map(|member| (format!("relay {}", member.number), member.host));
        let near = core::iter::once(("the near relay".to_owned(), self.near));
        for (name, host) in far.chain(near) {
            let own = if host == self.near { 0 } else { redirectors };
            let endpoints = u64::from(host != self.near);
            for (what, right) in [
                ("registrations", own),
                ("sessions", own),
                ("clients", 0),
                ("streams", 0),
                ("endpoints", endpoints),
            ] {
                let is = self.counter(host, what);
                if is != right {
                    faults.push(format!("{name} has {is} {what}"));
                }
            }
        }
        faults
    }
}

/// One seed of the scenario.
pub(crate) fn run(seed: u64, dice: Dice) -> Outcome {
    let mut fleet = Fleet::new(seed, dice);
    fleet.network.run_for(Duration::from_secs(3));
    assert_eq!(fleet.faults(), Vec::<String>::new(), "at the beginning");
    for _ in 0..10 + fleet.dice.below(40) {
        fleet.befall();
        let longest = if fleet.dice.chance(0.1) { 30 } else { 3 };
        fleet.network.run_for(fleet.dice.up_to(Duration::from_secs(longest)));
    }
    fleet.calm_down();
    // What it takes to be asked is a list of everything: not at each step.
    let end = fleet.network.now() + CALM;
    while fleet.network.now() < end && !fleet.faults().is_empty() {
        fleet.network.run_for(Duration::from_secs(1));
    }
    assert_eq!(fleet.faults(), Vec::<String>::new(), "{} s into the calm", CALM.as_secs());
    // And it still works.
    let last = fleet.add_client(Task::Publish(Clip::new(30), End::Delete));
    fleet.network.run_for(Duration::from_secs(5));
    let client = fleet.network.peek::<Client>(last);
    assert!(
        client.has_code("NetStream.Publish.Start"),
        "the last client can't publish: {:?}",
        client.codes()
    );
    let received = fleet.network.peek::<Server>(fleet.server).all().last().expect("a session").messages();
    assert!(clip::of(&received, 9) == Clip::new(30).of(9), "not all pictures of the last client arrive");
    Outcome {
        trace: fleet.network.trace_hash(),
        time: fleet.network.now().since(Time::ZERO),
        nodes: fleet.redirectors.len() as u64 + fleet.relays.len() as u64 + 2,
        bytes: 0,
        faults: fleet.network.faults(),
        deeds: fleet.deeds,
    }
}
