//! Several services, each with a loop and a thread of its own, that begin and end together.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rtmfp_base::Service;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::config::SignalCall;
use super::{Config, Error, Host, Phase, Report, SignalHook, announce, run_on};
use crate::{Performer, RunLoop};

type Make = Box<dyn FnOnce() -> Box<dyn Service> + Send>;

/// One of several services that run together.
pub struct Member {
    name: String,
    make: Make,
    config: Config,
}

impl Member {
    /// A service that `make` makes on its thread. The name is that of the thread, and stands in reports. What the
    /// settings say of signals is not for a member.
    pub fn new(
        name: impl Into<String>,
        make: impl FnOnce() -> Box<dyn Service> + Send + 'static,
        config: Config,
    ) -> Self {
        let config = Config { signals: false, signal_hook: None, ..config };
        Self { name: name.into(), make: Box::new(make), config }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs several services, each on a thread of its own, until all have finished. This thread takes the signals: the
/// first SIGTERM or SIGINT drains all, the second stops all, the third leaves them where they are. A service that
/// ends badly stops the others. The report is the sum of all, and has each by its name.
///
/// A hook gets the report once each service has given its part.
///
/// # Errors
/// When they cannot be started; the first error of one of them; when they have to be left.
pub fn run_group(members: Vec<Member>, hook: Option<SignalHook>) -> Result<Report, Error> {
    let mut run_loop = RunLoop::new().map_err(start_error)?;
    let on_signal = |group: &mut Group, run_loop: &mut RunLoop<Group>, _| group.end_signal(run_loop);
    run_loop.on_signals(&[SIGTERM, SIGINT], on_signal).map_err(start_error)?;
    let mut group = Group::default();
    if let Some(SignalHook { signals, call }) = hook {
        group.call = Some(call);
        let on_signal =
            |group: &mut Group, run_loop: &mut RunLoop<Group>, signal| group.gather(run_loop, signal);
        run_loop.on_signals(&signals, on_signal).map_err(start_error)?;
    }
    for member in members {
        if let Err(error) = group.start(&run_loop, member) {
            group.fail(error);
            break;
        }
    }
    if group.running > 0 {
        run_loop.run(&mut group).map_err(|error| Error::Loop(error.to_string()))?;
    }
    match group.error {
        Some(error) => Err(error),
        None => Ok(Report::of(group.seats.into_iter().map(Seat::into_report).collect())),
    }
}

fn start_error(error: impl fmt::Display) -> Error {
    Error::Start(error.to_string())
}

/// What the thread that waits for the members knows.
struct Group {
    seats: Vec<Seat>,
    running: usize,
    phase: Phase,
    error: Option<Error>,
    call: Option<SignalCall>,
    /// The signals that a report is being gathered for, each once.
    asked: Vec<i32>,
}

impl Default for Group {
    fn default() -> Self {
        Self {
            seats: Vec::new(),
            running: 0,
            phase: Phase::Running,
            error: None,
            call: None,
            asked: Vec::new(),
        }
    }
}

struct Seat {
    name: String,
    performer: Performer<Host>,
    /// Its last report: the final one once it has ended.
    report: Report,
    /// Whether its part of a report is missing.
    owes: bool,
    ended: bool,
}

impl Seat {
    fn into_report(self) -> (String, Report) {
        (self.name, self.report)
    }
}

/// Tells the group how a member has ended, also when its thread panics.
struct Farewell {
    group: Performer<Group>,
    number: usize,
    result: Result<Report, Error>,
}

impl Farewell {
    fn attend(&mut self, life: impl FnOnce() -> Result<Report, Error>) {
        self.result = life();
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let number = self.number;
        let result = std::mem::replace(&mut self.result, Err(Error::Panicked));
        self.group.perform(move |group, run_loop| group.ended(run_loop, number, result));
    }
}

impl Group {
    fn start(&mut self, run_loop: &RunLoop<Self>, member: Member) -> Result<(), Error> {
        let Member { name, make, config } = member;
        let (sender, receiver) = channel();
        let mut farewell =
            Farewell { group: run_loop.performer(), number: self.seats.len(), result: Err(Error::Panicked) };
        let body = move || farewell.attend(|| serve(&sender, make, config));
        thread::Builder::new().name(name.clone()).spawn(body).map_err(start_error)?;
        let performer = receiver.recv().map_err(|_| start_error("a thread has no run loop"))?;
        self.seats.push(Seat { name, performer, report: Report::default(), owes: false, ended: false });
        self.running += 1;
        Ok(())
    }

    /// A member has ended.
    fn ended(&mut self, run_loop: &mut RunLoop<Self>, number: usize, result: Result<Report, Error>) {
        let Some(seat) = self.seats.get_mut(number) else { return };
        (seat.ended, seat.owes) = (true, false);
        self.running -= 1;
        match result {
            Ok(report) => seat.report = report,
            Err(error) => self.fail(error),
        }
        self.give_report();
        if self.running == 0 {
            run_loop.stop();
        }
    }

    /// The first error counts; the others are stopped.
    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
        self.stop();
    }

    fn end_signal(&mut self, run_loop: &mut RunLoop<Self>) {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Draining;
                for seat in &self.seats {
                    seat.performer.perform(Host::drain);
                }
            }
            Phase::Draining => self.stop(),
            Phase::Stopping => {
                announce("Forced to end before everything was finished.");
                self.error.get_or_insert(Error::Forced);
                run_loop.stop();
            }
        }
    }

    fn stop(&mut self) {
        if self.phase < Phase::Stopping {
            self.phase = Phase::Stopping;
            for seat in &self.seats {
                seat.performer.perform(Host::stop);
            }
        }
    }

    /// Asks all for their parts of a report, unless they are being asked already; then this is for that signal as well.
    fn gather(&mut self, run_loop: &RunLoop<Self>, signal: i32) {
        let is_asking = !self.asked.is_empty();
        if !self.asked.contains(&signal) {
            self.asked.push(signal);
        }
        if is_asking {
            return;
        }
        for (number, seat) in self.seats.iter_mut().enumerate() {
            let group = run_loop.performer();
            seat.owes = !seat.ended
                && seat.performer.perform(move |host, run_loop| {
                    let report = host.report(run_loop);
                    group.perform(move |group, _| group.reported(number, report));
                });
        }
        self.give_report();
    }

    fn reported(&mut self, number: usize, report: Report) {
        if let Some(seat) = self.seats.get_mut(number).filter(|seat| seat.owes) {
            (seat.report, seat.owes) = (report, false);
            self.give_report();
        }
    }

    /// Gives a report that was asked for, once nothing of it is missing.
    fn give_report(&mut self) {
        if self.seats.iter().any(|seat| seat.owes) {
            return;
        }
        let asked = std::mem::take(&mut self.asked);
        if let Some(call) = self.call.as_mut().filter(|_| !asked.is_empty()) {
            let members = self.seats.iter().map(|seat| (seat.name.clone(), seat.report.clone()));
            let report = Report::of(members.collect());
            asked.into_iter().for_each(|signal| call(signal, &report));
        }
    }
}

/// The life of a member's thread.
fn serve(sender: &Sender<Performer<Host>>, make: Make, config: Config) -> Result<Report, Error> {
    let mut run_loop = RunLoop::new().map_err(start_error)?;
    // Nobody listens if the group has failed to start.
    let _ = sender.send(run_loop.performer());
    run_on(&mut run_loop, make(), config)
}
