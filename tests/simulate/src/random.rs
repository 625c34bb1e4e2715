//! Random links, configurations and manners. Each trial has only some kinds of trouble, so that rare combinations
//! come about and none drowns in the others.

use std::time::Duration;

use rtmfp::{Config, Limits, Mobility, SessionConfig};
use rtmfp_netsim::{Bursts, Dice, JobModel, LinkConfig, Loss, NatConfig, NatKind, NatPorts, Reorder};

use crate::ledger::MAX_MESSAGE;
use crate::talker::Manners;

/// A probability of at most so many percent, small ones as often as large ones.
fn percent(dice: &mut Dice, most: u64) -> f64 {
    let most = if dice.chance(0.5) { most.div_ceil(10) } else { most };
    dice.below(most * 100 + 1) as f64 / 10_000.0
}

fn between(dice: &mut Dice, least: u64, most: u64) -> u64 {
    least + dice.below(most - least + 1)
}

/// Seconds from one number to another.
fn seconds(dice: &mut Dice, least: u64, most: u64) -> Duration {
    Duration::from_millis(between(dice, least * 1000, most * 1000))
}

/// Which impairments the links of a trial may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impairments([bool; 9]);

impl Impairments {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        Self([(); 9].map(|()| dice.chance(0.4)))
    }

    pub(crate) const NONE: Self = Self([false; 9]);

    /// A link with some of them.
    pub(crate) fn link(self, dice: &mut Dice) -> LinkConfig {
        let [loses, jitters, reorders, duplicates, corrupts, truncates, limits, marks, cuts] =
            self.0.map(|may| may && dice.chance(0.7));
        let mut link = LinkConfig::with_delay(delay(dice));
        if loses {
            let share = percent(dice, 50);
            link.loss = if dice.chance(0.3) {
                Loss::Bursts(Bursts::new(share.min(0.4), between(dice, 2, 12) as f64))
            } else {
                Loss::Independent(share)
            };
        }
        if jitters {
            link.jitter = dice.up_to(Duration::from_millis(60));
        }
        if reorders {
            let extra = dice.up_to(Duration::from_millis(120));
            link.reorder = Reorder { probability: percent(dice, 30), extra };
        }
        if duplicates {
            link.duplicate = percent(dice, 30);
        }
        if corrupts {
            link.corrupt = percent(dice, 15);
        }
        if truncates {
            link.truncate = percent(dice, 10);
        }
        if limits {
            link.rate = Some(between(dice, 15, 400) * if dice.chance(0.3) { 10_000 } else { 1000 });
            let longest = if dice.chance(0.5) { 10_000 } else { 100_000 };
            link.queue = between(dice, 2000, longest) as usize;
        }
        if marks {
            link.ce_threshold = limits.then(|| dice.below(20_000) as usize).or(Some(0));
            link.bleach_ecn = dice.chance(0.3);
        }
        if cuts {
            link.mtu = Some(between(dice, 576, 1300) as usize);
        }
        link
    }
}

fn delay(dice: &mut Dice) -> Duration {
    match dice.below(10) {
        0 => Duration::ZERO,
        1 => dice.up_to(Duration::from_millis(500)),
        _ => dice.up_to(Duration::from_millis(80)),
    }
}

/// How large a trial is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) flows: u64,
    pub(crate) messages: u64,
    pub(crate) longest: u64,
}

impl Size {
    /// Mostly small: a trial is to take some 50 ms of work.
    pub(crate) fn any(dice: &mut Dice, nodes: usize) -> Self {
        let heavy = nodes <= 3 && dice.chance(0.05);
        if heavy {
            return Self { flows: 3, messages: 30, longest: MAX_MESSAGE as u64 };
        }
        let longest = match dice.below(4) {
            0 => 500,
            1 => 5000,
            _ => 30_000,
        };
        let (flows, messages) = if nodes > 8 { (3, 30) } else { (10, 250) };
        Self { flows: 1 + dice.below(flows), messages: 2 + dice.below(messages), longest }
    }
}

/// The settings of a node, and whether they are so tight that it may refuse what others want.
pub(crate) fn config(dice: &mut Dice, size: Size, mobile: bool) -> (Config, bool) {
    let large_packets = dice.chance(0.1);
    let session = SessionConfig {
        keepalive: seconds(dice, 1, 60),
        retransmit_limit: seconds(dice, 10, 120),
        idle_limit: seconds(dice, 2, 200),
        dscp: dice.below(64) as u8,
        receive_limit: if dice.chance(0.3) { between(dice, 16, 1024) as usize * 1024 } else { 192 * 1024 },
        mobility: if mobile { Mobility::Always } else { Mobility::Never },
        challenge_limit: seconds(dice, 1, 20),
        max_packet: between(dice, 1200, if large_packets { 8128 } else { 1460 }) as usize,
        congestion_delay: dice.chance(0.7).then(|| Duration::from_millis(between(dice, 20, 200))),
        ..SessionConfig::default()
    };
    let receive_capacity = match dice.below(4) {
        0 => between(dice, 1, 8) as usize * 1024,
        1 => between(dice, 64, 1024) as usize * 1024,
        _ => 65_536,
    };
    let mut config = Config {
        session,
        open_timeout: seconds(dice, 20, 95),
        unreachable_timeout: seconds(dice, 1, 20),
        send_capacity: between(dice, 1, 200) as usize * 1024,
        receive_capacity,
        max_message: (size.longest as usize).max(65_536),
        ..Config::default()
    };
    let tight = dice.chance(0.1);
    if tight {
        config.limits = Limits {
            receive_flows: between(dice, 100, 200) as usize,
            send_flows: between(dice, 4, 50) as usize,
            ranges: between(dice, 4, 32) as usize,
            send_queue: between(dice, 16, 256) as usize * 1024,
            session_send_queue: between(dice, 16, 512) as usize * 1024,
            total_send_queue: between(dice, 64, 2048) as usize * 1024,
            receive_total: between(dice, 256, 4096) as usize * 1024,
            unproven_sessions: between(dice, 4, 64) as usize,
            unproven_prefix: between(dice, 4, 64) as usize,
            handshakes: between(dice, 2, 64) as usize,
            packet_fragments: between(dice, 2, 16) as usize * 1024,
            early_packets: dice.below(4) as usize,
            control_queue: between(dice, 8, 64) as usize,
            pings_per_second: 1,
            ..Limits::default()
        };
    }
    (config, tight)
}

/// How an application behaves towards these.
pub(crate) fn manners(dice: &mut Dice, size: Size, targets: Vec<usize>) -> Manners {
    let mut sometimes = |most: f64| if dice.chance(0.4) { most * percent(dice, 100) } else { 0.0 };
    Manners {
        open_later: sometimes(0.2),
        answer: sometimes(1.0),
        depend: sometimes(0.5),
        abandon: sometimes(0.3),
        reconsider: sometimes(0.3),
        refuse: sometimes(0.2),
        refuse_later: sometimes(0.02),
        pause: sometimes(0.2),
        network_order: sometimes(1.0),
        end_session: sometimes(0.01),
        tweak: sometimes(0.1),
        pushy: sometimes(0.5),
        reliable: if dice.chance(0.3) { 1.0 } else { percent(dice, 100) },
        first_flows: size.flows,
        flows: 2 * size.flows,
        messages: size.messages,
        longest: size.longest,
        turn: Duration::from_millis(between(dice, 5, 300)),
        targets,
    }
}

/// What becomes of a host's jobs.
pub(crate) fn jobs(dice: &mut Dice) -> JobModel {
    JobModel {
        delay: dice.up_to(Duration::from_millis(300)),
        jitter: dice.up_to(Duration::from_millis(500)),
        lost: if dice.chance(0.5) { percent(dice, 60) } else { 0.0 },
    }
}

/// A NAT box of any kind.
pub(crate) fn nat(dice: &mut Dice) -> NatConfig {
    let kinds = [NatKind::FullCone, NatKind::Restricted, NatKind::PortRestricted, NatKind::Symmetric];
    NatConfig {
        kind: kinds[dice.below(4) as usize],
        ports: if dice.chance(0.5) { NatPorts::Preserve } else { NatPorts::Random },
        timeout: if dice.chance(0.7) { seconds(dice, 1, 10) } else { seconds(dice, 10, 120) },
        hairpin: dice.chance(0.5),
    }
}

/// A link without any trouble.
pub(crate) fn clear_link() -> LinkConfig {
    LinkConfig::with_delay(Duration::from_millis(20))
}
