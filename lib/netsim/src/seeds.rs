use core::cell::RefCell;
use core::ops::Range;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::{env, thread};

use crate::Network;

/// The seeds that a test is to run: those below `default`, or below what the environment variable `SEEDS`
/// says, or the one that `SEED` says.
///
/// # Panics
/// When a variable is set to something that is no number.
pub fn seeds(default: u64) -> Range<u64> {
    let number = |name: &str| {
        let value = env::var(name).ok()?;
        Some(value.trim().parse().unwrap_or_else(|_| panic!("{name}={value}: not a number")))
    };
    choose(number("SEED"), number("SEEDS"), default)
}

/// Runs a test with each of the [`seeds`]. When it panics, says with which one.
///
/// A failing seed can be looked at: `SEED=7 LOG=1 CAPTURE=captures cargo test name_of_the_test`.
///
/// - With the variable `LOG` set to `1`, each [`Network`] that the test makes [logs](Network::log_to) to
///   standard error, which the test harness shows of tests that fail, and of all with `--nocapture`.
/// - With the variable `CAPTURE` set to a folder, each is [captured](Network::capture_to) there, in
///   `seed-7.pcap`, and `seed-7-2.pcap` for the second one that the test makes with this seed. Tests write
///   the same files: run one at a time.
///
/// Both hold for networks that are made on the thread of the test.
///
/// # Panics
/// When the test does, and when a capture cannot be written.
pub fn for_each_seed(default: u64, mut test: impl FnMut(u64)) {
    for seed in seeds(default) {
        with_seed(seed, &mut test);
    }
}

/// Runs something with one seed, logged and captured as by [`for_each_seed`].
///
/// # Panics
/// As [`for_each_seed`].
pub fn with_seed<T>(seed: u64, test: impl FnOnce(u64) -> T) -> T {
    let _guard = Guard(seed);
    let log = env::var("LOG").is_ok_and(|value| value == "1");
    let captures = env::var_os("CAPTURE").map(PathBuf::from);
    REPLAY.set(Some(Replay { seed, log, captures, networks: 0 }));
    test(seed)
}

/// Has a new network logged and captured as the seed that runs on this thread is to be.
pub(crate) fn watch(network: &mut Network) {
    REPLAY.with_borrow_mut(|replay| {
        let Some(replay) = replay else { return };
        replay.networks += 1;
        if replay.log {
            network.log_to(|at, line| eprintln!("{at} {line}"));
        }
        if let Some(folder) = &replay.captures {
            let path = folder.join(file_name(replay.seed, replay.networks));
            network.capture_to(create(&path));
        }
    });
}

thread_local! {
    static REPLAY: RefCell<Option<Replay>> = const { RefCell::new(None) };
}

/// What is wanted of the networks of a seed.
#[derive(Debug)]
struct Replay {
    seed: u64,
    log: bool,
    captures: Option<PathBuf>,
    /// How many there were.
    networks: u32,
}

/// A seed that runs.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        REPLAY.set(None);
        if thread::panicking() {
            eprintln!("failing seed: {0}; replay with SEED={0} LOG=1 CAPTURE=captures", self.0);
        }
    }
}

fn file_name(seed: u64, network: u32) -> String {
    match network {
        1 => format!("seed-{seed}.pcap"),
        more => format!("seed-{seed}-{more}.pcap"),
    }
}

fn create(path: &Path) -> impl Write + use<> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let file = fs::create_dir_all(folder).and_then(|()| File::create(path));
    BufWriter::new(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn choose(seed: Option<u64>, seeds: Option<u64>, default: u64) -> Range<u64> {
    match seed {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..seeds.unwrap_or(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_wins_over_a_number_of_seeds_and_both_over_the_default() {
        assert_eq!(choose(None, None, 10), 0..10);
        assert_eq!(choose(None, Some(3), 10), 0..3);
        assert_eq!(choose(Some(7), Some(3), 10), 7..8);
    }

    #[test]
    fn each_network_of_a_seed_has_a_capture_of_its_own() {
        assert_eq!([1, 2].map(|network| file_name(9, network)), ["seed-9.pcap", "seed-9-2.pcap"]);
    }
}
