//! The messages of the redirector protocol.
//!
//! A registrant opens a flow with [`METADATA`] to the redirector, which opens one in return. Each message is one
//! [`Command`]: a byte that says which, and what belongs to it. Parsing never panics, and its work is linear in the number
//! of bytes.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use rtmfp::wire::{Address, Item, Items, Reader, WireError, vlu, write_option};

/// What a flow of the redirector protocol says about itself: the URI of the protocol's namespace.
pub const METADATA: &[u8] = b"http://zenomt.com/ns/rtmfp#redirector";

/// The exception by which a redirector ends the flow of somebody who did not authenticate, or wrongly.
pub const BAD_AUTH: u64 = 0x0a;

/// The load factor of a target that can take no more clients at all. Redirectors that do not know it take it for the highest
/// load there is.
pub const FULL_LOAD: u64 = u64::MAX;

/// Bytes of an authentication code.
pub const AUTH_LEN: usize = 32;

mod kind {
    pub(super) const DRAINING: u8 = 0x00;
    pub(super) const SETTINGS: u8 = 0x05;
    pub(super) const REFLEXIVE: u8 = 0x0d;
    pub(super) const LOAD: u8 = 0x0f;
    pub(super) const USER_DATA: u8 = 0x10;
    pub(super) const AUTH: u8 = 0x1d;
}

mod option {
    pub(super) const ADDRESS: u64 = 0x0a;
    pub(super) const REFLEXIVE: u64 = 0x0d;
}

/// Whether a flow with this metadata is one of the redirector protocol: the bytes of [`METADATA`], alone or followed by a
/// zero and options, of which none is defined.
pub fn is_metadata(metadata: &[u8]) -> bool {
    metadata.strip_prefix(METADATA).is_some_and(|options| options.first().is_none_or(|&byte| byte == 0))
}

/// A message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// To the redirector: who registers, and that it knows the password.
    Auth {
        /// The keyed hash of the redirector's session nonce, its key the password.
        code: &'a [u8; AUTH_LEN],
        /// The user's name.
        user: &'a [u8],
    },
    /// To the redirector: clients are welcome, and where. Replaces all settings before. [`Settings::parse`] reads it.
    Settings(&'a [u8]),
    /// To the redirector: no new clients.
    Draining,
    /// To the redirector: how loaded the target is. More is more; the unit is the targets' matter.
    LoadFactor(u64),
    /// Either way: anything.
    UserData(&'a [u8]),
    /// From the redirector: where it sees the target.
    Reflexive(Address),
}

impl<'a> Command<'a> {
    /// Reads a message. `None`: it is empty, of an unknown kind, or an authentication too short to be one, and is to be
    /// ignored.
    ///
    /// # Errors
    /// When it is malformed: whoever sent it breaks the protocol.
    pub fn parse(message: &'a [u8]) -> Result<Option<Self>, WireError> {
        let Some((&kind, payload)) = message.split_first() else { return Ok(None) };
        let mut bytes = Reader::new(payload);
        Ok(Some(match kind {
            kind::AUTH => match payload.split_first_chunk() {
                Some((code, user)) => Self::Auth { code, user },
                None => return Ok(None),
            },
            kind::SETTINGS => Self::Settings(payload),
            kind::DRAINING => Self::Draining,
            kind::LOAD => Self::LoadFactor(bytes.vlu()?),
            kind::USER_DATA => Self::UserData(payload),
            kind::REFLEXIVE => Self::Reflexive(Address::read(&mut bytes)?),
            _ => return Ok(None),
        }))
    }

    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match *self {
            Self::Auth { code, user } => {
                out.push(kind::AUTH);
                out.extend_from_slice(code);
                out.extend_from_slice(user);
            }
            Self::Settings(options) => {
                out.push(kind::SETTINGS);
                out.extend_from_slice(options);
            }
            Self::Draining => out.push(kind::DRAINING),
            Self::LoadFactor(load) => {
                out.push(kind::LOAD);
                vlu::write(load, &mut out);
            }
            Self::UserData(data) => {
                out.push(kind::USER_DATA);
                out.extend_from_slice(data);
            }
            Self::Reflexive(address) => {
                out.push(kind::REFLEXIVE);
                address.write(&mut out);
            }
        }
        out
    }
}

/// Where a target wants its clients sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// To the address at which the redirector sees it.
    pub reflexive: bool,
    /// To these addresses too, in this order.
    pub addresses: Vec<Address>,
}

impl Settings {
    /// Reads the options of [`Command::Settings`], of which at most so many addresses are kept. Answers how many were not.
    /// Markers, options of unknown kinds and bytes behind an address are ignored.
    ///
    /// # Errors
    /// When an option or an address is malformed.
    pub fn parse(options: &[u8], max_addresses: usize) -> Result<(Self, usize), WireError> {
        let mut settings = Self::default();
        let mut beyond: usize = 0;
        for item in Items::new(options) {
            match item? {
                Item::Option { kind: option::REFLEXIVE, .. } => settings.reflexive = true,
                Item::Option { kind: option::ADDRESS, value } => {
                    let address = Address::read(&mut Reader::new(value))?;
                    if settings.addresses.len() < max_addresses {
                        settings.addresses.push(address);
                    } else {
                        beyond = beyond.saturating_add(1);
                    }
                }
                Item::Option { .. } | Item::Marker => {}
            }
        }
        Ok((settings, beyond))
    }

    /// The options for [`Command::Settings`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.reflexive {
            write_option(option::REFLEXIVE, &[], &mut out);
        }
        for address in &self.addresses {
            let mut value = Vec::new();
            address.write(&mut value);
            write_option(option::ADDRESS, &value, &mut out);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtmfp::wire::Origin;

    use super::*;

    fn address(origin: Origin, addr: &str) -> Address {
        Address { origin, addr: addr.parse().unwrap() }
    }

    #[test]
    fn messages_are_the_bytes_that_others_send() {
        let more = address(Origin::Reported, "192.0.2.5:1936");
        let settings = Settings { reflexive: true, addresses: vec![more] };
        let options = settings.encode();
        let bytes = [0x05, 0x01, 0x0d, 0x08, 0x0a, 0x01, 192, 0, 2, 5, 0x07, 0x90];
        assert_eq!(Command::Settings(&options).encode(), bytes);
        assert_eq!(Command::parse(&bytes), Ok(Some(Command::Settings(&bytes[1..]))));
        assert_eq!(Settings::parse(&bytes[1..], 8), Ok((settings, 0)));

        let seen = Command::Reflexive(address(Origin::Unknown, "127.0.0.1:60809"));
        for (command, bytes) in [
            (Command::LoadFactor(300), &[0x0f, 0x82, 0x2c][..]),
            (Command::Draining, &[0x00]),
            (Command::UserData(b"hi"), b"\x10hi"),
            (seen, &[0x0d, 0x00, 127, 0, 0, 1, 0xed, 0x89]),
        ] {
            assert_eq!(command.encode(), bytes);
            assert_eq!(Command::parse(bytes), Ok(Some(command)));
        }
        let code = [7; AUTH_LEN];
        let auth = Command::Auth { code: &code, user: b"relay" }.encode();
        assert_eq!(auth, [&[0x1d][..], &code, b"relay"].concat());
        assert_eq!(Command::parse(&auth), Ok(Some(Command::Auth { code: &code, user: b"relay" })));
    }

    #[test]
    fn what_is_empty_unknown_or_too_short_for_an_authentication_is_ignored() {
        let short = [&[0x1d][..], &[0; 31]].concat();
        for ignored in [&[][..], &[0x77, 1, 2], &short] {
            assert_eq!(Command::parse(ignored), Ok(None), "{ignored:?}");
        }
        // Unknown options, markers, and bytes behind an address.
        let options = [0x02, 0x63, 0x01, 0x00, 0x09, 0x0a, 0x01, 192, 0, 2, 5, 0x07, 0x90, 0xff];
        let one = Settings { reflexive: false, addresses: vec![address(Origin::Reported, "192.0.2.5:1936")] };
        assert_eq!(Settings::parse(&options, 8), Ok((one, 0)));
        // Bytes behind a reflexive address.
        let seen = Command::Reflexive(address(Origin::Observed, "127.0.0.1:1"));
        assert_eq!(Command::parse(&[0x0d, 2, 127, 0, 0, 1, 0, 1, 9, 9]), Ok(Some(seen)));
    }

    #[test]
    fn what_is_malformed_is_an_error() {
        for bad in [&[0x0f][..], &[0x0f, 0x80], &[0x0d, 0, 1, 2, 3]] {
            assert!(Command::parse(bad).is_err(), "{bad:?}");
        }
        for bad in [&[0x05, 0x0a][..], &[0x03, 0x0a, 0x01, 0x02]] {
            assert!(Settings::parse(bad, 8).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_beyond_the_limit_are_counted_and_dropped() {
        let addresses: Vec<Address> = (1..=20)
            .map(|port| Address { origin: Origin::Reported, addr: ([192, 0, 2, 1], port).into() })
            .collect();
        let options = Settings { reflexive: false, addresses: addresses.clone() }.encode();
        let kept = Settings { reflexive: false, addresses: addresses[..16].to_vec() };
        assert_eq!(Settings::parse(&options, 16), Ok((kept, 4)));
    }

    #[test]
    fn metadata_may_have_options_behind_a_zero() {
        assert_eq!(METADATA.len(), 37);
        assert!(is_metadata(METADATA));
        assert!(is_metadata(&[METADATA, b"\0\x02\x01\x01"].concat()));
        for other in [&METADATA[..36], &[METADATA, b"s"].concat(), b"", b"TC\x04\x00"] {
            assert!(!is_metadata(other), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed_and_what_parses_is_written_back(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(command)) = Command::parse(&bytes) {
                let again = command.encode();
                prop_assert_eq!(Command::parse(&again), Ok(Some(command)));
            }
            if let Ok((settings, _)) = Settings::parse(&bytes, 16) {
                prop_assert_eq!(Settings::parse(&settings.encode(), 16), Ok((settings, 0)));
            }
        }
    }
}
