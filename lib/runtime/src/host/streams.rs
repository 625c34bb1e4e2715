//! The byte streams of a host.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::Interest;
use mio::net::TcpStream;
use rtmfp_base::{Counters, Input, StreamId, Time, Visit};
use socket2::SockRef;

use super::Host;
use crate::{Ready, RunLoop, SourceId, TcpOptions, TimerId, clock, tcp};

/// How many bytes of a stream are read before other sources get their turn.
const READ_A_TURN: usize = 64 * 1024;
/// How many bytes of a stream are written before other sources get their turn.
const WRITE_A_TURN: usize = 64 * 1024;
/// How many bytes are asked of the service at a time. More wait in no buffer of ours: once asked for, they can
/// neither be overtaken nor expire.
const FILL: usize = 16 * 1024;
/// How many reads at the beginning of a stream are acknowledged at once.
const QUICK_READS: u8 = 16;

/// All streams, by their numbers.
pub(super) struct Streams {
    streams: HashMap<StreamId, Stream>,
    next_accepted: u64,
    /// Memory to read into.
    buffer: Box<[u8]>,
    options: TcpOptions,
    pub(super) counters: StreamCounters,
}

/// What happened to streams.
#[derive(Debug, Default)]
pub(super) struct StreamCounters {
    connected: u64,
    failed: u64,
    ended: u64,
    read_bytes: u64,
    written_bytes: u64,
}

impl Counters for StreamCounters {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("tcp_connected", self.connected);
        visit("tcp_failed", self.failed);
        visit("tcp_ended", self.ended);
        visit("tcp_read_bytes", self.read_bytes);
        visit("tcp_written_bytes", self.written_bytes);
    }
}

struct Stream {
    socket: TcpStream,
    source: SourceId,
    peer: SocketAddr,
    phase: Phase,
    /// Reading has not met "would block" yet.
    readable: bool,
    /// Writing has not met "would block" yet.
    writable: bool,
    read_paused: bool,
    read_ended: bool,
    wants_write: bool,
    /// Whether the end is to follow what the service still has.
    write_end: WriteEnd,
    /// What the service gave and the system has not taken, from `written` on.
    pending: Vec<u8>,
    written: usize,
    /// Why nothing can be written any more. What the other end sent before is still read: encoders that close with
    /// something unread reset the connection right behind their last frames.
    write_error: Option<io::Error>,
    quick_reads: u8,
    /// The end of patience with connecting or finishing.
    timer: Option<TimerId>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Connecting {
        /// The service said so before there was a connection.
        finish: bool,
    },
    Open,
    /// To be closed once all is written.
    Flushing,
    /// All is written and the other end knows; it has yet to close.
    Closing,
}

/// How far [`Action::EndWrite`](rtmfp_base::Action::EndWrite) has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WriteEnd {
    /// Nobody asked for it.
    No,
    /// The service may still have bytes.
    Wanted,
    /// The other end has been told.
    Sent,
}

/// Whether a stream goes on after some step; the error it ended with, if any.
type Step = Result<(), Option<io::Error>>;

impl Stream {
    fn is_finishing(&self) -> bool {
        matches!(self.phase, Phase::Flushing | Phase::Closing | Phase::Connecting { finish: true })
    }

    /// Writes what is pending. Returns whether all of it went.
    fn write_pending(&mut self) -> io::Result<bool> {
        while self.written < self.pending.len() {
            match self.socket.write(&self.pending[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.written = 0;
        Ok(true)
    }

    /// Tells the other end, once, that no more comes.
    fn tell_end(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.write_end, WriteEnd::Sent) {
            WriteEnd::Sent => Ok(()),
            WriteEnd::No | WriteEnd::Wanted => self.socket.shutdown(Shutdown::Write),
        }
    }

    /// Whether bytes were sent before the stream broke that somebody wants.
    fn has_unread(&self) -> io::Result<bool> {
        if self.read_ended || self.is_finishing() {
            return Ok(false);
        }
        match self.socket.peek(&mut [0]) {
            Ok(len) => Ok(len > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends a stream that has an error to tell, unless there is something to read before it.
    fn break_step(&self) -> Step {
        match self.has_unread() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.socket.take_error().unwrap_or_default()),
            Err(error) => Err(Some(error)),
        }
    }

    /// Tells whether the connection stands by now, or why it failed.
    fn check_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Streams {
    pub(super) fn new(options: TcpOptions) -> Self {
        Self {
            streams: HashMap::new(),
            next_accepted: 0,
            buffer: vec![0; READ_A_TURN].into_boxed_slice(),
            options,
            counters: StreamCounters::default(),
        }
    }

    pub(super) const fn options(&self) -> &TcpOptions {
        &self.options
    }

    pub(super) fn has_room(&self) -> bool {
        self.streams.len() < self.options.max_streams
    }

    pub(super) fn add_accepted(
        &mut self,
        run_loop: &mut RunLoop<Host>,
        socket: TcpStream,
        peer: SocketAddr,
    ) -> io::Result<StreamId> {
        let id = StreamId::accepted(self.next_accepted);
        self.next_accepted += 1;
        tcp::prepare(&SockRef::from(&socket), &self.options);
        tcp::acknowledge_quickly(&SockRef::from(&socket));
        self.add(run_loop, id, socket, peer, Phase::Open)?;
        Ok(id)
    }

    fn add(
        &mut self,
        run_loop: &mut RunLoop<Host>,
        id: StreamId,
        mut socket: TcpStream,
        peer: SocketAddr,
        phase: Phase,
    ) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let source = run_loop.register(&mut socket, interest, move |host: &mut Host, run_loop, ready| {
            host.stream_is_ready(run_loop, id, ready);
        })?;
        let stream = Stream {
            socket,
            source,
            peer,
            phase,
            readable: false,
            writable: false,
            read_paused: false,
            read_ended: false,
            wants_write: false,
            write_end: WriteEnd::No,
            pending: Vec::new(),
            written: 0,
            write_error: None,
            quick_reads: QUICK_READS,
            timer: None,
        };
        self.streams.insert(id, stream);
        Ok(())
    }

    /// Takes a stream out. Dropping its socket closes it.
    fn remove(&mut self, run_loop: &mut RunLoop<Host>, id: StreamId) -> Option<Stream> {
        let mut stream = self.streams.remove(&id)?;
        run_loop.deregister(&mut stream.socket, stream.source);
        if let Some(timer) = stream.timer {
            run_loop.cancel_timer(timer);
        }
        Some(stream)
    }

    pub(super) fn abort(&mut self, run_loop: &mut RunLoop<Host>, id: StreamId) {
        if let Some(stream) = self.remove(run_loop, id) {
            tcp::reset_on_drop(&stream.socket);
        }
    }

    pub(super) fn set_dscp(&self, id: StreamId, dscp: u8) {
        if let Some(stream) = self.streams.get(&id) {
            tcp::set_dscp(&SockRef::from(&stream.socket), stream.peer.ip(), dscp);
        }
    }

    pub(super) fn want_write(&mut self, run_loop: &mut RunLoop<Host>, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.wants_write = true;
            if stream.writable {
                run_loop.again(stream.source, Ready::WRITABLE);
            }
        }
    }

    pub(super) fn end_write(&mut self, run_loop: &mut RunLoop<Host>, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && stream.write_end == WriteEnd::No
        {
            stream.write_end = WriteEnd::Wanted;
            self.want_write(run_loop, id);
        }
    }

    pub(super) fn pause_read(&mut self, run_loop: &mut RunLoop<Host>, id: StreamId, paused: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.read_paused = paused;
            if !paused && stream.readable {
                run_loop.again(stream.source, Ready::READABLE);
            }
        }
    }

    /// Tells the other end that no more comes, and gives it some time to close as well.
    fn shut_down(&mut self, run_loop: &mut RunLoop<Host>, id: StreamId) -> Step {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.tell_end().map_err(Some)?;
        if stream.read_ended {
            return Err(None);
        }
        stream.phase = Phase::Closing;
        if let Some(timer) = stream.timer.take() {
            run_loop.cancel_timer(timer);
        }
        let at = clock::now() + self.options.close_timeout;
        stream.timer = Some(run_loop.set_timer(at, move |host: &mut Host, run_loop| {
            host.end_stream(run_loop, id, None);
        }));
        Ok(())
    }
}

impl Host {
    pub(super) fn connect(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId, to: SocketAddr, dscp: u8) {
        let streams = &mut self.streams;
        streams.abort(run_loop, id);
        let connecting = Phase::Connecting { finish: false };
        let result = match streams.has_room() {
            true => tcp::connect(to, dscp, &streams.options)
                .and_then(|socket| streams.add(run_loop, id, socket, to, connecting)),
            false => Err(io::Error::other("too many streams")),
        };
        match result {
            Ok(()) => {
                let at = clock::now() + streams.options.connect_timeout;
                self.set_stream_timer(run_loop, id, at, "connecting timed out");
            }
            Err(error) => {
                streams.counters.failed += 1;
                let error = Some(format!("{to}: {error}"));
                self.feed(run_loop, Input::Closed { stream: id, error });
            }
        }
    }

    pub(super) fn finish(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId) {
        let Some(stream) = self.streams.streams.get_mut(&id) else { return };
        match stream.phase {
            Phase::Connecting { .. } => stream.phase = Phase::Connecting { finish: true },
            Phase::Open => self.begin_flush(run_loop, id),
            Phase::Flushing | Phase::Closing => {}
        }
    }

    fn begin_flush(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId) {
        let Some(stream) = self.streams.streams.get_mut(&id) else { return };
        stream.phase = Phase::Flushing;
        // What comes from now on is read and dropped: unread bytes would turn the close into a reset.
        stream.read_paused = false;
        stream.wants_write = true;
        run_loop.again(
            stream.source,
            Ready { readable: stream.readable, writable: stream.writable, error: false },
        );
        let at = clock::now() + self.streams.options.flush_timeout;
        self.set_stream_timer(
            run_loop,
            id,
            at,
            "the other end did not take all before the stream was closed",
        );
    }

    fn set_stream_timer(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId, at: Time, what: &'static str) {
        let Some(stream) = self.streams.streams.get_mut(&id) else { return };
        if let Some(timer) = stream.timer.take() {
            run_loop.cancel_timer(timer);
        }
        stream.timer = Some(run_loop.set_timer(at, move |host: &mut Self, run_loop| {
            host.end_stream(run_loop, id, Some(io::Error::new(io::ErrorKind::TimedOut, what)));
        }));
    }

    fn stream_is_ready(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId, ready: Ready) {
        let Some(stream) = self.streams.streams.get_mut(&id) else { return };
        // Reading and writing find errors by themselves, and reading what came before them.
        stream.readable |= ready.readable || ready.error;
        stream.writable |= ready.writable || ready.error;
        let broken = ready.error && stream.phase == Phase::Open;
        let result = if broken { stream.break_step() } else { self.connect_step(run_loop, id) };
        let result =
            result.and_then(|()| self.read_step(run_loop, id)).and_then(|()| self.write_step(run_loop, id));
        if let Err(error) = result {
            self.end_stream(run_loop, id, error);
        }
    }

    fn connect_step(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId) -> Step {
        let Some(stream) = self.streams.streams.get_mut(&id) else { return Ok(()) };
        let Phase::Connecting { finish } = stream.phase else { return Ok(()) };
        if !stream.writable || !stream.check_connected().map_err(Some)? {
            stream.writable = false;
            return Ok(());
        }
        stream.phase = Phase::Open;
        if let Some(timer) = stream.timer.take() {
            run_loop.cancel_timer(timer);
        }
        tcp::acknowledge_quickly(&SockRef::from(&stream.socket));
        let peer = stream.peer;
        self.streams.counters.connected += 1;
        if finish {
            self.begin_flush(run_loop, id);
        }
        self.feed(run_loop, Input::Connected { stream: id, peer });
        Ok(())
    }

    fn read_step(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId) -> Step {
        let mut left = READ_A_TURN;
        loop {
            let streams = &mut self.streams;
            let Some(stream) = streams.streams.get_mut(&id) else { return Ok(()) };
            if matches!(stream.phase, Phase::Connecting { .. })
                || !stream.readable
                || stream.read_paused
                || stream.read_ended
            {
                return Ok(());
            }
            if left == 0 {
                run_loop.again(stream.source, Ready::READABLE);
                return Ok(());
            }
            match stream.socket.read(&mut streams.buffer[..left]) {
                Ok(0) => {
                    stream.read_ended = true;
                    if let Some(error) = stream.write_error.take() {
                        return Err(Some(error));
                    }
                    if stream.phase == Phase::Closing {
                        return Err(None);
                    }
                    if !stream.is_finishing() {
                        self.feed(run_loop, Input::EndOfStream { stream: id });
                    }
                }
                Ok(len) => {
                    left -= len;
                    streams.counters.read_bytes += len as u64;
                    if stream.quick_reads > 0 {
                        stream.quick_reads -= 1;
                        tcp::acknowledge_quickly(&SockRef::from(&stream.socket));
                    }
                    if !stream.is_finishing() {
                        let bytes = &streams.buffer[..len];
                        self.service.handle(clock::now(), Input::Data { stream: id, bytes });
                        self.plan_turn(run_loop);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.readable = false,
                Err(error) => return Err(Some(error)),
            }
        }
    }

    fn write_step(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId) -> Step {
        let mut left = WRITE_A_TURN;
        loop {
            let Some(stream) = self.streams.streams.get_mut(&id) else { return Ok(()) };
            if matches!(stream.phase, Phase::Connecting { .. } | Phase::Closing) || !stream.writable {
                return Ok(());
            }
            if stream.write_error.is_some() {
                return if stream.has_unread().unwrap_or(false) {
                    Ok(())
                } else {
                    Err(stream.write_error.take())
                };
            }
            let waiting = stream.pending.len() - stream.written;
            let done = match stream.write_pending() {
                Ok(done) => done,
                Err(error) if stream.has_unread().unwrap_or(false) => {
                    stream.write_error = Some(error);
                    run_loop.again(stream.source, Ready::READABLE);
                    return Ok(());
                }
                Err(error) => return Err(Some(error)),
            };
            let written = waiting - (stream.pending.len() - stream.written);
            self.streams.counters.written_bytes += written as u64;
            left = left.saturating_sub(written);
            if !done {
                return Ok(());
            }
            if !stream.wants_write {
                break;
            }
            if left == 0 {
                run_loop.again(stream.source, Ready::WRITABLE);
                return Ok(());
            }
            self.service.fill_stream(clock::now(), id, left.min(FILL), &mut stream.pending);
            stream.wants_write = !stream.pending.is_empty();
            self.plan_turn(run_loop);
        }
        match self.streams.streams.get_mut(&id) {
            Some(stream) if stream.phase == Phase::Flushing => self.streams.shut_down(run_loop, id),
            Some(stream) if stream.write_end == WriteEnd::Wanted => stream.tell_end().map_err(Some),
            _ => Ok(()),
        }
    }

    /// Closes a stream and tells the service.
    fn end_stream(&mut self, run_loop: &mut RunLoop<Self>, id: StreamId, error: Option<io::Error>) {
        let Some(stream) = self.streams.remove(run_loop, id) else { return };
        let counters = &mut self.streams.counters;
        *if error.is_some() { &mut counters.failed } else { &mut counters.ended } += 1;
        if error.is_some() {
            // Nobody will take what the system may still hold.
            tcp::reset_on_drop(&stream.socket);
        }
        let error = error.map(|error| format!("{}: {error}", stream.peer));
        drop(stream);
        self.feed(run_loop, Input::Closed { stream: id, error });
    }
}
