use std::collections::HashMap;

use super::steps::steps;
use super::*;

const POLICIES: [Policy; 4] = [Policy::LeastLoad, Policy::Weighted, Policy::RoundRobin, Policy::Hash];

fn config(policy: Policy) -> SelectionConfig {
    SelectionConfig { policy, ..SelectionConfig::default() }
}

fn selection(policy: Policy, targets: u32) -> Selection<u32> {
    let mut selection = Selection::new(&config(policy), [7; 32]);
    for target in 0..targets {
        selection.insert(target, &name(target), 0);
    }
    selection
}

fn name(target: u32) -> Vec<u8> {
    format!("fingerprint of {target}").into_bytes()
}

fn key(client: u32) -> Vec<u8> {
    format!("application {client}").into_bytes()
}

#[test]
fn by_least_load_the_heaviest_of_1000_targets_carries_at_most_1_3_times_the_mean_of_100_000_clients() {
    for seed in 0..3 {
        let config = config(Policy::LeastLoad);
        let mut selection: Selection<u32> = Selection::new(&config, [seed; 32]);
        let mut dice = ChaCha20Rng::from_seed([seed + 100; 32]);
        let mut clients = vec![0u64; 1000];
        for target in 0..1000 {
            selection.insert(target, &name(target), 0);
        }
        // Three times as many come as stay: others leave, from where chance wants. Every target reports once in a
        // thousand arrivals, so that most of what is known is old.
        let mut present: Vec<u32> = Vec::new();
        for arrival in 0..300_000u64 {
            let now = Time::from_micros(arrival * 100);
            let target = selection.choose(now, 1, &[])[0];
            clients[target as usize] += 1;
            present.push(target);
            if present.len() > 100_000 {
                let gone = present.swap_remove(below(&mut dice, present.len() as u64) as usize);
                clients[gone as usize] -= 1;
            }
            let reporting = (arrival * 7919 % 1000) as u32;
            selection.report(reporting, clients[reporting as usize]);
        }
        let heaviest = clients.iter().max().unwrap();
        println!("seed {seed}: the heaviest carries {heaviest}, the mean is 100");
        assert_eq!(clients.iter().sum::<u64>(), 100_000);
        assert!(*heaviest <= 130, "seed {seed}: {heaviest}");
    }
}

#[test]
fn by_least_load_all_who_come_between_two_reports_are_spread() {
    let mut selection = selection(Policy::LeastLoad, 10);
    // One has nothing to do, and says so once; it does not get everybody.
    (1..10).for_each(|target| selection.report(target, 50));
    selection.report(0, 0);
    let mut handed = [0; 10];
    for _ in 0..1000 {
        handed[selection.choose(Time::from_secs(1), 1, &[])[0] as usize] += 1;
    }
    println!("{handed:?}");
    assert!(handed[0] > 100 && handed[0] < 250, "{handed:?}");
    assert!(handed[1..].iter().all(|&count| count > 60), "{handed:?}");
}

#[test]
fn by_least_load_what_was_handed_out_is_forgotten_by_and_by() {
    let mut selection = selection(Policy::LeastLoad, 2);
    selection.remove(1);
    (0..50).for_each(|_| drop(selection.choose(Time::from_secs(1), 1, &[])));
    selection.insert(1, &name(1), 20);
    assert_eq!(selection.choose(Time::from_secs(2), 1, &[]), [1], "the other one was handed 50 clients");
    assert_eq!(
        selection.choose(Time::from_secs(600), 1, &[]),
        [0],
        "it never reports, and that was long ago"
    );
}

#[test]
fn by_weight_twice_the_load_means_half_the_clients() {
    let mut selection = selection(Policy::Weighted, 3);
    [(0, 99), (1, 199), (2, 399)].into_iter().for_each(|(target, load)| selection.report(target, load));
    let mut handed = [0i32; 3];
    (0..70_000).for_each(|_| handed[selection.choose(Time::ZERO, 1, &[])[0] as usize] += 1);
    let expected = [40_000, 20_000, 10_000];
    assert!(handed.iter().zip(expected).all(|(got, want)| (got - want).abs() < 1000), "{handed:?}");
}

#[test]
fn in_turns_all_get_the_same_and_a_new_one_comes_first() {
    let mut selection = selection(Policy::RoundRobin, 4);
    let mut turns =
        |count: usize| -> Vec<u32> { (0..count).map(|_| selection.choose(Time::ZERO, 1, &[])[0]).collect() };
    assert_eq!(turns(6), [3, 2, 1, 0, 3, 2]);
    selection.insert(9, b"", 0);
    selection.remove(1);
    assert_eq!((0..5).map(|_| selection.choose(Time::ZERO, 1, &[])[0]).collect::<Vec<_>>(), [9, 0, 3, 2, 9]);
    selection.shuffle();
    let mut round: Vec<u32> = (0..4).map(|_| selection.choose(Time::ZERO, 1, &[])[0]).collect();
    round.sort_unstable();
    assert_eq!(round, [0, 2, 3, 9]);
}

#[test]
fn those_chosen_together_are_named_in_the_order_of_their_loads() {
    let mut selection = selection(Policy::RoundRobin, 3);
    [(0, 5), (1, 1), (2, 3)].into_iter().for_each(|(target, load)| selection.report(target, load));
    assert_eq!(selection.choose(Time::ZERO, 3, &[]), [1, 2, 0]);
}

#[test]
fn by_hash_removing_one_of_1000_targets_moves_at_most_two_keys_in_1000_and_only_its_own() {
    let mut selection = selection(Policy::Hash, 1000);
    let owners: Vec<u32> =
        (0..100_000).map(|client| selection.choose(Time::ZERO, 1, &key(client))[0]).collect();
    let mut shares = HashMap::new();
    owners.iter().for_each(|owner| *shares.entry(*owner).or_insert(0) += 1);
    let (heaviest, most) = shares.iter().max_by_key(|(_, count)| **count).unwrap();
    println!("the heaviest has {most} of 100,000 keys");
    for removed in [*heaviest, 0, 500, 999] {
        selection.remove(removed);
        let mut moved = 0;
        for (client, &owner) in owners.iter().enumerate() {
            let now = selection.choose(Time::ZERO, 1, &key(client as u32))[0];
            assert!(now == owner || owner == removed, "a key of {owner} moved when {removed} left");
            moved += u32::from(now != owner);
        }
        assert!((1..=200).contains(&moved), "{moved} of 100,000 keys moved with {removed}");
        selection.insert(removed, &name(removed), 0);
        assert!(
            owners
                .iter()
                .enumerate()
                .step_by(97)
                .all(|(client, owner)| { selection.choose(Time::ZERO, 1, &key(client as u32)) == [*owner] })
        );
    }
}

#[test]
fn by_hash_every_redirector_chooses_alike_whatever_the_order_of_registrations() {
    let mut other: Selection<u32> = Selection::new(&config(Policy::Hash), [99; 32]);
    (0..50).rev().for_each(|target| other.insert(target, &name(target), 0));
    let mut selection = selection(Policy::Hash, 50);
    for client in 0..1000 {
        assert_eq!(selection.choose(Time::ZERO, 2, &key(client)), other.choose(Time::ZERO, 2, &key(client)));
    }
}

#[test]
fn nobody_is_chosen_twice_and_all_are_when_as_many_are_wanted() {
    for policy in POLICIES {
        let mut selection = selection(policy, 5);
        selection.remove(3);
        for (count, expected) in [(0, 0), (1, 1), (2, 2), (4, 4), (9, 4)] {
            for client in 0..50 {
                let mut chosen = selection.choose(Time::from_secs(1), count, &key(client));
                chosen.sort_unstable();
                chosen.dedup();
                assert_eq!(chosen.len(), expected, "{policy:?}");
                assert!(!chosen.contains(&3));
            }
        }
        (0..5).for_each(|target| selection.remove(target));
        assert!(
            selection.is_empty() && selection.choose(Time::from_secs(1), 2, b"k").is_empty(),
            "{policy:?}"
        );
    }
}

#[test]
fn equal_seeds_choose_alike() {
    for policy in POLICIES {
        let [mut a, mut b] = [selection(policy, 20), selection(policy, 20)];
        for client in 0..200 {
            assert_eq!(a.choose(Time::ZERO, 2, &key(client)), b.choose(Time::ZERO, 2, &key(client)));
        }
    }
}

/// Steps of a choice of two, on average and at most.
fn cost(policy: Policy, targets: u32) -> (f64, u64) {
    let mut selection = selection(policy, targets);
    let (mut most, start) = (0, steps());
    for client in 0..2000 {
        let before = steps();
        selection.choose(Time::ZERO, 2, &key(client));
        most = most.max(steps() - before);
    }
    ((steps() - start) as f64 / 2000.0, most)
}

#[test]
fn the_cost_of_a_choice_grows_no_faster_than_the_logarithm_of_the_number_of_targets() {
    for policy in POLICIES {
        let [few, many] = [64, 16_384].map(|targets| cost(policy, targets));
        println!("{policy:?}: {few:?} steps among 64 targets, {many:?} among 16,384");
        // The logarithm grows from 6 to 14; a quarter more for the nodes of a tree, that are not all equally full.
        assert!(many.0 <= few.0 * 14.0 / 6.0 * 1.25, "{policy:?}: {few:?} {many:?}");
        assert!(many.1 <= 400, "{policy:?}: {many:?}");
    }
}
