//! Golden grids: what a session gets and how long things wait, by the path, as text that is compared with what it was.

mod cells;
mod load;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use cells::{Beside, Path, THRESHOLD, fairness, goodput, latency, queue_delay};

use crate::options::Options;

/// One line of a grid: what is measured. It answers the text, and what is wrong with it if anything is.
type Row = Box<dyn Fn() -> Line + Send + Sync>;

/// A measured line.
#[derive(Clone, Debug, Default)]
struct Line {
    text: String,
    /// A promise that this line shows, and whether it holds.
    checks: Vec<(String, bool)>,
}

impl Line {
    fn new(text: String) -> Self {
        Self { text, checks: Vec::new() }
    }

    fn check(mut self, what: String, holds: bool) -> Self {
        self.checks.push((what, holds));
        self
    }
}

/// A file of lines.
struct Grid {
    name: String,
    header: &'static str,
    rows: Vec<Row>,
}

/// 20 ms, a queue of one product, no loss.
const fn plain(mbits: u64) -> Path {
    Path { mbits, rtt_ms: 20, queue_tenths: 10, loss: 0 }
}

fn goodput_grid(mbits: u64, seconds: u64) -> Grid {
    let mut rows: Vec<Row> = Vec::new();
    for rtt_ms in [20, 100, 300] {
        for queue_tenths in [5, 10, 40] {
            for loss in [0, 100, 1000, 5000] {
                let path = Path { mbits, rtt_ms, queue_tenths, loss };
                rows.push(Box::new(move || {
                    let [detects, not] = [THRESHOLD, None].map(|delay| goodput(path, delay, seconds));
                    let (whole, tenth) = (queue_tenths / 10, queue_tenths % 10);
                    let (percent, part) = (loss / 1000, loss % 1000 / 100);
                    let line = Line::new(format!(
                        "{rtt_ms:>3} ms  {whole}.{tenth} BDP  {percent}.{part} %  {detects:>4}  {not:>4}"
                    ));
                    if (rtt_ms, queue_tenths, loss) != (20, 10, 0) || seconds < LONG {
                        return line;
                    }
                    let what = format!("{mbits} Mbit/s, 20 ms, 1 BDP, {seconds} s: {detects} of 1000 of the bottleneck, at least 900");
                    line.check(what, detects >= 900)
                }));
            }
        }
    }
    let header = "Bulk data of one session: goodput in thousandths of the bottleneck, from the start.\n\
        round trip, queue, loss, with and without congestion by delay";
    Grid { name: format!("goodput-{mbits}mbit-{seconds}s"), header, rows }
}

fn queue_grid(mbits: u64, seconds: u64) -> Grid {
    let mut rows: Vec<Row> = Vec::new();
    for queue_tenths in [10, 100] {
        for delay in [THRESHOLD, None] {
            let path = Path { queue_tenths, ..plain(mbits) };
            rows.push(Box::new(move || {
                let (share, p50, p99) = queue_delay(path, delay, seconds);
                let detection = if delay.is_some() { "with   " } else { "without" };
                let line = Line::new(format!(
                    "{:>2} BDP  {detection}  {share:>4}  {p50:>3}  {p99:>3}",
                    queue_tenths / 10
                ));
                let told = format!(
                    "{mbits} Mbit/s, 10 BDP, {detection} detection: the queue's 99th percentile is {p99} ms"
                );
                match (queue_tenths, delay) {
                    (100, Some(_)) => line.check(format!("{told}, below 150"), p99 < 150),
                    // 200 ms is full.
                    (100, None) => line.check(format!("{told}, full from 190"), p99 >= 190),
                    _ => line,
                }
            }));
        }
    }
    let header = "Bulk data of one session, 20 ms, after 5 s: goodput in thousandths of the bottleneck, the queue's length in ms.\n\
        queue, congestion by delay, goodput, queue's median and 99th percentile";
    Grid { name: format!("queue-{mbits}mbit-{seconds}s"), header, rows }
}

fn fairness_grid(mbits: u64, seconds: u64) -> Grid {
    let mut rows: Vec<Row> = Vec::new();
    for (hosts, flows) in [(1, 2), (1, 5), (1, 20), (2, 1), (5, 1), (20, 1)] {
        for queue_tenths in [10, 100] {
            let path = Path { queue_tenths, ..plain(mbits) };
            rows.push(Box::new(move || {
                let (share, jain, least) = fairness(path, hosts, flows, seconds);
                let line = Line::new(format!(
                    "{hosts:>2} x {flows:>2}  {:>2} BDP  {share:>4}  {jain:>4}  {least:>4}",
                    queue_tenths / 10
                ));
                if seconds < LONG {
                    return line;
                }
                let of =
                    format!("{mbits} Mbit/s, {hosts} sessions with {flows} flows, {} BDP", queue_tenths / 10);
                let line = line
                    .check(format!("{of}: the least gets {least} of its share, at least 250"), least >= 250);
                if mbits > 10 {
                    // Large windows come together slowly: beyond 67,200 bytes they give up an eighth only (RFC 7016
                    // section A.2). Nobody starves meanwhile.
                    return line;
                }
                line.check(format!("{of}: Jain's index {jain}, at least 900"), jain >= 900)
            }));
        }
    }
    let header = "Bulk data that meets in one queue, 20 ms, after the start: all in thousandths.\n\
        sessions x flows of each, queue, goodput together, Jain's index, the least one's part of its share";
    Grid { name: format!("fairness-{mbits}mbit-{seconds}s"), header, rows }
}

fn latency_grid(mbits: u64, seconds: u64) -> Grid {
    let mut rows: Vec<Row> = Vec::new();
    for queue_tenths in [10, 100] {
        for (beside, name) in [
            (Beside::Nothing, "nothing      "),
            (Beside::SameSession, "same session "),
            (Beside::OtherSession, "other session"),
        ] {
            let path = Path { queue_tenths, ..plain(mbits) };
            rows.push(Box::new(move || {
                let result = latency(path, beside, seconds);
                let (p50, p99, most) = result.sent;
                let (r50, r99) = result.read;
                let (undisturbed, disturbed) = (result.sent_undisturbed, result.disturbed);
                let line = Line::new(format!(
                    "{:>2} BDP  {name}  {p50:>6}  {p99:>6}  {most:>6}  {undisturbed:>6}  {disturbed:>4} of {:>4}  {r50:>6}  {r99:>6}",
                    queue_tenths / 10,
                    result.messages
                ));
                if beside != Beside::SameSession {
                    return line;
                }
                // Without bulk data it goes out at once: see the line before.
                let packet = result.packet;
                let what = format!("{mbits} Mbit/s, {} BDP: 99 % of time-critical messages wait {undisturbed} us at most beside bulk data of the same session, {disturbed} apart that losses held up; two packets take {}", queue_tenths / 10, 2 * packet);
                line.check(what, undisturbed <= 2 * packet)
            }));
        }
    }
    let header = "A time-critical message of 200 bytes each 20 ms beside bulk data, 20 ms, after 5 s, in microseconds.\n\
        queue, bulk data in, written to first sent: median, 99 %, longest, 99 % where no loss was being recovered from, how many others, written to read: median, 99 %";
    Grid { name: format!("latency-{mbits}mbit-{seconds}s"), header, rows }
}

const SHORT: u64 = 10;
const LONG: u64 = 60;

fn grids(mbits: u64, seconds: u64) -> [Grid; 4] {
    [
        goodput_grid(mbits, seconds),
        queue_grid(mbits, seconds),
        fairness_grid(mbits, seconds),
        latency_grid(mbits, seconds),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("grids")
}

/// Measures all grids, or the short ones, and compares them with the files or writes these.
pub(crate) fn run(options: &Options) -> ExitCode {
    let mut all: Vec<Grid> = grids(10, SHORT).into();
    if !options.short {
        all.extend(grids(10, LONG));
        all.extend(grids(100, LONG));
    }
    let mut good = true;
    for grid in &all {
        eprintln!("{} ...", grid.name);
        let lines = measure(&grid.rows, options.jobs);
        let mut text = format!("{}\n\n", grid.header);
        for line in &lines {
            text.push_str(line.text.trim_end());
            text.push('\n');
        }
        for (what, holds) in lines.iter().flat_map(|line| &line.checks) {
            println!("{} {what}", if *holds { "PASS" } else { "FAIL" });
            good &= holds;
        }
        good &= compare(&grid.name, &text, options.bless);
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures lines on all processors.
fn measure(rows: &[Row], jobs: usize) -> Vec<Line> {
    let next = AtomicUsize::new(0);
    let lines = Mutex::new(vec![Line::default(); rows.len()]);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((index, row)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    rows.get(index).map(|row| (index, row))
                } {
                    let line = row();
                    lines.lock().unwrap_or_else(PoisonError::into_inner)[index] = line;
                }
            });
        }
    });
    lines.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Compares a grid with its file, or writes that.
fn compare(name: &str, text: &str, bless: bool) -> bool {
    let path = folder().join(format!("{name}.txt"));
    let before = fs::read_to_string(&path).unwrap_or_default();
    if before == text {
        return true;
    }
    if bless {
        println!("{name}: written");
        let written = fs::create_dir_all(folder()).and_then(|()| fs::write(&path, text));
        if let Err(error) = &written {
            println!("{}: {error}", path.display());
        }
        return written.is_ok();
    }
    println!("{name} is not as in {}:", path.display());
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), text.lines().collect());
    for index in 0..old.len().max(new.len()) {
        let (old, new) = (old.get(index), new.get(index));
        if old != new {
            old.into_iter().for_each(|line| println!("- {line}"));
            new.into_iter().for_each(|line| println!("+ {line}"));
        }
    }
    println!("If that is meant to be: scripts/simulate --grids --bless");
    false
}
