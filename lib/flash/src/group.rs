#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use core::fmt;

/// A Diffie-Hellman group over a prime field ("MODP"). The generator is 2 in all of them.
///
/// Listed from the weakest to the strongest, and ordered so.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Group {
    /// Group 2, 1024 bits (RFC 2409 section 6.2): all that the installed base of Flash can do. It is within reach
    /// of a strong attacker.
    Modp1024,
    /// Group 5, 1536 bits (RFC 3526 section 2).
    Modp1536,
    /// Group 14, 2048 bits (RFC 3526 section 3).
    Modp2048,
    /// Group 16, 4096 bits (RFC 3526 section 5).
    Modp4096,
}

impl Group {
    /// What is offered unless configured otherwise, in order of preference.
    pub const DEFAULT: [Self; 3] = [Self::Modp4096, Self::Modp2048, Self::Modp1024];

    /// The number in certificates and keying components.
    pub const fn id(self) -> u64 {
        match self {
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048 => 14,
            Self::Modp4096 => 16,
        }
    }

    /// The group with a number.
    pub const fn from_id(id: u64) -> Option<Self> {
        match id {
            2 => Some(Self::Modp1024),
            5 => Some(Self::Modp1536),
            14 => Some(Self::Modp2048),
            16 => Some(Self::Modp4096),
            _ => None,
        }
    }

    /// Length of private exponents in bytes: about twice the strength of the group, more would only cost time.
    pub const fn exponent_len(self) -> usize {
        match self {
            Self::Modp1024 => 28,
            Self::Modp1536 => 30,
            Self::Modp2048 => 40,
            Self::Modp4096 => 60,
        }
    }

    /// The prime modulus, most significant byte first.
    pub const fn prime(self) -> &'static [u8] {
        match self {
            Self::Modp1024 => &MODP_1024,
            Self::Modp1536 => &MODP_1536,
            Self::Modp2048 => &MODP_2048,
            Self::Modp4096 => &MODP_4096,
        }
    }

    /// Whether a far public key may be used (RFC 7425 section 4.6.2): it is neither close to zero nor to the
    /// prime, and has at least 16 bits of either value. Leading zeros don't count.
    pub fn accepts(self, public_key: &[u8]) -> bool {
        let key = minimal(public_key);
        let Some(first) = key.first() else { return false };
        let ones: u32 = key.iter().map(|byte| byte.count_ones()).sum();
        let zeros: u32 = key.iter().map(|byte| byte.count_zeros()).sum();
        // So many bits make it larger than 2²⁴, too.
        ones >= 16 && zeros.saturating_sub(first.leading_zeros()) >= 16 && self.is_far_below_prime(key)
    }

    /// Whether a number without leading zeros is at most the prime less 2²⁴.
    fn is_far_below_prime(self, key: &[u8]) -> bool {
        let prime = self.prime();
        if key.len() != prime.len() {
            return key.len() < prime.len();
        }
        let (Some((head, tail)), Some((key_head, key_tail))) =
            (prime.split_last_chunk(), key.split_last_chunk())
        else {
            return false;
        };
        // The last 8 bytes of all primes are ff, so that subtracting borrows nothing from the head.
        let most = u32::from_be_bytes(*tail).saturating_sub(1 << 24);
        (key_head, u32::from_be_bytes(*key_tail)) <= (head, most)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id())
    }
}

/// A number without leading zero bytes.
pub(crate) fn minimal(number: &[u8]) -> &[u8] {
    let mut rest = number;
    while let [0, behind @ ..] = rest {
        rest = behind;
    }
    rest
}

#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "the compiler runs it")]
const fn number<const N: usize>(hex: &str) -> [u8; N] {
    const fn digit(byte: u8) -> u8 {
        if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 }
    }
    let hex = hex.as_bytes();
    assert!(hex.len() == 2 * N);
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = digit(hex[2 * at]) << 4 | digit(hex[2 * at + 1]);
        at += 1;
    }
    bytes
}

const MODP_1024: [u8; 128] = number(concat!(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed",
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece65381ffffffffffffffff",
));
const MODP_1536: [u8; 192] = number(concat!(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed",
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f",
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca237327ffffffffffffffff",
));
const MODP_2048: [u8; 256] = number(concat!(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed",
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f",
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b",
    "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510",
    "15728e5a8aacaa68ffffffffffffffff",
));
const MODP_4096: [u8; 512] = number(concat!(
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404dd",
    "ef9519b3cd3a431b302b0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7ed",
    "ee386bfb5a899fa5ae9f24117c4b1fe649286651ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f",
    "83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc9804f1746c08ca18217c32905e462e36ce3b",
    "e39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae515d2261898fa0510",
    "15728e5a8aaac42dad33170d04507a33a85521abdf1cba64ecfb850458dbef0a8aea71575d060c7db3970f85a6e1e4c7",
    "abf5ae8cdb0933d71e8c94e04a25619dcee3d2261ad2ee6bf12ffa06d98a0864d87602733ec86a64521f2b18177b200c",
    "bbe117577a615d6c770988c0bad946e208e24fa074e5ab3143db5bfce0fd108e4b82d120a92108011a723c12a787e6d7",
    "88719a10bdba5b2699c327186af4e23c1a946834b6150bda2583e9ca2ad44ce8dbbbc2db04de8ef92e8efc141fbecaa6",
    "287c59474e6bc05d99b2964fa090c3a2233ba186515be7ed1f612970cee2d7afb81bdd762170481cd0069127d5b05aa9",
    "93b4ea988d8fddc186ffb7dc90a6c08f4df435c934063199ffffffffffffffff",
));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::unhex;

    const ALL: [Group; 4] = [Group::Modp1024, Group::Modp1536, Group::Modp2048, Group::Modp4096];

    /// The prime plus a small number.
    fn prime_plus(group: Group, difference: i64) -> Vec<u8> {
        let mut number = group.prime().to_vec();
        let at = number.len() - 8;
        let tail = u64::from_be_bytes(number[at..].try_into().unwrap());
        number[at..].copy_from_slice(&tail.checked_add_signed(difference).unwrap().to_be_bytes());
        number
    }

    #[test]
    fn groups_are_found_by_their_number() {
        for group in ALL {
            assert_eq!(Group::from_id(group.id()), Some(group));
            assert_eq!(group.prime().len() % 64, 0);
        }
        assert_eq!(Group::from_id(1), None);
        assert_eq!(Group::from_id(u64::MAX), None);
    }

    #[cfg(any(feature = "openssl", feature = "rustcrypto"))]
    #[test]
    fn the_primes_are_those_of_the_rfcs() {
        for (group, hash) in [
            (Group::Modp1024, "3f35a3f5f6c4376a744acad409bb22f8d897f949d2311d885adaa890981b67a0"),
            (Group::Modp1536, "64fcc83ec403930bf18393dbc883ccaa1fbb08ac876f77f7aa99748ca945019b"),
            (Group::Modp2048, "d66436f79bbd6b2e38c0ffbd079be904d2641415e2e67140e09448be9a60890e"),
            (Group::Modp4096, "4ee95187682bcb230ad26a95205f6920e84708f6251b3894329b09ec23919e33"),
        ] {
            assert_eq!(
                crate::Backend::default().library().sha256(group.prime())[..],
                unhex(hash),
                "{group:?}"
            );
        }
    }

    #[test]
    fn keys_close_to_zero_or_to_the_prime_are_refused() {
        for group in ALL {
            assert!(!group.accepts(&[]));
            assert!(!group.accepts(&[0; 200]));
            assert!(!group.accepts(&unhex("ffffff")));
            assert!(!group.accepts(&prime_plus(group, -(1 << 24) + 1)));
            assert!(!group.accepts(&prime_plus(group, -1)));
            assert!(!group.accepts(group.prime()));
            assert!(!group.accepts(&vec![0xf0; group.prime().len() + 1]));
            assert!(group.accepts(&prime_plus(group, -(1 << 24))));
            assert!(group.accepts(&prime_plus(group, -(1 << 24) - 1)));
        }
    }

    #[test]
    fn keys_need_16_bits_of_either_value_below_the_leading_one() {
        let group = Group::Modp1024;
        for (hex, good) in [
            ("ffff0000", true),
            ("00000000ffff0000", true),
            ("fffe0000", false),
            ("ffff8000", false),
            ("01fffe8000", true),
            ("017fff0000", true),
            ("7fff0000", false),
            ("1fffe0000f", true),
            ("ffff00ff", false),
        ] {
            assert_eq!(group.accepts(&unhex(hex)), good, "{hex}");
        }
    }
}
