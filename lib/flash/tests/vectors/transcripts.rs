//! Captured sessions of another implementation's programs: the handshake is played again with the same secrets, and
//! every packet of the far end opens, is read, and is written again as it came.
//!
//! The transcripts lie in `*.txt` next to this file: a datagram for each line, in order, `far` or `near`.

use std::collections::BTreeSet;
use std::sync::Arc;

use rtmfp::crypto::{DEFAULT_KEY, InitiatorSecret, KeyId, Profile};
use rtmfp::wire::{
    Chunk, Chunks, FlowOptions, Item, Items, PacketHeader, Redirect, kind, unscramble, write_ack_ranges,
    write_startup_options,
};
use rtmfp_flash::{Ancillary, Backend, Epd, FlashConfig, FlashProfile, Group, KeySource, StaticKeys};

use crate::{Vectors, feed, hex};

/// Kinds of options of certificates and components.
const ANCILLARY: u64 = 0x0a;
const RANDOMNESS: u64 = 0x0e;
const STATIC_KEY: u64 = 0x1d;

/// The near end of a session, and what is known of the far end.
struct Replay {
    profile: FlashProfile,
    exponent: Vec<u8>,
    is_static: bool,
    /// The far end's certificate and component.
    certificate: Vec<u8>,
    component: Vec<u8>,
    secret: Option<InitiatorSecret>,
    key: Option<KeyId>,
    /// The types of the far end's chunks.
    kinds: BTreeSet<u8>,
}

/// The value of an option in a list.
fn option(list: &[u8], wanted: u64) -> Option<Vec<u8>> {
    Items::new(list).find_map(|item| match item.unwrap() {
        Item::Option { kind, value } if kind == wanted => Some(value.to_vec()),
        _ => None,
    })
}

impl Replay {
    /// An end with this certificate.
    fn new(backend: Backend, exponent: &[u8], certificate: &[u8]) -> Self {
        let is_static = option(certificate, STATIC_KEY).is_some();
        let mut config = FlashConfig::server();
        config.backend = backend;
        if option(certificate, ANCILLARY).is_none() {
            config.ancillary = Ancillary::Refused;
        }
        config.keys = if is_static {
            let keys = StaticKeys::from_exponents(&[(Group::Modp2048, exponent)]).unwrap();
            KeySource::Static { keys: Arc::new(keys), extra_randomness: true }
        } else {
            KeySource::Ephemeral { groups: vec![Group::Modp2048] }
        };
        let randomness = option(certificate, RANDOMNESS).unwrap();
        let profile = FlashProfile::new(config, &mut feed(randomness)).unwrap();
        assert_eq!(hex(profile.certificate()), hex(certificate), "the near certificate");
        Self {
            profile,
            exponent: exponent.to_vec(),
            is_static,
            certificate: Vec::new(),
            component: Vec::new(),
            secret: None,
            key: None,
            kinds: BTreeSet::new(),
        }
    }

    /// What was drawn for a component.
    fn random(&self, component: &[u8]) -> impl FnMut(&mut [u8]) + use<> {
        let drawn =
            if self.is_static { option(component, RANDOMNESS).unwrap() } else { self.exponent.clone() };
        feed(drawn)
    }

    fn open(&mut self, datagram: &[u8]) -> Vec<u8> {
        let keys = self.key.into_iter().chain([DEFAULT_KEY]);
        for key in keys {
            let mut packet = datagram[4..].to_vec();
            if let Ok(clear) = self.profile.open(key, &mut packet) {
                return packet[clear].to_vec();
            }
        }
        panic!("it does not open: {}", hex(datagram))
    }

    fn near(&mut self, chunk: &Chunk<'_>) {
        match chunk {
            Chunk::IIKeying(keying) => {
                let mut random = self.random(keying.component);
                let offer = self.profile.initiate(&self.certificate, &mut random).unwrap()().unwrap();
                assert_eq!(hex(&offer.component), hex(keying.component), "the initiator's component");
                self.secret = Some(offer.secret);
            }
            Chunk::RIKeying(keying) => {
                let mut random = self.random(keying.component);
                let answer = self.profile.respond(&self.certificate, &self.component, &mut random);
                let answer = answer.unwrap()().unwrap();
                assert_eq!(hex(&answer.component), hex(keying.component), "the responder's component");
                self.key = Some(self.profile.install(answer.keys));
            }
            _ => {}
        }
    }

    fn far(&mut self, chunk: &Chunk<'_>) {
        match chunk {
            Chunk::RHello(hello) => self.certificate = hello.certificate.to_vec(),
            Chunk::IIKeying(keying) => {
                self.certificate = keying.certificate.to_vec();
                self.component = keying.component.to_vec();
            }
            Chunk::RIKeying(keying) => {
                let secret = self.secret.as_ref().unwrap();
                let keys = self.profile.conclude(secret, keying.component)().unwrap();
                self.key = Some(self.profile.install(keys));
            }
            _ => {}
        }
    }
}

/// Reads a clear packet and writes it again; answers the chunks.
#[track_caller]
fn read_and_write(clear: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (header, rest) = PacketHeader::parse(clear).unwrap();
    let chunks: Vec<_> = Chunks::new(rest).map(|(kind, payload)| (kind, payload.to_vec())).collect();
    let mut again = Vec::new();
    header.write(&mut again);
    for (kind, payload) in &chunks {
        let chunk = Chunk::parse(*kind, payload).unwrap();
        chunk.write(&mut again);
        write_parts(&chunk, payload);
    }
    let (written, padding) = clear.split_at(again.len());
    assert_eq!(hex(&again), hex(written));
    assert!(padding.iter().all(|byte| *byte == 0xff), "{}", hex(padding));
    chunks
}

/// The same for what chunks carry as bytes: lists, ranges, addresses, discriminators.
#[track_caller]
fn write_parts(chunk: &Chunk<'_>, payload: &[u8]) {
    let mut out = Vec::new();
    match chunk {
        Chunk::UserData(data) => {
            let Some(options) = data.options else { return };
            let found = FlowOptions::parse(options).unwrap();
            write_startup_options(found.metadata.unwrap(), found.association, &mut out);
            assert_eq!(hex(&out), hex(options));
        }
        Chunk::AckRanges(ack) => {
            let (flow, window, cumulative) = (ack.flow_id, ack.window_blocks, ack.cumulative);
            write_ack_ranges(flow, window, cumulative, ack.ranges(), 1200, &mut out).unwrap();
            assert_eq!(hex(&out[3..]), hex(payload));
        }
        Chunk::Redirect(redirect) => {
            let addresses: Vec<_> = redirect.addresses().collect();
            Redirect::write_to(redirect.tag_echo, &addresses, &mut out);
            assert_eq!(hex(&out[3..]), hex(payload));
        }
        Chunk::IHello(hello) => assert_eq!(hex(&Epd::parse(hello.epd).unwrap().encode()), hex(hello.epd)),
        Chunk::FIHello(hello) => assert_eq!(hex(&Epd::parse(hello.epd).unwrap().encode()), hex(hello.epd)),
        Chunk::Unknown(kind) => panic!("a chunk of type {kind:02x}"),
        _ => {}
    }
}

/// The datagrams, each with whether it is the far end's.
fn datagrams(text: &str) -> impl Iterator<Item = (bool, Vec<u8>)> {
    text.lines().filter_map(|line| {
        let (end, bytes) = line.split_once(" = ")?;
        matches!(end, "near" | "far").then(|| (end == "far", crate::unhex(bytes)))
    })
}

/// Opens what has the default key, and reads it.
fn startup_chunks(datagram: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut profile = FlashProfile::new(FlashConfig::server(), &mut feed(vec![0; 64])).unwrap();
    let mut packet = datagram[4..].to_vec();
    let clear = profile.open(DEFAULT_KEY, &mut packet).ok()?;
    Some(read_and_write(&packet[clear]))
}

/// Plays a transcript with all backends; the far end sends chunks of these types, and of no others.
#[track_caller]
fn replay(text: &'static str, kinds: &[u8]) {
    let exponent = Vectors(text).get("exponent");
    // The near certificate is in the near hello or keying.
    let certificate = datagrams(text).filter(|(far, _)| !far).find_map(|(_, datagram)| {
        startup_chunks(&datagram)?.iter().find_map(|(kind, payload)| match Chunk::parse(*kind, payload) {
            Ok(Chunk::RHello(hello)) => Some(hello.certificate.to_vec()),
            Ok(Chunk::IIKeying(keying)) => Some(keying.certificate.to_vec()),
            _ => None,
        })
    });
    let certificate = certificate.unwrap();
    for backend in Backend::ALL {
        let mut replay = Replay::new(*backend, &exponent, &certificate);
        let mut ids = BTreeSet::new();
        for (is_far, datagram) in datagrams(text) {
            let clear = replay.open(&datagram);
            if is_far {
                ids.insert(unscramble(&datagram).unwrap());
            }
            for (kind, payload) in read_and_write(&clear) {
                let chunk = Chunk::parse(kind, &payload).unwrap();
                if is_far {
                    replay.kinds.insert(kind);
                    replay.far(&chunk);
                } else {
                    replay.near(&chunk);
                }
            }
        }
        assert_eq!(replay.kinds, BTreeSet::from_iter(kinds.iter().copied()), "{:02x?}", replay.kinds);
        assert_eq!(ids.len(), 2, "session 0 and one more");
    }
}

#[test]
fn a_publisher_is_understood() {
    replay(include_str!("publisher.txt"), &[0x10, 0x11, 0x30, 0x38, 0x4c, 0x51]);
}

#[test]
fn a_player_is_understood() {
    replay(include_str!("player.txt"), &[0x10, 0x11, 0x30, 0x38, 0x4c, 0x51]);
}

#[test]
fn a_server_to_which_is_published_is_understood() {
    replay(include_str!("server-of-publisher.txt"), &[0x10, 0x51, 0x70, 0x78]);
}

#[test]
fn a_server_that_plays_is_understood() {
    replay(include_str!("server-of-player.txt"), &[0x10, 0x11, 0x4c, 0x51, 0x70, 0x78]);
}

#[test]
fn a_redirector_that_forwards_a_hello_is_understood() {
    replay(include_str!("redirector.txt"), &[0x0f, 0x10, 0x30, 0x4c, 0x51, 0x70, 0x78]);
}

#[test]
fn a_redirect_is_understood() {
    let text = include_str!("redirect.txt");
    let kinds: Vec<_> = datagrams(text)
        .flat_map(|(_, datagram)| startup_chunks(&datagram).unwrap())
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, [kind::IHELLO, kind::REDIRECT]);
}
