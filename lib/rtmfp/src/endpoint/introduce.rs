//! What redirectors, forwarders, introducers and connectivity checks are made of (RFC 7016 sections 3.5.1.4 to
//! 3.5.1.6): hellos that are for others, Redirects, synthetic hellos, forwarded hellos.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use rtmfp_base::{InterfaceId, Limiter, RecvMeta, Time};

use super::Endpoint;
use super::control::{ControlPacket, Envelope};
use super::hello::{AMPLIFICATION, STARTUP_OVERHEAD};
use crate::SessionId;
use crate::config::{FIHelloMode, HelloLimits, MAX_PACKET, MAX_STARTUP_PACKET};
use crate::event::{Event, Via};
use crate::wire::{Address, Chunk, FIHello, IHello, Origin, RHello, Redirect, field_len};

/// Flags, timestamp and echo of a session's packet.
const SESSION_HEADER: usize = 5;

/// Why a Redirect or a hello was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IntroduceError {
    /// It does not fit into a packet: too many addresses, or too long a discriminator or tag.
    #[error("it does not fit into a packet")]
    TooLong,
    /// As many packets wait as may.
    #[error("too many packets wait to be sent")]
    Busy,
    /// No interface has an address of the receiver's family.
    #[error("no interface for such an address")]
    NoInterface,
}

/// What is for others: whether anybody wants to know, and how much.
#[derive(Debug)]
pub(crate) struct Introductions {
    watching: bool,
    /// Events about hellos that wait to be polled.
    waiting: usize,
    /// Answers to forwarded hellos, by where they go.
    forwarded: Limiter,
}

impl Introductions {
    pub(crate) fn new(limits: &HelloLimits) -> Self {
        let forwarded = Limiter::new(limits.forwarded_total, limits.forwarded_prefix, limits.prefixes);
        Self { watching: false, waiting: 0, forwarded }
    }

    /// An event was polled.
    pub(crate) fn polled(&mut self, event: &Event) {
        if matches!(event, Event::UnmatchedIHello { .. } | Event::UnmatchedRHello { .. }) {
            self.waiting -= 1;
        }
    }
}

/// Whether an address belongs to a local network, a link or a provider's network of customers.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private() || ip.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

impl Endpoint {
    /// Says whether [`Event::UnmatchedIHello`] and [`Event::UnmatchedRHello`] are wanted; at first they are not. While
    /// they are, this endpoint takes all hellos: of several that share a socket, it has to be the last one that is asked.
    ///
    /// They are limited by the rates of [`Limits::hellos`](crate::Limits::hellos), and in number by
    /// [`Limits::watched_hellos`](crate::Limits::watched_hellos).
    pub fn set_watch_hellos(&mut self, watch: bool) {
        self.introductions.watching = watch;
    }

    /// Answers an IHello by a Redirect (RFC 7016 section 3.5.1.4) to these addresses; to none at all: an Implied Redirect,
    /// to the address that the packet comes from. It is sent the way that the hello came, or, with `None`, from every
    /// interface of the family.
    ///
    /// An address that was [observed](Origin::Observed) should say so; one whose origin is unknown goes out as
    /// [reported](Origin::Reported), because old peers take the unknown ones for the far end's departure. The hello's
    /// address is not proved: how many addresses an answer may have beside the bytes of the hello says
    /// [`Self::fair_redirect`].
    ///
    /// # Errors
    /// [`IntroduceError`]; then nothing is sent.
    pub fn send_redirect(
        &mut self,
        via: Option<Via>,
        to: SocketAddr,
        tag: &[u8],
        addresses: &[Address],
    ) -> Result<(), IntroduceError> {
        let known = |address: &Address| match address.origin {
            Origin::Unknown => Address { origin: Origin::Reported, ..*address },
            _ => *address,
        };
        let addresses: Vec<Address> = addresses.iter().map(known).collect();
        let len = addresses.iter().map(Address::encoded_len).sum::<usize>() + field_len(tag.len());
        if len + crate::wire::HEADER_LEN + STARTUP_OVERHEAD > MAX_STARTUP_PACKET {
            return Err(IntroduceError::TooLong);
        }
        let mut chunk = Vec::new();
        Redirect::write_to(tag, &addresses, &mut chunk);
        self.send_startup_via(via, to, chunk)
    }

    /// Bytes of addresses ([`Address::encoded_len`]) that a Redirect with this tag may have, so that its datagram is at
    /// most three times as long as that of the hello, of `len` bytes, that it answers.
    pub fn fair_redirect(&mut self, len: usize, tag: &[u8]) -> usize {
        let most = AMPLIFICATION * len;
        let bare = field_len(tag.len()) + crate::wire::HEADER_LEN;
        let mut room = most.saturating_sub(self.startup_datagram_len(bare));
        // Some profiles fill blocks.
        while room > 0 && self.startup_datagram_len(bare + room) > most {
            room -= 1;
        }
        room
    }

    /// Sends an IHello that belongs to no session of this endpoint, to see whether and from where it is answered:
    /// [`Event::UnmatchedRHello`] brings the answer.
    ///
    /// # Errors
    /// [`IntroduceError`]; then nothing is sent.
    pub fn send_ihello(
        &mut self,
        via: Option<Via>,
        to: SocketAddr,
        epd: &[u8],
        tag: &[u8],
    ) -> Result<(), IntroduceError> {
        let hello = Chunk::IHello(IHello { epd, tag });
        if hello.encoded_len() + STARTUP_OVERHEAD > MAX_STARTUP_PACKET {
            return Err(IntroduceError::TooLong);
        }
        let mut chunk = Vec::new();
        hello.write(&mut chunk);
        self.send_startup_via(via, to, chunk)
    }

    fn send_startup_via(
        &mut self,
        via: Option<Via>,
        to: SocketAddr,
        chunk: Vec<u8>,
    ) -> Result<(), IntroduceError> {
        let fragmented = false;
        let Some(Via { interface, src_ip }) = via else {
            return self.send_everywhere(to, &chunk, fragmented);
        };
        let envelope = Envelope::Startup { far_id: 0, fragmented };
        let packet = ControlPacket { envelope, interface, to, src_ip, dscp: 0, chunk };
        if self.queue_control(packet) { Ok(()) } else { Err(IntroduceError::Busy) }
    }

    /// Queues a startup packet to session id 0 on every interface of the address's family.
    pub(super) fn send_everywhere(
        &mut self,
        to: SocketAddr,
        chunk: &[u8],
        fragmented: bool,
    ) -> Result<(), IntroduceError> {
        let fitting: Vec<InterfaceId> = self
            .interfaces
            .iter()
            .filter(|(_, local)| local.is_ipv4() == to.is_ipv4())
            .map(|&(interface, _)| interface)
            .collect();
        let mut result = Err(IntroduceError::NoInterface);
        for interface in fitting {
            let sent = self.queue_hello(interface, to, chunk.to_vec(), fragmented);
            result = if sent { Ok(()) } else { Err(IntroduceError::Busy) };
        }
        result
    }

    /// Sends a hello on to the far end of a session.
    pub(super) fn forward_ihello(
        &mut self,
        id: SessionId,
        epd: &[u8],
        reply: SocketAddr,
        tag: &[u8],
    ) -> Result<(), IntroduceError> {
        let Some(session) = self.sessions.get(id) else { return Ok(()) };
        let reply = Address { origin: Origin::Observed, addr: reply };
        let hello = Chunk::FIHello(FIHello { epd, reply, tag });
        let room = MAX_PACKET.saturating_sub(SESSION_HEADER + self.profile.front_len(session.key));
        if hello.encoded_len() > room {
            return Err(IntroduceError::TooLong);
        }
        if self.control.len() >= self.config.limits.control_queue {
            self.stats.limited_control += 1;
            return Err(IntroduceError::Busy);
        }
        self.send_session_chunk(id, &hello);
        Ok(())
    }

    // ---- what comes in ----

    /// An IHello that is for somebody else. Answers whether anybody wants to know.
    pub(super) fn on_unmatched_ihello(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        len: usize,
        hello: &IHello<'_>,
    ) -> bool {
        if self.may_report(now, meta, len) {
            self.report(Event::UnmatchedIHello {
                epd: Bytes::copy_from_slice(hello.epd),
                tag: Bytes::copy_from_slice(hello.tag),
                from: meta.from,
                via: Some(meta.into()),
                len,
            });
        }
        self.introductions.watching
    }

    /// An RHello that no opening session waits for. Answers whether anybody wants to know.
    pub(super) fn on_unmatched_rhello(
        &mut self,
        now: Time,
        meta: &RecvMeta,
        len: usize,
        hello: &RHello<'_>,
    ) -> bool {
        if self.may_report(now, meta, len) {
            self.report(Event::UnmatchedRHello {
                tag: Bytes::copy_from_slice(hello.tag_echo),
                certificate: Bytes::copy_from_slice(hello.certificate),
                from: meta.from,
                via: meta.into(),
            });
        }
        self.introductions.watching
    }

    fn may_report(&mut self, now: Time, meta: &RecvMeta, len: usize) -> bool {
        if !self.introductions.watching {
            return false;
        }
        let limited = self.config.limits.hellos.limit_watched;
        let allowed = !limited || self.hellos.allow(now, meta.from.ip(), len, len);
        self.stats.limited_hellos += u64::from(!allowed);
        allowed
    }

    fn report(&mut self, event: Event) {
        if self.introductions.waiting >= self.config.limits.watched_hellos {
            self.stats.limited_watched += 1;
            return;
        }
        self.introductions.waiting += 1;
        self.stats.unmatched_hellos += 1;
        self.flows.events.push_back(event);
    }

    /// A hello that a forwarder has sent on (RFC 7016 section 3.5.1.5).
    pub(super) fn on_fihello(&mut self, now: Time, id: SessionId, hello: &FIHello<'_>) {
        let Some(session) = self.sessions.get(id) else { return };
        let (mode, forwarder, reply) = (session.config.fihello, session.path.to.ip(), hello.reply.addr);
        if mode == FIHelloMode::Ignore || !self.may_be_named(reply, forwarder) {
            return;
        }
        if !self.introductions.forwarded.take(now, reply.ip()) {
            self.stats.limited_forwards += 1;
            return;
        }
        if !self.profile.selects_near(hello.epd) {
            if self.introductions.watching {
                let [epd, tag] = [hello.epd, hello.tag].map(Bytes::copy_from_slice);
                self.report(Event::UnmatchedIHello { epd, tag, from: reply, via: None, len: 0 });
            }
            return;
        }
        if !self.accepting {
            return;
        }
        // What can't be sent is as lost as any packet.
        let _ = match mode {
            FIHelloMode::RHello if self.fits_rhello(hello.tag) => {
                let chunk = self.rhello(now, hello.tag, reply);
                self.send_everywhere(reply, &chunk, false)
            }
            FIHelloMode::Redirect => self.send_redirect(None, reply, hello.tag, &[]),
            _ => Ok(()),
        };
    }

    /// Whether somebody at `from` may have this end send hellos, or answers to hellos, to an address: not to many hosts
    /// at once, nor to this host or into a private network unless it comes from there itself.
    pub(super) fn may_be_named(&mut self, address: SocketAddr, from: IpAddr) -> bool {
        let (ip, from) = (address.ip().to_canonical(), from.to_canonical());
        let many = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        let local = ip.is_loopback() && !from.is_loopback();
        let private =
            is_private(ip) && !(self.config.private_redirects || is_private(from) || from.is_loopback());
        let may = !(many || local || private || ip.is_unspecified() || address.port() == 0);
        self.stats.refused_addresses += u64::from(!may);
        may
    }
}
