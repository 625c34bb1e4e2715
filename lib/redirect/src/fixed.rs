//! A redirector without targets.

use rtmfp::wire::{Address, Origin};
use rtmfp::{Endpoint, Event};
use rtmfp_base::Time;

use core::net::SocketAddr;

use crate::limiter::HelloLimiter;
use crate::server::{Hello, RedirectLimits, is_ipv4, shorten};

/// Redirects everybody to the same addresses, whatever they ask for. Its endpoint should be selected by no discriminator.
#[derive(Debug)]
pub struct Fixed {
    addresses: Vec<Address>,
    rotate: bool,
    same_family: bool,
    limits: RedirectLimits,
    limiter: HelloLimiter,
    redirects: u64,
    limited: u64,
}

impl Fixed {
    /// Redirects to these addresses; with `rotate` each Redirect begins with the next of them. Nobody else may know the
    /// secret.
    pub fn new(addresses: &[SocketAddr], rotate: bool, limits: RedirectLimits, secret: u128) -> Self {
        let addresses = addresses.iter().map(|&addr| Address { origin: Origin::Reported, addr }).collect();
        let limiter = limits.limiter(secret);
        Self { addresses, rotate, same_family: false, limits, limiter, redirects: 0, limited: 0 }
    }

    /// Says whether everybody gets the addresses of the family only that he comes by. At first everybody gets all.
    pub fn set_same_family(&mut self, same_family: bool) {
        self.same_family = same_family;
    }

    /// Has an endpoint tell of the hellos that are to be answered.
    pub fn start(&self, endpoint: &mut Endpoint) {
        endpoint.set_watch_hellos(true);
        endpoint.set_accepting(false);
    }

    /// Takes an event of its endpoint. Answers whether it was for it.
    pub fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: &Event) -> bool {
        let Event::UnmatchedIHello { epd, tag, from, via, len } = event else { return false };
        let hello = Hello { epd, tag, from: *from, via: *via, len: *len };
        if !self.limiter.take(now, hello.from, tag) {
            self.limited += 1;
            return true;
        }
        let is_wanted = |address: &Address| !self.same_family || is_ipv4(address.addr) == is_ipv4(hello.from);
        let mut list = vec![self.addresses.iter().copied().filter(is_wanted).collect()];
        shorten(&mut list, self.limits.room(endpoint, &hello));
        let addresses = list.concat();
        // None would mean this very redirector.
        if !addresses.is_empty() && endpoint.send_redirect(*via, *from, tag, &addresses).is_ok() {
            self.redirects += 1;
        }
        if self.rotate && !self.addresses.is_empty() {
            self.addresses.rotate_left(1);
        }
        true
    }

    /// Redirects that were sent.
    pub fn redirects(&self) -> u64 {
        self.redirects
    }

    /// Hellos that were not answered because too many came.
    pub fn limited(&self) -> u64 {
        self.limited
    }
}
