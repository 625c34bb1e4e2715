//! Several services that begin and end together. Signals reach the whole process: one test, a file of its own.

mod common;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use common::{GUARD, Out, script};
use rtmfp_base::{Action, Input, NameId, Service};
use rtmfp_runtime::{Config, Error, Member, SignalHook, run_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::raise;

/// One that asks for a name, tells what it hears, and finishes when it is to drain or to stop.
fn member(name: &'static str, seen: &Sender<String>, last: &'static str) -> Member {
    slow_member(name, seen, last, None)
}

/// The same, which does nothing more until it may go on.
fn slow_member(
    name: &'static str,
    seen: &Sender<String>,
    last: &'static str,
    go: Option<Receiver<()>>,
) -> Member {
    let seen = seen.clone();
    let make = move || -> Box<dyn Service> {
        script(move |out| {
            out.act(Action::Resolve { name: NameId(0), host: "192.0.2.1".to_owned(), port: 1 });
            move |out: &mut Out, _, input: Input<'_>| {
                let text = match input {
                    Input::Resolved { .. } => "up".to_owned(),
                    input => format!("{input:?}"),
                };
                if text == last {
                    out.finished();
                }
                seen.send(format!("{name} {text}")).unwrap();
                if text == last
                    && let Some(go) = &go
                {
                    go.recv().unwrap();
                }
            }
        })
    };
    Member::new(name, make, Config::default())
}

fn broken() -> Member {
    let make = || -> Box<dyn Service> {
        script(|out| {
            out.act(Action::Finished(Err("no such thing".to_owned())));
            |_: &mut Out, _, _: Input<'_>| {}
        })
    };
    Member::new("broken", make, Config::default())
}

#[test]
fn services_of_a_group_are_drained_and_stopped_together_and_one_that_fails_ends_all() {
    let (seen, has_seen) = channel();
    let result = run_group(vec![member("a", &seen, "Stop"), broken()], None);
    assert_eq!(result.unwrap_err(), Error::Service("no such thing".to_owned()));
    let panics = || -> Box<dyn Service> { panic!("on purpose") };
    let panics = Member::new("panics", panics, Config::default());
    assert_eq!(run_group(vec![panics], None).unwrap_err(), Error::Panicked);
    drop(has_seen);

    let (seen, has_seen) = channel();
    let hook_seen = seen.clone();
    let hook = SignalHook::new(&[SIGUSR1, SIGHUP], move |signal, report| {
        let names: Vec<_> = report.members.iter().map(|(name, _)| name.as_str()).collect();
        let turns: u64 = report.members.iter().map(|(_, report)| report.stats.turns().count).sum();
        assert_eq!(report.stats.turns().count, turns);
        hook_seen.send(format!("signal {signal} {names:?}")).unwrap();
    });
    let (go, may_go) = channel();
    let members = vec![slow_member("a", &seen, "Drain", Some(may_go)), member("b", &seen, "Stop")];
    let running = thread::spawn(move || run_group(members, Some(hook)));
    let next = || has_seen.recv_timeout(GUARD).unwrap();
    let two = || {
        let mut two = [next(), next()];
        two.sort();
        two
    };
    assert_eq!(two(), ["a up", "b up"]);
    raise(SIGUSR1).unwrap();
    assert_eq!(next(), format!("signal {SIGUSR1} [\"a\", \"b\"]"));
    raise(SIGTERM).unwrap();
    assert_eq!(two(), ["a Drain", "b Drain"]);
    // While the report for the first of them is not there: its part is missing who drains.
    [SIGUSR1, SIGHUP, SIGHUP].into_iter().for_each(|signal| raise(signal).unwrap());
    raise(SIGINT).unwrap();
    assert_eq!(next(), "b Stop", "the signals before this one have come");
    go.send(()).unwrap();
    let both = [SIGHUP, SIGUSR1].map(|signal| format!("signal {signal} [\"a\", \"b\"]"));
    assert_eq!(two(), both, "each once, and of those that have ended as well");
    let report = running.join().unwrap().unwrap();
    assert_eq!(report.members.len(), 2);
    assert!(report.to_string().contains("\na: turns: "), "{report}");
}

#[test]
fn counters_of_members_add_up() {
    let member = |value| rtmfp_runtime::Report {
        counters: vec![("clients", value), ("other", 1)],
        ..rtmfp_runtime::Report::default()
    };
    let sum = rtmfp_runtime::Report::of(vec![("a".to_owned(), member(3)), ("b".to_owned(), member(4))]);
    assert_eq!((sum.counter("clients"), sum.counter("other"), sum.counter("none")), (7, 2, 0));
    assert!(sum.to_string().contains("\nb: clients: 4"), "{sum}");
    assert_eq!(sum.stats.turns().max, Duration::ZERO);
}
