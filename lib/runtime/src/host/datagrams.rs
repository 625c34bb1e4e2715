//! The UDP sockets of a host.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;

use mio::Interest;
use nix::errno::Errno;
use rtmfp_base::{Batch, Counters, Input, RecvMeta, SocketId, Time, Transmit, UdpOptions, Visit};

use super::Host;
use crate::udp::{PathError, Received, RecvBuffers, UdpIo, UdpSocket};
use crate::{Ready, RunLoop, SourceId, clock};

/// How many datagrams of a socket are received before other sources get their turn; the batch that reaches this
/// is taken whole.
const DATAGRAMS_A_TURN: usize = 256;
/// How many errors of the network are taken from a socket before other sources get their turn.
const ERRORS_A_TURN: usize = 64;
/// How many bytes a socket that is blocked keeps while others go on; more are dropped.
const MAX_BACKLOG: usize = 256 * 1024;

/// All UDP sockets, by the service's numbers.
pub(super) struct Datagrams {
    sockets: HashMap<SocketId, Slot>,
    buffers: RecvBuffers,
    /// Sockets to be closed once what the service still has for them is sent.
    closing: Vec<SocketId>,
    /// How many sockets are blocked.
    blocked: usize,
    default_buffer: Option<usize>,
    pub(super) counters: DatagramCounters,
}

struct Slot {
    io: Box<dyn UdpIo>,
    /// `None` for a socket that no loop knows (tests).
    source: Option<SourceId>,
    backlog: Backlog,
}

/// What a blocked socket still has to send, in order.
#[derive(Default)]
struct Backlog {
    runs: VecDeque<(Transmit, Vec<u8>)>,
    bytes: usize,
}

/// What happened to datagrams.
#[derive(Debug, Default)]
pub(super) struct DatagramCounters {
    received: u64,
    received_bytes: u64,
    receive_errors: u64,
    /// System calls.
    sends: u64,
    sent_bytes: u64,
    blocked: u64,
    backlog_dropped_bytes: u64,
    no_socket: u64,
    too_long: u64,
    no_buffer: u64,
    not_permitted: u64,
    unreachable: u64,
    other_errors: u64,
    path_errors: u64,
}

impl Counters for DatagramCounters {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("udp_received", self.received);
        visit("udp_received_bytes", self.received_bytes);
        visit("udp_receive_errors", self.receive_errors);
        visit("udp_sends", self.sends);
        visit("udp_sent_bytes", self.sent_bytes);
        visit("udp_blocked", self.blocked);
        visit("udp_backlog_dropped_bytes", self.backlog_dropped_bytes);
        visit("udp_dropped_no_socket", self.no_socket);
        visit("udp_dropped_too_long", self.too_long);
        visit("udp_dropped_no_buffer", self.no_buffer);
        visit("udp_dropped_not_permitted", self.not_permitted);
        visit("udp_dropped_unreachable", self.unreachable);
        visit("udp_dropped_other", self.other_errors);
        visit("udp_path_errors", self.path_errors);
    }
}

impl DatagramCounters {
    /// A send that failed for good. Its datagrams are as lost as if the network had dropped them.
    fn refuse(&mut self, transmit: &Transmit, error: &io::Error) {
        log::debug!("datagrams to {} are dropped: {error}", transmit.to);
        let counter = match (error.kind(), error.raw_os_error().map(Errno::from_raw)) {
            (_, Some(Errno::EMSGSIZE)) => &mut self.too_long,
            (_, Some(Errno::ENOBUFS | Errno::ENOMEM)) => &mut self.no_buffer,
            (io::ErrorKind::PermissionDenied, _) => &mut self.not_permitted,
            (
                io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::NetworkDown
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::AddrNotAvailable,
                _,
            ) => &mut self.unreachable,
            _ => &mut self.other_errors,
        };
        *counter += 1;
    }
}

impl Slot {
    /// Sends what is left of a run as far as possible. Returns the part that the socket is blocked for.
    fn send<'a>(
        &mut self,
        transmit: &Transmit,
        mut bytes: &'a [u8],
        counters: &mut DatagramCounters,
    ) -> &'a [u8] {
        loop {
            match self.io.send(transmit, bytes) {
                Ok(sent) => {
                    counters.sends += 1;
                    counters.sent_bytes += sent as u64;
                    bytes = bytes.get(sent..).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return bytes,
                Err(error) => {
                    counters.refuse(transmit, &error);
                    return &[];
                }
            }
            if bytes.is_empty() {
                return bytes;
            }
        }
    }

    const fn is_blocked(&self) -> bool {
        self.backlog.bytes > 0
    }

    /// Sends what waited. Returns whether nothing waits any more.
    fn flush(&mut self, counters: &mut DatagramCounters) -> bool {
        while let Some((transmit, bytes)) = self.backlog.runs.pop_front() {
            self.backlog.bytes -= bytes.len();
            let left = self.send(&transmit, &bytes, counters).len();
            if left > 0 {
                let rest = bytes[bytes.len() - left..].to_vec();
                self.backlog.bytes += left;
                self.backlog.runs.push_front((transmit, rest));
                return false;
            }
        }
        true
    }
}

impl Datagrams {
    pub(super) fn new(default_buffer: Option<usize>) -> Self {
        Self {
            sockets: HashMap::new(),
            buffers: RecvBuffers::new(),
            closing: Vec::new(),
            blocked: 0,
            default_buffer,
            counters: DatagramCounters::default(),
        }
    }

    /// Whether there are sockets and none of them can send.
    pub(super) fn all_blocked(&self) -> bool {
        self.blocked > 0 && self.blocked == self.sockets.len()
    }

    /// Sends a batch. What a socket cannot take now waits for it to become writable.
    pub(super) fn send(&mut self, batch: &Batch) {
        for transmit in &batch.transmits {
            let Some(bytes) = batch.buffer.get(transmit.bytes.clone()).filter(|bytes| !bytes.is_empty())
            else {
                continue;
            };
            let Some(slot) = self.sockets.get_mut(&transmit.interface) else {
                self.counters.no_socket += 1;
                continue;
            };
            let was_blocked = slot.is_blocked();
            let left = if was_blocked { bytes } else { slot.send(transmit, bytes, &mut self.counters) };
            if left.is_empty() {
                continue;
            }
            if slot.backlog.bytes + left.len() > MAX_BACKLOG {
                self.counters.backlog_dropped_bytes += left.len() as u64;
                continue;
            }
            slot.backlog.bytes += left.len();
            slot.backlog.runs.push_back((transmit.clone(), left.to_vec()));
            if !was_blocked {
                self.blocked += 1;
                self.counters.blocked += 1;
            }
        }
    }

    /// Sends what waited for a socket. Returns whether it can take more now.
    fn flush(&mut self, socket: SocketId) -> bool {
        let Some(slot) = self.sockets.get_mut(&socket).filter(|slot| slot.is_blocked()) else { return false };
        let free = slot.flush(&mut self.counters);
        self.blocked -= usize::from(free);
        free
    }

    /// Receives from a socket and hands each datagram to `deliver`. Returns whether there may be more.
    fn receive(&mut self, socket: SocketId, deliver: &mut dyn FnMut(Received<'_>)) -> bool {
        let Self { sockets, buffers, counters, .. } = self;
        let Some(slot) = sockets.get_mut(&socket) else { return false };
        let mut count = 0;
        while count < DATAGRAMS_A_TURN {
            let result = slot.io.recv(buffers, &mut |received| {
                counters.received += 1;
                counters.received_bytes += received.bytes.len() as u64;
                deliver(received);
            });
            match result {
                // A batch of empty datagrams counts too.
                Ok(datagrams) => count += datagrams.max(1),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    counters.receive_errors += 1;
                    log::debug!("receiving on socket {} failed: {error}", socket.0);
                    return false;
                }
            }
        }
        true
    }

    /// Takes errors of the network from a socket. Returns them and whether there may be more.
    fn path_errors(&mut self, socket: SocketId) -> (Vec<PathError>, bool) {
        let Some(slot) = self.sockets.get_mut(&socket) else { return (Vec::new(), false) };
        let errors: Vec<_> = std::iter::from_fn(|| slot.io.path_error()).take(ERRORS_A_TURN).collect();
        self.counters.path_errors += errors.len() as u64;
        let more = errors.len() == ERRORS_A_TURN;
        (errors, more)
    }

    /// Closes a socket at the end of the turn.
    pub(super) fn plan_close(&mut self, socket: SocketId) {
        self.closing.push(socket);
    }

    pub(super) fn close_planned(&mut self, run_loop: &mut RunLoop<Host>) {
        for socket in std::mem::take(&mut self.closing) {
            self.close(run_loop, socket);
        }
    }

    fn close(&mut self, run_loop: &mut RunLoop<Host>, socket: SocketId) {
        if let Some(mut slot) = self.sockets.remove(&socket) {
            self.blocked -= usize::from(slot.is_blocked());
            if let Some(source) = slot.source {
                run_loop.deregister(&mut *slot.io, source);
            }
        }
    }
}

impl Host {
    pub(super) fn open_udp(
        &mut self,
        run_loop: &mut RunLoop<Self>,
        socket: SocketId,
        mut options: UdpOptions,
    ) {
        // Its number may be in use by one that is about to close.
        self.datagrams.closing.retain(|closing| *closing != socket);
        self.datagrams.close(run_loop, socket);
        options.buffer = options.buffer.or(self.datagrams.default_buffer);
        let result = self.try_open_udp(run_loop, socket, &options);
        let result = result.map_err(|error| format!("{}: {error}", options.address));
        self.feed(run_loop, Input::UdpReady { socket, result });
    }

    fn try_open_udp(
        &mut self,
        run_loop: &mut RunLoop<Self>,
        socket: SocketId,
        options: &UdpOptions,
    ) -> io::Result<SocketAddr> {
        let mut io = UdpSocket::bind(options)?;
        let address = io.local_addr()?;
        let source = run_loop.register(
            &mut io,
            Interest::READABLE | Interest::WRITABLE,
            move |host, run_loop, ready| {
                host.udp_is_ready(run_loop, socket, ready);
            },
        )?;
        let slot = Slot { io: Box::new(io), source: Some(source), backlog: Backlog::default() };
        self.datagrams.sockets.insert(socket, slot);
        Ok(address)
    }

    fn udp_is_ready(&mut self, run_loop: &mut RunLoop<Self>, socket: SocketId, ready: Ready) {
        let mut again = Ready::default();
        if ready.error {
            let (errors, more) = self.datagrams.path_errors(socket);
            again.error = more;
            for PathError { to, error } in errors {
                self.feed(run_loop, Input::PathError { socket, to, error });
            }
        }
        if ready.writable && self.datagrams.flush(socket) {
            self.plan_turn(run_loop);
        }
        if ready.readable {
            let Self { datagrams, service, .. } = self;
            let now: Time = clock::now();
            let mut any = false;
            again.readable = datagrams.receive(socket, &mut |received| {
                let Received { from, dst_ip, ecn, bytes } = received;
                let meta = RecvMeta { interface: socket, from, dst_ip, ecn };
                service.handle(now, Input::Datagram { meta, bytes });
                any = true;
            });
            if any {
                self.plan_turn(run_loop);
            }
        }
        if let Some(slot) = self.datagrams.sockets.get(&socket)
            && let Some(source) = slot.source
        {
            run_loop.again(source, again);
        }
    }
}

#[cfg(test)]
mod tests;
