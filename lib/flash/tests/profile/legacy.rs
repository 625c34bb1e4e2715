//! Peers of the installed base of Flash, and what others get who come to the same place.

use rtmfp::crypto::Profile;
use rtmfp_flash::{FlashProfile, Group, KeySource, Policy, Wish};

use crate::{connect, ephemeral, fixed, profile, random, unhex};

const TWO: [Group; 1] = [Group::Modp1024];
/// What MonaServer names in its certificate.
const NAMED: [Group; 3] = [Group::Modp1024, Group::Modp1536, Group::Modp2048];

/// Static keys whose certificate has extra randomness.
fn shared(groups: &[Group], seed: u64) -> KeySource {
    let KeySource::Static { keys, .. } = fixed(groups, seed) else { unreachable!() };
    KeySource::Static { keys, extra_randomness: true }
}

/// What initiators may have.
fn key_sources() -> [KeySource; 4] {
    [ephemeral(&Group::DEFAULT), fixed(&Group::DEFAULT, 1), shared(&Group::DEFAULT, 2), shared(&TWO, 3)]
}

fn server(groups: &[Group]) -> FlashProfile {
    profile(ephemeral(groups), Policy::legacy(), 9)
}

/// Bytes of an initiator in group 2, as Flash sends them: rule L9.
fn assert_as_flash(certificate: &[u8], component: &[u8], flags: &str) {
    assert_eq!((certificate.len(), &certificate[..4]), (132, &unhex("81021d02")[..]));
    assert_eq!(component.len(), 76);
    assert_eq!(component[..5], unhex("021d02410e"));
    assert_eq!(component[69..], unhex(flags));
}

#[test]
fn under_the_legacy_policy_an_initiator_in_group_2_sends_the_bytes_of_flash_whatever_its_keys() {
    for keys in key_sources() {
        let client = profile(keys.clone(), Policy::legacy(), 4);
        for far in [ephemeral(&TWO), fixed(&TWO, 5)] {
            let far = profile(far, Policy::legacy(), 6);
            let offer = client.initiate(far.certificate(), &mut random(7)).unwrap()().unwrap();
            assert_as_flash(offer.certificate.as_deref().unwrap(), &offer.component, "031a0210021e02");
            let again = client.initiate(far.certificate(), &mut random(8)).unwrap()().unwrap();
            assert_ne!(
                offer.certificate, again.certificate,
                "old servers take one session of each certificate"
            );
        }
        connect(client, server(&TWO), 10).unwrap();
    }
}

#[test]
fn a_certificate_that_is_as_flash_makes_it_is_sent_as_it_is() {
    for policy in [Policy::default(), Policy::legacy()] {
        let client = profile_without_ancillary(fixed(&TWO, 1), policy);
        let offer = client.initiate(server(&TWO).certificate(), &mut random(2)).unwrap()().unwrap();
        assert_eq!(offer.certificate, None);
        let flags = if policy == Policy::legacy() { "031a0210021e02" } else { "031a0710021e07" };
        assert_as_flash(client.certificate(), &offer.component, flags);
    }
}

fn profile_without_ancillary(keys: KeySource, policy: Policy) -> FlashProfile {
    let mut config = rtmfp_flash::FlashConfig::server();
    config.ancillary = rtmfp_flash::Ancillary::Refused;
    config.keys = keys;
    config.policy = policy;
    FlashProfile::new(config, &mut random(3)).unwrap()
}

#[test]
fn the_first_offer_is_in_the_strongest_group_and_the_fall_back_in_group_2() {
    for keys in [ephemeral(&Group::DEFAULT), fixed(&Group::DEFAULT, 1), shared(&Group::DEFAULT, 2)] {
        let client = profile(keys, Policy::legacy(), 3);
        let server = server(&NAMED);
        let first = client.initiate(server.certificate(), &mut random(4)).unwrap()().unwrap();
        assert_eq!(first.certificate, None);
        let group = if first.component[0] == 2 { first.component[2] } else { first.component[3] };
        assert_eq!(group, 14);
        let second = client.fall_back(server.certificate(), &mut random(5)).unwrap()().unwrap();
        let certificate = second.certificate.unwrap();
        assert_as_flash(&certificate, &second.component, "031a0210021e02");
        let answer = server.respond(&certificate, &second.component, &mut random(6)).unwrap()().unwrap();
        assert!(client.conclude(&second.secret, &answer.component)().is_ok());
        assert!(client.conclude(&first.secret, &answer.component)().is_err(), "it belongs to the other one");
    }
}

#[test]
fn nothing_is_fallen_back_to_without_the_legacy_policy_or_when_group_2_came_first_or_is_not_known() {
    let server_of = |groups: &[Group]| server(groups).certificate().to_vec();
    for (policy, near, far) in [
        (Policy::default(), &Group::DEFAULT[..], &NAMED[..]),
        (Policy::default().allow_no_hmac().allow_no_sequence_numbers(), &Group::DEFAULT, &NAMED),
        (Policy::legacy(), &TWO, &NAMED),
        (Policy::legacy(), &Group::DEFAULT, &TWO),
        (Policy::legacy(), &Group::DEFAULT[..2], &NAMED),
        (Policy::legacy(), &Group::DEFAULT, &NAMED[1..]),
    ] {
        let client = profile(ephemeral(near), policy, 1);
        assert!(client.fall_back(&server_of(far), &mut random(2)).is_none(), "{policy:?} {near:?} {far:?}");
    }
    let client = profile(ephemeral(&Group::DEFAULT), Policy::legacy(), 1);
    assert!(client.fall_back(b"?", &mut random(2)).is_none());
}

#[test]
fn a_peer_that_can_do_more_gets_from_a_legacy_responder_what_it_gets_from_any_other() {
    let can_more = [
        Policy::default(),
        Policy { hmac: Wish { send_always: true, require: false }, ..Policy::default() },
        Policy { sequence_numbers: Wish { send_always: false, require: true }, ..Policy::default() },
        Policy { hmac_length: 32, ..Policy::default() },
    ];
    let optional = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
    for groups in [&Group::DEFAULT[..], &NAMED, &TWO] {
        for policy in can_more {
            let outcome = |responder: Policy| {
                // The same randomness, so that the bytes can be compared.
                let client = profile(ephemeral(groups), policy, 1);
                let server = profile(ephemeral(&Group::DEFAULT), responder, 2);
                let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
                let answer = server.respond(client.certificate(), &offer.component, &mut random(4));
                let component = answer.unwrap()().unwrap().component;
                let (client, server) = connect(client, server, 5).unwrap();
                let of = |end: &crate::End| (end.info().authenticated, end.info().sequenced);
                (offer.component, component, of(&client), of(&server))
            };
            assert_eq!(outcome(Policy::legacy()), outcome(optional), "{policy:?}");
            if policy == Policy::default() || policy.hmac_length == 32 {
                let (offer, answer, at_client, at_server) = outcome(Policy::legacy());
                assert_eq!((offer, answer, at_client, at_server), outcome(Policy::default()));
                assert_eq!((at_client, at_server), ((true, true), (true, true)));
            }
        }
    }
}

#[test]
fn one_legacy_responder_gives_a_legacy_peer_and_a_modern_peer_each_the_strongest_it_can_do() {
    let keys = [ephemeral(&Group::DEFAULT), shared(&Group::DEFAULT, 1)];
    for keys in keys {
        let at_once = || profile(keys.clone(), Policy::legacy(), 2);
        let modern = profile(fixed(&Group::DEFAULT, 3), Policy::default(), 4);
        let offer = modern.initiate(at_once().certificate(), &mut random(5)).unwrap()().unwrap();
        assert_eq!(offer.component[..3], unhex("021d10"), "group 16");
        let (modern, at_server) = connect(modern, at_once(), 6).unwrap();
        for end in [modern, at_server] {
            assert_eq!((end.info().authenticated, end.info().sequenced), (true, true));
        }
        let old = profile_without_ancillary(fixed(&TWO, 7), Policy::legacy());
        let (old, at_server) = connect(old, at_once(), 8).unwrap();
        for end in [old, at_server] {
            assert_eq!((end.info().authenticated, end.info().sequenced), (false, false));
        }
    }
}

#[test]
fn whoever_only_offers_what_the_responder_requires_is_known_by_it() {
    let required = Policy::default();
    let offers = required.allow_no_hmac().allow_no_sequence_numbers();
    let sends = Wish { send_always: true, require: false };
    let asks = Wish { send_always: false, require: true };
    for (client, server, expected) in [
        (offers, required, Some("HMAC and sequence numbers")),
        (required.allow_no_hmac(), required, Some("HMAC")),
        (required.allow_no_sequence_numbers(), required, Some("sequence numbers")),
        (required.allow_no_hmac(), required.allow_no_hmac(), None),
        (Policy { hmac: sends, sequence_numbers: asks, ..required }, required, None),
        (required, required, None),
        (offers, offers, None),
        (offers, Policy::legacy(), None),
    ] {
        let (client, server) = (profile(ephemeral(&TWO), client, 1), profile(ephemeral(&TWO), server, 2));
        let (_, at_server) = connect(client, server, 3).unwrap();
        assert_eq!(at_server.info().only_offered, expected);
    }
}

#[test]
fn two_thousand_group_2_handshakes_of_the_least_answer_have_public_keys_of_full_length() {
    let client = profile_without_ancillary(fixed(&TWO, 1), Policy::legacy());
    let server = server(&TWO);
    let offer = client.initiate(server.certificate(), &mut random(2)).unwrap()().unwrap();
    for seed in 0..2000 {
        let answer =
            server.respond(client.certificate(), &offer.component, &mut random(seed)).unwrap()().unwrap();
        assert_eq!(answer.component.len(), 139, "seed {seed}");
        assert_eq!(answer.component[..11], unhex("031a0000021e0081020d02"));
        assert_ne!(answer.component[11], 0);
        assert!(client.conclude(&offer.secret, &answer.component)().is_ok(), "seed {seed}");
    }
}
