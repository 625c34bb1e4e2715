use std::sync::{Arc, Mutex};

use rtmfp::crypto::{DEFAULT_KEY, KeyId, OpenError, Profile};
use rtmfp_flash::{Backend, FlashConfig, FlashProfile, Group, KeySource, Policy, StaticKeys};
use sha2::Digest;

use crate::{Vectors, datagram, feed, hex, open};

const NO_SESSION: [u8; 4] = [0; 4];
/// Both ends have this session id.
const SESSION: [u8; 4] = [2, 0, 0, 0];
const TAG: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The packets of each session, in the order in which they are sent.
const PACKETS: [(&str, End, &str); 6] = [
    ("p1", End::Client, "8d0090008c100010800201010500544304000068656c6c6f"),
    ("p2", End::Server, "0e00950090ec000100510003024001"),
    ("p3", End::Server, "8210001380020101050054430400020a0200776f726c64"),
    ("p4", End::Client, "0d009a0095ec000100510003024001"),
    ("p5", End::Client, "0d00fa00f40c0000"),
    ("p6", End::Server, "0e00ff00fa4c0000"),
];

#[derive(Clone, Copy, Eq, PartialEq)]
enum End {
    Client,
    Server,
}

/// How the two ends are configured.
struct Scenario {
    values: Vectors,
    group: Group,
    client_is_static: bool,
    server_is_static: bool,
    policy: Policy,
}

impl Scenario {
    fn keys(&self, end: &str, is_static: bool) -> KeySource {
        if !is_static {
            return KeySource::Ephemeral { groups: vec![self.group] };
        }
        let exponent = self.values.get(&format!("{end}-exponent"));
        let keys = StaticKeys::from_exponents(&[(self.group, &exponent)]).unwrap();
        KeySource::Static { keys: Arc::new(keys), extra_randomness: false }
    }

    fn profile(
        &self,
        end: &str,
        is_static: bool,
        backend: Backend,
        log: &Arc<Mutex<String>>,
    ) -> FlashProfile {
        let mut config = FlashConfig::server();
        if end == "client" {
            config.ancillary = rtmfp_flash::Ancillary::Refused;
        } else {
            config.hostname = Some("srv".into());
        }
        config.keys = self.keys(end, is_static);
        config.policy = self.policy;
        config.backend = backend;
        let log = Arc::clone(log);
        config.key_log = Some(Arc::new(move |line: &str| log.lock().unwrap().push_str(line)));
        let random = self.values.find(&format!("{end}-certificate-randomness")).unwrap_or_default();
        let profile = FlashProfile::new(config, &mut feed(random)).unwrap();
        self.values.check_if_known(&format!("{end}-certificate"), profile.certificate());
        self.values.check(&format!("{end}-fingerprint"), &profile.fingerprint().0);
        profile
    }

    /// What an end draws during the handshake.
    fn random(&self, end: &str, is_static: bool) -> impl FnMut(&mut [u8]) + use<> {
        let kind = if is_static { "randomness" } else { "exponent" };
        let mut bytes = self.values.get(&format!("{end}-{kind}"));
        // Whoever gives the least answer draws exponents to spare.
        bytes.resize(bytes.len() + 1000, 0);
        feed(bytes)
    }

    /// With all backends at either end.
    fn run(&self) {
        for client in Backend::ALL {
            for server in Backend::ALL {
                self.run_with(*client, *server);
            }
        }
    }

    fn run_with(&self, client_backend: Backend, server_backend: Backend) {
        let (client_log, server_log) = <(Arc<Mutex<String>>, Arc<Mutex<String>>)>::default();
        let mut client = self.profile("client", self.client_is_static, client_backend, &client_log);
        let mut server = self.profile("server", self.server_is_static, server_backend, &server_log);

        let mut random = self.random("client", self.client_is_static);
        let offer = client.initiate(server.certificate(), &mut random).unwrap()().unwrap();
        self.values.check("skic", &offer.component);
        let mut random = self.random("server", self.server_is_static);
        let answer = server.respond(client.certificate(), &offer.component, &mut random).unwrap()().unwrap();
        self.values.check("skrc", &answer.component);
        let keys = client.conclude(&offer.secret, &answer.component)().unwrap();
        let (at_client, at_server) = (client.install(keys), server.install(answer.keys));

        self.check_log("initiator", &client_log.lock().unwrap(), &offer.component);
        self.check_log("responder", &server_log.lock().unwrap(), &offer.component);
        self.check_startup(&mut client, &mut server, &offer.component, &answer.component);
        self.check_packets(&mut client, at_client, &mut server, at_server);
    }

    /// The key log has all that is derived.
    fn check_log(&self, end: &str, line: &str, skic: &[u8]) {
        let is_initiator = end == "initiator";
        assert!(line.starts_with(&format!("RTMFP {end} session=")), "{line}");
        let field = |name: &str| {
            let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
            fields.find(|(found, _)| *found == name).map(|(_, value)| value).unwrap()
        };
        assert_eq!(field("session"), hex(&sha2::Sha256::digest(skic)));
        let pairs = [
            ("near-nonce", "far-nonce", "near-nonce"),
            ("far-nonce", "near-nonce", "far-nonce"),
            ("encrypt", "decrypt", "encrypt-material"),
            ("decrypt", "encrypt", "decrypt-material"),
            ("hmac-send", "hmac-receive", "hmac-send"),
            ("hmac-receive", "hmac-send", "hmac-receive"),
        ];
        for (at_initiator, at_responder, value) in pairs {
            let found = field(if is_initiator { at_initiator } else { at_responder });
            match self.values.find(value) {
                Some(expected) if value.ends_with("material") => assert_eq!(found, hex(&expected[..16])),
                Some(expected) if value.starts_with("hmac") => {
                    assert_eq!(found, format!("16:{}", hex(&expected)))
                }
                Some(expected) => assert_eq!(found, hex(&expected)),
                None if value.starts_with("hmac") => assert_eq!(found, "none"),
                None => {}
            }
        }
    }

    /// The packets of the handshake, under the Default Session Key.
    fn check_startup(&self, client: &mut FlashProfile, server: &mut FlashProfile, skic: &[u8], skrc: &[u8]) {
        let Some(cookie) = self.values.find("cookie") else { return };
        let rhello = [&[0x10][..], &TAG, &field(&cookie), server.certificate()].concat();
        let rhello = datagram(server, DEFAULT_KEY, NO_SESSION, &packet("0b008270", &rhello));
        self.values.check_if_known("rhello", &rhello);
        let certificate = client.certificate().to_vec();
        let iikeying = [&SESSION[..], &field(&cookie), &field(&certificate), &field(skic), b"X"].concat();
        let iikeying = datagram(client, DEFAULT_KEY, NO_SESSION, &packet("0b008738", &iikeying));
        self.values.check_if_known("iikeying", &iikeying);
        let rikeying = [&SESSION[..], &field(skrc), b"X"].concat();
        let clear = packet("0b008c78", &rikeying);
        let rikeying = datagram(server, DEFAULT_KEY, SESSION, &clear);
        self.values.check("rikeying", &rikeying);
        assert_eq!(open(client, DEFAULT_KEY, SESSION, &rikeying), clear);
    }

    /// The packets of the session.
    fn check_packets(
        &self,
        client: &mut FlashProfile,
        at_client: KeyId,
        server: &mut FlashProfile,
        at_server: KeyId,
    ) {
        let (near, far) = (client.key_info(at_client).unwrap(), server.key_info(at_server).unwrap());
        self.values.check_if_known("near-nonce", &near.near_nonce);
        self.values.check_if_known("far-nonce", &near.far_nonce);
        assert_eq!((&near.near_nonce, &near.far_nonce), (&far.far_nonce, &far.near_nonce));
        for (name, from, clear) in PACKETS {
            let clear = crate::unhex(clear);
            let (from, sealing, to, opening): (&mut dyn Profile, _, &mut dyn Profile, _) =
                if from == End::Client {
                    (client, at_client, server, at_server)
                } else {
                    (server, at_server, client, at_client)
                };
            let sealed = datagram(from, sealing, SESSION, &clear);
            self.values.check_if_known(name, &sealed);
            assert_eq!(open(to, opening, SESSION, &sealed), clear, "{name}");
            let again = to.open(opening, &mut sealed[4..].to_vec());
            let sequenced = to.key_info(opening).unwrap().sequenced;
            assert_eq!(again.is_err(), sequenced);
            assert!(!sequenced || again == Err(OpenError::Replayed));
        }
    }
}

/// A clear packet with one chunk: what lies before its length, and its content.
fn packet(head: &str, chunk: &[u8]) -> Vec<u8> {
    [&crate::unhex(head)[..], &(chunk.len() as u16).to_be_bytes(), chunk].concat()
}

/// A field with a length before it.
fn field(value: &[u8]) -> Vec<u8> {
    let len = value.len();
    let head = if len < 128 { vec![len as u8] } else { vec![0x80 | (len >> 7) as u8, (len & 0x7f) as u8] };
    [head, value.to_vec()].concat()
}

/// Of a responder that goes on offering what neither end requires.
fn optional() -> Policy {
    Policy { least_answer: false, ..Policy::default().allow_no_hmac().allow_no_sequence_numbers() }
}

#[test]
fn group_2_with_a_static_client_hmac_and_sequence_numbers() {
    Scenario {
        values: Vectors(include_str!("a.txt")),
        group: Group::Modp1024,
        client_is_static: true,
        server_is_static: false,
        policy: Policy::default(),
    }
    .run();
}

#[test]
fn group_14_with_a_leading_zero_in_the_secret() {
    Scenario {
        values: Vectors(include_str!("b.txt")),
        group: Group::Modp2048,
        client_is_static: true,
        server_is_static: false,
        policy: Policy::default(),
    }
    .run();
}

#[test]
fn both_ephemeral_in_checksum_mode_with_a_short_public_key_and_secret() {
    Scenario {
        values: Vectors(include_str!("c.txt")),
        group: Group::Modp1024,
        client_is_static: false,
        server_is_static: false,
        policy: optional(),
    }
    .run();
}

#[test]
fn both_static_with_a_short_public_key() {
    Scenario {
        values: Vectors(include_str!("d.txt")),
        group: Group::Modp1024,
        client_is_static: true,
        server_is_static: true,
        policy: Policy::default(),
    }
    .run();
}

#[test]
fn checksum_over_an_odd_number_of_bytes_with_sequence_numbers() {
    Scenario {
        values: Vectors(include_str!("e.txt")),
        group: Group::Modp1024,
        client_is_static: true,
        server_is_static: false,
        policy: Policy::default().allow_no_hmac(),
    }
    .run();
}

#[test]
fn the_least_answer_to_peers_of_the_installed_base() {
    Scenario {
        values: Vectors(include_str!("legacy.txt")),
        group: Group::Modp1024,
        client_is_static: true,
        server_is_static: false,
        policy: Policy::legacy(),
    }
    .run();
}
