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

/// Whom of two targets with these loads the next client is sent to, after one of them was handed so many.
fn next_of_two(config: &SelectionConfig, loads: [u64; 2], handed: u32, together: usize) -> u32 {
    let mut selection = Selection::new(config, [7; 32]);
    selection.insert(0, b"", loads[0]);
    (0..handed).for_each(|_| drop(selection.choose(Time::from_secs(1), together, &[])));
    selection.insert(1, b"", loads[1]);
    selection.choose(Time::from_secs(1), 1, &[])[0]
}

#[test]
fn by_least_load_a_client_that_was_handed_out_counts_what_is_configured_in_the_unit_of_reports() {
    let counts = |client_load| SelectionConfig { client_load, ..config(Policy::LeastLoad) };
    for client_load in [1, 7, 100] {
        let weight = 10 * client_load;
        assert_eq!(next_of_two(&counts(client_load), [5, weight + 4], 10, 1), 1, "{client_load}");
        assert_eq!(next_of_two(&counts(client_load), [5, weight + 6], 10, 1), 0, "{client_load}");
    }
    assert_eq!(next_of_two(&counts(0), [5, 6], 10, 1), 0, "nothing");
}

#[test]
fn by_least_load_a_client_who_may_choose_counts_only_in_part_at_each() {
    let mut selection = selection(Policy::LeastLoad, 2);
    (0..10).for_each(|_| drop(selection.choose(Time::from_secs(1), 2, &[])));
    // Each was handed ten halves.
    selection.insert(2, b"", 4);
    selection.remove(1);
    assert_eq!(selection.choose(Time::from_secs(1), 1, &[]), [2]);
    selection.insert(2, b"", 6);
    assert_eq!(selection.choose(Time::from_secs(1), 1, &[]), [0]);
}

#[test]
fn by_least_load_a_report_says_what_was_handed_out_too() {
    let mut selection = selection(Policy::LeastLoad, 1);
    (0..50).for_each(|_| drop(selection.choose(Time::from_secs(1), 1, &[])));
    selection.report(0, 3);
    selection.insert(1, b"", 10);
    assert_eq!(selection.choose(Time::from_secs(1), 1, &[]), [0]);
}

#[test]
fn by_least_load_what_was_handed_out_counts_half_after_each_half_life_and_not_before() {
    let begun = Time::from_secs(100);
    for (later, expected) in [(0, 40), (29, 40), (30, 20), (59, 20), (60, 10), (90, 5), (10_000, 0)] {
        // The load of another one tells how much it is.
        let first_is_chosen = |load| {
            let mut selection = selection(Policy::LeastLoad, 1);
            (0..40).for_each(|_| drop(selection.choose(begun, 1, &[])));
            selection.insert(1, b"", load);
            // To be looked at in between changes nothing, if that is not chosen.
            selection.choose(begun + Duration::from_secs(later), 1, &[]) == [0]
        };
        assert!(first_is_chosen(expected + 1), "after {later} s it counts {expected}");
        assert!(expected == 0 || !first_is_chosen(expected - 1), "after {later} s it counts {expected}");
    }
}

#[test]
fn by_least_load_what_is_forgotten_is_not_forgotten_twice() {
    let mut selection = selection(Policy::LeastLoad, 1);
    (0..40).for_each(|_| drop(selection.choose(Time::from_secs(100), 1, &[])));
    selection.insert(1, b"", 0);
    // It is looked at every second, and not chosen: the other one reports that it has nothing to do.
    for second in 130..150 {
        selection.report(1, 0);
        assert_eq!(selection.choose(Time::from_secs(second), 1, &[]), [1]);
    }
    selection.insert(1, b"", 19);
    assert_eq!(selection.choose(Time::from_secs(150), 1, &[]), [1], "20 are left of 40");
}

#[test]
fn a_target_that_is_inserted_again_is_there_once() {
    for policy in POLICIES {
        let mut selection = selection(policy, 3);
        selection.insert(1, &name(1), 5);
        assert_eq!(selection.len(), 3, "{policy:?}");
        let mut chosen = selection.choose(Time::ZERO, 9, b"k");
        chosen.sort_unstable();
        assert_eq!(chosen, [0, 1, 2], "{policy:?}");
        selection.remove(1);
        assert_eq!(selection.len(), 2, "{policy:?}");
        assert!(!selection.choose(Time::ZERO, 9, b"k").contains(&1), "{policy:?}");
    }
}

#[test]
fn by_weight_a_target_keeps_its_weight_when_others_are_removed_or_chosen() {
    let mut selection = selection(Policy::Weighted, 3);
    [(0, 0), (1, 9_999), (2, 99)].into_iter().for_each(|(target, load)| selection.report(target, load));
    // The last one takes the place of the one that goes.
    selection.remove(0);
    let mut handed = [0; 3];
    for _ in 0..10_000 {
        assert_eq!(selection.choose(Time::ZERO, 2, &[]), [2, 1], "both, the less loaded one first");
        handed[selection.choose(Time::ZERO, 1, &[])[0] as usize] += 1;
    }
    assert!(handed[0] == 0 && (20..300).contains(&handed[1]), "{handed:?}");
}

#[test]
fn by_weight_even_targets_with_the_highest_load_are_chosen() {
    let mut selection = selection(Policy::Weighted, 2);
    (0..2).for_each(|target| selection.report(target, u64::MAX));
    let mut chosen: Vec<u32> = (0..100).map(|_| selection.choose(Time::ZERO, 1, &[])[0]).collect();
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen, [0, 1]);
}

#[test]
fn by_hash_those_chosen_together_are_named_in_the_order_of_their_last_loads() {
    let mut selection = selection(Policy::Hash, 3);
    [(0, 5), (1, 1), (2, 3)].into_iter().for_each(|(target, load)| selection.report(target, load));
    assert_eq!(selection.choose(Time::ZERO, 3, b"k"), [1, 2, 0]);
}

#[test]
fn by_hash_of_two_targets_with_one_name_the_first_has_the_keys_and_its_going_leaves_the_other() {
    let mut selection = selection(Policy::Hash, 0);
    (0..2).for_each(|target| selection.insert(target, b"same", 0));
    assert_eq!(selection.choose(Time::ZERO, 1, b"k"), [0]);
    selection.remove(1);
    assert_eq!(selection.choose(Time::ZERO, 1, b"k"), [0], "the points are those of the first");
}

#[test]
fn by_hash_a_target_has_one_point_at_least() {
    let mut selection = Selection::new(&SelectionConfig { ring_points: 0, ..config(Policy::Hash) }, [7; 32]);
    selection.insert(4, b"name", 0);
    assert_eq!(selection.choose(Time::ZERO, 1, b"k"), [4]);
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
