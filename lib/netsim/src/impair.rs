//! A proxy that impairs what passes it, for real programs on bad networks, on any machine.
//!
//! [`Impair`] is a [`Service`]. It listens on UDP and TCP, and each [`Route`] leads to a target. What passes suffers
//! what the links of the [simulator](crate) do to it, by the same code and with the same dice: the two links of the
//! first route behave as those between the first two hosts of a [`Network`](crate::Network) with the same seed do,
//! datagram by datagram.
//!
//! - Each UDP client gets a socket of its own towards the target, so that replies find their way; it goes when nothing
//!   has passed for [`Limits::idle`]. All clients of a route share its two links. ECN marks are kept, code points of
//!   differentiated services are not: hosts do not tell them. Datagrams without bytes do not pass.
//! - TCP connections feel delay and rate, stand still in a blockade and lose nothing. A connection of which too much
//!   is on its way is not read for a while. An end of writing is handed on as such. What is on its way at the
//!   system's own buffers comes on top, and connecting is not delayed.
//! - Settings change, blockades, rebindings and resets happen as the [`Schedule`] says.
//!
//! Everybody who can reach a route's address can use its target: it is the operator who says where to listen.

mod datagrams;
mod held;
mod line;
mod pipe;
mod schedule;
mod settings;
mod streams;

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use rtmfp_base::{Action, Batch, Input, InterfaceId, ListenerId, NameId, Service, StreamId, Time};

use crate::LinkConfig;
use datagrams::Datagrams;
use line::Line;
pub use line::{Direction, Figures, RouteFigures, Traffic};
pub use schedule::{Schedule, ScheduleError, Step, What};
pub use settings::{Depth, Setting, Settings};
use streams::Streams;

/// What a proxy does.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens, and where that leads to.
    pub routes: Vec<Route>,
    /// What is done to all that goes from clients to targets, on each route by itself.
    pub up: Settings,
    /// What is done to all that goes from targets to clients.
    pub down: Settings,
    /// What happens when.
    pub schedule: Schedule,
    /// The seed of the dice.
    pub seed: u64,
    /// How much it may use.
    pub limits: Limits,
    /// How often figures are reported, beside the end.
    pub report_every: Option<Duration>,
}

/// Where a proxy listens, and where that leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Route {
    /// What it carries.
    pub transport: Transport,
    /// The address to listen on; port 0 takes any free one.
    pub listen: SocketAddr,
    /// The name or address of the target.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// What a route carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Byte streams.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

/// How much a proxy may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// UDP clients at a time. Each has a socket, and another one for 30 s after a rebinding.
    pub udp_clients: usize,
    /// TCP clients at a time. Each has two connections.
    pub tcp_clients: usize,
    /// How long a UDP client may be silent, and get nothing, before its socket is closed.
    pub idle: Duration,
    /// Bytes of all datagrams on their way, and about as many of all streams.
    pub held_bytes: usize,
    /// Bytes on their way in one direction of a stream. At a limited rate it is only what the wire and the queue hold.
    pub stream_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_clients: 4096,
            tcp_clients: 4096,
            idle: Duration::from_secs(120),
            held_bytes: 256 << 20,
            stream_bytes: 1 << 20,
        }
    }
}

/// Where figures go.
pub type Report = Box<dyn FnMut(&Figures)>;

/// The proxy. It announces each route when that is open, and ends when its host drains or stops it.
pub struct Impair {
    lines: Vec<Line>,
    first_settings: [Settings; 2],
    settings: [Settings; 2],
    schedule: Schedule,
    datagrams: Datagrams,
    streams: Streams,
    actions: VecDeque<Action>,
    /// When all routes were open.
    started: Option<Time>,
    report: Report,
    report_every: Option<Duration>,
    next_report: Option<Time>,
    ended: bool,
}

/// Steps of the schedule that are done in one call: what is left is done in the next.
const STEPS_A_TURN: usize = 1000;

impl Impair {
    /// A proxy that gives its figures to `report`.
    ///
    /// # Panics
    /// When a setting makes no sense, in the beginning or in the schedule, as [`Network::set_link`] does.
    ///
    /// [`Network::set_link`]: crate::Network::set_link
    pub fn new(config: Config, report: Report) -> Self {
        let Config { routes, up, down, schedule, seed, limits, report_every } = config;
        let links = [up.link(), down.link()];
        links.iter().for_each(LinkConfig::check);
        for setting in schedule.settings() {
            let mut settings = Settings::default();
            settings.set(setting);
            settings.link().check();
        }
        let resolve = |(number, route): (u64, &Route)| Action::Resolve {
            name: NameId(number),
            host: route.host.clone(),
            port: route.port,
        };
        let actions = (0..).zip(&routes).map(resolve).collect();
        let lines: Vec<_> =
            (0..).zip(routes).map(|(number, route)| Line::new(seed, number, route, links)).collect();
        Self {
            datagrams: Datagrams::new(limits, lines.len() as u32),
            streams: Streams::new(limits),
            lines,
            first_settings: [up, down],
            settings: [up, down],
            schedule,
            actions,
            started: None,
            report,
            report_every,
            next_report: None,
            ended: false,
        }
    }

    /// What happened so far.
    pub fn figures(&self, now: Time) -> Figures {
        Figures {
            elapsed: self.started.map_or(Duration::ZERO, |started| now.since(started)),
            last: self.ended,
            routes: self.lines.iter().map(Line::figures).collect(),
        }
    }

    /// A route's target has addresses: listens.
    fn resolved(&mut self, now: Time, number: u64, result: Result<Vec<SocketAddr>, String>) {
        let Some(line) = self.lines.get_mut(number as usize) else { return };
        let listen = line.route.listen;
        // Where there are several it is one that the listener's clients would reach, too.
        let target = result.map(|addresses| {
            let same = addresses.iter().find(|address| address.is_ipv4() == listen.is_ipv4());
            same.or_else(|| addresses.first()).copied()
        });
        match target {
            Ok(Some(target)) if leads_to_itself(listen, target) => {
                let error = format!("{line} would lead to itself");
                self.end(now, Err(error));
            }
            Ok(target) => {
                line.target = target;
                let number = line.number;
                self.actions.push_back(match line.route.transport {
                    Transport::Udp => Action::OpenUdp { socket: InterfaceId(number), options: listen.into() },
                    Transport::Tcp => Action::Listen { listener: ListenerId(number), address: listen },
                });
            }
            Err(error) => {
                let error = format!("cannot find {}: {error}", line.route.host);
                self.end(now, Err(error));
            }
        }
    }

    /// A route is open, or cannot be.
    fn opened(&mut self, now: Time, number: u32, result: Result<SocketAddr, String>) {
        let Some(line) = self.lines.get_mut(number as usize) else { return };
        match (result, line.target) {
            (Ok(local), Some(target)) => {
                line.local = Some(local);
                self.actions.push_back(Action::Announce(format!("listening on {line} for {target}")));
            }
            (Err(error), _) => {
                let error = format!("cannot listen on {} {error}", line.route.transport);
                return self.end(now, Err(error));
            }
            _ => {}
        }
        if self.lines.iter().all(|line| line.local.is_some()) {
            self.started = Some(now);
            self.schedule.start(now);
            self.next_report = self.report_every.map(|every| now + every);
        }
    }

    fn end(&mut self, now: Time, result: Result<(), String>) {
        if !self.ended {
            self.ended = true;
            if self.started.is_some() {
                let figures = self.figures(now);
                (self.report)(&figures);
            }
            self.actions.push_back(Action::Finished(result));
        }
    }

    /// Does what the time has come for.
    fn tick(&mut self, now: Time) {
        for _ in 0..STEPS_A_TURN {
            let Some(what) = self.schedule.next_due(now) else { break };
            self.step(now, what);
        }
        self.streams.arrive(now, &mut self.lines, &mut self.actions);
        self.datagrams.sweep(now, &mut self.lines, &mut self.actions);
        if let Some(every) = self.report_every
            && self.next_report.is_some_and(|at| at <= now)
        {
            let figures = self.figures(now);
            (self.report)(&figures);
            self.next_report = Some(now + every);
        }
    }

    fn step(&mut self, now: Time, what: What) {
        log::info!("schedule: {what:?}");
        match what {
            What::Set(direction, settings) => {
                for direction in one_or_both(direction) {
                    settings.iter().for_each(|setting| self.settings[direction as usize].set(*setting));
                    self.configure(direction);
                }
            }
            What::Block(direction) => {
                one_or_both(direction).for_each(|direction| self.set_blocked(direction, true));
            }
            What::Unblock(direction) => {
                one_or_both(direction).for_each(|direction| self.set_blocked(direction, false));
            }
            What::Rebind => self.datagrams.rebind(now, &self.lines, &mut self.actions),
            What::Reset => self.streams.reset(&mut self.lines, &mut self.actions),
            What::Repeat => {
                self.settings = self.first_settings;
                for direction in Direction::BOTH {
                    self.set_blocked(direction, false);
                    self.configure(direction);
                }
            }
        }
        self.streams.links_changed(now, &mut self.lines);
    }

    fn configure(&mut self, direction: Direction) {
        let config = self.settings[direction as usize].link();
        self.lines.iter_mut().for_each(|line| line.way(direction).link.configure(config));
    }

    fn set_blocked(&mut self, direction: Direction, blocked: bool) {
        for line in &mut self.lines {
            let link = &mut line.way(direction).link;
            if blocked { link.block() } else { link.unblock() }
        }
    }
}

/// Whether what is sent to a target would come in again at the listener.
fn leads_to_itself(listen: SocketAddr, target: SocketAddr) -> bool {
    let local = listen.ip().is_unspecified() && (target.ip().is_loopback() || target.ip().is_unspecified());
    listen.port() == target.port() && (listen.ip() == target.ip() || local)
}

fn one_or_both(direction: Option<Direction>) -> impl Iterator<Item = Direction> {
    Direction::BOTH.into_iter().filter(move |one| direction.is_none_or(|direction| direction == *one))
}

impl Service for Impair {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        let Self { lines, actions, .. } = self;
        match input {
            Input::Timeout => self.tick(now),
            Input::Datagram { meta, bytes } => self.datagrams.receive(now, lines, actions, &meta, bytes),
            Input::UdpReady { socket, result } if (socket.0 as usize) < lines.len() => {
                self.opened(now, socket.0, result);
            }
            Input::UdpReady { socket, result } => self.datagrams.opened(now, socket, result, lines, actions),
            Input::PathError { socket, .. } => self.datagrams.unreachable(socket, lines),
            Input::ListenReady { listener, result } => self.opened(now, listener.0, result),
            Input::Accepted { listener, stream, peer } => match lines.get_mut(listener.0 as usize) {
                Some(line) => self.streams.accept(line, actions, stream, peer),
                None => actions.push_back(Action::Abort { stream }),
            },
            Input::Data { stream, bytes } => self.streams.data(now, lines, actions, stream, bytes),
            Input::EndOfStream { stream } => self.streams.end(now, lines, stream),
            Input::Closed { stream, error } => self.streams.closed(now, lines, stream, error.as_deref()),
            Input::Resolved { name, result } => self.resolved(now, name.0, result),
            Input::Drain | Input::Stop => self.end(now, Ok(())),
            Input::Connected { .. } | Input::JobDone(_) => {}
        }
    }

    fn poll_action(&mut self, _: Time) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.datagrams.transmit(now, &self.lines, batch);
    }

    fn fill_stream(&mut self, _: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        self.streams.fill(&mut self.lines, &mut self.actions, stream, limit, out);
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        let times = [
            self.datagrams.next_time(),
            self.streams.next_time(),
            self.schedule.next_time(),
            self.next_report,
        ];
        times.into_iter().flatten().min()
    }
}

impl fmt::Debug for Impair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Impair").field("lines", &self.lines).finish_non_exhaustive()
    }
}
