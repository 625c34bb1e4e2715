//! Names and passwords, and the proof that somebody knows one.

use core::fmt;
use std::collections::BTreeMap;

use rtmfp::crypto::{KeyInfo, Profile};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::wire::AUTH_LEN;

/// A password. It is wiped when it is dropped and never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// A password of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// What proves to the other end of a session that this end knows the password: the keyed hash of the nonce that the
    /// other end has chosen, so that it is good for no other session.
    fn prove(&self, profile: &dyn Profile, nonce: &[u8]) -> [u8; AUTH_LEN] {
        profile.keyed_hash(&self.0, &[nonce])
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Compares in constant time.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl Eq for Secret {}

/// Users by name, with their passwords.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Users(BTreeMap<Vec<u8>, Secret>);

impl Users {
    /// Nobody: a redirector without users takes everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a user, or changes the password.
    pub fn insert(&mut self, name: impl Into<Vec<u8>>, password: Secret) {
        self.0.insert(name.into(), password);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is a user with that name.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.0.contains_key(name)
    }

    /// Whether a user has the same password in both.
    pub(crate) fn agree_on(&self, other: &Self, name: &[u8]) -> bool {
        self.0.get(name).is_some_and(|secret| other.0.get(name) == Some(secret))
    }

    /// For each user, in the order of the names: the name and what proves it to the far end of a session. None where the
    /// session has no nonce, as the proof would be good for any session.
    pub(crate) fn prove_to_far(&self, profile: &dyn Profile, keys: &KeyInfo) -> Vec<(&[u8], [u8; AUTH_LEN])> {
        if keys.far_nonce.is_empty() {
            return Vec::new();
        }
        self.0
            .iter()
            .map(|(name, secret)| (name.as_slice(), secret.prove(profile, &keys.far_nonce)))
            .collect()
    }

    /// Whether the far end of a session has proved that it is a user. `None`: there is no such user.
    pub(crate) fn check_far(
        &self,
        profile: &dyn Profile,
        keys: &KeyInfo,
        name: &[u8],
        code: &[u8; AUTH_LEN],
    ) -> Option<bool> {
        let secret = self.0.get(name)?;
        let proof = secret.prove(profile, &keys.near_nonce);
        Some(!keys.near_nonce.is_empty() && bool::from(proof.ct_eq(code)))
    }
}

/// By name and password.
impl<N: Into<Vec<u8>>, P: Into<Vec<u8>>> FromIterator<(N, P)> for Users {
    fn from_iter<I: IntoIterator<Item = (N, P)>>(users: I) -> Self {
        Self(users.into_iter().map(|(name, password)| (name.into(), Secret::new(password))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown_and_compare_by_their_bytes() {
        let users: Users = [("relay", "geheim"), ("other", "word")].into_iter().collect();
        let shown = format!("{users:?} {:?}", Secret::new("geheim"));
        assert!(!shown.contains("geheim") && !shown.contains("103"), "{shown}");
        assert_eq!(Secret::new("a"), Secret::new(*b"a"));
        assert_ne!(Secret::new("a"), Secret::new("ab"));
        let changed: Users = [("relay", "other"), ("other", "word")].into_iter().collect();
        assert!(users.agree_on(&changed, b"other") && !users.agree_on(&changed, b"relay"));
        assert!(!users.agree_on(&users, b"nobody"));
    }
    #[test]
    fn without_a_nonce_nothing_is_proved_and_no_proof_is_good() {
        let profile = rtmfp_plain::PlainProfile::new("a");
        let users: Users = [("relay", "geheim")].into_iter().collect();
        let [none, some] = [Vec::new(), vec![7; 16]].map(|nonce: Vec<u8>| KeyInfo {
            near_nonce: Zeroizing::new(nonce.clone()),
            far_nonce: Zeroizing::new(nonce),
            ..KeyInfo::default()
        });
        assert!(users.prove_to_far(&profile, &none).is_empty());
        let proof = users.prove_to_far(&profile, &some)[0].1;
        assert_eq!(users.check_far(&profile, &some, b"relay", &proof), Some(true));
        let proof = profile.keyed_hash(b"geheim", &[b""]);
        assert_eq!(users.check_far(&profile, &none, b"relay", &proof), Some(false));
    }
}
