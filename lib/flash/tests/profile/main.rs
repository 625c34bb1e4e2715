//! The profile as an endpoint sees it: two ends that agree on keys, and packets between them.
#![cfg(any(feature = "openssl", feature = "rustcrypto"))]

mod backends;
mod keying;
mod legacy;
mod packets;
mod rfc7425;
mod selection;
mod sessions;

use std::sync::Arc;

use rtmfp::crypto::{KeyId, KeyInfo, KeyingError, Profile, Sealing};
use rtmfp_flash::{Backend, FlashConfig, FlashProfile, Group, KeySource, Policy, StaticKeys};

/// Repeatable bytes in place of random ones (SplitMix64).
fn random(mut state: u64) -> impl FnMut(&mut [u8]) {
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            *byte = (mixed ^ (mixed >> 31)) as u8;
        }
    }
}

fn ephemeral(groups: &[Group]) -> KeySource {
    KeySource::Ephemeral { groups: groups.to_vec() }
}

fn fixed(groups: &[Group], seed: u64) -> KeySource {
    let keys = StaticKeys::generate(groups, &mut random(seed)).unwrap();
    KeySource::Static { keys: Arc::new(keys), extra_randomness: false }
}

fn profile(keys: KeySource, policy: Policy, seed: u64) -> FlashProfile {
    profile_by(Backend::default(), keys, policy, seed)
}

fn profile_by(backend: Backend, keys: KeySource, policy: Policy, seed: u64) -> FlashProfile {
    let mut config = FlashConfig::server();
    config.keys = keys;
    config.policy = policy;
    config.backend = backend;
    FlashProfile::new(config, &mut random(seed)).unwrap()
}

/// An end of a session.
struct End {
    profile: FlashProfile,
    key: KeyId,
}

impl End {
    fn info(&self) -> KeyInfo {
        self.profile.key_info(self.key).unwrap()
    }

    fn seal(&mut self, clear: &[u8]) -> Vec<u8> {
        let key = self.key;
        let front = self.profile.front_len(key);
        let room = self.profile.reserve(key, clear.len());
        assert_eq!(room.front, front);
        let mut packet = vec![0xee; room.sealed_len];
        packet[front..front + clear.len()].copy_from_slice(clear);
        self.profile.seal(&mut packet, &mut [Sealing { key, room, clear_len: clear.len(), start: 0 }]);
        packet
    }

    /// Opens a copy; answers the clear packet with its padding.
    fn open(&mut self, packet: &[u8]) -> Result<Vec<u8>, rtmfp::crypto::OpenError> {
        let mut packet = packet.to_vec();
        let range = self.profile.open(self.key, &mut packet)?;
        Ok(packet[range].to_vec())
    }
}

/// A whole key agreement.
fn connect(mut client: FlashProfile, mut server: FlashProfile, seed: u64) -> Result<(End, End), KeyingError> {
    let mut random = random(seed);
    let offer = client.initiate(server.certificate(), &mut random)?()?;
    let certificate = offer.certificate.as_deref().unwrap_or_else(|| client.certificate());
    let answer = server.respond(certificate, &offer.component, &mut random)?()?;
    let keys = client.conclude(&offer.secret, &answer.component)()?;
    let (at_client, at_server) = (client.install(keys), server.install(answer.keys));
    Ok((End { profile: client, key: at_client }, End { profile: server, key: at_server }))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
