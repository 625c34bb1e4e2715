//! The ports beside those of listeners: TCP beside UDP and the reverse, where encoders and players come that were given
//! the wrong protocol or port. They get no answer; the log says what is wrong.

use core::net::SocketAddr;

use log::{debug, warn};
use rtmfp_base::{Action, InterfaceId, ListenerId, RecvMeta, SocketId, StreamId, Time};

use super::shared::Shared;
use super::{Listen, Protocol};

/// All of a relay.
#[derive(Debug, Default)]
pub(super) struct Doors {
    all: Vec<Door>,
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
    /// Watches the port beside a listener, unless it may be the destination's.
    pub(super) fn watch(&mut self, shared: &mut Shared, listen: Listen) {
        let (address, to) = (listen.address, &shared.config.to);
        let udp = listen.protocol == Protocol::Rtmfp;
        if to.port == address.port() && (to.protocol == Protocol::Rtmfp) != udp {
            return;
        }
        let number = self.all.len() as u32;
        self.all.push(Door { listen, state: State::Watched, quiet_until: Time::ZERO, untold: 0 });
        shared.actions.push_back(if udp {
            Action::Listen { listener: ListenerId(FIRST_LISTENER + number), address }
        } else {
            Action::OpenUdp { socket: InterfaceId(LAST_SOCKET - number), options: address.into() }
        });
    }

    /// Whether the socket is one of these. Those that cannot be had are done without.
    pub(super) fn udp_ready(&mut self, socket: SocketId, result: &Result<SocketAddr, String>) -> bool {
        self.of_socket(socket).map(|door| door.ready(result)).is_some()
    }

    /// The same of a listener.
    pub(super) fn tcp_ready(&mut self, listener: ListenerId, result: &Result<SocketAddr, String>) -> bool {
        self.of_listener(listener).map(|door| door.ready(result)).is_some()
    }

    /// Somebody has connected; answers whether that was here.
    pub(super) fn accepted(
        &mut self,
        shared: &mut Shared,
        now: Time,
        listener: ListenerId,
        stream: StreamId,
        peer: SocketAddr,
    ) -> bool {
        let Some(door) = self.of_listener(listener) else { return false };
        shared.actions.push_back(Action::Abort { stream });
        door.tell(shared, now, peer, "connects by TCP", "RTMP goes to");
        true
    }

    /// A datagram has come; answers whether that was here.
    pub(super) fn datagram(&mut self, shared: &mut Shared, now: Time, meta: &RecvMeta, bytes: &[u8]) -> bool {
        let Some(door) = self.of_socket(meta.interface) else { return false };
        let what = if begins_rtmfp(bytes) { "begins an RTMFP session" } else { "sends something by UDP" };
        door.tell(shared, now, meta.from, what, "RTMFP goes to");
        true
    }

    /// Leaves all of them.
    pub(super) fn close(&mut self, shared: &mut Shared) {
        for (number, door) in (0..).zip(&mut self.all) {
            if core::mem::replace(&mut door.state, State::Closed) == State::Watched {
                shared.actions.push_back(if door.listen.protocol == Protocol::Rtmfp {
                    Action::CloseListener { listener: ListenerId(FIRST_LISTENER + number) }
                } else {
                    Action::CloseUdp { socket: InterfaceId(LAST_SOCKET - number) }
                });
            }
        }
    }

    fn of_socket(&mut self, socket: SocketId) -> Option<&mut Door> {
        let door = self.all.get_mut((LAST_SOCKET - socket.0) as usize)?;
        (door.listen.protocol != Protocol::Rtmfp).then_some(door)
    }

    fn of_listener(&mut self, listener: ListenerId) -> Option<&mut Door> {
        let door = self.all.get_mut(listener.0.checked_sub(FIRST_LISTENER)? as usize)?;
        (door.listen.protocol == Protocol::Rtmfp).then_some(door)
    }
}

impl Door {
    fn ready(&mut self, result: &Result<SocketAddr, String>) {
        if let Err(error) = result {
            debug!("the port beside {} is not watched: {error}", self.listen);
            self.state = State::Closed;
        }
    }

    fn tell(&mut self, shared: &mut Shared, now: Time, peer: SocketAddr, what: &str, where_to: &str) {
        shared.counters.wrong_port += 1;
        if now < self.quiet_until {
            self.untold += 1;
            return;
        }
        self.quiet_until = now + shared.config.wrong_port_interval;
        let own = self.listen.protocol == Protocol::Rtmfp;
        let others = shared.config.listen.iter().filter(|l| (l.protocol == Protocol::Rtmfp) != own);
        let right = match others.map(Listen::to_string).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "a listener that this relay does not have (--listen)".to_owned(),
            right => right,
        };
        let (listen, untold) = (self.listen, core::mem::take(&mut self.untold));
        let transport = if own { "UDP" } else { "TCP" };
        let more = if untold > 0 { format!("; {untold} more since the last one") } else { String::new() };
        warn!("{peer} {what} to the port of {listen}, which is {transport}: {where_to} {right}{more}");
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
