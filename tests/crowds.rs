//! Many clients at once, and clients that want nothing good.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use common::server::{Acks, Peer, Server};
use common::{Nginx, Process, Relay, SOON, wait_until};
use rtmfp_media::TcMessage;
use rtmfp_media::message::kind;
use rtmfp_service::tools::{Frames, compare};

fn publish(url: &str, options: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", url, "--json", "--timeout", "60"]).args(options);
    Process::start(command)
}

#[test]
fn a_hundred_encoders_that_dial_at_once_all_publish() {
    let nginx = Nginx::start();
    // A weaker group, so that the handshakes of all fit into the seconds that a relay has for them on a busy machine as well.
    let far = Relay::start("rtmfp", &nginx.url(), &["--dh-groups", "14"]);
    let near = Relay::start("rtmp", &far.url, &[]);
    let url = format!("{}/live/crowd", near.url);
    let mut encoders = publish(&url, &["--streams", "100", "--duration", "3", "--bitrate", "50"]);
    let result = encoders.wait_line("\"streams\":100");
    encoders.succeed(SOON);
    assert!(result.contains("\"failed\":0"), "{result}");
    let sent: Vec<_> = Frames::new(3000, 50).collect();
    for number in 0..100 {
        let recording = nginx.recording(&format!("crowd-{number}"));
        wait_until("nginx has it all", SOON, || {
            compare(&sent, &common::read_flv(&recording)).is_equal().then_some(())
        });
    }
}

#[test]
fn new_clients_get_in_beside_two_hundred_silent_and_trickling_connections() {
    let server = Server::start(Acks::Right, Vec::new());
    let relay = Relay::start("rtmp", &server.url(), &["--handshake-timeout", "3"]);
    let address = relay.url.strip_prefix("rtmp://").unwrap();
    let mut idlers: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for idler in &idlers {
        idler.set_nonblocking(true).unwrap();
    }
    // Half of them begin a handshake, byte by byte.
    let trickle = |idlers: &mut [TcpStream]| {
        for idler in idlers.iter_mut().step_by(2) {
            idler.write_all(&[3]).ok();
        }
    };
    trickle(&mut idlers);
    let url = format!("{}/live/x", relay.url);
    let mut publisher = publish(&url, &["--duration", "1"]);
    publisher.succeed(SOON);
    wait_until("the server has it all", SOON, || (server.published().len() > 70).then_some(()));
    wait_until("idle connections are closed", SOON, || {
        trickle(&mut idlers);
        let is_open = |idler: &mut TcpStream| loop {
            match idler.read(&mut [0; 4096]) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        };
        idlers.retain_mut(is_open);
        idlers.is_empty().then_some(())
    });
}

#[test]
fn a_server_that_acknowledges_wrongly_gets_the_whole_stream() {
    for acks in [Acks::Steps(1), Acks::Steps(100_000), Acks::Beyond] {
        let server = Server::start(acks, Vec::new());
        let far = Relay::start("rtmfp", &server.url(), &[]);
        let near = Relay::start("rtmp", &far.url, &[]);
        let url = format!("{}/live/x", near.url);
        publish(&url, &["--duration", "3", "--bitrate", "4000"]).succeed(SOON);
        let sent: Vec<_> = Frames::new(3000, 4000).collect();
        wait_until("the server has it all", SOON, || {
            compare(&sent, &server.published()).is_equal().then_some(())
        });
    }
}

#[test]
fn a_player_that_acknowledges_wrongly_gets_the_whole_stream() {
    // Less than what expires: it comes at once, not in real time.
    let stream: Vec<_> = Frames::new(1900, 4000).collect();
    for acks in [Acks::Steps(1), Acks::Steps(100_000), Acks::Beyond] {
        let server = Server::start(Acks::Right, stream.clone());
        let far = Relay::start("rtmfp", &server.url(), &[]);
        let near = Relay::start("rtmp", &far.url, &[]);
        let mut player = Peer::connect(&near.url);
        player.play("live", "x");
        let mut played = Vec::new();
        let mut number = 0;
        while !compare(&stream, &played).is_equal() {
            let message: TcMessage = player.receive().expect("the stream goes on");
            number += 1;
            if let Some(ack) = acks.after(number) {
                player.send_raw(&ack);
            }
            if matches!(message.kind, kind::AUDIO | kind::VIDEO) {
                played.push(message);
            }
        }
    }
}

#[test]
fn latency_is_measured_through_relays_that_carry_other_streams() {
    let nginx = Nginx::start();
    let far = Relay::start("rtmfp", &nginx.url(), &[]);
    let near = Relay::start("rtmp", &far.url, &[]);
    let url = format!("{}/live/measured", near.url);
    let mut others = publish(&format!("{}/live/other", near.url), &["--streams", "5", "--duration", "6"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["measure", &url, &format!("{}/live/measured", nginx.url()), "--duration", "3", "--json"]);
    let mut measure = Process::start(command);
    let result = measure.wait_line("took_ms");
    measure.succeed(SOON);
    assert!(result.contains("\"sent\":231") && result.contains("\"count\":231"), "{result}");
    others.succeed(Duration::from_secs(60));
}
