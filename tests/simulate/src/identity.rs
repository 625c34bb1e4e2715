//! Who a node is: its cryptography profile.

use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp_flash::{Backend, FlashConfig, FlashProfile, Group, KeySource};
use rtmfp_netsim::Dice;
use rtmfp_plain::PlainProfile;

/// Which cryptography the nodes of a trial use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cryptography {
    /// None, which is quick.
    Plain,
    /// That of RFC 7425, each node with a backend of its own.
    Flash,
}

/// A profile, and the Endpoint Discriminator that selects it, in the canonical form.
pub(crate) struct Identity {
    pub(crate) profile: Box<dyn Profile>,
    pub(crate) epd: Bytes,
}

impl Identity {
    pub(crate) fn new(cryptography: Cryptography, name: &[u8], dice: &mut Dice) -> Self {
        match cryptography {
            Cryptography::Plain => {
                let profile = PlainProfile::new(name).guarded();
                Self { profile: Box::new(profile), epd: Bytes::copy_from_slice(name) }
            }
            Cryptography::Flash => {
                let mut config = FlashConfig::server();
                config.keys = KeySource::Ephemeral { groups: vec![Group::Modp1024] };
                config.backend = Backend::ALL[dice.below(Backend::ALL.len() as u64) as usize];
                let mut random = |bytes: &mut [u8]| {
                    for chunk in bytes.chunks_mut(32) {
                        chunk.copy_from_slice(&dice.bytes()[..chunk.len()]);
                    }
                };
                let profile = FlashProfile::new(config, &mut random).expect("a profile");
                let epd = Bytes::from(profile.fingerprint().canonical_epd());
                Self { profile: Box::new(profile), epd }
            }
        }
    }
}
