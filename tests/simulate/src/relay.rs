//! The relay's service as it runs for real: RTMP clients, relays that talk RTMFP with each other, an RTMP server.

use std::time::Duration;

use rtmfp_base::{Counters, Time};
use rtmfp_netsim::{Dice, HostId, StreamConfig};

use crate::clip::{self, Clip};
use crate::encoder::{Client, End, Task};
use crate::ledger::Deeds;
use crate::random::{self, Impairments};
use crate::server::Server;
use crate::trial::Outcome;
use crate::world::{Chain, FIRST_RELAY, SERVER, at};

fn any_client(dice: &mut Dice) -> Client {
    let clip = Clip::new(dice.below(60) as u32 + 1);
    let task = match dice.below(6) {
        0 => Task::Publish(clip, End::Delete),
        1 => Task::Publish(clip, End::Disconnect),
        2 => Task::Publish(clip, End::Stay),
        3 => Task::Play,
        4 => Task::Idle,
        _ => Task::Silent,
    };
    let mut client = Client::new(at(FIRST_RELAY), task);
    client.hasty = dice.chance(0.3);
    client.speed = 1 + dice.below(20) as u32;
    client
}

/// One of the counters of a relay.
fn counter(chain: &Chain, relay: usize, name: &str) -> u64 {
    let list = chain.relay(relay).to_list();
    list.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("no counter {name}")).1
}

/// Clients come and go in any way, over networks that do anything: nothing is left behind, and it still works.
pub(crate) fn run(seed: u64, mut dice: Dice) -> Outcome {
    let dice = &mut dice;
    let impairments = Impairments::any(dice);
    let hops: &[&str] =
        if dice.chance(0.3) { &["rtmp", "rtmfp", "rtmfp", "rtmp"] } else { &["rtmp", "rtmfp", "rtmp"] };
    let server = Server::playing(at(SERVER), Clip::new(30));
    let mut chain = Chain::new(seed, hops, server);
    let mut deeds = Deeds::new();
    let nat = chain.network.add_nat("nat", [10, 0, 0, 250].into(), random::nat(dice));
    let mut clients: Vec<HostId> = Vec::new();
    let mut inside = 0;
    for _ in 0..8 + dice.below(24) {
        let hop = dice.below(chain.relays.len() as u64 - 1) as usize;
        let (near, far) = (chain.relays[hop], chain.relays[hop + 1]);
        match dice.below(16) {
            0 | 1 => chain.network.set_links(near, far, impairments.link(dice)),
            2 => {
                chain.network.partition(near, far);
                let longest = if dice.chance(0.2) { 60 } else { 5 };
                chain.network.run_for(dice.up_to(Duration::from_secs(longest)));
                chain.network.heal(near, far);
            }
            3 => chain.network.service::<Server>(chain.server).reset(),
            7 | 8 => chain.network.rebind_nat(nat),
            4 if !clients.is_empty() => {
                let gone = clients.swap_remove(dice.below(clients.len() as u64) as usize);
                chain.network.vanish(gone);
            }
            5 | 6 => {
                for &client in &clients {
                    if dice.chance(0.4) {
                        let streams: Vec<_> = chain.network.streams(client).collect();
                        for stream in streams {
                            chain.network.reset_stream(client, stream);
                        }
                    }
                }
            }
            _ => {
                *deeds.entry("relay_client").or_default() += 1;
                let client = any_client(dice);
                clients.push(if dice.chance(0.6) {
                    inside += 1;
                    let ip = [192, 168, 0, inside];
                    chain.network.add_host_behind(nat, "inside", &[ip.into()], Box::new(client))
                } else {
                    chain.add(client)
                });
            }
        }
        chain.network.run_for(dice.up_to(Duration::from_secs(2)));
    }
    for client in clients {
        chain.network.vanish(client);
    }
    chain.network.run_for(Duration::from_secs(StreamConfig::default().dead_after.as_secs() + 170));
    for relay in 0..chain.relays.len() {
        let endpoints = u64::from(relay > 0);
        for (name, left) in [("clients", 0), ("streams", 0), ("sessions", 0), ("endpoints", endpoints)] {
            assert_eq!(counter(&chain, relay, name), left, "{name} of relay {relay}");
        }
    }
    // And it still works.
    for hop in 1..chain.relays.len() {
        let clear = random::clear_link();
        let (near, far) = (chain.relays[hop - 1], chain.relays[hop]);
        chain.network.set_links(near, far, clear);
    }
    let last = chain.add_client(Task::Publish(Clip::new(30), End::Delete));
    chain.network.run_for(Duration::from_secs(5));
    assert!(chain.client(last).has_code("NetStream.Publish.Start"), "the last client can't publish");
    let received = chain.server().all().last().expect("a session").messages();
    assert!(clip::of(&received, 9) == Clip::new(30).of(9), "not all pictures of the last client arrive");
    Outcome {
        trace: chain.network.trace_hash(),
        time: chain.network.now().since(Time::ZERO),
        nodes: chain.relays.len() as u64 + 1,
        bytes: 0,
        faults: chain.network.faults(),
        deeds,
    }
}
