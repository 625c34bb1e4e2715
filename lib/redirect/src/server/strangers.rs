//! Registrants that have not authenticated.

use core::net::IpAddr;
use std::collections::{BTreeMap, HashMap};

use rtmfp_base::Prefix;

use super::target::TargetId;

/// Registrants that have not authenticated, by the prefixes that they are from, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    by_prefix: HashMap<Prefix, BTreeMap<u64, TargetId>>,
    places: HashMap<TargetId, (Prefix, u64)>,
    /// How many have come so far.
    come: u64,
}

impl Strangers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many there are from the prefix of an address.
    pub(super) fn from(&self, ip: IpAddr) -> usize {
        self.by_prefix.get(&ip.into()).map_or(0, BTreeMap::len)
    }

    pub(super) fn insert(&mut self, ip: IpAddr, target: TargetId) {
        let prefix = Prefix::from(ip);
        self.by_prefix.entry(prefix).or_default().insert(self.come, target);
        self.places.insert(target, (prefix, self.come));
        self.come += 1;
    }

    /// One has authenticated, or left, if it was one.
    pub(super) fn remove(&mut self, target: TargetId) {
        let Some((prefix, place)) = self.places.remove(&target) else { return };
        if let Some(here) = self.by_prefix.get_mut(&prefix) {
            here.remove(&place);
            if here.is_empty() {
                self.by_prefix.remove(&prefix);
            }
        }
    }

    /// The one who has been there longest of those from the prefix of an address.
    pub(super) fn oldest_from(&self, ip: IpAddr) -> Option<TargetId> {
        self.by_prefix.get(&ip.into())?.values().next().copied()
    }

    /// The one who has been there longest of those from the prefix that most are from.
    pub(super) fn oldest_of_most(&self) -> Option<TargetId> {
        let oldest = |here: &BTreeMap<u64, TargetId>| here.first_key_value().map(|(&place, _)| place);
        let most = self.by_prefix.values().max_by_key(|here| (here.len(), core::cmp::Reverse(oldest(here))));
        most?.values().next().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtmfp_base::Arena;

    #[test]
    fn room_is_made_by_the_oldest_of_the_prefix_that_has_most_and_of_equal_ones_by_the_older() {
        let (mut ids, mut strangers) = (Arena::new(), Strangers::default());
        let nets = [1, 2, 1, 2, 3, 1];
        let all: Vec<TargetId> = nets.iter().map(|_| ids.insert(())).collect();
        for (&net, &target) in nets.iter().zip(&all) {
            strangers.insert([192, 0, net, 7].into(), target);
        }
        let ip = |net| IpAddr::from([192, 0, net, 200]);
        assert_eq!([1, 2, 3, 4].map(|net| strangers.from(ip(net))), [3, 2, 1, 0]);
        assert_eq!((strangers.oldest_from(ip(2)), strangers.oldest_from(ip(4))), (Some(all[1]), None));
        let mut order = Vec::new();
        while let Some(target) = strangers.oldest_of_most() {
            order.push(all.iter().position(|&other| other == target).unwrap());
            strangers.remove(target);
            strangers.remove(target);
            assert_eq!(strangers.len() + order.len(), all.len());
        }
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        assert!(strangers.by_prefix.is_empty());
    }
}
