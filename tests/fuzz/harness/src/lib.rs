//! What is fuzzed, and what has to hold whatever the bytes are.
//!
//! A target is a plain function of bytes that panics when something is wrong. libFuzzer calls it through a program in
//! `tests/fuzz/fuzz_targets` (`scripts/fuzz`), and a test calls it with the inputs in `tests/corpora` and repeatable
//! mutations of them, so that every test run replays what was ever found.
#![forbid(unsafe_code)]

pub mod amf3;
pub mod container;
pub mod flash;
pub mod media;
mod mutate;
pub mod redirect;
pub mod relay;
pub mod rtmfp;
pub mod rtmp;
mod tape;
pub mod wire;

pub use mutate::{Dice, mutate};
pub use tape::Tape;

/// Something that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of the program in `fuzz_targets` and of the folder in `tests/corpora`.
    pub name: &'static str,
    /// Tries one input; panics when something is wrong.
    pub run: fn(&[u8]),
    /// How many mutations a test run tries: about a second's worth.
    pub mutations: u32,
    /// The longest input that is worth trying, in bytes.
    pub max_len: usize,
}

/// All targets.
pub const TARGETS: [Target; 29] = [
    Target { name: "acks", run: wire::acks, mutations: 50_000, max_len: 256 },
    Target { name: "address", run: wire::address, mutations: 50_000, max_len: 32 },
    Target { name: "aggregate", run: container::aggregate, mutations: 50_000, max_len: 1024 },
    Target { name: "amf0", run: media::amf0, mutations: 20_000, max_len: 1024 },
    Target { name: "amf0_edit", run: media::amf0_edit, mutations: 20_000, max_len: 1024 },
    Target { name: "amf3", run: amf3::amf3, mutations: 20_000, max_len: 1024 },
    Target { name: "classify", run: media::classify, mutations: 50_000, max_len: 256 },
    Target { name: "command", run: media::command, mutations: 20_000, max_len: 1024 },
    Target { name: "flash_component", run: flash::component, mutations: 20_000, max_len: 768 },
    Target { name: "flash_identity", run: flash::identity, mutations: 50_000, max_len: 512 },
    Target { name: "flash_packet", run: flash::packet, mutations: 20_000, max_len: 1400 },
    Target { name: "flow_metadata", run: wire::flow_metadata, mutations: 50_000, max_len: 32 },
    Target { name: "flow_options", run: wire::flow_options, mutations: 50_000, max_len: 256 },
    Target { name: "flv", run: container::flv, mutations: 20_000, max_len: 1024 },
    Target { name: "fragment", run: wire::fragment, mutations: 50_000, max_len: 64 },
    Target { name: "hello", run: wire::hello, mutations: 50_000, max_len: 512 },
    Target { name: "keying", run: wire::keying, mutations: 50_000, max_len: 512 },
    Target { name: "packet", run: wire::packet, mutations: 50_000, max_len: 1400 },
    Target { name: "redirector", run: redirect::redirector, mutations: 20_000, max_len: 512 },
    Target { name: "relay", run: relay::relay, mutations: 300, max_len: 2048 },
    Target { name: "rtmfp_fragments", run: rtmfp::fragments, mutations: 5000, max_len: 1024 },
    Target { name: "rtmfp_session", run: rtmfp::session, mutations: 5000, max_len: 4096 },
    Target { name: "rtmfp_startup", run: rtmfp::startup, mutations: 5000, max_len: 2048 },
    Target { name: "rtmp_pair", run: rtmp::pair, mutations: 1500, max_len: 2048 },
    Target { name: "rtmp_receive", run: rtmp::receive, mutations: 5000, max_len: 8192 },
    Target { name: "uri", run: container::uri, mutations: 50_000, max_len: 256 },
    Target { name: "user_control", run: media::user_control, mutations: 50_000, max_len: 16 },
    Target { name: "user_data", run: wire::user_data, mutations: 50_000, max_len: 512 },
    Target { name: "vlu_options", run: wire::vlu_options, mutations: 50_000, max_len: 256 },
];
