//! What the workers of one relay, and the front that sends clients to them, tell each other.
//!
//! They are threads of one process, so they share a table: no sessions have to be opened for it, no password be made up, and
//! what a worker says is known at once. Each worker writes its own row only.

use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use rtmfp_base::Time;

use super::admission::Admission;
use super::load::Load;

/// A worker that has said nothing for so long gets no new clients.
const SILENT_AFTER: Duration = Duration::from_secs(4);

/// The rows of all workers.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Table>);

#[derive(Debug)]
struct Table {
    rows: Vec<Row>,
    admission: Admission,
}

/// What is known of a worker.
#[derive(Debug)]
struct Row {
    /// The ports of its listeners, in their order; 0 until one is open.
    ports: Vec<AtomicU16>,
    clients: AtomicU64,
    bitrate: AtomicU64,
    is_full: AtomicBool,
    /// It takes no new clients any more.
    has_left: AtomicBool,
    /// When it has last said something, in microseconds.
    heard: AtomicU64,
}

impl Workers {
    /// So many workers with so many listeners each.
    pub fn new(workers: usize, listeners: usize) -> Self {
        let row = || Row {
            ports: (0..listeners).map(|_| AtomicU16::new(0)).collect(),
            clients: AtomicU64::new(0),
            bitrate: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            heard: AtomicU64::new(0),
        };
        let rows = (0..workers).map(|_| row()).collect();
        Self(Arc::new(Table { rows, admission: Admission::default() }))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// One of them, from 0.
    pub fn worker(&self, number: usize) -> Worker {
        Worker { workers: self.clone(), number }
    }

    /// The port of a worker's listener, once it is open.
    pub(super) fn port(&self, worker: usize, listener: usize) -> Option<u16> {
        let port = self.0.rows.get(worker)?.ports.get(listener)?.load(Ordering::Acquire);
        (port != 0).then_some(port)
    }

    /// Whether all listeners of all workers are open.
    pub(super) fn are_ready(&self) -> bool {
        self.0.rows.iter().flat_map(|row| &row.ports).all(|port| port.load(Ordering::Acquire) != 0)
    }

    /// What all of them carry together.
    pub(super) fn total(&self) -> Figures {
        let bitrate = self.0.rows.iter().map(|row| row.bitrate.load(Ordering::Relaxed));
        let bitrate = bitrate.fold(0, u64::saturating_add);
        Figures { clients: self.0.admission.clients() as u64, bitrate }
    }

    /// What each of them carries, `None` for those that take no clients.
    pub(super) fn figures(&self, now: Time) -> Vec<Option<Figures>> {
        self.0.rows.iter().map(|row| row.figures(now)).collect()
    }
}

impl Row {
    fn figures(&self, now: Time) -> Option<Figures> {
        let heard = Time::from_micros(self.heard.load(Ordering::Relaxed));
        let takes_clients = !self.is_full.load(Ordering::Relaxed)
            && !self.has_left.load(Ordering::Relaxed)
            && now.since(heard) < SILENT_AFTER;
        takes_clients.then(|| Figures {
            clients: self.clients.load(Ordering::Relaxed),
            bitrate: self.bitrate.load(Ordering::Relaxed),
        })
    }
}

/// What a worker carries.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Figures {
    pub(super) clients: u64,
    /// Bits per second.
    pub(super) bitrate: u64,
}

/// A worker's place in the table.
#[derive(Clone, Debug)]
pub struct Worker {
    workers: Workers,
    number: usize,
}

impl Worker {
    /// Its number, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    fn row(&self) -> Option<&Row> {
        self.workers.0.rows.get(self.number)
    }

    /// All of them.
    pub(super) fn workers(&self) -> &Workers {
        &self.workers
    }

    pub(super) fn admission(&self) -> Admission {
        self.workers.0.admission.clone()
    }

    pub(super) fn set_port(&self, listener: usize, port: u16) {
        if let Some(cell) = self.row().and_then(|row| row.ports.get(listener)) {
            cell.store(port, Ordering::Release);
        }
    }

    pub(super) fn set_clients(&self, clients: usize) {
        if let Some(row) = self.row() {
            row.clients.store(clients as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn set_load(&self, now: Time, load: &Load) {
        if let Some(row) = self.row() {
            row.bitrate.store(load.bitrate, Ordering::Relaxed);
            row.is_full.store(load.is_full, Ordering::Relaxed);
            row.heard.store(now.as_micros(), Ordering::Relaxed);
        }
    }

    pub(super) fn leave(&self) {
        if let Some(row) = self.row() {
            row.has_left.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_are_full_silent_or_leave_take_no_clients() {
        let workers = Workers::new(4, 1);
        let now = Time::from_secs(10);
        let each: Vec<Worker> = (0..4).map(|number| workers.worker(number)).collect();
        each[0].set_load(now, &Load::default());
        each[1].set_load(now, &Load { is_full: true, ..Load::default() });
        each[2].set_load(now, &Load::default());
        each[2].leave();
        let taking = |now| workers.figures(now).iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!(taking(now), [true, false, false, false], "the last one has not begun");
        assert_eq!(taking(now + SILENT_AFTER), [false; 4]);
    }

    #[test]
    fn a_listener_is_ready_when_all_workers_have_it() {
        let workers = Workers::new(2, 2);
        for (worker, listener) in [(0, 0), (0, 1), (1, 1), (1, 0)] {
            assert!(!workers.are_ready());
            workers.worker(worker).set_port(listener, 1935);
        }
        assert!(workers.are_ready());
        assert_eq!(workers.port(1, 0), Some(1935));
    }
    #[test]
    fn what_a_worker_carries_is_known_as_long_as_it_is_heard() {
        let workers = Workers::new(1, 2);
        let (worker, now) = (workers.worker(0), Time::from_secs(10));
        worker.set_clients(7);
        worker.set_load(now, &Load { bitrate: 9000, ..Load::default() });
        let last = now + SILENT_AFTER - Duration::from_micros(1);
        assert_eq!(workers.figures(last), [Some(Figures { clients: 7, bitrate: 9000 })]);
        worker.admission().enter([192, 0, 2, 1].into(), 1, 1);
        assert_eq!(workers.total(), Figures { clients: 1, bitrate: 9000 });
        worker.set_port(0, 1935);
        assert_eq!([0, 1, 2].map(|listener| workers.port(0, listener)), [Some(1935), None, None]);
    }
}
