use super::*;
use clap::Parser;

fn check(options: &str) -> Result<(), String> {
    let words = "rtmfp-relay --to rtmp://127.0.0.1".split_whitespace().chain(options.split_whitespace());
    Relay::try_parse_from(words).expect("options that can be parsed").check()
}

#[test]
fn options_that_do_not_go_together_are_told_with_what_to_do() {
    for (options, hint) in [
        (
            "--listen rtmp://127.0.0.1:7 --listen rtmp-simple://127.0.0.1:7",
            "127.0.0.1:7: that address is there twice",
        ),
        ("--listen rtmfp://127.0.0.1:7,rtmfp://127.0.0.1:7", "there twice"),
        ("--listen rtmfp://127.0.0.1:7 --workers 2 --worker-ports 8-8", "2 workers need 2 ports"),
        ("--listen rtmfp://127.0.0.1:7,rtmfp://127.0.0.1:9 --workers 2 --worker-ports 10-12", "need 4 ports"),
        (
            "--listen rtmfp://127.0.0.1:7 --workers 2 --worker-ports 6-9",
            "the port of --listen rtmfp://127.0.0.1:7",
        ),
        (
            "--listen rtmfp://127.0.0.1:7 --workers 2 -d 192.0.2.1:65535",
            "192.0.2.1:65535: 2 workers need 2 ports",
        ),
        (
            "--listen rtmp://127.0.0.1:7 --dh-groups 16,5 --max-dh-group 2",
            "none of --dh-groups is group 2 or weaker",
        ),
        (
            "--listen rtmfp://127.0.0.1:7,rtmfp://127.0.0.1:9 -d 192.0.2.1:7",
            "192.0.2.1:7: there are 2 RTMFP listeners of that family, say the IP only",
        ),
        ("--listen rtmfp://127.0.0.1:7 -l secret", "it is no NAME:PASSWORD"),
        ("--listen rtmfp://127.0.0.1:7 -l a:b", "--redirector-user is for --redirector"),
        (
            "--listen rtmfp://127.0.0.1:7 --redirector-user-file f",
            "--redirector-user-file is for --redirector",
        ),
        ("--listen rtmfp://127.0.0.1:7 -D -d 192.0.2.1", "--no-advertise-reflexive is for --redirector"),
        ("--listen rtmp://127.0.0.1:7 -L lb@192.0.2.1", "no --listen is rtmfp://"),
        ("--listen rtmfp://127.0.0.1:7 -L lb@[::1]", "--redirector lb: it has addresses of IPv6 only"),
        ("--listen rtmfp://[::]:7 -L lb@192.0.2.1", "rtmfp://0.0.0.0 would be"),
        (
            "--listen rtmfp://[::]:7 -L lb@[::1] -L lb@[::2],[::1]",
            "--redirector lb@[::1]:1935 is there twice",
        ),
    ] {
        let error = check(options).expect_err(options);
        assert!(error.contains(hint), "{options}: {error}");
        assert!(!error.contains("secret"), "a password is shown");
    }
}

#[test]
fn options_that_go_together_are_taken() {
    for options in [
        "--listen rtmp://127.0.0.1:0,rtmp://127.0.0.1:0,rtmfp://127.0.0.1:0",
        "--listen rtmp://127.0.0.1:7,rtmfp://127.0.0.1:7,rtmfp://[::1]:7",
        "--listen rtmp://127.0.0.1:7 --listen rtmfp://127.0.0.1:6 --workers 2 --worker-ports 7-8 -d 192.0.2.1:65534",
        "--listen rtmfp://127.0.0.1:7 --worker-ports 7-8",
        "--listen rtmfp://127.0.0.1:7,rtmfp://[::1]:7 -L a@[::1] -L b@[::1] -L a@192.0.2.1,192.0.2.2 -l a:b -l c:d",
        "--listen rtmfp://127.0.0.1:7 -d 192.0.2.1",
        "--listen rtmp://127.0.0.1:7 --dh-groups 16,14 --max-dh-group 14",
        "--listen rtmfp://127.0.0.1:7,rtmfp://[::1]:9,rtmp://127.0.0.1:9 -d 192.0.2.1:7,[2001:db8::1]:7",
        "--listen rtmfp://127.0.0.1:7,rtmfp://127.0.0.1:9 -d 192.0.2.1,[2001:db8::1]:7",
    ] {
        assert_eq!(check(options), Ok(()), "{options}");
    }
}

fn check_to(listen: &str, to: &str) -> Result<(), String> {
    let words = ["rtmfp-relay", "--listen", listen, "--to", to];
    Relay::try_parse_from(words).expect("options that can be parsed").check()
}

#[test]
fn a_relay_cannot_be_its_own_destination() {
    for (listen, to) in [
        ("rtmp://127.0.0.1:7", "rtmp://127.0.0.1:7"),
        ("rtmp://127.0.0.1:7", "rtmp://0.0.0.0:7"),
        ("rtmp://127.0.0.1:7", "rtmp-simple://127.0.0.1:7"),
        ("rtmp://0.0.0.0", "rtmp://127.0.0.1"),
        ("rtmfp://192.0.2.1:7,rtmfp://[::]:7", "rtmfp://[::1]:7"),
    ] {
        let error = check_to(listen, to).expect_err(to);
        assert!(error.contains(to) && error.contains("own --listen"), "{error}");
    }
}

#[test]
fn a_media_server_or_a_relay_beside_it_may_be_its_destination() {
    for (listen, to) in [
        // What most do: UDP in front of TCP, on the same port.
        ("rtmfp://0.0.0.0:1935", "rtmp://127.0.0.1:1935"),
        ("rtmp://0.0.0.0:1935", "rtmfp://127.0.0.1:1935"),
        ("rtmp://0.0.0.0:7", "rtmp://127.0.0.1:8"),
        ("rtmp://0.0.0.0:7", "rtmp://192.0.2.1:7"),
        ("rtmp://192.0.2.1:7", "rtmp://127.0.0.1:7"),
        ("rtmp://0.0.0.0:7", "rtmp://[::1]:7"),
        ("rtmp://127.0.0.1:0", "rtmp://127.0.0.1:7"),
        ("rtmp://0.0.0.0:7", "rtmp://localhost:7"),
    ] {
        assert_eq!(check_to(listen, to), Ok(()), "{listen} {to}");
    }
}
