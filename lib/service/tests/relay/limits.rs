//! Strangers, drain and stop.

use std::time::Duration;

use rtmfp_base::Counters;
use rtmfp_media::command;

use crate::clip::Clip;
use crate::encoder::{Client, End, Task};
use crate::journal;
use crate::old_programs::{Script, add_script, connect};
use crate::publish::{assert_ended, assert_intact};
use crate::world::{Chain, FIRST_RELAY, add_relay, at, config};

#[test]
fn silent_connections_don_t_block_others_and_are_dropped_in_time() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    let silent: Vec<_> = (0..200).map(|_| chain.add_client(Task::Silent)).collect();
    chain.network.run_for(Duration::from_secs(1));
    assert_eq!(chain.relay(0).client_count(), 200);
    let clip = Clip::new(60);
    chain.add_client(Task::Publish(clip.clone(), End::Delete));
    chain.network.run_for(Duration::from_secs(8));
    let session = chain.server().all().next().expect("the publisher was relayed");
    assert_intact(session, &clip);
    chain.network.run_for(Duration::from_secs(2));
    assert_eq!(chain.relay(0).client_count(), 0);
    assert!(silent.iter().all(|&client| chain.client(client).closed.is_some()));
    assert_eq!(counter(&chain, 0, "clients_never_connected"), 200);
    assert_eq!(chain.server().all().count(), 1, "a silent client costs the destination nothing");
}

pub(crate) fn counter(chain: &Chain, relay: usize, name: &str) -> u64 {
    counter_of(chain.relay(relay), name)
}

pub(crate) fn counter_of(counts: &impl Counters, name: &str) -> u64 {
    let list = counts.to_list();
    list.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no counter {name}")).1
}

#[test]
fn more_clients_than_allowed_are_turned_away() {
    let mut chain = Chain::with(1, &["rtmp", "rtmp"], Chain::friendly(), |_, config| config.max_clients = 3);
    let clients: Vec<_> = (0..5).map(|_| chain.add_client(Task::Idle)).collect();
    chain.network.run_for(Duration::from_secs(1));
    let connected = |&&client: &&_| chain.client(client).has_code("NetConnection.Connect.Success");
    assert_eq!(clients.iter().filter(connected).count(), 3);
    assert_eq!(counter(&chain, 0, "clients_turned_away"), 2);
}

#[test]
fn a_drain_lets_streams_end_and_takes_no_new_clients() {
    for drained in [0, 1] {
        let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
        let clip = Clip::new(150);
        chain.add_client(Task::Publish(clip.clone(), End::Delete));
        chain.network.run_for(Duration::from_secs(2));
        let relay = chain.relays[drained];
        chain.network.drain(relay);
        chain.network.run_for(Duration::from_millis(100));
        let late = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(2));
        assert_eq!(chain.network.finished(relay), None);
        chain.network.run_for(Duration::from_secs(10));
        let session = chain.server().all().next().expect("the publisher was relayed");
        assert_intact(session, &clip);
        assert!(!chain.client(late).has_code("NetConnection.Connect.Success"));
        assert_eq!(chain.server().all().count(), 1);
        assert_eq!(chain.network.finished(relay), Some(&Ok(())));
    }
}

#[test]
fn a_drain_without_clients_ends_at_once() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    for relay in chain.relays.clone() {
        chain.network.drain(relay);
    }
    chain.network.run_for(Duration::from_millis(100));
    for &relay in &chain.relays {
        assert_eq!(chain.network.finished(relay), Some(&Ok(())));
    }
}

#[test]
fn a_stop_ends_all_at_once() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    let client = chain.add_client(Task::Publish(Clip::new(600), End::Delete));
    chain.network.run_for(Duration::from_secs(2));
    let relay = chain.relays[0];
    chain.network.stop(relay);
    chain.network.run_for(Duration::from_millis(100));
    assert_eq!(chain.network.finished(relay), Some(&Ok(())));
    assert!(chain.client(client).closed.is_some());
    // The other relay was told.
    chain.network.run_for(Duration::from_secs(5));
    assert_eq!(chain.relay(1).client_count(), 0);
}

#[test]
fn listeners_are_announced_with_their_ports_and_failures_end_the_program() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    assert_eq!(chain.network.announcements(chain.relays[0]), ["listening on rtmp://10.0.0.100:1935"]);
    assert_eq!(chain.network.announcements(chain.relays[1]), ["listening on rtmfp://10.0.0.101:1935"]);
    for protocol in ["rtmp", "rtmfp"] {
        let last = if protocol == "rtmp" { 90 } else { 91 };
        let url = format!("{protocol}://10.0.0.99:1935");
        let relay = add_relay(&mut chain.network, last, config(1, &url, "rtmp://10.0.0.200"));
        chain.network.run_for(Duration::from_millis(1));
        let error = format!("cannot listen on {url}: ");
        let finished = chain.network.finished(relay).cloned();
        assert!(finished.clone().is_some_and(|f| f.is_err_and(|e| e.starts_with(&error))), "{finished:?}");
    }
}

#[test]
fn nothing_is_left_behind_by_clients_that_are_gone() {
    let mut chain = Chain::new(1, &["rtmp", "rtmfp", "rtmp"], Chain::friendly());
    for round in 0..4 {
        let end = if round % 2 == 0 { End::Delete } else { End::Disconnect };
        chain.add(Client::new(at(FIRST_RELAY), Task::Publish(Clip::new(10), end)));
        chain.network.run_for(Duration::from_secs(3));
    }
    chain.network.run_for(Duration::from_secs(30));
    for (relay, endpoints) in [(0, 0), (1, 1)] {
        assert_eq!(counter(&chain, relay, "clients"), 0);
        assert_eq!(counter(&chain, relay, "clients_ended"), 4);
        assert_eq!(counter(&chain, relay, "endpoints"), endpoints);
        assert_eq!(counter(&chain, relay, "sessions"), 0);
        assert_eq!(counter(&chain, relay, "streams"), 0);
    }
    for session in chain.server().all() {
        assert_ended(&chain, session, End::Disconnect);
    }
}

#[test]
fn a_client_that_sends_more_commands_than_it_may_is_closed_and_others_are_not() {
    journal::begin();
    let mut chain = Chain::with(1, &["rtmp", "rtmp"], Chain::friendly(), |_, config| {
        config.link.trusted.message_bytes = 20_000;
        config.max_talk = 10_000;
    });
    let client = add_script(&mut chain, vec![connect(0.0)]);
    chain.network.run_for(Duration::from_secs(1));
    let call = command::create_stream(0.0).value("x".repeat(4000).as_str()).message(0);
    let say = |chain: &mut Chain, count| {
        let now = chain.network.now();
        chain.network.service::<Script>(client).say(now, vec![call.clone(); count]);
        chain.network.run_for(Duration::from_secs(1));
        counter(chain, 0, "clients_with_too_many_commands")
    };
    for _ in 0..30 {
        assert_eq!(say(&mut chain, 2), 0, "eight thousand bytes a second");
    }
    assert_eq!(say(&mut chain, 9), 0, "forty thousand at once");
    assert_eq!(say(&mut chain, 5), 1);
    assert_eq!(chain.relay(0).client_count(), 0);
    let warnings = journal::warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("--max-commands"), "{warnings:#?}");
}
