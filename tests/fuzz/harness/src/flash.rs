//! What the Flash profile (`rtmfp-flash`) reads from others.

use std::cell::RefCell;

use rtmfp::crypto::{DEFAULT_KEY, InitiatorSecret, KeyId, OpenError, Profile, Sealing};
use rtmfp_flash::{Certificate, Epd, Fingerprint, FlashConfig, FlashProfile, Group, KeySource, Policy};

use crate::{Dice, Tape};

/// A certificate and an Endpoint Discriminator; and text that may be a fingerprint.
pub fn identity(data: &[u8]) {
    let mut tape = Tape::new(data);
    let certificate = tape.field();
    let epd = tape.rest();

    if let Ok(certificate) = Certificate::parse(certificate) {
        let canonical = Certificate::parse(certificate.canonical()).expect("the canonical section will do");
        assert_eq!(canonical, certificate);
        let fingerprint = certificate.fingerprint();
        assert!(Epd::fingerprint(&fingerprint).selects(&certificate));
        for group in Group::DEFAULT {
            assert!(certificate.static_key(group).is_none() || certificate.is_static());
            assert!(certificate.static_key(group).is_none() || certificate.supports(group));
        }
        if let Ok(epd) = Epd::parse(epd) {
            let selected = epd.selects(&certificate);
            assert!(epd.fingerprint.is_none_or(|wanted| (wanted == fingerprint.0) == selected));
        }
    }
    if let Ok(parsed) = Epd::parse(epd) {
        let canonical = parsed.encode();
        assert_eq!(Epd::parse(&canonical), Ok(parsed));
        assert!(canonical.len() <= epd.len());
    }
    if let Some(fingerprint) = Fingerprint::from_canonical_epd(epd) {
        assert_eq!(fingerprint.canonical_epd(), epd);
        assert_eq!(Epd::parse(epd).ok().and_then(|epd| epd.fingerprint), Some(&fingerprint.0[..]));
    }
    if let Ok(fingerprint) = String::from_utf8_lossy(epd).parse::<Fingerprint>() {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
}

/// A certificate and a keying component, as a responder takes them from a stranger and an initiator from its
/// responder.
pub fn component(data: &[u8]) {
    let mut tape = Tape::new(data);
    let certificate = tape.field();
    let component = tape.rest();
    KEYING.with_borrow_mut(|keying| {
        let mut dice = Dice::new(1);
        // The work behind it is exponentiation, not reading.
        let _work = keying.responder.respond(certificate, component, &mut |bytes| fill(&mut dice, bytes));
        let _work = keying.initiator.initiate(certificate, &mut |bytes| fill(&mut dice, bytes));
        let _keys = keying.initiator.conclude(&keying.secret, component)();
    });
}

/// Sealed packets, whole, damaged and made up, for all ways of protection.
pub fn packet(data: &[u8]) {
    let mut tape = Tape::new(data);
    SESSIONS.with_borrow_mut(|sessions| {
        let count = sessions.len();
        let session = &mut sessions[usize::from(tape.u8()) % count];
        let Session { far, near, .. } = session;
        let info = near.profile.key_info(near.key).expect("the key is installed");
        match tape.u8() % 3 {
            0 => {
                let clear = tape.rest();
                if clear.is_empty() {
                    return;
                }
                let mut sealed = far.seal(clear);
                let mut again = sealed.clone();
                let opened = near.profile.open(near.key, &mut sealed).expect("an authentic packet");
                assert_eq!(sealed[opened.clone()][..clear.len()], *clear);
                assert!(sealed[opened][clear.len()..].iter().all(|byte| *byte == 0xff));
                let replayed = near.profile.open(near.key, &mut again);
                assert_eq!(replayed.err(), info.sequenced.then_some(OpenError::Replayed));
            }
            1 => {
                let (at, with, len) = (tape.u16(), tape.u8(), tape.u16());
                let clear = tape.rest();
                if clear.is_empty() {
                    return;
                }
                let mut sealed = far.seal(clear);
                let (at, kept) = (usize::from(at) % sealed.len(), usize::from(len) % (sealed.len() + 1));
                // Not found out by comparing: libFuzzer learns from comparisons, and would try what it has seen.
                let whole = kept == sealed.len() && with == 0;
                sealed[at] ^= with;
                sealed.truncate(kept);
                let opened = near.profile.open(near.key, &mut sealed).is_ok();
                assert!(opened == whole || !info.authenticated);
                if opened && !whole {
                    session.begin_anew();
                }
            }
            _ => {
                let raw = tape.rest();
                let _ = near.profile.open(DEFAULT_KEY, &mut raw.to_vec());
                if near.profile.open(near.key, &mut raw.to_vec()).is_ok() {
                    assert!(!info.authenticated);
                    session.begin_anew();
                }
            }
        }
    });
}

fn fill(dice: &mut Dice, bytes: &mut [u8]) {
    bytes.iter_mut().for_each(|byte| *byte = dice.next() as u8);
}

/// A profile with ephemeral keys of the smallest group.
fn profile(policy: Policy, seed: u64) -> FlashProfile {
    let mut config = FlashConfig::server();
    config.keys = KeySource::Ephemeral { groups: vec![Group::Modp1024] };
    config.policy = policy;
    let mut dice = Dice::new(seed);
    FlashProfile::new(config, &mut |bytes| fill(&mut dice, bytes)).expect("a good configuration")
}

struct Keying {
    initiator: FlashProfile,
    responder: FlashProfile,
    secret: InitiatorSecret,
}

/// An end of a session.
struct End {
    profile: FlashProfile,
    key: KeyId,
}

impl End {
    fn seal(&mut self, clear: &[u8]) -> Vec<u8> {
        let (key, clear_len) = (self.key, clear.len());
        let room = self.profile.reserve(key, clear_len);
        let mut packet = vec![0; room.sealed_len];
        packet[room.front..room.front + clear_len].copy_from_slice(clear);
        self.profile.seal(&mut packet, &mut [Sealing { key, room, clear_len, start: 0 }]);
        packet
    }
}

/// The two ends of a session.
struct Session {
    policy: Policy,
    far: End,
    near: End,
}

impl Session {
    /// A checksum of 16 bits is passed by one forged packet of 65,536, which may have any sequence number: all that
    /// come later may be taken for replayed ones.
    fn begin_anew(&mut self) {
        *self = connect(self.policy);
    }
}

fn connect(policy: Policy) -> Session {
    let (mut far, mut near) = (profile(policy, 1), profile(policy, 2));
    let mut dice = Dice::new(3);
    let mut random = |bytes: &mut [u8]| fill(&mut dice, bytes);
    let offer =
        far.initiate(near.certificate(), &mut random).expect("a group in common")().expect("an offer");
    let answer = near.respond(far.certificate(), &offer.component, &mut random).expect("a good component");
    let answer = answer().expect("an answer");
    let keys = far.conclude(&offer.secret, &answer.component)().expect("keys");
    let (far_key, near_key) = (far.install(keys), near.install(answer.keys));
    let (far, near) = (End { profile: far, key: far_key }, End { profile: near, key: near_key });
    Session { policy, far, near }
}

thread_local! {
    static KEYING: RefCell<Keying> = RefCell::new({
        let (initiator, responder) = (profile(Policy::legacy(), 1), profile(Policy::legacy(), 2));
        let mut dice = Dice::new(3);
        let offer = initiator.initiate(responder.certificate(), &mut |bytes| fill(&mut dice, bytes));
        let secret = offer.expect("a group in common")().expect("an offer").secret;
        Keying { initiator, responder, secret }
    });

    /// A session for each way of protection. They outlive an input, since beginning one takes exponentiation.
    static SESSIONS: RefCell<Vec<Session>> = RefCell::new({
        let all = Policy::default();
        let checksum = all.allow_no_hmac();
        let policies =
            [all, all.allow_no_sequence_numbers(), checksum, checksum.allow_no_sequence_numbers()];
        policies.into_iter().map(connect).collect()
    });
}
