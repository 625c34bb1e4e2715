//! Timers of sessions, and the ways in which a session ends.

use core::time::Duration;

use rtmfp_base::Time;

use super::{Endpoint, TimeoutReason};
use crate::SessionId;
use crate::event::{CloseReason, KeyingFailure};
use crate::session::{CLOSE_LIMIT, CLOSE_PERIOD, State, Timer};
use crate::wire::Chunk;

/// How long the packet that tells of an abort may wait for its turn.
const ABORT_LINGER: Duration = Duration::from_millis(100);

/// Sessions whose timers are served in one call.
const TURN: usize = 1024;

impl Endpoint {
    /// When [`Self::handle_timeout`] wants to be called, and why.
    pub fn poll_timeout(&mut self) -> Option<(Time, TimeoutReason)> {
        let fragments = self.fragments_due().map(|at| (at, "fragments"));
        [self.poll_session_timeout(), fragments].into_iter().flatten().min()
    }

    fn poll_session_timeout(&mut self) -> Option<(Time, TimeoutReason)> {
        while let Some(&(at, id)) = self.timers.first() {
            let Some(session) = self.sessions.get_mut(id) else {
                self.timers.pop_first();
                continue;
            };
            let (next, timer) = session.timers.next();
            if next <= at {
                return Some((at, timer.name()));
            }
            // It was moved later since.
            self.timers.pop_first();
            session.timers.armed = next;
            if !next.is_never() {
                self.timers.insert((next, id));
            }
        }
        None
    }

    /// Serves the timers that are due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.serve_fragments(now);
        for _ in 0..TURN {
            let Some(&(at, id)) = self.timers.first() else { break };
            if at > now {
                break;
            }
            self.timers.pop_first();
            if let Some(session) = self.sessions.get_mut(id) {
                session.timers.armed = Time::MAX;
            }
            while let Some(timer) = self.sessions.get_mut(id).and_then(|s| s.timers.take_due(now)) {
                self.fire(now, id, timer);
            }
            self.touch(now, id);
        }
    }

    fn fire(&mut self, now: Time, id: SessionId, timer: Timer) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match timer {
            Timer::Startup => self.resend_startup(now, id),
            Timer::Deadline => {
                let reason = match (session.is_open(), session.life.proven) {
                    (true, false) => {
                        let info = self.profile.key_info(session.key);
                        if let Some(what) = info.and_then(|info| info.only_offered) {
                            let failure = KeyingFailure::OnlyOffered(what);
                            self.keying_failure = Some((session.path.to, false, failure));
                        }
                        CloseReason::NeverUsed
                    }
                    (true, true) => CloseReason::Unresponsive,
                    (false, _) => CloseReason::OpenTimeout,
                };
                self.abort_session(now, id, reason);
            }
            Timer::Retransmit => self.on_retransmission_alarm(now, id),
            Timer::Acknowledge => session.acks.now = true,
            Timer::Keepalive => self.on_keepalive(now, id),
            Timer::Idle => {
                let idle_at = session.life.flowless_since + session.config.idle_limit;
                if !session.is_flowless() {
                    // Set again when the last flow goes.
                } else if idle_at <= now {
                    self.close_session(now, id, CloseReason::Idle);
                } else {
                    session.timers.set(Timer::Idle, idle_at);
                }
            }
            Timer::Close => self.on_close_timer(now, id),
            Timer::Pace => session.refill_paced(now),
            Timer::Probe => {
                if session.life.probe_outstanding && session.is_overdue(now) {
                    return self.close_session(now, id, CloseReason::Unresponsive);
                }
                let probes = session.due_probes(now, &mut self.flows);
                for flow_id in probes {
                    self.send_session_chunk(id, &Chunk::BufferProbe { flow_id });
                }
            }
            Timer::Tail => session.probe_tail(now, &mut self.flows),
            Timer::Reopen => session.tell_reopened_again(now),
            Timer::Expiry => session.expire_messages(now, &mut self.flows),
            Timer::Linger => session.end_lingering(now),
            Timer::Rejection => session.repeat_rejections(now, &mut self.flows),
            Timer::Path => self.on_path_timer(now, id),
        }
    }

    /// RFC 7016 section 3.6.2.6, and the dead peer's clock.
    fn on_retransmission_alarm(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.is_open()) else { return };
        session.refill_burst();
        let (data, ping) = (session.flight.outstanding > 0, session.life.ping_outstanding);
        if data && session.is_stalled(now) || ping && session.is_overdue(now) {
            return self.close_session(now, id, CloseReason::Unresponsive);
        }
        let waiting = data || ping;
        let losses = session.lose_everything(now, &mut self.flows);
        self.stats.lost_fragments += losses.fragments;
        session.congestion.on_timeout(now, waiting);
        session.forbid_tail_probe();
        if !data {
            session.life.stalled_since = None;
        }
        if !waiting {
            if !session.life.probe_outstanding {
                session.life.waiting_since = None;
            }
            session.arm_keepalive(now);
            return;
        }
        self.stats.timeouts += 1;
        session.counts.timeouts += 1;
        session.counts.lost_fragments += losses.fragments;
        session.counts.lost_bytes += losses.bytes as u64;
        session.path.back_off();
        self.stats.mtu_black_holes += u64::from(session.leave_black_hole(now));
        session.arm_retransmission(now);
        if session.life.ping_outstanding {
            self.send_session_chunk(id, &Chunk::Ping(&[]));
        }
    }

    fn on_keepalive(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id).filter(|s| s.is_open()) else { return };
        if now < session.life.last_sent + session.keepalive() {
            return session.arm_keepalive(now);
        }
        session.life.last_sent = now;
        session.arm_keepalive(now);
        // Data that is under way is answered as well as a ping would be.
        if !session.life.ping_outstanding && session.flight.outstanding == 0 {
            self.ping(now, id);
        }
    }

    /// Asks the far end for a sign of life now; it is repeated until one comes (RFC 7016 section 3.5.4.1).
    pub(super) fn ping(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.life.last_sent = now;
        session.life.ping_outstanding = true;
        session.life.waiting_since.get_or_insert(now);
        // An alarm that was left by data has nothing to say about the ping.
        if session.flight.outstanding == 0 {
            session.timers.set(Timer::Retransmit, now + session.path.erto);
        }
        self.send_session_chunk(id, &Chunk::Ping(&[]));
        self.touch(now, id);
    }

    fn on_close_timer(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.state {
            State::NearClose if now.since(session.life.closing_since) < CLOSE_LIMIT => {
                session.timers.set(Timer::Close, now + CLOSE_PERIOD);
                self.send_session_chunk(id, &Chunk::Close);
            }
            _ => self.remove_session(id),
        }
    }

    /// Closes a session in order; one that is not open yet ends at once.
    pub(super) fn close_session(&mut self, now: Time, id: SessionId, reason: CloseReason) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        match session.state {
            State::Open => {
                if reason != CloseReason::Near {
                    session.leave_unread(&mut self.flows);
                }
                session.begin_near_close(now, &mut self.flows);
                self.tell_closed(id, reason);
                self.touch(now, id);
            }
            State::NearClose | State::FarCloseLinger => {}
            State::Hello | State::Keying | State::Responding => self.abort_session(now, id, reason),
        }
    }

    /// Ends a session at once; the far end is told once if the session was open.
    pub(super) fn abort_session(&mut self, now: Time, id: SessionId, reason: CloseReason) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let state = session.state;
        if let Some(opening) = &mut session.opening {
            for flow in core::mem::take(&mut opening.flows) {
                self.flows.fail_send(flow);
            }
        }
        if reason != CloseReason::Near {
            session.leave_unread(&mut self.flows);
        }
        session.end_flows(&mut self.flows);
        match state {
            State::Open | State::NearClose => {
                // The packet needs the keys until it was sent: linger as if the far end had closed.
                session.begin_far_close(now, &mut self.flows);
                session.timers.set(Timer::Close, now + ABORT_LINGER);
                self.send_session_chunk(id, &Chunk::CloseAck);
            }
            // The last packet may be waiting still.
            State::FarCloseLinger => session.timers.set_earlier(Timer::Close, now + ABORT_LINGER),
            State::Hello | State::Keying | State::Responding => self.remove_session(id),
        }
        if !matches!(state, State::NearClose | State::FarCloseLinger | State::Responding) {
            self.tell_closed(id, reason);
        }
        self.touch(now, id);
    }
}
