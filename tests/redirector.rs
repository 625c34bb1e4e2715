//! The redirector, with relays that register and clients that are redirected.

mod common;

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use common::{Nginx, Process, Relay, SOON, Scratch, wait_until};
use nix::sys::signal::Signal;
use rtmfp::crypto::{DEFAULT_KEY, Profile, Sealing};
use rtmfp::wire::{Chunk, IHello, Mode, scramble};
use rtmfp_flash::{Epd, FlashConfig, FlashProfile};
use rtmfp_service::tools::{Frames, compare};

struct Redirector {
    process: Process,
    /// `ADDR:PORT`.
    address: String,
}

impl Redirector {
    fn start(options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-redirector"));
        command.args(["--listen", "rtmfp://127.0.0.1:0"]).args(options).env_remove("RUST_LOG");
        let process = Process::start(command);
        let line = process.wait_line("listening on ");
        let address = line.strip_prefix("listening on rtmfp://").expect("a line of its own").to_owned();
        Self { process, address }
    }

    fn url(&self) -> String {
        format!("rtmfp://{}", self.address)
    }

    /// What it says of itself now.
    fn status(&self) -> String {
        let count = || self.process.said().matches("turns: ").count();
        let before = count();
        self.process.signal(Signal::SIGUSR1);
        wait_until("it tells its status", SOON, || (count() > before).then_some(()));
        let said = self.process.said();
        said[said.rfind(" hellos not answered").and_then(|at| said[..at].rfind('\n')).unwrap_or(0)..]
            .to_owned()
    }

    /// Waits until it says so of itself.
    fn wait_status(&self, text: &str) -> String {
        wait_until(text, SOON, || Some(self.status()).filter(|status| status.contains(text)))
    }

    fn counter(&self, name: &str) -> u64 {
        let start = format!("  {name}: ");
        let status = self.status();
        let count = status.lines().find_map(|line| line.strip_prefix(&start));
        count.map_or(0, |count| count.parse().expect("a number"))
    }
}

/// Publishes streams of a second through a relay, and waits for all of them to be recorded.
fn publish(near: &Relay, nginx: &Nginx, name: &str, streams: usize) {
    let url = format!("{}/live/{name}", near.url);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", &url, "--json", "--timeout", "60", "--bitrate", "50"]);
    command.args(["--duration", "1", "--streams", &streams.to_string()]);
    let mut encoders = Process::start(command);
    encoders.succeed(SOON);
    let sent: Vec<_> = Frames::new(1000, 50).collect();
    for number in 0..streams {
        let name = if streams == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let recording = nginx.recording(&name);
        wait_until("nginx has it all", SOON, || {
            compare(&sent, &common::read_flv(&recording)).is_equal().then_some(())
        });
    }
}

#[test]
fn everybody_is_sent_to_fixed_addresses() {
    let nginx = Nginx::start();
    let far = Relay::start("rtmfp", &nginx.url(), &[]);
    let at = far.url.strip_prefix("rtmfp://").unwrap();
    let mut redirector = Redirector::start(&["--static-only", at]);
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    publish(&near, &nginx, "fixed", 4);
    let status = redirector.status();
    let redirects: u64 = status.trim().split(' ').next().unwrap().parse().expect("a number");
    assert!(redirects >= 4, "{status}");
    redirector.process.signal(Signal::SIGHUP);
    redirector.process.wait_line("no --users-file");
    redirector.process.signal(Signal::SIGTERM);
    redirector.process.succeed(SOON);
}

#[test]
fn a_users_file_that_is_not_as_it_should_be_is_no_start_and_later_changes_nothing() {
    let scratch = Scratch::new();
    let (file, name) = (scratch.path("users"), scratch.path("users").display().to_string());
    for (text, hint) in
        [("", "there is no user in it"), ("# one\nhidden\n", "line 2: it is no NAME:PASSWORD")]
    {
        fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-redirector"));
        command.args(["--listen", "rtmfp://127.0.0.1:0", "-n", "lb", "--users-file", &name]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(hint) && said.contains(&name) && !said.contains("hidden"), "{said}");
    }
    fs::write(&file, "relay:word\n").unwrap();
    let redirector = Redirector::start(&["-n", "lb", "--users-file", &name, "-vvv"]);
    fs::write(&file, "relay:word\nhidden\n").unwrap();
    redirector.process.signal(Signal::SIGHUP);
    redirector.process.wait_line("the users stay as they were: --users-file ");
    fs::write(&file, "relay:hidden\nother:hidden\n").unwrap();
    redirector.process.signal(Signal::SIGHUP);
    redirector.process.wait_line("users read again from ");
    assert!(!redirector.process.said().contains("hidden"));
}
