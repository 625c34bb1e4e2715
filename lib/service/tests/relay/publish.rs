use std::time::Duration;

use rtmfp_media::message::kind;
use rtmfp_netsim::{LinkConfig, Loss, Reorder, for_each_seed};

use crate::clip::{Clip, of};
use crate::encoder::{End, TAIL, Task};
use crate::server::Session;
use crate::world::Chain;

/// Whether all of a clip has arrived, and nothing else of these types.
pub(crate) fn assert_intact(session: &Session, clip: &Clip) {
    let received = session.messages();
    for kind in [kind::DATA, kind::VIDEO, kind::AUDIO] {
        let (got, sent) = (of(&received, kind), clip.of(kind));
        assert_eq!(got.len(), sent.len(), "messages of type {kind}");
        assert!(got == sent, "messages of type {kind} differ");
    }
    assert!(
        session.received.iter().all(|(_, message)| message.kind != kind::USER_CONTROL),
        "flow syncs are not for RTMP"
    );
    assert_eq!(session.position("setPeerInfo"), None);
}

fn publish(protocols: &[&str], end: End) {
    let clip = Clip::new(600);
    let mut chain = Chain::new(1, protocols, Chain::friendly());
    let client = chain.add_client(Task::Publish(clip.clone(), end));
    chain.network.run_for(Duration::from_secs(20) + TAIL);
    let session = chain.server().all().next().expect("the publisher was relayed");
    assert!(chain.client(client).has_code("NetStream.Publish.Start"));
    assert_intact(session, &clip);
    assert_ended(&chain, session, end);
}

/// Whether the end has come after all media, and everywhere.
pub(crate) fn assert_ended(chain: &Chain, session: &Session, end: End) {
    let last_media = session.received.iter().rposition(|(_, message)| message.kind != kind::COMMAND);
    if end == End::Delete {
        assert!(session.position("deleteStream") > last_media, "deleteStream overtook media");
        assert!(session.position("FCUnpublish") > last_media, "FCUnpublish overtook media");
    }
    assert!(session.end_of_stream.is_some(), "the end of the byte stream has to arrive as well");
    for relay in 0..chain.relays.len() {
        assert_eq!(chain.relay(relay).client_count(), 0, "relay {relay} keeps a client");
    }
}

#[test]
fn a_clip_arrives_over_two_relays_with_rtmfp_between_them() {
    publish(&["rtmp", "rtmfp", "rtmp"], End::Delete);
}

#[test]
fn a_clip_arrives_whatever_is_spoken_on_either_side() {
    for protocols in [
        &["rtmp", "rtmp"][..],
        &["rtmp", "rtmp", "rtmp"],
        &["rtmp", "rtmfp", "rtmfp", "rtmp"],
        &["rtmp", "rtmfp", "rtmp", "rtmfp", "rtmp"],
    ] {
        println!("{protocols:?}");
        publish(protocols, End::Delete);
    }
}

#[test]
fn all_arrives_when_the_publisher_just_disconnects() {
    publish(&["rtmp", "rtmp"], End::Disconnect);
    publish(&["rtmp", "rtmfp", "rtmp"], End::Disconnect);
    publish(&["rtmp", "rtmfp", "rtmfp", "rtmp"], End::Disconnect);
}

#[test]
fn a_clip_arrives_over_a_bad_network() {
    for_each_seed(8, |seed| {
        let clip = Clip::new(150);
        let protocols = ["rtmp", "rtmfp", "rtmp"];
        let mut chain = Chain::with(seed, &protocols, Chain::friendly(), |_, config| {
            // What is lost twice comes later than 100 ms after the next key frame.
            config.link.lifetimes.previous_group = None;
        });
        let bad = LinkConfig {
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(5),
            loss: Loss::Independent(0.03),
            duplicate: 0.02,
            reorder: Reorder { probability: 0.05, extra: Duration::from_millis(15) },
            ..LinkConfig::default()
        };
        chain.network.set_links(chain.relays[0], chain.relays[1], bad);
        let end = if seed % 2 == 0 { End::Delete } else { End::Disconnect };
        chain.add_client(Task::Publish(clip.clone(), end));
        chain.network.run_for(Duration::from_secs(5) + TAIL);
        let session = chain.server().all().next().expect("the publisher was relayed");
        assert_intact(session, &clip);
        assert_ended(&chain, session, end);
    });
}

#[test]
fn twenty_clients_at_once_and_fifty_one_after_the_other() {
    let clip = Clip::new(60);
    let mut chain = Chain::new(3, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    for _ in 0..20 {
        chain.add_client(Task::Publish(clip.clone(), End::Delete));
    }
    chain.network.run_for(Duration::from_secs(6));
    for _ in 0..50 {
        chain.add_client(Task::Publish(clip.clone(), End::Delete));
        chain.network.run_for(Duration::from_millis(2300));
    }
    chain.network.run_for(TAIL);
    assert_eq!(chain.server().all().count(), 70);
    for session in chain.server().all() {
        assert_intact(session, &clip);
        assert_ended(&chain, session, End::Delete);
    }
}
