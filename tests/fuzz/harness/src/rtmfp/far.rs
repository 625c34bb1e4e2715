use rtmfp::Endpoint;
use rtmfp::crypto::{DEFAULT_KEY, KeyId, Profile, Sealing};
use rtmfp::wire::{Chunk, Chunks, IHello, IIKeying, Mode, PacketHeader, scramble, unscramble};
use rtmfp_base::Time;
use rtmfp_plain::PlainProfile;

use super::{far_meta, run_jobs, transmissions};
use crate::Dice;

/// The header of a startup packet.
pub(super) const STARTUP: PacketHeader = PacketHeader {
    mode: Mode::Startup,
    time_critical: false,
    time_critical_reverse: false,
    timestamp: None,
    timestamp_echo: None,
};

/// The session id that the far end wants to be addressed by.
const FAR_ID: u32 = 0x0fa0_0fa0;

/// The far end of a session: it has the keys, and seals whatever it is told to.
pub(super) struct Far {
    profile: PlainProfile,
    key: KeyId,
    near_id: u32,
}

impl Far {
    /// Opens a session as initiator, by the book.
    pub(super) fn connect(near: &mut Endpoint, now: Time) -> Self {
        let mut far = Self { profile: PlainProfile::new("far"), key: DEFAULT_KEY, near_id: 0 };
        let hello = far.ask(near, now, &Chunk::IHello(IHello { epd: b"near", tag: &[1; 40] }));
        let Some(Ok(Chunk::RHello(hello))) = chunks(&hello).next() else { panic!("no RHello") };

        let mut dice = Dice::new(1);
        let work = far.profile.initiate(hello.certificate, &mut |bytes| {
            bytes.iter_mut().for_each(|byte| *byte = dice.next() as u8);
        });
        let offer = work.expect("a good certificate")().expect("an offer");
        let mut signed = Vec::new();
        IIKeying::write_parameters(FAR_ID, hello.cookie, b"far", &offer.component, &mut signed);
        let signature = far.profile.signatures().sign(&signed);
        let keying = IIKeying {
            session_id: FAR_ID,
            cookie: hello.cookie,
            certificate: b"far",
            component: &offer.component,
            signature: &signature,
            signed: &signed,
        };
        let keying = far.ask(near, now, &Chunk::IIKeying(keying));
        let Some(Ok(Chunk::RIKeying(keying))) = chunks(&keying).next() else { panic!("no RIKeying") };
        let keys = far.profile.conclude(&offer.secret, keying.component)().expect("keys");
        far.key = far.profile.install(keys);
        far.near_id = keying.session_id;
        far
    }

    /// Sends a startup packet and answers the chunks of the packet that comes back.
    fn ask(&mut self, near: &mut Endpoint, now: Time, chunk: &Chunk<'_>) -> Vec<u8> {
        let mut clear = Vec::new();
        STARTUP.write(&mut clear);
        chunk.write(&mut clear);
        let mut datagram = seal(&mut self.profile, DEFAULT_KEY, 0, &clear);
        near.handle_datagram(now, &far_meta(1935), &mut datagram);
        run_jobs(near, now);
        let answers = transmissions(near, now);
        let [answer] = &answers[..] else { panic!("{} answers", answers.len()) };
        let (_, clear) = open(&mut self.profile, DEFAULT_KEY, answer).expect("a startup packet");
        let (_, chunks) = PacketHeader::parse(&clear).expect("a packet");
        chunks.to_vec()
    }

    /// The datagram of a clear packet of the session.
    pub(super) fn seal(&mut self, clear: &[u8]) -> Vec<u8> {
        seal(&mut self.profile, self.key, self.near_id, clear)
    }

    /// The clear packet of a datagram to this end.
    pub(super) fn open(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        // The answer to a repeated IIKeying would be a startup packet.
        let (id, clear) = open(&mut self.profile, self.key, datagram)?;
        assert_eq!(id, FAR_ID);
        Some(clear)
    }
}

/// All chunks behind a packet's header, parsed.
pub(super) fn chunks(chunks: &[u8]) -> impl Iterator<Item = Result<Chunk<'_>, rtmfp::wire::WireError>> {
    Chunks::new(chunks).map(|(kind, payload)| Chunk::parse(kind, payload))
}

/// Seals a clear packet for the session id.
pub(super) fn seal(profile: &mut PlainProfile, key: KeyId, id: u32, clear: &[u8]) -> Vec<u8> {
    let clear_len = clear.len().max(1);
    let room = profile.reserve(key, clear_len);
    let mut datagram = vec![0; 4 + room.sealed_len];
    datagram[4 + room.front..4 + room.front + clear.len()].copy_from_slice(clear);
    profile.seal(&mut datagram, &mut [Sealing { key, room, clear_len, start: 4 }]);
    scramble(id, &mut datagram);
    datagram
}

/// Opens a datagram: its session id and clear packet.
pub(super) fn open(profile: &mut PlainProfile, key: KeyId, datagram: &[u8]) -> Option<(u32, Vec<u8>)> {
    let id = unscramble(datagram)?;
    let mut sealed = datagram[4..].to_vec();
    let clear = profile.open(key, &mut sealed).ok()?;
    Some((id, sealed[clear].to_vec()))
}
