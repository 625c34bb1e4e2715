//! `rtmfp`: publishes, plays, measures and compares streams, and makes networks bad.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::disallowed_macros))]

mod flv;
mod impair;
#[path = "../open_files.rs"]
mod open_files;
#[path = "../program.rs"]
mod program;
mod show;

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use rtmfp_base::Service;
use rtmfp_cli::{Command, Compare, Measure, Play, Publish, SourceOptions, StreamUrl, Toolbox};
use rtmfp_runtime::{Config, run};
use rtmfp_service::tools::{self, Frames, MeasureOptions, PlayOptions, Report, Source, Target};

use self::show::Show;

/// What is open beside connections, at most: standard input and output, clips, what the run loop needs.
const OPEN_FILES: usize = 32;

fn main() -> ExitCode {
    let Toolbox { command, verbosity, .. } = program::read(Toolbox::try_parse());
    program::start_log(verbosity);
    let result = match command {
        Command::Publish(options) => publish(options),
        Command::Play(options) => play(options),
        Command::Measure(options) => measure(options),
        Command::Compare(options) => compare(&options),
        Command::Impair(options) => impair::impair(*options),
    };
    program::end("rtmfp", result)
}

fn publish(options: Publish) -> Result<(), String> {
    let Publish { url, source, streams, waiting, json } = options;
    // Each has a connection, and opens the clip for itself.
    let each = 1 + usize::from(source.clip.is_some());
    open_files::allow(each * streams as usize + OPEN_FILES, "--streams", true);
    let mut list = Vec::new();
    for index in 0..streams {
        let mut target = target(&url, waiting.timeout)?;
        if streams > 1 {
            target.uri.stream = format!("{}-{index}", target.uri.stream);
        }
        list.push((target, open(&source)?));
    }
    run_service(json, |report| tools::publish(list, report))
}

fn play(options: Play) -> Result<(), String> {
    let Play { url, out, count, duration, waiting, json } = options;
    let file = out.as_deref().map(flv::Writer::create).transpose()?;
    let file = Rc::new(RefCell::new(file));
    let to = Rc::clone(&file);
    let options = PlayOptions {
        target: target(&url, waiting.timeout)?,
        count,
        duration: duration.map(|duration| duration.0),
        sink: Box::new(move |message| to.borrow_mut().as_mut().map_or(Ok(()), |file| file.write(message))),
    };
    let result = run_service(json, |report| tools::play(options, report));
    let finished = file.borrow_mut().as_mut().map_or(Ok(()), flv::Writer::finish);
    result.and(finished)
}

fn measure(options: Measure) -> Result<(), String> {
    let Measure { publish, play, source, waiting, json } = options;
    let options = MeasureOptions {
        publish: target(&publish, waiting.timeout)?,
        play: target(&play, waiting.timeout)?,
        source: open(&source)?,
        patience: waiting.timeout.0,
    };
    run_service(json, |report| tools::measure(options, report))
}

fn compare(options: &Compare) -> Result<(), String> {
    let comparison = tools::compare(&flv::read_all(&options.sent)?, &flv::read_all(&options.received)?);
    comparison.print(options.json)?;
    if comparison.is_equal() { Ok(()) } else { Err("they differ".to_owned()) }
}

/// Runs a service to its end and prints its result, also when it has ended badly.
fn run_service<T: Show + 'static>(
    json: bool,
    make: impl FnOnce(Report<T>) -> Box<dyn Service>,
) -> Result<(), String> {
    let slot = Rc::new(Cell::new(None));
    let to = Rc::clone(&slot);
    let service = make(Box::new(move |result| to.set(Some(result))));
    let ended = run(service, Config { crypto_threads: 0, ..Config::default() });
    let printed = slot.take().map_or(Ok(()), |result| result.print(json));
    ended.map_err(|error| error.to_string()).and(printed)
}

fn target(url: &StreamUrl, timeout: rtmfp_cli::Seconds) -> Result<Target, String> {
    let mut seed = [0; 8];
    program::randomness(&mut seed)?;
    Ok(Target { uri: url.0.clone(), timeout: timeout.0, seed: u64::from_ne_bytes(seed) })
}

fn open(options: &SourceOptions) -> Result<Source, String> {
    match &options.clip {
        Some(path) => Ok(Box::new(flv::Reader::open(path)?)),
        None => {
            let millis = options.duration.0.as_millis() as u64;
            Ok(Box::new(Frames::new(millis, options.bitrate).map(Ok)))
        }
    }
}
