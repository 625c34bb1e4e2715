//! What an endpoint counts.

use rtmfp_base::{Counters, Visit};

use crate::session::Blank;

macro_rules! stats {
    ($(#[doc = $about:literal])+ $type:ident: $($(#[doc = $doc:literal])+ $name:ident,)+) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, Eq, PartialEq)]
        pub struct $type {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Blank for $type {
            const NEW: Self = Self { $($name: 0,)+ };
            const BLANK: &'static Self = &Self::NEW;
        }

        impl Counters for $type {
            fn visit(&self, visit: &mut Visit<'_>) {
                $(visit(stringify!($name), self.$name);)+
            }
        }
    };
}

stats! {
    /// Counters of an endpoint, since its start.
    Stats:
    /// Datagrams received, with those that were dropped.
    received_datagrams,
    /// Their bytes.
    received_bytes,
    /// Datagrams sent.
    sent_datagrams,
    /// Their bytes.
    sent_bytes,
    /// Sessions opened as initiator.
    opened_sessions,
    /// Sessions opened as responder.
    accepted_sessions,
    /// Sessions that ended, whether or not they ever were open.
    closed_sessions,
    /// Fragments of user data found lost.
    lost_fragments,
    /// Retransmission alarms with data outstanding.
    timeouts,
    /// Datagrams for no session of this endpoint.
    unknown_sessions,
    /// Packets that could not be opened: malformed, forged or with the keys of another session.
    unauthentic_packets,
    /// Packets with a sequence number that was used.
    replayed_packets,
    /// Packets whose header is malformed or whose mode is not the other end's.
    malformed_packets,
    /// Chunks that could not be parsed.
    malformed_chunks,
    /// Next User Data chunks that follow no good data chunk.
    stray_next_data,
    /// Acknowledgements of what was never sent.
    acks_of_unsent,
    /// Fragments for which there was no room: the sender ignored the window, or left too many holes.
    data_without_room,
    /// Messages over the limit; their flows were rejected.
    oversized_messages,
    /// Receiving flows refused or rejected without asking the application.
    refused_flows,
    /// Keying ignored because this end's own attempt to open a session with the same far end prevails.
    glares_won,
    /// Own attempts that waited because the far end's prevails.
    glares_lost,
    /// Opening sessions that ended because another session has the same far end.
    merged_sessions,
    /// Sessions that ended because the far end came back with a new one.
    replaced_sessions,
    /// Sessions refused because too many others wait for their first packet, from everywhere or from the same
    /// prefix.
    limited_unproven,
    /// Cookies ignored because no keying packet would have room for them.
    oversized_cookies,
    /// Writes refused because as much as allowed was queued in the flow, the session or the endpoint.
    limited_writes,
    /// Hellos that select nobody here.
    unselected_hellos,
    /// Hellos for others, and answers to them, that the application was told of.
    unmatched_hellos,
    /// The same that it was not told of, because too many waited.
    limited_watched,
    /// Forwarded hellos not answered because too many named the same network, or too many came in all.
    limited_forwards,
    /// Addresses in Redirects and forwarded hellos that nothing is sent to: many hosts, this one, a private network.
    refused_addresses,
    /// Addresses in Redirects beyond the number that is tried.
    limited_addresses,
    /// Startup packets sent in fragments.
    fragmented_startups,
    /// Startup packets that came in fragments.
    reassembled_startups,
    /// Fragments of startup packets dropped: no room, or they contradict others.
    limited_fragments,
    /// Hellos, and keying from another address than the cookie's, not answered because too many came.
    limited_hellos,
    /// Keying with a cookie that is not ours or too old.
    bad_cookies,
    /// Keying not begun because too much was under way.
    limited_handshakes,
    /// Keying that failed: certificate, keys or policy of the other end.
    failed_handshakes,
    /// Sessions refused because there are as many as allowed, in all or of the far end's prefix.
    limited_sessions,
    /// Pings not answered because too many came.
    limited_pings,
    /// Control packets dropped because too many wait.
    limited_control,
    /// Addresses asked whether they are a far end's new one.
    mobility_checks,
    /// Sessions that moved to another address of the far end.
    moved_sessions,
    /// Errors that the network reported for datagrams sent.
    path_errors,
    /// Of these, those not looked at because there were too many.
    limited_path_errors,
    /// Packets sent to find out how large packets may be; three more are sent where one is not answered.
    mtu_probes,
    /// Times that large packets no longer came through, or seemed not to.
    mtu_black_holes,
    /// Packets of sessions that came in fragments.
    reassembled_packets,
    /// Fragments of packets of sessions that did not fit the limit or each other.
    refused_fragments,
    /// Answers to address checks that are forged, too old or from elsewhere.
    bad_mobility,
    /// Address checks not begun because there were too many.
    limited_mobility,
}

stats! {
    /// How many things an endpoint holds now. All are bounded by [`Limits`](crate::Limits), and 0 when all
    /// sessions have ended and everything was polled.
    Holdings:
    /// Sessions, those that open or close included.
    held_sessions,
    /// Those of them that others opened and have not used yet.
    held_unproven,
    /// Sending flows.
    held_send_flows,
    /// Receiving flows, without those that only linger.
    held_recv_flows,
    /// Receipts of writes that have not ended.
    held_receipts,
    /// Entries in the indices by which packets and flows find their sessions.
    held_index_entries,
    /// Sessions that wait for a time.
    held_timers,
    /// Jobs that wait, run or were lost.
    held_jobs,
    /// Packets that wait and are neither data nor acknowledgements.
    held_control_packets,
    /// Startup packets of which fragments are missing.
    held_partial_packets,
    /// Events to be polled.
    held_events,
    /// Bytes received and not read, with what flows and holes cost.
    held_received_bytes,
    /// Bytes queued to be sent, overhead included.
    held_queued_bytes,
}

stats! {
    /// Counters of a sending flow, since it was opened.
    SendFlowCounters:
    /// Messages written.
    written_messages,
    /// Their bytes.
    written_bytes,
    /// Messages of which all fragments were acknowledged.
    delivered_messages,
    /// Messages abandoned, for whatever reason.
    abandoned_messages,
    /// Fragments sent, each time that it was; those that only tell of abandoned ones included.
    sent_fragments,
    /// Those of them that were sent before.
    resent_fragments,
    /// Fragments found lost.
    lost_fragments,
}

stats! {
    /// Counters of a receiving flow, since it was offered.
    RecvFlowCounters:
    /// Messages read.
    read_messages,
    /// Their bytes.
    read_bytes,
    /// Fragments of user data taken.
    taken_fragments,
    /// Their bytes.
    taken_bytes,
    /// Fragments whose number was seen before.
    duplicate_fragments,
    /// Fragments that came before one with a lower number, so that a hole was left.
    holes,
    /// Fragments for which there was no room.
    refused_fragments,
}

stats! {
    /// Counters of a session, since it began, and its figures of now.
    SessionCounters:
    /// Packets received with its keys.
    received_packets,
    /// Bytes of their datagrams.
    received_bytes,
    /// Packets sent with its keys.
    sent_packets,
    /// Bytes of their datagrams.
    sent_bytes,
    /// Bytes of user data received, repeated and refused ones included.
    received_data_bytes,
    /// Bytes of user data sent for the first time.
    sent_data_bytes,
    /// Fragments sent again.
    resent_fragments,
    /// Bytes of user data in them.
    resent_data_bytes,
    /// Fragments taken for lost.
    lost_fragments,
    /// Bytes of their chunks.
    lost_bytes,
    /// Retransmission alarms with data or a ping outstanding.
    timeouts,
    /// Fragments sent again because nothing was heard of the last ones.
    tail_probes,
    /// Buffer probes sent.
    buffer_probes,
    /// Packets sent as ECN-capable.
    sent_capable,
    /// Packets received as ECN-capable, those with a congestion mark included.
    received_capable,
    /// Packets received with a congestion mark.
    received_marks,
    /// Congestion marks that the far end reported.
    reported_marks,
    /// ECN Reports sent.
    sent_ecn_reports,
    /// ECN Reports received.
    received_ecn_reports,
    /// How often delay alone was taken for congestion.
    delay_events,
    /// The newest round-trip time.
    rtt_latest_micros,
    /// The smoothed one.
    rtt_smoothed_micros,
    /// Its variance.
    rtt_variance_micros,
    /// The one of the empty path, where it is looked for.
    rtt_base_micros,
    /// The congestion window.
    window_bytes,
    /// Bytes of chunks with user data in the network.
    outstanding_bytes,
}
