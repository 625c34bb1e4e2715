use rtmfp::crypto::{OpenError, Room};

use super::*;
use crate::Backend;
use crate::fingerprint::unhex;
use crate::keying::Wish;

const SKIC: &str = "021d02110ea0a1a2a3a4a5a6a7a8a9aaabacadaeaf031a0710021e07";
const SKRC: &str = "021e07031a070a110eb0b1b2b3b4b5b6b7b8b9babbbcbdbebf";
const PACKET: &str = "8d0091008c100010800201010500544304000068656c6c6f";
const SESSION_ID: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// The keys of the initiator, or of the responder.
fn keys(is_initiator: bool, backend: Backend) -> Keys {
    let secret: Vec<u8> = (1..=128).collect();
    let (near, far) = if is_initiator { (SKIC, SKRC) } else { (SKRC, SKIC) };
    Keys::derive(&secret, &unhex(near), &unhex(far), backend.library())
}

/// Initiator and responder of a session that is protected alike in both directions; the initiator's next packet
/// has that sequence number.
fn sessions(hmac_length: Option<u8>, sequence: Option<u64>, backend: Backend) -> (Session, Session) {
    let protection = Protection { hmac_length, sequence: sequence.is_some() };
    let agreed = Agreed {
        hmac: Wish::OFFERED,
        sequence: Wish::OFFERED,
        send: protection,
        receive: protection,
        only_offered: None,
        least_answer: false,
    };
    let session = |is_initiator| {
        Session::new(keys(is_initiator, backend), agreed, Group::Modp1024, None, backend.library())
    };
    let (mut initiator, responder) = (session(true), session(false));
    initiator.layout.next = sequence;
    (initiator, responder)
}

fn seal(session: &mut Session, clear: &[u8]) -> Vec<u8> {
    let room = session.layout.reserve(clear.len());
    let mut packet = vec![0xee; room.sealed_len];
    packet[room.front..room.front + clear.len()].copy_from_slice(clear);
    session.seal(&mut packet, &room, clear.len()).unwrap();
    packet
}

/// What seals packets, of keys that are not at work.
fn sender(session: &Session) -> Sender {
    match &session.state {
        State::Idle(idle) => idle.sender(&session.layout).unwrap(),
        State::Working(_) => panic!("the keys are at work"),
    }
}

#[test]
fn keys_go_to_work_with_the_first_authentic_packet() {
    for backend in Backend::ALL {
        for (hmac_length, sequence) in [(None, None), (Some(16), None), (None, Some(0)), (Some(10), Some(0))]
        {
            let (mut initiator, mut responder) = sessions(hmac_length, sequence, *backend);
            let is_idle = |session: &Session| matches!(session.state, State::Idle(_));
            let known = |session: &Session| {
                let (near, far) = session.nonces();
                (near.clone(), far.clone(), session.demands())
            };
            let before = known(&responder);
            let mut first = seal(&mut initiator, b"first");
            let mut damaged = first.clone();
            damaged[3] ^= 1;
            assert!(responder.open(&mut damaged).is_err());
            let from_idle = seal(&mut responder, b"idle");
            assert!(is_idle(&initiator) && is_idle(&responder));
            let mut again = first.clone();
            let range = responder.open(&mut first).unwrap();
            assert!(first[range].starts_with(b"first") && !is_idle(&responder));
            assert_eq!(known(&responder), before);
            let repeated = responder.open(&mut again);
            assert_eq!(repeated.err(), sequence.map(|_| OpenError::Replayed));
            // The numbers go on.
            for (mut packet, clear) in [(from_idle, b"idle"), (seal(&mut responder, b"work"), b"work")] {
                let range = initiator.open(&mut packet).unwrap();
                assert!(packet[range].starts_with(clear));
            }
            let mut second = seal(&mut initiator, b"second");
            let range = responder.open(&mut second).unwrap();
            assert!(second[range].starts_with(b"second"));
        }
    }
}

#[test]
fn keys_and_nonces_are_derived_from_the_secret_and_both_components() {
    for backend in Backend::ALL {
        let (at_initiator, at_responder) = (keys(true, *backend), keys(false, *backend));
        for (near, far, expected) in [
            (
                &at_initiator.near_nonce,
                &at_responder.far_nonce,
                "9fc44dede791b7121c504a7024e0ed2af65f053ddecd9e870694bad693bed113",
            ),
            (
                &at_initiator.far_nonce,
                &at_responder.near_nonce,
                "6282d8ad29948535da460277d61f35d511b7d450c96b8a2bf367dbfdd139b1db",
            ),
            (
                &at_initiator.encrypt,
                &at_responder.decrypt,
                "cf97e3736427ce5316f773feda050fa9ff13e3e56ce020c9eb3b4ef759fcb324",
            ),
            (
                &at_initiator.decrypt,
                &at_responder.encrypt,
                "4ded84e52715495461b29facfea24073ee485e92fdaed3c35b2fb4ae9bf817f2",
            ),
            (
                &at_initiator.hmac_send,
                &at_responder.hmac_receive,
                "4501eb17c91aec640fa96817f4d2aca89ab25760e6dd18bb770f6b7ad0f7b2b5",
            ),
            (
                &at_initiator.hmac_receive,
                &at_responder.hmac_send,
                "7874ccbeb8a1634e8e74aad4f345b7592a21d827f9256d05f4e9a72d4abcadae",
            ),
        ] {
            assert_eq!(near[..], unhex(expected), "{backend:?}");
            assert_eq!(near, far);
        }
    }
}

#[test]
fn packets_are_sealed_as_others_do_in_all_modes() {
    for (hmac_length, sequence, expected) in [
        (None, None, "73de930940eccf3821060a4910dda61eae8687ef927fd24dcef42fb6b0a1548908810154"),
        (
            Some(16),
            None,
            "1bfe8e9e028a6bf70b40b3115dcabd453741b43d8dca57f82ab9f5f24f486fe56b1b9d6c4c193388b2452a7aa6d82f93\
             ecee09d1",
        ),
        (None, Some(300), "b96c3cfbbcd85d39178037ba7e271c8f67e56f6c39403494f6ab8bf357c0b4c126bd3395"),
        (
            Some(16),
            Some(300),
            "b7613d14d21b8542774eee2ecdafbc5444c99b8f6b42461f43b945bc6a6257866bc2b8b4a95dc44b3170cca4d761badc\
             91390d59",
        ),
        (None, Some(5), "4715c756e7948b02b2b51a2c75e16a0fd7f416925320efc5f91844d9aa0c05130701d1f9"),
        (None, Some(20_000), "d8059862837b28ad494ae6b76eeb6f9ba8e95ac3f1627d730917649d8c0b0556dbbfb8bc"),
        (
            Some(32),
            Some(300),
            "b7613d14d21b8542774eee2ecdafbc5444c99b8f6b42461f43b945bc6a6257866bc2b8b4a95dc44b3170cca4d761badc\
             91390d598671a56a97cdb62f913f123910eebf66",
        ),
        (
            Some(4),
            Some(0),
            "e54ac1629ea9c3ce69d754d4336b9e850c6d05fd71fdceb66902aa4ddbeaf93ab443f1caeaa56c0f",
        ),
    ] {
        for backend in Backend::ALL {
            let (mut initiator, mut responder) = sessions(hmac_length, sequence, *backend);
            let clear = unhex(PACKET);
            let mut packet = seal(&mut initiator, &clear);
            let id: Vec<u8> = (0..4).map(|at| SESSION_ID[at] ^ packet[at] ^ packet[at + 4]).collect();
            assert_eq!(
                [id, packet.clone()].concat(),
                unhex(expected),
                "{hmac_length:?} {sequence:?} {backend:?}"
            );
            let range = responder.open(&mut packet).unwrap();
            let (opened, padding) = packet[range].split_at(clear.len());
            assert_eq!(opened, clear);
            assert!(padding.iter().all(|byte| *byte == 0xff));
        }
    }
}

#[test]
fn a_room_of_another_session_seals_nothing() {
    let (mut with_hmac, _) = sessions(Some(16), Some(0), Backend::default());
    let (mut with_checksum, _) = sessions(None, None, Backend::default());
    let room = with_hmac.layout.reserve(100);
    assert_eq!(with_checksum.seal(&mut [0; 200], &room, 100), None);
    for (front, sealed_len, clear_len, buffer) in [
        (1, 128, 100, 127),
        (1, 128, 112, 128),
        (1, 128, usize::MAX, 128),
        (2, 128, 100, 128),
        (1, 127, 100, 128),
        (1, 15, 1, 128),
        (1, 16, 0, 128),
        (0, 0, 0, 0),
    ] {
        let room = Room { front, sealed_len, sequence: 0 };
        assert_eq!(with_hmac.seal(&mut vec![0; buffer], &room, clear_len), None, "{room:?}");
    }
    assert_eq!(with_hmac.seal(&mut [0; 128], &room, 100), Some(()));
}

#[test]
fn packets_of_impossible_lengths_are_malformed() {
    for (hmac_length, sequence) in [(None, None), (Some(16), None), (None, Some(0)), (Some(10), Some(0))] {
        let (_, mut responder) = sessions(hmac_length, sequence, Backend::default());
        let tail = usize::from(hmac_length.unwrap_or(0));
        for len in 0..100 {
            let error = responder.open(&mut vec![0; len]).unwrap_err();
            let possible = len > tail && (len - tail).is_multiple_of(BLOCK);
            assert_eq!(error, if possible { OpenError::Forged } else { OpenError::Malformed }, "{len}");
        }
    }
}

#[test]
fn an_authentic_packet_without_content_is_refused() {
    let (initiator, mut responder) = sessions(Some(16), Some(u64::MAX >> 1), Backend::default());
    // The longest form of a number fills the block.
    let mut packet = vec![0xff; 16];
    packet[15] = 0x7f;
    sender(&initiator).cipher.apply(&mut packet, 16).unwrap();
    let tag = sender(&initiator).hmac.as_ref().unwrap().of(&[&packet]);
    packet.extend_from_slice(&tag[..16]);
    assert_eq!(responder.open(&mut packet), Err(OpenError::Malformed));
    let mut packet = vec![0xff; 16];
    sender(&initiator).cipher.apply(&mut packet, 16).unwrap();
    let tag = sender(&initiator).hmac.as_ref().unwrap().of(&[&packet]);
    packet.extend_from_slice(&tag[..16]);
    assert_eq!(responder.open(&mut packet), Err(OpenError::Forged), "a number without an end");
}

#[test]
fn a_sequence_number_is_never_used_twice() {
    let (mut initiator, _) = sessions(Some(16), Some(127), Backend::default());
    assert_eq!(initiator.layout.front_len(), 1);
    assert_eq!(initiator.layout.reserve(10), Room { front: 1, sealed_len: 32, sequence: 127 });
    assert_eq!(initiator.layout.front_len(), 2);
    assert_eq!(initiator.layout.reserve(14), Room { front: 2, sealed_len: 32, sequence: 128 });
    assert_eq!(initiator.layout.reserve(15), Room { front: 2, sealed_len: 48, sequence: 129 });
}
