//! What happens when the process has no descriptors left. The limit holds for a whole process, so the host runs in
//! a child: this program again.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use common::{GUARD, Out, script};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rtmfp_base::{Action, Input};
use rtmfp_runtime::{Config, run};

const CHILD: &str = "RTMFP_TEST_CHILD";
const CLIENTS: usize = 60;

/// Sends a byte to whoever connects, and finishes when all have come and gone.
fn serve() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 32, most).unwrap();
    let service = script(|out| {
        out.listen();
        let mut left = CLIENTS;
        move |out: &mut Out, _, input: Input<'_>| match input {
            Input::ListenReady { result, .. } => {
                out.act(Action::Announce(format!("listening {}", result.unwrap())));
            }
            Input::Accepted { stream, .. } => out.write(stream, b"x"),
            Input::EndOfStream { stream } => out.act(Action::Finish { stream }),
            Input::Closed { .. } => {
                left -= 1;
                if left == 0 {
                    out.finished();
                }
            }
            _ => {}
        }
    });
    let report = run(service, Config::default()).unwrap();
    eprintln!("turns {}", report.stats.turns().count);
    eprintln!("{report}\nend");
}

#[test]
fn accepting_pauses_without_spinning_when_descriptors_run_out() {
    if std::env::var_os(CHILD).is_some() {
        return serve();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "accepting_pauses_without_spinning_when_descriptors_run_out", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let address: SocketAddr =
        lines.find_map(|line| line.strip_prefix("listening ").map(|rest| rest.parse().unwrap())).unwrap();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Those that found no room are served when others go.
    for mut client in clients.drain(..) {
        client.set_read_timeout(Some(GUARD)).unwrap();
        client.read_exact(&mut [0]).unwrap();
        client.flush().unwrap();
    }
    let report: Vec<_> = lines.by_ref().take_while(|line| line != "end").collect();
    let value = |name: &str| {
        let line = report.iter().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {report:?}")).parse::<u64>().unwrap()
    };
    assert_eq!(value("tcp_accepted: "), CLIENTS as u64);
    assert!(value("tcp_accept_pauses: ") > 0);
    assert!(value("turns ") < 1000, "{report:?}");
    assert!(child.wait().unwrap().success());
}
