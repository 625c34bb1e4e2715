//! The front and the workers of a relay on one simulated host, as on one machine.

use std::net::SocketAddr;

use rtmfp_base::{
    Action, Batch, Input, InterfaceId, Job, JobDone, JobId, NameId, RecvMeta, Service, StreamId, Time,
};
use rtmfp_plain::PlainProfile;
use rtmfp_service::{Front, Listen, Protocol, Relay, RelayConfig, WorkerConfig, Workers};

use crate::world::Plain;

/// Several services that share a host. What they number is told apart by bits that none of them uses.
pub(crate) struct Machine {
    pub(crate) workers: Vec<Relay>,
    pub(crate) front: Front,
    finished: Vec<Option<Result<(), String>>>,
    told: bool,
}

/// The first UDP port of the workers.
const PORTS: u16 = 20_000;

impl Machine {
    pub(crate) fn new(config: &RelayConfig, workers: usize) -> Self {
        let table = Workers::new(workers, config.listen.len());
        let make = |number: usize| {
            let mut config = config.clone();
            config.seed[31] = number as u8 + 1;
            config.worker =
                Some(WorkerConfig { worker: table.worker(number), ports: vec![PORTS + number as u16] });
            Relay::new(
                config,
                Box::new(Plain::new(&format!("worker {number}")).trusted().numbered(number as u8)),
            )
        };
        let relays = (0..workers).map(make).collect();
        let profile = Box::new(PlainProfile::new("front"));
        let front = Front::new(config, Vec::new(), table, profile);
        Self { workers: relays, front, finished: vec![None; workers + 1], told: false }
    }

    fn part(&mut self, number: usize) -> &mut dyn Service {
        match number {
            0 => &mut self.front,
            _ => &mut self.workers[number - 1],
        }
    }

    fn parts(&self) -> std::ops::Range<usize> {
        0..self.finished.len()
    }

    fn feed_all(&mut self, now: Time, input: fn() -> Input<'static>) {
        for number in self.parts() {
            self.part(number).handle(now, input());
        }
    }
}

const SHIFT: u32 = 56;
const SOCKET_SHIFT: u32 = 24;
const STREAM_SHIFT: u32 = 48;

fn outer(part: usize, number: u64) -> u64 {
    (part as u64 + 1) << SHIFT | number
}

fn inner(number: u64) -> (usize, u64) {
    ((number >> SHIFT) as usize - 1, number & ((1 << SHIFT) - 1))
}

fn outer_socket(part: usize, socket: InterfaceId) -> InterfaceId {
    InterfaceId((part as u32 + 1) << SOCKET_SHIFT | socket.0)
}

fn inner_socket(socket: InterfaceId) -> (usize, InterfaceId) {
    ((socket.0 >> SOCKET_SHIFT) as usize - 1, InterfaceId(socket.0 & ((1 << SOCKET_SHIFT) - 1)))
}

/// Those that are accepted are all the front's.
fn outer_stream(part: usize, stream: StreamId) -> StreamId {
    if stream.is_accepted() {
        return stream;
    }
    StreamId::opened((part as u64 + 1) << STREAM_SHIFT | stream.number())
}

fn inner_stream(stream: StreamId) -> (usize, StreamId) {
    if stream.is_accepted() {
        return (0, stream);
    }
    let number = stream.number();
    ((number >> STREAM_SHIFT) as usize - 1, StreamId::opened(number & ((1 << STREAM_SHIFT) - 1)))
}

fn outer_action(part: usize, action: Action) -> Action {
    let stream = |stream| outer_stream(part, stream);
    match action {
        Action::OpenUdp { socket, options } => {
            Action::OpenUdp { socket: outer_socket(part, socket), options }
        }
        Action::CloseUdp { socket } => Action::CloseUdp { socket: outer_socket(part, socket) },
        Action::Connect { stream: id, to, dscp } => Action::Connect { stream: stream(id), to, dscp },
        Action::StreamDscp { stream: id, dscp } => Action::StreamDscp { stream: stream(id), dscp },
        Action::WantWrite { stream: id } => Action::WantWrite { stream: stream(id) },
        Action::PauseRead { stream: id, paused } => Action::PauseRead { stream: stream(id), paused },
        Action::EndWrite { stream: id } => Action::EndWrite { stream: stream(id) },
        Action::Finish { stream: id } => Action::Finish { stream: stream(id) },
        Action::Abort { stream: id } => Action::Abort { stream: stream(id) },
        Action::Resolve { name, host, port } => {
            Action::Resolve { name: NameId(outer(part, name.0)), host, port }
        }
        Action::Run(job) => Action::Run(Job::new(JobId(outer(part, job.id.0)), job.into_work())),
        action => action,
    }
}

impl Service for Machine {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Timeout => self.feed_all(now, || Input::Timeout),
            Input::Drain => self.feed_all(now, || Input::Drain),
            Input::Stop => self.feed_all(now, || Input::Stop),
            Input::UdpReady { socket, result } => {
                let (part, socket) = inner_socket(socket);
                self.part(part).handle(now, Input::UdpReady { socket, result });
            }
            Input::Datagram { meta, bytes } => {
                let (part, interface) = inner_socket(meta.interface);
                let meta = RecvMeta { interface, ..meta };
                self.part(part).handle(now, Input::Datagram { meta, bytes });
            }
            Input::PathError { socket, to, error } => {
                let (part, socket) = inner_socket(socket);
                self.part(part).handle(now, Input::PathError { socket, to, error });
            }
            Input::Connected { stream, peer } => {
                let (part, stream) = inner_stream(stream);
                self.part(part).handle(now, Input::Connected { stream, peer });
            }
            Input::Data { stream, bytes } => {
                let (part, stream) = inner_stream(stream);
                self.part(part).handle(now, Input::Data { stream, bytes });
            }
            Input::EndOfStream { stream } => {
                let (part, stream) = inner_stream(stream);
                self.part(part).handle(now, Input::EndOfStream { stream });
            }
            Input::Closed { stream, error } => {
                let (part, stream) = inner_stream(stream);
                self.part(part).handle(now, Input::Closed { stream, error });
            }
            Input::Resolved { name, result } => {
                let (part, name) = inner(name.0);
                self.part(part).handle(now, Input::Resolved { name: NameId(name), result });
            }
            Input::JobDone(JobDone { id, result }) => {
                let (part, id) = inner(id.0);
                self.part(part).handle(now, Input::JobDone(JobDone { id: JobId(id), result }));
            }
            // Only the front has listeners of byte streams here: what watches the other port.
            Input::ListenReady { .. } | Input::Accepted { .. } => self.front.handle(now, input),
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        for part in self.parts() {
            while let Some(action) = self.part(part).poll_action(now) {
                match action {
                    Action::Finished(result) => self.finished[part] = Some(result),
                    action => return Some(outer_action(part, action)),
                }
            }
        }
        if self.told || !self.finished.iter().all(Option::is_some) {
            return None;
        }
        self.told = true;
        let failed = self.finished.iter().flatten().find(|result| result.is_err());
        Some(Action::Finished(failed.cloned().unwrap_or(Ok(()))))
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        for part in self.parts() {
            let before = batch.transmits.len();
            self.part(part).poll_transmit(now, batch);
            for transmit in &mut batch.transmits[before..] {
                transmit.interface = outer_socket(part, transmit.interface);
            }
        }
    }

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        let (part, stream) = inner_stream(stream);
        self.part(part).fill_stream(now, stream, limit, out);
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.parts().filter_map(|part| self.part(part).poll_timeout()).min()
    }
}

/// One RTMFP listener.
pub(crate) fn listen(address: SocketAddr) -> Vec<Listen> {
    vec![Listen { protocol: Protocol::Rtmfp, address, legacy: false }]
}
