//! Destinations that do not want a client.

use std::time::Duration;

use rtmfp_media::command;

use crate::encoder::Task;
use crate::journal;
use crate::limits::counter;
use crate::old_programs::{Script, add_script, connect};
use crate::server::{Manner, Server};
use crate::world::{Chain, SERVER, at};

const CHAINS: [&[&str]; 2] = [&["rtmp", "rtmp"], &["rtmp", "rtmfp", "rtmp"]];

#[test]
fn a_refusal_is_told_once_by_each_relay_with_the_reason_and_is_no_loss() {
    for protocols in CHAINS {
        journal::begin();
        let mut chain = Chain::new(1, protocols, Server::new(at(SERVER), Manner::Rejecting));
        let client = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(20));
        assert!(chain.client(client).has_code("NetConnection.Connect.Rejected"));
        let warnings = journal::warnings();
        assert_eq!(warnings.len(), chain.relays.len(), "{warnings:#?}");
        for warning in &warnings {
            let says = |text: &str| warning.contains(text);
            assert!(says("client 1 from 10.") && says(": refused by rtm"), "{warning}");
            assert!(warning.ends_with(": NetConnection.Connect.Rejected: not today"), "{warning}");
        }
        for relay in 0..chain.relays.len() {
            assert_eq!(counter(&chain, relay, "clients_rejected"), 1);
            assert_eq!(counter(&chain, relay, "clients_lost"), 0);
            assert_eq!(counter(&chain, relay, "clients"), 0);
        }
    }
}

#[test]
fn a_relay_that_cannot_reach_the_server_is_told_of_with_its_reason_by_the_one_before_it() {
    journal::begin();
    let mut chain = Chain::with(1, CHAINS[1], Chain::friendly(), |_, config| {
        if config.to.port == 1935 && config.to.host == at(SERVER).ip().to_string() {
            config.to.port = 9;
        }
    });
    chain.add_client(Task::Idle);
    chain.network.run_for(Duration::from_secs(5));
    let warnings = journal::warnings();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings[0].contains("cannot connect to rtmp://10.0.0.200:9: "), "{warnings:#?}");
    let wanted = "refused by rtmfp://10.0.0.101:1935: NetConnection.Connect.Failed: cannot connect to rtmp://10.0.0.200:9: ";
    assert!(warnings[1].contains(wanted), "{warnings:#?}");
}

#[test]
fn a_login_does_not_look_like_an_error() {
    for protocols in CHAINS {
        journal::begin();
        let mut chain = Chain::new(1, protocols, Server::new(at(SERVER), Manner::AskingToLogIn));
        let client = chain.add_client(Task::Idle);
        chain.network.run_for(Duration::from_secs(20));
        let description = chain.client(client).description("NetConnection.Connect.Rejected");
        assert!(description.is_some_and(|text| text.contains("code=403 need auth; authmod=adobe")));
        assert_eq!(journal::warnings(), [""; 0]);
        assert!(journal::lines().iter().any(|line| line.contains("code=403 need auth")));
        for relay in 0..chain.relays.len() {
            assert_eq!(counter(&chain, relay, "clients_asked_to_log_in"), 1);
            assert_eq!(counter(&chain, relay, "clients_rejected"), 0);
            assert_eq!(counter(&chain, relay, "clients_lost"), 0);
        }
    }
}

#[test]
fn of_many_refusals_few_are_told() {
    journal::begin();
    let mut chain = Chain::new(1, CHAINS[0], Server::new(at(SERVER), Manner::Rejecting));
    for _ in 0..100 {
        chain.add_client(Task::Idle);
    }
    chain.network.run_for(Duration::from_secs(1));
    assert_eq!(counter(&chain, 0, "clients_rejected"), 100);
    assert!((20..=22).contains(&journal::warnings().len()), "{:#?}", journal::warnings());
}

#[test]
fn a_client_that_was_refused_and_stays_is_closed_in_time_and_nothing_of_it_is_passed_on() {
    for protocols in CHAINS {
        let mut chain = Chain::new(1, protocols, Server::new(at(SERVER), Manner::Staying));
        let client = add_script(&mut chain, vec![connect(0.0)]);
        chain.network.run_for(Duration::from_secs(1));
        let now = chain.network.now();
        let again = vec![connect(0.0), command::create_stream(2.0).message(0)];
        chain.network.service::<Script>(client).say(now, again);
        chain.network.run_for(Duration::from_secs(8));
        assert_eq!(counter(&chain, 0, "clients"), 1, "it has some time to leave");
        chain.network.run_for(Duration::from_secs(12));
        assert!(chain.network.peek::<Script>(client).is_closed());
        for relay in 0..chain.relays.len() {
            assert_eq!(counter(&chain, relay, "clients"), 0);
        }
        let got = chain.server().all().next().expect("a session").messages();
        assert_eq!(got.len(), 1, "{got:?}");
    }
}

#[test]
fn a_client_that_was_refused_and_floods_is_dropped() {
    let mut chain = Chain::new(1, CHAINS[0], Server::new(at(SERVER), Manner::Staying));
    let client = add_script(&mut chain, vec![connect(0.0)]);
    chain.network.run_for(Duration::from_secs(1));
    let now = chain.network.now();
    let flood = vec![command::create_stream(2.0).value("x".repeat(1000).as_str()).message(0); 100];
    chain.network.service::<Script>(client).say(now, flood);
    chain.network.run_for(Duration::from_secs(1));
    assert_eq!(counter(&chain, 0, "clients"), 0);
    assert_eq!(chain.server().all().next().expect("a session").received.len(), 1);
}
