//! Clients that come and go in any way, over networks that do anything: nothing is left behind.

use std::time::Duration;

use rtmfp_netsim::{Dice, LinkConfig, Loss, Reorder, for_each_seed};

use crate::clip::Clip;
use crate::encoder::{Client, End, Task};
use crate::limits::counter;
use crate::server::Server;
use crate::world::{Chain, FIRST_RELAY, SERVER, at};

/// A probability of so many percent at most.
fn up_to(dice: &mut Dice, percent: u64) -> f64 {
    dice.below(percent + 1) as f64 / 100.0
}

fn any_link(dice: &mut Dice) -> LinkConfig {
    LinkConfig {
        jitter: dice.up_to(Duration::from_millis(20)),
        loss: Loss::Independent(up_to(dice, 30)),
        duplicate: up_to(dice, 10),
        reorder: Reorder { probability: up_to(dice, 20), extra: dice.up_to(Duration::from_millis(50)) },
        corrupt: up_to(dice, 5),
        rate: dice.chance(0.3).then(|| 20_000 + dice.below(200_000)),
        queue: 50_000,
        ..LinkConfig::with_delay(dice.up_to(Duration::from_millis(100)))
    }
}

fn any_client(dice: &mut Dice) -> Client {
    let clip = Clip::new(dice.below(120) as u32 + 1);
    let mut client = Client::new(
        at(FIRST_RELAY),
        match dice.below(6) {
            0 => Task::Publish(clip, End::Delete),
            1 => Task::Publish(clip, End::Disconnect),
            2 => Task::Publish(clip, End::Stay),
            3 => Task::Play,
            4 => Task::Idle,
            _ => Task::Silent,
        },
    );
    client.hasty = dice.chance(0.3);
    client.speed = 1 + dice.below(20) as u32;
    client
}

#[test]
fn nothing_is_left_behind_whatever_happens() {
    for_each_seed(12, |seed| {
        let dice = &mut Dice::new(seed, 0);
        let server = Server::playing(at(SERVER), Clip::new(60));
        let mut chain = Chain::new(seed, &["rtmp", "rtmfp", "rtmfp", "rtmp"], server);
        let mut clients = Vec::new();
        for _ in 0..25 {
            let (near, middle, far) = (chain.relays[0], chain.relays[1], chain.relays[2]);
            match dice.below(10) {
                0 => chain.network.set_links(near, middle, any_link(dice)),
                1 => chain.network.set_links(middle, far, any_link(dice)),
                2 => {
                    chain.network.partition(near, middle);
                    chain.network.run_for(dice.up_to(Duration::from_secs(40)));
                    chain.network.heal(near, middle);
                }
                3 => chain.network.service::<Server>(chain.server).reset(),
                4 if !clients.is_empty() => {
                    let gone = clients.swap_remove(dice.below(clients.len() as u64) as usize);
                    chain.network.vanish(gone);
                }
                _ => clients.push(chain.add(any_client(dice))),
            }
            chain.network.run_for(dice.up_to(Duration::from_secs(2)));
        }
        for &client in &clients {
            chain.network.vanish(client);
        }
        chain.network.run_for(Duration::from_secs(200));
        for (relay, endpoints) in [(0, 0), (1, 1), (2, 1)] {
            for (name, left) in [("clients", 0), ("streams", 0), ("sessions", 0), ("endpoints", endpoints)] {
                assert_eq!(counter(&chain, relay, name), left, "{name} of relay {relay}");
            }
        }
        // And it still works.
        let (near, middle, far) = (chain.relays[0], chain.relays[1], chain.relays[2]);
        for (a, b) in [(near, middle), (middle, far)] {
            chain.network.set_links(a, b, LinkConfig::with_delay(Duration::from_millis(10)));
        }
        let last = chain.add_client(Task::Publish(Clip::new(30), End::Delete));
        chain.network.run_for(Duration::from_secs(5));
        assert!(chain.client(last).has_code("NetStream.Publish.Start"));
        let received = chain.server().all().last().expect("a session").messages();
        assert_eq!(crate::clip::of(&received, 9), Clip::new(30).of(9));
    });
}
