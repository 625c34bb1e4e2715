use core::net::SocketAddr;
use std::collections::{BTreeSet, HashMap, VecDeque};

use rtmfp_base::{Action, Arena, Id, IdKind, StreamId, Time};

use super::line::Line;
use super::pipe::{End, Pipe};
use super::{Direction, Limits};

#[derive(Debug)]
enum PairKind {}

impl IdKind for PairKind {
    const PREFIX: &'static str = "pair";
}

type PairId = Id<PairKind>;

/// A client's connection and that to the target.
#[derive(Debug)]
struct Pair {
    /// The number of its route.
    line: u32,
    client: SocketAddr,
    /// By what goes towards its peer: the client's stream has what goes up, the target's what goes down.
    halves: [Half; 2],
}

/// One direction of a pair, and the stream that it comes from.
#[derive(Debug)]
struct Half {
    stream: StreamId,
    /// Whether the host still has the stream.
    open: bool,
    /// Whether it is not read for a while.
    paused: bool,
    pipe: Pipe,
    /// The time under which it is in the list of what arrives.
    armed: Option<Time>,
    /// How the pipe has ended.
    ended: Option<End>,
}

impl Half {
    fn new(stream: StreamId) -> Self {
        Self { stream, open: true, paused: false, pipe: Pipe::default(), armed: None, ended: None }
    }
}

/// TCP connections.
#[derive(Debug)]
pub(super) struct Streams {
    limits: Limits,
    pairs: Arena<PairKind, Pair>,
    count: usize,
    by_stream: HashMap<StreamId, (PairId, Direction)>,
    next_stream: u64,
    /// When something arrives: the next of each half.
    arrivals: BTreeSet<(Time, PairId, Direction)>,
}

/// What a stream may hold at least, however little memory or rate there is.
const LEAST_BUFFER: usize = 4096;

impl Streams {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            pairs: Arena::new(),
            count: 0,
            by_stream: HashMap::new(),
            next_stream: 0,
            arrivals: BTreeSet::new(),
        }
    }

    pub(super) fn next_time(&self) -> Option<Time> {
        self.arrivals.first().map(|(at, ..)| *at)
    }

    /// Takes a client and connects to the target for it.
    pub(super) fn accept(
        &mut self,
        line: &mut Line,
        actions: &mut VecDeque<Action>,
        client: StreamId,
        peer: SocketAddr,
    ) {
        let Some(to) = line.target.filter(|_| self.count < self.limits.tcp_clients) else {
            line.clients_refused += 1;
            actions.push_back(Action::Abort { stream: client });
            return;
        };
        let server = StreamId::opened(self.next_stream);
        self.next_stream += 1;
        let halves = [Half::new(client), Half::new(server)];
        let id = self.pairs.insert(Pair { line: line.number, client: peer, halves });
        self.by_stream.insert(client, (id, Direction::Up));
        self.by_stream.insert(server, (id, Direction::Down));
        self.count += 1;
        line.clients += 1;
        line.clients_seen += 1;
        log::info!("{line}: client {peer}");
        actions.push_back(Action::Connect { stream: server, to, dscp: 0 });
    }

    /// Takes bytes from one end.
    pub(super) fn data(
        &mut self,
        now: Time,
        lines: &mut [Line],
        actions: &mut VecDeque<Action>,
        stream: StreamId,
        bytes: &[u8],
    ) {
        let (limits, count) = (self.limits, self.count);
        let Some((id, direction, half, to_is_open, line)) = self.half(stream, lines) else { return };
        let limit = limit(&limits, count, line, direction);
        let way = line.way(direction);
        way.traffic.stream_bytes += bytes.len() as u64;
        if !to_is_open {
            return;
        }
        half.pipe.push(now, &mut way.link, bytes);
        if !half.paused && half.pipe.is_full(limit) {
            half.paused = true;
            way.traffic.stream_pauses += 1;
            actions.push_back(Action::PauseRead { stream, paused: true });
        }
        self.arm(id, direction);
    }

    /// One end has no more to send.
    pub(super) fn end(&mut self, now: Time, lines: &mut [Line], stream: StreamId) {
        let Some((id, direction, half, _, line)) = self.half(stream, lines) else { return };
        half.pipe.end(now, &mut line.way(direction).link, End::Finished);
        self.arm(id, direction);
    }

    /// The host no longer has a stream.
    pub(super) fn closed(&mut self, now: Time, lines: &mut [Line], stream: StreamId, error: Option<&str>) {
        let Some((id, direction, half, ..)) = self.half(stream, lines) else { return };
        half.open = false;
        if let Some(error) = error {
            log::info!("a connection broke: {error}");
        }
        self.by_stream.remove(&stream);
        let Some(pair) = self.pairs.get_mut(id) else { return };
        // Nobody takes what was on its way to it.
        pair.halves[direction.back() as usize].pipe.clear();
        if error.is_some()
            && pair.halves.iter().any(|half| half.ended != Some(End::Finished))
            && let Some(line) = lines.get_mut(pair.line as usize)
        {
            let half = &mut pair.halves[direction as usize];
            half.pipe.end(now, &mut line.way(direction).link, End::Broken);
        }
        for direction in Direction::BOTH {
            self.arm(id, direction);
        }
        self.forget_closed(id, lines);
    }

    /// Lets arrive what is due.
    pub(super) fn arrive(&mut self, now: Time, lines: &mut [Line], actions: &mut VecDeque<Action>) {
        while let Some(&(at, id, direction)) = self.arrivals.first()
            && at <= now
        {
            self.arrivals.pop_first();
            let Some(pair) = self.pairs.get_mut(id) else { continue };
            let half = &mut pair.halves[direction as usize];
            half.armed = None;
            let ended = half.pipe.arrive(now);
            half.ended = half.ended.or(ended);
            let has_arrived = half.pipe.has_arrived();
            let both_finished = pair.halves.iter().all(|half| half.ended == Some(End::Finished));
            let to = &pair.halves[direction.back() as usize];
            if to.open {
                let stream = to.stream;
                match ended {
                    _ if both_finished => {
                        let streams = [pair.halves[0].stream, pair.halves[1].stream];
                        actions.extend(streams.map(|stream| Action::Finish { stream }));
                    }
                    Some(End::Finished) => actions.push_back(Action::EndWrite { stream }),
                    Some(End::Broken) if !has_arrived => self.abort(id, direction.back(), lines, actions),
                    _ => actions.push_back(Action::WantWrite { stream }),
                }
            }
            self.arm(id, direction);
        }
    }

    /// Gives the host bytes for a stream.
    pub(super) fn fill(
        &mut self,
        lines: &mut [Line],
        actions: &mut VecDeque<Action>,
        stream: StreamId,
        limit_now: usize,
        out: &mut Vec<u8>,
    ) {
        let Some(&(id, to)) = self.by_stream.get(&stream) else { return };
        let Some(pair) = self.pairs.get_mut(id) else { return };
        let Some(line) = lines.get_mut(pair.line as usize) else { return };
        let direction = to.back();
        let limit = limit(&self.limits, self.count, line, direction);
        let half = &mut pair.halves[direction as usize];
        let len = half.pipe.take(limit_now, out);
        line.way(direction).traffic.stream_passed_bytes += len as u64;
        if half.paused && half.pipe.has_room(limit) {
            half.paused = false;
            actions.push_back(Action::PauseRead { stream: half.stream, paused: false });
        }
        // A reset waits until all before it was handed on, this call's bytes among it.
        if len == 0 && half.ended == Some(End::Broken) {
            self.abort(id, to, lines, actions);
        }
    }

    /// Goes on with what waited for the links, which have changed.
    pub(super) fn links_changed(&mut self, now: Time, lines: &mut [Line]) {
        for id in self.pairs.ids() {
            for direction in Direction::BOTH {
                if let Some(pair) = self.pairs.get_mut(id)
                    && let Some(line) = lines.get_mut(pair.line as usize)
                {
                    pair.halves[direction as usize].pipe.carry(now, &mut line.way(direction).link);
                    self.arm(id, direction);
                }
            }
        }
    }

    /// Resets all connections at both ends.
    pub(super) fn reset(&mut self, lines: &mut [Line], actions: &mut VecDeque<Action>) {
        for id in self.pairs.ids() {
            for direction in Direction::BOTH {
                self.abort(id, direction, lines, actions);
            }
        }
    }

    /// Resets the stream of a half, if it is open.
    fn abort(&mut self, id: PairId, from: Direction, lines: &mut [Line], actions: &mut VecDeque<Action>) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        let half = &mut pair.halves[from as usize];
        if core::mem::take(&mut half.open) {
            self.by_stream.remove(&half.stream);
            actions.push_back(Action::Abort { stream: half.stream });
        }
        self.forget_closed(id, lines);
    }

    fn forget_closed(&mut self, id: PairId, lines: &mut [Line]) {
        if self.pairs.get(id).is_none_or(|pair| pair.halves.iter().any(|half| half.open)) {
            return;
        }
        let Some(pair) = self.pairs.remove(id) else { return };
        self.count -= 1;
        for (direction, half) in Direction::BOTH.into_iter().zip(&pair.halves) {
            if let Some(at) = half.armed {
                self.arrivals.remove(&(at, id, direction));
            }
        }
        if let Some(line) = lines.get_mut(pair.line as usize) {
            line.clients -= 1;
            log::info!("{line}: client {} has gone", pair.client);
        }
    }

    /// Notes when the next bytes of a half arrive.
    fn arm(&mut self, id: PairId, direction: Direction) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        let half = &mut pair.halves[direction as usize];
        let next = half.pipe.next_time();
        if half.armed == next {
            return;
        }
        if let Some(at) = half.armed {
            self.arrivals.remove(&(at, id, direction));
        }
        if let Some(at) = next {
            self.arrivals.insert((at, id, direction));
        }
        half.armed = next;
    }

    /// The half that a stream is the source of, whether the stream that it goes to is open, and its route.
    fn half<'a>(
        &'a mut self,
        stream: StreamId,
        lines: &'a mut [Line],
    ) -> Option<(PairId, Direction, &'a mut Half, bool, &'a mut Line)> {
        let &(id, direction) = self.by_stream.get(&stream)?;
        let pair = self.pairs.get_mut(id)?;
        let to_is_open = pair.halves[direction.back() as usize].open;
        let line = lines.get_mut(pair.line as usize)?;
        Some((id, direction, &mut pair.halves[direction as usize], to_is_open, line))
    }
}

/// How many bytes of a stream may be on their way: its share of the memory, and at a limited rate that of what the wire
/// and the queue hold, so that the sender feels the rate.
fn limit(limits: &Limits, pairs: usize, line: &mut Line, direction: Direction) -> usize {
    let share = limits.held_bytes / (2 * pairs.max(1));
    let on_line = line.clients.max(1);
    let config = line.way(direction).link.config();
    let by_rate = config.rate.map_or(usize::MAX, |rate| {
        let wire = config.delay.as_micros().saturating_mul(u128::from(rate)) / 1_000_000;
        usize::try_from(wire).unwrap_or(usize::MAX).saturating_add(config.queue) / on_line
    });
    limits.stream_bytes.min(share).min(by_rate).max(LEAST_BUFFER)
}
