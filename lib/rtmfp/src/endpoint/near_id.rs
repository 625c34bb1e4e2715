//! Session ids as they are on the wire (RFC 7016 section 2.1).

use super::randomness::Randomness;
use crate::SessionId;

/// Bits of a session id that hold the index of the session; the others hold a part of its generation.
const INDEX_BITS: u32 = 20;
/// Sessions that can be told apart.
pub(crate) const MAX_SESSIONS: usize = 1 << INDEX_BITS;

/// A secret permutation of the 32-bit numbers: an id leads to its session without a search, and yet can't be
/// guessed.
#[derive(Debug)]
pub(crate) struct NearIds {
    keys: [u64; 4],
}

impl NearIds {
    pub(crate) fn new(randomness: &mut Randomness) -> Self {
        Self { keys: core::array::from_fn(|_| u64::from_be_bytes(randomness.bytes())) }
    }

    /// The id on the wire; 0, that names the startup session, is `None`.
    pub(crate) fn encode(&self, id: SessionId) -> Option<u32> {
        let plain = id.generation() << INDEX_BITS | id.index();
        let mut halves = ((plain >> 16) as u16, plain as u16);
        for key in self.keys {
            halves = (halves.1, halves.0 ^ round(key, halves.1));
        }
        let id = u32::from(halves.0) << 16 | u32::from(halves.1);
        (id != 0).then_some(id)
    }

    /// The index of the session and the low bits of its generation.
    pub(crate) fn decode(&self, id: u32) -> (u32, u32) {
        let mut halves = ((id >> 16) as u16, id as u16);
        for key in self.keys.into_iter().rev() {
            halves = (halves.1 ^ round(key, halves.0), halves.0);
        }
        let plain = u32::from(halves.0) << 16 | u32::from(halves.1);
        (plain & (MAX_SESSIONS as u32 - 1), plain >> INDEX_BITS)
    }

    /// Whether the generation of a session is the one that an id names.
    pub(crate) fn same_generation(id: SessionId, bits: u32) -> bool {
        id.generation() & (u32::MAX >> INDEX_BITS) == bits
    }
}

fn round(key: u64, half: u16) -> u16 {
    let mut x = key ^ u64::from(half).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    x = (x ^ (x >> 32)).wrapping_mul(key | 1);
    (x >> 48) as u16
}

#[cfg(test)]
mod tests {
    use rtmfp_base::Id;

    use super::*;

    #[test]
    fn every_id_leads_back_and_neighbours_do_not_look_alike() {
        let ids = NearIds::new(&mut Randomness::new([7; 32]));
        let mut last = 0u32;
        let mut close = 0;
        for index in 0..1000 {
            for generation in [0, 1, 4095, 4096] {
                let id = Id::from_parts(index, generation);
                let Some(wire) = ids.encode(id) else { continue };
                let (back, bits) = ids.decode(wire);
                assert_eq!(back, index);
                assert!(NearIds::same_generation(id, bits));
                assert!(!NearIds::same_generation(Id::from_parts(index, generation + 1), bits));
                close += u32::from(wire.abs_diff(last) < 1 << 16);
                last = wire;
            }
        }
        assert!(close < 10, "{close}");
    }

    #[test]
    fn the_id_of_the_startup_session_is_given_to_nobody() {
        for seed in 0..100 {
            let ids = NearIds::new(&mut Randomness::new([seed; 32]));
            let (index, generation) = ids.decode(0);
            assert_eq!(ids.encode(Id::from_parts(index, generation)), None);
            assert!(ids.encode(Id::from_parts(index, generation + 1)).is_some());
        }
    }
}
