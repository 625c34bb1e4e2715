//! The power of two choices.

use core::time::Duration;
use std::collections::HashMap;

use rand::rngs::ChaCha20Rng;
use rtmfp_base::Time;

use super::steps::step;
use super::{Target, below};

/// What one client counts, so that it can be split among those whom it may choose from.
const CLIENT: u64 = 1000;

/// Halvings after which nothing is left.
const MOST_HALVINGS: u128 = 63;

#[derive(Debug)]
pub(super) struct LeastLoad<T> {
    slots: Vec<Slot<T>>,
    places: HashMap<T, usize>,
    client_load: u64,
    half_life: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    target: T,
    load: u64,
    /// Clients handed out since the last report, in thousandths, and when the last halving of them was.
    handed: u64,
    halved: Time,
}

impl<T> Slot<T> {
    fn forget(&mut self, now: Time, half_life: Duration) {
        let half_life = half_life.as_micros().max(1);
        let halvings = now.since(self.halved).as_micros() / half_life;
        if halvings > 0 {
            self.handed >>= halvings.min(MOST_HALVINGS) as u32;
            self.halved = now;
        }
    }
}

impl<T: Target> LeastLoad<T> {
    pub(super) fn new(client_load: u64, half_life: Duration) -> Self {
        Self { slots: Vec::new(), places: HashMap::new(), client_load, half_life }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn insert(&mut self, target: T, load: u64) {
        self.places.insert(target, self.slots.len());
        self.slots.push(Slot { target, load, handed: 0, halved: Time::ZERO });
    }

    pub(super) fn remove(&mut self, target: T) {
        let Some(place) = self.places.remove(&target) else { return };
        self.slots.swap_remove(place);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.target, place);
        }
    }

    pub(super) fn report(&mut self, target: T, load: u64) {
        if let Some(slot) = self.places.get(&target).and_then(|&place| self.slots.get_mut(place)) {
            slot.load = load;
            slot.handed = 0;
        }
    }

    /// What a target carries by now, as far as can be known.
    fn weigh(&mut self, now: Time, place: usize) -> u128 {
        step();
        let Some(slot) = self.slots.get_mut(place) else { return u128::MAX };
        slot.forget(now, self.half_life);
        u128::from(slot.load) * u128::from(CLIENT) + u128::from(slot.handed) * u128::from(self.client_load)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.slots.swap(a, b);
        for place in [a, b] {
            if let Some(slot) = self.slots.get(place) {
                self.places.insert(slot.target, place);
            }
        }
    }

    pub(super) fn choose(&mut self, now: Time, count: usize, rng: &mut ChaCha20Rng) -> Vec<(u128, T)> {
        let mut chosen = Vec::with_capacity(count);
        // Those that are chosen go behind those that are left.
        let mut left = self.slots.len();
        while chosen.len() < count && left > 0 {
            let first = below(rng, left as u64) as usize;
            let mut choice = (self.weigh(now, first), first);
            if left > 1 {
                // Any but the first.
                let second = (first + 1 + below(rng, left as u64 - 1) as usize) % left;
                choice = choice.min((self.weigh(now, second), second));
            }
            let (weight, place) = choice;
            left -= 1;
            self.swap(place, left);
            if let Some(slot) = self.slots.get_mut(left) {
                if slot.handed == 0 {
                    slot.halved = now;
                }
                slot.handed = slot.handed.saturating_add(CLIENT / count as u64);
                chosen.push((weight, slot.target));
            }
        }
        chosen
    }
}
