//! Making TCP sockets with the options that live media want.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// How byte streams behave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TcpOptions {
    /// How long the other end may leave data or keep-alive probes unacknowledged before the stream counts as
    /// dead (`TCP_USER_TIMEOUT` where the system has it). Probes start when a third of it has passed in silence.
    pub dead_after: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a stream that is being finished may take to get rid of what it still has to send.
    pub flush_timeout: Duration,
    /// How long a finished stream waits, all being sent, for the other end to close as well.
    pub close_timeout: Duration,
    /// A stream counts as writable while the system holds fewer bytes than this that it has not sent yet
    /// (`TCP_NOTSENT_LOWAT` where the system has it): what waits longer can still be overtaken or expire.
    pub unsent_low_water: u32,
    /// How many connections may wait to be accepted; the system may have a lower limit.
    pub backlog: u32,
    /// How many streams there may be before accepting pauses.
    pub max_streams: usize,
    /// Whether other listeners of the same user may have the same address (`SO_REUSEPORT`): the system spreads
    /// connections among them. See [`HeldPort`] for what keeps strangers out.
    pub share_ports: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            dead_after: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            flush_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            unsent_low_water: 16 * 1024,
            backlog: 4096,
            max_streams: 65_536,
            share_ports: false,
        }
    }
}

/// A TCP port that is taken, but not listened to.
///
/// It is for several listeners that share the port by [`TcpOptions::share_ports`]: taking it fails when anybody
/// else has it, as those alone would not, and port 0 becomes the same free port for all of them. Hold it as long as
/// they may listen.
#[derive(Debug)]
pub struct HeldPort {
    _socket: Socket,
    address: SocketAddr,
}

impl HeldPort {
    /// Takes the port of an address; port 0 takes any free one.
    ///
    /// # Errors
    /// When somebody has it, or the system refuses.
    pub fn take(address: SocketAddr) -> io::Result<Self> {
        let socket = bound(address, false)?;
        // Only from here on, so that nobody was there before.
        socket.set_reuse_port(true)?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { _socket: socket, address })
    }

    /// The address with the real port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = new_socket(address)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Opens a listener. One of IPv6 takes IPv6 only.
pub(crate) fn listen(address: SocketAddr, options: &TcpOptions) -> io::Result<TcpListener> {
    let socket = bound(address, options.share_ports)?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Begins to connect. The stream becomes writable when that has worked or failed.
pub(crate) fn connect(to: SocketAddr, dscp: u8, options: &TcpOptions) -> io::Result<TcpStream> {
    let socket = new_socket(to)?;
    prepare(&SockRef::from(&socket), options);
    set_dscp(&SockRef::from(&socket), to.ip(), dscp);
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Sets what all streams have. A system that lacks an option carries streams all the same.
pub(crate) fn prepare(socket: &SockRef<'_>, options: &TcpOptions) {
    let keepalive = TcpKeepalive::new()
        .with_time((options.dead_after / 3).max(Duration::from_secs(1)))
        .with_interval((options.dead_after / 6).max(Duration::from_secs(1)));
    note("TCP_NODELAY", socket.set_tcp_nodelay(true));
    note("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive));
    #[cfg(target_os = "linux")]
    {
        note("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(options.dead_after)));
        note("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(options.unsent_low_water));
    }
}

/// Acknowledges at once for a while, which lets handshakes of many small messages pass without delay. The system
/// forgets it on its own.
pub(crate) fn acknowledge_quickly(socket: &SockRef<'_>) {
    #[cfg(target_os = "linux")]
    note("TCP_QUICKACK", socket.set_tcp_quickack(true));
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// Sets the differentiated services code point.
pub(crate) fn set_dscp(socket: &SockRef<'_>, peer: IpAddr, dscp: u8) {
    let class = u32::from(dscp & 0x3f) << 2;
    match peer {
        IpAddr::V4(_) => note("IP_TOS", socket.set_tos_v4(class)),
        #[cfg(target_os = "linux")]
        IpAddr::V6(_) => note("IPV6_TCLASS", socket.set_tclass_v6(class)),
        #[cfg(not(target_os = "linux"))]
        IpAddr::V6(_) => {}
    }
}

fn note(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::debug!("cannot set {what}: {error}");
    }
}

/// Has the system reset the connection when the stream is dropped.
pub(crate) fn reset_on_drop(stream: &TcpStream) {
    note("SO_LINGER", SockRef::from(stream).set_linger(Some(Duration::ZERO)));
}

/// Whether accepting failed for want of descriptors or memory: trying again at once would spin.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_share_a_port_that_is_held_and_nobody_else_gets_it() {
        let shared = TcpOptions { share_ports: true, ..TcpOptions::default() };
        for ip in ["127.0.0.1", "::1"] {
            let held = HeldPort::take((ip.parse::<IpAddr>().unwrap(), 0).into()).unwrap();
            let listeners = [(); 2].map(|()| listen(held.address(), &shared).unwrap());
            assert_eq!(listeners[1].local_addr().unwrap(), held.address());
            assert!(listen(held.address(), &TcpOptions::default()).is_err());
            assert!(HeldPort::take(held.address()).is_err());
            drop(held);
            assert!(HeldPort::take(listeners[0].local_addr().unwrap()).is_err(), "others listen there");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn streams_have_the_options_that_they_should() {
        for ip in ["127.0.0.1", "::1"] {
            let options = TcpOptions::default();
            let listener = listen((ip.parse::<IpAddr>().unwrap(), 0).into(), &options).unwrap();
            let to = listener.local_addr().unwrap();
            let stream = connect(to, 46, &options).unwrap();
            let socket = SockRef::from(&stream);
            let class = || if to.is_ipv4() { socket.tos_v4().unwrap() } else { socket.tclass_v6().unwrap() };
            assert_eq!(class(), 46 << 2);
            set_dscp(&socket, to.ip(), 10);
            assert_eq!(class(), 10 << 2);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(10));
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), 16 * 1024);
        }
    }
}
