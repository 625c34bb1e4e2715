//! What quinn-udp offers everywhere. Code points are not carried: it sends the ECN mark only.

use std::io;

use mio::net::UdpSocket;
use quinn_udp::{EcnCodepoint, UdpSocketState};
use rtmfp_base::Transmit;

use super::PathError;

pub(super) fn configure(_: &UdpSocket, _: bool) -> io::Result<()> {
    Ok(())
}

pub(super) fn send(
    socket: &UdpSocket,
    state: &UdpSocketState,
    transmit: &Transmit,
    bytes: &[u8],
    segment: Option<usize>,
) -> io::Result<()> {
    // Where the system can, quinn-udp has set the socket never to fragment: nothing is left to do for probes.
    let transmit = quinn_udp::Transmit {
        destination: transmit.to,
        ecn: EcnCodepoint::from_bits(transmit.ecn as u8),
        contents: bytes,
        segment_size: segment,
        src_ip: transmit.src_ip,
    };
    state.try_send(socket.into(), &transmit)
}

pub(super) fn path_error(_: &UdpSocket) -> Option<PathError> {
    None
}
