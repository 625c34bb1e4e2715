use std::sync::Arc;

use rtmfp::crypto::Profile;
use rtmfp_flash::{
    Ancillary, Certificate, ConfigError, Epd, Fingerprint, FlashConfig, FlashProfile, Group, KeySource,
    Policy, StaticKeys,
};

use crate::{ephemeral, profile, random, unhex};

#[test]
fn a_predicate_on_ancillary_data_counts_unless_there_is_a_fingerprint() {
    let mut config = FlashConfig::server();
    config.hostname = Some("srv".into());
    config.ancillary = Ancillary::AcceptedIf(Arc::new(|uri| uri.ends_with(b"/app")));
    let server = FlashProfile::new(config, &mut random(1)).unwrap();
    let fingerprint = server.fingerprint();
    for (epd, selected, by_others) in [
        (Epd::uri("rtmfp://h/app"), true, true),
        (Epd::uri("rtmfp://h/other"), false, true),
        (Epd::uri("rtmfp://h/other").with_hostname("srv"), false, true),
        (Epd::fingerprint(&fingerprint).with_uri("rtmfp://h/other"), true, true),
        (Epd::hostname("srv"), true, true),
        (Epd::hostname("other"), false, false),
        (Epd::fingerprint(&Fingerprint([0; 32])), false, false),
    ] {
        let bytes = epd.encode();
        assert_eq!(server.selects_near(&bytes), selected, "{epd:?}");
        assert_eq!(server.selects(&bytes, server.certificate()), by_others, "{epd:?}");
    }
    assert!(!server.selects_near(b""));
    assert!(!server.selects_near(&unhex("020a750a")), "malformed");
    assert!(!server.selects(&Epd::uri("x").encode(), b"no certificate"));
}

/// Rule L7 of the installed base: librtmfp names the application and nothing else.
#[test]
fn ancillary_data_that_is_only_a_path_selects_a_server() {
    let server = profile(ephemeral(&Group::DEFAULT), Policy::default(), 1);
    assert!(server.selects_near(&unhex("050a6c697665")), "live");
    assert!(server.selects_near(&Epd::uri("live").encode()));
    assert!(server.selects_near(&Epd::uri("").encode()));
}

#[test]
fn the_canonical_discriminator_has_the_fingerprint_only() {
    let server = profile(ephemeral(&Group::DEFAULT), Policy::default(), 1);
    let epd = server.canonical_epd(server.certificate()).unwrap();
    assert_eq!(Fingerprint::from_canonical_epd(&epd), Some(server.fingerprint()));
    assert!(server.selects_near(&epd));
    assert_eq!(server.canonical_epd(b""), None);
    assert_eq!(server.canonical_epd(b"\x01"), None);
}

#[test]
fn endpoints_with_the_same_static_keys_differ_by_extra_randomness() {
    let keys = Arc::new(StaticKeys::generate(&[Group::Modp1024], &mut random(1)).unwrap());
    let mut config = FlashConfig::client(Arc::clone(&keys));
    let plain = FlashProfile::new(config.clone(), &mut random(2)).unwrap();
    assert_eq!(plain.certificate().len(), 132, "as Flash makes them");
    assert_eq!(plain.certificate()[..4], unhex("81021d02"));
    config.keys = KeySource::Static { keys, extra_randomness: true };
    let first = FlashProfile::new(config.clone(), &mut random(2)).unwrap();
    let second = FlashProfile::new(config, &mut random(3)).unwrap();
    assert_eq!(first.certificate().len(), 132 + 66);
    assert_ne!(first.fingerprint(), second.fingerprint());
    let key = |profile: &FlashProfile| {
        let certificate = Certificate::parse(profile.certificate()).unwrap();
        certificate.static_key(Group::Modp1024).unwrap().to_vec()
    };
    assert_eq!(key(&first), key(&second));
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let refused = |config: FlashConfig| FlashProfile::new(config, &mut random(1)).unwrap_err();
    let mut config = FlashConfig::server();
    config.keys = ephemeral(&[]);
    assert_eq!(refused(config), ConfigError::NoGroup);
    let none = StaticKeys::generate(&[], &mut random(1)).unwrap();
    assert_eq!(refused(FlashConfig::client(Arc::new(none))), ConfigError::NoGroup);
    for length in [0, 3, 33] {
        let mut config = FlashConfig::server();
        config.policy.hmac_length = length;
        assert_eq!(refused(config), ConfigError::HmacLength(length));
    }
}

#[test]
fn signatures_are_a_placeholder_and_any_is_good() {
    let signatures = profile(ephemeral(&Group::DEFAULT), Policy::default(), 1).signatures();
    assert_eq!(signatures.sign(b"parameters"), b"X");
    for signature in [&b"X"[..], b"", b"\x05\x1dabcd", b"\xff"] {
        assert!(signatures.verify(b"certificate", b"parameters", signature));
    }
}

#[test]
fn the_keyed_hash_is_hmac_sha256() {
    let server = profile(ephemeral(&Group::DEFAULT), Policy::default(), 1);
    let nonce: Vec<u8> = (0..0x20).collect();
    let expected = unhex("ba9234c61b6c433a0344748e03295ab901428f380d162b5935908a81d2e2639c");
    assert_eq!(server.keyed_hash(b"pw", &[&nonce])[..], expected);
    assert_eq!(server.keyed_hash(b"pw", &[&nonce[..7], &nonce[7..]])[..], expected);
}
