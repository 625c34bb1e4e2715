//! The redirector protocol (`rtmfp-redirect`): its messages, and what clients ask a redirector for.

use std::net::SocketAddr;

use bytes::Bytes;
use rtmfp::{Config, Endpoint, Event};
use rtmfp_base::{InterfaceId, Time};
use rtmfp_plain::PlainProfile;
use rtmfp_redirect::selection::{Policy, SelectionConfig};
use rtmfp_redirect::wire::{Command, METADATA, Settings, is_metadata};
use rtmfp_redirect::{HashKey, PoolConfig, Server, ServerConfig, Users};

/// Addresses of a registrant that are kept.
const ADDRESSES: usize = 16;

/// A message, and a discriminator.
pub fn redirector(data: &[u8]) {
    if let Ok(Some(command)) = Command::parse(data) {
        assert_eq!(Command::parse(&command.encode()), Ok(Some(command)));
        if let Command::Settings(options) = command
            && let Ok((settings, beyond)) = Settings::parse(options, ADDRESSES)
        {
            assert!(settings.addresses.len() == ADDRESSES || beyond == 0);
            assert_eq!(Settings::parse(&settings.encode(), ADDRESSES), Ok((settings, 0)));
        }
    }
    assert_eq!(
        is_metadata(data),
        data.starts_with(METADATA) && data.get(METADATA.len()).is_none_or(|b| *b == 0)
    );
    hello(data);
}

/// Whoever a hello asks for, it is answered once at most, by an address that is always named.
fn hello(epd: &[u8]) {
    let address: SocketAddr = ([192, 0, 2, 1], 1935).into();
    let pool = |host: Option<&str>, application: &str| PoolConfig {
        name: application.to_owned(),
        host: host.map(str::to_owned),
        application: application.to_owned(),
        users: Vec::new(),
    };
    let config = ServerConfig {
        selection: SelectionConfig { policy: Policy::Hash, ..SelectionConfig::default() },
        key: HashKey::Parameter("room".to_owned()),
        pools: vec![pool(Some("h"), "app"), pool(None, "live/news")],
        static_addresses: vec![address],
        ..ServerConfig::default()
    };
    let mut server = Server::new(config, Users::new(), [1; 32]);
    let profile = Box::new(PlainProfile::new("redirector"));
    let mut endpoint = Endpoint::new(Config::default(), profile, [2; 32], Time::ZERO);
    endpoint.add_interface(InterfaceId(0), address);
    let event = Event::UnmatchedIHello {
        epd: Bytes::copy_from_slice(epd),
        tag: Bytes::from_static(b"a tag"),
        from: ([198, 51, 100, 1], 1).into(),
        via: Some(InterfaceId(0).into()),
        len: epd.len(),
    };
    assert!(server.on_event(Time::ZERO, &mut endpoint, &event));
    let stats = server.stats();
    assert_eq!((stats.hellos, stats.redirects + stats.ignored_hellos), (1, 1));
}
