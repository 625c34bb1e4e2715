//! Public-key work: who asked for which job.

use std::collections::{HashMap, VecDeque};

use rtmfp_base::{Job, JobId, JobResult};

use crate::SessionId;
use crate::crypto::{InitiatorSecret, KeyingError, SessionKeys};

/// What a job is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// As initiator: the component and the signature.
    Offer(SessionId),
    /// As initiator: a signature under another cookie.
    Resign(SessionId),
    /// As initiator: the keys.
    Conclude(SessionId),
    /// As responder: all of it.
    Respond(SessionId),
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

#[derive(Debug, Default)]
pub(crate) struct Jobs {
    queue: VecDeque<Job>,
    owners: HashMap<JobId, Owner>,
    next: u64,
    responding: usize,
}

impl Jobs {
    pub(crate) fn push<T: Send + 'static>(
        &mut self,
        owner: Owner,
        work: impl FnOnce() -> T + Send + 'static,
    ) {
        let id = JobId(self.next);
        self.next += 1;
        self.owners.insert(id, owner);
        self.responding += usize::from(matches!(owner, Owner::Respond(_)));
        self.queue.push_back(Job::new(id, move || Box::new(work()) as JobResult));
    }

    pub(crate) fn poll(&mut self) -> Option<Job> {
        self.queue.pop_front()
    }

    pub(crate) fn take_owner(&mut self, id: JobId) -> Option<Owner> {
        let owner = self.owners.remove(&id)?;
        self.responding -= usize::from(matches!(owner, Owner::Respond(_)));
        Some(owner)
    }

    /// Responder handshakes under way.
    pub(crate) fn responding(&self) -> usize {
        self.responding
    }
}
