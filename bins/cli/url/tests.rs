use super::*;

fn listen(url: &str) -> Result<String, String> {
    url.parse::<ListenUrl>().map(|url| url.to_string()).map_err(|error| error.to_string())
}

fn to(url: &str) -> Result<String, String> {
    url.parse::<ToUrl>().map(|url| url.to_string()).map_err(|error| error.to_string())
}

#[test]
fn addresses_to_listen_on_are_read() {
    for (given, read) in [
        ("rtmp://127.0.0.1:1936", "rtmp://127.0.0.1:1936"),
        ("rtmfp://0.0.0.0", "rtmfp://0.0.0.0:1935"),
        ("RTMFP://[::]:0", "rtmfp://[::]:0"),
        ("rtmp://[::1]/", "rtmp://[::1]:1935"),
        ("rtmp-simple://[::1]:7", "rtmp-simple://[::1]:7"),
        ("rtmfp://0.0.0.0?legacy=1", "rtmfp://0.0.0.0:1935?legacy=1"),
        ("rtmfp://[::1]:7/?legacy=0", "rtmfp://[::1]:7?legacy=0"),
    ] {
        assert_eq!(listen(given).as_deref(), Ok(read), "{given}");
    }
}

#[test]
fn destinations_are_read() {
    for (given, read) in [
        ("rtmp://server.example", "rtmp://server.example:1935"),
        ("rtmfp://192.0.2.7:1936/", "rtmfp://192.0.2.7:1936"),
        ("rtmp://[2001:db8::1]:65535", "rtmp://[2001:db8::1]:65535"),
        ("RTMP-Simple://server.example", "rtmp-simple://server.example:1935"),
        ("rtmp://my_host-2.", "rtmp://my_host-2.:1935"),
    ] {
        assert_eq!(to(given).as_deref(), Ok(read), "{given}");
    }
    assert_eq!("rtmp://[::1]:7".parse::<ToUrl>().unwrap().host, "::1");
    for (given, legacy) in [("", None), ("?legacy=1", Some(true)), ("/?legacy=0", Some(false))] {
        let url: ToUrl = format!("rtmfp://server.example{given}").parse().unwrap();
        assert_eq!(url.legacy, legacy, "{given}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_what_to_write() {
    for (given, said) in [
        ("127.0.0.1:1935", "rtmp://127.0.0.1:1935"),
        ("http://127.0.0.1", "\"http\" is not known"),
        ("rtmps://127.0.0.1", "TLS proxy"),
        ("rtmp://127.0.0.1/live/key", "remove \"/live/key\""),
        ("rtmp://user@127.0.0.1", "before the @"),
        ("rtmfp://127.0.0.1?legacy", "no setting \"?legacy\": behind the address only ?legacy=1"),
        ("rtmfp://127.0.0.1/?legacy=2", "no setting"),
        ("rtmfp://127.0.0.1?share=1", "no setting \"?share=1\""),
        ("rtmfp://127.0.0.1?legacy=1&legacy=0", "no setting"),
        ("rtmp://127.0.0.1?legacy=1", "for rtmfp:// only"),
        ("rtmfp://127.0.0.1/live?legacy=1", "remove \"/live?legacy=1\""),
        ("rtmp://[::1", "closing ]"),
        ("rtmp://[::g]:1", "\"::g\" is no IPv6 address"),
        ("rtmp://::1:1935", "[::1]:1935"),
        ("rtmp://[::1]1935", "only :PORT can"),
        ("rtmp://127.0.0.300:1", "\"127.0.0.300\" is no IPv4 address"),
        ("rtmp://127.0.1:1", "is no IPv4 address"),
        ("rtmp://caf\u{e9}.example:1", "is no host name"),
        ("rtmp://127.0.0.1:", "\"\" is no port"),
        ("rtmp://127.0.0.1:+1", "\"+1\" is no port"),
        ("rtmp://127.0.0.1:65536", "from 0 to 65535"),
    ] {
        for result in [listen(given), to(given)] {
            let error = result.expect_err(given);
            assert!(error.contains(said), "{given}: {error}");
        }
    }
}

#[test]
fn listening_needs_an_address_and_a_destination_a_host_and_a_port() {
    assert!(listen("rtmp://localhost:1935").unwrap_err().contains("rtmp://127.0.0.1:PORT"));
    assert!(listen("rtmfp://:1935").unwrap_err().contains("rtmfp://0.0.0.0:PORT"));
    assert!(to("rtmp://:1935").unwrap_err().contains("rtmp://HOST:PORT"));
    assert!(to("rtmp://server.example:0").unwrap_err().contains("port 0"));
}
