//! Relays that are to end, and clients that would hold them up.

use std::time::Duration;

use rtmfp_netsim::HostId;

use crate::clip::Clip;
use crate::encoder::{End, Task};
use crate::limits::counter;
use crate::server::{Server, Session};
use crate::world::{Chain, SERVER, at};

const SHUT_DOWN: &str = "NetConnection.Connect.AppShutdown";
const CHAIN: [&str; 3] = ["rtmp", "rtmfp", "rtmp"];

fn drain(chain: &mut Chain, relay: usize) -> HostId {
    let relay = chain.relays[relay];
    chain.network.drain(relay);
    relay
}

#[test]
fn a_client_without_a_stream_does_not_hold_a_drain_up() {
    for drained in [0, 1] {
        let mut chain = Chain::new(1, &CHAIN, Chain::friendly());
        let client = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(2));
        assert_eq!(counter(&chain, drained, "clients"), 1);
        let relay = drain(&mut chain, drained);
        chain.network.run_for(Duration::from_secs(4));
        assert_eq!(chain.network.finished(relay), Some(&Ok(())), "relay {drained}");
        let client = chain.client(client);
        assert!(client.has_code(SHUT_DOWN), "{:?}", client.codes());
        assert!(client.end_of_stream.is_some(), "in order: {:?}", client.closed);
        let session = chain.server().all().next().expect("a session");
        assert!(session.end_of_stream.is_some(), "the destination is left in order: {:?}", session.closed);
    }
}

#[test]
fn a_client_whose_connect_was_not_answered_yet_is_told_that_it_has_failed() {
    let mut chain = Chain::with(1, &["rtmp", "rtmp"], Chain::friendly(), |_, config| {
        config.to.host = "10.0.0.77".to_owned();
    });
    let client = chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(2));
    let relay = drain(&mut chain, 0);
    chain.network.run_for(Duration::from_secs(1));
    assert_eq!(chain.network.finished(relay), Some(&Ok(())));
    let told = chain.client(client).description("NetConnection.Connect.Failed");
    assert!(told.is_some_and(|told| told.contains("shut down")));
}

#[test]
fn a_player_of_a_stream_that_is_not_there_is_waited_for_thirty_seconds_and_no_longer() {
    for drained in [0, 1] {
        let mut chain = Chain::new(1, &CHAIN, Chain::friendly());
        let client = chain.add_client(Task::Play);
        chain.network.run_for(Duration::from_secs(5));
        assert!(chain.client(client).has_code("NetStream.Play.Start"));
        let relay = drain(&mut chain, drained);
        chain.network.run_for(Duration::from_secs(24));
        assert_eq!(chain.network.finished(relay), None);
        chain.network.run_for(Duration::from_secs(6));
        assert_eq!(chain.network.finished(relay), Some(&Ok(())), "relay {drained}");
        assert!(chain.client(client).has_code(SHUT_DOWN));
        let session = chain.server().all().next().expect("a session");
        assert!(session.position("deleteStream").is_some());
    }
}

#[test]
fn one_that_has_waited_long_before_is_not_waited_for_again() {
    let mut chain = Chain::new(1, &CHAIN, Chain::friendly());
    chain.add_client(Task::Play);
    chain.network.run_for(Duration::from_secs(60));
    let relay = drain(&mut chain, 0);
    chain.network.run_for(Duration::from_secs(4));
    assert_eq!(chain.network.finished(relay), Some(&Ok(())));
}

#[test]
fn streams_that_carry_media_are_waited_for_as_long_as_they_run() {
    let clip = Clip::new(3000);
    for task in [Task::Publish(clip.clone(), End::Stay), Task::Play] {
        for drained in [0, 1] {
            let mut chain = Chain::new(1, &CHAIN, Server::playing(at(SERVER), clip.clone()));
            let client = chain.add_client(task.clone());
            chain.network.run_for(Duration::from_secs(5));
            let relay = drain(&mut chain, drained);
            chain.network.run_for(Duration::from_secs(70));
            assert_eq!(chain.network.finished(relay), None);
            assert!(!chain.client(client).has_code(SHUT_DOWN));
            assert!(chain.client(client).closed.is_none());
        }
    }
}

/// How many media messages there are, and where a command is among all messages, and whether media follows.
fn media_before(session: &Session, command: &str) -> (usize, bool) {
    let at = session.position(command).unwrap_or_else(|| panic!("no {command}"));
    let is_media = |(_, message): &&(_, rtmfp_media::TcMessage)| matches!(message.kind, 8 | 9);
    let (before, after) = session.received.split_at(at);
    (before.iter().filter(is_media).count(), after.iter().any(|received| is_media(&received)))
}

#[test]
fn streams_that_outlive_the_drain_are_ended_in_order_at_both_ends() {
    for drained in [0, 1] {
        let mut chain = Chain::with(1, &CHAIN, Chain::friendly(), |_, config| {
            config.timeouts.drain = Duration::from_secs(3);
        });
        let client = chain.add_client(Task::Publish(Clip::new(3000), End::Stay));
        chain.network.run_for(Duration::from_secs(5));
        let relay = drain(&mut chain, drained);
        chain.network.run_for(Duration::from_millis(2900));
        assert!(!chain.client(client).has_code(SHUT_DOWN));
        chain.network.run_for(Duration::from_secs(5));
        let client = chain.client(client);
        assert!(client.has_code(SHUT_DOWN), "{:?}", client.codes());
        assert!(client.end_of_stream.is_some(), "in order: {:?}", client.closed);
        let session = chain.server().all().next().expect("a session");
        let (media, more) = media_before(session, "deleteStream");
        assert!(!more, "nothing comes behind the end");
        assert!((150..600).contains(&media), "{media} messages");
        assert!(session.end_of_stream.is_some(), "{:?}", session.closed);
        chain.network.run_for(Duration::from_secs(10));
        assert_eq!(chain.network.finished(relay), Some(&Ok(())), "relay {drained}");
    }
}

#[test]
fn a_stop_during_a_drain_ends_at_once() {
    let mut chain = Chain::new(1, &CHAIN, Chain::friendly());
    chain.add_client(Task::Publish(Clip::new(3000), End::Stay));
    chain.network.run_for(Duration::from_secs(5));
    let relay = drain(&mut chain, 0);
    chain.network.run_for(Duration::from_secs(5));
    assert_eq!(chain.network.finished(relay), None);
    chain.network.stop(relay);
    chain.network.run_for(Duration::from_millis(100));
    assert_eq!(chain.network.finished(relay), Some(&Ok(())));
}
