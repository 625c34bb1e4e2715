//! What is said of servers that want to register and may not.

use log::warn;
use rtmfp_base::Time;
use rtmfp_redirect::{LeaveReason, Server, ServerEvent, TargetState};

use crate::lines::Told;

/// Who was written about. They try again all the time: one line an address is enough for a while.
#[derive(Debug, Default)]
pub(super) struct Refusals(Told);

impl Refusals {
    /// Takes what a server tells; it has logged itself whatever else there is to log.
    pub(super) fn tell(&mut self, now: Time, server: &mut Server) {
        while let Some(event) = server.poll_event() {
            let (address, what) = match event {
                ServerEvent::State { target, state: TargetState::Refused } => {
                    let Some(info) = server.target(target) else { continue };
                    (info.address, "gives no password that is right")
                }
                ServerEvent::Left { info, reason: LeaveReason::Late, .. } => {
                    (info.address, "does not say who it is")
                }
                _ => continue,
            };
            if self.0.is_worth_a_line(now, address.ip()) {
                warn!(
                    "a server at {address} is refused: it {what}; compare its user and password (of rtmfp-relay: \
                     --redirector-user or its file) with those here"
                );
            }
        }
    }
}
