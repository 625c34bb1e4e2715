//! Cookies: proof of an initiator's address without state (RFC 7016 section 3.5.1.1.2).

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use rtmfp_base::Time;
use zeroize::Zeroizing;

use crate::crypto::Profile;

/// The length of a cookie: the installed base checks for exactly this.
pub(crate) const LEN: usize = 64;

/// How long a cookie is good for.
const LIFETIME: Duration = Duration::from_secs(95);

/// Whose cookie it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Made here lately for this address.
    Good,
    /// Made here lately for another address.
    OtherAddress,
    /// Not made here, or too long ago.
    Bad,
}

/// Makes and checks cookies: 8 bytes of time, 24 bytes that prove who made it, 32 that prove for whom.
pub(crate) struct Cookies {
    secret: Zeroizing<[u8; 32]>,
}

impl Cookies {
    pub(crate) fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { secret }
    }

    pub(crate) fn make(&self, profile: &dyn Profile, now: Time, address: SocketAddr) -> [u8; LEN] {
        let time = now.as_micros().to_be_bytes();
        let mut cookie = [0; LEN];
        cookie[..8].copy_from_slice(&time);
        cookie[8..32].copy_from_slice(&self.maker(profile, &time)[..24]);
        cookie[32..].copy_from_slice(&self.owner(profile, &time, address));
        cookie
    }

    pub(crate) fn check(
        &self,
        profile: &dyn Profile,
        now: Time,
        address: SocketAddr,
        cookie: &[u8],
    ) -> Verdict {
        let Some((time, proofs)) = cookie.split_first_chunk::<8>() else { return Verdict::Bad };
        if cookie.len() != LEN {
            return Verdict::Bad;
        }
        let made = Time::from_micros(u64::from_be_bytes(*time));
        let (maker, owner) = proofs.split_at(24);
        let mine = equal(&self.maker(profile, time)[..24], maker);
        if !mine || made > now || now.since(made) > LIFETIME {
            return Verdict::Bad;
        }
        if equal(&self.owner(profile, time, address), owner) { Verdict::Good } else { Verdict::OtherAddress }
    }

    fn maker(&self, profile: &dyn Profile, time: &[u8; 8]) -> [u8; 32] {
        profile.keyed_hash(&*self.secret, &[b"maker", time])
    }

    fn owner(&self, profile: &dyn Profile, time: &[u8; 8], address: SocketAddr) -> [u8; 32] {
        let port = address.port().to_be_bytes();
        match address.ip() {
            IpAddr::V4(ip) => profile.keyed_hash(&*self.secret, &[b"owner", time, &ip.octets(), &port]),
            IpAddr::V6(ip) => profile.keyed_hash(&*self.secret, &[b"owner", time, &ip.octets(), &port]),
        }
    }
}

impl core::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cookies")
    }
}

/// Compares without telling by time where the difference is.
fn equal(a: &[u8], b: &[u8]) -> bool {
    use subtle::ConstantTimeEq;
    a.ct_eq(b).into()
}
