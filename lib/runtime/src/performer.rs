use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use crate::RunLoop;

type Task<S> = Box<dyn FnOnce(&mut S, &mut RunLoop<S>) + Send>;

/// Brings tasks from any thread into a [`RunLoop`], in order.
///
/// The queue has no limit of its own: whoever gives others a performer bounds what they do with it.
pub struct Performer<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    /// `None` once the loop has gone.
    tasks: Mutex<Option<Vec<Task<S>>>>,
    waker: Waker,
}

impl<S> Performer<S> {
    pub(crate) fn new(waker: Waker) -> Self {
        Self { shared: Arc::new(Shared { tasks: Mutex::new(Some(Vec::new())), waker }) }
    }

    /// Has the loop run `task`, soon, on its own thread. `false`: the loop has gone, and with it the task.
    pub fn perform(&self, task: impl FnOnce(&mut S, &mut RunLoop<S>) + Send + 'static) -> bool {
        let was_empty = {
            let mut tasks = self.lock();
            let Some(tasks) = tasks.as_mut() else { return false };
            tasks.push(Box::new(task));
            tasks.len() == 1
        };
        // The loop takes all tasks at once, so only the first of them needs to wake it.
        if was_empty && let Err(error) = self.shared.waker.wake() {
            log::error!("cannot wake the run loop: {error}");
        }
        true
    }

    /// Takes all waiting tasks.
    pub(crate) fn take(&self) -> Vec<Task<S>> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Drops the waiting tasks and refuses new ones.
    pub(crate) fn close(&self) {
        let tasks = self.lock().take();
        drop(tasks);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Task<S>>>> {
        self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Clone for Performer<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S> fmt::Debug for Performer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Performer").finish_non_exhaustive()
    }
}
