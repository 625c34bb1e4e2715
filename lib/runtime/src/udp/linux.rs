//! What Linux does its own way.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    self as sys, ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, sockopt,
};
use quinn_udp::UdpSocketState;
use rtmfp_base::Transmit;
use rustix::net::sockopt::{self as rsockopt, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};

use super::PathError;

/// Has the system split datagrams that are longer than the path takes, as far as it knows; or send none of them in parts,
/// whatever it takes itself to know of the path.
fn set_fragmentation(socket: &UdpSocket, ipv6: bool, allowed: bool) -> io::Result<()> {
    let (v4, v6) = if allowed {
        (Ipv4PathMtuDiscovery::WANT, Ipv6PathMtuDiscovery::WANT)
    } else {
        (Ipv4PathMtuDiscovery::PROBE, Ipv6PathMtuDiscovery::PROBE)
    };
    if ipv6 {
        rsockopt::set_ipv6_mtu_discover(socket, v6)?;
        // Else the system has no say.
        sys::setsockopt(socket, sockopt::Ipv6DontFrag, &!allowed)?;
        return Ok(());
    }
    Ok(rsockopt::set_ip_mtu_discover(socket, v4)?)
}

/// Changes what quinn-udp set up and does not suit us.
pub(super) fn configure(socket: &UdpSocket, ipv6: bool) -> io::Result<()> {
    // A timestamp leaves no room for the ECN mark in quinn-udp's control buffer when datagrams arrive in a row.
    sys::setsockopt(socket, sockopt::ReceiveTimestampns, &false)?;
    // Startup packets may be longer than the path takes, and paths become narrower: let the system fragment what is
    // no probe.
    rsockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::WANT)?;
    if ipv6 {
        set_fragmentation(socket, true, true)?;
        sys::setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
    } else {
        sys::setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
    }
    Ok(())
}

/// Sends one datagram, or a run of them that the system splits into segments.
pub(super) fn send(
    socket: &UdpSocket,
    _: &UdpSocketState,
    transmit: &Transmit,
    bytes: &[u8],
    segment: Option<usize>,
) -> io::Result<()> {
    if !transmit.dont_fragment {
        return send_message(socket, transmit, bytes, segment);
    }
    // Probes are rare: it is not worth remembering what the socket is set to.
    let ipv6 = transmit.to.is_ipv6();
    set_fragmentation(socket, ipv6, false)?;
    let sent = send_message(socket, transmit, bytes, segment);
    set_fragmentation(socket, ipv6, true)?;
    sent
}

fn send_message(
    socket: &UdpSocket,
    transmit: &Transmit,
    bytes: &[u8],
    segment: Option<usize>,
) -> io::Result<()> {
    let tos = (transmit.dscp << 2) | transmit.ecn as u8;
    let traffic_class = i32::from(tos);
    let segment = segment.map(u16::try_from).transpose().map_err(|_| io::Error::from(Errno::EMSGSIZE))?;
    let (source4, source6);
    // At most the mark, the segment's length and the source address; `used` of them hold something.
    let mut control = [ControlMessage::Ipv4Tos(&tos); 3];
    let mut used = 0;
    let mut push = |message| {
        control[used] = message;
        used += 1;
    };
    if tos != 0 {
        push(match transmit.to {
            SocketAddr::V4(_) => ControlMessage::Ipv4Tos(&tos),
            SocketAddr::V6(_) => ControlMessage::Ipv6TClass(&traffic_class),
        });
    }
    if let Some(segment) = &segment {
        push(ControlMessage::UdpGsoSegments(segment));
    }
    match transmit.src_ip {
        Some(IpAddr::V4(ip)) => {
            let address = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
            let any = libc::in_addr { s_addr: 0 };
            source4 = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: any };
            push(ControlMessage::Ipv4PacketInfo(&source4));
        }
        Some(IpAddr::V6(ip)) => {
            let address = libc::in6_addr { s6_addr: ip.octets() };
            source6 = libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 };
            push(ControlMessage::Ipv6PacketInfo(&source6));
        }
        None => {}
    }
    let to = SockaddrStorage::from(transmit.to);
    let bytes = [IoSlice::new(bytes)];
    loop {
        match sys::sendmsg(socket.as_raw_fd(), &bytes, &control[..used], MsgFlags::empty(), Some(&to)) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes errors from the socket's queue up to the next one that tells of an address not being reached.
///
/// quinn-udp can read the queue as well, but gives the address of the router that complained, not that of the
/// datagram it complained about.
pub(super) fn path_error(socket: &UdpSocket) -> Option<PathError> {
    // With the error come the local address and the traffic class, as with datagrams.
    let mut control = nix::cmsg_space!(libc::in6_pktinfo, i32, libc::sock_extended_err, libc::sockaddr_in6);
    loop {
        let mut nothing = [0; 1];
        let mut buffers = [IoSliceMut::new(&mut nothing)];
        let message = match sys::recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut buffers,
            Some(&mut control),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        ) {
            Ok(message) => message,
            Err(Errno::EINTR) => continue,
            Err(_) => return None,
        };
        let to = message.address.and_then(address);
        let cause = message.cmsgs().into_iter().flatten().find_map(|message| match message {
            ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                Some(error)
            }
            _ => None,
        });
        let (Some(to), Some(cause)) = (to, cause) else { continue };
        // Errors of our own system are told by the send itself; "too long" is cured by fragments from then on.
        let from_network = matches!(cause.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6);
        let error = Errno::from_raw(i32::try_from(cause.ee_errno).unwrap_or(0));
        if from_network && error != Errno::EMSGSIZE {
            return Some(PathError { to, error: error.desc().to_owned() });
        }
    }
}

fn address(storage: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
}
