//! Public-key work: who asked for which job.

use std::collections::{BTreeMap, HashMap, VecDeque};

use rtmfp_base::{Job, JobId, JobResult, Prefix};

use crate::SessionId;
use crate::crypto::{InitiatorSecret, KeyingError, SessionKeys};

/// What a job is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// As initiator: the component and the signature.
    Offer(SessionId),
    /// As initiator: the same once more, in another way.
    FallBack(SessionId),
    /// As initiator: a signature under another cookie.
    Resign(SessionId),
    /// As initiator: the keys.
    Conclude(SessionId),
    /// As responder: all of it, for an initiator behind this prefix.
    Respond(SessionId, Prefix),
}

/// Result of [`Owner::Offer`].
pub(crate) type OfferResult = Result<Offered, KeyingError>;
/// Result of [`Owner::Resign`].
pub(crate) type ResignResult = (Vec<u8>, Vec<u8>);
/// Result of [`Owner::Conclude`].
pub(crate) type ConcludeResult = Result<SessionKeys, KeyingError>;
/// Result of [`Owner::Respond`].
pub(crate) type RespondResult = Result<Responded, KeyingError>;

#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) component: Vec<u8>,
    pub(crate) secret: Secret,
    /// The near certificate that goes with it.
    pub(crate) certificate: Vec<u8>,
    /// Parameters and signature of the IIKeying chunk.
    pub(crate) parameters: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// An initiator's secret; does not print.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) InitiatorSecret);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

#[derive(Debug)]
pub(crate) struct Responded {
    /// The RIKeying chunk.
    pub(crate) chunk: Vec<u8>,
    pub(crate) keys: SessionKeys,
    /// The initiator's component, that the answer belongs to.
    pub(crate) component: Vec<u8>,
}

impl Owner {
    fn session(self) -> SessionId {
        match self {
            Self::Offer(id)
            | Self::FallBack(id)
            | Self::Resign(id)
            | Self::Conclude(id)
            | Self::Respond(id, _) => id,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    queue: VecDeque<Job>,
    owners: BTreeMap<JobId, Owner>,
    /// Hosts of many endpoints have 32 bits for the number of a job.
    next: u32,
    /// Jobs of responders: in all, and for each prefix.
    responding: usize,
    by_prefix: HashMap<Prefix, usize>,
}

impl Jobs {
    pub(crate) fn push<T: Send + 'static>(
        &mut self,
        owner: Owner,
        work: impl FnOnce() -> T + Send + 'static,
    ) {
        let id = JobId(self.next.into());
        self.next = self.next.wrapping_add(1);
        self.owners.insert(id, owner);
        if let Owner::Respond(_, prefix) = owner {
            self.responding += 1;
            *self.by_prefix.entry(prefix).or_default() += 1;
        }
        self.queue.push_back(Job::new(id, move || Box::new(work()) as JobResult));
    }

    pub(crate) fn poll(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    pub(crate) fn take_owner(&mut self, id: JobId) -> Option<Owner> {
        let owner = self.owners.remove(&id)?;
        if let Owner::Respond(_, prefix) = owner {
            self.responding -= 1;
            if let Some(count) = self.by_prefix.get_mut(&prefix) {
                *count -= 1;
                if *count == 0 {
                    self.by_prefix.remove(&prefix);
                }
            }
        }
        Some(owner)
    }

    /// Forgets the jobs of a session that has ended while they waited or ran, or were lost.
    pub(crate) fn forget(&mut self, session: SessionId) {
        let own: Vec<JobId> =
            self.owners.iter().filter(|(_, owner)| owner.session() == session).map(|(id, _)| *id).collect();
        for id in own {
            self.take_owner(id);
            self.queue.retain(|job| job.id != id);
        }
    }

    /// Whether one more responder handshake may begin. A prefix may have no more under way than are left for all
    /// others, so nobody can use up all of them.
    pub(crate) fn may_respond(&self, limit: usize, prefix: Prefix) -> bool {
        let own = self.by_prefix.get(&prefix).copied().unwrap_or_default();
        own < limit.saturating_sub(self.responding)
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.owners.len()
    }
}
