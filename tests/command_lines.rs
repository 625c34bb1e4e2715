//! What the programs say to people who get their command lines wrong, and to those who ask.

mod common;

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

use common::{Process, SOON};

const RELAY: &str = env!("CARGO_BIN_EXE_rtmfp-relay");
const TOOLBOX: &str = env!("CARGO_BIN_EXE_rtmfp");

fn run(program: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(program).args(arguments).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (program, name, word) in [(RELAY, "rtmfp-relay", "--listen <URL>"), (TOOLBOX, "rtmfp", "measure")] {
        let (code, out, err) = run(program, &["--help"]);
        assert_eq!((code, &*err), (Some(0), ""));
        assert!(out.contains(word), "{out}");
        let (code, out, _) = run(program, &["--version"]);
        assert_eq!((code, out), (Some(0), format!("{name} {}\n", env!("CARGO_PKG_VERSION"))));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2_and_a_hint() {
    for (arguments, hint) in [
        (&["--listen", "rtmp://127.0.0.1"][..], "--to <URL>"),
        (&["--listen", "127.0.0.1:1935", "--to", "rtmp://a"], "write rtmp://127.0.0.1:1935"),
        (&["--listen", "rtmp://localhost", "--to", "rtmp://a"], "rtmp://127.0.0.1:PORT"),
        (&["--listen", "rtmp://::1:1935", "--to", "rtmp://a"], "[::1]:1935"),
        (&["--listen", "rtmp://127.0.0.1", "--to", "rtmps://a"], "TLS proxy"),
        (&["--listen", "rtmp://127.0.0.1", "--to", "rtmp://a/live"], "remove \"/live\""),
        (&["--listen", "rtmp://127.0.0.1", "--to", "rtmp://a:0"], "port 0"),
        (&["--listen", "rtmp://127.0.0.1", "--to", "rtmp://a", "--dh-groups", "7"], "16, 14, 5 and 2"),
        (&["--listen", "rtmp://127.0.0.1", "--to", "rtmp://a", "--dscp", "AF99"], "AF11 to AF43"),
        (
            &[
                "--listen",
                "rtmp://127.0.0.1",
                "--to",
                "rtmfp://a",
                "--dh-groups",
                "16",
                "--max-dh-group",
                "14",
            ],
            "group 14 or weaker",
        ),
    ] {
        let (code, out, err) = run(RELAY, arguments);
        assert_eq!((code, &*out), (Some(2), ""), "{arguments:?}");
        assert!(err.contains(hint), "{arguments:?}: {err}");
    }
    let (code, _, err) = run(TOOLBOX, &["publish", "rtmfp://a/live/x"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("through a relay"), "{err}");
}

/// It has the settings of all redirectors of a machine.
#[test]
fn what_the_environment_says_of_servers_is_nothing_to_a_redirector_with_fixed_addresses() {
    // An address of nobody: it gets as far as to listen there.
    let listen = "rtmfp://192.0.2.254:7";
    for (option, code) in [(None, 1), (Some("--name=lb"), 2)] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-redirector"));
        command.args(["--listen", listen, "--static-only", "192.0.2.7:1"]).args(option);
        command.env("RTMFP_REDIRECTOR_NAME", "lb").env("RTMFP_REDIRECTOR_USER", "a:b");
        let output = command.env("RTMFP_REDIRECTOR_USERS_FILE", "/no/such").output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(if code == 1 { listen } else { "'--name'" }), "{said}");
    }
}

#[test]
fn a_value_that_makes_no_sense_names_the_environment_variable_that_it_comes_from() {
    let to = ["--to", "rtmp://127.0.0.1"];
    let run = |arguments: &[&str], listen: &str| {
        let mut command = Command::new(RELAY);
        command.args(to).args(arguments).env("RTMFP_RELAY_LISTEN", listen);
        let Output { status, stderr, .. } = command.output().expect("the program starts");
        (status.code(), String::from_utf8(stderr).expect("text"))
    };
    for listen in ["", "rtmp://localhost", "rtmp://127.0.0.1,"] {
        let (code, said) = run(&[], listen);
        assert_eq!(code, Some(2), "{listen:?}: {said}");
        assert!(said.contains("the environment variable RTMFP_RELAY_LISTEN"), "{listen:?}: {said}");
    }
    let (code, said) = run(&["--listen", "rtmp://localhost"], "rtmp://127.0.0.1");
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("RTMFP_RELAY_LISTEN"), "{said}");
}

#[test]
fn an_option_that_changes_nothing_is_a_warning_and_the_relay_works() {
    let mut command = Command::new(RELAY);
    command.args(["--listen", "rtmp://127.0.0.1:0", "--to", "rtmp://127.0.0.1:9", "--legacy"]);
    let relay = Process::start({
        command.env_remove("RUST_LOG");
        command
    });
    relay.wait_line("listening on ");
    let line = relay.wait_line("--legacy changes nothing: it is for rtmfp:// in --listen or --to");
    assert!(line.contains("WARN"), "{line}");
}

#[test]
fn a_port_that_is_taken_is_exit_code_1_and_a_line_that_names_it() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("rtmp://{}", taken.local_addr().unwrap());
    let (code, out, err) = run(RELAY, &["--listen", &url, "--to", "rtmp://127.0.0.1"]);
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(err.lines().any(|line| line.contains(&url) && line.starts_with("rtmfp-relay: ")), "{err}");
}

#[test]
fn every_listener_says_its_real_port_whatever_the_log_level() {
    let mut command = Command::new(RELAY);
    command.args(["--listen", "rtmp://127.0.0.1:0", "--listen", "rtmfp://127.0.0.1:0"]);
    command.args(["--to", "rtmp://127.0.0.1"]).env("RUST_LOG", "off");
    let mut relay = Process::start(command);
    for scheme in ["rtmp", "rtmfp"] {
        let line = relay.wait_line(&format!("listening on {scheme}://127.0.0.1:"));
        let port = line.rsplit(':').next().unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0);
    }
    relay.signal(nix::sys::signal::Signal::SIGTERM);
    relay.succeed(SOON);
}

#[test]
fn a_key_log_is_private_and_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = common::Scratch::new();
    let file = scratch.path("keys");
    let mut command = Command::new(RELAY);
    command.args(["--listen", "rtmfp://127.0.0.1:0", "--to", "rtmp://127.0.0.1"]);
    command.env("RTMFP_KEYLOGFILE", &file).env_remove("RUST_LOG");
    let relay = Process::start(command);
    relay.wait_line("the keys of all sessions are written to");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_is_not_there_is_exit_code_1_and_a_line_that_names_it() {
    let (code, out, err) = run(TOOLBOX, &["compare", "/nowhere/a.flv", "/nowhere/b.flv"]);
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(err.contains("cannot read /nowhere/a.flv"), "{err}");
}
