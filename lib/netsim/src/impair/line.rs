use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use rtmfp_base::{Counters, Visit};

use super::{Route, Transport};
use crate::LinkCounters;
use crate::link::Link;
use crate::links::{DiceOf, dice};

/// Where something goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// From a client to the target.
    Up,
    /// From the target to a client.
    Down,
}

impl Direction {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    pub(super) const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// A route, its two links, and what happened on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) route: Route,
    /// Its number among the routes.
    pub(super) number: u32,
    /// Where it listens and leads to, as soon as that is known.
    pub(super) local: Option<SocketAddr>,
    pub(super) target: Option<SocketAddr>,
    ways: [Way; 2],
    /// Clients that there are, have been, and were not taken.
    pub(super) clients: usize,
    pub(super) clients_seen: u64,
    pub(super) clients_refused: u64,
}

/// One direction of a route.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) link: Link,
    pub(super) traffic: Traffic,
}

impl Line {
    /// The dice are those of the links between two hosts of a network with the same seed: the first two for the first
    /// route, and so on.
    pub(super) fn new(seed: u64, number: u32, route: Route, configs: [crate::LinkConfig; 2]) -> Self {
        let ends = [2 * number, 2 * number + 1];
        let [up, down] = configs;
        let way = |config, [from, to]: [u32; 2]| Way {
            link: Link::new(config, dice(seed, DiceOf::Between, from, to)),
            traffic: Traffic::default(),
        };
        Self {
            route,
            number,
            local: None,
            target: None,
            ways: [way(up, ends), way(down, [ends[1], ends[0]])],
            clients: 0,
            clients_seen: 0,
            clients_refused: 0,
        }
    }

    pub(super) const fn way(&mut self, direction: Direction) -> &mut Way {
        &mut self.ways[direction as usize]
    }

    pub(super) fn figures(&self) -> RouteFigures {
        let traffic = |way: &Way| Traffic { link: way.link.counters, ..way.traffic };
        let [up, down] = &self.ways;
        RouteFigures {
            transport: self.route.transport,
            listen: self.local.unwrap_or(self.route.listen),
            clients: self.clients as u64,
            clients_seen: self.clients_seen,
            clients_refused: self.clients_refused,
            up: traffic(up),
            down: traffic(down),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.route.transport, self.local.unwrap_or(self.route.listen))
    }
}

/// What happened so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Time since all routes were open.
    pub elapsed: Duration,
    /// Whether these are the last ones.
    pub last: bool,
    /// By route, as they were given.
    pub routes: Vec<RouteFigures>,
}

/// What happened on a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteFigures {
    /// What it carries.
    pub transport: Transport,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Clients at present.
    pub clients: u64,
    /// Clients so far.
    pub clients_seen: u64,
    /// UDP: datagrams for want of room or of a socket for their sender; TCP: connections not taken.
    pub clients_refused: u64,
    /// From clients to the target.
    pub up: Traffic,
    /// From the target to clients.
    pub down: Traffic,
}

/// What happened in one direction of a route.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// To datagrams, on the link.
    pub link: LinkCounters,
    /// Datagrams that were sent on later than they came.
    pub delayed: u64,
    /// Datagrams, copies among them, that were dropped because too many were on their way already.
    pub no_room: u64,
    /// Datagrams that were dropped because they came from elsewhere than the target, or for a port that the client
    /// had before a [rebinding](super::What::Rebind).
    pub stray: u64,
    /// How often the network said that datagrams do not arrive.
    pub unreachable: u64,
    /// Bytes of TCP that came.
    pub stream_bytes: u64,
    /// Bytes of TCP that were sent on.
    pub stream_passed_bytes: u64,
    /// How often a TCP connection was not read for a while, because too much of it was on its way.
    pub stream_pauses: u64,
}

impl Counters for Traffic {
    fn visit(&self, visit: &mut Visit<'_>) {
        self.link.visit(visit);
        visit("delayed", self.delayed);
        visit("no_room", self.no_room);
        visit("stray", self.stray);
        visit("unreachable", self.unreachable);
        visit("stream_bytes", self.stream_bytes);
        visit("stream_passed_bytes", self.stream_passed_bytes);
        visit("stream_pauses", self.stream_pauses);
    }
}
