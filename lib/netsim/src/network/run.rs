use core::time::Duration;

use rtmfp_base::{Input, Time};

use super::Network;
use crate::HostId;
use crate::event::{Event, Life};
use crate::host::{Timer, Waiting, Work};

/// The passing of time.
impl Network {
    /// Goes to the next time at which anything happens, delivers all that is due then and polls the hosts
    /// concerned. `false`: nothing is left to happen.
    ///
    /// # Panics
    /// This and all other methods that run the network: when a host needs more than [`Config::max_work`](crate::Config::max_work)
    /// without time passing, or a service opens a socket, listener or stream with a number that is in use.
    pub fn step(&mut self) -> bool {
        self.step_until(Time::MAX)
    }

    /// Runs until a time, and all that happens at that time too.
    pub fn run_until(&mut self, end: Time) {
        while self.step_until(end) {}
        if !end.is_never() {
            self.now = self.now.max(end);
        }
    }

    /// Runs for a time.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Runs until nothing is left to happen, not even a timeout, or at most for `limit`. Whether nothing is
    /// left.
    pub fn run_until_idle(&mut self, limit: Duration) -> bool {
        let end = self.now + limit;
        while self.step_until(end) {}
        self.reach(end);
        self.next_time().is_none()
    }

    /// Runs while a condition holds, looking at it after each step, or at most for `limit`. Whether the
    /// condition ended.
    pub fn run_while(&mut self, limit: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while condition(self) {
            if !self.step_until(end) {
                self.reach(end);
                return !condition(self);
            }
        }
        true
    }

    /// Ends a run at its limit. One that had nothing left to do ended before.
    fn reach(&mut self, end: Time) {
        if self.next_time().is_some() {
            self.now = self.now.max(end);
        }
    }

    fn step_until(&mut self, end: Time) -> bool {
        let polled = self.poll_touched();
        let Some(at) = self.next_time().filter(|at| *at <= end) else { return polled };
        self.now = at;
        while self.next_time() == Some(at) {
            if let Some(event) = self.queue.pop() {
                self.happen(event);
            }
        }
        self.poll_touched();
        true
    }

    fn poll_touched(&mut self) -> bool {
        let any = !self.touched.is_empty();
        while let Some(id) = self.touched.pop_front() {
            self.host_mut(id).touched = false;
            self.poll(id);
        }
        any
    }

    /// When the next thing happens. Forgets what was to happen and does not any more.
    fn next_time(&mut self) -> Option<Time> {
        loop {
            let (at, event) = self.queue.peek()?;
            let moved_to = match event {
                Event::Timer(host) => {
                    let host = *host;
                    let timer = &mut self.host_mut(host).timer;
                    let counts = timer.armed == Some(at);
                    let deadline = timer.deadline.filter(|_| counts);
                    if counts && deadline != Some(at) {
                        timer.armed = deadline;
                    }
                    (deadline, Event::Timer(host))
                }
                Event::Check(conn, side) => {
                    let (conn, side) = (*conn, *side);
                    let config = self.config.streams;
                    let end = self.conns.get_mut(conn).and_then(|conn| conn.end_mut(side));
                    let end = end.filter(|end| end.check == Some(at));
                    let deadline = end.and_then(|end| {
                        end.check = end.deadline(&config).map(|(at, _)| at);
                        end.check
                    });
                    (deadline, Event::Check(conn, side))
                }
                _ => return Some(at),
            };
            match moved_to {
                (Some(deadline), _) if deadline <= at => return Some(at),
                (Some(deadline), event) => {
                    self.queue.pop();
                    self.queue.push(deadline, event);
                }
                (None, _) => {
                    self.queue.pop();
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Packet(packet, stage) => self.packet_at(packet, stage),
            Event::Segment(segment, stage) => self.segment_at(segment, stage),
            Event::Timer(host) => {
                self.host_mut(host).timer = Timer::default();
                self.worked(host);
                self.tell(host, Input::Timeout);
            }
            Event::Input(life, input) => {
                if self.alive(life) && self.still_matters(life.host, &input) {
                    self.tell(life.host, *input);
                }
            }
            Event::Job(life, job) => {
                if self.alive(life) {
                    self.tell(life.host, Input::JobDone(job.run()));
                }
            }
            Event::Unread(conn, side) => self.read(conn, side),
            Event::Check(conn, side) => self.expire(conn, side),
        }
    }

    /// Whether what is to be told was not overtaken by an action.
    fn still_matters(&self, host: HostId, input: &Input<'_>) -> bool {
        let host = self.host(host);
        match input {
            Input::UdpReady { socket, result: Ok(_) } | Input::PathError { socket, .. } => {
                host.sockets.address(*socket).is_some()
            }
            Input::ListenReady { listener, result: Ok(_) } => host.listeners.address(*listener).is_some(),
            _ => true,
        }
    }

    fn alive(&self, life: Life) -> bool {
        let host = self.host(life.host);
        host.runs() && host.life == life
    }

    /// Tells a service something, now or when it wakes up.
    pub(super) fn tell(&mut self, id: HostId, input: Input<'static>) {
        let sleep = &mut self.host_mut(id).sleep;
        if sleep.asleep {
            sleep.inbox.push_back(Waiting::Input(input));
        } else {
            self.deliver(id, input);
        }
    }

    /// Hands an input to a service, which must not be asleep.
    pub(super) fn deliver(&mut self, id: HostId, input: Input<'_>) {
        let host = &mut self.hosts[id.0 as usize];
        if !host.runs() {
            return;
        }
        self.trace.time(self.now);
        self.trace.word(u64::from(id.0));
        self.trace.input(&input);
        self.log.line(self.now, || format!("{} gets {}", host.name, crate::trace::describe(&input)));
        host.service.handle(host.clock.local(self.now), input);
        self.touch(id);
    }

    pub(super) fn queue_input(&mut self, at: Time, host: HostId, input: Input<'static>) {
        let life = self.host(host).life;
        self.queue.push(at, Event::Input(life, Box::new(input)));
    }

    pub(super) fn touch(&mut self, id: HostId) {
        let host = self.host_mut(id);
        if !host.touched {
            host.touched = true;
            self.touched.push_back(id);
        }
    }

    /// Counts something that a service did; ends the run when it is caught in a loop.
    pub(super) fn worked(&mut self, id: HostId) {
        let (now, seed, limit) = (self.now, self.seed, self.config.max_work);
        let host = self.host_mut(id);
        if host.work.since != now {
            host.work = Work { since: now, done: 0 };
        }
        host.work.done += 1;
        assert!(
            host.work.done <= limit,
            "{} needs more than {limit} steps without time passing, at {now} with seed {seed}",
            host.name
        );
    }
}
