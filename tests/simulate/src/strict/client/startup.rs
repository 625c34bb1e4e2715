//! The handshake of a strict client.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::Time;
use rtmfp_netsim::Dice;

use super::Offer;
use crate::strict::code::{self, Cipher, Pair, Reader, chunk, put_field};
use crate::strict::session::{Session, Side, stamp};

/// It gives up after so many.
pub(crate) const MOST_ATTEMPTS: u32 = 11;
/// Its discriminator has nothing but the path of the URL.
const PATH: &[u8] = b"/app";

pub(crate) struct Startup {
    cipher: Cipher,
    session_id: u32,
    tag: [u8; 16],
    pub(super) pair: Pair,
    certificate: Vec<u8>,
    component: Vec<u8>,
    /// Where hellos go.
    addresses: Vec<SocketAddr>,
    /// Whom it answers, and with which cookie.
    keying: Option<(SocketAddr, Vec<u8>)>,
    pub(crate) attempts: u32,
    next: Time,
}

impl Startup {
    pub(crate) fn new(dice: &mut Dice, offer: Offer, to: SocketAddr, session_id: u32) -> Self {
        let (pair, random, tag) = (Pair::draw(dice), code::random(dice), code::random(dice));
        Self::of(offer, pair, &random, tag, to, session_id)
    }

    /// With secrets and random bytes that are given.
    pub(crate) fn of(
        offer: Offer,
        pair: Pair,
        random: &[u8; 64],
        tag: [u8; 16],
        to: SocketAddr,
        session_id: u32,
    ) -> Self {
        let (certificate, component) = offered(offer, &pair, random);
        Self {
            cipher: Cipher::of_startup(),
            session_id,
            tag,
            pair,
            certificate,
            component,
            addresses: vec![to],
            keying: None,
            attempts: 0,
            next: Time::MAX,
        }
    }

    /// A socket is open.
    pub(crate) fn begin(&mut self, now: Time) {
        if self.next.is_never() {
            self.next = now;
        }
    }

    pub(crate) fn stage(&self) -> &'static str {
        if self.keying.is_some() { "the keying" } else { "the hello" }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        (!self.next.is_never()).then_some(self.next)
    }

    /// Says again what is unanswered: 1.5 s later, 3 s later, and so on.
    pub(crate) fn poll(&mut self, now: Time, out: &mut VecDeque<(SocketAddr, Vec<u8>)>) {
        if self.next > now {
            return;
        }
        self.attempts += 1;
        self.next = now + self.attempts * Duration::from_millis(1500);
        let mut content = Vec::new();
        let (kind, to) = match &self.keying {
            None => {
                let epd = [&[PATH.len() as u8 + 1, 0x0a], PATH].concat();
                put_field(&epd, &mut content);
                content.extend(self.tag);
                (0x30, self.addresses.clone())
            }
            Some((to, cookie)) => {
                content.extend(self.session_id.to_be_bytes());
                put_field(cookie, &mut content);
                put_field(&self.certificate, &mut content);
                put_field(&self.component, &mut content);
                content.push(0x58);
                (0x38, vec![*to])
            }
        };
        let clear = [&[0x0b][..], &stamp(now).to_be_bytes(), &chunk(kind, &content)].concat();
        out.extend(to.into_iter().map(|to| (to, self.cipher.seal(0, &clear))));
    }

    /// A packet without a session.
    pub(crate) fn receive(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        let clear = self.cipher.open(datagram).expect("a packet with the default key");
        let (kind, mut content) = only_chunk(&clear);
        let tag = |content: &mut Reader<'_>| {
            assert_eq!(content.u8(), 16, "L1: the length of the tag");
            content.take(16) == self.tag
        };
        match kind {
            0x70 => {
                let is_ours = tag(&mut content);
                assert_eq!(content.u8(), 64, "L1: the length of the cookie");
                let cookie = content.take(64);
                if is_ours && self.keying.is_none() {
                    self.keying = Some((from, cookie.to_vec()));
                    self.attempts = 0;
                    self.next = now;
                }
            }
            0x71 => {
                if tag(&mut content) && self.keying.is_none() {
                    while !content.0.is_empty() {
                        self.redirected(now, &mut content);
                    }
                }
            }
            _ => panic!("a handshake of kind {kind:02x}"),
        }
    }

    fn redirected(&mut self, now: Time, content: &mut Reader<'_>) {
        let (origin, address) = content.address();
        match origin {
            0 => panic!("L6: a Redirect to {address}, whose origin is unknown: the server is gone"),
            1..=3 => {
                if !self.addresses.contains(&address) {
                    self.addresses.push(address);
                    self.next = now;
                }
            }
            _ => panic!("L6: a Redirect to {address}, whose origin is {origin}"),
        }
    }

    /// The answer to the keying, which is a session then.
    pub(crate) fn answer(&mut self, datagram: &[u8]) -> Option<Session> {
        self.keying.as_ref()?;
        // Packets of the session may overtake it. They are dropped, and come again.
        let clear = self.cipher.open(datagram)?;
        let (kind, mut content) = only_chunk(&clear);
        match kind {
            0x78 => {}
            0x79 => {
                let (_, cookie) = self.keying.as_mut().expect("a cookie");
                assert_eq!(content.0.len(), 129, "L1: the length of a changed cookie");
                assert_eq!(content.u8(), 64, "L1: the length of the old cookie");
                assert_eq!(content.take(64), &cookie[..], "the old cookie");
                *cookie = content.0.to_vec();
                return None;
            }
            _ => panic!("a handshake of kind {kind:02x} for a session"),
        }
        let far_id = content.u32();
        let component = content.field();
        assert_eq!(content.0.first(), Some(&0x58), "the signature after the responder's component");
        let least = b"\x03\x1a\x00\x00\x02\x1e\x00";
        assert!(component.starts_with(least), "L2: the responder's component is {component:02x?}");
        assert_eq!(component.len(), 139, "L2: the length of the responder's component");
        assert_eq!(component[7..11], *b"\x81\x02\x0d\x02", "L2: what lies before the responder's key");
        let secret = self.pair.agree(&component[11..]).expect("L2: a key in group 2");
        let (send, receive) = code::keys(&secret, &self.component, component);
        Some(Session::new(Side::Client, far_id, &send, &receive))
    }
}

/// The certificate and the component of an offer.
pub(crate) fn offered(offer: Offer, pair: &Pair, random: &[u8; 64]) -> (Vec<u8>, Vec<u8>) {
    let option = |kind: [u8; 2], value: &[u8]| {
        let mut option = Vec::new();
        put_field(&[&kind[..], value].concat(), &mut option);
        option
    };
    let randomness = [&[0x41, 0x0e][..], random].concat();
    match offer {
        Offer::Librtmfp | Offer::Flash => {
            let hmac_len = if offer == Offer::Flash { 16 } else { 10 };
            let flags = [3, 0x1a, 2, hmac_len, 2, 0x1e, 2];
            let component = [&[2, 0x1d, 2][..], &randomness, &flags].concat();
            (option([0x1d, 2], &pair.public), component)
        }
        Offer::Ephemeral => {
            let flags = [3, 0x1a, 2, 16, 2, 0x1e, 2];
            let component = [&option([0x0d, 2], &pair.public)[..], &flags].concat();
            ([&[2, 0x15, 2][..], &randomness].concat(), component)
        }
    }
}

/// The initiator's key, and its component, from what follows the cookie in a keying: what librtmfp and MonaServer take
/// in group 2, and nothing else.
pub(crate) fn check_offer<'a>(mut content: Reader<'a>) -> (&'a [u8], &'a [u8]) {
    let mut certificate = Reader(content.field());
    let key = certificate.field();
    assert_eq!(key.get(..2), Some(&[0x1d, 2][..]), "L9: the initiator's key");
    assert!(certificate.0.is_empty(), "L9: a certificate with more than one key: {:02x?}", certificate.0);
    let component = content.field();
    assert_eq!(component.len(), 76, "L9: the length of the initiator's component");
    assert_eq!(component[..5], [2, 0x1d, 2, 0x41, 0x0e], "L9: the beginning of the initiator's component");
    assert_eq!(
        component[69..72],
        [3, 0x1a, 2],
        "L4, L9: HMACs in the initiator's component are offered only"
    );
    assert_eq!(
        component[73..],
        [2, 0x1e, 2],
        "L4, L9: sequence numbers in the initiator's component are offered only"
    );
    assert_eq!(content.0, [0x58], "L9: the initiator's signature");
    (&key[2..], component)
}

/// The chunk of a packet of a handshake, of which there may be only one.
pub(crate) fn only_chunk(clear: &[u8]) -> (u8, Reader<'_>) {
    let mut packet = Reader(clear);
    assert_eq!(packet.u8(), 0x0b, "L3: the flags of a packet of a handshake");
    packet.u16();
    let kind = packet.u8();
    let len = packet.u16();
    let content = packet.take(len.into());
    assert!(packet.0.iter().all(|byte| *byte == 0xff), "a second chunk in a packet of a handshake");
    (kind, Reader(content))
}

/// A packet for an open session that has not its key: it has to be a repeated part of the handshake.
pub(crate) fn expect_repetition(datagram: &[u8]) {
    let clear =
        Cipher::of_startup().open(datagram).expect("L4: a packet in checksum mode without a sequence number");
    let (kind, _) = only_chunk(&clear);
    assert!(matches!(kind, 0x78 | 0x79), "a handshake of kind {kind:02x} for an open session");
}
