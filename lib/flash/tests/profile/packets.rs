use std::sync::{LazyLock, Mutex};

use proptest::prelude::*;
use rtmfp::crypto::{DEFAULT_KEY, KeyId, OpenError, Profile, Room, Sealing};
use rtmfp_flash::{Group, Policy};

use crate::{End, connect, ephemeral, profile};

fn pair(policy: Policy) -> (End, End) {
    let end = |seed| profile(ephemeral(&[Group::Modp1024]), policy, seed);
    connect(end(1), end(2), 3).unwrap()
}

/// All ways of protection.
pub(crate) static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let all = Policy::default();
    let mut policies = vec![all.allow_no_hmac(), all.allow_no_hmac().allow_no_sequence_numbers()];
    for hmac_length in [4, 10, 16, 32] {
        policies.push(Policy { hmac_length, ..all });
        policies.push(Policy { hmac_length, ..all.allow_no_sequence_numbers() });
    }
    policies
});

#[test]
fn packets_of_all_lengths_come_through_in_all_modes() {
    for policy in POLICIES.iter() {
        let (mut client, mut server) = pair(*policy);
        let packet: Vec<u8> = (0..1300).map(|at| (at * 7) as u8).collect();
        for len in 1..=packet.len() {
            let sealed = client.seal(&packet[..len]);
            let clear = server.open(&sealed).unwrap();
            assert_eq!(clear[..len], packet[..len]);
            assert!(clear[len..].iter().all(|byte| *byte == 0xff) && clear.len() < len + 16);
        }
    }
}

#[test]
fn any_damage_is_noticed() {
    for policy in POLICIES.iter() {
        let (mut client, mut server) = pair(*policy);
        let sealed = client.seal(b"hello");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(server.open(&damaged), Err(OpenError::Forged), "bit {bit}, {policy:?}");
        }
        assert!(server.open(&sealed).is_ok(), "damaged packets leave no trace");
    }
}

#[test]
fn packets_are_not_opened_twice_nor_by_their_sender() {
    for policy in POLICIES.iter() {
        let (mut client, mut server) = pair(*policy);
        let sealed = client.seal(b"hello");
        assert_eq!(client.open(&sealed), Err(OpenError::Forged));
        assert!(server.open(&sealed).is_ok());
        let again = server.open(&sealed);
        assert_eq!(again.err(), server.info().sequenced.then_some(OpenError::Replayed));
    }
}

#[test]
fn packets_may_overtake_each_other() {
    let (mut client, mut server) = pair(Policy::default());
    let packets: Vec<_> = (0..1200_u32).map(|number| client.seal(&number.to_be_bytes())).collect();
    for (number, packet) in packets.iter().enumerate().rev() {
        let expected = if number >= 1200 - 1024 { Ok(()) } else { Err(OpenError::Replayed) };
        assert_eq!(server.open(packet).map(drop), expected, "{number}");
    }
}

#[test]
fn unknown_keys_seal_zeros_and_open_nothing() {
    let (mut client, mut server) = pair(Policy::default());
    let sealed = client.seal(b"hello");
    server.profile.remove(server.key);
    server.profile.remove(server.key);
    assert_eq!(server.open(&sealed), Err(OpenError::UnknownKey));
    assert_eq!(server.profile.key_info(server.key), None);
    assert_eq!(server.seal(b"hello"), [0; 5]);
    server.profile.remove(DEFAULT_KEY);
    assert!(server.profile.key_info(DEFAULT_KEY).is_some());
}

#[test]
fn sealings_that_make_no_sense_change_no_other_bytes() {
    let (mut client, _) = pair(Policy::default());
    let key = client.key;
    let room = client.profile.reserve(key, 40);
    for (start, sealed_len, clear_len, zeros) in [
        (usize::MAX, room.sealed_len, 40, 0),
        (100, room.sealed_len, 40, 0),
        (90, room.sealed_len, 40, 10),
        (10, room.sealed_len, 80, room.sealed_len),
        (10, room.sealed_len, usize::MAX, room.sealed_len),
        (10, usize::MAX, 40, 90),
        (10, 17, 40, 17),
    ] {
        let mut buffer = [0xee; 100];
        let room = Room { sealed_len, ..room };
        client.profile.seal(&mut buffer, &mut [Sealing { key, room, clear_len, start }]);
        let end = start.min(100);
        assert!(buffer[..end].iter().all(|byte| *byte == 0xee));
        assert!(buffer[end..].iter().take(zeros).all(|byte| *byte == 0));
        assert!(buffer[end..].iter().skip(zeros).all(|byte| *byte == 0xee), "{start} {sealed_len}");
    }
}

#[test]
fn a_batch_of_several_sessions_is_sealed_in_one_buffer_in_any_order() {
    // One profile with a session for each policy; the far ends have one session each.
    let mut near = profile(ephemeral(&[Group::Modp1024]), Policy::legacy(), 1);
    let mut far: Vec<(KeyId, End)> = Vec::new();
    for (seed, policy) in POLICIES.iter().enumerate() {
        let mut server = profile(ephemeral(&[Group::Modp1024]), *policy, 100 + seed as u64);
        let mut random = crate::random(seed as u64);
        let offer = near.initiate(server.certificate(), &mut random).unwrap()().unwrap();
        let answer = server
            .respond(
                offer.certificate.as_deref().unwrap_or_else(|| near.certificate()),
                &offer.component,
                &mut random,
            )
            .unwrap()()
        .unwrap();
        let keys = near.conclude(&offer.secret, &answer.component)().unwrap();
        let (key, at_server) = (near.install(keys), server.install(answer.keys));
        far.push((key, End { profile: server, key: at_server }));
    }
    let (mut buffer, mut sealings) = (Vec::new(), Vec::new());
    for number in 0..64_usize {
        let (key, _) = far[number % far.len()];
        let clear = vec![number as u8; 1 + 37 * number % 1200];
        let room = near.reserve(key, clear.len());
        let start = buffer.len();
        buffer.resize(start + room.sealed_len, 0xee);
        buffer[start + room.front..start + room.front + clear.len()].copy_from_slice(&clear);
        sealings.push(Sealing { key, room, clear_len: clear.len(), start });
    }
    sealings.reverse();
    near.seal(&mut buffer, &mut sealings);
    for (number, sealing) in (0..64_u8).rev().zip(&sealings) {
        let (_, end) = far.iter_mut().find(|(key, _)| *key == sealing.key).unwrap();
        let clear = end.open(&buffer[sealing.start..sealing.start + sealing.room.sealed_len]).unwrap();
        assert!(clear[..sealing.clear_len].iter().all(|byte| *byte == number));
    }
}

/// A receiver for each way of protection.
static ENDS: LazyLock<Mutex<Vec<End>>> =
    LazyLock::new(|| Mutex::new(POLICIES.iter().map(|policy| pair(*policy).0).collect()));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_packet_makes_opening_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), whole_blocks: bool) {
        let len = if whole_blocks { bytes.len() / 16 * 16 } else { bytes.len() };
        for end in ENDS.lock().unwrap().iter_mut() {
            let _ = end.open(&bytes[..len]);
            let _ = end.profile.open(DEFAULT_KEY, &mut bytes[..len].to_vec());
        }
    }
}
