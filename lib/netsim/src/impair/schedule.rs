use core::time::Duration;

use rtmfp_base::Time;

use super::{Direction, Setting};

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When, from the moment on at which all routes are open.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What a [`Step`] does.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Changes a direction, or both.
    Set(Option<Direction>, Vec<Setting>),
    /// Lets nothing pass in a direction, or in both: datagrams vanish, streams stand still.
    Block(Option<Direction>),
    /// Ends that.
    Unblock(Option<Direction>),
    /// Gives each UDP client another port towards the target, as a NAT box does that has forgotten it.
    Rebind,
    /// Resets all TCP connections.
    Reset,
    /// Begins anew, with the first settings and the first step.
    Repeat,
}

/// Steps in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schedule {
    steps: Vec<Step>,
    next: usize,
    /// What the times of the steps count from.
    origin: Option<Time>,
}

impl Schedule {
    /// A schedule of these steps; those of the same time happen in the order given.
    ///
    /// # Errors
    /// When nothing would ever come after a [`What::Repeat`], or it would happen all the time.
    pub fn new(mut steps: Vec<Step>) -> Result<Self, ScheduleError> {
        steps.sort_by_key(|step| step.at);
        let repeat = steps.iter().position(|step| step.what == What::Repeat);
        if let Some(index) = repeat {
            if steps[index].at < SHORTEST_ROUND {
                return Err(ScheduleError::RoundTooShort);
            }
            if index + 1 < steps.len() {
                return Err(ScheduleError::AfterRepeat);
            }
        }
        Ok(Self { steps, next: 0, origin: None })
    }

    /// The settings of all steps.
    pub(super) fn settings(&self) -> impl Iterator<Item = Setting> {
        self.steps.iter().flat_map(|step| {
            match &step.what {
                What::Set(_, settings) => settings.as_slice(),
                _ => &[],
            }
            .iter()
            .copied()
        })
    }

    pub(super) const fn start(&mut self, now: Time) {
        self.origin = Some(now);
    }

    /// When the next step is due.
    pub(super) fn next_time(&self) -> Option<Time> {
        Some(self.origin? + self.steps.get(self.next)?.at)
    }

    /// The next step if it is due.
    pub(super) fn next_due(&mut self, now: Time) -> Option<What> {
        let at = self.next_time().filter(|at| *at <= now)?;
        let what = self.steps.get(self.next)?.what.clone();
        if what == What::Repeat {
            self.next = 0;
            self.origin = Some(at);
        } else {
            self.next += 1;
        }
        Some(what)
    }
}

/// How long a schedule that repeats itself has to be.
const SHORTEST_ROUND: Duration = Duration::from_millis(10);

/// Why steps are no schedule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A step has a later time than the repetition, or the same.
    AfterRepeat,
    /// It repeats itself without time between.
    RoundTooShort,
}

impl core::fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::AfterRepeat => "'repeat' must be the last step, nothing comes after it",
            Self::RoundTooShort => "'repeat' must come 10 ms after the start at least",
        })
    }
}

impl core::error::Error for ScheduleError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(millis: u64, what: What) -> Step {
        Step { at: Duration::from_millis(millis), what }
    }

    #[test]
    fn steps_come_by_time_then_as_given_and_again_after_a_repeat() {
        let steps =
            vec![step(30, What::Repeat), step(10, What::Rebind), step(0, What::Reset), step(10, What::Reset)];
        let mut schedule = Schedule::new(steps).unwrap();
        assert_eq!(schedule.next_time(), None);
        schedule.start(Time::from_millis(1000));
        let mut happened = Vec::new();
        while let Some(at) = schedule.next_time().filter(|at| *at <= Time::from_millis(1045)) {
            assert_eq!(schedule.next_due(at - Duration::from_micros(1)), None);
            let what = schedule.next_due(at).unwrap();
            happened.push((at.since(Time::from_millis(1000)).as_millis(), what));
        }
        let round = |at| [(at, What::Reset), (at + 10, What::Rebind), (at + 10, What::Reset)];
        let expected = [&round(0)[..], &[(30, What::Repeat)], &round(30)].concat();
        assert_eq!(happened, expected);
    }

    #[test]
    fn a_repeat_is_the_last_step_and_takes_time() {
        let error = |steps| Schedule::new(steps).unwrap_err();
        assert_eq!(error(vec![step(9, What::Repeat)]), ScheduleError::RoundTooShort);
        assert_eq!(error(vec![step(50, What::Repeat), step(60, What::Reset)]), ScheduleError::AfterRepeat);
        assert_eq!(error(vec![step(50, What::Repeat), step(50, What::Repeat)]), ScheduleError::AfterRepeat);
    }
}
