//! Protection of packets (RFC 7425 section 4.7).
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

mod checksum;
mod window;

use core::ops::Range;

use rtmfp::crypto::{OpenError, Room};
use rtmfp::wire::{Reader, vlu};
use subtle::ConstantTimeEq;

use self::checksum::{CHECKSUM, checksum};
pub(crate) use self::window::ReplayWindow;
use crate::backend::{BLOCK, Cipher, Hmac};

/// How the packets of one direction of a session are laid out.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How much of the HMAC follows the packet; `None` where the checksum lies before it.
    pub(crate) hmac_length: Option<u8>,
    /// The next sequence number, where they are used.
    pub(crate) next: Option<u64>,
}

impl Layout {
    fn tail_len(&self) -> usize {
        self.hmac_length.map_or(0, usize::from)
    }

    /// How many bytes lie before the clear packet.
    pub(crate) fn front_len(&self) -> usize {
        self.front_of(self.next.unwrap_or_default())
    }

    fn front_of(&self, sequence: u64) -> usize {
        let checksum = if self.hmac_length.is_none() { CHECKSUM } else { 0 };
        self.next.map_or(checksum, |_| vlu::len(sequence).saturating_add(checksum))
    }

    pub(crate) fn reserve(&mut self, clear_len: usize) -> Room {
        let front = self.front_len();
        let encrypted = front.saturating_add(clear_len).next_multiple_of(BLOCK);
        let sealed_len = encrypted.saturating_add(self.tail_len());
        let sequence = self.next.unwrap_or_default();
        // 2^64 packets are never sent; but a number must not be used again.
        self.next = self.next.map(|next| next.saturating_add(1));
        Room { front, sealed_len, sequence }
    }
}

/// A truncated HMAC.
pub(crate) struct Mac {
    pub(crate) hmac: Box<dyn Hmac>,
    pub(crate) len: u8,
}

impl Mac {
    fn len(mac: Option<&Self>) -> usize {
        mac.map_or(0, |mac| usize::from(mac.len))
    }
}

/// Seals the packets of one direction of a session.
pub(crate) struct Sender {
    pub(crate) cipher: Box<dyn Cipher>,
    /// `None` for the checksum.
    pub(crate) hmac: Option<Box<dyn Hmac>>,
}

impl Sender {
    /// Seals the packet at the beginning of the buffer in place. `None` when the room is none of the layout's.
    pub(crate) fn seal(
        &mut self,
        layout: &Layout,
        buffer: &mut [u8],
        room: &Room,
        clear_len: usize,
    ) -> Option<()> {
        let encrypted = room.sealed_len.checked_sub(layout.tail_len())?;
        let plain = buffer.get_mut(..encrypted)?;
        if !encrypted.is_multiple_of(BLOCK) || room.front != layout.front_of(room.sequence) {
            return None;
        }
        plain.get_mut(room.front.checked_add(clear_len)?..)?.fill(PADDING);
        let (front, checked) = plain.split_at_mut_checked(room.front)?;
        if layout.next.is_some() {
            write_vlu(front.get_mut(..vlu::len(room.sequence))?, room.sequence);
        }
        if self.hmac.is_none() {
            front.last_chunk_mut()?.clone_from(&checksum(checked));
        }
        self.cipher.apply(buffer, encrypted).ok()?;
        if let Some(hmac) = &self.hmac {
            let (packet, tail) = buffer.get_mut(..room.sealed_len)?.split_at_mut(encrypted);
            tail.copy_from_slice(hmac.of(&[packet]).get(..tail.len())?);
        }
        Some(())
    }
}

/// Opens the packets of one direction of a session.
pub(crate) struct Receiver {
    pub(crate) cipher: Box<dyn Cipher>,
    /// `None` for the checksum.
    pub(crate) mac: Option<Mac>,
    /// What was received, where sequence numbers are used.
    pub(crate) window: Option<ReplayWindow>,
}

impl Receiver {
    /// Opens a packet in place; answers where the clear packet is.
    pub(crate) fn open(&mut self, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let encrypted = packet.len().checked_sub(Mac::len(self.mac.as_ref())).ok_or(OpenError::Malformed)?;
        if encrypted == 0 || !encrypted.is_multiple_of(BLOCK) {
            return Err(OpenError::Malformed);
        }
        if let Some(mac) = &self.mac {
            let (packet, tag) = packet.split_at(encrypted);
            let code = mac.hmac.of(&[packet]);
            let expected = code.get(..tag.len()).ok_or(OpenError::Malformed)?;
            if !bool::from(expected.ct_eq(tag)) {
                return Err(OpenError::Forged);
            }
        }
        // The library has no reason to fail; if it does, the packet is as good as lost.
        self.cipher.apply(packet, encrypted).map_err(|_| OpenError::Malformed)?;

        let mut plain = Reader::new(packet.get(..encrypted).ok_or(OpenError::Malformed)?);
        let sequence = match self.window {
            Some(_) => plain.vlu().map_err(|_| OpenError::Forged)?,
            None => 0,
        };
        if self.mac.is_none() {
            let sum = plain.array::<CHECKSUM>().map_err(|_| OpenError::Forged)?;
            if sum != checksum(plain.clone().rest()) {
                return Err(OpenError::Forged);
            }
        }
        if plain.is_empty() {
            return Err(OpenError::Malformed);
        }
        let clear = encrypted.saturating_sub(plain.remaining())..encrypted;
        if let Some(window) = &mut self.window {
            if !window.is_new(sequence) {
                return Err(OpenError::Replayed);
            }
            window.record(sequence);
        }
        Ok(clear)
    }
}

/// Writes a VLU that fills the bytes.
fn write_vlu(to: &mut [u8], mut value: u64) {
    let mut more = 0;
    for byte in to.iter_mut().rev() {
        *byte = value as u8 & 0x7f | more;
        value >>= 7;
        more = 0x80;
    }
}

/// Fills the last block.
const PADDING: u8 = 0xff;
