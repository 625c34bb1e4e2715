use core::net::SocketAddr;

use rtmfp_base::{Input, RecvMeta, SocketId, Transmit, UdpOptions};

use super::Network;
use crate::capture::Seen;
use crate::event::Packet;
use crate::host::{ReceiveBuffer, Waiting};
use crate::path::Stage;
use crate::{Fault, HostId};

/// What services do with datagrams, and how these arrive.
impl Network {
    /// # Panics
    /// When the socket is open.
    pub(super) fn bind_udp(
        &mut self,
        id: HostId,
        socket: SocketId,
        options: &UdpOptions,
    ) -> Result<SocketAddr, String> {
        let limit = options.buffer.or(self.config.udp_receive_buffer);
        let host = self.host_mut(id);
        assert!(host.sockets.address(socket).is_none(), "{}: {socket:?} is open already", host.name);
        if !host.may_bind(options.address.ip()) {
            return Err("cannot assign requested address".to_owned());
        }
        let address = host.sockets.bind(socket, options.address)?;
        host.receive_buffers.insert(socket, ReceiveBuffer::new(limit));
        Ok(address)
    }

    pub(super) fn send_datagram(&mut self, id: HostId, transmit: &Transmit, bytes: &[u8]) {
        let source = self.host(id).source(transmit.interface, transmit.src_ip, transmit.to);
        let path = self.path(id, transmit.to).filter(|_| bytes.len() <= MAX_DATAGRAM);
        let (Some(from), Some(path)) = (source, path) else {
            let (name, len, to) = (&self.hosts[id.0 as usize].name, bytes.len(), transmit.to);
            self.log.line(self.now, || format!("{name} cannot send {len} bytes to {to}"));
            self.fault(Fault::Undeliverable);
            return;
        };
        let mut buffer = self.buffer();
        buffer.extend_from_slice(bytes);
        self.sent = self.sent.wrapping_add(1);
        let packet = Packet {
            path,
            number: self.sent,
            socket: transmit.interface,
            sent_to: transmit.to,
            from,
            to: transmit.to,
            dscp: transmit.dscp,
            ecn: transmit.ecn,
            bytes: buffer,
        };
        self.capture(&packet, LEFT);
        let packet = self.packets.insert(packet);
        self.packet_at(packet, Stage::Uplink);
    }

    pub(super) fn packet_arrived(&mut self, packet: &mut Packet) {
        let (now, path) = (self.now, packet.path);
        let Some(id) = path.to else { return };
        self.capture(packet, ARRIVED - u8::from(path.out.is_some()) - u8::from(path.into.is_some()));
        let host = self.host_mut(id);
        // It may have moved meanwhile.
        let here = host.site == path.site && host.has(packet.to.ip()) && !host.is_off();
        let Some(interface) = host.sockets.find(packet.to).filter(|_| here) else {
            self.log.line(now, || format!("{packet}: nobody there"));
            self.fault(Fault::Undeliverable);
            if here && self.config.report_closed_ports {
                self.report_closed_port(packet);
            }
            return;
        };
        let asleep = host.sleep.asleep;
        let buffer = host.receive_buffers.get_mut(&interface);
        if buffer.is_some_and(|buffer| !buffer.take(now, asleep, packet.bytes.len())) {
            self.log.line(now, || format!("{packet}: does not fit the receive buffer"));
            self.fault(Fault::ReceiveBufferFull);
            return;
        }
        let meta = RecvMeta { interface, from: packet.from, dst_ip: Some(packet.to.ip()), ecn: packet.ecn };
        if asleep {
            host.sleep.inbox.push_back(Waiting::Datagram(meta, core::mem::take(&mut packet.bytes)));
        } else {
            self.deliver(id, Input::Datagram { meta, bytes: &mut packet.bytes });
        }
    }

    /// Has the sender of a datagram told, after the time that the way back takes.
    fn report_closed_port(&mut self, packet: &Packet) {
        let sender = packet.path.from;
        let Some(back) = packet.path.back(self.host(sender).site) else { return };
        let at = self.now + self.delay(back);
        let error = "connection refused".to_owned();
        self.queue_input(at, sender, Input::PathError { socket: packet.socket, to: packet.sent_to, error });
    }

    fn capture(&mut self, packet: &Packet, hop_limit: u8) {
        let &Packet { from, to, number, dscp, ecn, ref bytes, .. } = packet;
        self.captures.record(self.now, Seen { from, to, number, hop_limit, dscp, ecn, bytes });
    }
}

/// The longest datagram that UDP over IPv4 takes.
const MAX_DATAGRAM: usize = 65_507;

/// The hop limits of datagrams that leave a host, and of those that reach one without passing a NAT box.
const LEFT: u8 = 64;
const ARRIVED: u8 = 63;
