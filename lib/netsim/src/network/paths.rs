use core::net::SocketAddr;
use core::time::Duration;

use super::Network;
use crate::event::{Event, PacketId, SegmentId};
use crate::path::{Node, Path, Place, Route, Stage};
use crate::{HostId, LinkConfig, LinkCounters};

/// Links. Those of a host behind a NAT box lead to the hosts behind the same one; to all others lead those of
/// the box.
impl Network {
    /// Configures all links between nodes that are not configured by [`Network::set_link`], those of nodes
    /// still to be added too.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_default_link(&mut self, config: LinkConfig) {
        self.links.set_default(config);
    }

    /// Configures the link from one node to another. The other direction has a link of its own. A link may be
    /// changed at any time; what travels on it stays as it is, so a shorter delay lets datagrams overtake.
    ///
    /// # Panics
    /// When a probability is not between 0 and 1, or the rate is zero.
    pub fn set_link(&mut self, from: impl Into<Node>, to: impl Into<Node>, config: LinkConfig) {
        let route = Route { from: from.into(), to: to.into() };
        self.links.set(Place::Between(route), config);
    }

    /// Configures the links of two nodes in both directions alike.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_links(&mut self, a: impl Into<Node>, b: impl Into<Node>, config: LinkConfig) {
        let (a, b) = (a.into(), b.into());
        self.set_link(a, b, config);
        self.set_link(b, a, config);
    }

    /// Configures the link that all passes first that a host sends, or that a NAT box sends to the public
    /// network.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_uplink(&mut self, node: impl Into<Node>, config: LinkConfig) {
        self.links.set(Place::Up(node.into()), config);
    }

    /// Configures the link that all passes last that a host receives, or that a NAT box receives from the
    /// public network.
    ///
    /// # Panics
    /// As [`Network::set_link`].
    pub fn set_downlink(&mut self, node: impl Into<Node>, config: LinkConfig) {
        self.links.set(Place::Down(node.into()), config);
    }

    /// Blocks the link from one node to another: datagrams vanish, byte streams stand still and die if it
    /// lasts.
    pub fn block(&mut self, from: impl Into<Node>, to: impl Into<Node>) {
        self.links.between(from.into(), to.into()).block();
        self.find_cuts();
    }

    /// Ends [`Network::block`].
    pub fn unblock(&mut self, from: impl Into<Node>, to: impl Into<Node>) {
        for segment in self.links.unblock(from.into(), to.into()) {
            self.segment_waited(segment, Stage::Between);
        }
        self.find_cuts();
    }

    /// Blocks the links between two nodes in both directions.
    pub fn partition(&mut self, a: impl Into<Node>, b: impl Into<Node>) {
        let (a, b) = (a.into(), b.into());
        self.block(a, b);
        self.block(b, a);
    }

    /// Ends [`Network::partition`].
    pub fn heal(&mut self, a: impl Into<Node>, b: impl Into<Node>) {
        let (a, b) = (a.into(), b.into());
        self.unblock(a, b);
        self.unblock(b, a);
    }

    /// What the link from one node to another did.
    pub fn link(&self, from: impl Into<Node>, to: impl Into<Node>) -> LinkCounters {
        self.link_counters(Place::Between(Route { from: from.into(), to: to.into() }))
    }

    /// What a node's uplink did.
    pub fn uplink(&self, node: impl Into<Node>) -> LinkCounters {
        self.link_counters(Place::Up(node.into()))
    }

    /// What a node's downlink did.
    pub fn downlink(&self, node: impl Into<Node>) -> LinkCounters {
        self.link_counters(Place::Down(node.into()))
    }

    /// How long a datagram that came now would wait for those in the queue of a node's downlink.
    pub fn downlink_queue(&self, node: impl Into<Node>) -> Duration {
        self.links.find(Place::Down(node.into())).map_or(Duration::ZERO, |link| link.waiting(self.now))
    }

    fn link_counters(&self, place: Place) -> LinkCounters {
        self.links.find(place).map_or_else(LinkCounters::default, |link| link.counters)
    }

    /// The way from a host to an address, if somebody has it: somebody in its own network if there is one,
    /// else in the public one.
    pub(super) fn path(&self, from: HostId, to: SocketAddr) -> Option<Path> {
        let site = self.host(from).site;
        let within = |to| Path { from, to: Some(to), out: None, into: None, site };
        if to.ip().is_loopback() {
            return Some(within(from));
        }
        if let Some(Node::Host(to)) = self.by_ip.get(&(site, to.ip())) {
            return Some(within(*to));
        }
        Some(match *self.by_ip.get(&(None, to.ip()))? {
            Node::Host(to) => Path { from, to: Some(to), out: site, into: None, site: None },
            Node::Nat(nat) => Path { from, to: None, out: site, into: Some(nat), site: Some(nat) },
        })
    }

    /// Moves a datagram on from a stage to the next link, or to its receiver.
    pub(super) fn packet_at(&mut self, id: PacketId, mut stage: Stage) {
        let Some(mut packet) = self.packets.remove(id) else { return };
        loop {
            match stage {
                Stage::NatOut if !self.translate_out(&mut packet) => break,
                Stage::NatIn if !self.translate_in(&mut packet) => break,
                Stage::Arrived => {
                    self.packet_arrived(&mut packet);
                    break;
                }
                _ => {}
            }
            let now = self.now;
            let next = stage.next();
            let Some(link) = self.links.at(packet.path, stage) else {
                stage = next;
                continue;
            };
            match link.offer(now, &mut packet.ecn, &mut packet.bytes) {
                Ok(passage) => {
                    packet.bytes.truncate(passage.len);
                    if let Some(at) = passage.copy_at {
                        let mut bytes = self.buffer();
                        bytes.extend_from_slice(&packet.bytes);
                        let copy = self.packets.insert(packet.copy(bytes));
                        self.queue.push(at, Event::Packet(copy, next));
                    }
                    let id = self.packets.insert(packet);
                    self.queue.push(passage.at, Event::Packet(id, next));
                    return;
                }
                Err(why) => {
                    self.log.line(now, || format!("{packet}: {why:?}"));
                    break;
                }
            }
        }
        self.recycle(packet.bytes);
    }

    /// Moves a segment on from a stage to the next link, or to its receiver.
    pub(super) fn segment_at(&mut self, id: SegmentId, mut stage: Stage) {
        let Some(segment) = self.segments.get(id) else { return };
        let (path, len, now) = (segment.path, segment.content.len(), self.now);
        while stage != Stage::Arrived {
            let next = stage.next();
            if let Some(carried) = self.links.carry(now, path, stage, id, len) {
                if let Some(at) = carried {
                    self.queue.push(at, Event::Segment(id, next));
                }
                return;
            }
            stage = next;
        }
        self.segment_arrived(id);
    }

    /// The time on all links of a path.
    pub(super) fn delay(&mut self, path: Path) -> Duration {
        let mut stage = Stage::Uplink;
        let mut delay = Duration::ZERO;
        while stage != Stage::Arrived {
            delay += self.links.at(path, stage).map_or(Duration::ZERO, |link| link.delay());
            stage = stage.next();
        }
        delay
    }
}
