//! What befalls hosts, links and NAT boxes while a trial runs, and how it is set right in the end.

use std::net::IpAddr;
use std::time::Duration;

use rtmfp_base::Time;
use rtmfp_netsim::{Dice, HostId, JobModel, Node as Place};

use crate::node::Node;
use crate::random;
use crate::trial::Trial;

/// A kind of mishap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mishap {
    Weather,
    Blackhole,
    Sleep,
    Pace,
    Move,
    Rebind,
    MoveNat,
    Restart,
    Vanish,
    Jobs,
    Leave,
    Introducer,
}

const ALL: [Mishap; 12] = [
    Mishap::Weather,
    Mishap::Blackhole,
    Mishap::Sleep,
    Mishap::Pace,
    Mishap::Move,
    Mishap::Rebind,
    Mishap::MoveNat,
    Mishap::Restart,
    Mishap::Vanish,
    Mishap::Jobs,
    Mishap::Leave,
    Mishap::Introducer,
];

/// Something that ends by itself.
#[derive(Clone, Copy, Debug)]
enum Cure {
    Heal(Place, Place),
    Wake(usize),
    Pace(usize),
    Jobs(usize),
    /// A host that vanished comes back.
    Return(usize),
    ReturnIntroducer,
}

/// The mishaps of a trial.
#[derive(Debug)]
pub(crate) struct Mishaps {
    kinds: Vec<Mishap>,
    every: Duration,
    next: Time,
    cures: Vec<(Time, Cure)>,
}

impl Mishaps {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        let mut kinds: Vec<Mishap> = ALL.into_iter().filter(|_| dice.chance(0.25)).collect();
        if dice.chance(0.1) {
            kinds.clear();
        }
        let every = Duration::from_millis(100 + dice.below(5000));
        Self { kinds, every, next: Time::ZERO + dice.up_to(every), cures: Vec::new() }
    }

    /// There is nothing to be done to NAT boxes.
    pub(crate) fn without_nats(&mut self) {
        self.kinds.retain(|kind| !matches!(kind, Mishap::Rebind | Mishap::MoveNat));
    }

    /// There is nobody who introduces.
    pub(crate) fn without_introducer(&mut self) {
        self.kinds.retain(|kind| *kind != Mishap::Introducer);
    }

    /// When the next thing is to be done.
    pub(crate) fn next(&self) -> Time {
        let mishap = if self.kinds.is_empty() { Time::MAX } else { self.next };
        self.cures.iter().map(|(at, _)| *at).min().unwrap_or(Time::MAX).min(mishap)
    }
}

impl Trial {
    /// Does what is due.
    pub(crate) fn befall(&mut self) {
        let now = self.network.now();
        let due = |cure: &(Time, Cure)| cure.0 <= now;
        while let Some(index) = self.mishaps.cures.iter().position(due) {
            let (_, cure) = self.mishaps.cures.swap_remove(index);
            self.cure(cure);
        }
        if self.mishaps.next <= now && !self.mishaps.kinds.is_empty() {
            self.mishaps.next = now + Duration::from_millis(1) + self.dice.up_to(self.mishaps.every);
            let kind = self.mishaps.kinds[self.dice.below(self.mishaps.kinds.len() as u64) as usize];
            self.strike(kind);
        }
    }

    /// Sets all right.
    pub(crate) fn heal(&mut self) {
        for (_, cure) in core::mem::take(&mut self.mishaps.cures) {
            self.cure(cure);
        }
        self.mishaps.kinds.clear();
        for &host in &self.hosts {
            self.network.set_jobs(host, JobModel::default());
        }
        self.clear_weather();
    }

    fn any_node(&mut self) -> usize {
        self.dice.below(self.hosts.len() as u64) as usize
    }

    fn later(&mut self, most: Duration) -> Time {
        self.network.now() + self.dice.up_to(most)
    }

    fn strike(&mut self, kind: Mishap) {
        let node = self.any_node();
        let host = self.hosts[node];
        let now = self.network.now();
        self.ledger.borrow().log(now, format_args!("{kind:?} strikes, at node {node} if that matters"));
        match kind {
            Mishap::Weather => self.change_weather(),
            Mishap::Blackhole => self.blackhole(),
            Mishap::Sleep => {
                if self.is_up(node) && !self.network.is_asleep(host) {
                    self.network.sleep(host);
                    let longest = if self.dice.chance(0.05) { 200 } else { 8 };
                    let at = self.later(Duration::from_secs(longest));
                    self.mishaps.cures.push((at, Cure::Wake(node)));
                }
            }
            Mishap::Pace => {
                let pace = if self.dice.chance(0.1) {
                    0.5 + self.dice.below(1500) as f64 / 1000.0
                } else {
                    0.95 + self.dice.below(100) as f64 / 1000.0
                };
                self.network.set_clock_pace(host, pace);
                let at = self.later(Duration::from_secs(60));
                self.mishaps.cures.push((at, Cure::Pace(node)));
            }
            Mishap::Move => self.move_node(node),
            Mishap::Rebind | Mishap::MoveNat => self.shake_nat(kind),
            Mishap::Restart => {
                if self.is_up(node) {
                    self.restart(node);
                }
            }
            Mishap::Vanish => {
                if self.is_up(node) {
                    self.kill(node);
                    self.network.vanish(host);
                    self.up[node] = false;
                    let at = self.later(Duration::from_secs(30));
                    self.mishaps.cures.push((at, Cure::Return(node)));
                }
            }
            Mishap::Jobs => {
                let jobs = random::jobs(&mut self.dice);
                self.network.set_jobs(host, jobs);
                let at = self.later(Duration::from_secs(20));
                self.mishaps.cures.push((at, Cure::Jobs(node)));
            }
            Mishap::Leave => self.leave(node),
            Mishap::Introducer => self.shake_introducer(),
        }
    }

    fn cure(&mut self, cure: Cure) {
        match cure {
            Cure::Heal(a, b) => self.network.heal(a, b),
            Cure::Wake(node) => self.wake(node),
            Cure::Pace(node) => self.network.set_clock_pace(self.hosts[node], 1.0),
            Cure::Jobs(node) => self.network.set_jobs(self.hosts[node], JobModel::default()),
            Cure::Return(node) => {
                if !self.up[node] {
                    self.restart(node);
                }
            }
            Cure::ReturnIntroducer => self.restart_introducer(),
        }
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.up[node] && self.network.finished(self.hosts[node]).is_none()
    }

    fn wake(&mut self, node: usize) {
        let host = self.hosts[node];
        if !self.is_up(node) || !self.network.is_asleep(host) {
            return;
        }
        let now = self.network.now_at(host);
        self.network.service::<Node>(host).woke(now);
        self.network.wake(host);
    }

    /// What is between two nodes' networks.
    fn any_pair(&mut self) -> Option<(Place, Place)> {
        let (a, b) = (self.any_node(), self.any_node());
        let (a, b) = (self.place(a, b), self.place(b, a));
        (a != b).then_some((a, b))
    }

    fn change_weather(&mut self) {
        let link = self.impairments.link(&mut self.dice);
        match self.dice.below(4) {
            0 => self.network.set_default_link(link),
            1 => {
                let node = self.any_node();
                self.network.set_uplink(self.hosts[node], link);
            }
            2 => {
                let node = self.any_node();
                self.network.set_downlink(self.hosts[node], link);
            }
            _ => {
                if let Some((a, b)) = self.any_pair() {
                    self.network.set_link(a, b, link);
                    self.special_links.push((a, b));
                }
            }
        }
    }

    fn blackhole(&mut self) {
        let Some((a, b)) = self.any_pair() else { return };
        if self.dice.chance(0.5) {
            self.network.partition(a, b);
        } else {
            self.network.block(a, b);
        }
        let longest = if self.dice.chance(0.1) { 150 } else { 10 };
        let at = self.later(Duration::from_secs(longest));
        self.mishaps.cures.push((at, Cure::Heal(a, b)));
    }

    /// The host gets another address.
    fn move_node(&mut self, node: usize) {
        if self.nat_of[node].is_some() {
            return;
        }
        let ip = self.fresh_ip();
        let host = self.hosts[node];
        self.network.set_addresses(host, &[ip]);
        if !self.mobile {
            self.unsettle(node);
        }
        self.enter_address(node, ip);
    }

    fn shake_nat(&mut self, kind: Mishap) {
        if self.nats.is_empty() {
            return;
        }
        let index = self.dice.below(self.nats.len() as u64) as usize;
        let nat = self.nats[index];
        if kind == Mishap::Rebind {
            self.network.rebind_nat(nat);
        } else {
            let ip = self.fresh_ip();
            self.network.move_nat(nat, ip);
            self.enter_nat_address(nat, ip);
        }
        for node in 0..self.hosts.len() {
            if self.nat_of[node] == Some(nat) && !self.mobile {
                self.unsettle(node);
            }
        }
    }

    /// It restarts, at once or after a while.
    fn shake_introducer(&mut self) {
        let Some(host) = self.introducer.as_ref().map(|introducer| introducer.host) else { return };
        if self.dice.chance(0.5) {
            return self.restart_introducer();
        }
        self.network.vanish(host);
        let at = self.later(Duration::from_secs(30));
        self.mishaps.cures.push((at, Cure::ReturnIntroducer));
    }

    /// Its sessions need not survive.
    fn unsettle(&self, node: usize) {
        self.ledger.borrow_mut().nodes[node].unsteady = true;
    }

    fn kill(&mut self, node: usize) {
        self.network.service::<Node>(self.hosts[node]).talker.dies();
    }

    fn restart(&mut self, node: usize) {
        let host: HostId = self.hosts[node];
        if self.is_up(node) {
            self.kill(node);
        }
        let service = self.new_node(node);
        self.network.restart(host, service);
        self.up[node] = true;
    }

    /// The program ends and is started again a little later.
    fn leave(&mut self, node: usize) {
        if !self.is_up(node) || self.network.is_asleep(self.hosts[node]) {
            return;
        }
        let host = self.hosts[node];
        self.unsettle(node);
        if self.dice.chance(0.5) {
            self.network.drain(host);
        } else {
            self.network.stop(host);
        }
    }

    /// An address that nobody had before.
    pub(crate) fn fresh_ip(&mut self) -> IpAddr {
        self.last_ip += 1;
        let [_, high, middle, low] = self.last_ip.to_be_bytes();
        IpAddr::from([10, high, middle, low])
    }
}
