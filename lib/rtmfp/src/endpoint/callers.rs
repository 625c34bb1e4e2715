//! Sessions that others have opened, by where they are: no network gets all there is, nor fills it with sessions that it
//! does not use, which whoever has a cookie can make.

use core::net::IpAddr;
use std::collections::HashMap;

use rtmfp_base::Prefix;

use crate::config::Limits;

/// Why a caller gets no session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// Too many wait for their first packet.
    Unproven,
    /// Its network has as many as it may.
    Share,
}

/// How many responder sessions there are, and how many of them wait for their first packet: in all, and by where the initiator
/// is.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    unproven: usize,
    by_prefix: HashMap<Prefix, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: usize,
    unproven: usize,
}

impl Callers {
    /// Counts one more, that has not been used yet, if the limits let it.
    pub(crate) fn add(&mut self, limits: &Limits, ip: IpAddr) -> Result<(), Refusal> {
        let prefix = Prefix::from(ip);
        let own = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        if self.unproven >= limits.unproven_sessions || own.unproven >= limits.unproven_prefix {
            return Err(Refusal::Unproven);
        }
        if own.all >= limits.prefix_sessions {
            return Err(Refusal::Share);
        }
        self.unproven += 1;
        self.by_prefix.insert(prefix, Count { all: own.all + 1, unproven: own.unproven + 1 });
        Ok(())
    }

    /// One has been used for the first time.
    pub(crate) fn prove(&mut self, ip: IpAddr) {
        if let Some(count) = self.by_prefix.get_mut(&Prefix::from(ip)) {
            count.unproven -= 1;
            self.unproven -= 1;
        }
    }

    /// One that was used or not has ended.
    pub(crate) fn remove(&mut self, ip: IpAddr, proven: bool) {
        if !proven {
            self.prove(ip);
        }
        let prefix = Prefix::from(ip);
        let Some(count) = self.by_prefix.get_mut(&prefix) else { return };
        count.all -= 1;
        if count.all == 0 {
            self.by_prefix.remove(&prefix);
        }
    }

    /// One that was used has moved. Nobody is turned away for that.
    pub(crate) fn move_to(&mut self, from: IpAddr, to: IpAddr) {
        self.remove(from, true);
        self.by_prefix.entry(Prefix::from(to)).or_default().all += 1;
    }

    /// How many have not been used yet.
    pub(crate) fn unproven(&self) -> usize {
        self.unproven
    }

    /// How many networks are known.
    pub(crate) fn prefixes(&self) -> usize {
        self.by_prefix.len()
    }
}
