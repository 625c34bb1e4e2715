//! Far ends that move (RFC 7016 section 3.5.4.2): an address that packets come from is asked first whether it is the
//! far end's, so that nobody can have a session's packets sent elsewhere.

use core::net::{IpAddr, SocketAddr};

use rtmfp_base::{RecvMeta, Time, TokenBucket};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use crate::SessionId;
use crate::config::{Limits, Mobility};
use crate::crypto::Profile;
use crate::event::Event;
use crate::session::{Role, Session};
use crate::wire::{Chunk, Reader, vlu};

/// Marks the message of a ping as an address check; peers forget their base round-trip time when they see it.
const MARK: u8 = b'M';

/// What an endpoint needs to check addresses, and to bound what others can make it do about paths.
pub(super) struct Paths {
    secret: Zeroizing<[u8; 32]>,
    checks: TokenBucket,
    pub(super) errors: TokenBucket,
}

impl Paths {
    pub(super) fn new(limits: &Limits, secret: Zeroizing<[u8; 32]>) -> Self {
        let bucket = |rate: u32| TokenBucket::new(rate.max(1), rate);
        Self { secret, checks: bucket(limits.mobility_checks), errors: bucket(limits.path_errors) }
    }

    /// Proves that this end asked this address, in this session, at this time.
    fn proof(&self, profile: &dyn Profile, near_id: u32, meta: &RecvMeta, question: &[u8]) -> [u8; 32] {
        let (session, interface) = (near_id.to_be_bytes(), meta.interface.0.to_be_bytes());
        let port = meta.from.port().to_be_bytes();
        let (v4, v6);
        let ip: &[u8] = match meta.from.ip() {
            IpAddr::V4(ip) => {
                v4 = ip.octets();
                &v4
            }
            IpAddr::V6(ip) => {
                v6 = ip.octets();
                &v6
            }
        };
        profile.keyed_hash(&*self.secret, &[question, &session, &interface, &port, ip])
    }
}

impl Endpoint {
    /// After a valid packet of an open session: one from elsewhere has that address checked.
    pub(super) fn check_address(&mut self, now: Time, meta: &RecvMeta, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_open()) else { return };
        if (session.path.to, session.path.interface) == (meta.from, meta.interface) {
            session.path.src_ip = session.path.src_ip.or(meta.dst_ip);
            return;
        }
        // What is still read from an interface that was removed must not lead back to it.
        let known = self.interfaces.iter().any(|(interface, _)| *interface == meta.interface);
        if !known || !session.checks.may_begin(now) || !may_move(&*self.profile, session) {
            return;
        }
        if !self.paths.checks.take(now, 1) {
            self.stats.limited_mobility += 1;
            return;
        }
        session.checks.begin(now);
        let mut message = vec![MARK];
        vlu::write(now.as_secs(), &mut message);
        let proof = self.paths.proof(&*self.profile, session.near_id, meta, &message);
        message.extend_from_slice(&proof);
        let mut chunk = Vec::new();
        Chunk::Ping(&message).write(&mut chunk);
        let dscp = session.config.dscp;
        self.stats.mobility_checks += 1;
        self.queue_control(ControlPacket {
            envelope: Envelope::Session(id),
            interface: meta.interface,
            to: meta.from,
            src_ip: meta.dst_ip,
            dscp,
            chunk,
        });
    }

    /// The answer to a ping: if it was a check of the address that it comes from, the far end is there now.
    pub(super) fn on_address_confirmed(&mut self, now: Time, meta: &RecvMeta, id: SessionId, message: &[u8]) {
        let Some(session) = self.sessions.get_mut(id).filter(|session| session.is_open()) else { return };
        let Some((question, proof)) = message.split_last_chunk::<32>() else { return };
        let mut reader = Reader::new(question);
        if reader.u8() != Ok(MARK) {
            return;
        }
        let Ok(seconds) = reader.vlu() else { return };
        let expected = self.paths.proof(&*self.profile, session.near_id, meta, question);
        let proven: bool = expected.ct_eq(proof).into();
        let known = self.interfaces.iter().any(|(interface, _)| *interface == meta.interface);
        let proven = proven && known;
        if !proven || !session.checks.is_fresh(now, seconds) || !may_move(&*self.profile, session) {
            self.stats.bad_mobility += 1;
            return;
        }
        session.checks.accept(seconds);
        if (session.path.to, session.path.interface) == (meta.from, meta.interface) {
            return;
        }
        let before = session.path.to;
        session.reach.stranded = false;
        session.change_path(now, meta.interface, meta.from, meta.dst_ip);
        let (role, far_id) = (session.role, session.far_id);
        if role == Role::Responder {
            self.callers.move_to(before.ip(), meta.from.ip());
            self.reindex_initiator(id, (before, far_id), (meta.from, far_id));
        }
        self.refile_session(now, id);
        self.stats.moved_sessions += 1;
        let (to, interface) = (meta.from, meta.interface);
        self.flows.events.push_back(Event::AddressChanged { session: id, to, interface });
        self.touch(now, id);
    }

    fn reindex_initiator(&mut self, id: SessionId, before: (SocketAddr, u32), after: (SocketAddr, u32)) {
        if self.index.by_initiator.get(&before) == Some(&id) {
            self.index.by_initiator.remove(&before);
        }
        self.index.by_initiator.insert(after, id);
    }
}

/// Whether a session may follow its far end.
fn may_move(profile: &dyn Profile, session: &Session) -> bool {
    match session.config.mobility {
        Mobility::Always => true,
        Mobility::Authenticated => profile.key_info(session.key).is_some_and(|keys| keys.authenticated),
        Mobility::Never => false,
    }
}
