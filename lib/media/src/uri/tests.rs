use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

fn parse(uri: &str) -> Result<StreamUri, UriError> {
    uri.parse()
}

#[test]
fn the_full_form_is_taken_apart_and_its_secrets_stay_out_of_tc_url() {
    let uri = parse("RTMFP://user:p%40w@h.example:1935/app/inst?x=1#name?k=v").unwrap();
    assert_eq!(uri.scheme, "rtmfp");
    assert_eq!(uri.arguments, ["user", "p@w"]);
    assert_eq!((&*uri.host, uri.port), ("h.example", Some(1935)));
    assert_eq!((&*uri.app, &*uri.stream), ("app/inst?x=1", "name?k=v"));
    assert_eq!(uri.tc_url(), "rtmfp://h.example:1935/app/inst?x=1");
    let debug = format!("{uri:?}");
    assert!(!["user", "p@w", "x=1", "name"].iter().any(|secret| debug.contains(secret)), "{debug}");
}

#[test]
fn the_plain_form_has_the_stream_as_its_last_segment() {
    for (uri, app, stream) in [
        ("rtmp://h/live/stream", "live", "stream"),
        ("rtmp://h/live/inst/stream", "live/inst", "stream"),
        ("rtmp://h/a/b/c/d", "a/b/c", "d"),
        ("rtmp://h/live/stream?token=a/b", "live", "stream?token=a/b"),
        ("rtmp://h/live?x=1/stream", "live?x=1", "stream"),
        ("rtmp://h/live", "live", ""),
        ("rtmp://h/live/", "live", ""),
        ("rtmp://h/live/?x=1", "live?x=1", ""),
        ("rtmp://h/live?x=1", "live?x=1", ""),
        ("rtmp://h/live/stream#", "live/stream", ""),
        ("rtmp://h/", "", ""),
        ("rtmp://h", "", ""),
        ("rtmp://h#s", "", "s"),
    ] {
        let parsed = parse(uri).unwrap();
        assert_eq!((&*parsed.app, &*parsed.stream), (app, stream), "{uri}");
    }
}

#[test]
fn hosts_and_ports_are_found_in_all_their_forms() {
    for (uri, host, port, effective) in [
        ("rtmp://h", "h", None, Some(1935)),
        ("rtmp://h:", "h", None, Some(1935)),
        ("rtmps://h/a", "h", None, Some(443)),
        ("rtmp://127.0.0.1:65535?q", "127.0.0.1", Some(65535), Some(65535)),
        ("rtmfp://[2001:db8::1]:19350/a", "2001:db8::1", Some(19350), Some(19350)),
        ("rtmfp://a@[::1]", "::1", None, Some(1935)),
        ("ws://h", "h", None, Some(80)),
        ("x-y+z.1://h", "h", None, None),
        ("rtmfp:", "", None, Some(1935)),
    ] {
        let parsed = parse(uri).unwrap();
        assert_eq!((&*parsed.host, parsed.port, parsed.effective_port()), (host, port, effective), "{uri}");
    }
    assert_eq!(parse("rtmfp://a@[::1]:5/app").unwrap().tc_url(), "rtmfp://[::1]:5/app");
    assert_eq!(parse("rtmfp:").unwrap().tc_url(), "rtmfp:");
    assert_eq!(parse("rtmp-simple://h/app").unwrap().tc_url(), "rtmp://h/app");
    assert_eq!(parse("rtmp-simple://h/app").unwrap().effective_port(), Some(1935));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (uri, error) in [
        ("", UriError::Scheme),
        ("host/app", UriError::Scheme),
        ("1rtmp://h", UriError::Scheme),
        ("rt/mp://h", UriError::Scheme),
        ("rtmp://", UriError::Host),
        ("rtmp:///app", UriError::Host),
        ("rtmp://:1935/app", UriError::Host),
        ("rtmp://user@/app", UriError::Host),
        ("rtmp://user@other@h/app", UriError::Host),
        ("rtmp://[::1/app", UriError::Host),
        ("rtmp://[no address]/app", UriError::Character),
        ("rtmp://[host]/app", UriError::Host),
        ("rtmp://::1/app", UriError::Host),
        ("rtmp://h:65536/app", UriError::Port),
        ("rtmp://h:+1/app", UriError::Port),
        ("rtmp://[::1]1935/app", UriError::Port),
        ("rtmp://h/app\r\nHost: x", UriError::Character),
        ("rtmp://h\\@evil/app", UriError::Character),
        ("rtmp://a%2@h/app", UriError::UserInfo),
        ("rtmp://a%zz@h/app", UriError::UserInfo),
        ("rtmp://a%ff@h/app", UriError::UserInfo),
        ("rtmp://a%00b@h/app", UriError::UserInfo),
    ] {
        assert_eq!(parse(uri), Err(error), "{uri}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1935),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_text_is_refused_or_taken_apart_for_good(text in "(rtmp:)?(//)?[a1%:/?#@\\[\\]é. ]{0,30}") {
        if let Ok(uri) = parse(&text) {
            prop_assert!(!uri.tc_url().contains(['#', '@']) || uri.app.contains('@'));
            // Naming the stream in the fragment loses nothing but the arguments.
            let again = parse(&format!("{}#{}", uri.tc_url(), uri.stream)).unwrap();
            prop_assert_eq!(again, StreamUri { arguments: Vec::new(), ..uri });
        }
    }
}
