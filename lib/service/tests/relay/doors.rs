//! Those who come to the wrong port.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rtmfp_base::{Action, Batch, Ecn, Input, InterfaceId, Message, Service, StreamId, Time, Transmit};
use rtmfp_netsim::HostId;

use crate::encoder::Task;
use crate::journal;
use crate::limits::counter;
use crate::strangers::{add_stranger, write};
use crate::world::{Chain, FIRST_RELAY, at, ip};

#[test]
fn an_rtmp_client_at_an_rtmfp_port_is_closed_at_once_counted_and_told_of() {
    journal::begin();
    let mut chain = Chain::new(1, &["rtmfp", "rtmfp", "rtmp"], Chain::friendly());
    let clients = [chain.add_client(Task::Idle), chain.add_client(Task::Silent)];
    chain.network.run_for(Duration::from_secs(1));
    for client in clients {
        assert!(chain.client(client).closed.is_some());
    }
    assert_eq!(counter(&chain, 0, "came_to_wrong_port"), 2);
    assert_eq!((counter(&chain, 0, "clients_accepted"), counter(&chain, 0, "streams")), (0, 0));
    let lines = journal::lines();
    let watched = "INFO TCP 10.0.0.100:1935 is taken too, only to tell of clients that come there instead of to \
                   rtmfp://10.0.0.100:1935; --no-wrong-port-watch leaves it alone";
    assert!(lines.iter().any(|line| line == watched), "{lines:#?}");
    let warnings = journal::warnings();
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let wanted = "connects by TCP to the port of rtmfp://10.0.0.100:1935, which is UDP: this relay has no rtmp:// \
                  listener; add one by --listen rtmp://..., or use rtmfp:// there";
    assert!(warnings[0].starts_with("WARN 10.1.0.1:") && warnings[0].ends_with(wanted), "{warnings:#?}");
}

#[test]
fn an_rtmfp_client_at_an_rtmp_port_is_counted_told_of_and_gets_no_answer() {
    journal::begin();
    let mut chain = Chain::new(1, &["rtmp", "rtmp"], Chain::friendly());
    let stranger = add_stranger(&mut chain, 1, b"TC\x04\x00");
    write(&mut chain, stranger, Message::from(b"\x04\0\0\0\0\0\x06\0\0\0\0".to_vec()));
    chain.network.run_for(Duration::from_secs(3));
    assert!(counter(&chain, 0, "came_to_wrong_port") > 1, "a handshake is tried several times");
    assert_eq!((counter(&chain, 0, "clients_accepted"), counter(&chain, 0, "sessions")), (0, 0));
    let warnings = journal::warnings();
    let wanted = "WARN 10.0.0.1:1935 begins an RTMFP session to the port of rtmp://10.0.0.100:1935, which is TCP: this \
                  relay has no rtmfp:// listener; add one by --listen rtmfp://..., or use rtmp:// there";
    assert_eq!(warnings, [wanted]);
    let client = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(1));
    assert!(chain.client(client).has_code("NetConnection.Connect.Success"));
}

#[test]
fn a_port_that_may_be_the_destination_s_or_is_not_to_be_watched_is_left_alone() {
    let destination = Chain::new(1, &["rtmfp", "rtmp"], Chain::friendly());
    let unwatched = Chain::with(1, &["rtmfp", "rtmfp", "rtmp"], Chain::friendly(), |_, config| {
        config.watch_other_ports = false;
    });
    for mut chain in [destination, unwatched] {
        let client = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(5));
        assert_eq!(counter(&chain, 0, "came_to_wrong_port"), 0);
        assert!(chain.client(client).received.is_empty());
    }
}

#[test]
fn listeners_of_both_kinds_share_a_port() {
    let mut chain = Chain::with(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly(), |number, config| {
        if number == 0 {
            let mut other = config.listen[0];
            other.protocol = rtmfp_service::Protocol::Rtmfp;
            assert_eq!(other.address, at(FIRST_RELAY));
            config.listen.insert(0, other);
        }
    });
    let client = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(1));
    assert!(chain.client(client).has_code("NetConnection.Connect.Success"));
    assert_eq!(counter(&chain, 0, "came_to_wrong_port"), 0);
}

/// Says one thing by TCP, or by UDP, that is neither RTMP nor RTMFP.
struct Foreigner {
    actions: VecDeque<Action>,
    says: Option<&'static [u8]>,
    by_udp: bool,
}

const SOCKET: InterfaceId = InterfaceId(1);
const STREAM: StreamId = StreamId::opened(1);

impl Foreigner {
    fn add(chain: &mut Chain, last: u8, by_udp: bool, says: &'static [u8]) -> HostId {
        let action = if by_udp {
            Action::OpenUdp { socket: SOCKET, options: SocketAddr::new(ip(last), 5000).into() }
        } else {
            Action::Connect { stream: STREAM, to: at(FIRST_RELAY), dscp: 0 }
        };
        let foreigner = Self { actions: [action].into(), says: Some(says), by_udp };
        chain.network.add_host("foreigner", &[ip(last)], Box::new(foreigner))
    }
}

impl Service for Foreigner {
    fn handle(&mut self, _now: Time, input: Input<'_>) {
        if let Input::Connected { stream, .. } = input {
            self.actions.push_back(Action::WantWrite { stream });
        }
    }

    fn poll_action(&mut self, _now: Time) -> Option<Action> {
        self.actions.pop_front()
    }

    fn poll_transmit(&mut self, _now: Time, batch: &mut Batch) {
        if let Some(says) = self.says.take_if(|_| self.by_udp) {
            let begin = batch.buffer.len();
            batch.buffer.extend_from_slice(says);
            batch.push(Transmit {
                interface: SOCKET,
                to: at(FIRST_RELAY),
                src_ip: None,
                ecn: Ecn::NotEct,
                dscp: 0,
                dont_fragment: false,
                bytes: begin..batch.buffer.len(),
                segment_size: None,
            });
        }
    }

    fn fill_stream(&mut self, _now: Time, _stream: StreamId, _limit: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.says.take().unwrap_or_default());
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        None
    }
}

#[test]
fn stray_datagrams_at_an_rtmp_port_are_counted_and_worth_no_warning() {
    journal::begin();
    let mut chain = Chain::new(1, &["rtmp", "rtmp"], Chain::friendly());
    Foreigner::add(&mut chain, 1, true, b"\x01\0\0\x01 this is no RTMFP at all");
    chain.network.run_for(Duration::from_secs(1));
    assert_eq!(counter(&chain, 0, "came_to_wrong_port"), 1);
    assert_eq!(journal::warnings(), [""; 0]);
}

#[test]
fn encoders_with_rtmps_and_browsers_at_an_rtmp_port_are_told_of_without_asking_for_more_and_once() {
    for (says, told) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "the peer does not speak RTMP: TLS came"),
        (b"GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n", "the peer does not speak RTMP: HTTP came"),
    ] {
        journal::begin();
        let mut chain = Chain::new(1, &["rtmp", "rtmp"], Chain::friendly());
        let other = Foreigner::add(&mut chain, 1, false, says);
        chain.network.run_for(Duration::from_secs(1));
        let again = chain.network.service::<Foreigner>(other);
        again.actions.push_back(Action::Connect {
            stream: StreamId::opened(2),
            to: at(FIRST_RELAY),
            dscp: 0,
        });
        again.says = Some(says);
        chain.network.run_for(Duration::from_secs(1));
        assert_eq!(counter(&chain, 0, "clients_never_connected"), 2);
        let warnings = journal::warnings();
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        assert!(
            warnings[0].contains("client 1 from 10.0.0.1:") && warnings[0].contains(told),
            "{warnings:#?}"
        );
    }
}
