//! The redirector, with relays that register and clients that are redirected.

mod common;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::{env, fs, thread};

use common::server::{find_all, publishers_in_turn, second_of_frames, send_all, send_and_find};
use common::{Nginx, Process, Relay, SOON, Scratch, own_address, wait_until};
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
        Self::start_at("127.0.0.1:0", options)
    }

    fn start_at(listen: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp-redirector"));
        command.args(["--listen", &format!("rtmfp://{listen}")]).args(options).env_remove("RUST_LOG");
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
        let report = self.process.report();
        // Logs may stand before it.
        let begin = report.find(" not answered").and_then(|at| report[..at].rfind('\n'));
        report[begin.unwrap_or(0)..].trim().to_owned()
    }

    /// Waits until it says so of itself.
    fn wait_status(&self, text: &str) -> String {
        wait_until(text, SOON, || Some(self.status()).filter(|status| status.contains(text)))
    }

    /// Redirects that named the target at an address.
    fn redirects_to(&self, target: &Relay) -> u64 {
        let start = format!("  {} ", target.url.strip_prefix("rtmfp://").unwrap());
        let status = self.status();
        let line = status.lines().find(|line| line.starts_with(&start)).unwrap_or_default().to_owned();
        let words = |part: &'static str| move |word: &&str| word.trim_end_matches('s').ends_with(part);
        let part = line.split(", ").find(words(" redirect")).and_then(|part| part.split(' ').next());
        part.map_or(0, |count| count.parse().expect("a number"))
    }
}

fn counter(status: &str, name: &str) -> u64 {
    let start = format!("  {name}: ");
    let count = status.lines().find_map(|line| line.strip_prefix(&start));
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// A relay to a server that registers as a user.
fn registered(redirector: &Redirector, nginx: &Nginx, user: &str) -> Relay {
    let at = format!("lb@{}", redirector.address);
    // What is slow about a busy machine is not to count.
    let options = ["--redirector", &at, "--load-weights", "1,1,0", "--redirector-user", user, "-v"];
    Relay::start("rtmfp", &nginx.url(), if user.is_empty() { &options[..4] } else { &options[..] })
}

/// Begins to publish streams through a relay.
fn start_publishing(near: &Relay, name: &str, streams: usize, seconds: u32) -> Process {
    let url = format!("{}/live/{name}", near.url);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rtmfp"));
    command.args(["publish", &url, "--json", "--timeout", "60", "--bitrate", "50"]);
    command.args(["--duration", &seconds.to_string(), "--streams", &streams.to_string()]);
    Process::start(command)
}

/// Waits for the end of streams, and for all of them to be recorded.
fn finish_publishing(mut encoders: Process, nginx: &Nginx, name: &str, streams: usize, seconds: u32) {
    encoders.succeed(SOON);
    let sent: Vec<_> = Frames::new(1000 * u64::from(seconds), 50).collect();
    for number in 0..streams {
        let name = if streams == 1 { name.to_owned() } else { format!("{name}-{number}") };
        let recording = nginx.recording(&name);
        wait_until("nginx has it all", SOON, || {
            compare(&sent, &common::read_flv(&recording)).is_equal().then_some(())
        });
    }
}

fn publish(near: &Relay, nginx: &Nginx, name: &str, streams: usize) {
    finish_publishing(start_publishing(near, name, streams, 1), nginx, name, streams, 1);
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
    let redirects: u64 = status.split(' ').next().unwrap().parse().expect("a number");
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

/// The clients that a relay has taken, or one of its workers.
fn taken(relay: &Relay, worker: &str) -> u64 {
    let start = format!("{worker}clients_accepted: ");
    let report = relay.process.report();
    let count = report.lines().find_map(|line| line.strip_prefix(&start));
    count.map_or(0, |count| count.parse().expect("a number"))
}

#[test]
fn three_relays_share_sixty_publishers_and_one_that_drains_gets_no_more_while_its_streams_finish() {
    let nginx = Nginx::start();
    let redirector = Redirector::start(&["-n", "lb", "-l", "relay:word", "-r", "1", "-v"]);
    let [mut first, second, third] = ["relay:word"; 3].map(|user| registered(&redirector, &nginx, user));
    redirector.wait_status("3 targets, 3 of them active");
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    let mut publishers = publishers_in_turn(&near.url, "shared", 60);
    let counts = [&first, &second, &third].map(|relay| taken(relay, ""));
    assert_eq!(counts.iter().sum::<u64>(), 60, "{counts:?}");
    assert!(counts.iter().all(|count| (16..=24).contains(count)), "{counts:?}");

    // Streams that carry nothing would be sent away: these do, before, meanwhile and afterwards.
    let frames = second_of_frames();
    let [beginning, middle, end] = [&frames[..20], &frames[20..40], &frames[40..]];
    send_all(&mut publishers, beginning);
    first.process.signal(Signal::SIGTERM);
    redirector.wait_status(" draining, ");
    send_all(&mut publishers, middle);
    let before = redirector.redirects_to(&first);
    publish(&near, &nginx, "later", 6);
    assert_eq!(redirector.redirects_to(&first), before);
    send_all(&mut publishers, end);
    find_all(publishers.len(), &nginx, "shared", &frames);
    drop(publishers);
    first.process.succeed(SOON);
    redirector.wait_status("2 targets, 2 of them active");
}

#[test]
fn the_workers_of_a_relay_register_each_and_share_its_clients() {
    let nginx = Nginx::start();
    let redirector = Redirector::start(&["-n", "lb", "-l", "relay:word", "-r", "1"]);
    let at = format!("lb@{}", redirector.address);
    let options =
        ["--workers", "2", "--redirector", &at, "-l", "relay:word", "--load-weights", "1,1,0", "-v"];
    let mut far = Relay::start("rtmfp", &nginx.url(), &options);
    redirector.wait_status("2 targets, 2 of them active");
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    let mut publishers = publishers_in_turn(&near.url, "shared", 20);
    let counts = ["", "worker 1: ", "worker 2: "].map(|worker| taken(&far, worker));
    assert!(counts[0] == 20 && counts[1..].iter().all(|count| (8..=12).contains(count)), "{counts:?}");
    send_and_find(&mut publishers, &nginx, "shared");
    drop(publishers);
    far.process.signal(Signal::SIGTERM);
    far.process.succeed(SOON);
    redirector.wait_status("0 targets, 0 of them active");
}

#[test]
fn clients_get_in_while_a_relay_that_was_killed_is_not_given_up_yet() {
    let nginx = Nginx::start();
    let redirector = Redirector::start(&["-n", "lb"]);
    let [first, _second] = [""; 2].map(|user| registered(&redirector, &nginx, user));
    redirector.wait_status("2 targets, 2 of them active");
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    drop(first);
    // That it takes them less than three seconds is for the simulator to say, where no machine is busy.
    publish(&near, &nginx, "at-once", 6);
    redirector.wait_status("1 target, 1 of them active");
    publish(&near, &nginx, "later", 2);
}

#[test]
fn a_redirector_that_was_restarted_gets_its_relays_back_and_established_streams_do_not_notice() {
    let nginx = Nginx::start();
    let mut redirector = Redirector::start_at(&own_address().to_string(), &["-n", "lb"]);
    let _far = registered(&redirector, &nginx, "");
    redirector.wait_status("1 target, 1 of them active");
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    let running = start_publishing(&near, "running", 2, 35);
    wait_until("the streams run", SOON, || {
        (0..2).all(|number| nginx.recording(&format!("running-{number}")).exists()).then_some(())
    });
    redirector.process.signal(Signal::SIGTERM);
    redirector.process.succeed(SOON);
    let redirector = Redirector::start_at(&redirector.address, &["-n", "lb"]);
    redirector.wait_status("1 target, 1 of them active");
    publish(&near, &nginx, "later", 1);
    finish_publishing(running, &nginx, "running", 2, 35);
}

#[test]
fn who_does_not_know_the_password_gets_no_clients_and_a_new_users_file_changes_who_may() {
    let nginx = Nginx::start();
    let scratch = Scratch::new();
    let (file, name) = (scratch.path("users"), scratch.path("users").display().to_string());
    fs::write(&file, "one:word\n").unwrap();
    let options = ["-n", "lb", "--users-file", &name, "-D", "0", "-v"];
    let redirector = Redirector::start(&options);
    let good = registered(&redirector, &nginx, "one:word");
    redirector.wait_status("1 target, 1 of them active");
    let _bad = registered(&redirector, &nginx, "one:sword");
    redirector.process.wait_line("bad authentication");
    redirector.wait_status("  bad_auth: 1");
    redirector.wait_status("1 target, 1 of them active");
    fs::write(&file, "two:other\n").unwrap();
    redirector.process.signal(Signal::SIGHUP);
    redirector.process.wait_line("users read again");
    let status = redirector.wait_status("0 targets, 0 of them active");
    assert!(!status.contains("word"), "{status}");
    let other = registered(&redirector, &nginx, "two:other");
    redirector.wait_status("1 target, 1 of them active");
    assert_eq!([&good, &other].map(|relay| redirector.redirects_to(relay)), [0, 0]);
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    publish(&near, &nginx, "other", 1);
    assert!(redirector.redirects_to(&other) >= 1);
}

#[test]
fn a_relay_whose_password_was_wrong_registers_once_its_file_is_right_and_read_again() {
    let scratch = Scratch::new();
    let (file, name) = (scratch.path("user"), scratch.path("user").display().to_string());
    fs::write(&file, "relay:sword\n").unwrap();
    let redirector = Redirector::start(&["-n", "lb", "-l", "relay:word", "-D", "0"]);
    let at = format!("lb@{}", redirector.address);
    let options = ["-L", &at, "--redirector-user-file", &name, "--workers", "2"];
    let relay = Relay::start("rtmfp", "rtmp://127.0.0.1:1", &options);
    relay.process.wait_line("refuses the name or password");
    fs::write(&file, "relay\n").unwrap();
    relay.process.signal(Signal::SIGHUP);
    relay.process.wait_line("the users stay as they were: --redirector-user-file ");
    fs::write(&file, "relay:word\n").unwrap();
    relay.process.signal(Signal::SIGHUP);
    relay.process.wait_line("users read again from ");
    redirector.wait_status("2 targets, 2 of them active");
}

/// The packet of a hello from a client.
fn hello(profile: &mut FlashProfile, tag: &[u8]) -> Vec<u8> {
    let epd = Epd::uri("rtmfp://live.example/app").encode();
    let mut clear = vec![Mode::Startup as u8];
    Chunk::IHello(IHello { epd: &epd, tag }).write(&mut clear);
    let room = profile.reserve(DEFAULT_KEY, clear.len());
    let mut bytes = vec![0; 4 + room.sealed_len];
    bytes[4 + room.front..][..clear.len()].copy_from_slice(&clear);
    let sealing = Sealing { key: DEFAULT_KEY, room, clear_len: clear.len(), start: 4 };
    profile.seal(&mut bytes, &mut [sealing]);
    scramble(0, &mut bytes);
    bytes
}

/// Hellos, each with another tag.
fn hellos(count: usize) -> Vec<Vec<u8>> {
    let mut fill = 0_u8;
    let mut random = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|byte| {
            fill = fill.wrapping_mul(5).wrapping_add(1);
            *byte = fill;
        });
    };
    let mut profile = FlashProfile::new(FlashConfig::server(), &mut random).expect("a profile");
    (0..count).map(|number| hello(&mut profile, &number.to_be_bytes().repeat(2))).collect()
}

/// Sends packets from many networks; answers how many the system took.
fn flood(to: SocketAddr, packets: &[Vec<u8>]) -> usize {
    let bind = |n: u8| UdpSocket::bind((Ipv4Addr::new(127, 1 + n % 7, n, 1 + n), 0));
    let sockets: Vec<_> = (0..250).map(|n| bind(n).expect("an address of the loopback")).collect();
    let packets = packets.iter().zip(sockets.iter().cycle());
    packets.filter(|(packet, socket)| socket.send_to(packet, to).is_ok()).count()
}

/// Peak of the resident memory in KiB.
fn peak_memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// As many hellos as `FLOOD` says, as fast as they can be sent. They are made before, which takes longer.
#[test]
fn a_flood_of_hellos_takes_no_memory_and_neither_clients_nor_relays_notice() {
    let packets = hellos(env::var("FLOOD").map_or(150_000, |hellos| hellos.parse().expect("a number")));
    let nginx = Nginx::start();
    let redirector = Redirector::start(&["-n", "lb", "-r", "1"]);
    let far = registered(&redirector, &nginx, "");
    redirector.wait_status("1 target, 1 of them active");
    let near = Relay::start("rtmp", &redirector.url(), &[]);
    publish(&near, &nginx, "before", 1);
    let (memory, began) = (peak_memory(&redirector.process), common::now());
    let to = redirector.address.parse().unwrap();
    let flooding = thread::spawn(move || (flood(to, &packets), began.elapsed()));
    let mut served = 0;
    while !flooding.is_finished() {
        publish(&near, &nginx, &format!("during-{served}"), 2);
        served += 2;
    }
    let (sent, took) = flooding.join().unwrap();
    let late = registered(&redirector, &nginx, "");
    let status = redirector.wait_status("2 targets, 2 of them active");
    let (seen, answered) = (counter(&status, "hellos"), counter(&status, "redirects"));
    let seconds = began.elapsed().as_secs() + 1;
    let grown = peak_memory(&redirector.process) - memory;
    println!(
        "{sent} hellos in {:.1} s, {seen} seen, {answered} answered, {grown} KiB more memory, {served} clients served",
        took.as_secs_f64()
    );
    assert!(served > 0 && redirector.redirects_to(&far) > 0);
    assert!(answered <= 2 * (8192 + 4000 * seconds), "{answered} in {seconds} s");
    assert!(answered < seen, "the flood was none: {status}");
    assert!(grown < 16 << 10, "{grown} KiB");
    assert_eq!(counter(&status, "lost"), 0, "{status}");
    drop(late);
}
