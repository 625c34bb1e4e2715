use core::any::Any;
use core::fmt;

/// Names a [`Job`] among those of its service.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JobId(pub u64);

/// What a job computed; its owner knows the type.
pub type JobResult = Box<dyn Any + Send>;

/// Work that takes long enough to keep it off the run loop (public-key cryptography). It carries all that it
/// needs, random bytes included, so it can run anywhere: inline, on a worker thread, late, or never.
pub struct Job {
    /// Names it in [`JobDone`].
    pub id: JobId,
    work: Box<dyn FnOnce() -> JobResult + Send>,
}

impl Job {
    /// A job from its work.
    pub fn new(id: JobId, work: impl FnOnce() -> JobResult + Send + 'static) -> Self {
        Self { id, work: Box::new(work) }
    }

    /// Does the work.
    pub fn run(self) -> JobDone {
        JobDone { id: self.id, result: (self.work)() }
    }

    /// Takes the work out, to be wrapped in a job with another id.
    pub fn into_work(self) -> Box<dyn FnOnce() -> JobResult + Send> {
        self.work
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.id.0)
    }
}

/// A job that has run.
pub struct JobDone {
    /// Which one.
    pub id: JobId,
    /// What it computed.
    pub result: JobResult,
}

impl fmt::Debug for JobDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobDone({})", self.id.0)
    }
}
