//! Answers to hellos.

use core::net::SocketAddr;

use rtmfp::wire::{Address, Origin};
use rtmfp::{Endpoint, Via};
use rtmfp_base::Time;

use super::Server;
use super::config::HashKey;
use super::takers::is_ipv4;
use super::target::TargetId;
use crate::pools::Wanted;

impl Server {
    pub(super) fn on_hello(
        &mut self,
        now: Time,
        endpoint: &mut Endpoint,
        (epd, tag): (&[u8], &[u8]),
        from: SocketAddr,
        via: Option<Via>,
    ) {
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
        let (addresses, forward_to) = self.list(&chosen, from, tag);
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
            for &id in &chosen {
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

    /// The addresses for a client, and the targets that are told of it.
    fn list(&mut self, chosen: &[TargetId], from: SocketAddr, tag: &[u8]) -> (Vec<Address>, Vec<TargetId>) {
        let is_near = |address: &Address| is_ipv4(address.addr) == is_ipv4(from);
        let reported = |&addr: &SocketAddr| Address { origin: Origin::Reported, addr };
        let mut lists = vec![self.config.static_addresses.iter().map(reported).collect::<Vec<_>>()];
        let mut forward_to = Vec::new();
        for &id in chosen {
            let Some(target) = self.targets.get(id) else { continue };
            let mut own: Vec<Address> = Vec::new();
            for address in target.addresses().filter(|address| !self.config.same_family || is_near(address)) {
                let known = |other: &Address| other.addr == address.addr;
                if !lists.iter().skip(1).flatten().any(known) && !own.iter().any(known) {
                    own.push(address);
                }
            }
            if self.config.forward_any_family || own.iter().any(is_near) {
                forward_to.push(id);
            }
            lists.push(own);
        }
        let room = self.config.limits.redirects.room_beside(tag);
        self.stats.shortened_redirects += u64::from(shorten(&mut lists, room));
        (lists.concat(), forward_to)
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
