//! Turns.

use std::collections::{BTreeMap, HashMap};

use rand::rngs::ChaCha20Rng;

use super::steps::Place;
use super::{Target, below};

/// Room before it for all that will ever come first.
const MIDDLE: u64 = 1 << 63;

#[derive(Debug)]
pub(super) struct Rotation<T> {
    turns: BTreeMap<Place, T>,
    /// Its turn and its load.
    targets: HashMap<T, (Place, u64)>,
    first: u64,
    behind: u64,
}

impl<T: Target> Rotation<T> {
    pub(super) fn new() -> Self {
        Self { turns: BTreeMap::new(), targets: HashMap::new(), first: MIDDLE, behind: MIDDLE }
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    pub(super) fn insert(&mut self, target: T, load: u64) {
        self.first -= 1;
        let place = Place(self.first);
        self.turns.insert(place, target);
        self.targets.insert(target, (place, load));
    }

    pub(super) fn remove(&mut self, target: T) {
        if let Some((place, _)) = self.targets.remove(&target) {
            self.turns.remove(&place);
        }
    }

    pub(super) fn report(&mut self, target: T, load: u64) {
        if let Some(known) = self.targets.get_mut(&target) {
            known.1 = load;
        }
    }

    pub(super) fn choose(&mut self, count: usize) -> Vec<(u128, T)> {
        let mut chosen = Vec::with_capacity(count);
        for _ in 0..count {
            let Some((_, target)) = self.turns.pop_first() else { break };
            let place = Place(self.behind);
            self.behind += 1;
            self.turns.insert(place, target);
            if let Some(known) = self.targets.get_mut(&target) {
                known.0 = place;
                chosen.push((known.1.into(), target));
            }
        }
        chosen
    }

    pub(super) fn shuffle(&mut self, rng: &mut ChaCha20Rng) {
        let mut targets: Vec<T> = core::mem::take(&mut self.turns).into_values().collect();
        for last in (1..targets.len()).rev() {
            targets.swap(last, below(rng, last as u64 + 1) as usize);
        }
        self.first = MIDDLE;
        self.behind = MIDDLE;
        for target in targets {
            let place = Place(self.behind);
            self.behind += 1;
            self.turns.insert(place, target);
            if let Some(known) = self.targets.get_mut(&target) {
                known.0 = place;
            }
        }
    }
}
