use core::ops::Range;
use std::{env, thread};

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
pub fn for_each_seed(default: u64, mut test: impl FnMut(u64)) {
    struct Guard(u64);

    impl Drop for Guard {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("failing seed: {0}; replay with SEED={0}", self.0);
            }
        }
    }

    for seed in seeds(default) {
        let _guard = Guard(seed);
        test(seed);
    }
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
}
