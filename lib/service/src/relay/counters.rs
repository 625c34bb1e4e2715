use rtmfp_base::{Counters, Visit};
use rtmfp_netconn::LinkStats;

/// What a relay counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct RelayCounters {
    /// Clients that were taken.
    pub(super) accepted: u64,
    /// Clients turned away because there are as many as allowed, or because the relay drains.
    pub(super) turned_away: u64,
    /// Clients that did not complete the handshake, or never sent a `connect`.
    pub(super) never_connected: u64,
    /// Sessions that were refused to strangers, because no keys could be agreed on.
    pub(super) refused: u64,
    /// Clients whose destination was reached.
    pub(super) connected: u64,
    /// Clients whose destination could not be reached, or did not answer.
    pub(super) failed: u64,
    /// Clients that were told by the destination that they are not welcome.
    pub(super) rejected: u64,
    /// Clients that were told by the destination to come again with a name and a password.
    pub(super) asked_to_log_in: u64,
    /// Clients that lost their destination.
    pub(super) lost: u64,
    /// Clients that were closed because they sent too much beside media.
    pub(super) talked_too_much: u64,
    /// Commands of clients that were answered in place of the destination.
    pub(super) courtesies: u64,
    /// Messages of clients that were rewritten in plain AMF0, and those of which that was not possible.
    pub(super) converted: u64,
    pub(super) not_converted: u64,
    /// Clients that have gone.
    pub(super) ended: u64,
    /// What the links of those did, with clients and with the destination.
    pub(super) near: LinkStats,
    pub(super) far: LinkStats,
}

impl Counters for RelayCounters {
    fn visit(&self, visit: &mut Visit<'_>) {
        visit("clients_accepted", self.accepted);
        visit("clients_turned_away", self.turned_away);
        visit("clients_never_connected", self.never_connected);
        visit("sessions_refused", self.refused);
        visit("clients_connected", self.connected);
        visit("clients_failed", self.failed);
        visit("clients_rejected", self.rejected);
        visit("clients_asked_to_log_in", self.asked_to_log_in);
        visit("clients_lost", self.lost);
        visit("clients_with_too_many_commands", self.talked_too_much);
        visit("clients_ended", self.ended);
        visit("commands_answered_here", self.courtesies);
        visit("messages_converted_from_amf3", self.converted);
        visit("messages_not_converted_from_amf3", self.not_converted);
        visit("messages_from_clients", self.near.received_messages);
        visit("message_bytes_from_clients", self.near.received_bytes);
        visit("messages_from_destination", self.far.received_messages);
        visit("message_bytes_from_destination", self.far.received_bytes);
        visit("messages_dropped_to_clients", self.near.dropped_messages);
        visit("messages_dropped_to_destination", self.far.dropped_messages);
    }
}
