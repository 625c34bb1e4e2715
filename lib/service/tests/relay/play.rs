use std::time::Duration;

use rtmfp_media::TcMessage;
use rtmfp_media::message::{event, kind};
use rtmfp_netsim::{LinkConfig, Loss, for_each_seed};

use crate::clip::{Clip, of};
use crate::encoder::{Client, End, Task};
use crate::server::Server;
use crate::world::{Chain, FIRST_RELAY, SERVER, at};

fn assert_played(client: &Client, clip: &Clip) {
    let received = client.messages();
    for kind in [kind::DATA, kind::VIDEO, kind::AUDIO] {
        let (got, sent) = (of(&received, kind), clip.of(kind));
        assert_eq!(got.len(), sent.len(), "messages of type {kind}");
        assert!(got == sent, "messages of type {kind} differ");
    }
    let is_media = |kind: u8| matches!(kind, kind::AUDIO | kind::VIDEO | kind::DATA);
    let position = |code: &str| client.position(code).unwrap_or_else(|| panic!("no {code}"));
    let first = received.iter().position(|message| is_media(message.kind)).expect("media");
    let last = received.iter().rposition(|message| is_media(message.kind)).expect("media");
    assert!(position("NetStream.Play.Start") < first, "media overtook the status before it");
    assert!(position("NetStream.Play.Stop") > last, "the status at the end overtook media");
    let eof = event::STREAM_EOF.to_be_bytes();
    let eof = received
        .iter()
        .position(|message| message.kind == kind::USER_CONTROL && message.payload.starts_with(&eof));
    assert!(eof.expect("an end of stream") > last, "the end of the stream overtook media");
}

#[test]
fn a_player_gets_all_of_a_clip_and_its_beginning_and_end_in_order() {
    let clip = Clip::new(150);
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"], &["rtmp", "rtmfp", "rtmfp", "rtmp"]]
    {
        let mut chain = Chain::new(1, protocols, Server::playing(at(SERVER), clip.clone()));
        let player = chain.add_client(Task::Play);
        chain.network.run_for(Duration::from_secs(15));
        assert_played(chain.client(player), &clip);
    }
}

#[test]
fn a_player_gets_all_over_a_bad_network() {
    for_each_seed(8, |seed| {
        let clip = Clip::new(90);
        let server = Server::playing(at(SERVER), clip.clone());
        let mut chain = Chain::with(seed, &["rtmp", "rtmfp", "rtmp"], server, |_, config| {
            config.link.lifetimes.previous_group = None;
            config.link.drain_limit = Duration::from_secs(5);
        });
        let bad = LinkConfig {
            jitter: Duration::from_millis(8),
            loss: Loss::Independent(0.03),
            ..LinkConfig::with_delay(Duration::from_millis(20))
        };
        chain.network.set_links(chain.relays[0], chain.relays[1], bad);
        let player = chain.add_client(Task::Play);
        chain.network.run_for(Duration::from_secs(15));
        assert_played(chain.client(player), &clip);
    });
}

#[test]
fn media_never_overtakes_the_command_before_it() {
    for_each_seed(8, |seed| {
        let clip = Clip::new(60);
        let server = Server::playing(at(SERVER), clip.clone());
        let mut chain = Chain::new(seed, &["rtmp", "rtmfp", "rtmp"], server);
        let player = chain.add_client(Task::Play);
        let mut hasty = Client::new(at(FIRST_RELAY), Task::Publish(clip, End::Delete));
        hasty.hasty = true;
        let hasty = chain.add(hasty);
        chain.network.run_while(Duration::from_secs(1), |network| {
            let connected = |host| network.peek::<Client>(host).has_code("NetConnection.Connect.Success");
            !connected(player) || !connected(hasty)
        });
        let awful =
            LinkConfig { loss: Loss::Independent(0.2), ..LinkConfig::with_delay(Duration::from_millis(20)) };
        chain.network.set_links(chain.relays[0], chain.relays[1], awful);
        chain.network.run_for(Duration::from_secs(20));
        let is_media = |message: &TcMessage| matches!(message.kind, kind::AUDIO | kind::VIDEO);
        let played = chain.client(player);
        let media = played.messages().iter().position(is_media);
        assert!(media.is_some() && played.position("NetStream.Play.Start") < media);
        let published = chain.server().all().find(|session| session.position("publish").is_some());
        let published = published.expect("the publisher was relayed");
        let media = published.messages().iter().position(is_media);
        let metadata = published.messages().iter().position(|message| message.kind == kind::DATA);
        assert!(media.is_some() && published.position("publish") < media && metadata < media);
    });
}
