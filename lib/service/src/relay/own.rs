//! Whether a relay is its own destination: then each client would come back as another one, until there are as many as may
//! be.

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};

use rtmfp_base::{Action, InterfaceId, SocketId, UdpOptions};

use super::{Listen, Protocol};

/// Where a relay listens itself.
#[derive(Debug)]
pub(super) struct Own {
    listens: Vec<Listen>,
    /// Whether addresses are this machine's, as far as that was asked.
    known: BTreeMap<IpAddr, bool>,
    /// Sockets by which it is being found out: an address that can be bound is.
    probes: BTreeMap<SocketId, IpAddr>,
    next_probe: u32,
}

/// Numbers of probes count from there.
const FIRST_PROBE: u32 = 1 << 30;

/// Addresses that are remembered. A name has few.
const MOST_KNOWN: usize = 64;

impl Own {
    /// Those of the command line; others follow when their ports are known.
    pub(super) fn new(listens: &[Listen]) -> Self {
        let listens = listens.iter().copied().filter(|listen| listen.address.port() != 0).collect();
        Self { listens, known: BTreeMap::new(), probes: BTreeMap::new(), next_probe: FIRST_PROBE }
    }

    /// A listener is open.
    pub(super) fn add(&mut self, listen: Listen) {
        if !self.listens.contains(&listen) {
            self.listens.push(listen);
        }
    }

    /// Whether a listener is at an address. One that is bound to all addresses is at those of this machine: whether others
    /// than the loopback's are, is found out for the next time. A destination of the other protocol is somebody else, as
    /// a media server beside its relay.
    pub(super) fn has(&mut self, actions: &mut VecDeque<Action>, protocol: Protocol, at: SocketAddr) -> bool {
        let mut is_open = false;
        for listen in &self.listens {
            let bound = listen.address;
            let is_beside = (listen.protocol == Protocol::Rtmfp) != (protocol == Protocol::Rtmfp);
            if is_beside || bound.port() != at.port() || bound.is_ipv4() != at.is_ipv4() {
                continue;
            }
            // Who connects to "all addresses" comes to the loopback.
            let is_loopback = at.ip().is_loopback() || at.ip().is_unspecified();
            let is_wide = bound.ip().is_unspecified();
            if bound.ip() == at.ip()
                || is_loopback && (is_wide || bound.ip().is_loopback() && at.ip().is_unspecified())
            {
                return true;
            }
            is_open |= is_wide;
        }
        if !is_open {
            return false;
        }
        match self.known.get(&at.ip()) {
            Some(&is_here) => is_here,
            None => {
                self.probe(actions, at.ip());
                false
            }
        }
    }

    fn probe(&mut self, actions: &mut VecDeque<Action>, ip: IpAddr) {
        if self.probes.values().any(|asked| *asked == ip) || self.probes.len() >= MOST_KNOWN {
            return;
        }
        let socket = InterfaceId(self.next_probe);
        self.next_probe = FIRST_PROBE | self.next_probe.wrapping_add(1) & (FIRST_PROBE - 1);
        self.probes.insert(socket, ip);
        actions.push_back(Action::OpenUdp { socket, options: UdpOptions::from(SocketAddr::new(ip, 0)) });
    }

    /// Whether the socket is one of these.
    pub(super) fn udp_ready(
        &mut self,
        actions: &mut VecDeque<Action>,
        socket: SocketId,
        result: &Result<SocketAddr, String>,
    ) -> bool {
        let Some(ip) = self.probes.remove(&socket) else { return false };
        if result.is_ok() {
            actions.push_back(Action::CloseUdp { socket });
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(ip, result.is_ok());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(protocol: Protocol, address: &str) -> Listen {
        Listen { protocol, address: address.parse().unwrap(), legacy: false }
    }

    fn has(own: &mut Own, protocol: Protocol, at: &str) -> (bool, Option<SocketId>) {
        let mut actions = VecDeque::new();
        let has = own.has(&mut actions, protocol, at.parse().unwrap());
        let probe = actions.pop_front().map(|action| match action {
            Action::OpenUdp { socket, options } => {
                assert_eq!(options.address.port(), 0);
                socket
            }
            other => panic!("{other:?}"),
        });
        (has, probe)
    }

    #[test]
    fn a_listener_is_at_its_address_and_one_for_all_at_the_loopback_too() {
        let mut own =
            Own::new(&[listen(Protocol::Rtmp, "10.0.0.1:1935"), listen(Protocol::Rtmp, "0.0.0.0:1936")]);
        for (at, is) in [
            ("10.0.0.1:1935", true),
            ("10.0.0.2:1935", false),
            ("127.0.0.1:1935", false),
            ("127.0.0.1:1936", true),
            ("127.3.2.1:1936", true),
            ("0.0.0.0:1936", true),
            ("[::1]:1936", false),
            ("127.0.0.1:1937", false),
        ] {
            assert_eq!(has(&mut own, Protocol::Rtmp, at), (is, None), "{at}");
            assert_eq!(has(&mut own, Protocol::RtmpSimple, at), (is, None), "{at}");
        }
    }

    #[test]
    fn the_other_protocol_s_port_is_somebody_else_s() {
        let mut own = Own::new(&[listen(Protocol::Rtmfp, "0.0.0.0:1935")]);
        assert_eq!(has(&mut own, Protocol::Rtmp, "127.0.0.1:1935"), (false, None));
        assert_eq!(has(&mut own, Protocol::Rtmfp, "127.0.0.1:1935"), (true, None));
    }

    #[test]
    fn ports_that_the_system_chose_count_once_they_are_known() {
        let mut own = Own::new(&[listen(Protocol::Rtmp, "0.0.0.0:0")]);
        assert_eq!(has(&mut own, Protocol::Rtmp, "127.0.0.1:4000"), (false, None));
        own.add(listen(Protocol::Rtmp, "0.0.0.0:4000"));
        assert_eq!(has(&mut own, Protocol::Rtmp, "127.0.0.1:4000"), (true, None));
    }

    #[test]
    fn an_address_is_this_machine_s_if_it_can_be_bound_and_is_asked_for_once() {
        for (result, is) in [(Ok("10.0.0.1:5".parse().unwrap()), true), (Err("no".to_owned()), false)] {
            let mut own = Own::new(&[listen(Protocol::Rtmfp, "0.0.0.0:1935")]);
            let (known, probe) = has(&mut own, Protocol::Rtmfp, "10.0.0.1:1935");
            assert_eq!((known, has(&mut own, Protocol::Rtmfp, "10.0.0.1:1935")), (false, (false, None)));
            let socket = probe.expect("it is asked");
            let mut actions = VecDeque::new();
            assert!(own.udp_ready(&mut actions, socket, &result));
            assert!(!own.udp_ready(&mut actions, socket, &result));
            assert_eq!(actions.len(), usize::from(is), "a socket that is open is closed");
            assert_eq!(has(&mut own, Protocol::Rtmfp, "10.0.0.1:1935"), (is, None));
        }
    }
}
