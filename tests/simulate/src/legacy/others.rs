//! Who else is there: the relay's profiles, a modern client, who redirects.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use rtmfp::crypto::Profile;
use rtmfp::driver::{Application, Node};
use rtmfp::wire::{Address, Origin};
use rtmfp::{Config, Endpoint, Event, FlowSpec, Priority};
use rtmfp_base::{Action, Batch, Input, Message, Service, StreamId, Tag, Time, WriteOptions};
use rtmfp_flash::{Ancillary, Backend, FlashConfig, FlashProfile, Group, KeySource, Policy, StaticKeys};
use rtmfp_netsim::Dice;
use rtmfp_service::{Destination, Listen, Profiles};

use crate::encoder::TC_URL;
use crate::strict::client::startup::only_chunk;
use crate::strict::code::{self, Cipher};

/// Profiles as the relay's program makes them with `--legacy`.
pub(super) struct LegacyProfiles(pub(super) Dice);

impl LegacyProfiles {
    fn make(&mut self, change: impl FnOnce(&mut FlashConfig, &mut Dice)) -> Result<Box<dyn Profile>, String> {
        let dice = &mut self.0;
        let mut config = FlashConfig::server();
        config.policy = Policy::legacy();
        config.backend = Backend::ALL[dice.below(Backend::ALL.len() as u64) as usize];
        change(&mut config, dice);
        let profile = FlashProfile::new(config, &mut |bytes| fill(dice, bytes));
        Ok(Box::new(profile.map_err(|error| error.to_string())?))
    }
}

impl Profiles for LegacyProfiles {
    fn listener(&mut self, _listen: &Listen) -> Result<Box<dyn Profile>, String> {
        self.make(|config, dice| {
            // As with -H and -S alone, which let old clients in as well.
            if dice.chance(0.3) {
                config.policy = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
            }
        })
    }

    fn outgoing(&mut self, _to: &Destination) -> Result<Box<dyn Profile>, String> {
        self.make(|config, dice| {
            let groups = if dice.chance(0.8) { &Group::DEFAULT[..] } else { &[Group::Modp1024] };
            let keys = StaticKeys::generate(groups, &mut |bytes| fill(dice, bytes));
            let keys = Arc::new(keys.expect("keys"));
            config.ancillary = Ancillary::Refused;
            config.keys = KeySource::Static { keys, extra_randomness: true };
        })
    }
}

fn fill(dice: &mut Dice, bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(32) {
        chunk.copy_from_slice(&dice.bytes()[..chunk.len()]);
    }
}

fn endpoint(dice: &mut Dice, now: Time, config: FlashConfig) -> Endpoint {
    let profile = FlashProfile::new(config, &mut |bytes| fill(dice, bytes)).expect("a profile");
    Endpoint::new(Config::default(), Box::new(profile), dice.bytes(), now)
}

/// A peer that requires everything that there is.
pub(super) struct Modern {
    to: SocketAddr,
    pub(super) opened: bool,
}

impl Application for Modern {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        let mut epd = vec![TC_URL.len() as u8 + 1, 0x0a];
        epd.extend_from_slice(TC_URL.as_bytes());
        let spec = FlowSpec { metadata: Bytes::from_static(b"TC\x04\0"), priority: Priority::default() };
        let flow = endpoint.open_flow(now, &epd, spec, Tag(0)).expect("a flow");
        endpoint.send_flow(flow).expect("the flow").add_candidate(now, self.to);
    }

    fn on_event(&mut self, _now: Time, endpoint: &mut Endpoint, event: Event) {
        if let Event::SessionOpened { session, .. } = event {
            let keys = endpoint.session(session).expect("it").info().keys.expect("keys");
            assert!(keys.authenticated, "a modern client gets no HMACs");
            assert!(keys.sequenced, "a modern client gets no sequence numbers");
            self.opened = true;
        }
    }
}

/// The node of a modern client, and the longest component that answered it.
pub(super) struct Tapped {
    pub(super) node: Node<Modern>,
    pub(super) group: Option<u8>,
}

/// A client that requires everything that there is.
pub(super) fn modern(mut dice: Dice, now: Time, to: SocketAddr) -> Tapped {
    let keys = StaticKeys::generate(&Group::DEFAULT, &mut |bytes| fill(&mut dice, bytes)).expect("keys");
    let config = FlashConfig::client(Arc::new(keys));
    let endpoint = endpoint(&mut dice, now, config);
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    Tapped { node: Node::new(endpoint, &[any], Modern { to, opened: false }), group: None }
}

impl Service for Tapped {
    fn handle(&mut self, now: Time, input: Input<'_>) {
        if let Input::Datagram { bytes, .. } = &input
            && code::session_of(bytes) != Some(0)
            && let Some(clear) = Cipher::of_startup().open(bytes)
            && let (0x78, mut content) = only_chunk(&clear)
        {
            content.u32();
            let mut component = code::Reader(content.field());
            while !component.0.is_empty() {
                if let [0x0d, group, ..] = component.field() {
                    self.group = Some(*group);
                }
            }
        }
        self.node.handle(now, input);
    }

    fn poll_action(&mut self, now: Time) -> Option<Action> {
        self.node.poll_action(now)
    }

    fn poll_transmit(&mut self, now: Time, batch: &mut Batch) {
        self.node.poll_transmit(now, batch);
    }

    fn fill_stream(&mut self, now: Time, stream: StreamId, limit: usize, out: &mut Vec<u8>) {
        self.node.fill_stream(now, stream, limit, out);
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        self.node.poll_timeout()
    }
}

/// Sends everybody somewhere else.
pub(super) struct Redirector {
    to: SocketAddr,
}

/// One of those.
pub(super) fn redirector(mut dice: Dice, at: SocketAddr, to: SocketAddr) -> Node<Redirector> {
    let mut config = FlashConfig::server();
    config.ancillary = Ancillary::Refused;
    config.hostname = Some("redirector".to_owned());
    config.policy = Policy::legacy();
    Node::new(endpoint(&mut dice, Time::ZERO, config), &[at], Redirector { to })
}

impl Application for Redirector {
    fn on_ready(&mut self, _now: Time, endpoint: &mut Endpoint) {
        endpoint.set_watch_hellos(true);
    }

    fn on_event(&mut self, _now: Time, endpoint: &mut Endpoint, event: Event) {
        if let Event::UnmatchedIHello { tag, from, via, .. } = event {
            let there = Address { origin: Origin::Observed, addr: self.to };
            endpoint.send_redirect(via, from, &tag, &[there]).expect("room");
        }
    }
}

/// Sends hellos on to those for whom they are, and its clients' addresses to who looks for them if it is to.
pub(super) struct Introducer {
    redirects: bool,
}

/// One of those.
pub(super) fn introducer(mut dice: Dice, at: SocketAddr, redirects: bool) -> Node<Introducer> {
    let mut config = FlashConfig::server();
    config.policy = Policy::legacy();
    Node::new(endpoint(&mut dice, Time::ZERO, config), &[at], Introducer { redirects })
}

impl Application for Introducer {
    fn on_ready(&mut self, _now: Time, endpoint: &mut Endpoint) {
        endpoint.set_watch_hellos(true);
    }

    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        if let Event::FlowOffered { flow, .. } = event {
            return endpoint.accept(now, flow, Tag(0));
        }
        let Event::UnmatchedIHello { epd, tag, from, via, .. } = event else { return };
        for id in endpoint.open_sessions() {
            let mut session = endpoint.session(id).expect("an open one");
            let info = session.info();
            if info.epd != epd {
                continue;
            }
            session.forward_ihello(&epd, from, &tag).expect("room");
            if self.redirects {
                let there = Address { origin: Origin::Observed, addr: info.far_address };
                endpoint.send_redirect(via, from, &tag, &[there]).expect("room");
            }
        }
    }
}

/// Looks for a client through an introducer, and sends it a message.
pub(super) struct Seeker {
    epd: Vec<u8>,
    introducer: SocketAddr,
}

/// One of those, with the policy for the installed base.
pub(super) fn seeker(mut dice: Dice, now: Time, epd: Vec<u8>, introducer: SocketAddr) -> Node<Seeker> {
    let groups = if dice.chance(0.5) { &Group::DEFAULT[..] } else { &[Group::Modp1024] };
    let keys = StaticKeys::generate(groups, &mut |bytes| fill(&mut dice, bytes)).expect("keys");
    let mut config = FlashConfig::client(Arc::new(keys));
    config.policy = Policy::legacy();
    let endpoint = endpoint(&mut dice, now, config);
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    Node::new(endpoint, &[any], Seeker { epd, introducer })
}

impl Application for Seeker {
    fn on_ready(&mut self, now: Time, endpoint: &mut Endpoint) {
        let spec = FlowSpec { metadata: Bytes::from_static(b"TC\x04\0"), priority: Priority::default() };
        let flow = endpoint.open_flow(now, &self.epd, spec, Tag(0)).expect("a flow");
        let mut flow = endpoint.send_flow(flow).expect("the flow");
        flow.add_candidate(now, self.introducer);
        // Audio, with the time 0.
        let message = Message::from(Bytes::from_static(b"\x08\0\0\0\0here"));
        flow.write(now, message, &WriteOptions::default()).expect("room");
    }

    fn on_event(&mut self, _now: Time, _endpoint: &mut Endpoint, _event: Event) {}
}
