//! The relay's service between peers of the installed base and RTMP, over networks that lose, reorder and duplicate.

mod introduction;
mod others;

use std::time::Duration;

use rtmfp_base::{Service, Time};
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::{Limits, Value};
use rtmfp_media::command::Command;
use rtmfp_netsim::{Dice, HostId, LinkConfig, Loss, Network, Reorder};
use rtmfp_service::{Relay, RelayConfig};

use crate::clip::{self, Clip};
use crate::encoder::{Client, End, Task};
use crate::ledger::Deeds;
use crate::server::{Manner, Server};
use crate::strict::client::{Offer, StrictClient, Task as StrictTask};
use crate::strict::server::StrictServer;
use crate::trial::Outcome;
use crate::world::{self, at, ip};
use others::{LegacyProfiles, Tapped};

/// The relay that listens for RTMFP, the RTMP server behind it, the relay that listens for RTMP, the RTMFP server behind
/// that one, and who redirects to the first or introduces clients to each other.
const LISTENER: u8 = 1;
const RTMP_SERVER: u8 = 2;
const OUTGOING: u8 = 3;
const STRICT_SERVER: u8 = 4;
const REDIRECTOR: u8 = 5;
/// By then everything has arrived, or it never will.
const LONGEST: Duration = Duration::from_secs(240);

fn any_link(dice: &mut Dice) -> LinkConfig {
    let share = |dice: &mut Dice, percent: u64| dice.below(percent * 100 + 1) as f64 / 10_000.0;
    LinkConfig {
        jitter: dice.up_to(Duration::from_millis(20)),
        loss: Loss::Independent(share(dice, 8)),
        duplicate: share(dice, 10),
        reorder: Reorder { probability: share(dice, 15), extra: dice.up_to(Duration::from_millis(60)) },
        ..LinkConfig::with_delay(dice.up_to(Duration::from_millis(80)))
    }
}

fn relay_config(seed: u64, listen: &str, to: &str, media: Duration) -> RelayConfig {
    let mut config = world::config(seed, listen, to);
    config.listen[0].legacy = true;
    config.to.legacy = true;
    // Handshakes take their time over such networks.
    config.timeouts.connect = Duration::from_secs(60);
    config.timeouts.open = Duration::from_secs(60);
    config.timeouts.answer = Duration::from_secs(60);
    config.link.lifetimes.video = media;
    config.link.lifetimes.audio = media;
    config.link.lifetimes.previous_group = None;
    config
}

/// A network, and who is there.
struct Scene {
    network: Network,
    dice: Dice,
    seed: u64,
    deeds: Deeds,
    clients: u8,
    /// How long media may wait.
    media: Duration,
}

impl Scene {
    fn new(seed: u64, mut dice: Dice) -> Self {
        let mut network = Network::new(seed);
        network.set_default_link(if dice.chance(0.9) {
            any_link(&mut dice)
        } else {
            crate::random::clear_link()
        });
        // Mostly so long that everything has to arrive.
        let short = Duration::from_millis(50 + dice.below(500));
        let media = if dice.chance(0.25) { short } else { LONGEST };
        Self { network, dice, seed, deeds: Deeds::new(), clients: 0, media }
    }

    fn did(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }

    fn fresh_dice(&mut self) -> Dice {
        Dice::new(self.dice.below(u64::MAX), 9)
    }

    fn add(&mut self, last: u8, service: Box<dyn Service>) -> HostId {
        self.network.add_host(&format!("host {last}"), &[ip(last)], service)
    }

    fn add_client(&mut self, service: Box<dyn Service>) -> HostId {
        self.clients += 1;
        self.add(100 + self.clients, service)
    }

    fn add_relay(&mut self, last: u8, listen: &str, to: &str) -> HostId {
        let config = relay_config(self.seed, &format!("{listen}://{}", at(last)), to, self.media);
        let profiles = LegacyProfiles(self.fresh_dice());
        self.add(last, Box::new(Relay::new(config, Box::new(profiles))))
    }

    /// Whether the media of a clip is there: all of it, in order, unless it expires. What ends the video never does, so
    /// it arrives, and shows that nothing is waited for in vain.
    fn has_arrived(&self, messages: &[TcMessage], clip: &Clip) -> bool {
        [8, 9].into_iter().all(|kind| {
            let (received, sent) = (clip::of(messages, kind), clip.of(kind));
            if self.media == LONGEST {
                return received == sent;
            }
            let mut sent_then = sent.iter();
            received.iter().all(|message| sent_then.any(|other| other == message))
                && (kind == 8 || received.last() == sent.last())
        })
    }

    fn clip(&mut self) -> Clip {
        Clip::new(self.dice.below(30) as u32 + 1)
    }

    fn outcome(self) -> Outcome {
        Outcome {
            trace: self.network.trace_hash(),
            time: self.network.now().since(Time::ZERO),
            nodes: u64::from(self.clients) + 2,
            bytes: 0,
            faults: self.network.faults(),
            deeds: self.deeds,
        }
    }

    /// Clients of the installed base, and a modern one, at the relay's RTMFP listener.
    fn clients(&mut self) {
        let played = self.clip();
        // The server is close, so that what it gets is what the relay passed on.
        let server = self.add(RTMP_SERVER, Box::new(Server::playing(at(RTMP_SERVER), played.clone())));
        let relay = self.add_relay(LISTENER, "rtmfp", &format!("rtmp://{}", at(RTMP_SERVER)));
        self.network.set_links(server, relay, crate::random::clear_link());
        let redirector = self.dice.chance(0.3).then(|| self.add_redirector());
        self.network.run_for(Duration::from_millis(1));
        let mut publishers = Vec::new();
        let mut players = Vec::new();
        for _ in 0..1 + self.dice.below(2) {
            let offers = [Offer::Librtmfp, Offer::Librtmfp, Offer::Flash, Offer::Ephemeral];
            let offer = offers[self.dice.below(4) as usize];
            let to = at(if redirector.is_some() { REDIRECTOR } else { LISTENER });
            let dice = self.fresh_dice();
            if self.dice.chance(0.6) {
                let clip = self.clip();
                let client = StrictClient::new(dice, offer, to, StrictTask::Publish(clip.clone()));
                publishers.push((self.add_client(Box::new(client)), clip));
                self.did("legacy_publisher");
            } else {
                let client = StrictClient::new(dice, offer, to, StrictTask::Play);
                players.push(self.add_client(Box::new(client)));
                self.did("legacy_player");
            }
        }
        let modern = self.dice.chance(0.4).then(|| self.add_modern());
        let end = played.of(9).len();
        let media = self.media;
        self.network.run_while(LONGEST, |network| {
            let over = |client: &HostId| network.peek::<StrictClient>(*client).over.is_some();
            let has_all = |client: &HostId| {
                let video = clip::of(&network.peek::<StrictClient>(*client).played, 9);
                video.last() == played.of(9).last() && (media != LONGEST || video.len() >= end)
            };
            let opened = modern.is_none_or(|modern| network.peek::<Tapped>(modern).node.application.opened);
            !(publishers.iter().all(|(client, _)| over(client))
                && players.iter().all(|client| over(client) || has_all(client))
                && opened)
        });
        // What arrived at the relay is on its way to the server.
        self.network.run_for(Duration::from_secs(3));
        for (client, _) in &publishers {
            let client = self.network.peek::<StrictClient>(*client);
            assert!(
                matches!(client.over, Some(Ok(_))),
                "L7: a publisher: {:?}, {:?}",
                client.over,
                client.codes
            );
        }
        let server = self.network.peek::<Server>(server);
        let mut received: Vec<_> = server.all().map(|session| session.messages()).collect();
        assert!(
            received.iter().flat_map(|messages| messages.iter()).all(|message| !asks_for_amf3(message)),
            "L5: the RTMP server is asked for AMF 3, of which it need not know"
        );
        received.retain(|messages| asks_to_publish(messages));
        assert_eq!(
            received.len(),
            publishers.len(),
            "L5: who is asked to take the stream \"live\" in plain AMF 0"
        );
        for (_, clip) in &publishers {
            let found = received.iter().position(|messages| same_media(messages, clip));
            let Some(found) = found else { panic!("the RTMP server did not get all that was published") };
            received.remove(found);
        }
        for client in players {
            let client = self.network.peek::<StrictClient>(client);
            assert_eq!(client.over, None, "L7: a player");
            assert!(self.has_arrived(&client.played, &played), "not all that the server plays arrives");
        }
        if let Some(modern) = modern {
            let modern = self.network.peek::<Tapped>(modern);
            assert!(modern.node.application.opened, "a modern client gets no session");
            assert_eq!(modern.group, Some(16), "a modern client gets not the strongest group");
        }
    }

    fn add_redirector(&mut self) -> HostId {
        self.did("legacy_redirect");
        let redirector = others::redirector(self.fresh_dice(), at(REDIRECTOR), at(LISTENER));
        self.add(REDIRECTOR, Box::new(redirector))
    }

    fn add_modern(&mut self) -> HostId {
        self.did("modern_client");
        let modern = others::modern(self.fresh_dice(), self.network.now(), at(LISTENER));
        self.add_client(Box::new(modern))
    }

    /// RTMP clients of a relay whose destination is a server of the installed base.
    fn destination(&mut self) {
        let played = self.clip();
        let dice = self.fresh_dice();
        let server = StrictServer::new(dice, at(STRICT_SERVER), played.clone());
        let server = self.add(STRICT_SERVER, Box::new(server));
        let relay = self.add_relay(OUTGOING, "rtmp", &format!("rtmfp://{}", at(STRICT_SERVER)));
        self.network.run_for(Duration::from_millis(1));
        let publishes = self.dice.chance(0.6);
        let clip = self.clip();
        let task = if publishes { Task::Publish(clip.clone(), End::Stay) } else { Task::Play };
        self.did(if publishes { "legacy_destination_publish" } else { "legacy_destination_play" });
        let client = self.add_client(Box::new(Client::new(at(OUTGOING), task)));
        // So that only what is between the relay and its destination is tried.
        self.network.set_links(client, relay, crate::random::clear_link());
        let what = if publishes { &clip } else { &played };
        let last = what.of(9).pop();
        self.network.run_while(LONGEST, |network| {
            let messages = match publishes {
                true => network.peek::<StrictServer>(server).published.clone(),
                false => network.peek::<Client>(client).messages(),
            };
            clip::of(&messages, 9).pop() != last
        });
        // Audio may be later.
        self.network.run_for(Duration::from_secs(20));
        let codes = self.network.peek::<Client>(client).codes();
        let server = self.network.peek::<StrictServer>(server);
        assert_eq!(
            server.sessions, 1,
            "L8: {} keyings were not understood, {codes:?}",
            server.not_understood
        );
        if publishes {
            assert!(
                self.has_arrived(&server.published, &clip),
                "not all that was published arrives: {codes:?}"
            );
        } else {
            let messages = self.network.peek::<Client>(client).messages();
            assert!(self.has_arrived(&messages, &played), "not all that the server plays arrives: {codes:?}");
        }
    }
}

/// Whether all audio and video of a clip is there, in order.
fn same_media(messages: &[TcMessage], clip: &Clip) -> bool {
    [8, 9].into_iter().all(|kind| clip::of(messages, kind) == clip.of(kind))
}

/// Whether an RTMP server was asked to take the stream, in plain AMF 0.
fn asks_to_publish(messages: &[TcMessage]) -> bool {
    messages.iter().any(|message| {
        Command::parse(message.kind, &message.payload, &Limits::DEFAULT).is_ok_and(|command| {
            let name = command.argument(0).and_then(Value::as_str);
            message.kind == 20 && command.name == "publish" && name == Some("live")
        })
    })
}

/// Whether an RTMP server is told that its client may use AMF 3.
fn asks_for_amf3(message: &TcMessage) -> bool {
    Command::parse(message.kind, &message.payload, &Limits::DEFAULT).is_ok_and(|command| {
        let asked = command.object().and_then(|object| object.get("objectEncoding")?.as_number());
        command.name == "connect" && asked.is_some_and(|encoding| encoding != 0.0)
    })
}

/// One seed of the scenario.
pub(crate) fn run(seed: u64, dice: Dice) -> Outcome {
    let mut scene = Scene::new(seed, dice);
    match scene.dice.below(10) {
        0..6 => scene.clients(),
        6..9 => scene.destination(),
        _ => scene.introduction(),
    }
    scene.outcome()
}

/// Handshakes of a client that knows group 2 only, one after the other, over a network without trouble.
pub(crate) fn handshakes(seed: u64, dice: Dice) -> Outcome {
    const HANDSHAKES: u32 = 100;
    let mut scene = Scene::new(seed, dice);
    scene.network.set_default_link(crate::random::clear_link());
    let server = Server::new(at(RTMP_SERVER), Manner::Friendly);
    scene.add(RTMP_SERVER, Box::new(server));
    scene.add_relay(LISTENER, "rtmfp", &format!("rtmp://{}", at(RTMP_SERVER)));
    scene.network.run_for(Duration::from_millis(1));
    let dice = scene.fresh_dice();
    let client = StrictClient::new(dice, Offer::Librtmfp, at(LISTENER), StrictTask::Handshakes(HANDSHAKES));
    let client = scene.add_client(Box::new(client));
    let unfinished = |network: &Network| network.peek::<StrictClient>(client).over.is_none();
    scene.network.run_while(Duration::from_secs(3600), unfinished);
    let client = scene.network.peek::<StrictClient>(client);
    assert!(matches!(client.over, Some(Ok(_))), "handshake {}: {:?}", client.handshakes + 1, client.over);
    assert_eq!(client.handshakes, HANDSHAKES);
    *scene.deeds.entry("legacy_handshake").or_default() += u64::from(HANDSHAKES);
    scene.outcome()
}
