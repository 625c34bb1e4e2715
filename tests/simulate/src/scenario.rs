//! The scenarios: who is there, who talks to whom, and what is between them.

use rtmfp_netsim::Dice;

use crate::identity::Cryptography;
use crate::trial::{Outcome, Trial};
use crate::{fleet, legacy, relay};

/// A scenario.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Scenario {
    /// Two nodes.
    Pair,
    /// Clients of a server.
    Star,
    /// A few nodes that open sessions to each other at once.
    Mesh,
    /// Nodes behind NAT boxes of all kinds.
    Nat,
    /// The same, and all find each other through somebody with whom they register.
    Introduced,
    /// Up to 50 nodes.
    Crowd,
    /// Two or three nodes with real cryptography.
    Flash,
    /// The relay's service between RTMP clients and a server.
    Relay,
    /// Redirectors, and relays that register with them.
    Fleet,
    /// The relay's service between peers of the installed base and RTMP.
    Legacy,
    /// Handshakes of a client of the installed base, one after the other.
    Handshakes,
}

/// Names and shares of a thousand.
const ALL: [(Scenario, &str, u64); 11] = [
    (Scenario::Pair, "pair", 305),
    (Scenario::Star, "star", 160),
    (Scenario::Mesh, "mesh", 140),
    (Scenario::Nat, "nat", 120),
    (Scenario::Introduced, "introduced", 80),
    (Scenario::Crowd, "crowd", 10),
    (Scenario::Flash, "flash", 60),
    (Scenario::Relay, "relay", 85),
    (Scenario::Fleet, "fleet", 20),
    (Scenario::Legacy, "legacy", 20),
    // By name only.
    (Scenario::Handshakes, "handshakes", 0),
];

/// Which nodes there are.
pub(crate) struct Shape {
    pub(crate) targets: Vec<Vec<usize>>,
    /// The number of the NAT box that each is behind.
    pub(crate) behind_nat: Vec<Option<usize>>,
    pub(crate) cryptography: Cryptography,
    /// All register with somebody who introduces them to each other.
    pub(crate) introduced: bool,
}

impl Scenario {
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ALL.into_iter().map(|(_, name, _)| name)
    }

    pub(crate) fn find(name: &str) -> Option<Self> {
        ALL.into_iter().find(|(_, other, _)| *other == name).map(|(scenario, ..)| scenario)
    }

    pub(crate) fn name(self) -> &'static str {
        ALL.into_iter().find(|(other, ..)| *other == self).map_or("", |(_, name, _)| name)
    }

    /// The one of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let mut thrown = dice.below(ALL.iter().map(|(.., share)| share).sum());
        for (scenario, _, share) in ALL {
            if thrown < share {
                return scenario;
            }
            thrown -= share;
        }
        Self::Pair
    }

    /// Runs a seed of it.
    ///
    /// # Panics
    /// When anything is not as it has to be.
    pub(crate) fn run(self, seed: u64, logs: bool) -> Outcome {
        let mut dice = Dice::new(seed, 2);
        match self {
            Self::Relay => return relay::run(seed, dice),
            Self::Fleet => return fleet::run(seed, dice),
            Self::Legacy => return legacy::run(seed, dice),
            Self::Handshakes => return legacy::handshakes(seed, dice),
            _ => {}
        }
        let shape = self.shape(&mut dice);
        Trial::new(seed, shape, dice, logs).run()
    }

    fn shape(self, dice: &mut Dice) -> Shape {
        let cryptography = if self == Self::Flash { Cryptography::Flash } else { Cryptography::Plain };
        let nodes = match self {
            Self::Pair => 2,
            Self::Flash => 2 + dice.below(2) as usize,
            Self::Star | Self::Nat | Self::Introduced => 3 + dice.below(4) as usize,
            Self::Mesh => 3 + dice.below(3) as usize,
            Self::Crowd | Self::Relay | Self::Fleet | Self::Legacy | Self::Handshakes => {
                20 + dice.below(31) as usize
            }
        };
        let mut behind_nat = vec![None; nodes];
        let all_but = |node| (0..nodes).filter(|&other| other != node).collect::<Vec<_>>();
        let targets = match self {
            // Both open to each other, or one to the other.
            Self::Pair | Self::Flash if dice.chance(0.5) => (0..nodes).map(all_but).collect(),
            Self::Mesh => (0..nodes).map(all_but).collect(),
            Self::Introduced => {
                let boxes = 1 + dice.below(3);
                for node in &mut behind_nat {
                    *node = dice.chance(0.7).then(|| dice.below(boxes) as usize);
                }
                (0..nodes).map(all_but).collect()
            }
            Self::Nat => {
                let boxes = 1 + dice.below(3);
                // The first is public, so that all can reach somebody.
                for node in &mut behind_nat[1..] {
                    *node = dice.chance(0.8).then(|| dice.below(boxes) as usize);
                }
                let reaches = |node: usize, other: usize| {
                    node != other && (behind_nat[other].is_none() || behind_nat[other] == behind_nat[node])
                };
                let targets = |node| (0..nodes).filter(|&other| reaches(node, other)).collect();
                (0..nodes).map(targets).collect()
            }
            _ => (0..nodes).map(|node| if node == 0 { Vec::new() } else { vec![0] }).collect(),
        };
        Shape { targets, behind_nat, cryptography, introduced: self == Self::Introduced }
    }
}
