//! The ports beside those of listeners: TCP beside UDP and the reverse, where encoders and players come that were given
//! the wrong protocol or port. They get no answer; the log says what is wrong.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use log::{debug, info, warn};
use rtmfp_base::{Action, InterfaceId, ListenerId, RecvMeta, SocketId, StreamId, Time};

use super::{Destination, Listen, Protocol, RelayConfig};
use crate::lines::More;

/// All of a relay.
#[derive(Debug)]
pub(super) struct Doors {
    all: Vec<Door>,
    /// Whether there are any.
    watches: bool,
    listen: Vec<Listen>,
    to: Destination,
    /// How often each tells of somebody at most.
    interval: Duration,
    /// How many came.
    came: u64,
}

#[derive(Debug)]
struct Door {
    /// Beside which listener it is.
    listen: Listen,
    state: State,
    /// When the next one may be told of, and how many came since the last one that was.
    quiet_until: Time,
    untold: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// It is open, or may be soon.
    Watched,
    /// It belongs to somebody else, or was closed.
    Closed,
}

/// Numbers of sockets and listeners count from there: downwards, and upwards.
const LAST_SOCKET: u32 = u32::MAX;
const FIRST_LISTENER: u32 = 1 << 31;

impl Doors {
    pub(super) fn new(config: &RelayConfig) -> Self {
        Self {
            all: Vec::new(),
            watches: config.watch_other_ports,
            listen: config.listen.clone(),
            to: config.to.clone(),
            interval: config.wrong_port_interval,
            came: 0,
        }
    }

    /// How many came to a wrong port.
    pub(super) fn came(&self) -> u64 {
        self.came
    }

    /// Watches the port beside a listener, unless another listener has it or it may be the destination's.
    pub(super) fn watch(&mut self, actions: &mut VecDeque<Action>, listen: Listen) {
        let address = listen.address;
        let udp = listen.protocol == Protocol::Rtmfp;
        let is_beside = |port: u16, protocol| port == address.port() && (protocol == Protocol::Rtmfp) != udp;
        let taken = is_beside(self.to.port, self.to.protocol)
            || self.listen.iter().any(|other| is_beside(other.address.port(), other.protocol));
        if taken || !self.watches {
            return;
        }
        let number = self.all.len() as u32;
        self.all.push(Door { listen, state: State::Watched, quiet_until: Time::ZERO, untold: 0 });
        actions.push_back(if udp {
            Action::Listen { listener: ListenerId(FIRST_LISTENER + number), address }
        } else {
            Action::OpenUdp { socket: InterfaceId(LAST_SOCKET - number), options: address.into() }
        });
    }

    /// Whether the socket is one of these. Those that cannot be had are done without.
    pub(super) fn udp_ready(&mut self, socket: SocketId, result: &Result<SocketAddr, String>) -> bool {
        self.of_socket(socket).map(|number| self.ready(number, result)).is_some()
    }

    /// The same of a listener.
    pub(super) fn tcp_ready(&mut self, listener: ListenerId, result: &Result<SocketAddr, String>) -> bool {
        self.of_listener(listener).map(|number| self.ready(number, result)).is_some()
    }

    /// Somebody has connected; answers whether that was here.
    pub(super) fn accepted(
        &mut self,
        actions: &mut VecDeque<Action>,
        now: Time,
        listener: ListenerId,
        stream: StreamId,
        peer: SocketAddr,
    ) -> bool {
        let Some(number) = self.of_listener(listener) else { return false };
        actions.push_back(Action::Abort { stream });
        self.tell(now, number, peer);
        true
    }

    /// A datagram has come; answers whether that was here.
    pub(super) fn datagram(&mut self, now: Time, meta: &RecvMeta, bytes: &[u8]) -> bool {
        let Some(number) = self.of_socket(meta.interface) else { return false };
        if begins_rtmfp(bytes) {
            self.tell(now, number, meta.from);
        } else {
            // Stray datagrams come to any port, and are nobody's mistake here.
            self.came += 1;
            debug!("{} sends something by UDP that is no RTMFP to a TCP port", meta.from);
        }
        true
    }

    /// Leaves all of them.
    pub(super) fn close(&mut self, actions: &mut VecDeque<Action>) {
        for (number, door) in (0..).zip(&mut self.all) {
            if core::mem::replace(&mut door.state, State::Closed) == State::Watched {
                actions.push_back(if door.listen.protocol == Protocol::Rtmfp {
                    Action::CloseListener { listener: ListenerId(FIRST_LISTENER + number) }
                } else {
                    Action::CloseUdp { socket: InterfaceId(LAST_SOCKET - number) }
                });
            }
        }
    }

    fn of_socket(&self, socket: SocketId) -> Option<usize> {
        let number = (LAST_SOCKET - socket.0) as usize;
        (self.all.get(number)?.listen.protocol != Protocol::Rtmfp).then_some(number)
    }

    fn of_listener(&self, listener: ListenerId) -> Option<usize> {
        let number = listener.0.checked_sub(FIRST_LISTENER)? as usize;
        (self.all.get(number)?.listen.protocol == Protocol::Rtmfp).then_some(number)
    }

    fn ready(&mut self, number: usize, result: &Result<SocketAddr, String>) {
        let Some(door) = self.all.get_mut(number) else { return };
        match result {
            Ok(_) => info!("{}", Watched(door.listen)),
            Err(error) => {
                debug!("the port beside {} is not watched: {error}", door.listen);
                door.state = State::Closed;
            }
        }
    }

    fn tell(&mut self, now: Time, number: usize, peer: SocketAddr) {
        self.came += 1;
        let Some(door) = self.all.get_mut(number) else { return };
        if now < door.quiet_until {
            door.untold += 1;
            return;
        }
        door.quiet_until = now + self.interval;
        let more = More(core::mem::take(&mut door.untold));
        let listen = door.listen;
        let is_right =
            |other: &&Listen| (other.protocol == Protocol::Rtmfp) != (listen.protocol == Protocol::Rtmfp);
        let right: Vec<&Listen> = self.listen.iter().filter(is_right).collect();
        warn!("{}{more}", Stray { peer, listen, right: &right });
    }
}

/// The transport of a protocol, and the other one.
const fn transports(protocol: Protocol) -> [&'static str; 2] {
    match protocol {
        Protocol::Rtmfp => ["UDP", "TCP"],
        Protocol::Rtmp | Protocol::RtmpSimple => ["TCP", "UDP"],
    }
}

/// What is said of the port beside a listener, which others might look for.
struct Watched(Listen);

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(listen) = self;
        let [_, transport] = transports(listen.protocol);
        let address = listen.address;
        write!(
            f,
            "{transport} {address} is taken too, only to tell of clients that come there instead of to {listen}; "
        )?;
        f.write_str("--no-wrong-port-watch leaves it alone")
    }
}

/// What is said of somebody who comes to the port beside a listener.
struct Stray<'a> {
    peer: SocketAddr,
    listen: Listen,
    /// The listeners that it may have meant.
    right: &'a [&'a Listen],
}

impl fmt::Display for Stray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, listen, right } = self;
        let [own, _] = transports(listen.protocol);
        let (what, spoken) = match listen.protocol {
            Protocol::Rtmfp => ("connects by TCP", "rtmp"),
            Protocol::Rtmp | Protocol::RtmpSimple => ("begins an RTMFP session", "rtmfp"),
        };
        write!(f, "{peer} {what} to the port of {listen}, which is {own}: ")?;
        if right.is_empty() {
            let other = listen.protocol;
            return write!(
                f,
                "this relay has no {spoken}:// listener; add one by --listen {spoken}://..., or use {other}:// there"
            );
        }
        write!(f, "{spoken}:// goes to ")?;
        for (number, right) in right.iter().enumerate() {
            write!(f, "{}{right}", if number == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Whether a datagram has session id 0, as those have that begin a session: it is the exclusive or of the first three
/// words (RFC 7016 section 2.2.2).
fn begins_rtmfp(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first_chunk::<12>() else { return false };
    let words = first.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));
    words.fold(0, |sum, word| sum ^ word) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(protocol: Protocol, port: u16) -> Listen {
        Listen { protocol, address: ([10, 0, 0, 1], port).into(), legacy: false }
    }

    #[test]
    fn who_comes_to_the_wrong_port_is_told_of_with_the_right_one() {
        let peer = SocketAddr::from(([10, 1, 0, 1], 5000));
        let [rtmp, rtmfp] = [listen(Protocol::Rtmp, 1935), listen(Protocol::Rtmfp, 1936)];
        let stray = Stray { peer, listen: rtmfp, right: &[&rtmp] }.to_string();
        let wanted = "10.1.0.1:5000 connects by TCP to the port of rtmfp://10.0.0.1:1936, which is UDP: rtmp:// goes to \
                      rtmp://10.0.0.1:1935";
        assert_eq!(stray, wanted);
        let stray = Stray { peer, listen: rtmp, right: &[&rtmfp] }.to_string();
        let wanted = "10.1.0.1:5000 begins an RTMFP session to the port of rtmp://10.0.0.1:1935, which is TCP: rtmfp:// \
                      goes to rtmfp://10.0.0.1:1936";
        assert_eq!(stray, wanted);
    }

    #[test]
    fn where_there_is_no_right_port_it_is_told_how_to_have_one() {
        let peer = SocketAddr::from(([10, 1, 0, 1], 5000));
        let lost = Stray { peer, listen: listen(Protocol::Rtmfp, 1935), right: &[] }.to_string();
        let wanted =
            "this relay has no rtmp:// listener; add one by --listen rtmp://..., or use rtmfp:// there";
        assert!(lost.ends_with(wanted), "{lost}");
        let lost = Stray { peer, listen: listen(Protocol::Rtmp, 1935), right: &[] }.to_string();
        let wanted =
            "this relay has no rtmfp:// listener; add one by --listen rtmfp://..., or use rtmp:// there";
        assert!(lost.ends_with(wanted), "{lost}");
    }

    #[test]
    fn a_port_that_is_watched_is_named_with_the_switch_that_leaves_it_alone() {
        let watched = Watched(listen(Protocol::Rtmfp, 1935)).to_string();
        assert!(watched.starts_with("TCP 10.0.0.1:1935 is taken too"), "{watched}");
        assert!(watched.ends_with("--no-wrong-port-watch leaves it alone"), "{watched}");
        assert!(Watched(listen(Protocol::Rtmp, 1935)).to_string().starts_with("UDP 10.0.0.1:1935"));
    }

    #[test]
    fn packets_with_session_id_0_are_told_from_others() {
        let mut packet = *b"\x00\x00\x00\x00abcdefgh and more";
        for at in 0..4 {
            packet[at] = packet[at + 4] ^ packet[at + 8];
        }
        assert!(begins_rtmfp(&packet));
        packet[0] ^= 1;
        assert!(!begins_rtmfp(&packet));
        assert!(!begins_rtmfp(b"\0\0\0\0"));
    }
}
