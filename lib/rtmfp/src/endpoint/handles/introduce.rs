//! Handle methods for introducing ends to each other.

use core::net::SocketAddr;
use core::time::Duration;

use rtmfp_base::Time;

use super::{SendFlowRef, SessionRef};
use crate::IntroduceError;

impl SessionRef<'_> {
    /// Forwards an IHello to the far end (RFC 7016 section 3.5.1.5), which may answer it towards `reply`: the address that
    /// the hello came from. How often one far end gets that is the forwarder's matter.
    ///
    /// # Errors
    /// [`IntroduceError`]; then nothing is sent.
    pub fn forward_ihello(
        &mut self,
        epd: &[u8],
        reply: SocketAddr,
        tag: &[u8],
    ) -> Result<(), IntroduceError> {
        self.endpoint.forward_ihello(self.id, epd, reply, tag)
    }
}

impl SendFlowRef<'_> {
    /// Adds an address to look for the far end at, if the session has not chosen one by then: the first hello is sent
    /// there after a delay.
    pub fn add_candidate_after(&mut self, now: Time, to: SocketAddr, delay: Duration) {
        if let Some(session) = self.flow().and_then(|flow| flow.session) {
            self.endpoint.add_candidate(now, session, to, now + delay, false);
        }
    }
}
