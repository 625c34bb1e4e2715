use std::collections::BTreeMap;

use crate::event::Route;
use crate::link::Link;
use crate::{Dice, LinkConfig};

/// The links between hosts, one for each direction of each pair, made when first used.
#[derive(Debug)]
pub(crate) struct Links {
    seed: u64,
    default: LinkConfig,
    pairs: BTreeMap<(u32, u32), Pair>,
}

#[derive(Debug)]
struct Pair {
    link: Link,
    /// Whether it has a configuration of its own.
    own: bool,
}

impl Links {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, default: LinkConfig::default(), pairs: BTreeMap::new() }
    }

    pub(crate) fn set_default(&mut self, config: LinkConfig) {
        self.default = config;
        for ((from, to), pair) in &mut self.pairs {
            if !pair.own && from != to {
                pair.link.configure(config);
            }
        }
    }

    pub(crate) fn set(&mut self, route: Route, config: LinkConfig) {
        let pair = self.pair(route);
        pair.own = true;
        pair.link.configure(config);
    }

    pub(crate) fn find(&self, route: Route) -> Option<&Link> {
        self.pairs.get(&(route.from.0, route.to.0)).map(|pair| &pair.link)
    }

    pub(crate) fn get(&mut self, route: Route) -> &mut Link {
        &mut self.pair(route).link
    }

    fn pair(&mut self, route: Route) -> &mut Pair {
        let Self { seed, default, pairs } = self;
        pairs.entry((route.from.0, route.to.0)).or_insert_with(|| {
            // What a host sends to itself does not leave it.
            let config = if route.from == route.to { LinkConfig::default() } else { *default };
            let dice = dice(*seed, DiceOf::Between, route.from.0, route.to.0);
            Pair { link: Link::new(config, dice), own: false }
        })
    }
}

/// Who owns dice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DiceOf {
    Between = 1,
    Uplink,
    Downlink,
    Host,
}

/// The dice of something that belongs to one or two hosts.
pub(crate) fn dice(seed: u64, of: DiceOf, host: u32, other: u32) -> Dice {
    Dice::new(seed, (of as u64) << 60 | u64::from(host) << 30 | u64::from(other))
}
