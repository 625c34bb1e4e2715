use core::net::IpAddr;

use rtmfp_base::Service;

use super::Network;
use crate::conn::Side;
use crate::event::Packet;
use crate::links::{DiceOf, dice};
use crate::nat::Nat;
use crate::path::{NatId, Node};
use crate::{Fault, HostId, NatConfig, NatCounters};

/// NAT boxes, and networks behind them.
///
/// Behind each box is a network of its own, with addresses that need not differ from those of other networks.
/// Its hosts reach each other directly, and the public network through the box. Datagrams from there come in
/// as the box's [`NatConfig`] says; byte streams are opened from inside only, and stay until they end or the
/// box forgets them. What passes the box passes its [uplink](Network::set_uplink) or
/// [downlink](Network::set_downlink) too, and the link between the box and the other end; only hairpins turn
/// round in it.
impl Network {
    /// Adds a NAT box to the public network. It serves hosts of the family of its address.
    ///
    /// # Panics
    /// When somebody has the address.
    pub fn add_nat(&mut self, name: &str, ip: IpAddr, config: NatConfig) -> NatId {
        let id = NatId(u32::try_from(self.nats.len()).expect("fewer than 2^32 NAT boxes"));
        self.take_address(None, ip, id.into());
        self.nats.push(Nat::new(name, ip, config, dice(self.seed, DiceOf::Nat, id.0, 0)));
        id
    }

    /// Adds a host to the network behind a NAT box; otherwise as [`Network::add_host`].
    ///
    /// # Panics
    /// When another host in that network has one of the addresses.
    pub fn add_host_behind(
        &mut self,
        nat: NatId,
        name: &str,
        ips: &[IpAddr],
        service: Box<dyn Service>,
    ) -> HostId {
        self.add_host_at(Some(nat), name, ips, service)
    }

    /// Has a NAT box forget all it knows, as if it had been restarted. Sockets behind it get other public
    /// ports when they send next; what is sent to the old ones is refused. Byte streams through it break: the
    /// side inside learns of it when it sends or probes, the other one only by silence.
    pub fn rebind_nat(&mut self, nat: NatId) {
        let now = self.now;
        self.log.line(now, || format!("{} forgets all", self.nats[nat.0 as usize].name));
        for id in self.conns.ids() {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            if conn.mapping().is_some_and(|(through, _)| through == nat) {
                conn.severed = true;
                self.fault(Fault::StreamSevered);
                self.find_cut(id);
                self.probe_later(id, Side::Acceptor);
            }
        }
        self.nat_box_mut(nat).rebind();
    }

    /// Gives a NAT box another public address, as when its line is switched on again. It
    /// [forgets](Network::rebind_nat) all it knows.
    ///
    /// # Panics
    /// When somebody has the address.
    pub fn move_nat(&mut self, nat: NatId, ip: IpAddr) {
        self.rebind_nat(nat);
        self.by_ip.retain(|_, owner| *owner != Node::Nat(nat));
        self.take_address(None, ip, nat.into());
        self.nat_box_mut(nat).ip = ip;
        self.fault(Fault::Moved);
    }

    /// What a NAT box did.
    pub fn nat(&self, nat: NatId) -> NatCounters {
        self.nat_box(nat).counters
    }

    /// Puts a datagram's public source address in. `false`: it goes no further.
    pub(super) fn translate_out(&mut self, packet: &mut Packet) -> bool {
        let Some(id) = packet.path.out else { return true };
        let nat = &mut self.nats[id.0 as usize];
        let public = nat.outbound(self.now, packet.from, packet.to);
        let Some(public) = public else {
            self.log.line(self.now, || format!("{packet}: {} has no port for it", nat.name));
            self.fault(Fault::Undeliverable);
            return false;
        };
        packet.from = public;
        true
    }

    /// Puts a datagram's private target address in. `false`: it goes no further.
    pub(super) fn translate_in(&mut self, packet: &mut Packet) -> bool {
        let Some(id) = packet.path.into else { return true };
        let nat = &mut self.nats[id.0 as usize];
        let hairpin = packet.path.is_hairpin();
        if hairpin && !nat.config.hairpin {
            nat.counters.hairpins_refused += 1;
            self.log.line(self.now, || format!("{packet}: {} does not hairpin", nat.name));
            return false;
        }
        // It may have another address by now.
        let here = nat.ip == packet.to.ip();
        let inside = if here { nat.inbound(self.now, packet.from, packet.to.port()) } else { None };
        let Some(inside) = inside else {
            self.log.line(self.now, || format!("{packet}: {} refuses it", nat.name));
            return false;
        };
        nat.counters.hairpins += u64::from(hairpin);
        packet.to = inside;
        packet.path.to = match self.by_ip.get(&(Some(id), inside.ip())) {
            Some(Node::Host(host)) => Some(*host),
            _ => {
                self.fault(Fault::Undeliverable);
                return false;
            }
        };
        true
    }

    /// Gives an address in a network to a node.
    ///
    /// # Panics
    /// When it is not one that a node can have, or another node has it.
    pub(super) fn take_address(&mut self, site: Option<NatId>, ip: IpAddr, node: Node) {
        assert!(!ip.is_loopback() && !ip.is_unspecified(), "{ip} is no address of its own");
        let before = self.by_ip.insert((site, ip), node);
        assert_eq!(before, None, "{ip} belongs to somebody already");
    }
}
