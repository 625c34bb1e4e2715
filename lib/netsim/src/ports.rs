use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

/// Where the automatic ports begin.
const FIRST_FREE: u16 = 49_152;

/// The ports of a host that things with keys `K` (sockets, listeners) are bound to.
#[derive(Debug)]
pub(crate) struct Ports<K> {
    addresses: BTreeMap<K, SocketAddr>,
    by_port: BTreeMap<u16, Vec<(IpAddr, K)>>,
    next_free: u16,
}

impl<K: Copy + Ord> Ports<K> {
    pub(crate) const fn new() -> Self {
        Self { addresses: BTreeMap::new(), by_port: BTreeMap::new(), next_free: FIRST_FREE }
    }

    /// The address that a thing is bound to.
    pub(crate) fn address(&self, key: K) -> Option<SocketAddr> {
        self.addresses.get(&key).copied()
    }

    /// Binds a thing that is not bound yet; port 0 becomes a free one.
    pub(crate) fn bind(&mut self, key: K, address: SocketAddr) -> Result<SocketAddr, String> {
        let ip = address.ip();
        let port = match address.port() {
            0 => self.free_port().ok_or("no free port")?,
            port => port,
        };
        let bound = self.by_port.entry(port).or_default();
        let same_family = |other: IpAddr| other.is_ipv4() == ip.is_ipv4();
        let taken = |other: IpAddr| {
            same_family(other) && (other == ip || other.is_unspecified() || ip.is_unspecified())
        };
        if bound.iter().any(|(other, _)| taken(*other)) {
            return Err("address in use".to_owned());
        }
        bound.push((ip, key));
        let address = SocketAddr::new(ip, port);
        self.addresses.insert(key, address);
        Ok(address)
    }

    pub(crate) fn release(&mut self, key: K) {
        let Some(address) = self.addresses.remove(&key) else { return };
        if let Some(bound) = self.by_port.get_mut(&address.port()) {
            bound.retain(|(_, other)| *other != key);
            if bound.is_empty() {
                self.by_port.remove(&address.port());
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.addresses.clear();
        self.by_port.clear();
    }

    /// What gets that which is sent to an address of this host.
    pub(crate) fn find(&self, to: SocketAddr) -> Option<K> {
        let serves = |ip: IpAddr| ip == to.ip() || (ip.is_unspecified() && ip.is_ipv4() == to.ip().is_ipv4());
        self.by_port.get(&to.port())?.iter().find(|(ip, _)| serves(*ip)).map(|(_, key)| *key)
    }

    /// A port that nothing is bound to, in order, so that the same run takes the same ones.
    pub(crate) fn free_port(&mut self) -> Option<u16> {
        for _ in FIRST_FREE..=u16::MAX {
            let port = self.next_free;
            self.next_free = port.checked_add(1).unwrap_or(FIRST_FREE);
            if !self.by_port.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}
