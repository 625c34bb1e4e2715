//! Signals that a program handles with the help of its service. Signals reach the whole process: one test, a file of its
//! own.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Input, Service, StreamId, Time};
use rtmfp_runtime::{Config, SIGHUP, SIGUSR1, ServiceHook, run};
use signal_hook::low_level::raise;

/// Finishes once it was told to.
struct Told {
    /// Says that it runs.
    up: Option<Sender<i32>>,
    asked: bool,
    told: bool,
}

impl Service for Told {
    fn handle(&mut self, _: Time, _: Input<'_>) {}

    fn poll_action(&mut self, _: Time) -> Option<Action> {
        if let Some(up) = self.up.take() {
            up.send(0).unwrap();
        }
        self.told.then_some(Action::Finished(Ok(())))
    }

    fn poll_transmit(&mut self, _: Time, _: &mut Batch) {}

    fn fill_stream(&mut self, _: Time, _: StreamId, _: usize, _: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

#[test]
fn a_hook_gets_the_service_which_is_polled_afterwards() {
    let (seen, has_seen) = channel();
    let up = Some(seen.clone());
    let hook = ServiceHook::new(&[SIGUSR1, SIGHUP], move |signal, service: &mut Told, _, _| {
        service.told = service.asked && signal == SIGHUP;
        service.asked = signal == SIGUSR1;
        seen.send(signal).unwrap();
    });
    let config = Config { service_hook: Some(hook), ..Config::default() };
    let running = thread::spawn(|| run(Box::new(Told { up, asked: false, told: false }), config));
    let next = || has_seen.recv_timeout(Duration::from_secs(30));
    assert_eq!(next(), Ok(0));
    for signal in [SIGUSR1, SIGHUP] {
        raise(signal).unwrap();
        assert_eq!(next(), Ok(signal));
    }
    running.join().unwrap().unwrap();
}
