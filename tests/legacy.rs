//! Old programs and `--legacy`, with the real programs in their place.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{Nginx, Process, Relay, Scratch};

/// Publishes a second of frames.
fn publish(relay: &Relay, name: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", "--duration", "1", &format!("{}/live/{name}", relay.url)]);
    command.env_remove("RUST_LOG");
    Process::start(command)
}

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn who_has_nothing_in_common_with_the_destination_is_told_of_the_settings_that_may_help() {
    let far = Relay::start("rtmfp", "rtmp://127.0.0.1:9", &["--dh-groups", "16"]);
    for (setting, options, helps) in [
        ("", &["--dh-groups", "14"][..], "--legacy or --to"),
        // Given already, and overruled.
        ("?legacy=0", &["--dh-groups", "14", "--legacy"], "program, --to"),
    ] {
        let near = Relay::start("rtmp", &format!("{}{setting}", far.url), options);
        let mut publisher = publish(&near, "refused");
        assert!(!publisher.wait(LIMIT).success());
        let said = near.process.wait_line("no Diffie-Hellman group in common");
        assert!(said.contains(&format!("{helps} {}?legacy=1", far.url)), "{said}");
    }
}

#[test]
fn old_and_new_programs_publish_through_one_listener_each_with_the_strongest_it_can_do() {
    let nginx = Nginx::start();
    let scratch = Scratch::new();
    let keys = scratch.path("keys");
    let keys = keys.to_str().expect("text");
    let options = ["--dh-groups", "16", "--legacy", "-v", "--key-log-file", keys];
    let far = Relay::start("rtmfp", &nginx.url(), &options);
    // One that gets along by group 2 only, and one that can do all.
    let old = Relay::start("rtmp", &format!("{}?legacy=1", far.url), &["--dh-groups", "14"]);
    let new = Relay::start("rtmp", &far.url, &[]);
    let mut publishers = [publish(&old, "old"), publish(&new, "new")];
    for publisher in &mut publishers {
        publisher.succeed(LIMIT);
    }
    let log = std::fs::read_to_string(keys).expect("a key log");
    let count = |words: &str| log.lines().filter(|line| line.contains(words)).count();
    assert_eq!((log.lines().count(), count("hmac-receive=none sequence-receive=no")), (2, 1), "{log}");
    assert_eq!(count("hmac-receive=16:"), 1);
    assert_eq!(count("sequence-send=yes"), 1);
    assert_eq!((count(" group=2 "), count(" group=16 ")), (1, 1), "{log}");
    far.process.wait_line("group 2, no HMAC, no sequence numbers");
    far.process.wait_line("group 16, HMAC, sequence numbers");
}
