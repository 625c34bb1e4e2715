//! Where an endpoint's secrets and random numbers come from.

use core::fmt;

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

/// A generator that forgets: after secrets were drawn, it goes on from a new key out of its own output, so that nobody who
/// comes to read its memory later can compute them again.
pub(crate) struct Randomness(ChaCha20Rng);

impl fmt::Debug for Randomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Randomness").finish_non_exhaustive()
    }
}

impl Randomness {
    /// All that it gives comes from a seed, which is wiped.
    pub(crate) fn new(mut seed: [u8; 32]) -> Self {
        let rng = ChaCha20Rng::from_seed(seed);
        seed.zeroize();
        Self(rng)
    }

    /// Bytes that are no lasting secret.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A secret.
    pub(crate) fn secret(&mut self) -> Zeroizing<[u8; 32]> {
        let mut secret = Zeroizing::new([0; 32]);
        self.secrets(|fill| fill(&mut *secret));
        secret
    }

    /// Has somebody draw secrets.
    pub(crate) fn secrets<T>(&mut self, draw: impl FnOnce(&mut dyn FnMut(&mut [u8])) -> T) -> T {
        let rng = &mut self.0;
        let drawn = draw(&mut |bytes| rng.fill_bytes(bytes));
        let mut key = Zeroizing::new([0; 32]);
        self.0.fill_bytes(&mut *key);
        self.0 = ChaCha20Rng::from_seed(*key);
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_secret_it_goes_on_from_a_key_that_does_not_lead_back() {
        let mut randomness = Randomness::new([7; 32]);
        let secret = randomness.secret();
        let after: [u8; 32] = randomness.bytes();
        let mut first = ChaCha20Rng::from_seed([7; 32]);
        let (mut drawn, mut key, mut straight_on) = ([0; 32], [0; 32], [0; 32]);
        for bytes in [&mut drawn, &mut key, &mut straight_on] {
            first.fill_bytes(bytes);
        }
        assert_eq!(drawn, *secret);
        assert_ne!(after, straight_on);
        let mut second = ChaCha20Rng::from_seed(key);
        second.fill_bytes(&mut drawn);
        assert_eq!(after, drawn);
    }

    #[test]
    fn the_same_seed_gives_the_same_secrets() {
        let [mut one, mut other] = [[3; 32]; 2].map(Randomness::new);
        for _ in 0..3 {
            assert_eq!(one.secret(), other.secret());
            assert_eq!(one.bytes::<8>(), other.bytes());
        }
        assert_ne!(one.secret(), one.secret());
    }
}
