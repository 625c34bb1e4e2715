//! Which targets a client is sent to.
//!
//! A [`Selection`] has the targets that take clients, and chooses some of them by its [`Policy`]. A choice takes time that
//! does not grow, or grows with the logarithm of the number of targets only.

mod least_load;
mod ring;
mod rotation;
mod steps;
#[cfg(test)]
mod tests;
mod weighted;

use core::fmt::Debug;
use core::hash::Hash;
use core::time::Duration;

use rand::rngs::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use rtmfp_base::Time;

use least_load::LeastLoad;
use ring::Ring;
use rotation::Rotation;
pub(crate) use steps::step;
#[cfg(test)]
pub(crate) use steps::steps;
use weighted::Weighted;

/// How targets are chosen. Those that are chosen together are named in the order of their loads.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Policy {
    /// Of two that chance picks, the one with less load (the "power of two choices"). To the load that a target has
    /// reported is added what it was handed out since.
    #[default]
    LeastLoad,
    /// By chance, one with twice the load half as often.
    Weighted,
    /// In turns, whatever their loads are.
    RoundRobin,
    /// The same target for the same key, as long as it is there; when others come and go, few keys change their target
    /// (consistent hashing). Each target gets about as many keys, whatever its load is. All redirectors with the same
    /// targets choose alike.
    Hash,
}

/// Settings of a [`Selection`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SelectionConfig {
    /// How targets are chosen.
    pub policy: Policy,
    /// Of [`Policy::LeastLoad`]: what a client adds to a target's load, in the unit of its reports. Too little, and a target
    /// gets too many clients between two reports; too much only makes it wait for its next report. Default 1.
    pub client_load: u64,
    /// Of [`Policy::LeastLoad`]: what a target was handed out counts half after so long, for those that do not report.
    /// Default 30 s.
    pub half_life: Duration,
    /// Of [`Policy::Hash`]: points of each target on the ring. More spread the keys more evenly, and take memory (some
    /// 50 bytes each). Default 64.
    pub ring_points: u32,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            client_load: 1,
            half_life: Duration::from_secs(30),
            ring_points: 64,
        }
    }
}

/// What names a target.
pub trait Target: Copy + Debug + Eq + Hash {}

impl<T: Copy + Debug + Eq + Hash> Target for T {}

/// The targets that take clients.
#[derive(Debug)]
pub struct Selection<T> {
    order: Order<T>,
    rng: ChaCha20Rng,
}

#[derive(Debug)]
enum Order<T> {
    LeastLoad(LeastLoad<T>),
    Weighted(Weighted<T>),
    RoundRobin(Rotation<T>),
    Hash(Ring<T>),
}

impl<T: Target> Selection<T> {
    /// Without targets. Equal seeds and calls give equal choices.
    pub fn new(config: &SelectionConfig, seed: [u8; 32]) -> Self {
        let order = match config.policy {
            Policy::LeastLoad => Order::LeastLoad(LeastLoad::new(config.client_load, config.half_life)),
            Policy::Weighted => Order::Weighted(Weighted::new()),
            Policy::RoundRobin => Order::RoundRobin(Rotation::new()),
            Policy::Hash => Order::Hash(Ring::new(config.ring_points)),
        };
        Self { order, rng: ChaCha20Rng::from_seed(seed) }
    }

    /// How many targets there are.
    pub fn len(&self) -> usize {
        match &self.order {
            Order::LeastLoad(order) => order.len(),
            Order::Weighted(order) => order.len(),
            Order::RoundRobin(order) => order.len(),
            Order::Hash(order) => order.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a target. In turns it comes first. `name` is what keys are hashed to it by: the same at every redirector.
    pub fn insert(&mut self, target: T, name: &[u8], load: u64) {
        self.remove(target);
        match &mut self.order {
            Order::LeastLoad(order) => order.insert(target, load),
            Order::Weighted(order) => order.insert(target, load),
            Order::RoundRobin(order) => order.insert(target, load),
            Order::Hash(order) => order.insert(target, name, load),
        }
    }

    /// Takes a target out, if it is there.
    pub fn remove(&mut self, target: T) {
        match &mut self.order {
            Order::LeastLoad(order) => order.remove(target),
            Order::Weighted(order) => order.remove(target),
            Order::RoundRobin(order) => order.remove(target),
            Order::Hash(order) => order.remove(target),
        }
    }

    /// A target has reported its load.
    pub fn report(&mut self, target: T, load: u64) {
        match &mut self.order {
            Order::LeastLoad(order) => order.report(target, load),
            Order::Weighted(order) => order.report(target, load),
            Order::RoundRobin(order) => order.report(target, load),
            Order::Hash(order) => order.report(target, load),
        }
    }

    /// Chooses so many targets, or all if there are fewer, for a client; `key` matters to [`Policy::Hash`] only.
    pub fn choose(&mut self, now: Time, count: usize, key: &[u8]) -> Vec<T> {
        let count = count.min(self.len());
        let mut chosen = match &mut self.order {
            Order::LeastLoad(order) => order.choose(now, count, &mut self.rng),
            Order::Weighted(order) => order.choose(count, &mut self.rng),
            Order::RoundRobin(order) => order.choose(count),
            Order::Hash(order) => order.choose(count, key),
        };
        chosen.sort_by_key(|&(load, _)| load);
        chosen.into_iter().map(|(_, target)| target).collect()
    }

    /// Has the turns go another way; the other policies have nothing to shuffle. The time for it grows with the number of
    /// targets.
    pub fn shuffle(&mut self) {
        if let Order::RoundRobin(order) = &mut self.order {
            order.shuffle(&mut self.rng);
        }
    }
}

/// A number below `bound`, which is not 0; its bias is below any that could be measured.
fn below(rng: &mut ChaCha20Rng, bound: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(bound)) >> 64) as u64
}
