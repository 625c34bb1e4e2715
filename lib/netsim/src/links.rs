use std::collections::BTreeMap;

use rtmfp_base::Time;

use crate::event::SegmentId;
use crate::link::Link;
use crate::path::{Node, Path, Place, Route, Stage};
use crate::{Dice, Faults, LinkConfig};

/// All links. Those of pairs of nodes, one for each direction, are made when first used; up- and downlinks
/// when they are configured.
#[derive(Debug)]
pub(crate) struct Links {
    seed: u64,
    default: LinkConfig,
    links: BTreeMap<Place, Placed>,
}

#[derive(Debug)]
struct Placed {
    link: Link,
    /// Whether it has a configuration of its own.
    own: bool,
    /// Segments of byte streams that wait for the end of a blockade.
    parked: Vec<SegmentId>,
}

impl Links {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, default: LinkConfig::default(), links: BTreeMap::new() }
    }

    /// # Panics
    /// When the configuration makes no sense.
    pub(crate) fn set_default(&mut self, config: LinkConfig) {
        config.check();
        self.default = config;
        for (place, placed) in &mut self.links {
            if let Place::Between(Route { from, to }) = place
                && !placed.own
                && from != to
            {
                placed.link.configure(config);
            }
        }
    }

    /// # Panics
    /// When the configuration makes no sense.
    pub(crate) fn set(&mut self, place: Place, config: LinkConfig) {
        config.check();
        let placed = self.placed(place);
        placed.own = true;
        placed.link.configure(config);
    }

    pub(crate) fn find(&self, place: Place) -> Option<&Link> {
        self.links.get(&place).map(|placed| &placed.link)
    }

    pub(crate) fn between(&mut self, from: Node, to: Node) -> &mut Link {
        &mut self.placed(Place::Between(Route { from, to })).link
    }

    /// Ends a blockade; gives the segments that waited for it.
    pub(crate) fn unblock(&mut self, from: Node, to: Node) -> Vec<SegmentId> {
        let placed = self.placed(Place::Between(Route { from, to }));
        placed.link.unblock();
        core::mem::take(&mut placed.parked)
    }

    /// The link at a stage of a path, if there is one.
    pub(crate) fn at(&mut self, path: Path, stage: Stage) -> Option<&mut Link> {
        self.placed_at(path, stage).map(|placed| &mut placed.link)
    }

    /// Has the link at a stage of a path, if there is one, carry a segment of a byte stream; says when it arrives,
    /// if it does not have to wait.
    pub(crate) fn carry(
        &mut self,
        now: Time,
        path: Path,
        stage: Stage,
        id: SegmentId,
        len: usize,
    ) -> Option<Option<Time>> {
        let placed = self.placed_at(path, stage)?;
        let at = placed.link.carry(now, len);
        if at.is_none() {
            placed.parked.push(id);
        }
        Some(at)
    }

    fn placed_at(&mut self, path: Path, stage: Stage) -> Option<&mut Placed> {
        match path.place(stage)? {
            place @ Place::Between(_) => Some(self.placed(place)),
            place => self.links.get_mut(&place),
        }
    }

    pub(crate) fn add_faults(&self, faults: &mut Faults) {
        for placed in self.links.values() {
            placed.link.counters.add_faults(faults);
        }
    }

    fn placed(&mut self, place: Place) -> &mut Placed {
        let Self { seed, default, links } = self;
        links.entry(place).or_insert_with(|| {
            let (config, dice) = match place {
                Place::Up(node) => (LinkConfig::default(), dice(*seed, DiceOf::Uplink, node.number(), 0)),
                Place::Down(node) => (LinkConfig::default(), dice(*seed, DiceOf::Downlink, node.number(), 0)),
                Place::Between(Route { from, to }) => {
                    // What a host sends to itself does not leave it.
                    let config = if from == to { LinkConfig::default() } else { *default };
                    (config, dice(*seed, DiceOf::Between, from.number(), to.number()))
                }
            };
            Placed { link: Link::new(config, dice), own: false, parked: Vec::new() }
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
    Nat,
}

/// The dice of something that belongs to one or two nodes.
pub(crate) fn dice(seed: u64, of: DiceOf, node: u32, other: u32) -> Dice {
    Dice::new(seed, (of as u64) << 60 | u64::from(node) << 30 | u64::from(other))
}
