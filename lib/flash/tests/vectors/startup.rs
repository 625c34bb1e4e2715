use std::sync::Arc;

use rtmfp::crypto::{DEFAULT_KEY, KeyInfo, Profile};
use rtmfp_flash::{Backend, Certificate, Epd, FlashConfig, FlashProfile, Group, StaticKeys};

use crate::{datagram, hex, open, unhex};

fn counter() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u8;
    move |bytes| {
        for byte in bytes {
            *byte = next.wrapping_mul(151).wrapping_add(next >> 3);
            next = next.wrapping_add(1);
        }
    }
}

fn server(backend: Backend) -> FlashProfile {
    let mut config = FlashConfig::server();
    config.backend = backend;
    config.hostname = Some("srv".into());
    FlashProfile::new(config, &mut counter()).unwrap()
}

fn client(backend: Backend) -> FlashProfile {
    let keys = StaticKeys::generate(&Group::DEFAULT, &mut counter()).unwrap();
    let mut config = FlashConfig::client(Arc::new(keys));
    config.backend = backend;
    FlashProfile::new(config, &mut counter()).unwrap()
}

#[test]
fn an_ihello_is_sealed_with_the_default_session_key() {
    let clear = "0b007d3000200f0e0a72746d66703a2f2f682f617070000102030405060708090a0b0c0d0e0f";
    for backend in Backend::ALL.iter().copied() {
        let sealed = datagram(&mut server(backend), DEFAULT_KEY, [0; 4], &unhex(clear));
        assert_eq!(
            hex(&sealed),
            "e8282a22fe152282163d08a089d15a6e9b65e875666d3f611fabec0c20a65b084e4850bb2fb4b2b0a93d37fbf9061afa94aa39ee",
            "{backend:?}"
        );
        assert_eq!(hex(&open(&mut client(backend), DEFAULT_KEY, [0; 4], &sealed)), clear);
        assert_eq!(server(backend).key_info(DEFAULT_KEY), Some(KeyInfo::default()));
    }
}

#[test]
fn certificates_and_components_have_the_sizes_that_were_captured() {
    let (client, server) = (client(Backend::default()), server(Backend::default()));
    assert_eq!(server.certificate().len(), 82);
    assert_eq!(hex(&server.certificate()[..18]), "0400737276010a02151002150e021502410e");
    assert_eq!(client.certificate().len(), 908);
    let certificate = Certificate::parse(client.certificate()).unwrap();
    assert_eq!(certificate.group_ids().collect::<Vec<_>>(), [16, 14, 2]);
    assert_eq!(certificate.fingerprint(), client.fingerprint());

    let offer = client.initiate(server.certificate(), &mut counter()).unwrap()().unwrap();
    assert_eq!(offer.component.len(), 76);
    assert_eq!(hex(&offer.component[..5]), "021d10410e");
    assert_eq!(hex(&offer.component[69..]), "031a0710021e07");
    let answer = server.respond(client.certificate(), &offer.component, &mut counter()).unwrap()().unwrap();
    assert_eq!(answer.component.len(), 0x20b);
    assert_eq!(hex(&answer.component[..11]), "021e07031a071084020d10");
}

#[test]
fn the_client_of_an_uri_finds_a_server_and_no_client() {
    let epd = Epd::uri("rtmfp://h/app").encode();
    assert_eq!(hex(&epd), "0e0a72746d66703a2f2f682f617070");
    let (client, server) = (client(Backend::default()), server(Backend::default()));
    assert!(server.selects_near(&epd) && client.selects(&epd, server.certificate()));
    assert!(!client.selects_near(&epd) && !server.selects(&epd, client.certificate()));
}
