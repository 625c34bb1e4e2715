#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

use core::mem;

use rtmfp_base::Time;

use crate::{Error, Foreign, Role};

/// The plain handshake (RTMP section 5.2), either end.
#[derive(Debug)]
pub(crate) struct Handshake {
    seed: u64,
    /// The peer's version byte, once it came.
    version: Option<u8>,
    /// The peer's first packet, as far as it came; empty again once it is echoed.
    hello: Vec<u8>,
    /// How many bytes of the peer's echo are still to come.
    echo_left: usize,
    out: Vec<u8>,
    out_done: usize,
}

/// Length of C1, S1, C2 and S2.
const PACKET: usize = 1536;

impl Handshake {
    pub(crate) fn new(role: Role, now: Time, seed: u64) -> Self {
        let mut handshake =
            Self { seed, version: None, hello: Vec::new(), echo_left: PACKET, out: Vec::new(), out_done: 0 };
        if role == Role::Client {
            handshake.greet(now);
        }
        handshake
    }

    /// Takes the handshake's bytes off `input`; true once it is complete.
    pub(crate) fn receive(&mut self, now: Time, input: &mut &[u8]) -> Result<bool, Error> {
        if self.version.is_none() {
            let Some((&version, rest)) = input.split_first() else { return Ok(false) };
            check_version(version, input)?;
            *input = rest;
            self.version = Some(version);
            if self.out.is_empty() {
                self.greet(now);
            }
        }
        if self.echo_left == PACKET && self.hello.len() < PACKET {
            let (taken, rest) = input.split_at(input.len().min(PACKET.saturating_sub(self.hello.len())));
            self.hello.extend_from_slice(taken);
            *input = rest;
            // 22 is within the accepted versions, but with these bytes behind it, it begins a TLS record.
            if self.version == Some(TLS_HANDSHAKE) && matches!(self.hello[..], [3, 0..=4, ..]) {
                return Err(Error::NotRtmp(Foreign::Tls));
            }
            if self.hello.len() < PACKET {
                return Ok(false);
            }
            let (time, rest) = self.hello.split_at(4);
            self.out.extend_from_slice(time);
            self.out.extend_from_slice(&millis(now));
            self.out.extend_from_slice(rest.get(4..).unwrap_or_default());
        }
        // What the peer echoes is not looked at: there are peers that echo something else.
        let (echo, rest) = input.split_at(input.len().min(self.echo_left));
        self.echo_left = self.echo_left.saturating_sub(echo.len());
        *input = rest;
        if self.echo_left == 0 {
            self.hello = Vec::new();
        }
        Ok(self.echo_left == 0)
    }

    /// How many of the peer's 3073 bytes have come.
    pub(crate) const fn received(&self) -> usize {
        let echoed = PACKET.saturating_sub(self.echo_left);
        (self.version.is_some() as usize).saturating_add(self.hello.len()).saturating_add(echoed)
    }

    /// Appends at most `limit` bytes for the peer to `out`.
    pub(crate) fn fill(&mut self, limit: usize, out: &mut Vec<u8>) {
        let waiting = self.out.get(self.out_done..).unwrap_or_default();
        let (taken, _) = waiting.split_at(waiting.len().min(limit));
        out.extend_from_slice(taken);
        self.out_done = self.out_done.saturating_add(taken.len());
    }

    pub(crate) const fn wants_write(&self) -> bool {
        self.out_done < self.out.len()
    }

    /// Bytes on the heap.
    pub(crate) const fn memory(&self) -> usize {
        self.hello.capacity().saturating_add(self.out.capacity())
    }

    /// Queues the version and the first packet.
    fn greet(&mut self, now: Time) {
        self.out.reserve_exact(1 + 2 * PACKET);
        self.out.push(3);
        self.out.extend_from_slice(&millis(now));
        // A zero here tells the peer that this is the plain handshake, not the one with digests.
        self.out.extend_from_slice(&[0; 4]);
        let mut state = mem::take(&mut self.seed);
        while self.out.len() < 1 + PACKET {
            // SplitMix64: the filler needs to differ between connections, nothing more.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            self.out.extend_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
        }
    }
}

fn millis(now: Time) -> [u8; 4] {
    ((now.as_micros() / 1000) as u32).to_be_bytes()
}

/// `input` begins with the version byte.
fn check_version(version: u8, input: &[u8]) -> Result<(), Error> {
    match version {
        3..32 => Ok(()),
        0..3 => Err(Error::Version { version }),
        32.. if HTTP.iter().any(|start| input.starts_with(start)) => Err(Error::NotRtmp(Foreign::Http)),
        32..127 => Err(Error::NotRtmp(Foreign::Text)),
        _ => Err(Error::NotRtmp(Foreign::Unknown)),
    }
}

const HTTP: [&[u8]; 7] = [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ", b"HTTP/"];
/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

#[cfg(test)]
mod tests;
