//! What RFC 7425 section 4 says, rule by rule, as far as no other test holds it: see `tests/rfc/rfc7425.txt`.

use std::sync::Arc;

use rtmfp::crypto::Profile;
use rtmfp::wire::{Item, Items, write_option};
use rtmfp_flash::{
    Certificate, CertificateParts, Epd, FlashProfile, Group, KeySource, Policy, StaticKeys, Wish,
};

use crate::{connect, ephemeral, fixed, profile, random, unhex};

const TWO: [Group; 1] = [Group::Modp1024];
const EPHEMERAL_KEY: u64 = 0x0d;
const EXTRA_RANDOMNESS: u64 = 0x0e;
const HMAC: u64 = 0x1a;
const GROUP_SELECT: u64 = 0x1d;

/// The values of the options of a kind.
fn options(bytes: &[u8], wanted: u64) -> Vec<&[u8]> {
    let values = Items::new(bytes).map(|item| item.expect("well-formed")).filter_map(|item| match item {
        Item::Option { kind, value } if kind == wanted => Some(value),
        _ => None,
    });
    values.collect()
}

fn certificate(profile: &FlashProfile) -> Certificate<'_> {
    Certificate::parse(profile.certificate()).unwrap()
}

#[test]
fn options_that_are_unknown_or_behind_the_marker_do_not_count() {
    let bytes = CertificateParts { ephemeral_groups: &TWO, ..CertificateParts::default() }.encode();
    let plain = Certificate::parse(&bytes).unwrap();
    let mut unknown = Vec::new();
    for kind in [0x01, 0x7f, 5000, u64::MAX] {
        write_option(kind, b"?", &mut unknown);
    }
    unknown.extend_from_slice(&bytes);
    let parsed = Certificate::parse(&unknown).unwrap();
    assert_eq!((parsed.hostname(), parsed.accepts_ancillary(), parsed.is_static()), (None, false, false));
    assert!(parsed.group_ids().eq(plain.group_ids()));

    // A hostname, the acceptance of ancillary data, a group, a static key; and the same again behind two markers.
    for behind in ["0400737276", "010a", "021510", "041d02aabb", "00040073727600010a"] {
        let bytes = [&bytes[..], &[0], &unhex(behind)].concat();
        assert_eq!(Certificate::parse(&bytes), Ok(plain), "{behind}");
    }
}

#[test]
fn certificates_have_keys_of_one_kind_and_one_for_each_group() {
    let repeated = [Group::Modp1024, Group::Modp2048, Group::Modp1024];
    let generated = StaticKeys::generate(&repeated, &mut random(1)).unwrap();
    let exponents = repeated.map(|group| (group, vec![7; group.exponent_len()]));
    let exponents: Vec<_> = exponents.iter().map(|(group, bytes)| (*group, &bytes[..])).collect();
    let kept = StaticKeys::from_exponents(&exponents).unwrap();
    for keys in [generated, kept] {
        let source = KeySource::Static { keys: Arc::new(keys), extra_randomness: true };
        let profile = profile(source, Policy::default(), 2);
        assert_eq!(options(profile.certificate(), 0x15), [] as [&[u8]; 0]);
        assert!(certificate(&profile).group_ids().eq([2, 14]));
    }
    let profile = profile(ephemeral(&Group::DEFAULT), Policy::default(), 2);
    assert_eq!(options(profile.certificate(), 0x1d), [] as [&[u8]; 0]);
    assert_eq!(options(profile.certificate(), 0x15).len(), 3);
}

#[test]
fn components_have_what_the_certificate_calls_for_and_that_once() {
    let count = |component: &[u8]| {
        [EPHEMERAL_KEY, GROUP_SELECT, EXTRA_RANDOMNESS].map(|kind| options(component, kind).len())
    };
    for (near, far) in [(false, false), (false, true), (true, false), (true, true)] {
        let keys = |is_static, seed| if is_static { fixed(&TWO, seed) } else { ephemeral(&TWO) };
        let client = profile(keys(near, 1), Policy::default(), 1);
        let server = profile(keys(far, 2), Policy::default(), 2);
        let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
        let answer =
            server.respond(client.certificate(), &offer.component, &mut random(4)).unwrap()().unwrap();
        assert_eq!(count(&offer.component), if near { [0, 1, 1] } else { [1, 0, 0] });
        assert_eq!(count(&answer.component), if far { [0, 0, 1] } else { [1, 0, 0] });
        for component in [&offer.component, &answer.component] {
            for randomness in options(component, EXTRA_RANDOMNESS) {
                assert!((16..=64).contains(&randomness.len()));
            }
        }
        // Other randomness each time.
        let again = client.initiate(server.certificate(), &mut random(5)).unwrap()().unwrap();
        assert_ne!(again.component, offer.component);
    }
}

#[test]
fn the_length_of_an_hmac_is_announced_if_and_only_if_it_is_offered() {
    let wishes = [Wish::OFFERED, Wish::REQUIRED, Wish { send_always: true, require: false }];
    for near in wishes {
        for far in wishes {
            for least_answer in [false, true] {
                let policy = |hmac| Policy { hmac, least_answer, ..Policy::legacy() };
                let client = profile(ephemeral(&TWO), policy(near), 1);
                let server = profile(ephemeral(&TWO), policy(far), 2);
                let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
                let work = server
                    .respond(
                        offer.certificate.as_deref().unwrap_or_else(|| client.certificate()),
                        &offer.component,
                        &mut random(4),
                    )
                    .unwrap();
                for component in [offer.component, work().unwrap().component] {
                    let [value] = options(&component, HMAC)[..] else { panic!("not once") };
                    let [flags, length] = value[..] else { panic!("{value:?}") };
                    match flags & 0x06 {
                        0 => assert_eq!(length, 0),
                        _ => assert!((4..=32).contains(&length)),
                    }
                }
            }
        }
    }
}

#[test]
fn sequence_numbers_begin_with_0_and_go_on_by_1() {
    let end = |seed| profile(ephemeral(&TWO), Policy::default(), seed);
    let (mut client, mut server) = connect(end(1), end(2), 3).unwrap();
    for number in 0..300 {
        for end in [&mut client, &mut server] {
            assert_eq!(end.profile.reserve(end.key, 10).sequence, number);
        }
    }
}

#[test]
fn equal_packets_never_look_alike() {
    let end = |seed| profile(ephemeral(&TWO), Policy::default(), seed);
    let (mut client, mut server) = connect(end(1), end(2), 3).unwrap();
    let mut first_blocks = std::collections::BTreeSet::new();
    for _ in 0..300 {
        for end in [&mut client, &mut server] {
            assert!(first_blocks.insert(end.seal(&[0; 100])[..16].to_vec()));
        }
    }
}

#[test]
fn the_same_question_gets_the_same_answer() {
    let profiles = [1, 2].map(|seed| profile(ephemeral(&Group::DEFAULT), Policy::default(), seed));
    let mut canonical = Vec::new();
    for asked in &profiles {
        let certificate = asked.certificate();
        let epd = asked.canonical_epd(certificate).unwrap();
        assert_eq!((epd.len(), &epd[..2], &epd[2..]), (34, &[0x21, 0x0f][..], &asked.fingerprint().0[..]));
        for other in &profiles {
            assert_eq!(other.canonical_epd(certificate).as_ref(), Some(&epd));
            let is_asked = other.certificate() == certificate;
            for _ in 0..3 {
                assert!(other.selects(&epd, certificate));
                assert_eq!(other.selects_near(&epd), is_asked);
                assert!(other.selects(&Epd::uri("rtmfp://h/app").encode(), certificate));
                assert!(!other.selects(b"", certificate));
            }
        }
        canonical.push(epd);
    }
    assert_ne!(canonical[0], canonical[1], "different identities, different discriminators");
    let prevails = |near: usize| profiles[near].near_prevails(profiles[1 - near].certificate());
    assert_eq!(prevails(0), profiles[0].certificate() < profiles[1].certificate());
    assert_ne!(prevails(0), prevails(1));
    let certificates = [profiles[0].certificate(), profiles[1].certificate()];
    for near in &profiles {
        assert!(near.overrides(certificates[0], certificates[0]));
        assert!(!near.overrides(certificates[0], certificates[1]));
    }
}

#[test]
fn passwords_of_unknown_users_are_ignored() {
    let signatures = profile(ephemeral(&TWO), Policy::default(), 1).signatures();
    let mut signature = Vec::new();
    write_option(0x1d, &[&[9; 32][..], b"nobody"].concat(), &mut signature);
    write_option(0x77, b"an option of the future", &mut signature);
    assert!(signatures.verify(b"certificate", b"parameters", &signature));
}
