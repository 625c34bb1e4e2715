use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use rtmfp_base::Time;

use crate::Dice;

/// How a NAT box treats UDP, in the terms of RFC 3489 section 5.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NatKind {
    /// A socket has one public address, and whatever anybody sends there is let in.
    FullCone,
    /// A socket has one public address; those are let in to whose IP address it has sent.
    Restricted,
    /// A socket has one public address; those are let in to whose address and port it has sent.
    #[default]
    PortRestricted,
    /// A socket has another public address for each address and port that it sends to, and only from there
    /// anything is let in.
    Symmetric,
}

/// Which public ports a NAT box gives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NatPorts {
    /// The port that the socket has itself if that is free, else a random one.
    #[default]
    Preserve,
    /// A random one.
    Random,
}

/// How a NAT box works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NatConfig {
    /// Whose datagrams it lets in.
    pub kind: NatKind,
    /// Which public ports it gives.
    pub ports: NatPorts,
    /// How long a mapping lasts after the last datagram from inside, and the permission for a sender after
    /// the last datagram to it. Datagrams from outside do not prolong either.
    pub timeout: Duration,
    /// Whether hosts behind it reach each other by their public addresses. The receiver then sees the
    /// sender's public address.
    pub hairpin: bool,
}

impl Default for NatConfig {
    /// Port-restricted, keeping ports, with the two minutes of RFC 4787 section 4.3, without hairpinning.
    fn default() -> Self {
        Self {
            kind: NatKind::default(),
            ports: NatPorts::default(),
            timeout: Duration::from_secs(120),
            hairpin: false,
        }
    }
}

/// What a NAT box did with datagrams and mappings.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NatCounters {
    /// Datagrams from inside sent on, hairpins included.
    pub outbound: u64,
    /// Datagrams let in, hairpins included.
    pub inbound: u64,
    /// Datagrams that were not let in.
    pub refused: u64,
    /// Datagrams from inside to its own public address that were let in.
    pub hairpins: u64,
    /// Datagrams from inside to its own public address, dropped because [`NatConfig::hairpin`] is off.
    pub hairpins_refused: u64,
    /// Datagrams from inside dropped because no port was free.
    pub exhausted: u64,
    /// Mappings made.
    pub mapped: u64,
    /// Mappings that timed out.
    pub expired: u64,
    /// Mappings forgotten by a rebinding.
    pub rebound: u64,
}

/// A NAT box. Protocols have ports of their own, datagrams those of the mappings.
#[derive(Debug)]
pub(crate) struct Nat {
    pub(crate) name: String,
    pub(crate) ip: IpAddr,
    pub(crate) config: NatConfig,
    pub(crate) counters: NatCounters,
    dice: Dice,
    /// By their public port.
    mappings: BTreeMap<u16, Mapping>,
    by_key: BTreeMap<Key, u16>,
    /// No mapping times out before.
    next_expiry: Time,
    stream_ports: BTreeSet<u16>,
    /// Given before the last rebinding: not to be given again until the next, so that each socket changes.
    former: BTreeSet<u16>,
}

/// What has a public port.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    inside: SocketAddr,
    /// The far address, if each has its own mapping.
    far: Option<SocketAddr>,
}

#[derive(Debug)]
struct Mapping {
    key: Key,
    last_sent: Time,
    /// Where something was sent to, and when last.
    far: BTreeMap<SocketAddr, Time>,
}

impl Nat {
    pub(crate) fn new(name: &str, ip: IpAddr, config: NatConfig, dice: Dice) -> Self {
        Self {
            name: name.to_owned(),
            ip,
            config,
            counters: NatCounters::default(),
            dice,
            mappings: BTreeMap::new(),
            by_key: BTreeMap::new(),
            next_expiry: Time::ZERO,
            stream_ports: BTreeSet::new(),
            former: BTreeSet::new(),
        }
    }

    /// The public address that a datagram from inside gets; `None`: it cannot be sent on.
    pub(crate) fn outbound(&mut self, now: Time, inside: SocketAddr, far: SocketAddr) -> Option<SocketAddr> {
        if far.is_ipv4() != self.ip.is_ipv4() {
            return None;
        }
        let key = Key { inside, far: (self.config.kind == NatKind::Symmetric).then_some(far) };
        let known = self.by_key.get(&key).copied();
        let port = match known.filter(|port| self.is_alive(now, *port)) {
            Some(port) => port,
            None => self.map(now, key)?,
        };
        let timeout = self.config.timeout;
        let mapping = self.mappings.get_mut(&port)?;
        mapping.last_sent = now;
        if mapping.far.insert(far, now).is_none() {
            mapping.far.retain(|_, last| now.since(*last) < timeout);
        }
        self.counters.outbound += 1;
        Some(SocketAddr::new(self.ip, port))
    }

    /// Who is meant by a public port when this sender uses it; `None`: it is not let in.
    pub(crate) fn inbound(&mut self, now: Time, from: SocketAddr, port: u16) -> Option<SocketAddr> {
        let timeout = self.config.timeout;
        let mapping = self.mappings.get(&port).filter(|mapping| now.since(mapping.last_sent) < timeout);
        let inside = mapping.filter(|mapping| {
            let recent = |last: &Time| now.since(*last) < timeout;
            match self.config.kind {
                NatKind::FullCone => true,
                NatKind::Restricted => {
                    mapping.far.iter().any(|(far, last)| far.ip() == from.ip() && recent(last))
                }
                NatKind::PortRestricted | NatKind::Symmetric => mapping.far.get(&from).is_some_and(recent),
            }
        });
        let inside = inside.map(|mapping| mapping.key.inside);
        *if inside.is_some() { &mut self.counters.inbound } else { &mut self.counters.refused } += 1;
        inside
    }

    /// Forgets everything. What is mapped next gets ports that were not in use before.
    pub(crate) fn rebind(&mut self) {
        self.counters.rebound += self.mappings.len() as u64;
        self.former = self.mappings.keys().chain(&self.stream_ports).copied().collect();
        self.mappings.clear();
        self.by_key.clear();
        self.stream_ports.clear();
    }

    /// A public address for a byte stream from inside, until it is released.
    pub(crate) fn map_stream(&mut self, inside: IpAddr, port: u16) -> Option<SocketAddr> {
        if inside.is_ipv4() != self.ip.is_ipv4() {
            return None;
        }
        let port = self.choose_port(port, |nat, port| nat.stream_ports.contains(&port))?;
        self.stream_ports.insert(port);
        Some(SocketAddr::new(self.ip, port))
    }

    pub(crate) fn release_stream(&mut self, port: u16) {
        self.stream_ports.remove(&port);
    }

    fn is_alive(&self, now: Time, port: u16) -> bool {
        self.mappings.get(&port).is_some_and(|mapping| now.since(mapping.last_sent) < self.config.timeout)
    }

    fn map(&mut self, now: Time, key: Key) -> Option<u16> {
        self.expire(now);
        let Some(port) = self.choose_port(key.inside.port(), |nat, port| nat.mappings.contains_key(&port))
        else {
            self.counters.exhausted += 1;
            return None;
        };
        self.counters.mapped += 1;
        self.by_key.insert(key, port);
        self.mappings.insert(port, Mapping { key, last_sent: now, far: BTreeMap::new() });
        Some(port)
    }

    /// Frees the ports of mappings that have timed out.
    fn expire(&mut self, now: Time) {
        let Self { mappings, by_key, next_expiry, config, counters, .. } = self;
        if now < *next_expiry {
            return;
        }
        *next_expiry = now + config.timeout;
        mappings.retain(|_, mapping| {
            let until = mapping.last_sent + config.timeout;
            if until <= now {
                by_key.remove(&mapping.key);
                counters.expired += 1;
                return false;
            }
            *next_expiry = until.min(*next_expiry);
            true
        });
    }

    fn choose_port(&mut self, inside: u16, taken: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        let free = |nat: &Self, port| !taken(nat, port) && !nat.former.contains(&port);
        if self.config.ports == NatPorts::Preserve && free(self, inside) {
            return Some(inside);
        }
        let count = u32::from(u16::MAX - FIRST_PORT) + 1;
        let start = self.dice.below(count.into()) as u32;
        let mut ports = (0..count).map(|n| FIRST_PORT + ((start + n) % count) as u16);
        ports.find(|port| free(self, *port))
    }
}

/// Those below are for services that everybody knows.
const FIRST_PORT: u16 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_without_a_free_port_sends_nothing_until_a_mapping_times_out() {
        let config = NatConfig { kind: NatKind::Symmetric, ports: NatPorts::Random, ..NatConfig::default() };
        let mut nat = Nat::new("nat", IpAddr::from([10, 0, 0, 9]), config, Dice::new(1, 0));
        let inside = SocketAddr::from(([192, 168, 0, 1], 1000));
        let far = |n: u16| SocketAddr::from(([10, 0, 0, 1], n));
        // All but ten.
        nat.former = (1024..=65_525).collect();
        let start = Time::from_secs(1000);
        let ports: BTreeSet<_> = (0..10)
            .map(|n| {
                let now = start + Duration::from_micros(n.into());
                nat.outbound(now, inside, far(n)).expect("a free port").port()
            })
            .collect();
        assert_eq!(ports, (65_526..=65_535).collect());
        let end = start + config.timeout;
        assert_eq!(nat.outbound(end - Duration::from_micros(1), inside, far(10)), None);
        assert_eq!((nat.counters.exhausted, nat.counters.expired), (1, 0));
        assert!(nat.outbound(end, inside, far(10)).is_some());
        assert_eq!((nat.counters.exhausted, nat.counters.expired), (1, 1));
    }

    #[test]
    fn the_other_family_is_not_served() {
        let mut nat = Nat::new("nat", IpAddr::from([10, 0, 0, 9]), NatConfig::default(), Dice::new(1, 0));
        let six = SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, 1], 1));
        assert_eq!(nat.outbound(Time::ZERO, six, six), None);
        assert_eq!(nat.map_stream(six.ip(), 1), None);
    }
}
