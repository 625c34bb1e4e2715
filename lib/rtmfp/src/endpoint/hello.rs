//! Answering hellos without state and without becoming an amplifier (RFC 7016 section 3.5.1.1.2 and section 5).

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use rtmfp_base::{Limiter, RecvMeta, Time};

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use super::cookie::{self, Cookies};
use super::randomness::Randomness;
use crate::config::{HelloLimits, MAX_STARTUP_PACKET};
use crate::wire::{Chunk, IHello, RHello};

/// Packet header and front matter of a startup packet.
pub(super) const STARTUP_OVERHEAD: usize = 8;
/// Old secrets are good for one more period, longer than a cookie lives.
const ROTATION: Duration = Duration::from_secs(120);
/// An answer may be so many times as long as the hello before the hello counts as a short one.
pub(super) const AMPLIFICATION: usize = 3;

#[derive(Debug)]
pub(crate) struct Hellos {
    current: Cookies,
    previous: Cookies,
    rotated: Time,
    full: Limiter,
    short: Limiter,
    full_size: usize,
}

impl Hellos {
    pub(crate) fn new(limits: &HelloLimits, randomness: &mut Randomness, now: Time) -> Self {
        Self {
            current: Cookies::new(randomness.secret()),
            previous: Cookies::new(randomness.secret()),
            rotated: now,
            full: Limiter::new(limits.total, limits.prefix, limits.prefixes),
            short: Limiter::new(limits.short_total, limits.short_prefix, limits.prefixes),
            full_size: limits.full_size,
        }
    }

    /// The secrets to make cookies with, and to check those made a while ago with.
    pub(crate) fn cookies(&mut self, randomness: &mut Randomness, now: Time) -> (&Cookies, &Cookies) {
        if now.since(self.rotated) >= ROTATION {
            let unused = now.since(self.rotated) >= 2 * ROTATION;
            self.previous = core::mem::replace(&mut self.current, Cookies::new(randomness.secret()));
            if unused {
                self.previous = Cookies::new(randomness.secret());
            }
            self.rotated = now;
        }
        (&self.current, &self.previous)
    }

    /// Whether a datagram of so many bytes from an address that is not proved may be answered by so many.
    pub(crate) fn allow(&mut self, now: Time, from: IpAddr, len: usize, answer_len: usize) -> bool {
        let fair = len >= self.full_size && answer_len <= AMPLIFICATION * len;
        if fair { self.full.take(now, from) } else { self.short.take(now, from) }
    }
}

impl Endpoint {
    /// Answers an IHello that selects this end by an RHello. Answers whether it does.
    pub(super) fn on_ihello(&mut self, now: Time, meta: &RecvMeta, len: usize, hello: &IHello<'_>) -> bool {
        if !self.profile.selects_near(hello.epd) {
            self.stats.unselected_hellos += 1;
            return self.on_unmatched_ihello(now, meta, len, hello);
        }
        if !self.accepting {
            return false;
        }
        if self.fits_rhello(hello.tag) && self.may_answer(now, meta, len, self.rhello_len(hello.tag)) {
            let chunk = self.rhello(now, hello.tag, meta.from);
            self.send_startup(meta, meta.from, 0, chunk);
        }
        true
    }

    fn rhello_len(&self, tag: &[u8]) -> usize {
        let certificate = self.profile.certificate();
        Chunk::RHello(RHello { tag_echo: tag, cookie: &[0; cookie::LEN], certificate }).encoded_len()
    }

    /// Whether a packet has room for the answer to a hello with this tag.
    pub(super) fn fits_rhello(&self, tag: &[u8]) -> bool {
        self.rhello_len(tag) + STARTUP_OVERHEAD <= MAX_STARTUP_PACKET
    }

    /// The answer to a hello, good for an address.
    pub(super) fn rhello(&mut self, now: Time, tag: &[u8], to: SocketAddr) -> Vec<u8> {
        let (cookies, _) = self.hellos.cookies(&mut self.randomness, now);
        let cookie = cookies.make(&*self.profile, now, to);
        let certificate = self.profile.certificate();
        let mut chunk = Vec::with_capacity(self.rhello_len(tag));
        Chunk::RHello(RHello { tag_echo: tag, cookie: &cookie, certificate }).write(&mut chunk);
        chunk
    }

    /// Whether the rates let a datagram from an address that is not proved be answered by a chunk.
    pub(super) fn may_answer(&mut self, now: Time, meta: &RecvMeta, len: usize, chunk_len: usize) -> bool {
        let answer_len = self.startup_datagram_len(chunk_len);
        let allowed = self.hellos.allow(now, meta.from.ip(), len, answer_len);
        self.stats.limited_hellos += u64::from(!allowed);
        allowed
    }

    /// Queues a startup packet as the answer to a datagram.
    pub(super) fn send_startup(&mut self, meta: &RecvMeta, to: SocketAddr, far_id: u32, chunk: Vec<u8>) {
        self.queue_control(ControlPacket {
            // Who sends fragments takes them. They are for session id 0 only.
            envelope: Envelope::Startup { far_id, fragmented: self.fragmented && far_id == 0 },
            interface: meta.interface,
            to,
            src_ip: meta.dst_ip,
            dscp: 0,
            chunk,
        });
    }

    /// Queues a packet if there is room: one that others ask for, or that is repeated until it is answered.
    /// Answers whether there was.
    pub(super) fn queue_control(&mut self, packet: ControlPacket) -> bool {
        if matches!(packet.envelope, Envelope::Startup { fragmented: true, .. })
            && Self::is_long(&packet.chunk)
        {
            return self.queue_fragments(packet);
        }
        let room = self.control.len() < self.config.limits.control_queue;
        if room {
            self.control.push(packet);
        } else {
            self.stats.limited_control += 1;
        }
        room
    }
}
