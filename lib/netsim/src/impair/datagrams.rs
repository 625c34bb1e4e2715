use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{HashMap, VecDeque};

use rtmfp_base::{
    Action, Arena, Batch, Id, IdKind, InterfaceId, RecvMeta, SocketId, Time, Transmit, UdpOptions,
};

use super::held::{Datagram, Held};
use super::line::Line;
use super::{Direction, Limits};

#[derive(Debug)]
pub(super) enum FlowKind {}

impl IdKind for FlowKind {
    const PREFIX: &'static str = "flow";
}

pub(super) type FlowId = Id<FlowKind>;

/// What a UDP client sends and gets.
#[derive(Debug)]
struct Flow {
    /// The number of its route.
    line: u32,
    client: SocketAddr,
    /// The address that it sends to.
    local_ip: Option<IpAddr>,
    /// Its own socket towards the target.
    socket: SocketId,
    /// The one before a rebinding. It stays open for a while so that nobody is told that it has gone.
    old: Option<(SocketId, Time)>,
    /// When the last datagram came, either way.
    used: Time,
}

/// UDP clients. The sockets with the numbers of routes are those that these listen on, all others belong to one client
/// each.
#[derive(Debug)]
pub(super) struct Datagrams {
    limits: Limits,
    flows: Arena<FlowKind, Flow>,
    by_client: HashMap<(u32, SocketAddr), FlowId>,
    by_socket: HashMap<SocketId, FlowId>,
    first_socket: u32,
    next_socket: u32,
    held: Held,
    /// When to look for clients that have gone.
    sweep_at: Option<Time>,
    /// The system has no sockets: none is asked for before this.
    rest_until: Time,
}

/// How long the system is left alone when it had no socket.
const REST: Duration = Duration::from_secs(1);
/// How long a socket from before a rebinding stays open.
const OLD_SOCKET: Duration = Duration::from_secs(30);
/// How often to look for clients that have gone, at most.
const SWEEP: Duration = Duration::from_secs(1);

impl Datagrams {
    /// `lines` is how many routes there are.
    pub(super) fn new(limits: Limits, lines: u32) -> Self {
        Self {
            limits,
            flows: Arena::new(),
            by_client: HashMap::new(),
            by_socket: HashMap::new(),
            first_socket: lines,
            next_socket: lines,
            held: Held::new(limits.held_bytes),
            sweep_at: None,
            rest_until: Time::ZERO,
        }
    }

    pub(super) fn next_time(&self) -> Option<Time> {
        [self.held.next_time(), self.sweep_at].into_iter().flatten().min()
    }

    /// Takes a datagram from a client or from the target.
    pub(super) fn receive(
        &mut self,
        now: Time,
        lines: &mut [Line],
        actions: &mut VecDeque<Action>,
        meta: &RecvMeta,
        bytes: &mut [u8],
    ) {
        let number = meta.interface.0;
        let (direction, id, line) = if let Some(line) = lines.get_mut(number as usize) {
            let Some(id) = self.flow(now, line, actions, meta.from) else {
                line.clients_refused += 1;
                return;
            };
            (Direction::Up, id, line)
        } else {
            let Some(id) = self.by_socket.get(&meta.interface) else { return };
            let Some(flow) = self.flows.get(*id) else { return };
            let Some(line) = lines.get_mut(flow.line as usize) else { return };
            if flow.socket != meta.interface || line.target != Some(meta.from) {
                line.way(Direction::Down).traffic.stray += 1;
                return;
            }
            (Direction::Down, *id, line)
        };
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.used = now;
        if direction == Direction::Up {
            flow.local_ip = meta.dst_ip;
        }
        let way = line.way(direction);
        let mut ecn = meta.ecn;
        let Ok(passage) = way.link.offer(now, &mut ecn, bytes) else { return };
        way.traffic.delayed += u64::from(passage.at > now);
        let bytes = bytes.get(..passage.len).unwrap_or_default();
        for at in [Some(passage.at), passage.copy_at].into_iter().flatten() {
            let taken = self.held.push(at, id, direction, ecn, bytes);
            way.traffic.no_room += u64::from(!taken);
        }
    }

    /// Gives what has arrived to the host.
    pub(super) fn transmit(&mut self, now: Time, lines: &[Line], batch: &mut Batch) {
        while !batch.is_full()
            && let Some(Datagram { flow, direction, ecn, bytes, .. }) = self.held.pop_due(now)
        {
            // The client may have gone meanwhile.
            if let Some(flow) = self.flows.get(flow)
                && let Some(target) = lines.get(flow.line as usize).and_then(|line| line.target)
            {
                let (interface, to, src_ip) = match direction {
                    Direction::Up => (flow.socket, target, None),
                    Direction::Down => (InterfaceId(flow.line), flow.client, flow.local_ip),
                };
                let start = batch.buffer.len();
                batch.buffer.extend_from_slice(&bytes);
                let range = start..batch.buffer.len();
                batch.push(Transmit {
                    interface,
                    to,
                    src_ip,
                    ecn,
                    dscp: 0,
                    dont_fragment: false,
                    bytes: range,
                    segment_size: None,
                });
            }
            self.held.recycle(bytes);
        }
    }

    /// Closes what nobody uses any more.
    pub(super) fn sweep(&mut self, now: Time, lines: &mut [Line], actions: &mut VecDeque<Action>) {
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        let mut next: Option<Time> = None;
        for id in self.flows.ids() {
            let Some(flow) = self.flows.get_mut(id) else { continue };
            let end = flow.used + self.limits.idle;
            if end <= now {
                self.remove(id, lines, actions);
                continue;
            }
            if let Some((socket, _)) = flow.old.take_if(|(_, until)| *until <= now) {
                self.by_socket.remove(&socket);
                actions.push_back(Action::CloseUdp { socket });
            }
            let old = flow.old.map(|(_, until)| until);
            next = [next, Some(end), old].into_iter().flatten().min();
        }
        self.sweep_at = next.map(|at| at.max(now + SWEEP));
    }

    /// A socket of a client is open, or not.
    pub(super) fn opened(
        &mut self,
        now: Time,
        socket: SocketId,
        result: Result<SocketAddr, String>,
        lines: &mut [Line],
        actions: &mut VecDeque<Action>,
    ) {
        let Err(error) = result else { return };
        let Some(id) = self.by_socket.remove(&socket) else { return };
        self.rest_until = now + REST;
        if let Some(flow) = self.flows.get(id) {
            log::warn!("no socket for client {}: {error}", flow.client);
            if let Some(line) = lines.get_mut(flow.line as usize) {
                line.clients_refused += 1;
            }
            self.remove(id, lines, actions);
        }
    }

    /// The network said that what was sent from a socket does not arrive.
    pub(super) fn unreachable(&self, socket: SocketId, lines: &mut [Line]) {
        let (line, direction) = match self.by_socket.get(&socket).and_then(|id| self.flows.get(*id)) {
            Some(flow) => (flow.line, Direction::Up),
            None => (socket.0, Direction::Down),
        };
        if let Some(line) = lines.get_mut(line as usize) {
            line.way(direction).traffic.unreachable += 1;
        }
    }

    /// Gives each client another socket.
    pub(super) fn rebind(&mut self, now: Time, lines: &[Line], actions: &mut VecDeque<Action>) {
        for id in self.flows.ids() {
            let socket = self.new_socket();
            let Some(flow) = self.flows.get_mut(id) else { continue };
            let Some(options) = lines.get(flow.line as usize).and_then(upstream) else { continue };
            let old = core::mem::replace(&mut flow.socket, socket);
            if let Some((older, _)) = flow.old.replace((old, now + OLD_SOCKET)) {
                self.by_socket.remove(&older);
                actions.push_back(Action::CloseUdp { socket: older });
            }
            self.by_socket.insert(socket, id);
            actions.push_back(Action::OpenUdp { socket, options });
            self.plan_sweep(now + OLD_SOCKET);
        }
    }

    /// The flow of a client, a new one if need be and possible.
    fn flow(
        &mut self,
        now: Time,
        line: &mut Line,
        actions: &mut VecDeque<Action>,
        client: SocketAddr,
    ) -> Option<FlowId> {
        if let Some(id) = self.by_client.get(&(line.number, client)) {
            return Some(*id);
        }
        if self.by_client.len() >= self.limits.udp_clients || now < self.rest_until {
            return None;
        }
        let options = upstream(line)?;
        let socket = self.new_socket();
        let flow = Flow { line: line.number, client, local_ip: None, socket, old: None, used: now };
        let id = self.flows.insert(flow);
        self.by_client.insert((line.number, client), id);
        self.by_socket.insert(socket, id);
        actions.push_back(Action::OpenUdp { socket, options });
        line.clients += 1;
        line.clients_seen += 1;
        log::info!("{line}: client {client}");
        self.plan_sweep(now + self.limits.idle);
        Some(id)
    }

    fn remove(&mut self, id: FlowId, lines: &mut [Line], actions: &mut VecDeque<Action>) {
        let Some(flow) = self.flows.remove(id) else { return };
        self.by_client.remove(&(flow.line, flow.client));
        for socket in [Some(flow.socket), flow.old.map(|(socket, _)| socket)].into_iter().flatten() {
            // One that could not be opened is no longer there.
            if self.by_socket.remove(&socket).is_some() {
                actions.push_back(Action::CloseUdp { socket });
            }
        }
        if let Some(line) = lines.get_mut(flow.line as usize) {
            line.clients -= 1;
            log::info!("{line}: client {} has gone", flow.client);
        }
    }

    fn plan_sweep(&mut self, at: Time) {
        self.sweep_at = Some(self.sweep_at.map_or(at, |sweep| sweep.min(at)));
    }

    /// A number for a socket.
    fn new_socket(&mut self) -> SocketId {
        loop {
            let socket = InterfaceId(self.next_socket);
            self.next_socket = self.next_socket.checked_add(1).unwrap_or(self.first_socket);
            if !self.by_socket.contains_key(&socket) {
                return socket;
            }
        }
    }
}

/// Any port, of the family of the target.
fn upstream(line: &Line) -> Option<UdpOptions> {
    let target = line.target?;
    let any = if target.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0u16; 8], 0)) };
    Some(any.into())
}
