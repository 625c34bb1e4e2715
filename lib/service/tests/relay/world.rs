//! Networks of encoders, relays and servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rtmfp::crypto::Profile;
use rtmfp_netsim::{HostId, LinkConfig, Network};
use rtmfp_plain::PlainProfile;
use rtmfp_service::{Destination, Listen, Profiles, Protocol, Relay, RelayConfig};

use crate::encoder::{Client, TC_URL, Task};
use crate::server::{Manner, Server};

/// Profiles without cryptography.
pub(crate) struct Plain {
    name: String,
    count: u32,
    trusted: bool,
    /// What tells the listeners from those of others with the same name.
    number: Option<u8>,
}

impl Plain {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), count: 0, trusted: false, number: None }
    }

    /// Their sessions follow far ends to other addresses.
    pub(crate) fn trusted(self) -> Self {
        Self { trusted: true, ..self }
    }

    /// Their listeners are known by a fingerprint.
    pub(crate) fn numbered(self, number: u8) -> Self {
        Self { number: Some(number), ..self }
    }

    fn make(&self, name: impl AsRef<[u8]>) -> Box<dyn Profile> {
        let profile = PlainProfile::new(name);
        Box::new(if self.trusted { profile.trusted() } else { profile })
    }
}

impl Profiles for Plain {
    fn listener(&mut self, listen: &Listen) -> Result<Box<dyn Profile>, String> {
        // Redirectors tell the listeners of a relay apart, of which all but the first have a port of their own.
        let port = listen.address.port();
        let number = self.number.or_else(|| (port != 1935).then_some(port as u8));
        Ok(self.make(listener_name(number)))
    }

    fn outgoing(&mut self, _to: &Destination) -> Result<Box<dyn Profile>, String> {
        self.count += 1;
        Ok(self.make(format!("{} {}", self.name, self.count)))
    }
}

/// The name of all listeners. The plain profile is found by its name only: it is the Endpoint Discriminator with the
/// URI (kind 0x0a), and a fingerprint (kind 0x0f) perhaps.
pub(crate) fn listener_name(number: Option<u8>) -> Vec<u8> {
    let mut name = [&[TC_URL.len() as u8 + 1, 0x0a], TC_URL.as_bytes()].concat();
    // A discriminator that ends in `*` selects all names that begin so. Redirectors read the name as a certificate, which
    // has to have a group.
    name.pop();
    name.push(b'+');
    if let Some(number) = number {
        name.extend([33, 0x0f]);
        name.extend([number; 32]);
    }
    name.extend(b"\x02\x15\x0e");
    name
}

pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// The address of the service on a host.
pub(crate) fn at(last: u8) -> SocketAddr {
    SocketAddr::new(ip(last), 1935)
}

pub(crate) fn config(seed: u64, listen: &str, to: &str) -> RelayConfig {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes[8] = listen.bytes().map(u64::from).sum::<u64>() as u8;
    let (protocol, address) = split(listen);
    let listen = Listen { protocol, address: address.parse().expect("an address with port"), legacy: false };
    RelayConfig::new(vec![listen], destination(to), bytes)
}

/// The destination of a URL, of which the port may be left out.
pub(crate) fn destination(url: &str) -> Destination {
    let (protocol, rest) = split(url);
    let (host, port) = rest.split_once(':').unwrap_or((rest, "1935"));
    Destination { protocol, host: host.to_owned(), port: port.parse().expect("a port"), legacy: false }
}

fn split(url: &str) -> (Protocol, &str) {
    match url.split_once("://") {
        Some(("rtmp", rest)) => (Protocol::Rtmp, rest),
        Some(("rtmp-simple", rest)) => (Protocol::RtmpSimple, rest),
        Some(("rtmfp", rest)) => (Protocol::Rtmfp, rest),
        _ => panic!("{url}"),
    }
}

pub(crate) fn add_relay(network: &mut Network, last: u8, config: RelayConfig) -> HostId {
    let name = format!("relay {last}");
    let profiles = Box::new(Plain::new(&name));
    network.add_host(&name, &[ip(last)], Box::new(Relay::new(config, profiles)))
}

/// The addresses of the hosts of a [`Chain`].
pub(crate) const SERVER: u8 = 200;
pub(crate) const FIRST_RELAY: u8 = 100;

/// Relays in a row, and a server behind them.
pub(crate) struct Chain {
    pub(crate) network: Network,
    pub(crate) relays: Vec<HostId>,
    pub(crate) server: HostId,
    clients: u16,
}

impl Chain {
    /// The relays speak these protocols: the first one listens for `protocols[0]` and passes on by `protocols[1]` and
    /// so on. The last has to be `rtmp`, which the server speaks.
    pub(crate) fn new(seed: u64, protocols: &[&str], server: Server) -> Self {
        Self::with(seed, protocols, server, |_, _| {})
    }

    pub(crate) fn with(
        seed: u64,
        protocols: &[&str],
        server: Server,
        change: impl Fn(usize, &mut RelayConfig),
    ) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(LinkConfig::with_delay(Duration::from_millis(10)));
        let mut relays = Vec::new();
        for (number, hop) in protocols.windows(2).enumerate() {
            let last = number + 2 == protocols.len();
            let next = if last { at(SERVER) } else { at(FIRST_RELAY + number as u8 + 1) };
            let here = at(FIRST_RELAY + number as u8);
            let mut config = config(seed, &format!("{}://{here}", hop[0]), &format!("{}://{next}", hop[1]));
            change(number, &mut config);
            relays.push(add_relay(&mut network, FIRST_RELAY + number as u8, config));
        }
        let server = network.add_host("server", &[ip(SERVER)], Box::new(server));
        network.run_for(Duration::from_millis(1));
        Self { network, relays, server, clients: 0 }
    }

    pub(crate) fn friendly() -> Server {
        Server::new(at(SERVER), Manner::Friendly)
    }

    pub(crate) fn add_client(&mut self, task: Task) -> HostId {
        self.add(Client::new(at(FIRST_RELAY), task))
    }

    pub(crate) fn add(&mut self, client: Client) -> HostId {
        self.clients += 1;
        let name = format!("client {}", self.clients);
        let [high, low] = self.clients.to_be_bytes();
        self.network.add_host(&name, &[[10, 1, high, low].into()], Box::new(client))
    }

    pub(crate) fn client(&self, host: HostId) -> &Client {
        self.network.peek(host)
    }

    pub(crate) fn server(&self) -> &Server {
        self.network.peek(self.server)
    }

    pub(crate) fn relay(&self, number: usize) -> &Relay {
        self.network.peek(self.relays[number])
    }
}
