use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rtmfp_base::{Action, Batch, Service, StreamId, Time};

use super::*;
use crate::{Config, host::run_host};

const GUARD: Duration = Duration::from_secs(20);

/// Asks for its names one after the other and keeps the answers.
struct Asker {
    names: Vec<&'static str>,
    asked: usize,
    answers: mpsc::Sender<Result<Vec<SocketAddr>, String>>,
    answered: usize,
}

impl Service for Asker {
    fn handle(&mut self, _: Time, input: Input<'_>) {
        if let Input::Resolved { name, result } = input {
            assert_eq!(name, NameId(self.answered as u64));
            self.answered += 1;
            self.answers.send(result).unwrap();
        }
    }

    fn poll_action(&mut self, _: Time) -> Option<Action> {
        if self.answered == self.names.len() {
            return Some(Action::Finished(Ok(())));
        }
        if self.asked > self.answered {
            return None;
        }
        let name = NameId(self.asked as u64);
        let host = self.names[self.asked].to_owned();
        self.asked += 1;
        Some(Action::Resolve { name, host, port: 80 })
    }

    fn poll_transmit(&mut self, _: Time, _: &mut Batch) {}

    fn fill_stream(&mut self, _: Time, _: StreamId, _: usize, _: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

#[test]
fn a_look_up_that_hangs_fails_in_time_and_its_late_answer_is_dropped() {
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let address = SocketAddr::from(([192, 0, 2, 1], 80));
    let look_up = move |host: &str, _| {
        if host == "hangs" {
            let _ = released.lock().unwrap().recv_timeout(GUARD);
        }
        Ok(if host == "empty" { Vec::new() } else { vec![address] })
    };
    let options = ResolverOptions { threads: 2, limit: 8, timeout: Duration::from_millis(50) };
    let (answers, has_answers) = mpsc::channel();
    let service = Asker { names: vec!["hangs", "works", "empty"], asked: 0, answers, answered: 0 };
    let mut host = Host::new(Box::new(service), Config::default()).unwrap();
    host.names = Names::with(Resolver::with(options, Arc::new(look_up)));
    let report = run_host(&mut RunLoop::new().unwrap(), host).unwrap();
    drop(release);
    let answers: Vec<_> = has_answers.try_iter().collect();
    let expected = [
        Err("the look-up timed out".to_owned()),
        Ok(vec![address]),
        Err("the name has no addresses".to_owned()),
    ];
    assert_eq!(answers, expected);
    assert!(report.counters.contains(&("names_timed_out", 1)));
    assert!(report.counters.contains(&("names_failed", 2)));
}
