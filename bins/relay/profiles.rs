//! Cryptography for the relay's endpoints.

use std::sync::Arc;

use rtmfp::crypto::Profile;
use rtmfp_cli::Security;
use rtmfp_flash::{Ancillary, FlashConfig, FlashProfile, Group, KeyLog, KeySource, Policy, StaticKeys};
use rtmfp_service::{Destination, Listen, Profiles};

use crate::key_log;
use crate::randomness::with_randomness;

/// Makes profiles as the command line wants them. Clones share the static keys.
#[derive(Clone)]
pub(crate) struct FlashProfiles {
    listeners: Pair,
    outgoing: Pair,
    key_log: Option<KeyLog>,
}

/// What is common to the profiles of all listeners, or of all outgoing connections.
#[derive(Clone)]
struct Pair {
    modern: Common,
    /// For those that may be of the installed base.
    legacy: Common,
}

#[derive(Clone)]
struct Common {
    keys: KeySource,
    policy: Policy,
}

impl FlashProfiles {
    pub(crate) fn new(security: Security) -> Result<Self, String> {
        let mut policy = Policy::default();
        if security.allow_no_hmac {
            policy = policy.allow_no_hmac();
        }
        if security.allow_no_sequence_numbers {
            policy = policy.allow_no_sequence_numbers();
        }
        let outgoing = Pair::new(security.outgoing_groups(), !security.ephemeral, policy)?;
        let listeners = Pair::new(security.dh_groups.0, security.static_keys, policy)?;
        let key_log = security.key_log_file.as_deref().map(key_log::open).transpose()?;
        Ok(Self { listeners, outgoing, key_log })
    }

    /// That of what stands before workers: nothing selects it.
    pub(crate) fn front(&self) -> Result<Box<dyn Profile>, String> {
        self.make(Ancillary::Refused, &self.outgoing.modern)
    }

    fn make(&self, ancillary: Ancillary, common: &Common) -> Result<Box<dyn Profile>, String> {
        let mut config = FlashConfig::server();
        config.ancillary = ancillary;
        config.keys = common.keys.clone();
        config.policy = common.policy;
        config.key_log = self.key_log.clone();
        let profile = with_randomness(|random| FlashProfile::new(config, random))?;
        Ok(Box::new(profile.map_err(|error| error.to_string())?))
    }
}

impl Pair {
    fn new(groups: Vec<Group>, is_static: bool, policy: Policy) -> Result<Self, String> {
        let mut legacy_groups = groups.clone();
        // In the last place: who knows another one uses that.
        if !groups.contains(&Group::Modp1024) {
            legacy_groups.push(Group::Modp1024);
        }
        let legacy = Common { keys: key_source(legacy_groups, is_static)?, policy: Policy::legacy() };
        Ok(Self { modern: Common { keys: key_source(groups, is_static)?, policy }, legacy })
    }

    const fn of(&self, legacy: bool) -> &Common {
        if legacy { &self.legacy } else { &self.modern }
    }
}

/// Static keys are made once, for all endpoints that have such.
fn key_source(groups: Vec<Group>, is_static: bool) -> Result<KeySource, String> {
    if !is_static {
        return Ok(KeySource::Ephemeral { groups });
    }
    let keys = with_randomness(|random| StaticKeys::generate(&groups, random))?;
    let keys = Arc::new(keys.map_err(|error| error.to_string())?);
    // Each client has a fingerprint of its own: there are peers that take one session of each.
    Ok(KeySource::Static { keys, extra_randomness: true })
}

impl Profiles for FlashProfiles {
    fn listener(&mut self, listen: &Listen) -> Result<Box<dyn Profile>, String> {
        self.make(Ancillary::Accepted, self.listeners.of(listen.legacy))
    }

    fn outgoing(&mut self, to: &Destination) -> Result<Box<dyn Profile>, String> {
        self.make(Ancillary::Refused, self.outgoing.of(to.legacy))
    }
}
