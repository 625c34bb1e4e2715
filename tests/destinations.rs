//! Destinations that cannot be had: clients get a status, operators a line in the log, and the relay goes on.

mod common;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;

use common::server::{Acks, Server};
use common::{Process, Relay, SOON, own_address};

fn publish(relay: &Relay) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", &format!("{}/live/x", relay.url), "--duration", "1", "--bitrate", "100"]);
    Process::start(command)
}

/// Checks that a client is told, and the log has a line with these words. That it takes less than ten seconds is for the
/// simulator to say, where no machine is busy.
fn expect_refusal(relay: &Relay, words: &str) {
    let mut client = publish(relay);
    client.wait_line("connect was refused: NetConnection.Connect");
    assert_eq!(client.wait(SOON).code(), Some(1));
    let line = relay.process.wait_line(words);
    assert!(line.contains("WARN"), "{line}");
}

#[test]
fn a_destination_that_refuses_is_told_at_once_and_tried_again_for_the_next_client() {
    let address = own_address();
    let relay = Relay::start("rtmp", &format!("rtmp://{address}"), &[]);
    expect_refusal(&relay, &address.to_string());
    let _server = Server::start_at(address, Acks::Right, Vec::new());
    publish(&relay).succeed(SOON);
}

#[test]
fn a_name_without_address_is_told() {
    for to in ["rtmp://nowhere.invalid", "rtmfp://nowhere.invalid"] {
        let relay = Relay::start("rtmp", to, &[]);
        expect_refusal(&relay, "nowhere.invalid");
    }
}

#[test]
fn a_silent_rtmp_destination_is_told_to_every_client() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let relay = Relay::start("rtmp", &format!("rtmp://{address}"), &[]);
    let clients: Vec<_> = (0..3).map(|_| publish(&relay)).collect();
    for client in &clients {
        client.wait_line("connect was refused: NetConnection.Connect");
    }
    relay.process.wait_line(&address.to_string());
}

#[test]
fn a_silent_rtmfp_destination_is_told() {
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let relay = Relay::start("rtmp", &format!("rtmfp://{address}"), &[]);
    expect_refusal(&relay, &address.to_string());
}

#[test]
fn a_refusal_behind_the_far_relay_reaches_the_encoder() {
    let address = own_address();
    let far = Relay::start("rtmfp", &format!("rtmp://{address}"), &[]);
    let near = Relay::start("rtmp", &far.url, &[]);
    let mut client = publish(&near);
    client.wait_line("connect was refused: NetConnection.Connect");
    assert_eq!(client.wait(SOON).code(), Some(1));
    far.process.wait_line(&address.to_string());
}
