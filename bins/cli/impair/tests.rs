use clap::Parser;
use proptest::prelude::*;
use rtmfp_netsim::impair::{Depth, Direction, What};
use rtmfp_netsim::{Bursts, LinkConfig, Loss, Reorder};

use super::*;
use crate::{Command, Toolbox};

const MILLI: Duration = Duration::from_millis(1);

fn parse(arguments: &[&str]) -> Result<Impair, clap::Error> {
    let words = ["rtmfp", "impair"].iter().chain(arguments);
    match Toolbox::try_parse_from(words)?.command {
        Command::Impair(options) => Ok(*options),
        other => panic!("{other:?}"),
    }
}

fn route() -> Vec<&'static str> {
    vec!["--udp", "1=h:2"]
}

#[test]
fn words_are_written_with_equals_signs_or_as_in_tc() {
    let all = "delay=40ms,jitter=5ms,loss=2%,duplicate=1%,reorder=3%,rate=1.5mbit,queue=60kb,ce=20ms,bleach,\
               mtu=1200,corrupt=0.5%,truncate=0.25%";
    let like_tc = "delay 40ms 5ms loss 2% duplicate 1% reorder 3% 10ms rate 1500kbit queue 60kb ce 20ms bleach yes \
                   mtu 1200b corrupt 0.5% truncate 0.25%";
    let Words(settings) = all.parse().unwrap();
    assert_eq!(like_tc.parse(), Ok(Words(settings.clone())));
    let mut both = rtmfp_netsim::impair::Settings::default();
    settings.into_iter().for_each(|setting| both.set(setting));
    let expected = LinkConfig {
        delay: 40 * MILLI,
        jitter: 5 * MILLI,
        loss: Loss::Independent(0.02),
        duplicate: 0.01,
        reorder: Reorder { probability: 0.03, extra: 10 * MILLI },
        rate: Some(187_500),
        queue: 61_440,
        ce_threshold: Some(3750),
        bleach_ecn: true,
        mtu: Some(1200),
        corrupt: 0.005,
        truncate: 0.0025,
    };
    assert_eq!(both.link(), expected);
}

#[test]
fn words_can_be_undone() {
    for (words, setting) in [
        ("rate none", Setting::Rate(None)),
        ("ce none", Setting::Ce(None)),
        ("mtu none", Setting::Mtu(None)),
        ("loss 0", Setting::Loss(Loss::None)),
        ("delay 0", Setting::Delay(Duration::ZERO)),
        ("bleach no", Setting::Bleach(false)),
        ("perfect", Setting::Perfect),
    ] {
        assert_eq!(words.parse(), Ok(Words(vec![setting])), "{words}");
    }
}

#[test]
fn units_are_those_of_networks() {
    let times = [("300us", 300), ("40ms", 40_000), ("1.5s", 1_500_000), ("2min", 120_000_000), ("0", 0)];
    for (given, micros) in times {
        assert_eq!(units::time(given), Ok(Duration::from_micros(micros)), "{given}");
    }
    for (given, bytes) in [("8bit", 1), ("500kbit", 62_500), ("1.5mbit", 187_500), ("10gbit", 1_250_000_000)]
    {
        assert_eq!(units::rate(given), Ok(bytes), "{given}");
    }
    for (given, bytes) in [("0", 0), ("1200", 1200), ("2b", 2), ("64kb", 65_536), ("1.5m", 1_572_864)] {
        assert_eq!(units::bytes(given), Ok(bytes), "{given}");
    }
    assert_eq!(units::depth("64k"), Ok(Depth::Bytes(65_536)));
    assert_eq!(units::depth("20ms"), Ok(Depth::Time(20 * MILLI)));
    assert_eq!(units::share("12.5%"), Ok(0.125));
}

#[test]
fn what_makes_no_sense_is_told_with_what_to_write() {
    let long = "9".repeat(1000);
    for (given, said) in [
        ("", "there is nothing"),
        (" ,= ", "there is nothing"),
        ("los 2%", "\"los\" is not known: the words are delay"),
        ("2%", "\"2%\" is not known"),
        ("loss", "write loss 2%"),
        ("loss=2", "in percent, such as 2%"),
        ("loss=101%", "100% at most"),
        ("loss=-1%", "does not begin with a number"),
        ("loss=nan%", "write loss 2%"),
        ("loss=1e1%", "in percent"),
        ("loss=2% 0.5", "no such bursts"),
        ("loss=95% 2", "no such bursts"),
        ("loss=100% 1000000", "no such bursts"),
        ("loss=1% 2 3", "write loss 2%"),
        ("delay=40", "write 300us, 40ms"),
        ("delay=1.2.3ms", "does not begin with a number"),
        ("delay=.ms", "does not begin with a number"),
        ("delay=25000min", "too large"),
        (&format!("delay={long}ms"), "too large"),
        ("delay=40мс", "write 300us, 40ms"),
        ("rate=1mbps", "write 500kbit"),
        ("rate=1", "write 500kbit"),
        ("rate=0bit", "block lets nothing pass"),
        ("rate=999999gbit", "too large"),
        ("queue=5%", "neither a number of bytes"),
        ("mtu=2gb", "write 1200, 64kb"),
        ("mtu=99999999999", "too large"),
        ("bleach maybe", "\"maybe\" is not known"),
        ("perfect 1", "write perfect, alone"),
        ("reorder", "write reorder 1%"),
    ] {
        let error = given.parse::<Words>().expect_err(given).to_string();
        assert!(error.contains(said), "{given}: {error}");
        assert!(error.len() < 300, "{error}");
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_taken_makes_a_link(
        text in r"((delay|jitter|loss|duplicate|reorder|rate|queue|ce|mtu|corrupt|truncate|bleach|perfect|up|[a-z]{1,3})[ =,]{1,2}([0-9]{0,7}\.?[0-9]{0,3}(%|us|ms|s|min|bit|mbit|gbit|kb|mb|)?|none)?[ ,]){0,6}|\PC{0,40}",
    ) {
        if let Ok(Words(settings)) = text.parse::<Words>() {
            // A proxy refuses what makes no sense by a panic.
            let steps = vec![rtmfp_netsim::impair::Step { at: MILLI, what: What::Set(None, settings) }];
            rtmfp_netsim::impair::Impair::new(
                rtmfp_netsim::impair::Config {
                    routes: Vec::new(),
                    up: Default::default(),
                    down: Default::default(),
                    schedule: Schedule::new(steps).unwrap(),
                    seed: 0,
                    limits: Default::default(),
                    report_every: None,
                },
                Box::new(|_| {}),
            );
        }
        let _ = words::step(&text, &text);
        let _ = text.parse::<RouteSpec>();
    }
}

#[test]
fn settings_of_one_direction_come_after_those_of_both() {
    let bursts = ["--loss", "2% 8", "--delay", "20ms"];
    let own = ["--up", "loss 0 rate 1mbit", "--down", "delay=30ms", "--down", "bleach"];
    let [up, down] = parse(&[&route()[..], &bursts, &own].concat()).unwrap().settings().map(|one| one.link());
    assert_eq!((up.loss, up.delay, up.rate, up.queue), (Loss::None, 20 * MILLI, Some(125_000), 25_000));
    assert_eq!(
        (down.loss, down.delay, down.bleach_ecn),
        (Loss::Bursts(Bursts::new(0.02, 8.0)), 30 * MILLI, true)
    );
}

#[test]
fn steps_come_from_options_and_from_a_file() {
    let options =
        parse(&[&route()[..], &["--at", "10s", "up loss=20%", "--at", "20s", "block"]].concat()).unwrap();
    let file =
        "# a comment\n\n15s down rate 1mbit  # slower\n1min repeat\n16s rebind\r\n17s unblock\n18s reset";
    let step = |at: u64, what| rtmfp_netsim::impair::Step { at: Duration::from_secs(at), what };
    let expected = Schedule::new(vec![
        step(10, What::Set(Some(Direction::Up), vec![Setting::Loss(Loss::Independent(0.2))])),
        step(20, What::Block(None)),
        step(15, What::Set(Some(Direction::Down), vec![Setting::Rate(Some(125_000))])),
        step(60, What::Repeat),
        step(16, What::Rebind),
        step(17, What::Unblock(None)),
        step(18, What::Reset),
    ]);
    assert_eq!(options.schedule(file), Ok(expected.unwrap()));
}

#[test]
fn a_schedule_that_makes_no_sense_is_told_with_its_place() {
    for (at, file, said) in [
        (&["--at", "10", "block"][..], "", "--at 10 'block': at \"10\": it is no time"),
        (&["--at", "10s", "blok"], "", "\"blok\" is not known"),
        (&["--at", "10s", "up rebind"], "", "without up, down or both"),
        (&["--at", "10s", "up"], "", "there is nothing"),
        (&["--at", "10s", "repeat", "--at", "11s", "block"], "", "must be the last"),
        (&["--at", "10s", "repeat", "--at", "5s", "repeat"], "", "must be the last"),
        (&["--at", "0", "repeat"], "", "10 ms after the start"),
        (&[], "\n\n10s\n", "line 3 of the schedule: there is nothing"),
        (&[], "block", "line 1 of the schedule: at \"block\""),
    ] {
        let options = parse(&[&route()[..], at].concat()).unwrap();
        let error = options.schedule(file).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
    assert!(parse(&[&route()[..], &["--at", "10s"]].concat()).is_err());
}

#[test]
fn routes_listen_on_the_loopback_unless_told_otherwise() {
    for (given, listen, host, port) in [
        ("1935=server.example:1936", "127.0.0.1:1935", "server.example", 1936),
        ("0.0.0.0:0=10.1.2.3:1", "0.0.0.0:0", "10.1.2.3", 1),
        ("[::]:5=[::1]:6", "[::]:5", "::1", 6),
    ] {
        let route: RouteSpec = given.parse().unwrap();
        let expected = RouteSpec { listen: listen.parse().unwrap(), host: host.to_owned(), port };
        assert_eq!(route, expected, "{given}");
    }
    for (given, error) in [
        ("", RouteError::NoTarget),
        ("1935", RouteError::NoTarget),
        ("localhost:1935=h:1", RouteError::Listen),
        ("65536=h:1", RouteError::Listen),
        ("=h:1", RouteError::Listen),
        ("1=h", RouteError::Target),
        ("1=h:0", RouteError::Target),
        ("1=:5", RouteError::Target),
        ("1=::1:5", RouteError::Target),
        ("1=[::g]:5", RouteError::Target),
        ("1=a b:5", RouteError::Target),
    ] {
        assert_eq!(given.parse::<RouteSpec>(), Err(error), "{given}");
    }
}

#[test]
fn a_proxy_needs_a_route() {
    assert!(parse(&["--loss", "1%"]).is_err());
    assert!(
        parse(&["--tcp", "1=h:2", "--udp", "3=h:4", "--udp", "5=h:6", "--stats", "1s", "--json"]).is_ok()
    );
    assert!(parse(&[&route()[..], &["--stats", "0"]].concat()).is_err());
}
