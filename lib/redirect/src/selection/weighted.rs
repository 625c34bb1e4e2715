//! Chance, by weights that fall with the load.

use std::collections::HashMap;

use rand::rngs::ChaCha20Rng;

use super::steps::step;
use super::{Target, below};

/// The weight of a target without load. The sum of as many as there can be is far below 2⁶⁴.
const HEAVIEST: u64 = 1 << 32;

#[derive(Debug)]
pub(super) struct Weighted<T> {
    slots: Vec<(T, u64)>,
    places: HashMap<T, usize>,
    weights: Sums,
}

fn weight(load: u64) -> u64 {
    (HEAVIEST / load.saturating_add(1)).max(1)
}

impl<T: Target> Weighted<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), places: HashMap::new(), weights: Sums::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn insert(&mut self, target: T, load: u64) {
        let place = self.slots.len();
        self.places.insert(target, place);
        self.slots.push((target, load));
        self.weights.set(place, weight(load));
    }

    pub(super) fn remove(&mut self, target: T) {
        let Some(place) = self.places.remove(&target) else { return };
        self.slots.swap_remove(place);
        self.weights.set(self.slots.len(), 0);
        if let Some(&(moved, load)) = self.slots.get(place) {
            self.places.insert(moved, place);
            self.weights.set(place, weight(load));
        }
    }

    pub(super) fn report(&mut self, target: T, load: u64) {
        let Some(&place) = self.places.get(&target) else { return };
        if let Some(slot) = self.slots.get_mut(place) {
            slot.1 = load;
            self.weights.set(place, weight(load));
        }
    }

    pub(super) fn choose(&mut self, count: usize, rng: &mut ChaCha20Rng) -> Vec<(u128, T)> {
        let mut places = Vec::with_capacity(count);
        for _ in 0..count {
            let place = self.weights.find(below(rng, self.weights.total().max(1)));
            // Nobody is chosen twice.
            self.weights.set(place, 0);
            places.push(place);
        }
        let mut chosen = Vec::with_capacity(count);
        for place in places {
            if let Some(&(target, load)) = self.slots.get(place) {
                self.weights.set(place, weight(load));
                chosen.push((load.into(), target));
            }
        }
        chosen
    }
}

/// Numbers, of which one that falls into a sum is found in logarithmic time: a tree in an array, of which each node is the sum
/// of the two below it.
#[derive(Debug, Default)]
struct Sums {
    /// The root is at 1; the leaves are the second half.
    nodes: Vec<u64>,
}

impl Sums {
    fn total(&self) -> u64 {
        self.nodes.get(1).copied().unwrap_or(0)
    }

    fn set(&mut self, place: usize, value: u64) {
        self.grow(place + 1);
        let mut at = self.nodes.len() / 2 + place;
        self.nodes[at] = value;
        while at > 1 {
            step();
            at /= 2;
            self.nodes[at] = self.nodes[2 * at] + self.nodes[2 * at + 1];
        }
    }

    fn grow(&mut self, leaves: usize) {
        let before = self.nodes.len() / 2;
        if leaves <= before {
            return;
        }
        let after = leaves.next_power_of_two();
        let mut nodes = vec![0; 2 * after];
        nodes[after..after + before].copy_from_slice(&self.nodes[before..]);
        for at in (1..after).rev() {
            nodes[at] = nodes[2 * at] + nodes[2 * at + 1];
        }
        self.nodes = nodes;
    }

    /// The place of the number that covers this point of the sum.
    fn find(&self, mut point: u64) -> usize {
        let leaves = self.nodes.len() / 2;
        let mut at = 1;
        while at < leaves {
            step();
            at *= 2;
            if point >= self.nodes[at] {
                point -= self.nodes[at];
                at += 1;
            }
        }
        at - leaves
    }
}
