#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use rtmfp::wire::{Item, Items, WireError, write_option};

use crate::Fingerprint;

#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
use crate::Certificate;

mod kind {
    pub(super) const HOSTNAME: u64 = 0x00;
    pub(super) const ANCILLARY: u64 = 0x0a;
    pub(super) const FINGERPRINT: u64 = 0x0f;
}

/// An Endpoint Discriminator (RFC 7425 section 4.4): tells which endpoint an initiator wants.
///
/// ```
/// use rtmfp_flash::Epd;
///
/// let epd = Epd::uri("rtmfp://h/app").encode();
/// assert_eq!(epd, b"\x0e\x0artmfp://h/app");
/// assert_eq!(Epd::parse(&epd)?.ancillary, Some(&b"rtmfp://h/app"[..]));
/// # Ok::<(), rtmfp::wire::WireError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Epd<'a> {
    /// The fingerprint that the certificate must have. When there is one, it decides alone; one that is not 32
    /// bytes long selects nothing.
    pub fingerprint: Option<&'a [u8]>,
    /// Ancillary data: the URI to which a client connects. The certificate must accept ancillary data.
    pub ancillary: Option<&'a [u8]>,
    /// The hostname that the certificate must have, byte for byte.
    pub hostname: Option<&'a [u8]>,
}

impl<'a> Epd<'a> {
    /// Selects a server that accepts this URI.
    pub fn uri(uri: &'a str) -> Self {
        Self { ancillary: Some(uri.as_bytes()), ..Self::default() }
    }

    /// Selects the endpoint with this fingerprint.
    pub fn fingerprint(fingerprint: &'a Fingerprint) -> Self {
        Self { fingerprint: Some(&fingerprint.0), ..Self::default() }
    }

    /// Selects endpoints with this hostname.
    pub fn hostname(hostname: &'a str) -> Self {
        Self::default().with_hostname(hostname)
    }

    /// Requires a hostname as well.
    #[must_use]
    pub fn with_hostname(self, hostname: &'a str) -> Self {
        Self { hostname: Some(hostname.as_bytes()), ..self }
    }

    /// Adds the URI, which a certificate with the right fingerprint need not accept.
    #[must_use]
    pub fn with_uri(self, uri: &'a str) -> Self {
        Self { ancillary: Some(uri.as_bytes()), ..self }
    }

    /// The bytes: fingerprint, ancillary data, hostname, as far as there are any. An Epd with nothing else than a
    /// [`Fingerprint`] has the canonical form.
    pub fn encode(&self) -> Vec<u8> {
        let options = [
            (kind::FINGERPRINT, self.fingerprint),
            (kind::ANCILLARY, self.ancillary),
            (kind::HOSTNAME, self.hostname),
        ];
        let mut bytes = Vec::new();
        for (kind, value) in options {
            if let Some(value) = value {
                write_option(kind, value, &mut bytes);
            }
        }
        bytes
    }

    /// Reads the bytes. Unknown options and markers are skipped, the last one of a kind counts.
    ///
    /// # Errors
    /// When an option is malformed: such a discriminator selects nothing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut epd = Self::default();
        for item in Items::new(bytes) {
            match item? {
                Item::Option { kind: kind::FINGERPRINT, value } => epd.fingerprint = Some(value),
                Item::Option { kind: kind::ANCILLARY, value } => epd.ancillary = Some(value),
                Item::Option { kind: kind::HOSTNAME, value } => epd.hostname = Some(value),
                Item::Option { .. } | Item::Marker => {}
            }
        }
        Ok(epd)
    }

    /// Whether the holder of the certificate is meant (RFC 7425 section 4.4.3).
    #[cfg(any(feature = "openssl", feature = "rustcrypto"))]
    pub fn selects(&self, certificate: &Certificate<'_>) -> bool {
        self.selects_with(certificate, || certificate.fingerprint())
    }

    /// The same where the fingerprint is known, or too dear to be computed in vain.
    #[cfg(any(feature = "openssl", feature = "rustcrypto"))]
    pub(crate) fn selects_with(
        &self,
        certificate: &Certificate<'_>,
        fingerprint: impl FnOnce() -> Fingerprint,
    ) -> bool {
        if let Some(wanted) = self.fingerprint {
            return wanted == fingerprint().0;
        }
        if self.hostname.is_none() && self.ancillary.is_none() {
            return false;
        }
        self.hostname.is_none_or(|wanted| certificate.hostname() == Some(wanted))
            && (self.ancillary.is_none() || certificate.accepts_ancillary())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fingerprint::unhex;

    #[test]
    fn discriminators_are_written_as_others_do() {
        assert_eq!(Epd::uri("rtmfp://h/app").encode(), unhex("0e0a72746d66703a2f2f682f617070"));
        assert_eq!(Epd::hostname("red").encode(), unhex("0400726564"));
        let all = Epd { fingerprint: Some(&[0x00, 0xff]), ancillary: Some(b"u"), hostname: Some(b"h") };
        assert_eq!(all.encode(), unhex("030f00ff020a75020068"));
        let fingerprint = Fingerprint([7; 32]);
        assert_eq!(Epd::fingerprint(&fingerprint).encode(), fingerprint.canonical_epd());
        let both = Epd::uri("u").with_hostname("h");
        assert_eq!(both, Epd::hostname("h").with_uri("u"));
        assert_eq!(both.encode(), unhex("020a75020068"));
    }

    #[test]
    fn the_last_option_of_a_kind_counts_and_the_unknown_are_skipped() {
        let epd = unhex("020061 00 0363aabb 020062 010a".replace(' ', "").as_str());
        let parsed = Epd::parse(&epd).unwrap();
        assert_eq!(parsed, Epd { hostname: Some(b"b"), ancillary: Some(b""), fingerprint: None });
        assert_eq!(Epd::parse(&unhex("02006102")), Err(WireError::BadOption));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(epd) = Epd::parse(&bytes) {
                let again = epd.encode();
                prop_assert_eq!(Epd::parse(&again), Ok(epd));
            }
        }
    }
}
