//! The profile keeps the trait's contract, as far as a profile without cryptography can.

use rtmfp::crypto::{DEFAULT_KEY, KeyId, KeyingError, OpenError, Profile, Sealing};
use rtmfp_plain::PlainProfile;

/// A counter in place of randomness.
fn counter(mut next: u8) -> impl FnMut(&mut [u8]) {
    move |bytes| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
    }
}

/// Two ends with a common session.
fn pair(seed: u8) -> (PlainProfile, KeyId, PlainProfile, KeyId) {
    let (mut red, mut blue) = (PlainProfile::new("red"), PlainProfile::new("blue"));
    let offer = red.initiate(b"blue", &mut counter(seed)).unwrap()().unwrap();
    let answer = blue.respond(b"red", &offer.component, &mut counter(seed ^ 0x80)).unwrap()().unwrap();
    let at_red = red.conclude(&offer.secret, &answer.component)().unwrap();
    let (at_red, at_blue) = (red.install(at_red), blue.install(answer.keys));
    (red, at_red, blue, at_blue)
}

fn seal(profile: &mut PlainProfile, key: KeyId, clear: &[u8]) -> Vec<u8> {
    let room = profile.reserve(key, clear.len());
    assert_eq!(room.front, profile.front_len(key));
    let mut packet = vec![0xee; room.sealed_len];
    packet[room.front..room.front + clear.len()].copy_from_slice(clear);
    profile.seal(&mut packet, &mut [Sealing { key, room, clear_len: clear.len(), start: 0 }]);
    packet
}

#[test]
fn packets_open_at_the_other_end_only() {
    let (mut red, at_red, mut blue, at_blue) = pair(1);
    let (_, _, mut other, at_other) = pair(60);
    let mut packet = seal(&mut red, at_red, b"hello");
    assert_eq!(blue.open(at_blue, &mut packet.clone()), Ok(4..9));
    assert_eq!(&packet[4..9], b"hello");
    assert_eq!(red.open(at_red, &mut packet.clone()), Err(OpenError::Forged));
    assert_eq!(other.open(at_other, &mut packet), Err(OpenError::Forged));
    let mut answer = seal(&mut blue, at_blue, b"x");
    assert_eq!(red.open(at_red, &mut answer), Ok(4..5));
}

#[test]
fn a_damaged_or_short_packet_does_not_open() {
    let (mut red, at_red, mut blue, at_blue) = pair(1);
    let packet = seal(&mut red, at_red, b"hello");
    for bit in 0..packet.len() * 8 {
        let mut damaged = packet.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(blue.open(at_blue, &mut damaged), Err(OpenError::Forged), "bit {bit}");
    }
    for len in 0..7 {
        assert_eq!(blue.open(at_blue, &mut packet[..len].to_vec()), Err(OpenError::Malformed));
    }
}

#[test]
fn the_default_key_needs_no_session() {
    let mut packet = seal(&mut PlainProfile::new("red"), DEFAULT_KEY, b"hello");
    assert_eq!(PlainProfile::new("blue").open(DEFAULT_KEY, &mut packet), Ok(4..9));
}

#[test]
fn a_removed_key_seals_zeros_and_opens_nothing() {
    let (mut red, at_red, mut blue, at_blue) = pair(1);
    let mut packet = seal(&mut blue, at_blue, b"hello");
    red.remove(at_red);
    red.remove(at_red);
    assert_eq!(red.open(at_red, &mut packet), Err(OpenError::UnknownKey));
    assert_eq!(red.key_info(at_red), None);
    assert!(seal(&mut red, at_red, b"hello").iter().all(|byte| *byte == 0));
}

#[test]
fn nonces_are_those_of_the_other_end_mirrored() {
    let (red, at_red, blue, at_blue) = pair(1);
    let (at_red, at_blue) = (red.key_info(at_red).unwrap(), blue.key_info(at_blue).unwrap());
    assert_eq!(at_red.near_nonce, at_blue.far_nonce);
    assert_eq!(at_red.far_nonce, at_blue.near_nonce);
    assert_ne!(at_red.near_nonce, at_red.far_nonce);
    assert!(!at_red.authenticated && !at_red.sequenced);
}

#[test]
fn a_name_is_certificate_and_discriminator() {
    let red = PlainProfile::new("red");
    assert_eq!(red.certificate(), b"red");
    assert!(red.selects_near(b"red") && !red.selects_near(b"re") && !red.selects_near(b""));
    assert!(red.selects(b"blue", b"blue") && !red.selects(b"", b""));
    assert_eq!(red.canonical_epd(b"blue"), Some(b"blue".to_vec()));
    assert_eq!(red.canonical_epd(b""), None);
}

#[test]
fn a_signature_is_good_for_its_signer_and_parameters_only() {
    let signatures = PlainProfile::new("red").signatures();
    let signature = signatures.sign(b"parameters");
    let verifier = PlainProfile::new("blue").signatures();
    assert!(verifier.verify(b"red", b"parameters", &signature));
    assert!(!verifier.verify(b"blue", b"parameters", &signature));
    assert!(!verifier.verify(b"red", b"Parameters", &signature));
    assert!(!verifier.verify(b"red", b"parameters", b""));
}

#[test]
fn a_keyed_hash_depends_on_key_and_parts() {
    let red = PlainProfile::new("red");
    let hash = red.keyed_hash(b"key", &[b"one", b"two"]);
    assert_eq!(hash, red.keyed_hash(b"key", &[b"onetwo"]));
    assert_ne!(hash, red.keyed_hash(b"yek", &[b"one", b"two"]));
    assert_ne!(hash, red.keyed_hash(b"keyo", &[b"ne", b"two"]));
    assert_ne!(hash[..8], hash[8..16]);
}

#[test]
fn keying_refuses_what_is_malformed_and_can_be_tried_again() {
    let red = PlainProfile::new("red");
    let mut random = counter(1);
    assert!(matches!(red.initiate(b"", &mut random), Err(KeyingError::BadCertificate)));
    assert!(matches!(red.respond(b"", &[1, 2, 3, 4], &mut random), Err(KeyingError::BadCertificate)));
    assert!(matches!(red.respond(b"blue", b"", &mut random), Err(KeyingError::BadComponent(_))));
    let offer = red.initiate(b"blue", &mut random).unwrap()().unwrap();
    assert!(matches!(red.conclude(&offer.secret, b"bad")(), Err(KeyingError::BadComponent(_))));
    assert!(red.conclude(&offer.secret, b"good")().is_ok());
}
