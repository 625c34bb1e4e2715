//! Jobs, names and the end of a host.

mod common;

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

use common::{GUARD, Out, script, start};
use rtmfp_base::{Action, Input, Job, JobId, NameId, Time};
use rtmfp_runtime::{Config, Error, Report, ResolverOptions, run};

fn counter(report: &Report, name: &str) -> u64 {
    report.counters.iter().find(|(other, _)| *other == name).unwrap().1
}

#[test]
fn jobs_run_on_threads_or_inline_and_a_panicking_one_is_lost() {
    for crypto_threads in [0, 1, 3] {
        let config = Config { crypto_threads, ..Config::default() };
        let handle = start(config, |out| {
            for number in 0..100 {
                let work = move || -> rtmfp_base::JobResult {
                    assert!(number != 13, "unlucky, on purpose");
                    Box::new(number * number)
                };
                out.act(Action::Run(Job::new(JobId(number), work)));
            }
            let mut left = 99;
            move |out: &mut Out, _, input: Input<'_>| {
                if let Input::JobDone(done) = input {
                    assert_eq!(done.result.downcast_ref(), Some(&(done.id.0 * done.id.0)));
                    left -= 1;
                    if left == 0 {
                        out.finished();
                    }
                }
            }
        });
        let report = handle.join().unwrap();
        assert_eq!(counter(&report, "jobs_done"), 99, "{crypto_threads}");
        if crypto_threads < 2 {
            // Of several threads, one may still be at the job that panics.
            assert_eq!(counter(&report, "jobs_panicked"), 1, "{crypto_threads}");
        }
        assert_eq!(report.stats.jobs().count, 99);
        assert!(report.to_string().contains("jobs: 99, p50 "), "{report}");
    }
}

#[test]
fn jobs_beyond_the_limit_are_refused_and_counted() {
    let config = Config { crypto_threads: 0, max_jobs: 10, ..Config::default() };
    let handle = start(config, |out| {
        for number in 0..15 {
            out.act(Action::Run(Job::new(JobId(number), || Box::new(()))));
        }
        let mut left = 10;
        move |out: &mut Out, _, input: Input<'_>| {
            if let Input::JobDone(_) = input {
                left -= 1;
                if left == 0 {
                    out.finished();
                }
            }
        }
    });
    assert_eq!(counter(&handle.join().unwrap(), "jobs_refused"), 5);
}

#[test]
fn names_and_addresses_are_resolved() {
    let (seen, has_seen) = channel();
    let handle = start(Config::default(), move |out| {
        for (number, host) in ["192.0.2.7", "[2001:db8::7]", "localhost", "no name \0"].iter().enumerate() {
            let host = (*host).to_owned();
            out.act(Action::Resolve { name: NameId(number as u64), host, port: 1935 });
        }
        let mut left = 4;
        move |out: &mut Out, _, input: Input<'_>| {
            if let Input::Resolved { name, result } = input {
                seen.send((name.0, result)).unwrap();
                left -= 1;
                if left == 0 {
                    out.finished();
                }
            }
        }
    });
    let report = handle.join().unwrap();
    let mut results: Vec<_> = has_seen.iter().collect();
    results.sort_by_key(|(number, _)| *number);
    assert_eq!(results[0].1, Ok(vec![SocketAddr::from(([192, 0, 2, 7], 1935))]));
    assert_eq!(results[1].1, Ok(vec!["[2001:db8::7]:1935".parse().unwrap()]));
    let local = results[2].1.as_ref().unwrap();
    assert!(local.iter().all(|address| address.ip().is_loopback() && address.port() == 1935), "{local:?}");
    assert!(results[3].1.is_err());
    assert_eq!(counter(&report, "names_asked"), 2);
}

#[test]
fn look_ups_beyond_the_limit_fail_at_once() {
    let resolver = ResolverOptions { limit: 0, ..ResolverOptions::default() };
    let (seen, has_seen) = channel();
    let handle = start(Config { resolver, ..Config::default() }, move |out| {
        out.act(Action::Resolve { name: NameId(0), host: "localhost".to_owned(), port: 1 });
        move |out: &mut Out, _, input: Input<'_>| {
            if let Input::Resolved { result, .. } = input {
                seen.send(result).unwrap();
                out.finished();
            }
        }
    });
    assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), Err("too many look-ups at once".to_owned()));
    handle.join().unwrap();
}

#[test]
fn draining_lets_the_service_say_when_it_has_finished() {
    let (seen, has_seen) = channel();
    let handle = start(Config::default(), move |_| {
        move |out: &mut Out, _, input: Input<'_>| {
            match input {
                Input::Drain => {}
                Input::Stop => out.finished(),
                _ => return,
            }
            seen.send(format!("{input:?}")).unwrap();
        }
    });
    handle.drain();
    handle.drain();
    assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), "Drain");
    handle.stop();
    assert_eq!(has_seen.recv_timeout(GUARD).unwrap(), "Stop");
    handle.join().unwrap();
    assert!(has_seen.recv().is_err());
}

#[test]
fn a_service_that_does_not_stop_is_left() {
    let config = Config { stop_patience: Duration::from_millis(10), ..Config::default() };
    let handle = start(config, |_| |_: &mut Out, _, _: Input<'_>| {});
    handle.stop();
    assert_eq!(handle.join().unwrap_err(), Error::Forced);
}

#[test]
fn what_a_service_finishes_with_is_what_running_it_returns() {
    let service = script(|out| {
        out.act(Action::Announce("a line on standard error".to_owned()));
        out.act(Action::Finished(Err("no such thing".to_owned())));
        out.act(Action::Announce("never seen".to_owned()));
        |_: &mut Out, _: Time, _: Input<'_>| {}
    });
    let result = run(service, Config { signals: false, ..Config::default() });
    assert_eq!(result.unwrap_err(), Error::Service("no such thing".to_owned()));
}

#[test]
fn a_service_that_panics_is_reported() {
    let handle = start(Config::default(), |_| |_: &mut Out, _, _: Input<'_>| panic!("on purpose"));
    handle.drain();
    assert_eq!(handle.join().unwrap_err(), Error::Panicked);
}

/// Counts how often it hears of the loop's latency; ends with the second time.
struct Measured {
    heard: u64,
    next: Time,
}

impl rtmfp_base::Service for Measured {
    fn handle(&mut self, now: Time, _: Input<'_>) {
        self.next = now + Duration::from_millis(20);
    }

    fn poll_action(&mut self, _: Time) -> Option<Action> {
        (self.heard == 2).then_some(Action::Finished(Ok(())))
    }

    fn poll_transmit(&mut self, _: Time, _: &mut rtmfp_base::Batch) {}

    fn fill_stream(&mut self, _: Time, _: rtmfp_base::StreamId, _: usize, _: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        Some(self.next)
    }

    fn loop_latency(&mut self, _: Time, latency: Duration) {
        assert!(latency < GUARD, "{latency:?}");
        self.heard += 1;
    }

    fn count(&self, visit: &mut rtmfp_base::Visit<'_>) {
        visit("heard", self.heard);
    }
}

#[test]
fn a_busy_service_hears_of_the_latency_of_its_loop_and_its_counters_are_reported() {
    let service = Measured { heard: 0, next: Time::ZERO };
    let report = run(Box::new(service), Config { signals: false, ..Config::default() }).unwrap();
    assert_eq!(counter(&report, "heard"), 2);
}
