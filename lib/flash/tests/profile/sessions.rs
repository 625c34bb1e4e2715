//! Sessions of endpoints with this profile on a simulated network: with far ends of the installed base, played by
//! profiles that leave out what those leave out.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rtmfp::crypto::{
    InitiatorOffer, InitiatorSecret, KeyId, KeyInfo, KeyingError, OpenError, Profile, Random,
    ResponderAnswer, Room, Sealing, SessionKeys, Signatures, Work,
};
use rtmfp::driver::{Application, Node};
use rtmfp::{CloseReason, Config, Endpoint, Event, FlowSpec, KeyingFailure, Priority};
use rtmfp_base::{Message, Tag, Time, WriteOptions};
use rtmfp_flash::{Epd, FlashProfile, Group, Policy};
use rtmfp_netsim::{HostId, LinkConfig, Loss, Network, for_each_seed};

use crate::{ephemeral, fixed, profile, unhex};

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
const NAMED: [Group; 3] = [Group::Modp1024, Group::Modp1536, Group::Modp2048];

/// How a far end differs from one of this library.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    /// Not at all.
    Capable,
    /// As a server: names several groups, computes in group 2, reads one form of keying, and is silent otherwise.
    GroupTwoOnly,
    /// The same, but what it does not understand it answers in group 2, as MonaServer does.
    GroupTwoAnyway,
    /// As a client: understands no answer.
    NoAnswer,
    /// As a client: does not even offer HMACs and sequence numbers.
    NoOffer,
}

/// What a server was asked: length of the certificate and the component; for a hello neither.
type Asked = Arc<Mutex<Vec<(usize, Vec<u8>)>>>;

#[derive(Debug)]
struct Played {
    profile: FlashProfile,
    manner: Manner,
    asked: Asked,
}

impl Profile for Played {
    fn certificate(&self) -> &[u8] {
        self.profile.certificate()
    }
    fn selects_near(&self, epd: &[u8]) -> bool {
        self.asked.lock().unwrap().push((0, Vec::new()));
        self.profile.selects_near(epd)
    }
    fn selects(&self, epd: &[u8], certificate: &[u8]) -> bool {
        self.profile.selects(epd, certificate)
    }
    fn canonical_epd(&self, certificate: &[u8]) -> Option<Vec<u8>> {
        self.profile.canonical_epd(certificate)
    }
    fn signatures(&self) -> Arc<dyn Signatures> {
        self.profile.signatures()
    }
    fn keyed_hash(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        self.profile.keyed_hash(key, parts)
    }
    fn initiate(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<InitiatorOffer, KeyingError>>, KeyingError> {
        let work = self.profile.initiate(far_certificate, random)?;
        let cut = if self.manner == Manner::NoOffer { unhex("031a0710021e07").len() } else { 0 };
        Ok(Box::new(move || {
            let mut offer = work()?;
            offer.component.truncate(offer.component.len() - cut);
            Ok(offer)
        }))
    }
    fn fall_back(
        &self,
        far_certificate: &[u8],
        random: &mut Random<'_>,
    ) -> Option<Work<Result<InitiatorOffer, KeyingError>>> {
        self.profile.fall_back(far_certificate, random)
    }
    fn conclude(&self, secret: &InitiatorSecret, component: &[u8]) -> Work<Result<SessionKeys, KeyingError>> {
        match self.manner {
            Manner::NoAnswer => Box::new(|| Err(KeyingError::BadComponent("it is not understood"))),
            _ => self.profile.conclude(secret, component),
        }
    }
    fn respond(
        &self,
        far_certificate: &[u8],
        component: &[u8],
        random: &mut Random<'_>,
    ) -> Result<Work<Result<ResponderAnswer, KeyingError>>, KeyingError> {
        self.asked.lock().unwrap().push((far_certificate.len(), component.to_vec()));
        let understood = far_certificate.len() == 132 && component.len() == 76;
        if self.manner == Manner::GroupTwoOnly && !understood {
            return Err(KeyingError::NothingInCommon);
        }
        if self.manner == Manner::GroupTwoAnyway && !understood {
            let other = profile(fixed(&NAMED[..1], 5), Policy::legacy(), 5);
            let offer = other.initiate(self.profile.certificate(), random)?()?;
            return self.profile.respond(other.certificate(), &offer.component, random);
        }
        self.profile.respond(far_certificate, component, random)
    }
    fn install(&mut self, keys: SessionKeys) -> KeyId {
        self.profile.install(keys)
    }
    fn remove(&mut self, key: KeyId) {
        self.profile.remove(key);
    }
    fn key_info(&self, key: KeyId) -> Option<KeyInfo> {
        self.profile.key_info(key)
    }
    fn front_len(&self, key: KeyId) -> usize {
        self.profile.front_len(key)
    }
    fn reserve(&mut self, key: KeyId, clear_len: usize) -> Room {
        self.profile.reserve(key, clear_len)
    }
    fn seal(&mut self, buffer: &mut [u8], packets: &mut [Sealing]) {
        self.profile.seal(buffer, packets);
    }
    fn open(&mut self, key: KeyId, packet: &mut [u8]) -> Result<Range<usize>, OpenError> {
        self.profile.open(key, packet)
    }
}

/// Takes every flow and notes what happens.
#[derive(Debug, Default)]
struct Peer {
    events: Vec<(Time, Event)>,
    received: Vec<Vec<u8>>,
}

impl Peer {
    fn failures(&self) -> Vec<KeyingFailure> {
        let failure = |(_, event): &(Time, Event)| match event {
            Event::KeyingFailed { failure, .. } => Some(failure.clone()),
            _ => None,
        };
        self.events.iter().filter_map(failure).collect()
    }

    fn time_of(&self, wanted: impl Fn(&Event) -> bool) -> Option<Time> {
        self.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
    }

    fn opened_at(&self) -> Option<Time> {
        self.time_of(|event| matches!(event, Event::SessionOpened { .. }))
    }
}

impl Application for Peer {
    fn on_event(&mut self, now: Time, endpoint: &mut Endpoint, event: Event) {
        match event {
            Event::FlowOffered { flow, .. } => endpoint.accept(now, flow, Tag(0)),
            Event::Readable { flow, .. } => {
                while let Some(message) = endpoint.recv_flow(flow).and_then(|mut flow| flow.read(now)) {
                    self.received.push(message.bytes.to_vec());
                }
            }
            _ => {}
        }
        self.events.push((now, event));
    }
}

struct World {
    net: Network,
    client: HostId,
    server: HostId,
    asked: Asked,
}

impl World {
    /// A client that says hello to a server, and has something to tell it.
    fn new(
        seed: u64,
        link: LinkConfig,
        client: (Policy, Manner),
        server: (Policy, Manner, &[Group]),
    ) -> Self {
        let mut net = Network::new(seed);
        net.set_default_link(link);
        let asked = Asked::default();
        let near = profile(fixed(&Group::DEFAULT, 1), client.0, seed);
        let near = Played { profile: near, manner: client.1, asked: Asked::default() };
        let far = profile(ephemeral(server.2), server.0, !seed);
        let far = Played { profile: far, manner: server.1, asked: Arc::clone(&asked) };
        let client = net.add_host("client", &[IpAddr::from(CLIENT)], node(near, [seed as u8; 32]));
        let server = net.add_host("server", &[IpAddr::from(SERVER)], node(far, [!seed as u8; 32]));
        net.run_for(Duration::from_millis(1));
        let now = net.now();
        let endpoint = net.service::<Node<Peer>>(client).endpoint();
        let spec = FlowSpec { metadata: b"flow".to_vec().into(), priority: Priority::Routine };
        let flow = endpoint.open_flow(now, &Epd::uri("rtmfp://h/app").encode(), spec, Tag(1)).unwrap();
        let mut flow = endpoint.send_flow(flow).unwrap();
        flow.add_candidate(now, (SERVER, 1935).into());
        flow.write(now, Message::from(b"hello".to_vec()), &WriteOptions::default()).unwrap();
        Self { net, client, server, asked }
    }

    fn run(&mut self, seconds: f64) {
        self.net.run_for(Duration::from_secs_f64(seconds));
    }

    fn at(&self, host: HostId) -> &Peer {
        &self.net.peek::<Node<Peer>>(host).application
    }

    /// The groups in which the server was asked for keys; 0 stands for a hello.
    fn asked(&self) -> Vec<u8> {
        let group = |(_, component): &(usize, Vec<u8>)| component.get(2).copied().unwrap_or(0);
        self.asked.lock().unwrap().iter().map(group).collect()
    }
}

fn node(profile: Played, seed: [u8; 32]) -> Box<Node<Peer>> {
    let endpoint = Endpoint::new(Config::default(), Box::new(profile), seed, Time::ZERO);
    Box::new(Node::new(endpoint, &[SocketAddr::from(([0, 0, 0, 0], 1935))], Peer::default()))
}

fn link(millis: u64) -> LinkConfig {
    LinkConfig::with_delay(Duration::from_millis(millis))
}

#[test]
fn a_server_that_computes_group_2_only_is_reached_after_the_third_keying_without_an_answer() {
    let server = (Policy::legacy(), Manner::GroupTwoOnly, &NAMED[..]);
    let mut world = World::new(1, link(20), (Policy::legacy(), Manner::Capable), server);
    world.run(3.5);
    assert_eq!(world.asked(), [0, 14, 14], "at 0 and 1.0 s");
    assert_eq!(world.at(world.client).opened_at(), None);
    world.run(0.3);
    assert_eq!(world.asked(), [0, 14, 14, 14, 0, 2], "3.5 s after the first, and from the beginning");
    assert_eq!(world.at(world.client).failures(), [KeyingFailure::Unanswered]);
    assert_eq!(world.at(world.server).received, [b"hello"]);
    let (certificate, component) = world.asked.lock().unwrap()[5].clone();
    assert_eq!((certificate, component.len()), (132, 76));
    assert_eq!(component[69..], unhex("031a0210021e02"), "offers, never demands");
}

#[test]
fn a_server_that_answers_in_group_2_whatever_it_was_asked_is_reached_without_a_wait() {
    let server = (Policy::legacy(), Manner::GroupTwoAnyway, &NAMED[..]);
    let mut world = World::new(1, link(20), (Policy::legacy(), Manner::Capable), server);
    world.run(0.5);
    assert_eq!(world.asked(), [0, 14, 0, 2], "and from the beginning");
    assert_eq!(world.at(world.client).failures(), [KeyingError::AnotherGroup.into()]);
    assert_eq!(world.at(world.server).received, [b"hello"]);
}

#[test]
fn the_fall_back_survives_losses() {
    for_each_seed(30, |seed| {
        let link = LinkConfig { loss: Loss::Independent(0.2), ..link(20) };
        let server = (Policy::legacy(), Manner::GroupTwoOnly, &NAMED[..]);
        let mut world = World::new(seed, link, (Policy::legacy(), Manner::Capable), server);
        world.run(60.0);
        assert_eq!(world.at(world.server).received, [b"hello"]);
    });
}

#[test]
fn without_the_legacy_policy_a_silent_server_is_never_offered_group_2_and_that_is_told() {
    let server = (Policy::legacy(), Manner::GroupTwoOnly, &NAMED[..]);
    let mut world = World::new(1, link(20), (Policy::default(), Manner::Capable), server);
    world.run(100.0);
    assert!(world.asked().len() > 5 && world.asked()[1..].iter().all(|group| *group == 14));
    assert_eq!(world.at(world.client).failures(), [KeyingFailure::Unanswered], "once");
    assert_eq!(world.at(world.client).opened_at(), None);
}

#[test]
fn under_the_legacy_policy_a_capable_server_is_asked_in_the_strongest_group_only() {
    for policy in [Policy::default(), Policy::legacy()] {
        let server = (policy, Manner::Capable, &Group::DEFAULT[..]);
        let mut world = World::new(1, link(20), (Policy::legacy(), Manner::Capable), server);
        world.run(10.0);
        assert_eq!(world.asked(), [0, 16]);
        assert_eq!(world.at(world.server).received, [b"hello"]);
        assert_eq!(world.at(world.client).failures(), []);
    }
}

#[test]
fn an_answer_to_the_first_keying_still_counts_after_the_fall_back() {
    // A round trip takes longer than the three keyings.
    let server = (Policy::legacy(), Manner::Capable, &NAMED[..]);
    let mut world = World::new(1, link(1900), (Policy::legacy(), Manner::Capable), server);
    world.run(7.0);
    assert_eq!(world.at(world.client).opened_at(), None);
    world.run(0.7);
    let opened = world.at(world.client).opened_at();
    assert!(opened.is_some(), "by the answer to the first");
    assert!(world.asked().contains(&14) && !world.asked().contains(&2));
    world.run(10.0);
    assert_eq!(world.at(world.server).received, [b"hello"]);
}

#[test]
fn a_client_that_only_offered_and_never_uses_its_session_is_closed_after_5_s_and_that_is_told() {
    let server = (Policy::default(), Manner::Capable, &NAMED[..]);
    let offers = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
    let mut world = World::new(1, link(20), (offers, Manner::NoAnswer), server);
    world.run(20.0);
    let at_server = world.at(world.server);
    let opened = at_server.opened_at().unwrap();
    let told = at_server.time_of(|event| {
        *event
            == Event::KeyingFailed {
                peer: (CLIENT, 1935).into(),
                initiator: false,
                failure: KeyingFailure::OnlyOffered("HMAC and sequence numbers"),
            }
    });
    assert_eq!(told, Some(opened + Duration::from_secs(5)));
    let closed = |event: &Event| matches!(event, Event::SessionClosed { reason: CloseReason::NeverUsed, .. });
    assert_eq!(at_server.time_of(closed), told);
}

#[test]
fn a_client_that_demanded_has_its_95_s_and_one_that_may_only_offer_as_well() {
    let offers = Policy::default().allow_no_hmac().allow_no_sequence_numbers();
    for (client, server) in [(Policy::default(), Policy::default()), (offers, Policy::legacy())] {
        let server = (server, Manner::Capable, &NAMED[..]);
        let mut world = World::new(1, link(20), (client, Manner::NoAnswer), server);
        world.run(90.0);
        let at_server = world.at(world.server);
        assert!(at_server.opened_at().is_some());
        assert_eq!(at_server.failures(), []);
        assert_eq!(at_server.time_of(|event| matches!(event, Event::SessionClosed { .. })), None);
    }
}

#[test]
fn what_a_refused_client_lacked_is_told_at_the_server() {
    let server = (Policy::default(), Manner::Capable, &NAMED[..]);
    let mut world = World::new(1, link(20), (Policy::default(), Manner::NoOffer), server);
    world.run(3.0);
    let refused = KeyingFailure::Refused(KeyingError::Policy("HMAC and sequence numbers"));
    assert_eq!(world.at(world.server).failures(), [refused.clone(), refused], "at 0 and 1 s");
}
