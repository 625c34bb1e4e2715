use zeroize::Zeroizing;

use super::Hmac;

/// A state of SHA-256, from a library. Copying it allocates nothing.
pub(super) trait Sha256: Clone + Send {
    fn start() -> Self;
    fn take(&mut self, bytes: &[u8]);
    fn end(self) -> [u8; 32];
}

/// Two hash states that have taken the padded key in: copying them is cheaper than the libraries' own interfaces
/// for keyed hashes, and allocates nothing.
pub(super) struct HashStates<S: Sha256> {
    inner: S,
    outer: S,
}

impl<S: Sha256> HashStates<S> {
    pub(super) fn new(key: &[u8]) -> Self {
        const HASH_BLOCK: usize = 64;
        let mut padded = Zeroizing::new([0; HASH_BLOCK]);
        if key.len() > HASH_BLOCK {
            let mut hash = S::start();
            hash.take(key);
            padded[..32].copy_from_slice(&hash.end());
        } else {
            padded[..key.len()].copy_from_slice(key);
        }
        let mut start = |mask: u8| {
            padded.iter_mut().for_each(|byte| *byte ^= mask);
            let mut hash = S::start();
            hash.take(&padded[..]);
            hash
        };
        Self { inner: start(0x36), outer: start(0x36 ^ 0x5c) }
    }
}

impl<S: Sha256> Hmac for HashStates<S> {
    fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut inner = self.inner.clone();
        parts.iter().for_each(|part| inner.take(part));
        let mut outer = self.outer.clone();
        outer.take(&inner.end());
        outer.end()
    }
}

impl<S: Sha256> Drop for HashStates<S> {
    fn drop(&mut self) {
        // OpenSSL's structure can't be wiped as bytes without unsafe code: overwrite it with fresh states, and
        // keep the compiler from leaving that out.
        self.inner = S::start();
        self.outer = S::start();
        zeroize::optimization_barrier(self);
    }
}
