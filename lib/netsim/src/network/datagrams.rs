use core::net::SocketAddr;

use rtmfp_base::{Input, RecvMeta, SocketId, Transmit};

use super::Network;
use crate::HostId;
use crate::event::{Event, Packet, PacketId, Route, Stage};

impl Network {
    /// # Panics
    /// When the socket is open.
    pub(super) fn bind_udp(
        &mut self,
        id: HostId,
        socket: SocketId,
        address: SocketAddr,
    ) -> Result<SocketAddr, String> {
        let host = self.host_mut(id);
        assert!(host.sockets.address(socket).is_none(), "{}: {socket:?} is open already", host.name);
        if !host.may_bind(address.ip()) {
            return Err("cannot assign requested address".to_owned());
        }
        host.sockets.bind(socket, address)
    }

    pub(super) fn send_datagram(&mut self, id: HostId, transmit: &Transmit, bytes: &[u8]) {
        let host = self.host(id);
        let source = host.source(transmit.interface, transmit.src_ip, transmit.to);
        let target = self.owner(id, transmit.to);
        let (Some(from), Some(to)) = (source, target) else {
            self.log.line(self.now, || {
                format!(
                    "{} cannot send {} bytes to {}",
                    self.hosts[id.0 as usize].name,
                    bytes.len(),
                    transmit.to
                )
            });
            return;
        };
        let mut buffer = self.buffer();
        buffer.extend_from_slice(bytes);
        let packet = self.packets.insert(Packet {
            route: Route { from: id, to },
            socket: transmit.interface,
            from,
            to: transmit.to,
            ecn: transmit.ecn,
            bytes: buffer,
        });
        self.packet_at(packet, Stage::Uplink);
    }

    /// The host that has an address, as another host sees it.
    pub(super) fn owner(&self, seen_by: HostId, address: SocketAddr) -> Option<HostId> {
        if address.ip().is_loopback() { Some(seen_by) } else { self.by_ip.get(&address.ip()).copied() }
    }

    /// Moves a datagram on from a stage to the next link, or to its receiver.
    pub(super) fn packet_at(&mut self, id: PacketId, stage: Stage) {
        let Some(mut packet) = self.packets.remove(id) else { return };
        let Some((link_stage, next)) = self.next_link(packet.route, stage) else {
            self.packet_arrived(packet);
            return;
        };
        let now = self.now;
        let Some(link) = self.link_at(packet.route, link_stage) else { return };
        match link.offer(now, &mut packet.ecn, &mut packet.bytes) {
            Ok(passage) => {
                if let Some(at) = passage.copy_at {
                    let mut bytes = self.buffer();
                    bytes.extend_from_slice(&packet.bytes);
                    let copy = self.packets.insert(Packet { bytes, ..packet });
                    self.queue.push(at, Event::Packet(copy, next));
                }
                let id = self.packets.insert(packet);
                self.queue.push(passage.at, Event::Packet(id, next));
            }
            Err(why) => {
                self.log.line(now, || {
                    format!("{} > {}: {} bytes: {why:?}", packet.from, packet.to, packet.bytes.len())
                });
                self.recycle(packet.bytes);
            }
        }
    }

    fn packet_arrived(&mut self, mut packet: Packet) {
        let host = self.host(packet.route.to);
        // It may have moved meanwhile.
        let here = host.has(packet.to.ip());
        if let Some(interface) = host.sockets.find(packet.to).filter(|_| here) {
            let meta =
                RecvMeta { interface, from: packet.from, dst_ip: Some(packet.to.ip()), ecn: packet.ecn };
            self.tell(packet.route.to, Input::Datagram { meta, bytes: &mut packet.bytes });
        } else if here && self.config.report_closed_ports && !host.is_off() {
            let back = Route { from: packet.route.to, to: packet.route.from };
            let at = self.now + self.delay(back);
            let error = Input::PathError {
                socket: packet.socket,
                to: packet.to,
                error: "connection refused".to_owned(),
            };
            self.queue_input(at, packet.route.from, error);
        }
        self.recycle(packet.bytes);
    }

    /// The time on all links of a route.
    fn delay(&mut self, route: Route) -> core::time::Duration {
        [Stage::Uplink, Stage::Between, Stage::Downlink]
            .into_iter()
            .filter_map(|stage| self.link_at(route, stage).map(|link| link.delay()))
            .sum()
    }
}
