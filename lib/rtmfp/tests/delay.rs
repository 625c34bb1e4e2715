//! Congestion that shows by delay: queues stay short, links full and senders equal.

mod common;

use std::time::Duration;

use common::bottleneck::{Bottleneck, Outcome};

const SECOND: Duration = Duration::from_secs(1);
const RTT: Duration = Duration::from_millis(20);
const THRESHOLD: Option<Duration> = Some(Duration::from_millis(100));

fn run(mbits: u64, queue: f64, senders: &[(Option<Duration>, f64)], warm_up: u32, seconds: u32) -> Outcome {
    let mut bottleneck = Bottleneck::new(1, mbits, RTT, queue);
    for (delay, start) in senders {
        bottleneck.sender(*delay, Duration::from_secs_f64(*start));
    }
    bottleneck.run(SECOND * warm_up);
    let outcome = bottleneck.run(SECOND * seconds);
    let [p50, p99, most] = [50, 99, 100].map(|percent| outcome.wait(percent));
    println!(
        "{mbits:3} Mbit/s queue {queue:4}: total {:.3} jain {:.3} least {:.4} of {}; queue {p50} {p99} {most} ms; drops {}",
        outcome.total(),
        outcome.jain(),
        outcome.least() * senders.len() as f64,
        senders.len(),
        bottleneck.net.downlink(bottleneck.b).queue_drops
    );
    outcome
}

/// A full grid, for people: `cargo test --test delay -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn grid() {
    let seconds = std::env::var("SECONDS_EACH").map_or(20, |s| s.parse().expect("a number"));
    for mbits in [10, 100] {
        for delay in [None, THRESHOLD] {
            for queue in [1.0, 10.0] {
                println!("threshold {delay:?}");
                run(mbits, queue, &[(delay, 0.0)], 5, seconds);
            }
        }
    }
}

#[test]
#[ignore = "takes minutes"]
fn fairness() {
    let seconds = std::env::var("SECONDS_EACH").map_or(20, |s| s.parse().expect("a number"));
    for count in [2, 5, 20] {
        for delay in [None, THRESHOLD] {
            for queue in [1.0, 10.0] {
                for gap in [0.0, 1.0] {
                    println!("threshold {delay:?} gap {gap}");
                    let senders: Vec<_> = (0..count).map(|n| (delay, f64::from(n) * gap)).collect();
                    run(10, queue, &senders, 5 + (f64::from(count) * gap) as u32, seconds);
                }
            }
        }
    }
    for queue in [1.0, 10.0] {
        let o = run(10, queue, &[(THRESHOLD, 0.0), (None, 1.0)], 5, seconds);
        println!("delay beside loss: {:?}", o.shares);
    }
}
