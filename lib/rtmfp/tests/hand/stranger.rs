//! Somebody who begins handshakes, with any profile and from as many addresses as he likes.

use std::net::SocketAddr;

use rtmfp::Endpoint;
use rtmfp::crypto::{DEFAULT_KEY, Profile, Sealing};
use rtmfp::wire::{Chunk, IHello, IIKeying, Mode, PacketHeader, scramble};
use rtmfp_base::Time;
use rtmfp_flash::{FlashConfig, FlashProfile};

use super::{deliver, events, parse, run_jobs, transmits};

/// A profile with a hostname.
pub fn flash(mut config: FlashConfig, name: &str, number: u8) -> Box<dyn Profile> {
    config.hostname = Some(name.to_owned());
    Box::new(FlashProfile::new(config, &mut |bytes| bytes.fill(number)).expect("keys"))
}

#[derive(Debug)]
pub struct Stranger {
    profile: Box<dyn Profile>,
    component: Vec<u8>,
}

impl Stranger {
    pub fn new(profile: Box<dyn Profile>, far_certificate: &[u8]) -> Self {
        let begun = profile.initiate(far_certificate, &mut |bytes| bytes.fill(9));
        let component = begun.expect("something in common")().expect("an offer").component;
        Self { profile, component }
    }

    fn seal(&mut self, chunk: &[u8]) -> Vec<u8> {
        let clear = [&[Mode::Startup as u8], chunk].concat();
        let room = self.profile.reserve(DEFAULT_KEY, clear.len());
        let mut bytes = vec![0; 4 + room.sealed_len];
        bytes[4 + room.front..][..clear.len()].copy_from_slice(&clear);
        let sealing = Sealing { key: DEFAULT_KEY, room, clear_len: clear.len(), start: 4 };
        self.profile.seal(&mut bytes, &mut [sealing]);
        scramble(0, &mut bytes);
        bytes
    }

    pub fn hello(&mut self, epd: &[u8], tag: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::new();
        Chunk::IHello(IHello { epd, tag }).write(&mut chunk);
        self.seal(&chunk)
    }

    /// The cookie out of the answer to a hello.
    pub fn cookie(&mut self, datagram: &[u8]) -> Vec<u8> {
        let mut bytes = datagram.to_vec();
        let clear = self.profile.open(DEFAULT_KEY, &mut bytes[4..]).expect("an answer");
        let (_, chunks) = PacketHeader::parse(&bytes[4..][clear]).expect("a header");
        match parse(chunks)[..] {
            [Chunk::RHello(hello)] => hello.cookie.to_vec(),
            ref other => panic!("{other:?} instead of an RHello"),
        }
    }

    pub fn keying(&mut self, session_id: u32, cookie: &[u8]) -> Vec<u8> {
        let mut parameters = Vec::new();
        let certificate = self.profile.certificate();
        IIKeying::write_parameters(session_id, cookie, certificate, &self.component, &mut parameters);
        let signature = self.profile.signatures().sign(&parameters);
        let mut chunk = Vec::new();
        IIKeying::write_to(&parameters, &signature, &mut chunk);
        self.seal(&chunk)
    }

    /// Takes a session and says nothing more.
    pub fn take_session(&mut self, victim: &mut Endpoint, now: Time, from: SocketAddr, epd: &[u8]) {
        // Long enough to be answered at the full rate.
        let hello = self.hello(epd, &[7; 64]);
        deliver(victim, now, from, &hello);
        let answer = transmits(victim, now).pop().expect("an answer");
        let cookie = self.cookie(&answer.2);
        let keying = self.keying(0x1234_5678, &cookie);
        deliver(victim, now, from, &keying);
        run_jobs(victim, now);
        transmits(victim, now);
        events(victim, now);
    }
}
