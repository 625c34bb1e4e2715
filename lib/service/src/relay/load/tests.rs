use super::*;

const MBIT: u64 = 1_000_000;

/// Loads after a minute with so many clients, bits per second, and latency.
fn load(meter: &mut Meter, clients: usize, bitrate: u64, latency: Duration) -> Load {
    let begun = meter.carried.map_or(Time::ZERO, |(_, at)| at);
    let before = meter.carried.map_or(0, |(bytes, _)| bytes);
    (1..=60)
        .map(|second| {
            meter.latency(latency);
            measure(meter, begun + second * INTERVAL, clients, before + u64::from(second) * bitrate / 8)
        })
        .last()
        .unwrap()
}

fn meter(config: LoadConfig) -> Meter {
    Meter::new(config, 1000, 1)
}

/// Of a relay without workers.
fn measure(meter: &mut Meter, now: Time, clients: usize, bytes: u64) -> Load {
    let own = Carried { clients, bytes };
    meter.measure(now, own, Figures { clients: clients as u64, bitrate: 0 })
}

#[test]
fn the_load_is_the_share_of_what_is_scarcest() {
    let config = LoadConfig { max_bitrate: Some(100 * MBIT), ..LoadConfig::default() };
    let quick = Duration::from_micros(300);
    assert_eq!(load(&mut meter(config.clone()), 250, 10 * MBIT, quick).level, 2500);
    assert_eq!(load(&mut meter(config.clone()), 250, 50 * MBIT, quick).level, 5000);
    assert_eq!(load(&mut meter(config.clone()), 250, 10 * MBIT, Duration::from_micros(4000)).level, 6000);
    assert_eq!(load(&mut meter(config), 0, 0, quick), Load::default());
}

#[test]
fn latency_up_to_half_of_the_limit_does_not_count_and_alone_it_does_not_fill() {
    let mut meter = meter(LoadConfig::default());
    assert_eq!(load(&mut meter, 0, 0, Duration::from_micros(2500)).level, 0);
    let slow = load(&mut meter, 0, 0, Duration::from_secs(1));
    assert_eq!((slow.level, slow.is_full), (FULL - 1, false));
}

#[test]
fn weights_say_how_much_a_part_counts() {
    let weights = LoadWeights { connections: 0.5, bitrate: 0.0, latency: 0.0 };
    let config = LoadConfig { max_bitrate: Some(MBIT), weights, ..LoadConfig::default() };
    assert_eq!(load(&mut meter(config), 500, 10 * MBIT, Duration::from_secs(1)).level, 2500);
}

#[test]
fn a_full_relay_wants_clients_again_when_it_has_room_for_some() {
    let mut meter = meter(LoadConfig { max_connections: Some(100), ..LoadConfig::default() });
    let is_full: Vec<bool> = [99, 100, 95, 90, 89, 95, 100]
        .into_iter()
        .map(|clients| measure(&mut meter, Time::ZERO, clients, 0).is_full)
        .collect();
    assert_eq!(is_full, [false, true, true, true, false, false, true]);
}

#[test]
fn no_more_connections_count_than_clients_are_taken() {
    let mut meter = meter(LoadConfig { max_connections: Some(100_000), ..LoadConfig::default() });
    assert!(measure(&mut meter, Time::ZERO, 1000, 0).is_full);
    assert!(measure(&mut Meter::new(LoadConfig::default(), 0, 1), Time::ZERO, 1, 0).is_full);
}

#[test]
fn averages_follow_a_change_by_a_quarter_each_time_whatever_the_interval_is() {
    let at = Time::from_secs;
    let mut meter = meter(LoadConfig { max_latency: Duration::from_millis(4), ..LoadConfig::default() });
    let mut bitrate = |now, bytes| measure(&mut meter, now, 0, bytes).bitrate;
    assert_eq!(bitrate(at(1), 5_000_000), 0, "what was before is not known");
    assert_eq!(bitrate(at(2), 5_125_000), 250_000);
    assert_eq!(bitrate(at(4), 5_625_000), 687_500, "two megabits in each of two seconds");
    assert_eq!(bitrate(at(5), 0), 515_625, "fewer bytes are none");
    assert_eq!(bitrate(at(5), 0), 386_718, "nor does it matter when no time has passed");
    let mut level = |now| {
        meter.latency(Duration::from_millis(4));
        measure(&mut meter, now, 0, 0).level
    };
    assert_eq!([level(at(6)), level(at(7))], [0, 0], "1 ms and 1.75 ms by now");
    assert_eq!(level(at(8)), 1563, "2.3125 ms by now");
}

#[test]
fn a_limit_of_no_bits_is_one_that_nothing_carried_does_not_reach() {
    let mut meter = meter(LoadConfig { max_bitrate: Some(0), ..LoadConfig::default() });
    assert_eq!(measure(&mut meter, Time::from_secs(1), 0, 0).level, 0);
    measure(&mut meter, Time::from_secs(2), 0, 0);
    assert!(measure(&mut meter, Time::from_secs(3), 0, 1000).is_full);
}

/// An idle relay takes few turns: one that is slow is the slowest hundredth of its second.
#[test]
fn one_stalled_turn_is_no_load_and_a_stall_that_lasts_is_one_after_some_seconds() {
    let mut meter = meter(LoadConfig::default());
    let mut level = |stall| {
        meter.latency(stall);
        measure(&mut meter, Time::ZERO, 0, 0).level
    };
    let (stalled, quick) = (Duration::from_secs(1), Duration::from_micros(50));
    assert_eq!([level(stalled), level(quick), level(quick)], [0; 3]);
    (0..20).for_each(|_| _ = level(quick));
    let levels: Vec<u64> = (0..10).map(|_| level(stalled)).collect();
    assert_eq!(levels[..2], [0, 0]);
    assert!(levels[2] > 1000 && levels[9] > 8000, "{levels:?}");
}

#[test]
fn a_worker_is_full_with_its_share_of_the_clients_and_all_are_when_there_are_as_many_as_may_be() {
    let load = |own, all| {
        let mut meter = Meter::new(LoadConfig::default(), 100, 4);
        let all = Figures { clients: all, bitrate: 0 };
        let load = meter.measure(Time::ZERO, Carried { clients: own, bytes: 0 }, all);
        (load.level, load.is_full)
    };
    assert_eq!(load(10, 10), (4000, false));
    assert_eq!(load(10, 80), (8000, false));
    assert_eq!(load(25, 25), (10_000, true));
    assert_eq!(load(0, 100), (10_000, true));
    // Even where clients do not count.
    let weights = LoadWeights { connections: 0.0, ..LoadWeights::default() };
    let mut meter = Meter::new(LoadConfig { weights, ..LoadConfig::default() }, 100, 4);
    let mut is_full =
        |clients| meter.measure(Time::ZERO, Carried::default(), Figures { clients, bitrate: 0 }).is_full;
    assert_eq!([is_full(99), is_full(100), is_full(99)], [false, true, false]);
}

#[test]
fn workers_share_a_limit_of_bits() {
    let config = LoadConfig { max_bitrate: Some(8 * MBIT), ..LoadConfig::default() };
    let mut meter = Meter::new(config, 1000, 4);
    let mut level = |second: u64, bitrate| {
        let own = Carried { clients: 0, bytes: second * MBIT / 8 };
        meter.measure(Time::from_secs(second), own, Figures { clients: 0, bitrate }).level
    };
    (1..60).for_each(|second| _ = level(second, 0));
    assert_eq!(level(60, 0), 5000, "one of two megabits");
    assert_eq!(level(61, 6 * MBIT), 7500, "six of eight");
}
