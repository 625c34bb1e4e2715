//! What registrants say, and what they are told.

use core::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use log::{debug, info};
use rtmfp::wire::{Address, Origin};
use rtmfp::{Endpoint, FlowSpec, Priority, WriteError};
use rtmfp_base::{Message, Time, WriteOptions};

use super::takers::Families;
use super::target::{LeaveReason, Registered, TargetId};
use super::{Server, ServerEvent};
use crate::UserDataError;
use crate::auth::Users;
use crate::wire::{self, AUTH_LEN, Command, Settings};

/// Whether anything can be sent to an address.
fn is_usable(address: &Address) -> bool {
    let ip = address.addr.ip().to_canonical();
    let many = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    address.addr.port() != 0 && !ip.is_unspecified() && !many
}

impl Server {
    pub(super) fn read(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId) {
        while let Some(target) = self.targets.get_mut(id).filter(|target| !target.trust.refused) {
            let Some(message) = endpoint.recv_flow(target.flow).and_then(|mut flow| flow.read(now)) else {
                break;
            };
            if !self.sessions.take_message(now, target.session) {
                self.stats.limited_messages += 1;
                return self.close(now, endpoint, id, LeaveReason::Broken);
            }
            self.on_message(now, endpoint, id, &message.bytes);
        }
    }

    fn on_message(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId, message: &Bytes) {
        let command = match Command::parse(message) {
            Ok(Some(command)) => command,
            Ok(None) => return,
            Err(error) => return self.on_malformed(now, endpoint, id, error),
        };
        if let Command::Auth { code, user } = command {
            return self.on_auth(now, endpoint, id, user, code);
        }
        if !self.targets.get(id).is_some_and(|target| target.trust.authenticated) {
            return self.refuse(now, endpoint, id);
        }
        match command {
            Command::Settings(options) => match Settings::parse(options, self.config.limits.addresses) {
                Ok((settings, beyond)) => {
                    self.stats.limited_addresses += beyond as u64;
                    self.on_settings(now, endpoint, id, settings);
                }
                Err(error) => return self.on_malformed(now, endpoint, id, error),
            },
            Command::Draining => self.on_draining(now, endpoint, id),
            Command::LoadFactor(load) => self.on_load(id, load),
            Command::UserData(data) if data.len() > self.config.limits.user_data => {
                self.stats.limited_user_data += 1;
            }
            Command::UserData(data) => {
                let data = message.slice_ref(data);
                self.report(ServerEvent::UserData { target: id, data });
            }
            // What only redirectors say means nothing to one.
            _ => return,
        }
        self.open_return_flow(now, endpoint, id);
    }

    fn on_malformed(
        &mut self,
        now: Time,
        endpoint: &mut Endpoint,
        id: TargetId,
        error: rtmfp::wire::WireError,
    ) {
        debug!("{id:?}: a message that is malformed: {error}");
        self.stats.malformed += 1;
        self.close(now, endpoint, id, LeaveReason::Broken);
    }

    // ---- authentication ----

    fn on_auth(
        &mut self,
        now: Time,
        endpoint: &mut Endpoint,
        id: TargetId,
        user: &[u8],
        code: &[u8; AUTH_LEN],
    ) {
        let Some(target) = self.targets.get_mut(id) else { return };
        if !self.sessions.take_attempt(now, target.session) {
            self.stats.limited_attempts += 1;
            return self.refuse(now, endpoint, id);
        }
        let session = endpoint.session(target.session);
        let keys = session.and_then(|session| session.info().keys).unwrap_or_default();
        // A user who is unknown here may be another redirector's.
        let Some(good) = self.users.check_far(endpoint.profile(), &keys, user, code) else { return };
        if !good {
            info!("{id:?} at {}: bad authentication", target.info.address);
            let (from, session) = (target.info.address.ip(), target.session);
            if !self.wrong_attempts.take(now, from) {
                self.stats.limited_prefixes += 1;
                self.stats.bad_auth += 1;
                self.close(now, endpoint, id, LeaveReason::BadAuth);
                if let Some(session) = endpoint.session(session) {
                    session.abort(now);
                }
                return;
            }
            return self.refuse(now, endpoint, id);
        }
        target.trust.users.insert(user.to_vec());
        if !core::mem::replace(&mut target.trust.authenticated, true) {
            self.strangers.remove(id);
            self.stats.good_auth += 1;
            self.set_deadline(id, None);
        }
        self.assign(id);
    }

    /// Has a target serve the pools of its users.
    fn assign(&mut self, id: TargetId) {
        let Some(target) = self.targets.get_mut(id) else { return };
        let pools = self.pools.of_users(target.trust.users.iter().map(Vec::as_slice));
        if pools == target.pools {
            return;
        }
        self.set_listed(id, Families::NONE);
        if let Some(target) = self.targets.get_mut(id) {
            target.pools = pools;
        }
        self.settle(id);
    }

    /// Somebody did not authenticate, or wrongly: nothing more is heard of him, and he is told after a while.
    fn refuse(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId) {
        let Some(target) = self.targets.get_mut(id).filter(|target| !target.trust.refused) else { return };
        target.trust.refused = true;
        if let Some(mut flow) = endpoint.recv_flow(target.flow) {
            flow.set_hold(now, true);
        }
        self.stats.bad_auth += 1;
        self.set_deadline(id, Some(now + self.config.bad_auth_delay));
        self.settle(id);
    }

    /// Changes the users. Targets stay who have authenticated as somebody who still is a user with the same password, or all
    /// if there are no users any more; the others are told that their authentication is bad.
    pub fn set_users(&mut self, now: Time, endpoint: &mut Endpoint, users: Users) {
        let before = core::mem::replace(&mut self.users, users);
        for id in self.targets.ids() {
            let Some(target) = self.targets.get_mut(id) else { continue };
            target.trust.users.retain(|user| self.users.agree_on(&before, user));
            let good = self.users.is_empty() || !target.trust.users.is_empty();
            match (target.trust.authenticated, good) {
                // It has shown who it was, or did not have to.
                (true, false) => {
                    self.stats.bad_auth += 1;
                    self.close(now, endpoint, id, LeaveReason::BadAuth);
                }
                (false, true) if !target.trust.refused => {
                    target.trust.authenticated = true;
                    self.strangers.remove(id);
                    self.set_deadline(id, None);
                    self.assign(id);
                }
                (true, true) => self.assign(id),
                (false, _) => {}
            }
        }
    }

    // ---- registration ----

    fn register(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId, as_what: Registered) {
        let Some(target) = self.targets.get_mut(id) else { return };
        let before = target.registered.replace(as_what);
        if before != Some(as_what) {
            match as_what {
                Registered::Active => self.stats.registrations += 1,
                Registered::Draining => self.stats.drained += 1,
            }
        }
        if before.is_some() {
            return;
        }
        target.heard = (0, now);
        let (identity, session, address) =
            (target.info.identity.clone(), target.session, target.info.address);
        // It has come again, and its older self is as good as gone. With another certificate it is known by its address, where
        // there can only be one: a server that was killed and started again.
        let by_identity = self.by_identity.insert(identity, id).filter(|&older| older != id);
        let is_there = |&other: &TargetId| {
            let other = self.targets.get(other);
            other.is_some_and(|other| other.session != session)
        };
        let mut older: Vec<TargetId> = self.places.at(address).filter(is_there).collect();
        older.extend(by_identity.filter(|other| !older.contains(other)));
        for older in older {
            let older_session = self.targets.get(older).map(|older| older.session);
            self.close(now, endpoint, older, LeaveReason::Replaced);
            if let Some(other) = older_session.filter(|&other| other != session)
                && let Some(other) = endpoint.session(other)
            {
                other.close(now);
            }
        }
    }

    fn on_settings(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId, mut settings: Settings) {
        let named = settings.addresses.len();
        settings.addresses.retain(is_usable);
        self.stats.unusable_addresses += (named - settings.addresses.len()) as u64;
        self.register(now, endpoint, id, Registered::Active);
        if let Some(target) = self.targets.get_mut(id) {
            target.info.settings = settings;
        }
        self.settle(id);
    }

    fn on_draining(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId) {
        self.register(now, endpoint, id, Registered::Draining);
        self.settle(id);
    }

    fn on_load(&mut self, id: TargetId, load: u64) {
        let Some(target) = self.targets.get_mut(id) else { return };
        target.info.load = load;
        for &pool in &target.pools {
            if let Some(takers) = self.takers.get_mut(pool) {
                takers.report(id, load);
            }
        }
        self.settle(id);
    }

    // ---- what they are told ----

    fn open_return_flow(&mut self, now: Time, endpoint: &mut Endpoint, id: TargetId) {
        let Some(target) = self.targets.get_mut(id).filter(|target| target.return_flow.is_none()) else {
            return;
        };
        let spec = FlowSpec { metadata: Bytes::from_static(wire::METADATA), priority: Priority::Routine };
        let opened = endpoint
            .recv_flow(target.flow)
            .and_then(|mut flow| flow.open_return_flow(now, spec, self.config.tag).ok());
        if let Some(flow) = opened {
            target.return_flow = Some(flow);
            self.tell_reflexive(now, endpoint, id);
        }
    }

    pub(super) fn tell_reflexive(&self, now: Time, endpoint: &mut Endpoint, id: TargetId) {
        if let Some(addr) = self.targets.get(id).map(|target| target.info.address) {
            let seen = Command::Reflexive(Address { origin: Origin::Observed, addr });
            // Who does not take it has other worries.
            let _ = self.tell(now, endpoint, id, &seen);
        }
    }

    /// Sends a registrant anything.
    ///
    /// # Errors
    /// [`UserDataError`].
    pub fn send_user_data(
        &self,
        now: Time,
        endpoint: &mut Endpoint,
        target: TargetId,
        data: &[u8],
    ) -> Result<(), UserDataError> {
        self.tell(now, endpoint, target, &Command::UserData(data))
    }

    fn tell(
        &self,
        now: Time,
        endpoint: &mut Endpoint,
        id: TargetId,
        command: &Command<'_>,
    ) -> Result<(), UserDataError> {
        let flow = self.targets.get(id).and_then(|target| target.return_flow);
        let Some(mut flow) = flow.and_then(|flow| endpoint.send_flow(flow)) else {
            return Err(UserDataError::NotConnected);
        };
        let message = Message::from(command.encode());
        flow.write(now, message, &WriteOptions::default()).map(drop).map_err(|error| match error {
            WriteError::Full => UserDataError::Full,
            _ => UserDataError::NotConnected,
        })
    }
}
