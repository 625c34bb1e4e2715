use crate::HostId;

/// A NAT box of a [`Network`](crate::Network).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NatId(pub(crate) u32);

/// What links end at: a host or a NAT box.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Node {
    /// A host.
    Host(HostId),
    /// A NAT box, for all hosts behind it.
    Nat(NatId),
}

impl Node {
    /// A number that no other node has, of 30 bits.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Host(id) => id.0,
            Self::Nat(id) => 1 << 29 | id.0,
        }
    }
}

impl From<HostId> for Node {
    fn from(id: HostId) -> Self {
        Self::Host(id)
    }
}

impl From<NatId> for Node {
    fn from(id: NatId) -> Self {
        Self::Nat(id)
    }
}

/// From which node to which.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Route {
    pub(crate) from: Node,
    pub(crate) to: Node,
}

/// Where a link is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    Up(Node),
    Between(Route),
    Down(Node),
}

/// The way of a datagram or a segment from one host to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Path {
    pub(crate) from: HostId,
    /// `None`: the NAT box has yet to say.
    pub(crate) to: Option<HostId>,
    /// The NAT box by which it leaves the sender's network.
    pub(crate) out: Option<NatId>,
    /// The NAT box by which it enters the receiver's network.
    pub(crate) into: Option<NatId>,
    /// The receiver's network: that behind a NAT box, or the public one.
    pub(crate) site: Option<NatId>,
}

impl Path {
    /// The way back, to a host in this network.
    pub(crate) fn back(self, site: Option<NatId>) -> Option<Self> {
        Some(Self { from: self.to?, to: Some(self.from), out: self.into, into: self.out, site })
    }

    /// Whether it turns round in a NAT box, to another host behind it.
    pub(crate) fn is_hairpin(self) -> bool {
        self.out.is_some() && self.out == self.into
    }

    /// The link's place at a stage, if there may be one.
    pub(crate) fn place(self, stage: Stage) -> Option<Place> {
        let stays = self.to == Some(self.from) && self.out.is_none();
        match stage {
            Stage::Uplink if !stays => Some(Place::Up(self.from.into())),
            Stage::NatUplink if !self.is_hairpin() => Some(Place::Up(self.out?.into())),
            Stage::Between => self.between().map(Place::Between),
            Stage::NatDownlink if !self.is_hairpin() => Some(Place::Down(self.into?.into())),
            Stage::Downlink if !stays => Some(Place::Down(self.to?.into())),
            _ => None,
        }
    }

    /// The two nodes whose link it passes; none if it turns round before.
    pub(crate) fn between(self) -> Option<Route> {
        if self.is_hairpin() {
            return None;
        }
        let from = self.out.map_or(Node::Host(self.from), Node::Nat);
        let to = self.into.map(Node::Nat).or_else(|| self.to.map(Node::Host))?;
        Some(Route { from, to })
    }
}

/// How far something has come on its path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    Uplink,
    /// The NAT box translates the sender's address.
    NatOut,
    NatUplink,
    Between,
    NatDownlink,
    /// The NAT box translates the receiver's address.
    NatIn,
    Downlink,
    Arrived,
}

impl Stage {
    /// The stage behind this one; the last has none but itself.
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Uplink => Self::NatOut,
            Self::NatOut => Self::NatUplink,
            Self::NatUplink => Self::Between,
            Self::Between => Self::NatDownlink,
            Self::NatDownlink => Self::NatIn,
            Self::NatIn => Self::Downlink,
            Self::Downlink | Self::Arrived => Self::Arrived,
        }
    }
}
