//! Runs a service: carries its actions out and feeds it what happens.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Counters, Input, Service, Time, Visit};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{Performer, RunLoop, TimerId, clock};

mod config;
mod datagrams;
mod group;
mod jobs;
mod listeners;
mod names;
mod service_hook;
mod streams;

pub use config::{Config, Error, Report, SignalHook};
use datagrams::Datagrams;
pub use group::{Member, run_group};
use jobs::Jobs;
use listeners::Listeners;
use names::Names;
pub use service_hook::ServiceHook;
use streams::Streams;

/// How many actions are carried out before sources get their turn again.
const ACTIONS_A_TURN: usize = 4096;
/// How many batches are sent before sources get their turn again.
const BATCHES_A_TURN: usize = 8;
/// How often sending leads to more actions before sources get their turn again.
const ROUNDS_A_TURN: usize = 4;
/// How often the service hears of the loop's latency.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// Runs a service on this thread until it has finished.
///
/// # Errors
/// When it cannot be started, when it finishes with an error, or when it has to be left.
pub fn run(service: Box<dyn Service>, config: Config) -> Result<Report, Error> {
    let mut run_loop = RunLoop::new().map_err(|error| Error::Start(error.to_string()))?;
    run_on(&mut run_loop, service, config)
}

/// Runs a service on a thread of its own; `make` makes it there.
///
/// # Errors
/// When the system refuses the thread or the loop.
pub fn spawn(
    make: impl FnOnce() -> Box<dyn Service> + Send + 'static,
    config: Config,
) -> Result<Handle, Error> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let body = move || {
        let mut run_loop = RunLoop::new().map_err(|error| Error::Start(error.to_string()))?;
        // Nobody listens if `spawn` failed, which it does only with this thread.
        let _ = sender.send(run_loop.performer());
        run_on(&mut run_loop, make(), config)
    };
    let thread = thread::Builder::new().name("host".to_owned()).spawn(body);
    let thread = thread.map_err(|error| Error::Start(error.to_string()))?;
    match receiver.recv() {
        Ok(performer) => Ok(Handle { performer, thread }),
        Err(_) => Err(join(thread).err().unwrap_or(Error::Panicked)),
    }
}

fn join(thread: thread::JoinHandle<Result<Report, Error>>) -> Result<Report, Error> {
    thread.join().unwrap_or(Err(Error::Panicked))
}

/// A service that runs on a thread of its own. Dropping the handle lets it run on.
#[derive(Debug)]
pub struct Handle {
    performer: Performer<Host>,
    thread: thread::JoinHandle<Result<Report, Error>>,
}

impl Handle {
    /// Tells the service to drain.
    pub fn drain(&self) {
        self.performer.perform(|host, run_loop| host.drain(run_loop));
    }

    /// Tells the service to stop; if it has not finished after [`Config::stop_patience`], it is left.
    pub fn stop(&self) {
        self.performer.perform(|host, run_loop| host.stop(run_loop));
    }

    /// Waits until the service has finished.
    ///
    /// # Errors
    /// As [`run`].
    pub fn join(self) -> Result<Report, Error> {
        join(self.thread)
    }
}

fn run_on(
    run_loop: &mut RunLoop<Host>,
    service: Box<dyn Service>,
    mut config: Config,
) -> Result<Report, Error> {
    let start = |error: io::Error| Error::Start(error.to_string());
    if config.signals {
        let on_signal = |host: &mut Host, run_loop: &mut RunLoop<Host>, _| host.end_signal(run_loop);
        run_loop.on_signals(&[SIGTERM, SIGINT], on_signal).map_err(start)?;
    }
    if let Some(SignalHook { signals, mut call }) = config.signal_hook.take() {
        let on_signal = move |host: &mut Host, run_loop: &mut RunLoop<Host>, signal| {
            call(signal, &host.report(run_loop));
        };
        run_loop.on_signals(&signals, on_signal).map_err(start)?;
    }
    if let Some(ServiceHook { signals, mut call }) = config.service_hook.take() {
        let on_signal = move |host: &mut Host, run_loop: &mut RunLoop<Host>, signal| {
            let report = host.report(run_loop);
            call(signal, &mut *host.service, clock::now(), &report);
            host.plan_turn(run_loop);
        };
        run_loop.on_signals(&signals, on_signal).map_err(start)?;
    }
    run_host(run_loop, Host::new(service, config).map_err(start)?)
}

fn run_host(run_loop: &mut RunLoop<Host>, mut host: Host) -> Result<Report, Error> {
    host.plan_turn(run_loop);
    run_loop.run(&mut host).map_err(|error| Error::Loop(error.to_string()))?;
    let report = host.report(run_loop);
    match host.outcome {
        None | Some(Ok(())) => Ok(report),
        Some(Err(error)) => Err(error),
    }
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Running,
    Draining,
    Stopping,
}

/// The state that the run loop hands down.
struct Host {
    service: Box<dyn Service>,
    datagrams: Datagrams,
    batch: Batch,
    listeners: Listeners,
    streams: Streams,
    names: Names,
    jobs: Jobs,
    timeout: Option<TimerId>,
    /// When the service is to hear of the loop's latency.
    measure_at: Time,
    /// Whether the service will be polled at the end of this turn.
    turn_planned: bool,
    phase: Phase,
    stop_patience: Duration,
    outcome: Option<Result<(), Error>>,
}

impl Host {
    fn new(service: Box<dyn Service>, config: Config) -> io::Result<Self> {
        Ok(Self {
            service,
            datagrams: Datagrams::new(config.udp_buffer),
            batch: Batch::default(),
            listeners: Listeners::default(),
            streams: Streams::new(config.tcp),
            names: Names::new(config.resolver),
            jobs: Jobs::new(config.crypto_threads, config.max_jobs)?,
            timeout: None,
            measure_at: clock::now() + MEASURE_INTERVAL,
            turn_planned: false,
            phase: Phase::Running,
            stop_patience: config.stop_patience,
            outcome: None,
        })
    }

    /// Feeds one input, and has the service polled once all of this turn are in.
    fn feed(&mut self, run_loop: &mut RunLoop<Self>, input: Input<'_>) {
        self.service.handle(clock::now(), input);
        self.plan_turn(run_loop);
    }

    fn plan_turn(&mut self, run_loop: &mut RunLoop<Self>) {
        if !self.turn_planned {
            self.turn_planned = true;
            run_loop.do_later(Self::turn);
        }
    }

    /// Polls the service for all that it wants: actions, datagrams, the next time-out.
    fn turn(&mut self, run_loop: &mut RunLoop<Self>) {
        self.turn_planned = false;
        self.tell_latency(run_loop);
        let mut actions = ACTIONS_A_TURN;
        let mut batches = BATCHES_A_TURN;
        for round in 0..ROUNDS_A_TURN {
            let acted = self.poll_actions(run_loop, &mut actions);
            if round > 0 && !acted {
                break;
            }
            self.poll_transmit(&mut batches);
            if actions == 0 || batches == 0 || round == ROUNDS_A_TURN - 1 {
                self.plan_turn(run_loop);
                break;
            }
        }
        self.datagrams.close_planned(run_loop);
        self.set_timeout(run_loop);
        if self.outcome.is_some() {
            run_loop.stop();
        }
    }

    fn tell_latency(&mut self, run_loop: &mut RunLoop<Self>) {
        let now = clock::now();
        if now >= self.measure_at {
            self.measure_at = now + MEASURE_INTERVAL;
            if let Some(latency) = run_loop.stats_mut().take_recent() {
                self.service.loop_latency(now, latency);
            }
        }
    }

    /// Carries actions out, `budget` of them at most. Returns whether there was one.
    fn poll_actions(&mut self, run_loop: &mut RunLoop<Self>, budget: &mut usize) -> bool {
        let mut any = false;
        while *budget > 0
            && self.outcome.is_none()
            && let Some(action) = self.service.poll_action(clock::now())
        {
            *budget -= 1;
            any = true;
            self.act(run_loop, action);
        }
        any
    }

    fn act(&mut self, run_loop: &mut RunLoop<Self>, action: Action) {
        match action {
            Action::OpenUdp { socket, options } => self.open_udp(run_loop, socket, options),
            Action::CloseUdp { socket } => self.datagrams.plan_close(socket),
            Action::Listen { listener, address } => self.listen(run_loop, listener, address),
            Action::CloseListener { listener } => self.listeners.close(run_loop, listener),
            Action::Connect { stream, to, dscp } => self.connect(run_loop, stream, to, dscp),
            Action::StreamDscp { stream, dscp } => self.streams.set_dscp(stream, dscp),
            Action::WantWrite { stream } => self.streams.want_write(run_loop, stream),
            Action::PauseRead { stream, paused } => self.streams.pause_read(run_loop, stream, paused),
            Action::EndWrite { stream } => self.streams.end_write(run_loop, stream),
            Action::Finish { stream } => self.finish(run_loop, stream),
            Action::Abort { stream } => self.streams.abort(run_loop, stream),
            Action::Resolve { name, host, port } => self.resolve(run_loop, name, host, port),
            Action::Run(job) => self.run_job(run_loop, job),
            Action::Announce(line) => announce(&line),
            Action::Finished(result) => self.outcome = Some(result.map_err(Error::Service)),
        }
    }

    /// Sends what the service has, `budget` batches at most, as long as some socket takes it.
    fn poll_transmit(&mut self, budget: &mut usize) {
        while *budget > 0 && !self.datagrams.all_blocked() {
            self.batch.clear();
            self.service.poll_transmit(clock::now(), &mut self.batch);
            if self.batch.is_empty() {
                break;
            }
            *budget -= 1;
            self.datagrams.send(&self.batch);
        }
    }

    fn set_timeout(&mut self, run_loop: &mut RunLoop<Self>) {
        let wanted = self.service.poll_timeout().filter(|at| !at.is_never());
        if self.timeout.map(TimerId::at) == wanted {
            return;
        }
        if let Some(timer) = self.timeout.take() {
            run_loop.cancel_timer(timer);
        }
        self.timeout = wanted.map(|at: Time| run_loop.set_timer(at, Self::on_timeout));
    }

    fn on_timeout(&mut self, run_loop: &mut RunLoop<Self>) {
        self.timeout = None;
        self.feed(run_loop, Input::Timeout);
    }

    fn end_signal(&mut self, run_loop: &mut RunLoop<Self>) {
        match self.phase {
            Phase::Running => self.drain(run_loop),
            Phase::Draining => self.stop(run_loop),
            Phase::Stopping => self.force(run_loop),
        }
    }

    fn drain(&mut self, run_loop: &mut RunLoop<Self>) {
        if self.phase < Phase::Draining {
            self.phase = Phase::Draining;
            self.feed(run_loop, Input::Drain);
        }
    }

    fn stop(&mut self, run_loop: &mut RunLoop<Self>) {
        if self.phase < Phase::Stopping {
            self.phase = Phase::Stopping;
            self.feed(run_loop, Input::Stop);
            run_loop.set_timer(clock::now() + self.stop_patience, Self::force);
        }
    }

    /// Leaves the service where it is.
    fn force(&mut self, run_loop: &mut RunLoop<Self>) {
        if self.outcome.is_none() {
            announce("Forced to end before everything was finished.");
            self.outcome = Some(Err(Error::Forced));
        }
        run_loop.stop();
    }

    fn report(&self, run_loop: &RunLoop<Self>) -> Report {
        let mut counters = self.to_list();
        self.service.count(&mut |name, value| counters.push((name, value)));
        Report { stats: run_loop.stats().clone(), counters, members: Vec::new() }
    }
}

impl Counters for Host {
    fn visit(&self, visit: &mut Visit<'_>) {
        self.datagrams.counters.visit(visit);
        self.listeners.counters.visit(visit);
        self.streams.counters.visit(visit);
        self.names.counters.visit(visit);
        self.jobs.visit(visit);
    }
}

/// Writes a line for people. If nobody can read it, so be it.
fn announce(line: &str) {
    // In one piece, so that what others write at the same time does not get between.
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}
