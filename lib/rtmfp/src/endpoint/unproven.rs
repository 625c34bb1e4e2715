//! Sessions that others opened and have not used yet: whoever has a cookie can make them, so they have a share only.

use core::net::IpAddr;
use rtmfp_base::Prefix;
use std::collections::HashMap;

use crate::config::Limits;

/// How many responder sessions wait for their first packet: in all, and by where the initiator is.
#[derive(Debug, Default)]
pub(crate) struct Unproven {
    total: usize,
    by_prefix: HashMap<Prefix, usize>,
}

impl Unproven {
    /// Counts one more, if the limits let it.
    pub(crate) fn add(&mut self, limits: &Limits, ip: IpAddr) -> bool {
        let prefix = Prefix::from(ip);
        let own = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        if self.total >= limits.unproven_sessions || own >= limits.unproven_prefix {
            return false;
        }
        self.total += 1;
        *self.by_prefix.entry(prefix).or_default() += 1;
        true
    }

    /// One has been used, or has ended.
    pub(crate) fn remove(&mut self, ip: IpAddr) {
        let prefix = Prefix::from(ip);
        let Some(count) = self.by_prefix.get_mut(&prefix) else { return };
        *count -= 1;
        self.total -= 1;
        if *count == 0 {
            self.by_prefix.remove(&prefix);
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.total
    }
}
