use core::net::SocketAddr;
use std::collections::BTreeSet;

use bytes::Bytes;
use rtmfp::wire::{Address, Origin};
use rtmfp::{RecvFlowId, SendFlowId, SessionId};
use rtmfp_base::{Id, IdKind, Time};

use super::config::ServerConfig;
use super::takers::Families;
use crate::wire::Settings;

/// Marks ids of registrants.
#[derive(Debug)]
pub struct TargetKind;
impl IdKind for TargetKind {
    const PREFIX: &'static str = "t";
}

/// A registrant.
pub type TargetId = Id<TargetKind>;

/// How things stand with a registrant.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum TargetState {
    /// It has not registered, and authenticated neither if that is asked for.
    New,
    /// It gets clients.
    Active,
    /// It would get clients if it had named an address.
    Unreachable,
    /// It gets no clients because of its load.
    Full,
    /// It gets no clients because it does not answer.
    Silent,
    /// It wants no new clients.
    Draining,
    /// Its authentication was bad; it will be told soon.
    Refused,
}

/// Why a registrant is one no longer.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It left in order.
    Left,
    /// Its session was lost.
    Lost,
    /// It registered anew.
    Replaced,
    /// It did not authenticate, or wrongly, or its user is none any longer.
    BadAuth,
    /// It did not authenticate in time.
    Late,
    /// It broke the protocol, or a limit.
    Broken,
    /// It had not authenticated, and made room for others who may.
    Displaced,
}

/// What can be told of a registrant.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TargetInfo {
    /// Where its session is.
    pub address: SocketAddr,
    /// Its fingerprint, or what its certificate's discriminator has instead.
    pub identity: Bytes,
    /// How things stand with it.
    pub state: TargetState,
    /// The users as whom it has authenticated.
    pub users: Vec<Vec<u8>>,
    /// Where it wants its clients sent.
    pub settings: Settings,
    /// The load that it reported last.
    pub load: u64,
    /// Redirects that named it.
    pub redirects: u64,
    /// Hellos that were forwarded to it.
    pub forwards: u64,
    /// When it came.
    pub since: Time,
}

/// A registrant.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) flow: RecvFlowId,
    pub(super) session: SessionId,
    pub(super) return_flow: Option<SendFlowId>,
    pub(super) trust: Trust,
    /// What it wants; `None` until it registers.
    pub(super) registered: Option<Registered>,
    /// The pools that it serves.
    pub(super) pools: Vec<usize>,
    /// It gets clients of these families.
    pub(super) listed: Families,
    /// How many packets had come from it, and when there were fewer.
    pub(super) heard: (u64, Time),
    pub(super) silent: bool,
    pub(super) info: TargetInfo,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Registered {
    Active,
    Draining,
}

#[derive(Debug)]
pub(super) struct Trust {
    pub(super) authenticated: bool,
    pub(super) users: BTreeSet<Vec<u8>>,
    /// It is to be refused at the deadline; what it sends is not read.
    pub(super) refused: bool,
    /// When it is refused, or has to have authenticated.
    pub(super) deadline: Option<Time>,
}

impl Target {
    pub(super) fn has_address(&self) -> bool {
        self.info.settings.reflexive || !self.info.settings.addresses.is_empty()
    }

    /// The families of its addresses; all, if it has none.
    pub(super) fn families(&self) -> Families {
        match self.has_address() {
            true => Families::of(self.addresses().map(|address| address.addr)),
            false => Families::ALL,
        }
    }

    /// Where clients find it.
    pub(super) fn addresses(&self) -> impl Iterator<Item = Address> {
        let observed = Address { origin: Origin::Observed, addr: self.info.address };
        let reflexive = self.info.settings.reflexive.then_some(observed);
        reflexive.into_iter().chain(self.info.settings.addresses.iter().copied())
    }

    pub(super) fn state(&self, config: &ServerConfig) -> TargetState {
        match self.registered {
            _ if self.trust.refused => TargetState::Refused,
            None => TargetState::New,
            Some(Registered::Draining) => TargetState::Draining,
            Some(Registered::Active) if self.silent => TargetState::Silent,
            Some(Registered::Active) if self.info.load >= config.full_load => TargetState::Full,
            // Clients whose hellos are forwarded to it need no address of it: it has theirs.
            Some(Registered::Active) if !self.has_address() && !config.forward_any_family => {
                TargetState::Unreachable
            }
            Some(Registered::Active) => TargetState::Active,
        }
    }
}
