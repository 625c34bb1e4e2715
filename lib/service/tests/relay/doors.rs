//! Those who come to the wrong port.

use std::time::Duration;

use rtmfp_base::Message;

use crate::encoder::Task;
use crate::limits::counter;
use crate::strangers::{add_stranger, write};
use crate::world::{Chain, FIRST_RELAY, at};

#[test]
fn an_rtmp_client_at_an_rtmfp_port_is_closed_at_once_and_counted() {
    let mut chain = Chain::new(1, &["rtmfp", "rtmfp", "rtmp"], Chain::friendly());
    let clients = [chain.add_client(Task::Idle), chain.add_client(Task::Silent)];
    chain.network.run_for(Duration::from_secs(1));
    for client in clients {
        assert!(chain.client(client).closed.is_some());
    }
    assert_eq!(counter(&chain, 0, "came_to_wrong_port"), 2);
    assert_eq!((counter(&chain, 0, "clients_accepted"), counter(&chain, 0, "streams")), (0, 0));
}

#[test]
fn an_rtmfp_client_at_an_rtmp_port_is_counted_and_gets_no_answer() {
    let mut chain = Chain::new(1, &["rtmp", "rtmp"], Chain::friendly());
    let stranger = add_stranger(&mut chain, 1, b"TC\x04\x00");
    write(&mut chain, stranger, Message::from(b"\x04\0\0\0\0\0\x06\0\0\0\0".to_vec()));
    chain.network.run_for(Duration::from_secs(3));
    assert!(counter(&chain, 0, "came_to_wrong_port") > 1, "a handshake is tried several times");
    assert_eq!((counter(&chain, 0, "clients_accepted"), counter(&chain, 0, "sessions")), (0, 0));
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
