use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use thiserror::Error;

type Task = Box<dyn FnOnce() + Send>;

/// The queue of a [`Worker`] holds as many tasks as it may.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the queue of the worker threads is full")]
pub struct QueueFull;

/// Threads that take tasks from one bounded queue, for what would hold up a run loop.
///
/// A task that panics is lost and logged at error; its thread goes on. Dropping the worker drops the tasks that
/// wait and lets its threads end after what they are at; it does not wait for them, because a look-up may hang
/// for minutes.
pub struct Worker {
    shared: Arc<Shared>,
}

struct Shared {
    name: &'static str,
    limit: usize,
    state: Mutex<State>,
    wake: Condvar,
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Task>,
    closed: bool,
}

impl Worker {
    /// Starts `threads` threads, at least one, over a queue of at most `limit` waiting tasks.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn new(name: &'static str, threads: usize, limit: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            limit,
            state: Mutex::default(),
            wake: Condvar::new(),
            lost: AtomicU64::new(0),
        });
        let worker = Self { shared };
        for _ in 0..threads.max(1) {
            let shared = Arc::clone(&worker.shared);
            thread::Builder::new().name(name.to_owned()).spawn(move || shared.work())?;
        }
        Ok(worker)
    }

    /// Has one of the threads run `task`.
    ///
    /// # Errors
    /// When as many tasks wait already as may.
    pub fn submit(&self, task: impl FnOnce() + Send + 'static) -> Result<(), QueueFull> {
        let mut state = self.shared.lock();
        if state.queue.len() >= self.shared.limit {
            return Err(QueueFull);
        }
        state.queue.push_back(Box::new(task));
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// How many tasks were lost because they panicked.
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.shared.lock();
            state.closed = true;
            std::mem::take(&mut state.queue)
        };
        self.shared.wake.notify_all();
        drop(waiting);
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Shared {
    fn work(&self) {
        while let Some(task) = self.next() {
            if contain(self.name, task).is_none() {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(task) = state.queue.pop_front() {
                return Some(task);
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `task`; if it panics, logs that at error and returns `None`.
///
/// Nothing that the task shared with others is looked at after a panic but what guards itself (queues behind
/// mutexes), so unwinding out of it is safe.
pub(crate) fn contain<T>(name: &str, task: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(task)) {
        Ok(value) => Some(value),
        Err(panic) => {
            log::error!("{name}: a task panicked and is lost: {}", panic_text(&*panic));
            None
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const GUARD: Duration = Duration::from_secs(20);

    #[test]
    fn a_panicking_task_is_lost_and_the_thread_goes_on() {
        let worker = Worker::new("test", 1, 8).unwrap();
        let (sender, receiver) = mpsc::channel();
        worker.submit(|| panic!("on purpose")).unwrap();
        worker.submit(move || sender.send(7).unwrap()).unwrap();
        assert_eq!(receiver.recv_timeout(GUARD), Ok(7));
        assert_eq!(worker.lost(), 1);
    }

    #[test]
    fn a_full_queue_refuses_and_dropping_the_worker_drops_what_waits() {
        let worker = Worker::new("test", 1, 2).unwrap();
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        worker
            .submit(move || {
                entered.send(()).unwrap();
                let _ = released.recv();
            })
            .unwrap();
        has_entered.recv_timeout(GUARD).unwrap();
        let (sender, receiver) = mpsc::channel::<()>();
        for _ in 0..2 {
            let sender = sender.clone();
            worker.submit(move || sender.send(()).unwrap()).unwrap();
        }
        drop(sender);
        assert_eq!(worker.submit(|| ()), Err(QueueFull));
        drop(worker);
        assert_eq!(receiver.recv_timeout(GUARD), Err(mpsc::RecvTimeoutError::Disconnected));
        release.send(()).unwrap();
    }
}
