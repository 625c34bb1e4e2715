use core::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// Dice that fall the same way for the same seed, in every version of this crate.
///
/// The simulator gives each link and each host dice of its own, so that traffic in one place does not change
/// what happens in another. Tests take theirs with [`Dice::new`], to choose a configuration from a seed.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice from a seed. Each `stream` gives independent ones; the simulator itself uses those from 2⁶⁰ on.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(stream);
        Self(dice)
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        // A chance that is none takes no throw: configuring one impairment leaves the others as they were.
        probability > 0.0 && ((self.0.next_u64() >> 11) as f64) * UNIT < probability
    }

    /// A number from 0 to `bound`, without `bound` itself; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A duration from zero to `longest`, in whole microseconds.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        if longest.is_zero() {
            return Duration::ZERO;
        }
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.below(micros.saturating_add(1)))
    }

    /// 32 random bytes, for the seed of somebody else's dice.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}
