//! The jobs of a service: on worker threads, or on the loop where there are none.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use rtmfp_base::{Counters, Input, Job, Time, Visit};

use super::Host;
use crate::worker::{QueueFull, Worker, contain};
use crate::{RunLoop, clock};

/// How long jobs may hold the loop in one turn before no other is begun.
const INLINE_BUDGET: Duration = Duration::from_millis(1);

pub(super) struct Jobs {
    place: Place,
    limit: usize,
    done: u64,
    refused: u64,
}

enum Place {
    Workers(Worker),
    Inline { queue: VecDeque<(Job, Time)>, lost: u64 },
}

impl Jobs {
    pub(super) fn new(threads: usize, limit: usize) -> io::Result<Self> {
        let place = if threads == 0 {
            Place::Inline { queue: VecDeque::new(), lost: 0 }
        } else {
            Place::Workers(Worker::new("crypto", threads, limit)?)
        };
        Ok(Self { place, limit, done: 0, refused: 0 })
    }
}

impl Counters for Jobs {
    fn visit(&self, visit: &mut Visit<'_>) {
        let lost = match &self.place {
            Place::Workers(worker) => worker.lost(),
            Place::Inline { lost, .. } => *lost,
        };
        visit("jobs_done", self.done);
        visit("jobs_refused", self.refused);
        visit("jobs_panicked", lost);
    }
}

impl Host {
    pub(super) fn run_job(&mut self, run_loop: &mut RunLoop<Self>, job: Job) {
        let asked = clock::now();
        let jobs = &mut self.jobs;
        let taken = match &mut jobs.place {
            Place::Workers(worker) => {
                let performer = run_loop.performer();
                worker.submit(move || {
                    let done = job.run();
                    performer.perform(move |host, run_loop| {
                        host.job_done(run_loop, asked, Input::JobDone(done));
                    });
                })
            }
            Place::Inline { queue, .. } if queue.len() >= jobs.limit => Err(QueueFull),
            Place::Inline { queue, .. } => {
                if queue.is_empty() {
                    run_loop.do_later(Self::run_inline);
                }
                queue.push_back((job, asked));
                Ok(())
            }
        };
        if let Err(QueueFull) = taken {
            jobs.refused += 1;
            log::warn!("a job is lost: {} wait already", jobs.limit);
        }
    }

    /// Runs jobs on the loop: at least one, and others as long as the turn stays short.
    fn run_inline(&mut self, run_loop: &mut RunLoop<Self>) {
        let begun = clock::now();
        loop {
            let Place::Inline { queue, lost } = &mut self.jobs.place else { return };
            let Some((job, asked)) = queue.pop_front() else { return };
            match contain("crypto", || job.run()) {
                Some(done) => self.job_done(run_loop, asked, Input::JobDone(done)),
                None => *lost += 1,
            }
            if clock::now().since(begun) >= INLINE_BUDGET {
                break;
            }
        }
        if let Place::Inline { queue, .. } = &self.jobs.place
            && !queue.is_empty()
        {
            run_loop.do_later(Self::run_inline);
        }
    }

    fn job_done(&mut self, run_loop: &mut RunLoop<Self>, asked: Time, input: Input<'_>) {
        self.jobs.done += 1;
        run_loop.stats_mut().record_job(clock::now().since(asked));
        self.feed(run_loop, input);
    }
}
