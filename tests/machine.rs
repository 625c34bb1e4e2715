//! What a machine may lack: room for output, somebody who reads it, open files.

mod common;

use std::fs::{self, OpenOptions};
use std::io::pipe;
use std::process::{Command, Stdio};

use common::server::{Acks, Server, publishers_in_turn};
use common::{Process, SOON, Scratch, clip, wait_until};
use nix::sys::signal::Signal;

const RELAY: &str = env!("CARGO_BIN_EXE_rtmfp-relay");
const REDIRECTOR: &str = env!("CARGO_BIN_EXE_rtmfp-redirector");
const TOOLBOX: &str = env!("CARGO_BIN_EXE_rtmfp");

/// A device that is always full.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("Linux has it").into()
}

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (_, writer) = pipe().expect("a pipe");
    writer.into()
}

/// Waits until a program has its own ideas of all these signals.
fn wait_handlers(process: &Process, signals: &[Signal]) {
    wait_until("signals are handled", SOON, || {
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        signals.iter().all(|&signal| caught >> (signal as u32 - 1) & 1 == 1).then_some(())
    });
}

/// Has a program say all that it has to say where nothing can be written, and end in order.
fn end_without_a_word(program: &str, arguments: &[&str]) {
    for output in [full, unread] {
        let mut command = Command::new(program);
        command.args(arguments).env_remove("RUST_LOG").stdout(output()).stderr(output());
        let mut process = Process::start_as_is(command);
        let signals = [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGTERM];
        wait_handlers(&process, &signals);
        for signal in signals {
            process.signal(signal);
        }
        process.succeed(SOON);
    }
}

#[test]
fn a_relay_whose_messages_cannot_be_written_goes_on_and_ends_as_asked() {
    let scratch = Scratch::new();
    let (file, name) = (scratch.path("user"), scratch.path("user").display().to_string());
    fs::write(&file, "relay:word\n").unwrap();
    let registers = ["-L", "lb@127.0.0.1:9", "--redirector-user-file", &name, "-v"];
    for workers in ["1", "2"] {
        let arguments =
            ["--listen", "rtmfp://127.0.0.1:0", "--to", "rtmp://127.0.0.1:9", "--workers", workers];
        end_without_a_word(RELAY, &[&arguments[..], &registers].concat());
    }
}

#[test]
fn a_redirector_whose_messages_cannot_be_written_goes_on_and_ends_as_asked() {
    let scratch = Scratch::new();
    let (file, name) = (scratch.path("users"), scratch.path("users").display().to_string());
    fs::write(&file, "relay:word\n").unwrap();
    end_without_a_word(
        REDIRECTOR,
        &["--listen", "rtmfp://127.0.0.1:0", "-n", "lb", "--users-file", &name, "-v"],
    );
}

#[test]
fn errors_that_cannot_be_written_are_exit_codes_all_the_same() {
    let missing = ["compare", "/nowhere/a.flv", "/nowhere/b.flv"];
    for (program, arguments, code) in [
        (RELAY, &["--listen", "rtmp://192.0.2.1:0", "--to", "rtmp://127.0.0.1"][..], 1),
        (RELAY, &["--listen", "nothing"], 2),
        (TOOLBOX, &missing, 1),
    ] {
        let mut command = Command::new(program);
        command.args(arguments).stdout(full()).stderr(full());
        assert_eq!(Process::start_as_is(command).wait(SOON).code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn results_that_find_no_room_are_an_error_and_those_that_nobody_reads_are_none() {
    let clip = clip(2);
    let clip = clip.to_str().expect("text");
    for json in [&[][..], &["--json"]] {
        let compare = |output| {
            let mut command = Command::new(TOOLBOX);
            command.args(["compare", clip, clip]).args(json).stdout(output).stderr(Stdio::piped());
            let mut process = Process::start_as_is(command);
            (process.wait(SOON).code(), process.said())
        };
        let (code, said) = compare(full());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("rtmfp: cannot write the results: No space left"), "{said}");
        assert_eq!(compare(unread()), (Some(0), String::new()));
    }
}

#[test]
fn figures_of_a_proxy_that_find_no_room_are_told_at_its_end() {
    for (output, code) in [(full(), 1), (unread(), 0)] {
        let mut command = Command::new(TOOLBOX);
        command.args(["impair", "--udp", "0=127.0.0.1:9", "--seed", "1"]);
        command.env_remove("RUST_LOG").stdout(output).stderr(Stdio::piped());
        let mut process = Process::start_as_is(command);
        process.wait_line("listening on ");
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait(SOON).code(), Some(code), "{}", process.said());
        assert_eq!(process.said().contains("cannot write the results"), code == 1, "{}", process.said());
    }
}

/// A program that a shell starts with a limit of open files.
fn limited(limit: &str, program: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), program]).args(arguments);
    command.env_remove("RUST_LOG");
    Process::start(command)
}

#[test]
fn programs_with_many_connections_take_all_open_files_that_they_may_have() {
    let relay = ["--listen", "rtmp://127.0.0.1:0", "--to", "rtmp://127.0.0.1:9"];
    for (program, arguments) in [(RELAY, &relay[..]), (TOOLBOX, &["impair", "--tcp", "0=127.0.0.1:9"])] {
        let process = limited("-Sn 64", program, arguments);
        process.wait_line("listening on ");
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
        let [soft, hard] = [3, 4].map(|word| line.split_whitespace().nth(word).expect("a number"));
        assert_eq!(soft, hard, "{line}");
        assert_ne!(soft, "64");
    }
}

#[test]
fn more_clients_than_there_can_be_open_files_are_warned_of_with_what_to_do() {
    let arguments = ["--listen", "rtmp://127.0.0.1:0", "--to", "rtmfp://127.0.0.1:9", "--max-clients"];
    let start = |clients| {
        let process = limited("-n 300", RELAY, &[&arguments[..], &[clients]].concat());
        process.wait_line("listening on ");
        process.said()
    };
    let said = start("200");
    let warning = said.lines().find(|line| line.contains("--max-clients may take 4")).expect("a warning");
    assert!(warning.contains("WARN") && warning.contains("the system allows 300"), "{warning}");
    assert!(warning.contains("LimitNOFILE=") && warning.contains("ulimit -n"), "{warning}");
    assert_eq!(said.matches("WARN").count(), 1, "{said}");
    assert!(!start("100").contains("WARN"));
}

#[test]
fn as_many_clients_as_asked_for_fit_into_the_open_files_that_are_said_to_be_enough() {
    // 40 clients with two sockets each, and what the relay has open beside them.
    let server = Server::start(Acks::Right, Vec::new());
    let arguments = ["--listen", "rtmp://127.0.0.1:0", "--to", &server.url(), "--max-clients", "40"];
    let process = limited("-n 120", RELAY, &arguments);
    let line = process.wait_line("listening on ");
    let url = line.strip_prefix("listening on ").expect("a line of its own");
    let clients = publishers_in_turn(url, "x", 40);
    assert_eq!(clients.len(), 40);
    assert!(!process.said().contains("WARN"), "{}", process.said());
}
