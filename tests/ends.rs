//! How relays end when they are told to.

mod common;

use std::process::Command;

use common::server::{Acks, Server};
use common::{Process, Relay, SOON, wait_until};
use nix::sys::signal::Signal;
use rtmfp_service::tools::{Frames, compare};

/// Publishes to a relay and waits until media flows.
fn publish(relay: &Relay, server: &Server, seconds: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", &format!("{}/live/x", relay.url), "--duration", seconds, "--bitrate", "100"]);
    let publisher = Process::start(command);
    wait_until("media flows", SOON, || (server.published().len() > 20).then_some(()));
    publisher
}

#[test]
fn the_first_sigterm_lets_streams_go_on_to_their_end_and_takes_no_new_clients() {
    let server = Server::start(Acks::Right, Vec::new());
    let mut far = Relay::start("rtmfp", &server.url(), &[]);
    let mut near = Relay::start("rtmp", &far.url, &["-v"]);
    let mut publisher = publish(&near, &server, "5");
    near.process.signal(Signal::SIGTERM);
    far.process.signal(Signal::SIGTERM);
    let address = near.url.strip_prefix("rtmp://").unwrap();
    wait_until("new clients are refused", SOON, || std::net::TcpStream::connect(address).err());
    publisher.succeed(SOON);
    near.process.succeed(SOON);
    far.process.succeed(SOON);
    let sent: Vec<_> = Frames::new(5000, 100).collect();
    wait_until("the server has it all", SOON, || {
        compare(&sent, &server.published()).is_equal().then_some(())
    });
    // With -v there are figures at the end.
    near.process.wait_line("turns: ");
}

#[test]
fn the_second_sigterm_ends_a_relay_in_the_middle_of_a_stream() {
    let server = Server::start(Acks::Right, Vec::new());
    let mut far = Relay::start("rtmfp", &server.url(), &["-v"]);
    let mut near = Relay::start("rtmp", &far.url, &["-v"]);
    let mut publisher = publish(&near, &server, "600");
    for relay in [&near, &far] {
        relay.process.signal(Signal::SIGTERM);
        // Two signals at once would count as one.
        relay.process.wait_line("draining");
    }
    assert!(publisher.is_running());
    for relay in [&near, &far] {
        relay.process.signal(Signal::SIGTERM);
    }
    // Long before the stream would end.
    near.process.wait(SOON);
    far.process.wait(SOON);
    assert_eq!(publisher.wait(SOON).code(), Some(1));
}

#[test]
fn a_relay_without_clients_ends_at_the_first_sigterm() {
    for listen in ["rtmp", "rtmfp"] {
        let mut relay = Relay::start(listen, "rtmp://127.0.0.1", &[]);
        relay.process.signal(Signal::SIGTERM);
        relay.process.succeed(SOON);
    }
}
