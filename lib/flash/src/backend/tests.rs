#[cfg(all(feature = "openssl", feature = "rustcrypto"))]
mod differential;

use super::*;
use crate::fingerprint::unhex;

#[test]
fn hmac_is_that_of_rfc_4231() {
    let long_key = [0xaa; 131];
    for (key, data, expected) in [
        (
            &[0x0b; 20][..],
            &b"Hi There"[..],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &long_key,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ] {
        for backend in Backend::ALL {
            let hmac = backend.library().hmac(key);
            assert_eq!(hmac.of(&[data])[..], unhex(expected), "{backend:?}");
            let (head, tail) = data.split_at(5);
            assert_eq!(hmac.of(&[head, b"", tail])[..], unhex(expected), "a second time, in parts");
            assert_eq!(backend.library().hmac_once(key, &[head, tail])[..], unhex(expected), "{backend:?}");
        }
    }
}

#[test]
fn hashes_are_those_of_fips_180() {
    for (text, expected) in [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        for backend in Backend::ALL {
            assert_eq!(backend.library().sha256(text.as_bytes())[..], unhex(expected), "{backend:?}");
        }
    }
}

#[test]
fn cbc_is_that_of_nist_for_all_amounts_of_room_behind() {
    // NIST SP 800-38A F.2.1 with its initialization vector added to the first block.
    let key = unhex("2b7e151628aed2a6abf7158809cf4f3c").try_into().unwrap();
    let plain = unhex(
        "6bc0bce12a459991e134741a7f9e1925ae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef",
    );
    let sealed = unhex(
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b273bed6b8e3c1743b7116e69e22229516",
    );
    for backend in Backend::ALL {
        let mut encryptor = backend.library().encryptor(&key).unwrap();
        let mut decryptor = backend.library().decryptor(&key).unwrap();
        for len in [48, 32, 16, 0] {
            for room in [0, 1, 15, 16, 17, 100] {
                let mut data = plain[..len].to_vec();
                data.resize(len + room, 0xee);
                encryptor.apply(&mut data, len).unwrap();
                assert_eq!(data[..len], sealed[..len], "{backend:?}");
                assert!(data[len..].iter().all(|byte| *byte == 0xee));
                decryptor.apply(&mut data, len).unwrap();
                assert_eq!(data[..len], plain[..len], "{backend:?}");
                assert!(data[len..].iter().all(|byte| *byte == 0xee));
            }
        }
    }
}

#[test]
fn powers_have_no_leading_zeros() {
    for group in [Group::Modp1024, Group::Modp1536, Group::Modp2048, Group::Modp4096] {
        for backend in Backend::ALL {
            let power = |base: &[u8], exponent: &[u8]| {
                backend.library().power(group, base, exponent).unwrap().to_vec()
            };
            assert_eq!(power(&[2], &[8]), [1, 0], "{backend:?}");
            assert_eq!(power(&[2], &[7]), [128]);
            assert_eq!(power(&[0, 0, 3], &[0, 5]), [243]);
            assert_eq!(power(&[&[0; 600][..], &[3]].concat(), &[0; 60]), [1]);
            assert_eq!(power(group.prime(), &[1]), [] as [u8; 0]);
            // The square of -1.
            let mut base = group.prime().to_vec();
            *base.last_mut().unwrap() -= 1;
            assert_eq!(power(&base, &[2]), [1]);
            assert_eq!(power(&base, &[3]), base);
        }
    }
}

#[test]
fn the_default_is_the_first_backend() {
    assert_eq!(Backend::default(), Backend::ALL[0]);
    #[cfg(feature = "openssl")]
    assert_eq!(Backend::default(), Backend::OpenSsl);
}
