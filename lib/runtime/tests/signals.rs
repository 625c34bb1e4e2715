//! Signals reach the whole process: one test, a file of its own.

mod common;

use std::sync::mpsc::channel;
use std::thread;

use common::{GUARD, Out, script};
use rtmfp_base::Input;
use rtmfp_runtime::{Config, Error, SignalHook, run};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::low_level::raise;

#[test]
fn the_first_signal_drains_the_second_stops_the_third_leaves() {
    let (seen, has_seen) = channel();
    let hook_seen = seen.clone();
    let hook = SignalHook::new(&[SIGUSR1], move |signal, report| {
        hook_seen.send(format!("signal {signal} {}", report.stats.turns().count > 0)).unwrap();
    });
    let config = Config { signal_hook: Some(hook), ..Config::default() };
    let running = thread::spawn(move || {
        let service = script(move |out| {
            out.listen();
            move |_: &mut Out, _, input: Input<'_>| {
                let text = if let Input::ListenReady { .. } = input {
                    "up".to_owned()
                } else {
                    format!("{input:?}")
                };
                seen.send(text).unwrap();
            }
        });
        run(service, config)
    });
    let next = || has_seen.recv_timeout(GUARD).unwrap();
    assert_eq!(next(), "up");
    raise(SIGUSR1).unwrap();
    assert_eq!(next(), format!("signal {SIGUSR1} true"));
    raise(SIGTERM).unwrap();
    assert_eq!(next(), "Drain");
    raise(SIGINT).unwrap();
    assert_eq!(next(), "Stop");
    raise(SIGTERM).unwrap();
    assert_eq!(running.join().unwrap().unwrap_err(), Error::Forced);
}
