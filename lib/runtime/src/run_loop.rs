use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Poll, Token, Waker};
use rtmfp_base::{Arena, Id, IdKind, Time};
use signal_hook_mio::v1_0::Signals;

use crate::clock;
use crate::performer::Performer;
use crate::stats::LoopStats;
use crate::timers::{TimerId, Timers};

const WAKER: Token = Token(usize::MAX);
const EVENTS_A_TURN: usize = 1024;
/// How long handlers are called in one turn. The others have theirs in the next, first, so that timers and tasks for
/// later never wait for hundreds of busy sources.
const HANDLERS_A_TURN: Duration = Duration::from_millis(2);

/// The kind of a [`SourceId`].
#[derive(Debug)]
pub enum SourceKind {}

impl IdKind for SourceKind {
    const PREFIX: &'static str = "source";
}

/// A source of events that is registered with a [`RunLoop`].
pub type SourceId = Id<SourceKind>;

/// What a source may be ready for. Readiness can be spurious: a handler tries and takes "would block" for an
/// answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ready {
    /// Reading, or the end of what can be read.
    pub readable: bool,
    /// Writing, or failing to.
    pub writable: bool,
    /// The source has an error to tell.
    pub error: bool,
}

impl Ready {
    /// Ready for reading only.
    pub const READABLE: Self = Self { readable: true, writable: false, error: false };
    /// Ready for writing only.
    pub const WRITABLE: Self = Self { readable: false, writable: true, error: false };

    fn of(event: &Event) -> Self {
        Self {
            readable: event.is_readable() || event.is_read_closed(),
            writable: event.is_writable() || event.is_write_closed(),
            error: event.is_error(),
        }
    }

    fn is_nothing(self) -> bool {
        self == Self::default()
    }

    fn add(&mut self, other: Self) {
        self.readable |= other.readable;
        self.writable |= other.writable;
        self.error |= other.error;
    }
}

type Handler<S> = Box<dyn FnMut(&mut S, &mut RunLoop<S>, Ready)>;
type Task<S> = Box<dyn FnOnce(&mut S, &mut RunLoop<S>)>;

struct Slot<S> {
    /// Absent while it runs.
    handler: Option<Handler<S>>,
    /// What it is to be called for in the coming turn; the source is in the ready list if there is something.
    pending: Ready,
}

impl<S> Slot<S> {
    fn add(&mut self, ready: Ready, id: SourceId, list: &mut Vec<SourceId>) {
        if self.pending.is_nothing() && !ready.is_nothing() {
            list.push(id);
        }
        self.pending.add(ready);
    }
}

/// Calls handlers when sources are ready, when times come and when somebody asks, on one thread.
///
/// The loop owns no state of the program: `S` is handed to [`RunLoop::run`] and passed down into each handler, so
/// handlers keep ids and nothing is shared.
///
/// Readiness is edge-triggered: a handler goes on until the source would block, or, at the end of its budget,
/// asks to be called again by [`RunLoop::again`]; then it is, once every other source has had its turn.
///
/// A turn is: wait (not at all if something is left to do), then what other threads asked for, handlers, timers
/// that are due, tasks for later.
pub struct RunLoop<S> {
    poll: Poll,
    events: Events,
    sources: Arena<SourceKind, Slot<S>>,
    /// Sources with something pending, each once.
    ready: Vec<SourceId>,
    /// The memory of the ready list before.
    spare: Vec<SourceId>,
    timers: Timers<Task<S>>,
    later: VecDeque<Task<S>>,
    performer: Performer<S>,
    stats: LoopStats,
    stopped: bool,
}

impl<S: 'static> RunLoop<S> {
    /// A loop with nothing to do.
    ///
    /// # Errors
    /// When the system refuses what the loop waits with.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_A_TURN),
            sources: Arena::new(),
            ready: Vec::new(),
            spare: Vec::new(),
            timers: Timers::new(),
            later: VecDeque::new(),
            performer: Performer::new(waker),
            stats: LoopStats::default(),
            stopped: false,
        })
    }

    /// Calls `handler` whenever `source` becomes ready for something of `interest`.
    ///
    /// # Errors
    /// When the system refuses the source.
    pub fn register<E: Source + ?Sized>(
        &mut self,
        source: &mut E,
        interest: Interest,
        handler: impl FnMut(&mut S, &mut Self, Ready) + 'static,
    ) -> io::Result<SourceId> {
        let id = self.sources.insert(Slot { handler: Some(Box::new(handler)), pending: Ready::default() });
        match self.poll.registry().register(source, token(id), interest) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.sources.remove(id);
                Err(error)
            }
        }
    }

    /// Forgets a source; its handler is not called any more.
    pub fn deregister<E: Source + ?Sized>(&mut self, source: &mut E, id: SourceId) {
        if self.sources.remove(id).is_some()
            && let Err(error) = self.poll.registry().deregister(source)
        {
            log::debug!("cannot deregister {id}: {error}");
        }
    }

    /// Calls the handler of a source again in the next turn, for `ready`, without waiting for an event.
    pub fn again(&mut self, id: SourceId, ready: Ready) {
        if let Some(slot) = self.sources.get_mut(id) {
            slot.add(ready, id, &mut self.ready);
        }
    }

    /// Calls `handler` with the number of each of these signals that arrives. Signals of one kind that arrive
    /// together count as one.
    ///
    /// # Errors
    /// When the system refuses one of the signals.
    pub fn on_signals(
        &mut self,
        signals: &[i32],
        mut handler: impl FnMut(&mut S, &mut Self, i32) + 'static,
    ) -> io::Result<SourceId> {
        let mut source = Signals::new(signals)?;
        let id = self.sources.insert(Slot { handler: None, pending: Ready::default() });
        if let Err(error) = self.poll.registry().register(&mut source, token(id), Interest::READABLE) {
            self.sources.remove(id);
            return Err(error);
        }
        if let Some(slot) = self.sources.get_mut(id) {
            slot.handler = Some(Box::new(move |state, run_loop, _| {
                for signal in source.pending() {
                    handler(state, run_loop, signal);
                }
            }));
        }
        Ok(id)
    }

    /// Runs `task` once when `at` has come: not before, and as a rule at most about a millisecond after.
    pub fn set_timer(&mut self, at: Time, task: impl FnOnce(&mut S, &mut Self) + 'static) -> TimerId {
        self.timers.insert(at, Box::new(task))
    }

    /// Drops a timer if it has not fired.
    pub fn cancel_timer(&mut self, id: TimerId) {
        self.timers.remove(id);
    }

    /// Runs `task` at the end of this turn, or of the next if tasks for later are being run already.
    pub fn do_later(&mut self, task: impl FnOnce(&mut S, &mut Self) + 'static) {
        self.later.push_back(Box::new(task));
    }

    /// A way into this loop for other threads.
    pub fn performer(&self) -> Performer<S> {
        self.performer.clone()
    }

    /// Has [`RunLoop::run`] return after this turn.
    pub const fn stop(&mut self) {
        self.stopped = true;
    }

    /// What the loop measured so far.
    pub const fn stats(&self) -> &LoopStats {
        &self.stats
    }

    /// What the loop measured so far, for adding to it.
    pub const fn stats_mut(&mut self) -> &mut LoopStats {
        &mut self.stats
    }

    /// Runs until [`RunLoop::stop`].
    ///
    /// # Errors
    /// When waiting for events fails.
    pub fn run(&mut self, state: &mut S) -> io::Result<()> {
        self.stopped = false;
        while !self.stopped {
            self.turn(state, None)?;
        }
        Ok(())
    }

    /// Runs one turn; waits at most for `limit` if that is given.
    ///
    /// # Errors
    /// When waiting for events fails.
    pub fn turn(&mut self, state: &mut S, limit: Option<Duration>) -> io::Result<()> {
        let patience = self.patience(limit);
        match self.poll.poll(&mut self.events, patience) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let begun = clock::now();
        if self.collect_events() {
            for task in self.performer.take() {
                task(state, self);
            }
        }
        self.call_handlers(state);
        let (now, mark) = (clock::now(), self.timers.mark());
        while let Some(task) = self.timers.pop_due(now, mark) {
            task(state, self);
        }
        for _ in 0..self.later.len() {
            if let Some(task) = self.later.pop_front() {
                task(state, self);
            }
        }
        self.stats.record_turn(clock::now().since(begun));
        Ok(())
    }

    /// How long the loop may wait. The poller rounds up to milliseconds, so that it neither wakes too early nor
    /// spins until a time has come.
    fn patience(&self, limit: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() || !self.later.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.next_time().map(|at| at.since(clock::now()));
        match (next, limit) {
            (Some(next), Some(limit)) => Some(next.min(limit)),
            (next, limit) => next.or(limit),
        }
    }

    /// Puts the sources of the events into the ready list, after those that asked to be called again. Returns
    /// whether another thread woke the loop.
    fn collect_events(&mut self) -> bool {
        let mut woken = false;
        for event in &self.events {
            if event.token() == WAKER {
                woken = true;
                continue;
            }
            // An event of a source that has gone may reach another that took its place: it counts as spurious.
            let id = u32::try_from(event.token().0).ok().and_then(|index| self.sources.id_at(index));
            if let Some(id) = id
                && let Some(slot) = self.sources.get_mut(id)
            {
                slot.add(Ready::of(event), id, &mut self.ready);
            }
        }
        woken
    }

    fn call_handlers(&mut self, state: &mut S) {
        let mut list = std::mem::replace(&mut self.ready, std::mem::take(&mut self.spare));
        let mut rest = list.drain(..);
        let end = clock::now() + HANDLERS_A_TURN;
        for id in rest.by_ref() {
            let Some(slot) = self.sources.get_mut(id) else { continue };
            let ready = std::mem::take(&mut slot.pending);
            let Some(mut handler) = slot.handler.take() else { continue };
            handler(state, self, ready);
            if let Some(slot) = self.sources.get_mut(id) {
                slot.handler = Some(handler);
            }
            if clock::now() >= end {
                break;
            }
        }
        self.ready.splice(0..0, rest);
        self.spare = list;
    }
}

impl<S> Drop for RunLoop<S> {
    fn drop(&mut self) {
        self.performer.close();
    }
}

impl<S> fmt::Debug for RunLoop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunLoop").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

fn token(id: SourceId) -> Token {
    Token(id.index() as usize)
}
