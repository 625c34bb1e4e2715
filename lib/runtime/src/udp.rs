//! UDP sockets that keep what RTMFP-like protocols need: batches and segmentation offload in both directions,
//! ECN marks, differentiated services code points, the local address of each datagram, errors from the network.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use quinn_udp::UdpSocketState;
use rtmfp_base::{Ecn, Transmit, UdpOptions};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

#[cfg(target_os = "linux")]
#[path = "udp/linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "udp/portable.rs"]
mod system;
#[cfg(test)]
mod tests;

/// The longest run that is handed to the system in one call: what fits into one IP datagram, with room for
/// headers.
const MAX_RUN: usize = 65_000;

/// How often a receive is tried again after an error of an earlier send was reported in its place.
const ERRORS_IN_A_ROW: usize = 8;

/// A datagram as it came from a socket.
#[derive(Debug)]
pub struct Received<'a> {
    /// The sender's address.
    pub from: SocketAddr,
    /// The local address it was sent to, where the system tells.
    pub dst_ip: Option<IpAddr>,
    /// Its ECN mark.
    pub ecn: Ecn,
    /// Its bytes, never empty.
    pub bytes: &'a mut [u8],
}

/// The network says that datagrams to an address do not arrive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathError {
    /// The address they were sent to.
    pub to: SocketAddr,
    /// What the system says.
    pub error: String,
}

/// A UDP socket that never blocks.
pub trait UdpIo: Source {
    /// The local address.
    ///
    /// # Errors
    /// When the system does not know it.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Receives one batch and hands each datagram of it to `deliver`. Returns how many there were, empty ones
    /// left out.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; call again until then, or lose the readiness.
    fn recv(&mut self, buffers: &mut RecvBuffers, deliver: &mut dyn FnMut(Received<'_>))
    -> io::Result<usize>;

    /// Sends from the front of `bytes`, which is what is left of the run that `transmit` describes (its
    /// range is not looked at), as much as the system takes in one call. Returns how many bytes went: all, or a
    /// multiple of the segment size.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing can be sent now: keep the rest. Any other means that what is left
    /// of the run cannot be sent to this address.
    fn send(&mut self, transmit: &Transmit, bytes: &[u8]) -> io::Result<usize>;

    /// The next error that the network reported for datagrams sent before, if any. Call until `None`.
    fn path_error(&mut self) -> Option<PathError>;
}

/// Memory to receive into, shared by any number of sockets.
pub struct RecvBuffers {
    memory: Vec<u8>,
}

impl RecvBuffers {
    /// How many receives one system call may make.
    const COUNT: usize = 8;
    /// A receive may hold as many datagrams in a row as fit into this (generic receive offload).
    const SIZE: usize = 64 * 1024;

    /// Allocates the memory: half a mebibyte.
    pub fn new() -> Self {
        Self { memory: vec![0; Self::COUNT * Self::SIZE] }
    }
}

impl Default for RecvBuffers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecvBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBuffers").finish_non_exhaustive()
    }
}

/// A UDP socket of the system.
///
/// Receiving and setting up is quinn-udp's work. On Linux, sending is not: quinn-udp sends a code point of
/// zero whatever the socket's is, and the first send to an address that the system refuses as invalid (port 0 is
/// enough, so peers can bring that about) ends its ECN marks on IPv4 and its segmentation offload for as
/// long as the socket lives.
#[derive(Debug)]
pub struct UdpSocket {
    socket: mio::net::UdpSocket,
    state: UdpSocketState,
    /// How many datagrams one call may send; falls to 1 when the system refuses segmentation offload.
    max_segments: usize,
}

impl UdpSocket {
    /// Binds a socket. One of IPv6 carries IPv6 only. It may send datagrams longer than the path takes: the
    /// system splits them.
    ///
    /// # Errors
    /// What the system says about the address or the options.
    pub fn bind(options: &UdpOptions) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(options.address), Type::DGRAM, Some(Protocol::UDP))?;
        if options.address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if let Some(bytes) = options.buffer {
            ask_for_buffers(&socket, bytes);
        }
        socket.set_nonblocking(true)?;
        socket.bind(&options.address.into())?;
        let socket = mio::net::UdpSocket::from_std(socket.into());
        let state = UdpSocketState::new((&socket).into())?;
        system::configure(&socket, options.address.is_ipv6())?;
        let max_segments = state.max_gso_segments();
        Ok(Self { socket, state, max_segments })
    }
}

impl UdpIo for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn recv(
        &mut self,
        buffers: &mut RecvBuffers,
        deliver: &mut dyn FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let Self { socket, state, .. } = self;
        let mut metas = [quinn_udp::RecvMeta::default(); RecvBuffers::COUNT];
        let mut errors = 0;
        let filled = loop {
            let mut rest = buffers.memory.chunks_exact_mut(RecvBuffers::SIZE);
            let mut slices: [IoSliceMut<'_>; RecvBuffers::COUNT] =
                std::array::from_fn(|_| IoSliceMut::new(rest.next().unwrap_or_default()));
            match socket.try_io(|| state.recv((&*socket).into(), &mut slices, &mut metas)) {
                Ok(filled) => break filled,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // Receiving reports what the network said about a send as well, once for each.
                Err(_) if errors < ERRORS_IN_A_ROW => errors += 1,
                Err(error) => return Err(error),
            }
        };
        let mut count = 0;
        for (meta, buffer) in
            metas.iter().zip(buffers.memory.chunks_exact_mut(RecvBuffers::SIZE)).take(filled)
        {
            let Some(bytes) = buffer.get_mut(..meta.len) else { continue };
            for bytes in bytes.chunks_mut(meta.stride.max(1)) {
                let ecn = meta.ecn.map_or(Ecn::NotEct, |ecn| Ecn::from_bits(ecn as u8));
                deliver(Received { from: meta.addr, dst_ip: meta.dst_ip, ecn, bytes });
                count += 1;
            }
        }
        Ok(count)
    }

    fn send(&mut self, transmit: &Transmit, bytes: &[u8]) -> io::Result<usize> {
        // Known to fail; asking the system each time would cost more.
        if transmit.to.port() == 0 || transmit.to.ip().is_unspecified() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let segment = match transmit.segment_size {
            Some(size) if size > 0 && size < bytes.len() => size,
            _ => return self.send_call(transmit, bytes, None).map(|()| bytes.len()),
        };
        let run = segment.saturating_mul(self.max_segments.min(MAX_RUN / segment)).min(bytes.len());
        if run > segment {
            match self.send_call(transmit, &bytes[..run], Some(segment)) {
                Ok(()) => return Ok(run),
                Err(error) if says_nothing_of_the_run(&error) => return Err(error),
                // Perhaps the device cannot split it, or the path is too narrow for a segment (one that is sent by
                // itself becomes fragments), or the address is bad: a single datagram tells.
                Err(error) => {
                    self.send_call(transmit, &bytes[..segment], None)?;
                    if !quinn_udp::is_msg_size_err(&error) {
                        log::info!(
                            "the system refuses segmentation offload for UDP ({error}): doing without"
                        );
                        self.max_segments = 1;
                    }
                    return Ok(segment);
                }
            }
        }
        self.send_call(transmit, &bytes[..segment], None).map(|()| segment)
    }

    fn path_error(&mut self) -> Option<PathError> {
        system::path_error(&self.socket)
    }
}

impl UdpSocket {
    fn send_call(&self, transmit: &Transmit, bytes: &[u8], segment: Option<usize>) -> io::Result<()> {
        let call =
            || self.socket.try_io(|| system::send(&self.socket, &self.state, transmit, bytes, segment));
        match call() {
            // It may be what the network said about an earlier datagram, to whomever, and is told only once.
            Err(error) if !says_nothing_of_the_run(&error) => call(),
            result => result,
        }
    }
}

impl Source for UdpSocket {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.socket.register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.socket.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket.deregister(registry)
    }
}

/// Whether a send failed because queues, memory or a firewall did not let it pass.
fn says_nothing_of_the_run(error: &io::Error) -> bool {
    let full = matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOBUFS | Errno::ENOMEM));
    full || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::PermissionDenied)
}

/// Asks for buffers of `bytes` each way. The system caps them; that is no reason to fail, but one to say so.
fn ask_for_buffers(socket: &Socket, bytes: usize) {
    let asked = socket.set_send_buffer_size(bytes).and_then(|()| socket.set_recv_buffer_size(bytes));
    let got = asked.and_then(|()| SockRef::from(socket).recv_buffer_size());
    match got {
        Ok(got) if got < bytes => log::info!("the system gives UDP buffers of {got} bytes, not {bytes}"),
        Ok(_) => {}
        Err(error) => log::info!("the system refuses UDP buffers of {bytes} bytes: {error}"),
    }
}
