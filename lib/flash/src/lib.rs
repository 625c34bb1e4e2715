//! The RTMFP cryptography profile for Flash communication (RFC 7425 section 4).
//!
//! `FlashProfile` is what an endpoint needs: certificates, Endpoint Discriminators, key agreement by
//! Diffie-Hellman, and the protection of packets by AES-128 with HMAC-SHA256 or a checksum. Its primitives come
//! from OpenSSL by the feature `openssl`, which is on by default, or from crates in pure Rust by the feature
//! `rustcrypto`; with both, `FlashConfig::backend` chooses. Without a backend [`Epd`], [`Certificate`] and
//! [`Fingerprint`] remain, for those who only read and write them.
//!
//! # What protects a session
//! By default an end requires that packets of both directions have HMACs and sequence numbers, and refuses peers
//! that can't do that; `Policy` loosens it. Without HMACs a packet is protected by a checksum of 16 bits inside the
//! encryption. The keys depend on all that the two ends said, so that nobody between them can talk two capable ends
//! into less. Nothing here tells *who* the far end is: an application compares the fingerprint of a static
//! certificate, or uses the session nonces.
#![cfg_attr(
    any(feature = "openssl", feature = "rustcrypto"),
    doc = "\nThe way in: [`FlashProfile`], made of a [`FlashConfig`] with a [`Policy`]."
)]
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod certificate;
mod epd;
mod fingerprint;
mod group;

pub use certificate::{BadCertificate, Certificate, CertificateParts};
pub use epd::Epd;
pub use fingerprint::{Fingerprint, NotAFingerprint};
pub use group::Group;

// All that computes needs a backend.
#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod backend;
#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod keying;
#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod packet;
#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod profile;
#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
mod session;

#[cfg(any(feature = "openssl", feature = "rustcrypto"))]
pub use {
    backend::Backend,
    keying::{Policy, StaticKeys, Wish},
    profile::{Ancillary, AncillaryPredicate, ConfigError, FlashConfig, FlashProfile, KeyLog, KeySource},
};
