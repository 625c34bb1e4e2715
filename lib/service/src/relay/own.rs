//! Whether a relay is its own destination: then each client would come back as another one, until there are as many as may
//! be.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use rtmfp_base::{Action, InterfaceId, SocketId, Time, UdpOptions};

use super::{Listen, Protocol};

/// Whether a listener that is bound to an address is what others find at another one, of the same transport; `None` where
/// that depends on whether that one is this machine's.
pub fn leads_back(bound: SocketAddr, at: SocketAddr) -> Option<bool> {
    if bound.port() != at.port() || bound.is_ipv4() != at.is_ipv4() {
        return Some(false);
    }
    // Who connects to "all addresses" comes to the loopback.
    let is_loopback = at.ip().is_loopback() || at.ip().is_unspecified();
    let is_wide = bound.ip().is_unspecified();
    let is_there = bound.ip() == at.ip()
        || is_loopback && (is_wide || bound.ip().is_loopback() && at.ip().is_unspecified());
    if is_there || !is_wide { Some(is_there) } else { None }
}

/// Where a relay listens itself.
#[derive(Debug)]
pub(super) struct Own {
    listens: Vec<Listen>,
    /// Whether addresses are this machine's, as far as that was asked, and when. Addresses move from one machine to another.
    known: BTreeMap<IpAddr, (bool, Time)>,
    /// Sockets by which it is being found out.
    probes: BTreeMap<SocketId, Probe>,
    next_probe: u32,
}

/// An address that can be bound is this machine's, unless the system lets programs bind any address at all: then nothing is
/// known.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// An address of documentation is tried first, which nobody has.
    Nobodys(IpAddr),
    Address(IpAddr),
}

impl Probe {
    fn ip(self) -> IpAddr {
        match self {
            Self::Nobodys(ip) | Self::Address(ip) => ip,
        }
    }
}

/// Numbers of probes count from there.
const FIRST_PROBE: u32 = 1 << 30;

/// Addresses that are remembered. A name has few.
const MOST_KNOWN: usize = 64;

/// What was found out holds for so long.
const GOOD_FOR: Duration = Duration::from_secs(60);

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
    pub(super) fn has(
        &mut self,
        actions: &mut VecDeque<Action>,
        now: Time,
        protocol: Protocol,
        at: SocketAddr,
    ) -> bool {
        let of_transport =
            |listen: &&Listen| (listen.protocol == Protocol::Rtmfp) == (protocol == Protocol::Rtmfp);
        let mut is_open = false;
        for listen in self.listens.iter().filter(of_transport) {
            match leads_back(listen.address, at) {
                Some(true) => return true,
                Some(false) => {}
                None => is_open = true,
            }
        }
        if !is_open {
            return false;
        }
        let known = self.known.get(&at.ip()).copied();
        if known.is_none_or(|(_, asked)| now.since(asked) >= GOOD_FOR) {
            self.ask(actions, at.ip());
        }
        known.is_some_and(|(is_here, _)| is_here)
    }

    fn ask(&mut self, actions: &mut VecDeque<Action>, ip: IpAddr) {
        if self.probes.values().all(|probe| probe.ip() != ip) && self.probes.len() < MOST_KNOWN {
            self.open(actions, Probe::Nobodys(ip));
        }
    }

    fn open(&mut self, actions: &mut VecDeque<Action>, probe: Probe) {
        let socket = InterfaceId(self.next_probe);
        self.next_probe = FIRST_PROBE | self.next_probe.wrapping_add(1) & (FIRST_PROBE - 1);
        self.probes.insert(socket, probe);
        let ip = match probe {
            Probe::Address(ip) => ip,
            // RFC 5737 and RFC 3849.
            Probe::Nobodys(IpAddr::V4(_)) => Ipv4Addr::new(192, 0, 2, 1).into(),
            Probe::Nobodys(IpAddr::V6(_)) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        actions.push_back(Action::OpenUdp { socket, options: UdpOptions::from(SocketAddr::new(ip, 0)) });
    }

    /// Whether the socket is one of these.
    pub(super) fn udp_ready(
        &mut self,
        actions: &mut VecDeque<Action>,
        now: Time,
        socket: SocketId,
        result: &Result<SocketAddr, String>,
    ) -> bool {
        let Some(probe) = self.probes.remove(&socket) else { return false };
        if result.is_ok() {
            actions.push_back(Action::CloseUdp { socket });
        }
        match (probe, result.is_ok()) {
            (Probe::Nobodys(ip), false) => self.open(actions, Probe::Address(ip)),
            (Probe::Nobodys(ip), true) => self.note(now, ip, false),
            (Probe::Address(ip), is_here) => self.note(now, ip, is_here),
        }
        true
    }

    fn note(&mut self, now: Time, ip: IpAddr, is_here: bool) {
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(ip, (is_here, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(protocol: Protocol, address: &str) -> Listen {
        Listen { protocol, address: address.parse().unwrap(), legacy: false }
    }

    const NOW: Time = Time::from_secs(1);

    fn has(own: &mut Own, protocol: Protocol, at: &str) -> (bool, Option<(SocketId, IpAddr)>) {
        let mut actions = VecDeque::new();
        let has = own.has(&mut actions, NOW, protocol, at.parse().unwrap());
        (has, actions.pop_front().map(probe))
    }

    /// The socket by which an address is tried.
    fn probe(action: Action) -> (SocketId, IpAddr) {
        match action {
            Action::OpenUdp { socket, options } => {
                assert_eq!(options.address.port(), 0);
                (socket, options.address.ip())
            }
            other => panic!("{other:?}"),
        }
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
    fn an_address_is_this_machine_s_if_it_can_be_bound_but_not_where_any_can() {
        const AT: &str = "10.0.0.1:1935";
        let opened = || Ok("10.0.0.1:5".parse().unwrap());
        let refused = || Err("no".to_owned());
        for (nobodys, address, is) in
            [(refused(), Some(opened()), true), (refused(), Some(refused()), false), (opened(), None, false)]
        {
            let mut own = Own::new(&[listen(Protocol::Rtmfp, "0.0.0.0:1935")]);
            let (known, first) = has(&mut own, Protocol::Rtmfp, AT);
            assert_eq!(
                (known, has(&mut own, Protocol::Rtmfp, AT)),
                (false, (false, None)),
                "it is asked once"
            );
            let (socket, ip) = first.expect("it is asked");
            assert_ne!(ip, IpAddr::from([10, 0, 0, 1]));
            let mut actions = VecDeque::new();
            assert!(own.udp_ready(&mut actions, NOW, socket, &nobodys));
            assert!(!own.udp_ready(&mut actions, NOW, socket, &nobodys));
            match address {
                Some(result) => {
                    let (socket, ip) = probe(actions.pop_front().expect("the address itself is tried"));
                    assert_eq!(ip, IpAddr::from([10, 0, 0, 1]));
                    assert!(own.udp_ready(&mut actions, NOW, socket, &result));
                    assert_eq!(actions.len(), usize::from(is), "a socket that is open is closed");
                }
                None => assert!(matches!(actions.pop_front(), Some(Action::CloseUdp { .. }))),
            }
            assert_eq!(has(&mut own, Protocol::Rtmfp, AT), (is, None));
            // It may have moved to another machine since.
            let mut actions = VecDeque::new();
            own.has(&mut actions, NOW + GOOD_FOR, Protocol::Rtmfp, AT.parse().unwrap());
            assert_eq!(actions.len(), 1);
        }
    }
}
