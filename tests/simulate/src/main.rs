//! Random networks with invariants checked all the time, and golden grids. `scripts/simulate --help` tells more.
#![forbid(unsafe_code)]

mod fleet;
mod grids;
mod identity;
mod introducer;
mod ledger;
mod legacy;
mod mishaps;
mod node;
mod options;
mod random;
mod relay;
mod runner;
mod scenario;
mod strict;
mod talker;
mod trial;

// What talks RTMP with the relay in its own tests does so here.
#[path = "../../../lib/service/tests/relay/clip.rs"]
mod clip;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../../lib/service/tests/relay/encoder.rs"]
mod encoder;
#[path = "../../../lib/service/tests/relay/peer.rs"]
mod peer;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../../lib/service/tests/relay/server.rs"]
mod server;
#[allow(dead_code, reason = "not all of it is needed here")]
#[path = "../../../lib/service/tests/relay/world.rs"]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)) {
        Ok(options) if options.grids => grids::run(&options),
        Ok(options) => runner::run(&options),
        Err(error) => {
            eprintln!("simulate: {error}, see scripts/simulate --help");
            ExitCode::from(2)
        }
    }
}
