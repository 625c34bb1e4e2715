//! One seed of a random scenario: nodes on a network, a time of trouble, a calm in which all has to come right, and an
//! orderly end with nothing left.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use rtmfp::Endpoint;
use rtmfp_base::{Service, Time};
use rtmfp_netsim::{
    Config, Dice, Faults, HostId, JobModel, LinkConfig, NatConfig, NatId, Network, Node as Place,
};

use crate::identity::{Cryptography, Identity};
use crate::introducer::{self, Introducer};
use crate::ledger::{Deeds, Known, Ledger};
use crate::mishaps::Mishaps;
use crate::node::Node;
use crate::random::{self, Impairments, Size};
use crate::scenario::Shape;
use crate::talker::{Book, Talker};

const PORT: u16 = 1935;
/// The longest time that all may take to come right once nothing is in the way: a silent far end is given up after two
/// minutes at the most, opening after 95 seconds, and a flow waits for its turn.
const CALM: Duration = Duration::from_secs(900);
/// The same for the end: closing takes 90 seconds at the most, being told that another one closed 19.
const END: Duration = Duration::from_secs(200);

/// What came of a seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// A hash over all that hosts and applications saw.
    pub(crate) trace: u64,
    pub(crate) time: Duration,
    pub(crate) nodes: u64,
    pub(crate) bytes: u64,
    pub(crate) faults: Faults,
    pub(crate) deeds: Deeds,
}

/// A trial under way.
pub(crate) struct Trial {
    pub(crate) network: Network,
    pub(crate) dice: Dice,
    pub(crate) ledger: Rc<RefCell<Ledger>>,
    book: Rc<RefCell<Book>>,
    pub(crate) hosts: Vec<HostId>,
    /// Switched on.
    pub(crate) up: Vec<bool>,
    pub(crate) nats: Vec<NatId>,
    pub(crate) nat_configs: Vec<NatConfig>,
    pub(crate) nat_of: Vec<Option<NatId>>,
    pub(crate) mishaps: Mishaps,
    pub(crate) impairments: Impairments,
    pub(crate) special_links: Vec<(Place, Place)>,
    pub(crate) last_ip: u32,
    cryptography: Cryptography,
    /// With whom all register.
    pub(crate) introducer: Option<Introducer>,
    size: Size,
    /// Sessions follow hosts to other addresses.
    pub(crate) mobile: bool,
    /// Those that each node opens flows to.
    targets: Vec<Vec<usize>>,
    seed: u64,
}

impl Trial {
    pub(crate) fn new(seed: u64, shape: Shape, mut dice: Dice, logs: bool) -> Self {
        let config = Config {
            report_closed_ports: dice.chance(0.3),
            udp_receive_buffer: dice.chance(0.3).then(|| 2000 + dice.below(60_000) as usize),
            jobs: if dice.chance(0.2) { random::jobs(&mut dice) } else { JobModel::default() },
            max_work: 50_000,
            ..Config::default()
        };
        let network = Network::with_config(seed, config);
        let nodes = shape.targets.len();
        let impairments = if dice.chance(0.1) { Impairments::NONE } else { Impairments::any(&mut dice) };
        let size = Size::any(&mut dice, nodes);
        let mut trial = Self {
            network,
            ledger: Rc::new(RefCell::new(Ledger { logs, ..Ledger::default() })),
            book: Rc::new(RefCell::new(Book { own: vec![None; nodes], public: vec![None; nodes] })),
            hosts: Vec::new(),
            up: vec![true; nodes],
            nats: Vec::new(),
            nat_configs: Vec::new(),
            nat_of: vec![None; nodes],
            mishaps: Mishaps::any(&mut dice),
            impairments,
            special_links: Vec::new(),
            last_ip: 0,
            cryptography: shape.cryptography,
            introducer: None,
            size,
            mobile: dice.chance(0.7),
            targets: shape.targets,
            seed,
            dice,
        };
        if shape.introduced {
            trial.introducer = Some(Introducer::new(&mut trial.network, &mut trial.dice));
        }
        trial.build(&shape.behind_nat);
        trial
    }

    fn build(&mut self, behind_nat: &[Option<usize>]) {
        let link = self.impairments.link(&mut self.dice);
        self.network.set_default_link(link);
        let boxes = behind_nat.iter().flatten().max().map_or(0, |last| last + 1);
        for number in 0..boxes {
            let (ip, config) = (self.fresh_ip(), random::nat(&mut self.dice));
            let nat = self.network.add_nat(&format!("nat{number}"), ip, config);
            self.nats.push(nat);
            self.nat_configs.push(config);
            for (node, behind) in behind_nat.iter().enumerate() {
                if *behind == Some(number) {
                    self.nat_of[node] = Some(nat);
                }
            }
            self.enter_nat_address(nat, ip);
        }
        if self.nats.is_empty() {
            self.mishaps.without_nats();
        }
        if self.introducer.is_none() {
            self.mishaps.without_introducer();
        }
        self.ledger.borrow_mut().nodes = vec![Known::default(); self.targets.len()];
        for node in 0..self.targets.len() {
            let nat = self.nat_of[node];
            let ip = if nat.is_some() { [192, 168, 0, node as u8 + 1].into() } else { self.fresh_ip() };
            self.enter_address(node, ip);
            let service = self.new_node(node);
            let name = format!("node{node}");
            let host = match nat {
                Some(nat) => self.network.add_host_behind(nat, &name, &[ip], service),
                None => self.network.add_host(&name, &[ip], service),
            };
            self.hosts.push(host);
            if self.dice.chance(0.2) {
                let link = self.impairments.link(&mut self.dice);
                self.network.set_uplink(host, link);
            }
        }
    }

    /// Others look for it here.
    pub(crate) fn enter_address(&self, node: usize, ip: IpAddr) {
        self.book.borrow_mut().own[node] = Some(SocketAddr::new(ip, PORT));
    }

    /// Those behind a NAT box may be found here, if it does hairpins.
    pub(crate) fn enter_nat_address(&self, nat: NatId, ip: IpAddr) {
        for (node, behind) in self.nat_of.iter().enumerate() {
            if *behind == Some(nat) {
                self.book.borrow_mut().public[node] = Some(SocketAddr::new(ip, PORT));
            }
        }
    }

    /// What links of a node lead to another from: its NAT box, unless both are behind the same one.
    pub(crate) fn place(&self, node: usize, other: usize) -> Place {
        match self.nat_of[node] {
            Some(nat) if self.nat_of[other] != Some(nat) => nat.into(),
            _ => self.hosts[node].into(),
        }
    }

    /// A node's program, at its start.
    pub(crate) fn new_node(&mut self, node: usize) -> Box<dyn Service> {
        let name = match &self.introducer {
            Some(_) => introducer::node_name(node, self.ledger.borrow().nodes[node].epds.len() as u8),
            None => format!("node{node}").into_bytes(),
        };
        let identity = Identity::new(self.cryptography, &name, &mut self.dice);
        let (config, tight) = random::config(&mut self.dice, self.size, self.mobile);
        {
            let mut ledger = self.ledger.borrow_mut();
            let known = &mut ledger.nodes[node];
            known.epds.push(identity.epd);
            known.tight = tight;
        }
        let manners = random::manners(&mut self.dice, self.size, self.targets[node].clone());
        let now = self.hosts.get(node).map_or(Time::ZERO, |&host| self.network.now_at(host));
        let mut endpoint = Endpoint::new(config.clone(), identity.profile, self.dice.bytes(), now);
        let dice = Dice::new(self.dice.below(u64::MAX), 7);
        let mut talker =
            Talker::new(node, Rc::clone(&self.ledger), Rc::clone(&self.book), manners, &config, dice);
        if self.introducer.is_some() {
            let own = self.book.borrow().own[node].filter(|_| self.nat_of[node].is_some());
            talker.register(introducer::registrant(now, &mut endpoint, own));
        }
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        Box::new(Node::new(endpoint, config, &[any], talker))
    }

    pub(crate) fn clear_weather(&mut self) {
        let clear = LinkConfig::with_delay(Duration::from_millis(20));
        self.network.set_default_link(clear);
        for &host in &self.hosts {
            self.network.set_uplink(host, LinkConfig::default());
            self.network.set_downlink(host, LinkConfig::default());
        }
        for (a, b) in core::mem::take(&mut self.special_links) {
            self.network.set_link(a, b, clear);
        }
    }

    fn alive(&self) -> Vec<HostId> {
        let alive = (0..self.hosts.len()).filter(|&node| self.is_up(node));
        alive.map(|node| self.hosts[node]).collect()
    }

    /// Runs it all.
    pub(crate) fn run(mut self) -> Outcome {
        let trouble = Duration::from_millis(1000 + self.dice.below(40_000));
        let trouble = if self.dice.chance(0.05) { trouble * 10 } else { trouble };
        let end = Time::ZERO + trouble;
        while self.network.now() < end {
            let next = self.mishaps.next().min(end);
            self.network.run_until(next);
            self.befall();
        }
        self.calm_down();
        self.reunite();
        self.end();
        let mut ledger = self.ledger.borrow_mut();
        Outcome {
            trace: self.network.trace_hash() ^ ledger.digest,
            time: self.network.now().since(Time::ZERO),
            nodes: self.hosts.len() as u64,
            bytes: ledger.bytes,
            faults: self.network.faults(),
            deeds: core::mem::take(&mut ledger.deeds),
        }
    }

    /// Nothing is in the way any more: what was written arrives, or the session is given up at both ends.
    fn calm_down(&mut self) {
        self.heal();
        let now = self.network.now();
        self.ledger.borrow().log(now, format_args!("calm"));
        self.ledger.borrow_mut().calm_since = Some(now);
        for host in self.alive() {
            let now = self.network.now_at(host);
            self.network.service::<Node>(host).quieten(now);
        }
        let limit = now + CALM;
        while self.network.now() < limit {
            let done = self.alive().into_iter().all(|host| self.network.peek::<Node>(host).is_done());
            if done {
                break;
            }
            self.network.run_for(Duration::from_secs(1));
        }
        self.ledger.borrow().check_the_end();
    }

    /// All programs end in order, and nothing is left to happen.
    fn end(&mut self) {
        self.ledger.borrow().log(self.network.now(), format_args!("the end"));
        for host in self.alive() {
            self.network.drain(host);
            if self.dice.chance(0.5) {
                self.network.run_for(Duration::from_millis(30));
            }
        }
        if let Some(introducer) = &self.introducer {
            self.network.run_for(Duration::from_secs(1));
            self.network.drain(introducer.host);
        }
        let idle = self.network.run_until_idle(END);
        for node in 0..self.hosts.len() {
            assert!(!self.is_up(node), "node {node} of seed {} does not end", self.seed);
        }
        assert!(idle, "something is left to happen when all have ended");
    }
}
