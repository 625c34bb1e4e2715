//! Several workers behind the addresses of one relay.

mod common;

use std::net::{TcpStream, UdpSocket};
use std::process::Command;

use common::server::{publishers_in_turn, send_and_find};
use common::{Nginx, Process, Relay, SOON, wait_until};
use nix::sys::signal::Signal;
use rtmfp_service::tools::{Frames, compare};

fn publish(url: &str, options: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", url, "--json", "--timeout", "60"]).args(options);
    Process::start(command)
}

/// The clients that each of two workers has taken, as a relay prints it.
fn taken(relay: &Relay) -> [u64; 2] {
    let report = relay.process.report();
    assert!(report.contains("front: turns: "), "{report}");
    ["worker 1", "worker 2"].map(|worker| {
        let beginning = format!("{worker}: clients_accepted: ");
        let count = report.lines().find_map(|line| line.strip_prefix(&beginning));
        count.map_or(0, |count| count.parse().expect("a number"))
    })
}

#[test]
fn two_workers_share_clients_evenly_and_every_stream_arrives() {
    let nginx = Nginx::start();
    let far = Relay::start("rtmfp", &nginx.url(), &["--workers", "2", "-v"]);
    let near = Relay::start("rtmp", &far.url, &[]);
    let mut publishers = publishers_in_turn(&near.url, "crowd", 40);
    let taken = taken(&far);
    assert_eq!(taken.iter().sum::<u64>(), 40, "{taken:?}");
    assert!(taken.iter().all(|taken| (16..=24).contains(taken)), "{taken:?}");
    send_and_find(&mut publishers, &nginx, "crowd");
}

#[test]
fn forty_encoders_that_come_to_two_workers_at_once_all_publish() {
    let nginx = Nginx::start();
    let far = Relay::start("rtmfp", &nginx.url(), &["--workers", "2", "--dh-groups", "14"]);
    let near = Relay::start("rtmp", &far.url, &[]);
    let url = format!("{}/live/crowd", near.url);
    let mut encoders = publish(&url, &["--streams", "40", "--duration", "3", "--bitrate", "50"]);
    let result = encoders.wait_line("\"streams\":40");
    encoders.succeed(SOON);
    assert!(result.contains("\"failed\":0"), "{result}");
    let sent: Vec<_> = Frames::new(3000, 50).collect();
    for number in 0..40 {
        let recording = nginx.recording(&format!("crowd-{number}"));
        wait_until("nginx has it all", SOON, || {
            compare(&sent, &common::read_flv(&recording)).is_equal().then_some(())
        });
    }
    let taken = taken(&far);
    assert_eq!(taken.iter().sum::<u64>(), 40, "{taken:?}");
    assert!(taken.iter().all(|&taken| taken > 0), "{taken:?}");
}

#[test]
fn workers_share_a_port_of_rtmp() {
    let nginx = Nginx::start();
    let relay = Relay::start("rtmp", &nginx.url(), &["--workers", "2", "-v"]);
    let url = format!("{}/live/crowd", relay.url);
    let mut encoders = publish(&url, &["--streams", "40", "--duration", "2", "--bitrate", "50"]);
    let result = encoders.wait_line("\"streams\":40");
    encoders.succeed(SOON);
    assert!(result.contains("\"failed\":0"), "{result}");
    let taken = taken(&relay);
    assert_eq!(taken.iter().sum::<u64>(), 40, "{taken:?}");
    // The system throws dice: that one gets none happens once in a trillion runs.
    assert!(taken.iter().all(|&taken| taken > 0), "{taken:?}");
}

#[test]
fn who_comes_to_the_wrong_port_is_told_with_workers_too() {
    let relay = Relay::start("rtmfp", "rtmp://127.0.0.1:1", &["--workers", "2"]);
    let address = relay.url.strip_prefix("rtmfp://").unwrap();
    let _stream = wait_until("the port is watched", SOON, || TcpStream::connect(address).ok());
    let line = relay.process.wait_line("connects by TCP");
    assert!(line.contains(address) && line.contains("WARN"), "{line}");
}

#[test]
fn workers_drain_at_the_first_signal_and_end_when_streams_have() {
    let nginx = Nginx::start();
    let mut far = Relay::start("rtmfp", &nginx.url(), &["--workers", "2", "-v"]);
    let near = Relay::start("rtmp", &far.url, &[]);
    let url = format!("{}/live/last", near.url);
    let mut encoders = publish(&url, &["--streams", "4", "--duration", "4", "--bitrate", "50"]);
    wait_until("the streams run", SOON, || {
        (0..4).all(|number| nginx.recording(&format!("last-{number}")).exists()).then_some(())
    });
    far.process.signal(Signal::SIGTERM);
    far.process.wait_line("draining");
    encoders.succeed(SOON);
    far.process.succeed(SOON);
    let sent: Vec<_> = Frames::new(4000, 50).collect();
    for number in 0..4 {
        let recording = nginx.recording(&format!("last-{number}"));
        wait_until("nginx has it all", SOON, || {
            compare(&sent, &common::read_flv(&recording)).is_equal().then_some(())
        });
    }
    assert!(far.process.said().contains("worker 2: turns: "), "{}", far.process.said());
}

#[test]
fn a_worker_that_cannot_begin_ends_the_program() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let start = |ports: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-relay"));
        command.args(["--listen", "rtmfp://127.0.0.1:0", "--to", "rtmp://127.0.0.1:1", "--workers", "2"]);
        command.args(["--worker-ports", ports]);
        Process::start(command)
    };
    let mut relay = start(&format!("{}-{port}", port - 1));
    assert_eq!(relay.wait(SOON).code(), Some(1));
    assert!(relay.said().contains("in use"), "{}", relay.said());
    let mut relay = start(&format!("{port}-{port}"));
    assert_eq!(relay.wait(SOON).code(), Some(2));
    assert!(relay.said().contains("2 workers need 2 ports"), "{}", relay.said());
}

#[test]
fn a_port_of_rtmp_that_somebody_listens_to_is_not_shared() {
    let first = Relay::start("rtmp", "rtmp://127.0.0.1:1", &["--workers", "2"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-relay"));
    command.args(["--listen", &first.url, "--to", "rtmp://127.0.0.1:1", "--workers", "2"]);
    let mut second = Process::start(command);
    assert_eq!(second.wait(SOON).code(), Some(1));
    assert!(second.said().contains("cannot listen on rtmp://127.0.0.1:"), "{}", second.said());
}

#[test]
fn what_may_be_a_password_is_not_shown() {
    let listen = ["--listen", "rtmfp://127.0.0.1:0", "--to", "rtmp://127.0.0.1:1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-relay"));
    command.args(listen).args(["--redirector-user", "hunter2"]);
    let mut relay = Process::start(command);
    assert_eq!(relay.wait(SOON).code(), Some(2));
    assert!(relay.said().contains("no NAME:PASSWORD"), "{}", relay.said());
    assert!(!relay.said().contains("hunter2"), "{}", relay.said());
}
