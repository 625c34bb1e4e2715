use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rtmfp::crypto::{KeyingError, Profile, SessionKeys, Work};
use rtmfp_flash::{Backend, CertificateParts, FlashConfig, FlashProfile, Group, Policy, StaticKeys, Wish};

use crate::{connect, ephemeral, fixed, profile, profile_by, random, unhex};

const TWO: [Group; 1] = [Group::Modp1024];
const ALL: [Group; 4] = [Group::Modp4096, Group::Modp2048, Group::Modp1536, Group::Modp1024];

/// The error of a job, which prints no keys.
fn error(work: Work<Result<SessionKeys, KeyingError>>) -> KeyingError {
    work().map(drop).unwrap_err()
}

#[test]
fn static_and_ephemeral_keys_agree_in_all_combinations_and_groups() {
    for group in ALL {
        for (client, server) in [
            (ephemeral(&[group]), ephemeral(&[group])),
            (ephemeral(&[group]), fixed(&[group], 1)),
            (fixed(&[group], 2), ephemeral(&[group])),
            (fixed(&[group], 2), fixed(&[group], 1)),
        ] {
            let (client, server) =
                (profile(client, Policy::default(), 1), profile(server, Policy::default(), 2));
            let (mut client, mut server) = connect(client, server, 3).unwrap();
            assert_eq!(client.info().near_nonce, server.info().far_nonce);
            assert_eq!(client.info().far_nonce, server.info().near_nonce);
            let packet = client.seal(b"hello");
            assert_eq!(server.open(&packet).unwrap()[..5], *b"hello");
            let packet = server.seal(b"world");
            assert_eq!(client.open(&packet).unwrap()[..5], *b"world");
        }
    }
}

#[test]
fn the_initiator_takes_the_first_of_its_groups_that_the_responder_has() {
    let selected = |near: &[Group], far: &[Group]| {
        let client = profile(ephemeral(near), Policy::default(), 1);
        let server = profile(ephemeral(far), Policy::default(), 2);
        let offer = client.initiate(server.certificate(), &mut random(3))?()?;
        assert_eq!(offer.component[2], 0x0d);
        Ok(u64::from(offer.component[3]))
    };
    assert_eq!(selected(&ALL, &Group::DEFAULT), Ok(16));
    assert_eq!(selected(&ALL, &[Group::Modp1024, Group::Modp2048]), Ok(14));
    assert_eq!(selected(&[Group::Modp1024, Group::Modp2048], &ALL), Ok(2));
    assert_eq!(selected(&[Group::Modp1536], &Group::DEFAULT), Err(KeyingError::NothingInCommon));
}

#[test]
fn the_responder_refuses_components_that_do_not_fit_the_certificate() {
    let server = profile(ephemeral(&TWO), Policy::legacy(), 1);
    let public = [0x5a; 128];
    let keyed = |group| CertificateParts {
        static_keys: vec![(group, &public[..])],
        extra_randomness: &[1; 64],
        ..CertificateParts::default()
    };
    let of_static = keyed(Group::Modp1024).encode();
    let of_other_group = keyed(Group::Modp2048).encode();
    let of_ephemeral = CertificateParts { ephemeral_groups: &TWO, ..CertificateParts::default() }.encode();
    let bad = KeyingError::BadComponent;
    let key = |len: usize, byte: u8| {
        [&[0x80 | ((len + 2) >> 7) as u8, (len + 2) as u8 & 0x7f, 0x0d, 2], &vec![byte; len][..]].concat()
    };
    for (certificate, component, expected) in [
        (&b"\x01"[..], unhex("021d02"), KeyingError::BadCertificate),
        (b"", unhex("021d02"), KeyingError::BadCertificate),
        (&of_static, unhex(""), bad("no group is selected")),
        (&of_static, key(128, 0x5a), bad("no group is selected")),
        (&of_static, unhex("00021d02"), bad("no group is selected")),
        (&of_static, unhex("021d0e"), KeyingError::NothingInCommon),
        (&of_static, unhex("021d0d"), KeyingError::NothingInCommon),
        (&of_static, unhex("041d8fff7f"), KeyingError::NothingInCommon),
        (&of_static, unhex("021d0202"), bad("an option is malformed")),
        (&of_static, unhex("021d02031a0421"), bad("length of the HMAC")),
        (&of_other_group, unhex("021d02"), bad("the certificate has no key in the selected group")),
        (&of_ephemeral, unhex("021d02"), bad("no public key")),
        (&of_ephemeral, unhex("020d0e"), KeyingError::NothingInCommon),
        (&of_ephemeral, unhex("020d02"), KeyingError::BadPublicKey),
        (&of_ephemeral, unhex("030d0205"), KeyingError::BadPublicKey),
        (&of_ephemeral, key(128, 0xff), KeyingError::BadPublicKey),
        (&of_ephemeral, key(129, 0x5a), KeyingError::BadPublicKey),
    ] {
        let result = server.respond(certificate, &component, &mut random(2));
        assert_eq!(result.map(drop).unwrap_err(), expected, "{component:02x?}");
    }
    assert!(server.respond(&of_static, &unhex("021d02"), &mut random(2)).unwrap()().is_ok());
    assert!(server.respond(&of_ephemeral, &key(128, 0x5a), &mut random(2)).unwrap()().is_ok());
}

#[test]
fn the_initiator_refuses_static_keys_that_are_not_acceptable() {
    let client = profile(ephemeral(&TWO), Policy::default(), 1);
    let parts =
        CertificateParts { static_keys: vec![(Group::Modp1024, &[7])], ..CertificateParts::default() };
    let result = client.initiate(&parts.encode(), &mut random(2));
    assert_eq!(result.map(drop).unwrap_err(), KeyingError::BadPublicKey);
    assert_eq!(client.initiate(b"?", &mut random(2)).map(drop).unwrap_err(), KeyingError::BadCertificate);
}

#[test]
fn an_answer_that_does_not_fit_leaves_the_handshake_as_it_was() {
    let mut client = profile(ephemeral(&TWO), Policy::default(), 1);
    let mut server = profile(ephemeral(&TWO), Policy::default(), 2);
    let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
    let answer = server.respond(client.certificate(), &offer.component, &mut random(4)).unwrap()().unwrap();
    let bad = KeyingError::BadComponent;
    let flags = "021e07031a0710";
    for (component, expected) in [
        (unhex(""), KeyingError::Policy("HMAC and sequence numbers")),
        (unhex("031a0710"), KeyingError::Policy("sequence numbers")),
        (unhex("021e07031a0703"), bad("length of the HMAC")),
        (unhex("021e07031a0721"), bad("length of the HMAC")),
        (unhex(flags), bad("no public key")),
        (unhex(&format!("{flags}040d0eaaaa")), KeyingError::AnotherGroup),
        (unhex(&format!("{flags}030d0202")), KeyingError::BadPublicKey),
        (answer.component[..answer.component.len() - 1].to_vec(), bad("an option is malformed")),
    ] {
        assert_eq!(error(client.conclude(&offer.secret, &component)), expected, "{component:02x?}");
    }
    let keys = client.conclude(&offer.secret, &answer.component)().unwrap();
    let (at_client, at_server) = (client.install(keys), server.install(answer.keys));
    assert_eq!(client.key_info(at_client).unwrap().near_nonce, server.key_info(at_server).unwrap().far_nonce);
    let foreign: rtmfp::crypto::InitiatorSecret = Arc::new(5);
    assert!(matches!(error(client.conclude(&foreign, &answer.component)), KeyingError::Backend(_)));
}

#[test]
fn a_static_key_of_the_certificate_counts_whatever_the_component_has() {
    let client = profile(fixed(&TWO, 1), Policy::default(), 1);
    let server = profile(fixed(&TWO, 2), Policy::default(), 2);
    let bad_key = unhex("030d0205");
    let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
    let component = [&offer.component[..], &bad_key].concat();
    let answer = server.respond(client.certificate(), &component, &mut random(4)).unwrap()().unwrap();
    let component = [&answer.component[..], &bad_key].concat();
    assert!(client.conclude(&offer.secret, &component)().is_ok());
}

#[test]
fn what_one_end_requires_the_other_end_does() {
    let optional = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
    for (near, far, expected) in [
        (Policy::default(), optional, true),
        (optional, Policy::default(), true),
        (optional, optional, false),
        (Policy::legacy(), optional, false),
        (optional, Policy::legacy(), false),
        (Policy::legacy(), Policy::legacy(), false),
        (Policy::legacy(), Policy::default(), true),
        (Policy::default(), Policy::legacy(), true),
    ] {
        let (client, server) =
            connect(profile(ephemeral(&TWO), near, 1), profile(ephemeral(&TWO), far, 2), 3).unwrap();
        for info in [client.info(), server.info()] {
            assert_eq!((info.authenticated, info.sequenced), (expected, expected), "{near:?} {far:?}");
        }
    }
}

#[test]
fn the_least_answer_has_a_public_key_of_full_length() {
    let keys = Arc::new(StaticKeys::generate(&TWO, &mut random(1)).unwrap());
    let mut config = FlashConfig::client(keys);
    config.policy = Policy::legacy();
    let client = FlashProfile::new(config, &mut random(2)).unwrap();
    let server = profile(ephemeral(&TWO), Policy::legacy(), 3);
    let offer = client.initiate(server.certificate(), &mut random(4)).unwrap()().unwrap();
    assert_eq!(offer.component.len(), 76);
    assert_eq!(offer.component[..5], unhex("021d02410e"));
    assert_eq!(offer.component[69..], unhex("031a0210021e02"));
    // The first exponent's public key has 127 bytes.
    let mut drawn = [&(0xc0..=0xd8).collect::<Vec<u8>>()[..], &[0x00, 0x12, 0x5b]].concat();
    drawn.resize(1000, 0x77);
    let mut feed = |bytes: &mut [u8]| {
        bytes.copy_from_slice(&drawn[..bytes.len()]);
        drawn.drain(..bytes.len());
    };
    let answer = server.respond(client.certificate(), &offer.component, &mut feed).unwrap()().unwrap();
    assert_eq!(answer.component[..11], unhex("031a0000021e0081020d02"));
    assert_eq!(answer.component.len(), 139);
    assert!(client.conclude(&offer.secret, &answer.component)().is_ok());
    for flags in ["031a0610021e02", "031a0310021e02", "031a0210021e06", "031a0210021e03"] {
        let component = [&offer.component[..69], &unhex(flags)].concat();
        let answer = server.respond(client.certificate(), &component, &mut random(5)).unwrap()().unwrap();
        assert_eq!(answer.component[..2], unhex("021e"), "a peer that can do more is answered as usual");
    }
}

#[test]
fn each_session_is_logged_once_when_its_keys_are_taken_into_use() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&lines);
    let mut config = FlashConfig::server();
    config.keys = ephemeral(&TWO);
    config.key_log = Some(Arc::new(move |line: &str| log.lock().unwrap().push(line.to_owned())));
    assert!(format!("{config:?}").contains("key_log: true"));
    let server = FlashProfile::new(config, &mut random(1)).unwrap();
    let client = profile(ephemeral(&TWO), Policy::default(), 2);
    let (client, server) = connect(client, server, 3).unwrap();
    let lines = lines.lock().unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("RTMFP responder session="));
    assert!(line.contains(" group=2 near-nonce="), "{line}");
    assert_eq!([client.info().group, server.info().group], [Some(2); 2]);
    assert!(line.ends_with(" sequence-receive=yes"));
    let printed = format!("{:?} {:?}", server.profile, client.profile);
    for field in line.split(' ').filter_map(|field| field.split_once('=')) {
        assert!(field.1.len() < 8 || !printed.contains(field.1), "{} is printed", field.0);
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    any::<(bool, bool)>().prop_map(|(send_always, require)| Wish { send_always, require })
}

fn policies() -> impl Strategy<Value = Policy> {
    (wishes(), 4_u8..=32, wishes(), any::<(bool, bool)>()).prop_map(
        |(hmac, hmac_length, sequence_numbers, (least_answer, fall_back))| Policy {
            hmac,
            hmac_length,
            sequence_numbers,
            least_answer,
            fall_back,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_come_to_the_same_result(
        near in policies(),
        far in policies(),
        is_static: (bool, bool),
        by in (prop::sample::select(Backend::ALL), prop::sample::select(Backend::ALL)),
        seed: u64,
        lengths in prop::collection::vec(1_usize..1300, 1..20),
    ) {
        let keys = |is_static, seed| if is_static { fixed(&TWO, seed) } else { ephemeral(&TWO) };
        let client = profile_by(by.0, keys(is_static.0, seed), near, seed);
        let server = profile_by(by.1, keys(is_static.1, !seed), far, !seed);
        let (mut client, mut server) = connect(client, server, seed ^ 1).unwrap();
        prop_assert_eq!(&client.info().near_nonce, &server.info().far_nonce);
        prop_assert_eq!(&client.info().far_nonce, &server.info().near_nonce);
        // An end that gives the least answer offers nothing, but then nothing is asked of it.
        let used = |sender: Wish, receiver: Wish| sender.send_always || receiver.require;
        prop_assert_eq!(server.info().authenticated, used(near.hmac, far.hmac));
        prop_assert_eq!(client.info().authenticated, used(far.hmac, near.hmac));
        prop_assert_eq!(server.info().sequenced, used(near.sequence_numbers, far.sequence_numbers));
        prop_assert_eq!(client.info().sequenced, used(far.sequence_numbers, near.sequence_numbers));
        for len in lengths {
            let clear: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let packet = client.seal(&clear);
            prop_assert_eq!(&server.open(&packet).unwrap()[..len], &clear);
            let packet = server.seal(&clear);
            prop_assert_eq!(&client.open(&packet).unwrap()[..len], &clear);
        }
    }

    #[test]
    fn no_component_or_certificate_makes_keying_panic(
        certificate in prop::collection::vec(0_u8..0x20, 0..40),
        component in prop::collection::vec(0_u8..0x20, 0..80),
        at: prop::sample::Index,
        value: u8,
    ) {
        let client = profile(ephemeral(&TWO), Policy::legacy(), 1);
        let server = profile(fixed(&TWO, 2), Policy::legacy(), 2);
        let offer = client.initiate(server.certificate(), &mut random(3)).unwrap()().unwrap();
        let mut damaged = offer.component.clone();
        *at.get_mut(&mut damaged[..]) = value;
        for component in [&component, &damaged] {
            for certificate in [&certificate[..], client.certificate(), server.certificate()] {
                if let Ok(work) = server.respond(certificate, component, &mut random(4)) {
                    let _ = work();
                }
            }
            let _ = client.conclude(&offer.secret, component)();
        }
    }
}

#[test]
fn a_thousand_handshakes_succeed_whatever_zeros_numbers_begin_with() {
    let mut short = 0;
    for seed in 0..1000 {
        let client = profile(ephemeral(&TWO), Policy::default(), 1);
        let server = profile(ephemeral(&TWO), Policy::default(), 2);
        let offer = client.initiate(server.certificate(), &mut random(seed)).unwrap()().unwrap();
        short += usize::from(offer.component.len() < 139);
        let (mut client, mut server) = connect(client, server, seed).unwrap();
        let packet = client.seal(b"hello");
        assert_eq!(server.open(&packet).unwrap()[..5], *b"hello", "seed {seed}");
    }
    assert!((1..20).contains(&short), "{short} short public keys");
}
