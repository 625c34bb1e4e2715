#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use rtmfp::wire::{Item, Items, Reader, WireError, vlu, write_option};

use crate::Group;

mod kind {
    pub(super) const HOSTNAME: u64 = 0x00;
    pub(super) const ACCEPTS_ANCILLARY: u64 = 0x0a;
    pub(super) const EXTRA_RANDOMNESS: u64 = 0x0e;
    pub(super) const EPHEMERAL_GROUP: u64 = 0x15;
    pub(super) const STATIC_KEY: u64 = 0x1d;
}

/// A certificate (RFC 7425 section 4.3), borrowed from its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Certificate<'a> {
    canonical: &'a [u8],
    hostname: Option<&'a [u8]>,
    accepts_ancillary: bool,
    is_static: bool,
}

impl<'a> Certificate<'a> {
    /// Reads the bytes. What lies behind the first marker must be well-formed and is ignored, as are options of
    /// unknown types.
    ///
    /// # Errors
    /// When an option is malformed, or when there are no keys or both static and ephemeral ones.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadCertificate> {
        let mut items = Items::new(bytes);
        let mut canonical = bytes;
        let mut certificate = Self { canonical, hostname: None, accepts_ancillary: false, is_static: false };
        let mut is_ephemeral = false;
        loop {
            let unread = items.rest();
            match items.next().transpose()? {
                None => break,
                Some(Item::Marker) => {
                    canonical = bytes.strip_suffix(unread).unwrap_or(bytes);
                    items.try_for_each(|item| item.map(drop))?;
                    break;
                }
                Some(Item::Option { kind: kind::HOSTNAME, value }) => certificate.hostname = Some(value),
                Some(Item::Option { kind: kind::ACCEPTS_ANCILLARY, .. }) => {
                    certificate.accepts_ancillary = true
                }
                Some(Item::Option { kind: kind::EPHEMERAL_GROUP, value }) => {
                    split_group(value)?;
                    is_ephemeral = true;
                }
                Some(Item::Option { kind: kind::STATIC_KEY, value }) => {
                    split_group(value)?;
                    certificate.is_static = true;
                }
                Some(Item::Option { .. }) => {}
            }
        }
        if certificate.is_static == is_ephemeral {
            return Err(BadCertificate::Keys);
        }
        Ok(Self { canonical, ..certificate })
    }

    /// The canonical section: what lies before the first marker (RFC 7425 section 4.3.1).
    pub fn canonical(&self) -> &'a [u8] {
        self.canonical
    }

    /// The hostname.
    pub fn hostname(&self) -> Option<&'a [u8]> {
        self.hostname
    }

    /// Whether the holder accepts discriminators with ancillary data: it is a server.
    pub fn accepts_ancillary(&self) -> bool {
        self.accepts_ancillary
    }

    /// Whether the public keys are static, so that only the holder of the private ones can use the certificate.
    pub fn is_static(&self) -> bool {
        self.is_static
    }

    /// The ids of the groups, in the certificate's order, unknown ones included.
    pub fn group_ids(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.groups().map(|(id, _)| id)
    }

    /// Whether the holder can agree on keys in a group.
    pub fn supports(&self, group: Group) -> bool {
        self.group_ids().any(|id| id == group.id())
    }

    /// The static public key in a group; `None` as well when the keys are ephemeral.
    pub fn static_key(&self, group: Group) -> Option<&'a [u8]> {
        self.is_static.then(|| self.groups().find(|(id, _)| *id == group.id())).flatten().map(|(_, key)| key)
    }

    /// The fingerprint (RFC 7425 section 4.3.2).
    #[cfg(any(feature = "openssl", feature = "rustcrypto"))]
    pub fn fingerprint(&self) -> crate::Fingerprint {
        crate::Fingerprint(crate::Backend::default().library().sha256(self.canonical))
    }

    fn groups(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        Items::new(self.canonical).filter_map(|item| match item {
            Ok(Item::Option { kind: kind::EPHEMERAL_GROUP | kind::STATIC_KEY, value }) => {
                split_group(value).ok()
            }
            _ => None,
        })
    }
}

/// Takes the id of a group off a value that begins with it.
pub(crate) fn split_group(value: &[u8]) -> Result<(u64, &[u8]), WireError> {
    let mut value = Reader::new(value);
    Ok((value.vlu()?, value.rest()))
}

/// Puts the id of a group before a key, or before nothing.
pub(crate) fn with_group(group: Group, key: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(vlu::len(group.id()).saturating_add(key.len()));
    vlu::write(group.id(), &mut value);
    value.extend_from_slice(key);
    value
}

/// Why bytes are no certificate of this profile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BadCertificate {
    /// An option is malformed.
    #[error("an option is malformed")]
    Malformed,
    /// Neither static nor ephemeral keys, or both.
    #[error("a certificate has either static or ephemeral keys")]
    Keys,
}

impl From<WireError> for BadCertificate {
    fn from(_: WireError) -> Self {
        Self::Malformed
    }
}

/// What a new certificate is made of; [`encode`](Self::encode) writes it in the order of these fields.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateParts<'a> {
    /// The hostname.
    pub hostname: Option<&'a [u8]>,
    /// Whether the holder is a server.
    pub accepts_ancillary: bool,
    /// The groups for ephemeral keys; empty where there are static ones.
    pub ephemeral_groups: &'a [Group],
    /// The static public keys; empty where keys are ephemeral.
    pub static_keys: Vec<(Group, &'a [u8])>,
    /// Extra randomness, that makes the fingerprint unique; left out when empty.
    pub extra_randomness: &'a [u8],
}

impl CertificateParts<'_> {
    /// The bytes, without a marker.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(hostname) = self.hostname {
            write_option(kind::HOSTNAME, hostname, &mut bytes);
        }
        if self.accepts_ancillary {
            write_option(kind::ACCEPTS_ANCILLARY, &[], &mut bytes);
        }
        for group in self.ephemeral_groups {
            write_option(kind::EPHEMERAL_GROUP, &with_group(*group, &[]), &mut bytes);
        }
        for (group, key) in &self.static_keys {
            write_option(kind::STATIC_KEY, &with_group(*group, key), &mut bytes);
        }
        if !self.extra_randomness.is_empty() {
            write_option(kind::EXTRA_RANDOMNESS, self.extra_randomness, &mut bytes);
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
