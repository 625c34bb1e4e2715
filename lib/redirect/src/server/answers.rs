//! Answers to hellos.

use core::net::SocketAddr;

use rtmfp::wire::{Address, Origin};
use rtmfp::{Endpoint, Via};
use rtmfp_base::Time;

use super::Server;
use super::config::HashKey;
use super::takers::is_ipv4;
use super::target::{Target, TargetId};
use crate::pools::Wanted;

/// An IHello for others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) epd: &'a [u8],
    pub(crate) tag: &'a [u8],
    pub(crate) from: SocketAddr,
    pub(crate) via: Option<Via>,
    /// Bytes of its datagram.
    pub(crate) len: usize,
}

/// The answer to one.
struct Answer {
    addresses: Vec<Address>,
    /// The targets of which it names addresses.
    named: Vec<TargetId>,
    /// The targets that are told of the client.
    forward_to: Vec<TargetId>,
}

impl Server {
    pub(super) fn on_hello(&mut self, now: Time, endpoint: &mut Endpoint, hello: &Hello<'_>) {
        let Hello { epd, tag, from, via, .. } = *hello;
        self.stats.hellos += 1;
        if !self.answers.take(now, from, tag) {
            self.stats.limited_hellos += 1;
            return;
        }
        let Some(wanted) = Wanted::parse(epd) else {
            self.stats.ignored_hellos += 1;
            return;
        };
        let chosen = self.choose(now, &wanted, from);
        let room = self.config.limits.redirects.room(endpoint, hello);
        let Answer { addresses, named, forward_to } = self.list(&chosen, from, room);
        if addresses.is_empty() && forward_to.is_empty() {
            self.stats.unanswered_hellos += 1;
            return;
        }
        // The Redirect first: the hello that it brings about is soon under way, and opens the NAT box of the one who looks.
        if !addresses.is_empty() {
            match endpoint.send_redirect(via, from, tag, &addresses) {
                Ok(()) => self.stats.redirects += 1,
                Err(_) => self.stats.failed_answers += 1,
            }
            for id in named {
                if let Some(target) = self.targets.get_mut(id) {
                    target.info.redirects += 1;
                }
            }
        }
        for id in forward_to {
            let Some(target) = self.targets.get_mut(id) else { continue };
            let forwarded =
                endpoint.session(target.session).map(|mut session| session.forward_ihello(epd, from, tag));
            match forwarded {
                Some(Ok(())) => {
                    target.info.forwards += 1;
                    self.stats.forwards += 1;
                }
                _ => self.stats.failed_answers += 1,
            }
        }
    }

    fn choose(&mut self, now: Time, wanted: &Wanted<'_>, from: SocketAddr) -> Vec<TargetId> {
        if let Some(fingerprint) = wanted.fingerprint {
            self.stats.fingerprint_hellos += 1;
            return self.by_identity.get(fingerprint).copied().into_iter().collect();
        }
        let key = match &self.config.key {
            HashKey::Application => None,
            HashKey::Uri => wanted.uri,
            HashKey::Parameter(name) => wanted.parameter(name.as_bytes()),
        };
        let count = self.config.targets();
        let pool = self.pools.find(wanted);
        let key = key.unwrap_or(wanted.application);
        self.takers.get_mut(pool).map(|takers| takers.choose(now, from, count, key)).unwrap_or_default()
    }

    /// What a client is told, in so many bytes of addresses, and who is told of it.
    fn list(&mut self, chosen: &[TargetId], from: SocketAddr, room: usize) -> Answer {
        let is_near = |address: &Address| is_ipv4(address.addr) == is_ipv4(from);
        let reported = |&addr: &SocketAddr| Address { origin: Origin::Reported, addr };
        let mut lists = vec![self.config.static_addresses.iter().map(reported).collect::<Vec<_>>()];
        for &id in chosen {
            let mut own: Vec<Address> = Vec::new();
            let all = self.targets.get(id).into_iter().flat_map(Target::addresses);
            for address in all.filter(|address| !self.config.same_family || is_near(address)) {
                let known = |other: &Address| other.addr == address.addr;
                if !lists.iter().skip(1).flatten().any(known) && !own.iter().any(known) {
                    own.push(address);
                }
            }
            lists.push(own);
        }
        self.stats.shortened_redirects += u64::from(shorten(&mut lists, room));
        let those = |is_meant: &dyn Fn(&Vec<Address>) -> bool| -> Vec<TargetId> {
            let all = chosen.iter().zip(lists.iter().skip(1));
            all.filter(|(_, own)| is_meant(own)).map(|(&id, _)| id).collect()
        };
        let any_family = self.config.forward_any_family;
        Answer {
            named: those(&|own| !own.is_empty()),
            forward_to: those(&|own| any_family || own.iter().any(is_near)),
            addresses: lists.concat(),
        }
    }
}

/// Shortens lists of addresses until all together take at most so many bytes; the longest one goes first, and of equal ones
/// the last. Answers whether it had to.
pub(crate) fn shorten(lists: &mut [Vec<Address>], room: usize) -> bool {
    let len = |list: &Vec<Address>| list.iter().map(Address::encoded_len).sum::<usize>();
    let mut lengths: Vec<usize> = lists.iter().map(len).collect();
    let mut shortened = false;
    while lengths.iter().sum::<usize>() > room {
        let longest = lists.iter_mut().zip(&mut lengths).max_by_key(|(_, len)| **len);
        let Some((list, len)) = longest else { break };
        let Some(dropped) = list.pop() else { break };
        *len -= dropped.encoded_len();
        shortened = true;
    }
    shortened
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(net: u8, count: u16) -> Vec<Address> {
        (1..=count)
            .map(|port| Address { origin: Origin::Reported, addr: ([10, 0, 0, net], port).into() })
            .collect()
    }

    #[test]
    fn lists_that_fit_stay_and_long_ones_lose_their_ends_before_short_ones() {
        let mut lists = [list(1, 2), list(2, 30), list(3, 3)];
        assert!(!shorten(&mut lists, 35 * 7));
        assert!(shorten(&mut lists, 11 * 7));
        assert_eq!(lists, [list(1, 2), list(2, 6), list(3, 3)]);
        assert!(shorten(&mut lists, 4 * 7 + 6));
        assert_eq!(lists.each_ref().map(Vec::len), [2, 1, 1]);
        assert!(shorten(&mut lists, 0));
        assert_eq!(lists.concat(), []);
    }
}
