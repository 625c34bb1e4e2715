//! Both backends answer the same.

use proptest::prelude::*;

use super::*;

const GROUPS: [Group; 4] = [Group::Modp1024, Group::Modp1536, Group::Modp2048, Group::Modp4096];

const MAX_EXPONENT: usize = 64;

/// The backends, as a pair.
fn both() -> [&'static dyn Library; 2] {
    [Backend::OpenSsl.library(), Backend::RustCrypto.library()]
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..=max)
}

/// Whole blocks and what lies behind them.
fn packets() -> impl Strategy<Value = (Vec<u8>, usize)> {
    (0_usize..100, 0_usize..40).prop_flat_map(|(blocks, room)| {
        let len = BLOCK * blocks;
        (prop::collection::vec(any::<u8>(), len + room), Just(len))
    })
}

proptest! {
    #[test]
    fn hashes_are_equal(bytes in bytes(300)) {
        let [a, b] = both();
        prop_assert_eq!(a.sha256(&bytes), b.sha256(&bytes));
    }

    #[test]
    fn hmacs_are_equal(key in bytes(200), parts in prop::collection::vec(bytes(150), 0..4)) {
        let [a, b] = both();
        let parts: Vec<_> = parts.iter().map(|part| &part[..]).collect();
        let expected = a.hmac(&key).of(&parts);
        prop_assert_eq!(b.hmac(&key).of(&parts), expected);
        prop_assert_eq!(a.hmac_once(&key, &parts), expected);
        prop_assert_eq!(b.hmac_once(&key, &parts), expected);
    }

    #[test]
    fn what_one_encrypts_the_other_encrypts_alike_and_decrypts(key: [u8; BLOCK], (plain, len) in packets()) {
        for [a, b] in [both(), { let [a, b] = both(); [b, a] }] {
            let mut encrypted = plain.clone();
            a.encryptor(&key).unwrap().apply(&mut encrypted, len).unwrap();
            let mut by_other = plain.clone();
            b.encryptor(&key).unwrap().apply(&mut by_other, len).unwrap();
            prop_assert_eq!(&by_other, &encrypted);
            b.decryptor(&key).unwrap().apply(&mut encrypted, len).unwrap();
            prop_assert_eq!(&encrypted, &plain);
        }
    }

    #[test]
    fn what_was_never_encrypted_is_decrypted_alike(key: [u8; BLOCK], (sealed, len) in packets()) {
        let [a, b] = both().map(|library| {
            let mut data = sealed.clone();
            library.decryptor(&key).unwrap().apply(&mut data, len).unwrap();
            data
        });
        prop_assert_eq!(a, b);
    }
}

proptest! {
    // Exponentiations take milliseconds.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn powers_are_equal_in_all_groups_whatever_zeros_numbers_begin_with(
        base in prop::collection::vec(any::<u8>(), 512),
        base_zeros in 0_usize..600,
        exponent in prop::collection::vec(any::<u8>(), MAX_EXPONENT),
        exponent_zeros in prop_oneof![Just(0), 0..MAX_EXPONENT],
    ) {
        let [a, b] = both();
        for group in GROUPS {
            let mut base = base[..group.prime().len()].to_vec();
            let zeros = base_zeros.min(base.len());
            base[..zeros].fill(0);
            let mut exponent = exponent[..group.exponent_len()].to_vec();
            let zeros = exponent_zeros.min(exponent.len());
            exponent[..zeros].fill(0);
            let power = a.power(group, &base, &exponent).unwrap();
            prop_assert_ne!(power.first(), Some(&0));
            prop_assert_eq!(b.power(group, &base, &exponent).unwrap(), power);
        }
    }

    #[test]
    fn small_powers_of_small_numbers_are_equal_in_all_groups(base: u16, exponent: u8) {
        let [a, b] = both();
        for group in GROUPS {
            let power = a.power(group, &base.to_be_bytes(), &[0, exponent]).unwrap();
            prop_assert_ne!(power.first(), Some(&0));
            prop_assert_eq!(b.power(group, &base.to_be_bytes(), &[0, exponent]).unwrap(), power);
        }
    }
}
