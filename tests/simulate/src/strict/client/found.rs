//! A client as librtmfp is one when another looks for it: the responder between two clients.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_netsim::Dice;
use sha2::{Digest, Sha256};

use super::startup::{check_offer, expect_repetition, only_chunk};
use crate::strict::code::{self, Cipher, Pair, Reader, chunk, put_field};
use crate::strict::session::{Heard, Session, Side, stamp};

/// The id of the session with whoever has found it.
pub(crate) const SESSION: u32 = 0x4000;
/// How a discriminator begins: the length of a fingerprint's option, and its kind.
const FINGERPRINT: [u8; 2] = [0x21, 0x0f];

/// The end of an open session with whoever looked for this client.
struct Peer {
    session: Session,
    far: SocketAddr,
    far_id: u32,
    answer: Vec<u8>,
}

pub(crate) struct Found {
    startup: Cipher,
    pair: Pair,
    component: Vec<u8>,
    cookie: [u8; 64],
    /// Where answers to hellos went.
    answered: Vec<SocketAddr>,
    peer: Option<Peer>,
    /// Hellos that the introducer has sent on.
    pub(crate) forwarded: u64,
    /// What came in the session.
    pub(crate) messages: Vec<TcMessage>,
}

impl Found {
    pub(crate) fn new(dice: &mut Dice, pair: Pair) -> Self {
        let mut component = b"\x03\x1a\x00\x00\x02\x1e\x00\x41\x0e".to_vec();
        component.extend(code::random::<64>(dice));
        Self {
            startup: Cipher::of_startup(),
            pair,
            component,
            cookie: code::random(dice),
            answered: Vec::new(),
            peer: None,
            forwarded: 0,
            messages: Vec::new(),
        }
    }

    fn certificate(&self) -> Vec<u8> {
        let mut certificate = Vec::new();
        put_field(&[&[0x1d, 2], &self.pair.public[..]].concat(), &mut certificate);
        certificate
    }

    /// The discriminator by which others look for this client.
    pub(crate) fn epd(&self) -> Vec<u8> {
        [&FINGERPRINT[..], &Sha256::digest(self.certificate())].concat()
    }

    /// A hello, from its sender or from the introducer.
    pub(crate) fn on_hello(&mut self, now: Time, epd: &[u8], tag: &[u8], to: SocketAddr, out: &mut Out) {
        assert_eq!(epd, self.epd(), "the discriminator of a hello, which is for this client alone");
        assert_eq!(tag.len(), 16, "L1: the length of the tag of a hello");
        if !self.answered.contains(&to) {
            self.answered.push(to);
        }
        let hello = [&[16][..], tag, &[64], &self.cookie, &self.certificate()].concat();
        out.push_back((to, self.seal(now, 0, 0x70, &hello)));
    }

    fn seal(&self, now: Time, session: u32, kind: u8, content: &[u8]) -> Vec<u8> {
        let clear = [&[0x0b][..], &stamp(now).to_be_bytes(), &chunk(kind, content)].concat();
        self.startup.seal(session, &clear)
    }

    /// A packet without a session.
    pub(crate) fn receive(&mut self, now: Time, from: SocketAddr, datagram: &[u8], out: &mut Out) {
        let clear = self.startup.open(datagram).expect("a packet with the default key");
        let (kind, mut content) = only_chunk(&clear);
        match kind {
            0x30 => {
                let epd = content.field();
                self.on_hello(now, epd, content.0, from, out);
            }
            0x38 => self.on_keying(now, from, content, out),
            // The session with the introducer is open: these come late.
            0x70 | 0x71 => {}
            _ => panic!("a handshake of kind {kind:02x}"),
        }
    }

    fn on_keying(&mut self, now: Time, from: SocketAddr, mut content: Reader<'_>, out: &mut Out) {
        let far_id = content.u32();
        assert_eq!(content.vlu(), 64, "L1: the length of the cookie");
        assert_eq!(content.take(64), &self.cookie[..], "the cookie");
        assert!(
            self.answered.contains(&from),
            "L6: a keying from {from}, but hellos were said to come from {:?}",
            self.answered
        );
        if let Some(peer) = &self.peer {
            assert_eq!(peer.far_id, far_id, "a second session with who looked for this client");
            return out.push_back((from, peer.answer.clone()));
        }
        let (key, component) = check_offer(content);
        let secret = self.pair.agree(key).expect("L9: a key in group 2");
        let (receive, send) = code::keys(&secret, component, &self.component);
        let mut content = SESSION.to_be_bytes().to_vec();
        put_field(&self.component, &mut content);
        content.push(0x58);
        let answer = self.seal(now, far_id, 0x78, &content);
        out.push_back((from, answer.clone()));
        let session = Session::new(Side::Server, far_id, &send, &receive);
        self.peer = Some(Peer { session, far: from, far_id, answer });
    }

    /// A packet of the session with whoever looked for this client.
    pub(crate) fn on_session(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        let Some(peer) = &mut self.peer else { return };
        let Some(heard) = peer.session.receive(now, datagram) else { return expect_repetition(datagram) };
        peer.far = from;
        for heard in heard {
            if let Heard::Message(_, message) = heard {
                self.messages.push(message);
            }
        }
    }

    pub(crate) fn send(&mut self, now: Time, out: &mut Out) {
        if let Some(peer) = &mut self.peer {
            let far = peer.far;
            out.extend(peer.session.poll(now).into_iter().map(|bytes| (far, bytes)));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.peer.as_ref().and_then(|peer| peer.session.poll_timeout())
    }
}

/// Datagrams to be sent.
type Out = VecDeque<(SocketAddr, Vec<u8>)>;
