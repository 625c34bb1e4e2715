use core::any::Any;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::{Batch, InterfaceId, Job, JobDone, RecvMeta, Time, Visit};

/// A UDP socket; the service chooses the number. It is the [`InterfaceId`] of an endpoint too.
pub type SocketId = InterfaceId;

/// A listening socket for byte streams; the service chooses the number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ListenerId(pub u32);

/// A byte stream (a TCP connection). The service chooses the numbers of those that it opens, the host those
/// of the accepted ones; the top bit tells them apart.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId(u64);

impl StreamId {
    const ACCEPTED: u64 = 1 << 63;

    /// The number of a stream that the service opens.
    pub const fn opened(number: u64) -> Self {
        Self(number & !Self::ACCEPTED)
    }

    /// The number of a stream that the host accepted.
    pub const fn accepted(number: u64) -> Self {
        Self(number | Self::ACCEPTED)
    }

    /// Whether the host accepted it.
    pub const fn is_accepted(self) -> bool {
        self.0 & Self::ACCEPTED != 0
    }

    /// The number without the bit that tells who opened it.
    pub const fn number(self) -> u64 {
        self.0 & !Self::ACCEPTED
    }
}

/// A look-up of a host's name; the service chooses the number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NameId(pub u64);

/// How a UDP socket is to be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UdpOptions {
    /// The address to bind; port 0 takes any free one.
    pub address: SocketAddr,
    /// Bytes of kernel buffer to ask for in each direction; `None` leaves the system's default.
    pub buffer: Option<usize>,
}

/// What a host tells its service.
#[derive(Debug)]
pub enum Input<'a> {
    /// The time that [`Service::poll_timeout`] named has come.
    Timeout,
    /// A socket is open (with its real address) or could not be opened (with the reason).
    UdpReady {
        /// Which one.
        socket: SocketId,
        /// Its local address, or why it is not open.
        result: Result<SocketAddr, String>,
    },
    /// A datagram; the service may decrypt it in place. Within one wake-up the host may deliver several; it
    /// asks for actions and transmissions only after the last of them.
    Datagram {
        /// Where it came from and how.
        meta: RecvMeta,
        /// Its bytes, never none.
        bytes: &'a mut [u8],
    },
    /// The network reported that datagrams to an address do not arrive (ICMP).
    PathError {
        /// The socket that they were sent from.
        socket: SocketId,
        /// The address they were sent to.
        to: SocketAddr,
        /// What the system says.
        error: String,
    },
    /// A listener is open (with its real address) or could not be opened (with the reason).
    ListenReady {
        /// Which one.
        listener: ListenerId,
        /// Its local address, or why it is not open.
        result: Result<SocketAddr, String>,
    },
    /// Somebody connected to a listener.
    Accepted {
        /// The listener.
        listener: ListenerId,
        /// The new stream.
        stream: StreamId,
        /// The other end's address.
        peer: SocketAddr,
    },
    /// A stream that the service asked for is open.
    Connected {
        /// Which one.
        stream: StreamId,
        /// The other end's address.
        peer: SocketAddr,
    },
    /// Bytes arrived on a stream.
    Data {
        /// Which one.
        stream: StreamId,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// The other end will send no more; writing still works.
    EndOfStream {
        /// Which one.
        stream: StreamId,
    },
    /// The stream is gone: connecting failed, it was reset, timed out, or ended after [`Action::Finish`].
    /// Nothing more comes of it and its number is free.
    Closed {
        /// Which one.
        stream: StreamId,
        /// What went wrong; `None` when it ended in order.
        error: Option<String>,
    },
    /// A name's addresses, at least one, or why there are none.
    Resolved {
        /// Which look-up.
        name: NameId,
        /// The addresses, each with the port asked for.
        result: Result<Vec<SocketAddr>, String>,
    },
    /// A job has run.
    JobDone(JobDone),
    /// The operator wants the program to end: take no new clients, let running work end, then
    /// [`Action::Finished`].
    Drain,
    /// The operator wants it to end now.
    Stop,
}

/// What a service asks of its host. Hosts carry actions out in order, and answer by [`Input`].
///
/// Opening a socket, listener or stream under a number that is in use is an error of the service. The run loop
/// of programs then ends the older one without an input for it (of a stream: aborts it); the simulator panics.
/// A number is free again after the action that closes or aborts, after [`Input::Closed`], and after an answer
/// that nothing could be opened. Other actions on a number that is not in use do nothing.
#[derive(Debug)]
pub enum Action {
    /// Open a UDP socket; answered by [`Input::UdpReady`].
    OpenUdp {
        /// Its number.
        socket: SocketId,
        /// How.
        options: UdpOptions,
    },
    /// Close a UDP socket. What it still had to send is sent first where that works at once.
    CloseUdp {
        /// Which one.
        socket: SocketId,
    },
    /// Listen for byte streams; answered by [`Input::ListenReady`].
    Listen {
        /// Its number.
        listener: ListenerId,
        /// The address to bind; port 0 takes any free one.
        address: SocketAddr,
    },
    /// Stop listening; accepted streams stay.
    CloseListener {
        /// Which one.
        listener: ListenerId,
    },
    /// Open a byte stream; answered by [`Input::Connected`] or [`Input::Closed`].
    Connect {
        /// Its number.
        stream: StreamId,
        /// The other end's address.
        to: SocketAddr,
        /// The differentiated services code point, 0 to 63.
        dscp: u8,
    },
    /// Set the differentiated services code point of a stream.
    StreamDscp {
        /// Which one.
        stream: StreamId,
        /// 0 to 63.
        dscp: u8,
    },
    /// The service has bytes for a stream: call [`Service::fill_stream`] each time it can take some, until that
    /// leaves the buffer empty.
    WantWrite {
        /// Which one.
        stream: StreamId,
    },
    /// Stop or go on reading a stream.
    PauseRead {
        /// Which one.
        stream: StreamId,
        /// Stop.
        paused: bool,
    },
    /// Send what [`Service::fill_stream`] still gives, then the end of the stream, and go on reading. The stream
    /// stays until it breaks, or the service finishes or aborts it, also when the other end has ended as well.
    EndWrite {
        /// Which one.
        stream: StreamId,
    },
    /// Send what [`Service::fill_stream`] still gives, then the end of the stream.
    ///
    /// What the other end still sends is dropped: neither [`Input::Data`] nor [`Input::EndOfStream`] follows.
    /// [`Input::Closed`] follows when the other end has ended as well, and without an error also when it takes
    /// longer for that than the host waits. An other end that does not take the rest in the host's time gets a
    /// reset, and the service an error.
    Finish {
        /// Which one.
        stream: StreamId,
    },
    /// Close the stream at once; no input follows.
    Abort {
        /// Which one.
        stream: StreamId,
    },
    /// Look a host's name up; answered by [`Input::Resolved`].
    Resolve {
        /// Its number.
        name: NameId,
        /// The name, or an address as text.
        host: String,
        /// The port to put into the addresses.
        port: u16,
    },
    /// Run a job somewhere; answered by [`Input::JobDone`].
    Run(Job),
    /// A line for standard error, whatever the log level.
    Announce(String),
    /// The service has ended; the host may drop it. An `Err` is what the program exits with.
    Finished(Result<(), String>),
}

/// A program's whole behaviour without I/O.
///
/// A host calls [`Service::handle`] for each [`Input`], and after the last one of a wake-up polls actions until
/// there are none, then transmissions until a batch stays empty, and both again until nothing comes of it: what
/// was done for the one may have led to more of the other. Then it asks for the next timeout. A busy host may
/// stop in between at a limit of its own, take other inputs, and go on. Each call does a bounded amount of work.
pub trait Service: Any {
    /// Takes one input. `now` never goes back.
    fn handle(&mut self, now: Time, input: Input<'_>);

    /// The next thing to do, if any.
    fn poll_action(&mut self, now: Time) -> Option<Action>;

    /// Appends datagrams until the batch is full or nothing is left to send. The host calls it again with an
    /// empty batch as long as it gave something.
    fn poll_transmit(&mut self, now: Time, batch: &mut Batch);

    /// Appends at most about `limit` bytes for a stream that can take them; appending none means "no more until
    /// the next [`Action::WantWrite`]". What was appended is as good as sent: ask for little at a time, so
    /// that the rest can still be overtaken or expire.
    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>);

    /// When to send [`Input::Timeout`]; `None`: never. It may have changed after any other call.
    fn poll_timeout(&mut self) -> Option<Time>;

    /// Hears how long others have to wait for this service: the 99th percentile of the turns of the host's loop
    /// since the last call. A host that measures it calls this about once a second while it has something to do,
    /// before it polls actions; one that is idle does not, and simulators never do.
    fn loop_latency(&mut self, now: Time, latency: Duration) {
        let _ = (now, latency);
    }

    /// Hands its counters to `visit`, for the host's report.
    fn count(&self, visit: &mut Visit<'_>) {
        let _ = visit;
    }
}

impl From<SocketAddr> for UdpOptions {
    fn from(address: SocketAddr) -> Self {
        Self { address, buffer: None }
    }
}

impl From<(IpAddr, u16)> for UdpOptions {
    fn from((ip, port): (IpAddr, u16)) -> Self {
        SocketAddr::from((ip, port)).into()
    }
}
