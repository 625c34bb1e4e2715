//! The keys of one session, and what is done with them for each packet.
//!
//! A sealed packet is its sequence number in 8 bytes, the encrypted clear packet, and a tag of 16 bytes.

use core::ops::Range;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use rtmfp::crypto::{OpenError, Room};

use crate::profile::Secret;

/// Length of an authentication tag, in packets of sessions and of the startup session.
pub(crate) const TAG: usize = 16;

pub(crate) struct Session {
    sealing: ChaCha20Poly1305,
    opening: ChaCha20Poly1305,
    /// The sequence number of the next packet to send.
    next: u64,
    received: Window,
    pub(crate) near_nonce: Secret,
    pub(crate) far_nonce: Secret,
}

impl Session {
    /// Bytes before the clear packet: the sequence number.
    pub(crate) const FRONT: usize = size_of::<u64>();

    pub(crate) fn new(
        sealing: ChaCha20Poly1305,
        opening: ChaCha20Poly1305,
        near_nonce: Secret,
        far_nonce: Secret,
    ) -> Self {
        Self { sealing, opening, next: 0, received: Window::default(), near_nonce, far_nonce }
    }

    pub(crate) fn reserve(&mut self, clear_len: usize) -> Room {
        let sequence = self.next;
        // 2^64 packets are never sent.
        self.next += 1;
        Room { front: Self::FRONT, sealed_len: Self::FRONT + clear_len + TAG, sequence }
    }

    /// Seals a packet in place. `None` when the room is not one of this session's.
    pub(crate) fn seal(&self, packet: &mut [u8], room: &Room, clear_len: usize) -> Option<()> {
        let (front, rest) = packet.split_first_chunk_mut::<{ Self::FRONT }>()?;
        let (clear, tag) = rest.split_at_mut_checked(clear_len)?;
        let tag: &mut [u8; TAG] = tag.try_into().ok()?;
        *front = room.sequence.to_be_bytes();
        *tag = self.sealing.encrypt_inout_detached(&nonce(*front), &[], clear.into()).ok()?.into();
        Some(())
    }

    /// Opens a packet in place; answers where the clear packet is.
    pub(crate) fn open(&mut self, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let (front, rest) = packet.split_first_chunk_mut::<{ Self::FRONT }>().ok_or(OpenError::Malformed)?;
        let (sealed, tag) = rest.split_last_chunk_mut::<TAG>().ok_or(OpenError::Malformed)?;
        if sealed.is_empty() {
            return Err(OpenError::Malformed);
        }
        let clear = Self::FRONT..Self::FRONT + sealed.len();
        self.opening
            .decrypt_inout_detached(&nonce(*front), &[], sealed.into(), &Tag::from(*tag))
            .map_err(|_| OpenError::Forged)?;
        // Only now is the number the far end's. To note it earlier would let anybody make the window skip
        // numbers that are still to come.
        if !self.received.take(u64::from_be_bytes(*front)) {
            return Err(OpenError::Replayed);
        }
        Ok(clear)
    }
}

/// The nonce of a packet: its sequence number, so none is used twice with one key.
fn nonce(sequence: [u8; 8]) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[4..].copy_from_slice(&sequence);
    nonce
}

/// Which packets were received. Networks let packets overtake each other, and a sender may seal a batch in any
/// order: so not only the highest number is kept but also which of the 63 before it have come. Older packets count as
/// repeated. At high rates 64 are soon gone by: a profile for video has a window of a thousand or more.
#[derive(Default)]
struct Window {
    /// One more than the highest number, 0 before the first packet.
    end: u64,
    /// Bit `n` stands for the number `n + 1` below the end.
    seen: u64,
}

impl Window {
    /// Notes a number; answers whether it was new.
    fn take(&mut self, number: u64) -> bool {
        // The last number of all is never sent.
        let Some(end) = number.checked_add(1) else { return false };
        if end > self.end {
            let shift = u32::try_from(end - self.end).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.end = end;
            return true;
        }
        let Some(bit) = u32::try_from(self.end - end).ok().and_then(|behind| 1_u64.checked_shl(behind))
        else {
            return false;
        };
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }
}
