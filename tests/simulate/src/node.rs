//! A host's program: an endpoint and its application, watched at every step.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rtmfp::driver::{Application, Driver};
use rtmfp::{Config, Endpoint, Event, Holdings, MAX_PACKET, MAX_STARTUP_PACKET, SessionId, Shutdown};
use rtmfp_base::{Action, Batch, Input, InterfaceId, Service, StreamId, Time, UdpOptions};

use crate::talker::Talker;

/// Timeouts in a row, within a millisecond, that led to nothing: more are a loop.
const IDLE_TIMEOUTS: u32 = 100;
/// How often the sessions of a node with many of them are looked at: each so many times.
const SAMPLE: u64 = 16;

/// A node.
pub(crate) struct Node {
    pub(crate) talker: Talker,
    pub(crate) driver: Driver,
    actions: VecDeque<Action>,
    config: Config,
    watch: Watch,
}

/// What a node saw of itself.
#[derive(Debug, Default)]
struct Watch {
    /// Timeouts that led to nothing, and since when.
    idle_timeouts: u32,
    idle_since: Time,
    /// A timeout came and nothing has come of it yet.
    timed_out: bool,
    sent: u64,
    sent_bytes: u64,
    received: u64,
    transmissions: u64,
    last: Time,
    /// The host's program was stopped, or its clock leapt: timers are late.
    woken: Option<Time>,
    opened: u64,
}

impl Node {
    pub(crate) fn new(endpoint: Endpoint, config: Config, addresses: &[SocketAddr], talker: Talker) -> Self {
        let open = |(number, &address): (usize, &SocketAddr)| Action::OpenUdp {
            socket: InterfaceId(number as u32),
            options: UdpOptions::from(address),
        };
        let actions = addresses.iter().enumerate().map(open).collect();
        Self { talker, driver: Driver::new(endpoint, 0), actions, config, watch: Watch::default() }
    }

    pub(crate) fn quieten(&mut self, now: Time) {
        self.talker.quieten(now, &mut self.driver.endpoint);
    }

    /// Whether no flow is left.
    pub(crate) fn is_done(&self) -> bool {
        let held = self.driver.endpoint.holdings();
        // Who is registered has flows for that.
        let idle = held.held_send_flows == 0 && held.held_recv_flows == 0 || self.talker.is_registrant();
        self.talker.is_done() && idle
    }

    /// Opens a flow to another node, says something, and closes it.
    pub(crate) fn visit(&mut self, now: Time, node: usize) -> Option<u32> {
        self.talker.visit(now, &mut self.driver.endpoint, node)
    }

    /// The host's program was stopped for a while.
    pub(crate) fn woke(&mut self, now: Time) {
        self.watch.woken = Some(now);
    }

    fn progress(&mut self) {
        self.watch.timed_out = false;
        self.watch.idle_timeouts = 0;
    }

    /// A loop of timeouts that lead to nothing.
    fn note_timeout(&mut self, now: Time) {
        let watch = &mut self.watch;
        if watch.timed_out {
            watch.idle_timeouts += 1;
        }
        if now.since(watch.idle_since) > Duration::from_millis(1) {
            watch.idle_since = now;
            watch.idle_timeouts = 0;
        }
        watch.timed_out = true;
        let looping = self.watch.idle_timeouts >= IDLE_TIMEOUTS;
        let reason = self.driver.endpoint.poll_timeout();
        assert!(!looping, "node {}: timeouts in a row lead to nothing, at {now}: {reason:?}", self.talker.me);
    }

    /// What has to hold at any time.
    fn check(&mut self, now: Time) {
        let held = self.driver.endpoint.holdings();
        let limits = &self.config.limits;
        let me = self.talker.me;
        let sessions = held.held_sessions;
        assert!(sessions <= limits.sessions as u64, "node {me}: {held:?}");
        assert!(held.held_send_flows <= (sessions + 1) * limits.send_flows as u64, "node {me}: {held:?}");
        assert!(held.held_recv_flows <= sessions * limits.receive_flows as u64, "node {me}: {held:?}");
        assert!(held.held_timers <= sessions, "node {me}: {held:?}");
        assert!(held.held_jobs <= limits.handshakes as u64 + 4 * sessions, "node {me}: {held:?}");
        assert!(held.held_control_packets <= limits.control_queue as u64, "node {me}: {held:?}");
        assert_eq!(held.held_events, 0, "node {me}: all events were polled");
        let received = limits.receive_total + self.config.max_message;
        assert!(held.held_received_bytes <= received as u64, "node {me}: {held:?}");
        // The limit is one of writing; what fragments under way cost comes on top.
        let queued = limits.total_send_queue + limits.total_send_queue / 8;
        assert!(held.held_queued_bytes <= queued as u64, "node {me}: {held:?}");
        assert!(held.held_unproven <= limits.unproven_sessions as u64, "node {me}: {held:?}");
        assert!(held.held_partial_packets <= limits.startup_fragments.packets as u64, "node {me}: {held:?}");
        // Each session is known by two discriminators, a tag or an initiator, an address and a network at the most.
        assert!(held.held_index_entries <= 5 * sessions, "node {me}: {held:?}");
        let receipts = self.talker.open_receipts() as u64;
        assert_eq!(held.held_receipts, receipts, "node {me}: receipts of writes that have not ended");
        if receipts > 0 {
            let timeout = self.driver.endpoint.poll_timeout();
            assert!(timeout.is_some(), "node {me}: messages wait and nothing will ever happen");
        }
        let stats = self.driver.endpoint.stats();
        assert_eq!(stats.sent_datagrams, self.watch.sent, "node {me}: datagrams sent");
        assert_eq!(stats.sent_bytes, self.watch.sent_bytes, "node {me}: bytes sent");
        assert_eq!(stats.received_datagrams, self.watch.received, "node {me}: datagrams received");
        let opened = stats.opened_sessions + stats.accepted_sessions;
        assert_eq!(opened, self.watch.opened, "node {me}: sessions opened");
        let woken = self.watch.woken.is_some_and(|at| now.since(at) < Duration::from_secs(1));
        self.talker.check(now, woken);
    }

    /// Sessions and what they have in the network. What they have sent themselves is a part of what the endpoint has.
    fn flights(&mut self) -> Vec<(SessionId, usize, usize)> {
        let endpoint = &mut self.driver.endpoint;
        let sessions = endpoint.open_sessions();
        let sent = |id: &SessionId| endpoint.session(*id).map(|session| session.counters().sent_packets);
        let sent: u64 = sessions.iter().filter_map(sent).sum();
        let all = endpoint.stats().sent_datagrams;
        assert!(sent <= all, "node {}: sessions have sent {sent} packets of {all}", self.talker.me);
        let flight = |id| {
            let info = endpoint.session(id)?.info();
            Some((id, info.window, info.outstanding))
        };
        sessions.into_iter().filter_map(flight).collect()
    }

    fn shut_down(&mut self, now: Time, how: Shutdown) {
        self.talker.leaves(now, &mut self.driver.endpoint);
        self.driver.endpoint.shutdown(now, how);
    }
}

impl Service for Node {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        assert!(now >= self.watch.last, "time goes back");
        self.watch.last = now;
        let endpoint = &mut self.driver.endpoint;
        match input {
            Input::Timeout => {
                endpoint.handle_timeout(now);
                if self.talker.poll_timeout().is_some_and(|at| at <= now) {
                    self.talker.on_timeout(now, endpoint);
                    self.progress();
                } else {
                    self.note_timeout(now);
                }
            }
            Input::Datagram { meta, bytes } => {
                self.watch.received += 1;
                self.driver.datagram(now, &meta, bytes);
            }
            Input::UdpReady { socket, result } => {
                endpoint.add_interface(socket, result.expect("the address is free"));
                self.talker.on_ready(now, endpoint);
            }
            Input::PathError { socket, to, error } => endpoint.handle_path_error(now, to, socket, &error),
            Input::JobDone(done) => self.driver.job_done(now, done),
            Input::Drain => self.shut_down(now, Shutdown::Orderly),
            Input::Stop => self.shut_down(now, Shutdown::Abrupt),
            _ => {}
        }
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        self.watch.last = now;
        while let Some(event) = self.driver.endpoint.poll_event(now) {
            self.progress();
            match event {
                Event::SessionOpened { .. } => self.watch.opened += 1,
                Event::ShutDown => {
                    // Packets may wait that are to be sent before the host lets go.
                    let held = Holdings { held_control_packets: 0, ..self.driver.endpoint.holdings() };
                    assert_eq!(held, Holdings::default(), "node {}: left at the end", self.talker.me);
                    self.actions.push_back(Action::Finished(Ok(())));
                }
                _ => {}
            }
            self.talker.on_event(now, &mut self.driver.endpoint, event);
        }
        let action = self.actions.pop_front().or_else(|| self.driver.poll_job());
        if action.is_some() {
            self.progress();
        }
        action
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.watch.transmissions += 1;
        let looks =
            self.driver.endpoint.session_count() <= 2 || self.watch.transmissions.is_multiple_of(SAMPLE);
        let before = if looks { self.flights() } else { Vec::new() };
        // A little less than the bytes of a packet are chunks with user data.
        let packet = self.config.session.max_packet.max(MAX_PACKET);
        let flows = if looks { self.talker.flights(&mut self.driver.endpoint) } else { Vec::new() };
        self.driver.endpoint.poll_transmit(now, batch);
        for (key, id, before) in flows {
            self.talker.check_window(&mut self.driver.endpoint, key, id, before, packet);
        }
        for (_, bytes) in batch.datagrams() {
            let longest = packet.max(MAX_STARTUP_PACKET) + 64;
            assert!(bytes.len() <= longest, "a datagram of {} bytes", bytes.len());
            self.watch.sent += 1;
            self.watch.sent_bytes += bytes.len() as u64;
        }
        if !batch.is_empty() {
            self.progress();
        }
        if !before.is_empty() {
            let after = self.flights();
            for ((id, window, outstanding), (same, _, now_outstanding)) in before.into_iter().zip(after) {
                // Sending is allowed while less than the window is under way, so it ends with at most one packet more.
                let most = outstanding.max(window + packet);
                assert!(
                    id != same || now_outstanding <= most,
                    "node {}: {now_outstanding} bytes under way in {id}, the window is {window}",
                    self.talker.me
                );
            }
        }
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, _out: &mut Vec<u8>) {}

    fn poll_timeout(&mut self) -> Option<Time> {
        // It is asked last of all.
        self.check(self.watch.last);
        let endpoint = self.driver.endpoint.poll_timeout().map(|(at, _)| at);
        let talker = self.talker.poll_timeout();
        [endpoint, talker].into_iter().flatten().min()
    }
}
