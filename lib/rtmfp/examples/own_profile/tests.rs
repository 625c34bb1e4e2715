//! What a profile should be tested for, and the example itself.

use proptest::prelude::*;
use rtmfp::crypto::{DEFAULT_KEY, KeyId, KeyingError, OpenError, Profile, Room, Sealing};

use crate::profile::SharedKeyProfile;

const GROUP: [u8; 32] = [7; 32];

/// An end of a session.
struct End {
    profile: SharedKeyProfile,
    key: KeyId,
}

impl End {
    fn seal(&mut self, clear: &[u8]) -> Vec<u8> {
        let key = self.key;
        let front = self.profile.front_len(key);
        let room = self.profile.reserve(key, clear.len());
        assert_eq!(room.front, front);
        let mut packet = vec![0; room.sealed_len];
        packet[front..front + clear.len()].copy_from_slice(clear);
        self.profile.seal(&mut packet, &mut [Sealing { key, room, clear_len: clear.len(), start: 0 }]);
        packet
    }

    fn open(&mut self, packet: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut packet = packet.to_vec();
        let clear = self.profile.open(self.key, &mut packet)?;
        Ok(packet[clear].to_vec())
    }
}

/// Agrees on keys as the core does, with other random bytes for each seed; `damage` is what happens to the answer on
/// its way.
fn agree(seed: u8, damage: impl FnOnce(&mut Vec<u8>)) -> Result<(End, End), KeyingError> {
    let mut alice = SharedKeyProfile::new("alice", &GROUP);
    let mut bob = SharedKeyProfile::new("bob", &GROUP);
    let mut next = seed;
    let mut random = |bytes: &mut [u8]| {
        next += 1;
        bytes.fill(next);
    };
    let offer = alice.initiate(b"bob", &mut random)?()?;
    let mut answer = bob.respond(b"alice", &offer.component, &mut random)?()?;
    damage(&mut answer.component);
    let keys = alice.conclude(&offer.secret, &answer.component)()?;
    let (at_alice, at_bob) = (alice.install(keys), bob.install(answer.keys));
    Ok((End { profile: alice, key: at_alice }, End { profile: bob, key: at_bob }))
}

fn pair() -> (End, End) {
    agree(0, |_| {}).unwrap()
}

/// Both ends under the Default Session Key.
fn startup() -> (End, End) {
    let (mut alice, mut bob) = pair();
    (alice.key, bob.key) = (DEFAULT_KEY, DEFAULT_KEY);
    (alice, bob)
}

#[test]
fn the_example_runs() {
    assert_eq!(crate::run().len(), 3);
}

#[test]
fn packets_of_all_lengths_pass_in_both_directions() {
    for (mut alice, mut bob) in [pair(), startup()] {
        for len in 1..1300 {
            let clear = vec![len as u8; len];
            let packet = alice.seal(&clear);
            assert_eq!(bob.open(&packet).unwrap(), clear);
            let packet = bob.seal(&clear);
            assert_eq!(alice.open(&packet).unwrap(), clear);
        }
    }
}

#[test]
fn any_damage_is_noticed_and_leaves_no_trace() {
    for (mut alice, mut bob) in [pair(), startup()] {
        let sealed = alice.seal(b"hello");
        for bit in 0..8 * sealed.len() {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(bob.open(&damaged), Err(OpenError::Forged), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(bob.open(&sealed[..len]).is_err(), "{len} bytes");
        }
        assert_eq!(bob.open(&sealed).unwrap(), b"hello");
    }
}

#[test]
fn packets_are_opened_once_and_may_overtake_each_other_by_63() {
    let (mut alice, mut bob) = pair();
    let packets: Vec<_> = (0..200_u8).map(|number| alice.seal(&[number])).collect();
    assert_eq!(bob.open(&packets[100]).unwrap(), [100]);
    for number in (0..=100).rev() {
        let new = (37..100).contains(&number);
        assert_eq!(bob.open(&packets[number]).is_ok(), new, "{number}");
        assert_eq!(bob.open(&packets[number]), Err(OpenError::Replayed));
    }
    assert_eq!(bob.open(&packets[199]).unwrap(), [199]);
    assert_eq!(bob.open(&packets[135]), Err(OpenError::Replayed));
    assert!(bob.open(&packets[136]).is_ok());
}

#[test]
fn a_packet_is_not_opened_by_its_sender_nor_by_another_session() {
    let (mut alice, mut bob) = pair();
    let sealed = alice.seal(b"hello");
    assert_eq!(alice.open(&sealed), Err(OpenError::Forged));
    let (_, mut other) = agree(1, |_| {}).unwrap();
    assert_eq!(other.open(&sealed), Err(OpenError::Forged));
    bob.key = DEFAULT_KEY;
    assert_eq!(bob.open(&sealed), Err(OpenError::Forged));
}

#[test]
fn ends_that_saw_different_components_have_different_keys() {
    let (mut alice, mut bob) = agree(0, |component| component[31] ^= 1).unwrap();
    let sealed = alice.seal(b"hello");
    assert_eq!(bob.open(&sealed), Err(OpenError::Forged));
    let error = agree(0, |component| component.truncate(31)).map(drop).unwrap_err();
    assert!(matches!(error, KeyingError::BadComponent(_)), "{error}");
}

#[test]
fn the_nonces_of_both_ends_cross() {
    let (alice, bob) = pair();
    let near = alice.profile.key_info(alice.key).unwrap();
    let far = bob.profile.key_info(bob.key).unwrap();
    assert_eq!((&near.near_nonce, &near.far_nonce), (&far.far_nonce, &far.near_nonce));
    assert_ne!(near.near_nonce, near.far_nonce);
}

#[test]
fn who_has_another_key_neither_opens_startup_packets_nor_signs() {
    let (mut alice, bob) = startup();
    let mut eve = End { profile: SharedKeyProfile::new("eve", &[8; 32]), key: DEFAULT_KEY };
    assert_eq!(eve.open(&alice.seal(b"hello")), Err(OpenError::Forged));
    let signature = alice.profile.signatures().sign(b"parameters");
    let (members, strangers) = (bob.profile.signatures(), eve.profile.signatures());
    assert!(members.verify(b"alice", b"parameters", &signature));
    assert!(!strangers.verify(b"alice", b"parameters", &signature));
    assert!(!members.verify(b"alicep", b"arameters", &signature));
    assert!(!members.verify(b"alice", b"parameters", &signature[..31]));
    assert!(!members.verify(b"alice", b"parameters", &[]));
}

#[test]
fn forgotten_keys_seal_zeros_and_open_nothing() {
    let (mut alice, mut bob) = pair();
    let packet = alice.seal(b"hello");
    let room = bob.profile.reserve(bob.key, 5);
    bob.profile.remove(bob.key);
    bob.profile.remove(bob.key);
    assert_eq!(bob.open(&packet), Err(OpenError::UnknownKey));
    assert_eq!(bob.profile.key_info(bob.key), None);
    let mut buffer = *b"...clear text, clear text, clear.";
    let len = room.sealed_len;
    bob.profile.seal(&mut buffer[3..], &mut [Sealing { key: bob.key, room, clear_len: 5, start: 0 }]);
    assert_eq!((&buffer[..3], &buffer[3..3 + len]), (&b"..."[..], &vec![0; len][..]));
}

#[test]
fn rooms_that_make_no_sense_seal_nothing() {
    let (mut alice, _) = pair();
    for (sealed_len, clear_len) in [(29, 6), (29, 4), (29, usize::MAX), (7, 1), (0, 0), (1000, 5)] {
        let room = Room { front: 8, sealed_len, sequence: 0 };
        let mut buffer = [0xee; 100];
        alice.profile.seal(&mut buffer, &mut [Sealing { key: alice.key, room, clear_len, start: 0 }]);
        let end = if sealed_len <= 100 { sealed_len } else { 0 };
        assert!(buffer[..end].iter().all(|byte| *byte == 0), "{sealed_len} {clear_len}");
        assert!(buffer[end..].iter().all(|byte| *byte == 0xee), "{sealed_len} {clear_len}");
    }
}

#[test]
fn certificates_that_are_no_names_are_refused() {
    let alice = SharedKeyProfile::new("alice", &GROUP);
    let random = &mut |bytes: &mut [u8]| bytes.fill(0);
    for certificate in [&b""[..], &[b'x'; 65]] {
        assert_eq!(alice.initiate(certificate, random).map(drop).unwrap_err(), KeyingError::BadCertificate);
        let error = alice.respond(certificate, &[0; 32], random).map(drop).unwrap_err();
        assert_eq!(error, KeyingError::BadCertificate);
        assert_eq!(alice.canonical_epd(certificate), None);
        assert!(!alice.selects(certificate, certificate));
    }
    assert!(alice.selects_near(b"alice") && !alice.selects_near(b"bob"));
}

#[test]
fn nothing_secret_is_printed() {
    let printed = format!("{:?}", SharedKeyProfile::new("alice", &[0x99; 32]));
    assert_eq!(printed, "SharedKeyProfile { name: \"alice\", sessions: 0, .. }");
}

#[test]
fn another_profiles_secret_is_refused() {
    let alice = SharedKeyProfile::new("alice", &GROUP);
    let foreign: rtmfp::crypto::InitiatorSecret = std::sync::Arc::new(5);
    let error = alice.conclude(&foreign, &[0; 32])().map(drop).unwrap_err();
    assert!(matches!(error, KeyingError::Backend(_)));
}

proptest! {
    #[test]
    fn no_bytes_make_opening_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let (_, mut bob) = pair();
        prop_assert!(bob.open(&bytes).is_err());
        bob.key = DEFAULT_KEY;
        prop_assert!(bob.open(&bytes).is_err());
    }
}
