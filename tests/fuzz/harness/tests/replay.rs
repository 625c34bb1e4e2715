//! Replays the corpora, and mutations of them, on any toolchain.
//!
//! The mutations are the same in every run. `FUZZ_MUTATIONS=N` tries N of each target instead of the usual number.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Dice, TARGETS, Target, mutate};

macro_rules! replay {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn each_target_is_replayed_and_has_a_corpus_and_a_program() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!([$(stringify!($name)),*][..], names);
            for name in names {
                assert!(!corpus(name).is_empty(), "{name}");
                let program = folder("..").join("fuzz_targets").join(name).with_extension("rs");
                assert!(program.is_file(), "{}", program.display());
            }
        }
    };
}

replay! {
    acks
    address
    aggregate
    amf0
    amf0_edit
    amf3
    classify
    command
    flash_component
    flash_identity
    flash_packet
    flow_metadata
    flow_options
    flv
    fragment
    hello
    keying
    packet
    redirector
    relay
    rtmfp_fragments
    rtmfp_session
    rtmfp_startup
    rtmp_pair
    rtmp_receive
    uri
    user_control
    user_data
    vlu_options
}

#[test]
fn the_corpus_of_fragments_gets_to_all_that_is_done_with_them() {
    let counted =
        corpus("rtmfp_fragments").into_iter().map(|(_, input)| harness::rtmfp::fragments_counted(&input));
    let sums = counted.fold([0; 4], |sums, stats| {
        let more = [
            stats.reassembled_startups,
            stats.limited_fragments,
            stats.reassembled_packets,
            stats.refused_fragments,
        ];
        core::array::from_fn(|at| sums[at] + more[at])
    });
    println!("startup packets and those of sessions, put together and refused: {sums:?}");
    assert!(sums.iter().all(|count| *count > 0), "{sums:?}");
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let corpus = corpus(name);
    let inputs: Vec<Vec<u8>> = corpus.iter().map(|(_, input)| input.clone()).collect();
    for (path, input) in &corpus {
        attempt(target, input, || path.display().to_string());
    }
    let mutations = std::env::var("FUZZ_MUTATIONS").ok().and_then(|count| count.parse().ok());
    for seed in 0..mutations.unwrap_or(target.mutations) {
        let input = mutate(&inputs, &mut Dice::new(seed.into()), target.max_len);
        attempt(target, &input, || {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{seed}"));
            match fs::write(&path, &input) {
                Ok(()) => format!("mutation {seed}, kept as {}", path.display()),
                Err(error) => format!("mutation {seed}, not kept: {error}"),
            }
        });
    }
}

/// Runs one input; should that fail, says which it was.
fn attempt(target: &Target, input: &[u8], which: impl FnOnce() -> String) {
    let outcome = std::panic::catch_unwind(|| (target.run)(input));
    if let Err(panic) = outcome {
        eprintln!("{}: {}", target.name, which());
        std::panic::resume_unwind(panic);
    }
}

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder("../../corpora").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).expect("a file that can be read");
            (path, bytes)
        })
        .collect();
    files.sort();
    files
}

fn folder(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}
