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
        let hmac = Hmac::new(key);
        assert_eq!(hmac.of(&[data])[..], unhex(expected));
        let (head, tail) = data.split_at(5);
        assert_eq!(hmac.of(&[head, b"", tail])[..], unhex(expected), "a second time, in parts");
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
    let (mut encryptor, mut decryptor) = (Encryptor::new(&key).unwrap(), Decryptor::new(&key).unwrap());
    for len in [48, 32, 16, 0] {
        for room in [0, 1, 15, 16, 17, 100] {
            let mut data = plain[..len].to_vec();
            data.resize(len + room, 0xee);
            encryptor.apply(&mut data, len).unwrap();
            assert_eq!(data[..len], sealed[..len]);
            assert!(data[len..].iter().all(|byte| *byte == 0xee));
            decryptor.apply(&mut data, len).unwrap();
            assert_eq!(data[..len], plain[..len]);
            assert!(data[len..].iter().all(|byte| *byte == 0xee));
        }
    }
}

#[test]
fn powers_have_no_leading_zeros() {
    let power =
        |base: &[u8], exponent: &[u8], modulus: &[u8]| mod_exp(base, exponent, modulus).unwrap().to_vec();
    assert_eq!(power(&[2], &[8], &[1, 1]), [1, 0]);
    assert_eq!(power(&[2], &[7], &[1, 1]), [128]);
    assert_eq!(power(&[0, 0, 3], &[0, 5], &[0, 0x27, 0x11]), [243]);
    assert_eq!(power(&[5], &[1], &[5]), [] as [u8; 0]);
}

#[test]
fn comparing_tells_equal_from_different() {
    assert!(equal(b"", b"") && equal(b"abc", b"abc"));
    assert!(!equal(b"abc", b"abd") && !equal(b"abc", b"ab"));
}
