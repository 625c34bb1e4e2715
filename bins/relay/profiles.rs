//! Cryptography for the relay's endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;
use rtmfp::crypto::Profile;
use rtmfp_cli::Security;
use rtmfp_flash::{FlashConfig, FlashProfile, Group, KeyLog, KeySource, Policy, StaticKeys};
use rtmfp_service::Profiles;

use crate::key_log;

/// Makes profiles as the command line wants them.
pub(crate) struct FlashProfiles {
    groups: Vec<Group>,
    /// Made once, for all endpoints that have static keys.
    keys: Option<Arc<StaticKeys>>,
    static_listeners: bool,
    static_outgoing: bool,
    policy: Policy,
    key_log: Option<KeyLog>,
}

impl FlashProfiles {
    pub(crate) fn new(security: Security) -> Result<Self, String> {
        let groups = security.dh_groups.0;
        let mut policy = Policy::default();
        if security.allow_no_hmac {
            policy = policy.allow_no_hmac();
        }
        if security.allow_no_sequence_numbers {
            policy = policy.allow_no_sequence_numbers();
        }
        let (static_listeners, static_outgoing) = (security.static_keys, !security.ephemeral);
        let keys = if static_listeners || static_outgoing {
            let generate = |random: &mut dyn FnMut(&mut [u8])| StaticKeys::generate(&groups, random);
            let keys = with_randomness(generate)?.map_err(|error| error.to_string())?;
            Some(Arc::new(keys))
        } else {
            None
        };
        let key_log = security.key_log_file.as_deref().map(key_log::open).transpose()?;
        Ok(Self { groups, keys, static_listeners, static_outgoing, policy, key_log })
    }

    fn make(&self, config: FlashConfig, is_static: bool) -> Result<Box<dyn Profile>, String> {
        let keys = match &self.keys {
            // So that each client has a fingerprint of its own: there are peers that take one session of each.
            Some(keys) if is_static => KeySource::Static { keys: Arc::clone(keys), extra_randomness: true },
            _ => KeySource::Ephemeral { groups: self.groups.clone() },
        };
        let mut config = config;
        config.keys = keys;
        config.policy = self.policy;
        config.key_log = self.key_log.clone();
        let profile = with_randomness(|random| FlashProfile::new(config, random))?;
        Ok(Box::new(profile.map_err(|error| error.to_string())?))
    }
}

impl Profiles for FlashProfiles {
    fn listener(&mut self, _address: SocketAddr) -> Result<Box<dyn Profile>, String> {
        self.make(FlashConfig::server(), self.static_listeners)
    }

    fn outgoing(&mut self) -> Result<Box<dyn Profile>, String> {
        let mut config = FlashConfig::server();
        config.ancillary = rtmfp_flash::Ancillary::Refused;
        self.make(config, self.static_outgoing)
    }
}

/// Hands the system's randomness to `call`.
///
/// # Errors
/// When the system had none to give.
fn with_randomness<T>(call: impl FnOnce(&mut dyn FnMut(&mut [u8])) -> T) -> Result<T, String> {
    let mut failed = None;
    let result = call(&mut |bytes| {
        if let Err(error) = SysRng.try_fill_bytes(bytes) {
            failed = Some(error);
        }
    });
    match failed {
        None => Ok(result),
        Some(error) => Err(format!("no randomness from the system: {error}")),
    }
}
