use super::*;
use clap::CommandFactory;

fn parse(arguments: &str) -> Result<Redirector, String> {
    let words = core::iter::once("rtmfp-redirector").chain(arguments.split_whitespace());
    Redirector::read(words).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_consistent() {
    Redirector::command().debug_assert();
}

#[test]
fn short_options_are_those_that_operators_know() {
    let redirector = parse(
        "--listen rtmfp://127.0.0.1:0,rtmfp://[::1] -n lb.example -l a:b:c -l d:e -r 3 -D 0 -S 192.0.2.1:1 \
         -S [2001:db8::1] -f -F -s 0 -vv",
    )
    .unwrap();
    let listen: Vec<_> = redirector.listen.iter().map(|at| at.0.to_string()).collect();
    assert_eq!(listen, ["127.0.0.1:0", "[::1]:1935"]);
    assert_eq!(redirector.name.as_deref(), Some("lb.example"));
    let users = redirector.access.users.iter().map(|user| user.0.as_ref().unwrap());
    let users: Vec<_> = users.map(|user| (user.name.as_str(), user.password.as_str())).collect();
    assert_eq!(users, [("a", "b:c"), ("d", "e")]);
    assert!(!format!("{redirector:?}").contains("b:c"), "a password is shown");
    let selection = &redirector.selection;
    assert_eq!((selection.targets, selection.policy), (Some(3), PolicyChoice::LeastLoad));
    assert!(selection.same_family && selection.forward_any_family && selection.shuffle_interval.0.is_zero());
    assert_eq!(selection.static_addresses[1].0.to_string(), "[2001:db8::1]:1935");
    assert!(redirector.access.bad_auth_delay.0.is_zero());
    assert_eq!(redirector.verbosity.level(), "debug");
    assert_eq!((redirector.fixed(), redirector.check()), (None, Ok(())));
}

#[test]
fn fixed_addresses_need_no_name_and_go_without_servers() {
    let fixed =
        parse("--listen rtmfp://127.0.0.1 --static-only 192.0.2.1:1 192.0.2.2,192.0.2.3:3 --rotate").unwrap();
    let addresses: Vec<_> = fixed.fixed().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["192.0.2.1:1", "192.0.2.2:1935", "192.0.2.3:3"]);
    for more in [
        "-n a",
        "-l a:b",
        "-S 192.0.2.1:1",
        "--users-file a",
        "-r 1",
        "--policy hash",
        "--pool a=b:c",
        "-F",
        "-s 3",
        "--hash-key uri",
        "--client-load 4",
        "--full-load 3",
        "-D 5",
        "--keepalive 3",
        "--silent-after 7",
        "--retransmit-limit 11",
        "--idle-limit 3",
        "--dh-groups 14",
        "--crypto-threads 0",
        "--max-servers 3",
        "--max-unauthenticated 3",
        "--max-unauthenticated-per-prefix 3",
        "--auth-timeout 3",
        "--max-addresses 3",
    ] {
        let error =
            parse(&format!("--listen rtmfp://127.0.0.1 --static-only 192.0.2.1:1 {more}")).unwrap_err();
        assert!(error.contains("cannot be used with"), "{more}: {error}");
    }
    // What is said of answers is for these as well.
    let more = "-f --max-redirects 5 --max-redirects-per-prefix 5 --max-redirect-bytes 100";
    let fixed = parse(&format!("--listen rtmfp://127.0.0.1 --static-only 192.0.2.1:1 {more}")).unwrap();
    assert_eq!((fixed.selection.same_family, fixed.check()), (true, Ok(())));
    let rotate = parse("--listen rtmfp://127.0.0.1 -n a --rotate").unwrap();
    assert!(rotate.check().unwrap_err().contains("--static-only"));
}

#[test]
fn errors_say_what_to_write_and_never_show_a_password() {
    for (arguments, hint) in [
        ("--listen rtmfp://127.0.0.1", "--name <HOSTNAME>"),
        ("-n a", "--listen <URL>"),
        ("--listen rtmp://127.0.0.1 -n a", "write rtmfp://127.0.0.1:1935"),
        ("--listen rtmfp://127.0.0.1?legacy=1 -n a", "leave ?legacy= out"),
        ("--listen rtmfp://localhost -n a", "rtmfp://127.0.0.1:PORT"),
        ("--listen rtmfp://127.0.0.1 -n a -S 0.0.0.0:1", "192.0.2.1:1935"),
        ("--listen rtmfp://127.0.0.1 -n a --max-redirects 0", "100,256"),
        ("--listen rtmfp://127.0.0.1 -n a --hash-key parameter:", "parameter:NAME"),
        ("--listen rtmfp://127.0.0.1 -n a --pool a=b", "NAME=HOST/APPLICATION:USER"),
        ("--listen rtmfp://127.0.0.1 -n a --pool a=/:u", "neither a host nor an application"),
    ] {
        let error = parse(arguments).unwrap_err();
        assert!(error.contains(hint), "{arguments}: {error}");
    }
    let check = |more: &str| parse(&format!("--listen rtmfp://127.0.0.1 -n a {more}")).unwrap().check();
    assert!(check("--pool a=b:c").unwrap_err().contains("--users-file"));
    assert_eq!(check("--pool a=b:c,d -l c:1").unwrap_err(), "--pool a: there is no --user d");
    assert_eq!(check("--pool a=b:c,d -l c:1 -l d:2"), Ok(()));
    assert_eq!(check("--pool a=b:c,d -l c:1 --users-file f"), Ok(()));
    assert_eq!(check("-l secret").unwrap_err(), "--user: it is no NAME:PASSWORD");
    assert!(check("--keepalive 6").unwrap_err().contains("--silent-after 6"));
    assert!(check("--retransmit-limit 5").unwrap_err().contains("--silent-after 6"));
}

#[test]
fn pools_have_a_name_a_host_or_an_application_and_users() {
    let pool = |text: &str| {
        let PoolSpec { name, host, application, users } = text.parse().unwrap();
        (name, host.unwrap_or_default(), application, users.join("+"))
    };
    let of = |parts: [&str; 4]| {
        let [name, host, application, users] = parts.map(str::to_owned);
        (name, host, application, users)
    };
    assert_eq!(pool("n=live.example/a/b:u,v"), of(["n", "live.example", "a/b", "u+v"]));
    assert_eq!(pool("n=live.example:u"), of(["n", "live.example", "", "u"]));
    assert_eq!(pool("n=/vod:u"), of(["n", "", "vod", "u"]));
    assert_eq!(pool("n=[2001:db8::1]/vod:u"), of(["n", "2001:db8::1", "vod", "u"]));
    for text in ["", "=h:u", "n=h:", "n=h:u,", "n=h"] {
        assert_eq!(text.parse::<PoolSpec>(), Err(PoolError::Form), "{text}");
    }
}

#[test]
fn rates_are_a_second_and_at_once() {
    let rate = |per_second, burst| Ok(RatePerSecond { per_second, burst });
    assert_eq!("100".parse(), rate(100, 200));
    assert_eq!("100,256".parse(), rate(100, 256));
    for text in ["", "0", "1,0", "1,", "-1", "1,2,3"] {
        assert_eq!(text.parse::<RatePerSecond>(), Err(RateError), "{text}");
    }
}

#[test]
fn pools_for_the_same_clients_and_redirects_to_itself_are_refused() {
    let check = |more: &str| parse(&format!("--listen rtmfp://127.0.0.1:7 {more}")).unwrap().check();
    let pools = "-n a -l u:p --pool x=h/live:u --pool y=h/live:u";
    assert_eq!(check(pools), Err("--pool x and --pool y are for the same clients".to_owned()));
    assert_eq!(check("-n a -l u:p --pool x=h/live:u --pool x=h/vod:u"), Ok(()));
    for itself in ["--static-only 127.0.0.1:7", "-n a -S 192.0.2.1,127.0.0.1:7"] {
        assert!(check(itself).unwrap_err().starts_with("127.0.0.1:7 is an address of this redirector"));
    }
    assert!(parse("--listen rtmfp://127.0.0.1 -n a --full-load 0").is_err());
}
