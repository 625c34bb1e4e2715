use proptest::prelude::*;

use super::*;
use crate::fingerprint::unhex;

fn server() -> Vec<u8> {
    let randomness: Vec<u8> = (0x40..0x80).collect();
    CertificateParts {
        hostname: Some(b"srv"),
        accepts_ancillary: true,
        ephemeral_groups: &[Group::Modp1024],
        extra_randomness: &randomness,
        ..CertificateParts::default()
    }
    .encode()
}

#[test]
fn a_server_with_three_groups_is_written_as_the_reference_does() {
    let certificate = CertificateParts {
        hostname: Some(b"srv"),
        accepts_ancillary: true,
        ephemeral_groups: &[Group::Modp4096, Group::Modp2048, Group::Modp1024],
        extra_randomness: &[9; 64],
        ..CertificateParts::default()
    }
    .encode();
    assert_eq!(certificate.len(), 82);
    assert_eq!(certificate[..18], unhex("0400737276010a02151002150e021502410e"));
    let parsed = Certificate::parse(&certificate).unwrap();
    assert_eq!(parsed.group_ids().collect::<Vec<_>>(), [16, 14, 2]);
    assert_eq!(parsed.hostname(), Some(&b"srv"[..]));
    assert!(parsed.accepts_ancillary() && !parsed.is_static());
    assert!(parsed.supports(Group::Modp2048) && !parsed.supports(Group::Modp1536));
    assert_eq!(parsed.static_key(Group::Modp1024), None);
}

#[test]
fn static_keys_are_found_by_group() {
    let keys = vec![(Group::Modp4096, &b"sixteen"[..]), (Group::Modp1024, b"two")];
    let bytes = CertificateParts { static_keys: keys, ..CertificateParts::default() }.encode();
    assert_eq!(bytes, unhex("091d107369787465656e051d0274776f"));
    let parsed = Certificate::parse(&bytes).unwrap();
    assert!(parsed.is_static() && !parsed.accepts_ancillary());
    assert_eq!(parsed.static_key(Group::Modp1024), Some(&b"two"[..]));
    assert_eq!(parsed.static_key(Group::Modp2048), None);
}

#[test]
fn options_behind_the_first_marker_do_not_count_but_must_be_well_formed() {
    let with_marker = [&server()[..], &unhex("00020078021503")].concat();
    let parsed = Certificate::parse(&with_marker).unwrap();
    assert_eq!(parsed.canonical(), server());
    assert_eq!(parsed.hostname(), Some(&b"srv"[..]));
    assert_eq!(parsed.group_ids().collect::<Vec<_>>(), [2]);
    let broken = [&server()[..], &unhex("000500")].concat();
    assert_eq!(Certificate::parse(&broken), Err(BadCertificate::Malformed));
    assert_eq!(Certificate::parse(&unhex("00021502")), Err(BadCertificate::Keys), "no key before the marker");
}

#[test]
fn keys_are_either_static_or_ephemeral() {
    for (hex, error) in [
        ("", BadCertificate::Keys),
        ("010a", BadCertificate::Keys),
        ("021502031d02aa", BadCertificate::Keys),
        ("0115", BadCertificate::Malformed),
        ("021581", BadCertificate::Malformed),
        ("011d", BadCertificate::Malformed),
        ("0215", BadCertificate::Malformed),
    ] {
        assert_eq!(Certificate::parse(&unhex(hex)), Err(error), "{hex}");
    }
}

#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod fingerprints {
    use super::*;
    use crate::{Epd, Fingerprint};

    const SERVER: &str = "86a2dc44e5286990582ee48b84e31d445922bdbf9421c3670f4954f43d001028";

    #[test]
    fn the_marker_is_not_part_of_the_fingerprint() {
        let expected: Fingerprint = SERVER.parse().unwrap();
        assert_eq!(Certificate::parse(&server()).unwrap().fingerprint(), expected);
        let with_marker = [&server()[..], &unhex("00030e0102")].concat();
        assert_eq!(Certificate::parse(&with_marker).unwrap().fingerprint(), expected);
    }

    #[test]
    fn a_discriminator_selects_by_the_rules_of_rfc_7425_figure_1() {
        let server = server();
        let server = Certificate::parse(&server).unwrap();
        let client = unhex("0400636c69021502");
        let client = Certificate::parse(&client).unwrap();
        let (right, wrong) = (server.fingerprint(), Fingerprint([0; 32]));
        for (epd, at_server, at_client) in [
            (Epd::default(), false, false),
            (Epd::fingerprint(&right), true, false),
            (Epd::fingerprint(&right).with_hostname("nobody"), true, false),
            (Epd::fingerprint(&wrong).with_hostname("srv"), false, false),
            (Epd { fingerprint: Some(&right.0[..31]), ..Epd::default() }, false, false),
            (Epd::hostname("srv"), true, false),
            (Epd::hostname("SRV"), false, false),
            (Epd::hostname("cli"), false, true),
            (Epd::uri("rtmfp://h/app"), true, false),
            (Epd::uri("live"), true, false),
            (Epd::uri("rtmfp://h/app").with_hostname("srv"), true, false),
            (Epd::uri("rtmfp://h/app").with_hostname("cli"), false, false),
        ] {
            assert_eq!(epd.selects(&server), at_server, "{epd:?}");
            assert_eq!(epd.selects(&client), at_client, "{epd:?}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_can_be_parsed(bytes in prop::collection::vec(0_u8..0x20, 0..100)) {
        if let Ok(certificate) = Certificate::parse(&bytes) {
            prop_assert!(bytes.starts_with(certificate.canonical()));
            prop_assert!(certificate.group_ids().count() > 0);
        }
    }
}
