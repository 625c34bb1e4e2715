//! Consistent hashing: each target has points on a ring of numbers, a key belongs to the target of the first point behind it.

use std::collections::{BTreeMap, HashMap};

use super::Target;
use super::steps::{Place, step};

#[derive(Debug)]
pub(super) struct Ring<T> {
    points: BTreeMap<Place, T>,
    /// The hash of its name, and its load.
    targets: HashMap<T, (u64, u64)>,
    points_each: u32,
}

/// Where the bytes lie on the ring. Everybody who has the same targets has to come to the same conclusion, so there is no
/// secret in it (FNV-1a, with the last step of SplitMix64 to spread what is alike).
fn hash(bytes: &[u8]) -> u64 {
    spread(
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum: u64, &byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        }),
    )
}

fn spread(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn points(name: u64, count: u32) -> impl Iterator<Item = Place> {
    (1..=u64::from(count))
        .map(move |number| Place(spread(name.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))))
}

impl<T: Target> Ring<T> {
    pub(super) fn new(points_each: u32) -> Self {
        Self { points: BTreeMap::new(), targets: HashMap::new(), points_each: points_each.max(1) }
    }

    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    pub(super) fn insert(&mut self, target: T, name: &[u8], load: u64) {
        let name = hash(name);
        self.targets.insert(target, (name, load));
        for point in points(name, self.points_each) {
            self.points.entry(point).or_insert(target);
        }
    }

    pub(super) fn remove(&mut self, target: T) {
        let Some((name, _)) = self.targets.remove(&target) else { return };
        for point in points(name, self.points_each) {
            if self.points.get(&point) == Some(&target) {
                self.points.remove(&point);
            }
        }
    }

    pub(super) fn report(&mut self, target: T, load: u64) {
        if let Some(known) = self.targets.get_mut(&target) {
            known.1 = load;
        }
    }

    pub(super) fn choose(&self, count: usize, key: &[u8]) -> Vec<(u128, T)> {
        let mut chosen: Vec<(u128, T)> = Vec::with_capacity(count);
        let start = Place(hash(key));
        // Several points of one target may follow each other.
        for &target in self.points.range(start..).chain(self.points.range(..start)).map(|(_, target)| target)
        {
            step();
            if chosen.len() == count {
                break;
            }
            if chosen.iter().all(|(_, other)| *other != target)
                && let Some((_, load)) = self.targets.get(&target)
            {
                chosen.push(((*load).into(), target));
            }
        }
        chosen
    }
}
