//! The targets of a pool that get clients, by the families of their addresses.

use core::net::SocketAddr;

use rtmfp_base::Time;

use super::target::TargetId;
use crate::selection::Selection;

/// Families of addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Families {
    v4: bool,
    v6: bool,
}

impl Families {
    pub(super) const NONE: Self = Self { v4: false, v6: false };
    pub(super) const ALL: Self = Self { v4: true, v6: true };

    pub(super) fn of(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        addresses.fold(Self::NONE, |so_far, address| {
            let v4 = is_ipv4(address);
            Self { v4: so_far.v4 || v4, v6: so_far.v6 || !v4 }
        })
    }
}

/// Whether it is an address of IPv4, one in the clothes of IPv6 included.
pub(crate) fn is_ipv4(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_ipv4()
}

/// The targets of a pool that get clients.
///
/// A client gets targets that have an address of the family that it has come by, the one of which it is known that it can use
/// it, as long as there are any. A target with addresses of both is chosen in both, and what it was handed out in one counts in
/// the other from its next report on.
#[derive(Debug)]
pub(super) struct Takers {
    v4: Selection<TargetId>,
    v6: Selection<TargetId>,
    count: usize,
}

impl Takers {
    pub(super) fn new(mut selection: impl FnMut() -> Selection<TargetId>) -> Self {
        Self { v4: selection(), v6: selection(), count: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Has a target get clients of some families, after it has got those of others.
    pub(super) fn list(
        &mut self,
        target: TargetId,
        (before, now): (Families, Families),
        name: &[u8],
        load: u64,
    ) {
        let both = [(&mut self.v4, before.v4, now.v4), (&mut self.v6, before.v6, now.v6)];
        for (selection, before, now) in both {
            match (before, now) {
                (false, true) => selection.insert(target, name, load),
                (true, false) => selection.remove(target),
                _ => {}
            }
        }
        self.count -= usize::from(before != Families::NONE);
        self.count += usize::from(now != Families::NONE);
    }

    pub(super) fn report(&mut self, target: TargetId, load: u64) {
        self.v4.report(target, load);
        self.v6.report(target, load);
    }

    /// Chooses so many targets for a client that has come from there.
    pub(super) fn choose(&mut self, now: Time, from: SocketAddr, count: usize, key: &[u8]) -> Vec<TargetId> {
        let (near, other) =
            if is_ipv4(from) { (&mut self.v4, &mut self.v6) } else { (&mut self.v6, &mut self.v4) };
        let selection = if near.is_empty() { other } else { near };
        selection.choose(now, count, key)
    }

    pub(super) fn shuffle(&mut self) {
        self.v4.shuffle();
        self.v6.shuffle();
    }
}
