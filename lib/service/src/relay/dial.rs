//! Opening the connection with the destination for one client.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::VecDeque;

use rtmfp::Endpoint;
use rtmfp_base::{Action, NameId, StreamId, Time};
use rtmfp_netconn::{Link, LinkId, RtmfpLink};

use super::Protocol;
use super::shared::Shared;

/// A connection that is being opened.
#[derive(Debug)]
pub(super) struct Dial {
    link: LinkId,
    uri: String,
    name: Option<NameId>,
    /// Addresses that were not tried yet.
    addresses: VecDeque<SocketAddr>,
    /// Streams that try one.
    attempts: Vec<StreamId>,
    /// When to try the next one.
    next: Time,
    last_error: Option<String>,
}

/// How dialling goes on.
pub(super) enum Outcome {
    /// It takes more time.
    Wait,
    /// There is a link, that is not open yet.
    Link(Link),
    /// It has failed.
    Failed(String),
}

impl Dial {
    /// Begins with the destination's name.
    pub(super) fn new(shared: &mut Shared, link: LinkId, uri: String) -> Self {
        let name = shared.resolve(link);
        Self {
            link,
            uri,
            name: Some(name),
            addresses: VecDeque::new(),
            attempts: Vec::new(),
            next: Time::MAX,
            last_error: None,
        }
    }

    /// The name's addresses are known.
    pub(super) fn resolved(
        &mut self,
        shared: &mut Shared,
        now: Time,
        result: Result<Vec<SocketAddr>, String>,
    ) -> Outcome {
        self.name = None;
        let mut addresses = match result {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return Outcome::Failed("the name has no address".to_owned()),
            Err(error) => return Outcome::Failed(error),
        };
        shared.leave_out_own(now, &mut addresses);
        if addresses.is_empty() {
            return Outcome::Failed("--to is this relay's own --listen".to_owned());
        }
        match shared.config.to.protocol {
            Protocol::Rtmp | Protocol::RtmpSimple => {
                self.addresses = addresses.into();
                self.try_next(shared, now)
            }
            Protocol::Rtmfp => self.open_rtmfp(shared, now, addresses),
        }
    }

    fn try_next(&mut self, shared: &mut Shared, now: Time) -> Outcome {
        match self.addresses.pop_front() {
            Some(to) => {
                self.attempts.push(shared.connect(self.link, to));
                self.next =
                    if self.addresses.is_empty() { Time::MAX } else { now + shared.config.timeouts.address };
                Outcome::Wait
            }
            None if self.attempts.is_empty() => {
                Outcome::Failed(self.last_error.take().unwrap_or_else(|| "no address is left".to_owned()))
            }
            None => {
                self.next = Time::MAX;
                Outcome::Wait
            }
        }
    }

    /// An attempt has failed.
    pub(super) fn stream_closed(
        &mut self,
        shared: &mut Shared,
        now: Time,
        stream: StreamId,
        error: Option<String>,
    ) -> Outcome {
        self.attempts.retain(|attempt| *attempt != stream);
        self.last_error = Some(error.unwrap_or_else(|| "the connection was closed".to_owned()));
        self.try_next(shared, now)
    }

    /// An attempt has succeeded: the others are given up.
    pub(super) fn connected(&mut self, shared: &mut Shared, now: Time, stream: StreamId) -> Outcome {
        self.attempts.retain(|attempt| *attempt != stream);
        self.cancel(shared);
        Outcome::Link(shared.connected_rtmp(now, self.link, stream))
    }

    /// An endpoint of the client's own, with a socket for each address family that is needed.
    fn open_rtmfp(&self, shared: &mut Shared, now: Time, addresses: Vec<SocketAddr>) -> Outcome {
        let profile = match shared.profiles.outgoing(&shared.config.to) {
            Ok(profile) => profile,
            Err(error) => return Outcome::Failed(error),
        };
        let endpoint = Endpoint::new(shared.endpoint_config(true), profile, shared.seed(), now);
        let endpoint = shared.endpoints.add(endpoint);
        let wildcards = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let mut sockets = 0;
        for ip in wildcards {
            if addresses.iter().any(|address| address.is_ipv4() == ip.is_ipv4()) {
                shared.endpoints.open_socket(endpoint, (ip, 0).into(), &mut shared.actions);
                sockets += 1;
            }
        }
        let links = shared.links.clone();
        let mut cx = shared.cx(now);
        match RtmfpLink::connect(&mut cx, self.link, endpoint, &self.uri, links) {
            Ok(link) => {
                shared
                    .outgoing
                    .insert(endpoint, Outgoing { link: self.link, candidates: addresses, sockets });
                Outcome::Link(Link::Rtmfp(Box::new(link)))
            }
            Err(error) => {
                shared.endpoints.retire(now, endpoint);
                Outcome::Failed(error.to_string())
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        Some(self.next).filter(|at| !at.is_never())
    }

    pub(super) fn handle_timeout(&mut self, shared: &mut Shared, now: Time) -> Outcome {
        if self.next <= now { self.try_next(shared, now) } else { Outcome::Wait }
    }

    /// Gives everything up that is under way.
    pub(super) fn cancel(&mut self, shared: &mut Shared) {
        if let Some(name) = self.name.take() {
            shared.names.remove(&name);
        }
        for stream in self.attempts.drain(..) {
            shared.streams.remove(&stream);
            shared.actions.push_back(Action::Abort { stream });
        }
    }
}

/// What is known of the endpoint that relays a client.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) link: LinkId,
    /// Where the destination may be.
    pub(super) candidates: Vec<SocketAddr>,
    /// Sockets that are open, or may still be.
    pub(super) sockets: u32,
}

impl Outgoing {
    /// The addresses that can be reached from a socket.
    pub(super) fn reachable_from(&self, local: SocketAddr) -> Vec<SocketAddr> {
        self.candidates.iter().copied().filter(|to| to.is_ipv4() == local.is_ipv4()).collect()
    }
}
