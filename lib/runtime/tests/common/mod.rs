//! A service that tests write as a closure.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rtmfp_base::{
    Action, Batch, Ecn, Input, InterfaceId, ListenerId, Service, StreamId, Time, Transmit, UdpOptions,
};
use rtmfp_runtime::{Config, Handle, spawn};

/// How long a test waits for something before it fails.
pub(crate) const GUARD: Duration = Duration::from_secs(30);

/// An address of the loopback for this test alone: nobody is there unless the test starts it, and it stays so, because
/// the port is none that the system hands out.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(64);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    ([127, NEXT.fetch_add(1, Ordering::Relaxed), high, low], 7016).into()
}

/// What the closure wants done.
#[derive(Default)]
pub(crate) struct Out {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) datagrams: VecDeque<(Transmit, Vec<u8>)>,
    pub(crate) streams: HashMap<StreamId, VecDeque<u8>>,
    pub(crate) timeout: Option<Time>,
    /// Streams that do not read until they have written.
    pub(crate) paused: HashMap<StreamId, bool>,
}

impl Out {
    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn listen(&mut self) {
        self.act(Action::Listen { listener: ListenerId(0), address: ([127, 0, 0, 1], 0).into() });
    }

    pub(crate) fn open_udp(&mut self, number: u32) {
        let options = UdpOptions::from(SocketAddr::from(([127, 0, 0, 1], 0)));
        self.act(Action::OpenUdp { socket: InterfaceId(number), options });
    }

    pub(crate) fn send(&mut self, number: u32, to: SocketAddr, bytes: &[u8]) {
        let transmit = Transmit {
            interface: InterfaceId(number),
            to,
            src_ip: None,
            ecn: Ecn::NotEct,
            dscp: 0,
            dont_fragment: false,
            bytes: 0..0,
            segment_size: None,
        };
        self.datagrams.push_back((transmit, bytes.to_vec()));
    }

    pub(crate) fn write(&mut self, stream: StreamId, bytes: &[u8]) {
        self.streams.entry(stream).or_default().extend(bytes);
        self.act(Action::WantWrite { stream });
    }

    /// Writes, and stops reading the stream while much waits to be written.
    pub(crate) fn echo(&mut self, stream: StreamId, bytes: &[u8]) {
        self.write(stream, bytes);
        if self.streams[&stream].len() > 200_000 && self.paused.insert(stream, true) != Some(true) {
            self.act(Action::PauseRead { stream, paused: true });
        }
    }

    pub(crate) fn finished(&mut self) {
        self.act(Action::Finished(Ok(())));
    }
}

pub(crate) struct Script<F> {
    out: Out,
    on_input: F,
}

impl<F: FnMut(&mut Out, Time, Input<'_>) + 'static> Service for Script<F> {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        (self.on_input)(&mut self.out, now, input);
    }

    fn poll_action(&mut self, _: Time) -> Option<Action> {
        self.out.actions.pop_front()
    }

    fn poll_transmit(&mut self, _: Time, batch: &mut Batch) {
        while !batch.is_full()
            && let Some((mut transmit, bytes)) = self.out.datagrams.pop_front()
        {
            let start = batch.buffer.len();
            batch.buffer.extend(&bytes);
            transmit.bytes = start..batch.buffer.len();
            batch.push(transmit);
        }
    }

    fn fill_stream(&mut self, _: Time, stream: StreamId, limit: usize, buffer: &mut Vec<u8>) {
        assert!(limit <= 16 * 1024, "{limit}");
        let Some(bytes) = self.out.streams.get_mut(&stream) else { return };
        buffer.extend(bytes.drain(..limit.min(bytes.len())));
        if bytes.len() < 100_000 && self.out.paused.insert(stream, false) == Some(true) {
            self.out.act(Action::PauseRead { stream, paused: false });
        }
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.out.timeout
    }
}

/// A service that does `begin` first and then calls the closure that it returns for each input.
pub(crate) fn script<F>(begin: impl FnOnce(&mut Out) -> F) -> Box<dyn Service>
where
    F: FnMut(&mut Out, Time, Input<'_>) + 'static,
{
    let mut out = Out::default();
    let on_input = begin(&mut out);
    Box::new(Script { out, on_input })
}

/// Runs such a service on a thread.
pub(crate) fn start<F>(config: Config, begin: impl FnOnce(&mut Out) -> F + Send + 'static) -> Handle
where
    F: FnMut(&mut Out, Time, Input<'_>) + 'static,
{
    spawn(|| script(begin), Config { signals: false, ..config }).expect("a host")
}
