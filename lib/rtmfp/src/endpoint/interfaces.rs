//! Interfaces that come and go, and what the network says about paths.

use core::net::SocketAddr;
use core::time::Duration;

use log::debug;
use rtmfp_base::{InterfaceId, Time};

use super::Endpoint;
use crate::SessionId;
use crate::event::{CloseReason, Event};
use crate::session::{Blank, Session, State, Timer};

/// A path is not tried out of turn more often than this.
const HASTE_PERIOD: Duration = Duration::from_secs(1);

impl Endpoint {
    /// Says that datagrams can be sent from and arrive at an interface with a local address. Hellos go out from every
    /// interface of the receiver's address family, those of sessions that are opening already too; sessions whose
    /// interface has gone take the new one.
    pub fn add_interface(&mut self, interface: InterfaceId, local: SocketAddr) {
        self.interfaces.retain(|&(id, _)| id != interface);
        self.interfaces.push((interface, local));
        for id in self.sessions.ids() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            if session.state == State::Hello {
                self.greet_from(id, interface, local);
            } else if session.path.to.is_ipv4() == local.is_ipv4()
                && (session.reach.stranded || !self.interfaces.iter().any(|i| i.0 == session.path.interface))
            {
                // The time is not known here: the timer comes at once.
                session.reach.rehome = Some(interface);
                session.timers.set(Timer::Path, Time::ZERO);
                self.touch(Time::ZERO, id);
            }
        }
    }

    /// Says that an interface is gone. Sessions that used it take another one of the same address family, and tell
    /// their far ends by a ping that will come from there; those for which there is none wait for the next that is
    /// added, or for a packet of the far end.
    pub fn remove_interface(&mut self, now: Time, interface: InterfaceId) {
        self.interfaces.retain(|&(id, _)| id != interface);
        for id in self.sessions.ids() {
            let Some(session) = self.sessions.get_mut(id) else { continue };
            if session.state == State::Hello || session.path.interface != interface {
                continue;
            }
            let family = session.path.to.is_ipv4();
            let other = self.interfaces.iter().find(|(_, local)| local.is_ipv4() == family);
            match other {
                Some(&(other, _)) => self.take_interface(now, id, other),
                None => session.reach.stranded = true,
            }
        }
    }

    /// Takes what the network said about datagrams to an address. Anybody can forge that, so it ends no session and
    /// spoils no handshake by itself: an open session is pinged; an opening one that was told so of every address it
    /// may find the far end at waits only for [`Config::unreachable_timeout`](crate::Config::unreachable_timeout) more.
    pub fn handle_path_error(&mut self, now: Time, to: SocketAddr, interface: InterfaceId, error: &str) {
        self.stats.path_errors += 1;
        if !self.paths.errors.take(now, 1) {
            self.stats.limited_path_errors += 1;
            return;
        }
        let fitting = self.interfaces.iter().filter(|(_, local)| local.is_ipv4() == to.is_ipv4()).count();
        let patience = self.config.unreachable_timeout;
        let openings: Vec<SessionId> = self.index.by_tag.values().copied().collect();
        for id in openings {
            let Some(session) = self.sessions.get_mut(id).filter(|session| session.state == State::Hello)
            else {
                continue;
            };
            let Some(opening) = &mut session.opening else { continue };
            if !opening.note_unreachable(to, interface, fitting) {
                continue;
            }
            debug!("session {id}: no address answers, the last one said: {error}");
            if !session.timers.is_set(Timer::Path) {
                session.timers.set(Timer::Path, now + patience);
                self.touch(now, id);
            }
        }
        // Those that are not filed have not shown their keys yet, or another one has taken their place.
        for id in self.filed_at(to).collect::<Vec<_>>() {
            let is_there = |session: &&Session| session.is_open() && session.path.interface == interface;
            if self.sessions.get(id).map(|session| &**session).filter(is_there).is_some() {
                debug!("session {id}: {to}: {error}");
                self.hasten(now, id);
            }
        }
    }

    /// The timer of matters that concern the path.
    pub(super) fn on_path_timer(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.state == State::Hello {
            if session.opening.as_ref().is_some_and(|opening| opening.is_unreachable()) {
                self.abort_session(now, id, CloseReason::Unreachable);
            }
            return;
        }
        if let Some(interface) = session.reach.rehome.take() {
            self.take_interface(now, id, interface);
        }
        self.probe_size(now, id);
    }

    /// Sends hellos of an opening session from one more interface.
    fn greet_from(&mut self, id: SessionId, interface: InterfaceId, local: SocketAddr) {
        let Some(opening) = self.sessions.get_mut(id).and_then(|session| session.opening.as_mut()) else {
            return;
        };
        for (to, chunk) in opening.greetings(local.is_ipv4()) {
            self.queue_hello(interface, to, chunk, false);
        }
    }

    /// Has a session leave from another interface.
    fn take_interface(&mut self, now: Time, id: SessionId, interface: InterfaceId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.reach.stranded = false;
        let to = session.path.to;
        session.change_path(now, interface, to, None);
        match session.state {
            State::Keying => {
                session.timers.set(Timer::Startup, now);
                self.touch(now, id);
            }
            State::Open => {
                session.reach.hastened = Some(now);
                self.flows.events.push_back(Event::AddressChanged { session: id, to, interface });
                self.ping(now, id);
            }
            _ => {}
        }
    }

    /// Pings out of turn, but not all the time.
    fn hasten(&mut self, now: Time, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.may_hasten(now) {
            session.reach.hastened = Some(now);
            self.ping(now, id);
        }
    }
}

/// What a session knows of whether packets can leave and arrive.
#[derive(Debug)]
pub(crate) struct Reach {
    /// Its interface has gone, and there is no other.
    pub(super) stranded: bool,
    /// The interface to take at the next chance.
    rehome: Option<InterfaceId>,
    /// When it was last pinged out of turn.
    hastened: Option<Time>,
}

impl Blank for Reach {
    const NEW: Self = Self { stranded: false, rehome: None, hastened: None };
    const BLANK: &'static Self = &Self::NEW;
}

impl Session {
    fn may_hasten(&self, now: Time) -> bool {
        let period = HASTE_PERIOD.max(self.path.erto);
        !self.life.ping_outstanding && self.reach.hastened.is_none_or(|at| now.since(at) >= period)
    }
}
