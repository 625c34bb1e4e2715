//! The backends talk to each other, and to themselves.

use rtmfp::crypto::{DEFAULT_KEY, OpenError, Profile};
use rtmfp_flash::{Backend, Group, KeySource, Policy};

use crate::packets::POLICIES;
use crate::{End, connect, ephemeral, fixed, profile_by, random};

/// All backends at either end.
fn pairs() -> impl Iterator<Item = (Backend, Backend)> {
    Backend::ALL.iter().flat_map(|near| Backend::ALL.iter().map(|far| (*near, *far)))
}

/// A session of two ends with these keys.
fn session(by: (Backend, Backend), keys: (KeySource, KeySource), policy: Policy) -> (End, End) {
    let client = profile_by(by.0, keys.0, policy, 1);
    let server = profile_by(by.1, keys.1, policy, 2);
    let (client, server) = connect(client, server, 3).unwrap();
    assert_eq!(client.info().near_nonce, server.info().far_nonce, "{by:?}");
    assert_eq!(client.info().far_nonce, server.info().near_nonce, "{by:?}");
    (client, server)
}

/// Packets come through in this direction, and no damaged one and no second copy does.
fn exchange(from: &mut End, to: &mut End) {
    let clear: Vec<u8> = (0..1250).map(|at| (at * 7) as u8).collect();
    for len in [1, 2, 13, 14, 15, 16, 17, 64, 127, 500, 1200, 1250] {
        let sealed = from.seal(&clear[..len]);
        let mut damaged = sealed.clone();
        damaged[len / 2] ^= 0x10;
        assert_eq!(to.open(&damaged), Err(OpenError::Forged));
        let opened = to.open(&sealed).unwrap();
        assert_eq!(opened[..len], clear[..len]);
        assert!(opened[len..].iter().all(|byte| *byte == 0xff));
        assert_eq!(to.open(&sealed).err(), to.info().sequenced.then_some(OpenError::Replayed));
    }
}

#[test]
fn packets_pass_in_both_directions_in_all_modes_whoever_seals_and_opens() {
    for by in pairs() {
        for policy in POLICIES.iter() {
            let keys = || ephemeral(&[Group::Modp1024]);
            let (mut client, mut server) = session(by, (keys(), keys()), *policy);
            exchange(&mut client, &mut server);
            exchange(&mut server, &mut client);
        }
    }
}

#[test]
fn both_ends_agree_in_all_groups_with_all_kinds_of_keys_whoever_computes() {
    for by in pairs() {
        for group in [Group::Modp1024, Group::Modp1536, Group::Modp2048, Group::Modp4096] {
            for keys in [
                (ephemeral(&[group]), ephemeral(&[group])),
                (ephemeral(&[group]), fixed(&[group], 1)),
                (fixed(&[group], 2), ephemeral(&[group])),
                (fixed(&[group], 2), fixed(&[group], 1)),
            ] {
                let (mut client, mut server) = session(by, keys, Policy::default());
                exchange(&mut client, &mut server);
                exchange(&mut server, &mut client);
            }
        }
    }
}

#[test]
fn hundreds_of_handshakes_succeed_whatever_zeros_numbers_begin_with() {
    for by in pairs() {
        for seed in 0..300 {
            let client = profile_by(by.0, ephemeral(&[Group::Modp1024]), Policy::default(), 1);
            let server = profile_by(by.1, ephemeral(&[Group::Modp1024]), Policy::default(), 2);
            let (mut client, mut server) = connect(client, server, seed).unwrap();
            let packet = client.seal(b"hello");
            assert_eq!(server.open(&packet).unwrap()[..5], *b"hello", "{by:?}, seed {seed}");
        }
    }
}

#[test]
fn the_same_random_bytes_make_the_same_bytes_whoever_computes() {
    let made = |backend: Backend, keys: KeySource| {
        let mut client = profile_by(backend, keys.clone(), Policy::legacy(), 1);
        let server = profile_by(backend, keys, Policy::legacy(), 2);
        let certificates = [client.certificate().to_vec(), server.certificate().to_vec()];
        let fingerprints = [client.fingerprint(), server.fingerprint()];
        let hash = client.keyed_hash(b"key", &[b"one", b"two"]);
        let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
        let answer = server.respond(client.certificate(), &offer.component, &mut random(4)).unwrap()();
        let answer = answer.unwrap();
        let key = client.install(client.conclude(&offer.secret, &answer.component)().unwrap());
        let mut end = End { profile: client, key };
        let sealed = end.seal(b"hello");
        end.key = DEFAULT_KEY;
        let startup = end.seal(b"hello");
        (certificates, fingerprints, hash, offer.component, answer.component, sealed, startup)
    };
    for keys in [ephemeral(&[Group::Modp2048]), fixed(&[Group::Modp2048], 1)] {
        let expected = made(Backend::default(), keys.clone());
        for backend in Backend::ALL {
            assert_eq!(made(*backend, keys.clone()), expected, "{backend:?}");
        }
    }
}
