//! Runs many seeds on all processors, tells how it goes, and what failed.
#![allow(
    clippy::disallowed_methods,
    reason = "what is measured here is how long the simulation itself takes"
)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rtmfp_netsim::{Fault, Faults};

use crate::ledger::Deeds;
use crate::options::Options;
use crate::scenario::Scenario;
use crate::trial::Outcome;

/// Each so many seeds one is run twice, and has to go the same way.
const TWICE: u64 = 50;
/// After so many failures the run ends.
const ENOUGH: usize = 10;
/// From so many seeds on each kind of fault must have fired; from so many on this often.
const SHORT: u64 = 300;
const LONG: u64 = 10_000;
const FIRINGS: u64 = 1000;
/// As many pairs of kinds have to come together in one network, from SHORT seeds on. Some never do: byte streams are in other
/// networks than clocks with a pace of their own.
const PAIRS: usize = 300;

/// What has to happen at least once in as many seeds as SHORT, or it is not tried at all.
const DEEDS: [&str; 22] = [
    "abandoned_unsent",
    "address_followed",
    "best_effort",
    "closed_duplicate",
    "closed_idle",
    "closed_replaced",
    "closed_unresponsive",
    "deadline_changed",
    "fleet_client",
    "flow_held",
    "flow_refused",
    "flow_refused_later",
    "message_with_parent",
    "network_order",
    "queue_full",
    "redirector_killed",
    "registered",
    "relay_client",
    "relay_drained",
    "return_flow",
    "reunited",
    "unsent_low",
];

/// What all seeds did together.
#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    time: Duration,
    nodes: u64,
    bytes: u64,
    faults: Faults,
    /// Kinds of faults that came together in one network.
    pairs: BTreeSet<(Fault, Fault)>,
    deeds: Deeds,
    failures: Vec<u64>,
    slowest: (Duration, u64),
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match options.seed {
        Some(seed) => replay(options, seed),
        None => run_all(options),
    }
}

/// One seed, with a log or a capture if they are asked for.
fn replay(options: &Options, seed: u64) -> ExitCode {
    let scenario = options.scenario.unwrap_or_else(|| Scenario::of(seed));
    let logs = std::env::var("LOG").is_ok_and(|value| value == "1");
    let outcome = rtmfp_netsim::with_seed(seed, |seed| scenario.run(seed, logs));
    println!(
        "seed {seed}, {}: {} nodes, {:.1} s, {} bytes, trace {:016x}",
        scenario.name(),
        outcome.nodes,
        outcome.time.as_secs_f64(),
        outcome.bytes,
        outcome.trace
    );
    ExitCode::SUCCESS
}

fn run_all(options: &Options) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        LAST_PANIC.set(info.to_string().replace('\n', " "));
    }));
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Total::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= options.seeds {
                            break;
                        }
                        run_seed(options, seed, &total, &stop);
                    }
                })
            })
            .collect();
        let mut told = Instant::now();
        let every = Duration::from_secs(if std::io::stderr().is_terminal() { 1 } else { 10 });
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(50));
            if told.elapsed() >= every {
                told = Instant::now();
                tell_progress(options, &lock(&total), began.elapsed());
            }
        }
    });
    let total = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tell_progress(options, &total, began.elapsed());
    eprintln!();
    summarize(options, &total, began.elapsed())
}

fn lock(total: &Mutex<Total>) -> std::sync::MutexGuard<'_, Total> {
    total.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn run_seed(options: &Options, seed: u64, total: &Mutex<Total>, stop: &AtomicBool) {
    let scenario = options.scenario.unwrap_or_else(|| Scenario::of(seed));
    let began = Instant::now();
    let result = attempt(scenario, seed).and_then(|outcome| {
        if !seed.is_multiple_of(TWICE) {
            return Ok(outcome);
        }
        let again = attempt(scenario, seed)?;
        let same = (again.trace, again.bytes, again.time) == (outcome.trace, outcome.bytes, outcome.time);
        if same { Ok(outcome) } else { Err("the same seed went another way the second time".to_owned()) }
    });
    let took = began.elapsed();
    let mut total = lock(total);
    total.seeds += 1;
    total.slowest = total.slowest.max((took, seed));
    match result {
        Ok(outcome) => {
            total.time += outcome.time;
            total.nodes += outcome.nodes;
            total.bytes += outcome.bytes;
            total.faults += &outcome.faults;
            total.pairs.extend(pairs(&outcome.faults));
            for (deed, count) in outcome.deeds {
                *total.deeds.entry(deed).or_default() += count;
            }
        }
        Err(why) => {
            total.failures.push(seed);
            let name = scenario.name();
            eprintln!(
                "\nseed {seed}, {name}: {why}\nreplay it: LOG=1 CAPTURE=captures scripts/simulate --scenario {name} --seed {seed}"
            );
            if total.failures.len() >= ENOUGH {
                stop.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// The kinds of faults of a network, each with each other.
fn pairs(faults: &Faults) -> Vec<(Fault, Fault)> {
    let kinds: Vec<Fault> = faults.iter().filter(|(_, count)| *count > 0).map(|(fault, _)| fault).collect();
    let of = |(nth, &one): (usize, &Fault)| {
        kinds[nth + 1..].iter().map(move |&other| (one, other)).collect::<Vec<_>>()
    };
    kinds.iter().enumerate().flat_map(of).collect()
}

fn attempt(scenario: Scenario, seed: u64) -> Result<Outcome, String> {
    panic::catch_unwind(|| scenario.run(seed, false)).map_err(|_| LAST_PANIC.take())
}

fn tell_progress(options: &Options, total: &Total, elapsed: Duration) {
    let mut stderr = std::io::stderr();
    let end = if stderr.is_terminal() { '\r' } else { '\n' };
    let rate = total.seeds as f64 / elapsed.as_secs_f64().max(0.001);
    let left = (options.seeds.saturating_sub(total.seeds)) as f64 / rate.max(0.001);
    // Nobody is there to read it when this fails.
    let _ = write!(
        stderr,
        "{}/{} seeds, {rate:.1} a second, {:.1} virtual hours, {} kinds of faults, {} failed, {left:.0} s left   {end}",
        total.seeds,
        options.seeds,
        total.time.as_secs_f64() / 3600.0,
        total.faults.iter().filter(|(_, count)| *count > 0).count(),
        total.failures.len(),
    );
    let _ = stderr.flush();
}

fn summarize(options: &Options, total: &Total, elapsed: Duration) -> ExitCode {
    println!("What applications did:");
    for (deed, count) in &total.deeds {
        println!("{count:>12} {deed}");
    }
    println!("Faults:");
    for (fault, count) in total.faults.iter() {
        println!("{count:>12} {}", fault.name());
    }
    let kinds = Fault::ALL.len();
    println!(
        "{} of {} pairs of kinds came together in one network.",
        total.pairs.len(),
        kinds * (kinds - 1) / 2
    );
    println!(
        "{} seeds in {:.0} s: {:.1} virtual hours, {:.0} times as fast as real time; {} nodes, {} MB of messages read; the slowest, {}, took {:.1} s.",
        total.seeds,
        elapsed.as_secs_f64(),
        total.time.as_secs_f64() / 3600.0,
        total.time.as_secs_f64() / elapsed.as_secs_f64(),
        total.nodes,
        total.bytes / 1_000_000,
        total.slowest.1,
        total.slowest.0.as_secs_f64(),
    );
    if !total.failures.is_empty() {
        println!("{} seeds failed: {:?}", total.failures.len(), total.failures);
        return ExitCode::FAILURE;
    }
    let least = match options.scenario {
        None if total.seeds >= LONG => FIRINGS,
        None if total.seeds >= SHORT => 1,
        _ => 0,
    };
    let rare: Vec<&str> =
        Fault::ALL.into_iter().filter(|fault| total.faults.count(*fault) < least).map(Fault::name).collect();
    let missing = DEEDS.into_iter().find(|deed| least > 0 && !total.deeds.contains_key(deed));
    if let Some(deed) = missing {
        println!("It never came to this: {deed}");
        return ExitCode::FAILURE;
    }
    if least > 0 && total.pairs.len() < PAIRS {
        println!("Fewer than {PAIRS} pairs of kinds came together");
        return ExitCode::FAILURE;
    }
    if !rare.is_empty() {
        println!("These faults fired less than {least} times: {}", rare.join(", "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
