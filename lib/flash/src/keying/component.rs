//! Session keying components (RFC 7425 section 4.5).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use rtmfp::crypto::KeyingError;
use rtmfp::wire::{Item, Items, Reader, WireError, write_option};

use super::negotiation::FarWishes;
use crate::Group;
use crate::certificate::{split_group, with_group};

mod kind {
    pub(super) const EPHEMERAL_KEY: u64 = 0x0d;
    pub(super) const EXTRA_RANDOMNESS: u64 = 0x0e;
    pub(super) const HMAC: u64 = 0x1a;
    pub(super) const GROUP_SELECT: u64 = 0x1d;
    pub(super) const SEQUENCE: u64 = 0x1e;
}

/// Extra randomness of a component, and of a certificate: as long as a block of the hash (RFC 7425 section
/// 4.5.2.2).
pub(crate) const RANDOMNESS: usize = 64;

/// The far end's component. Extra randomness needs no reading, as keys are derived from the whole component.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Component<'a> {
    /// Group id and ephemeral public key.
    pub(crate) ephemeral_key: Option<(u64, &'a [u8])>,
    /// Id of the group of the static key.
    pub(crate) group_select: Option<u64>,
    pub(crate) wishes: FarWishes,
}

impl<'a> Component<'a> {
    /// Reads what lies before the first marker. The first option of a kind counts.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, KeyingError> {
        Self::read(bytes).map_err(|_| KeyingError::BadComponent("an option is malformed"))
    }

    fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut component = Self::default();
        let (mut hmac, mut sequence) = (None, None);
        for item in Items::new(bytes) {
            match item? {
                Item::Marker => break,
                Item::Option { kind: kind::EPHEMERAL_KEY, value } => {
                    let key = split_group(value)?;
                    component.ephemeral_key.get_or_insert(key);
                }
                Item::Option { kind: kind::GROUP_SELECT, value } => {
                    let (group, _) = split_group(value)?;
                    component.group_select.get_or_insert(group);
                }
                Item::Option { kind: kind::HMAC, value } => {
                    let mut value = Reader::new(value);
                    hmac.get_or_insert((value.u8()?, value.vlu()?));
                }
                Item::Option { kind: kind::SEQUENCE, value } => {
                    sequence.get_or_insert(Reader::new(value).u8()?);
                }
                Item::Option { .. } => {}
            }
        }
        let (hmac_flags, hmac_length) = hmac.unwrap_or_default();
        component.wishes =
            FarWishes { hmac_flags, hmac_length, sequence_flags: sequence.unwrap_or_default() };
        Ok(component)
    }
}

/// The near end's component in the making.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn ephemeral_key(&mut self, group: Group, key: &[u8]) {
        write_option(kind::EPHEMERAL_KEY, &with_group(group, key), &mut self.0);
    }

    pub(crate) fn extra_randomness(&mut self, bytes: &[u8]) {
        write_option(kind::EXTRA_RANDOMNESS, bytes, &mut self.0);
    }

    pub(crate) fn group_select(&mut self, group: Group) {
        write_option(kind::GROUP_SELECT, &with_group(group, &[]), &mut self.0);
    }

    pub(crate) fn hmac(&mut self, flags: u8, length: u8) {
        write_option(kind::HMAC, &[flags, length], &mut self.0);
    }

    pub(crate) fn sequence(&mut self, flags: u8) {
        write_option(kind::SEQUENCE, &[flags], &mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fingerprint::unhex;

    #[test]
    fn components_are_read_in_any_order_up_to_a_marker() {
        let wishes = FarWishes { hmac_flags: 7, hmac_length: 16, sequence_flags: 6 };
        let expected = Component { ephemeral_key: Some((2, &[0xaa, 0xbb])), group_select: None, wishes };
        for hex in
            ["040d02aabb031a0710021e06", "021e06031a0710040d02aabb", "021e06036355ee031a0710040d02aabb00ff"]
        {
            assert_eq!(Component::parse(&unhex(hex)), Ok(expected), "{hex}");
        }
        let bytes = unhex("021d0e021d02031a0220031a0710");
        let parsed = Component::parse(&bytes).unwrap();
        assert_eq!(parsed.group_select, Some(14), "the first counts");
        assert_eq!(parsed.wishes, FarWishes { hmac_flags: 2, hmac_length: 32, sequence_flags: 0 });
        assert_eq!(Component::parse(&[]), Ok(Component::default()));
    }

    #[test]
    fn components_with_cut_off_options_are_refused() {
        for hex in ["010d", "011d", "011a", "021a07", "031a0781", "011e", "021d82", "051e07"] {
            assert!(matches!(Component::parse(&unhex(hex)), Err(KeyingError::BadComponent(_))), "{hex}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in prop::collection::vec(0_u8..0x20, 0..100)) {
            let _ = Component::parse(&bytes);
        }
    }
}
