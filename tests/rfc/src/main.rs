//! `scripts/rfc-coverage`: checks the tables beside this program (`*.txt`; their form is described in `rfc7016.txt`)
//! against the sources, and prints totals.
#![forbid(unsafe_code)]

mod marks;
mod table;
mod totals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use table::{Entry, Table};

const HELP: &str = "\
Checks tests/rfc/*.txt, what the RFCs ask for and where it is kept, and prints totals.

Usage: scripts/rfc-coverage [--missing] [--exceptions]

  --missing      list what has neither code with a test nor a reason
  --exceptions   list what is not kept, or not as the RFC says it, with the reasons
  --help         this text

It ends with 1 when a mark dangles, an id is there twice, a section has not as many keywords as the RFC, or a MUST has
neither code with a test nor a reason; with 2 when it could not run.
";

const TABLES: [&str; 2] = ["rfc7016.txt", "rfc7425.txt"];

fn main() -> ExitCode {
    let (mut missing, mut exceptions) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "-h" | "--help" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--missing" => missing = true,
            "--exceptions" => exceptions = true,
            _ => {
                eprintln!("rfc-coverage: unknown option {argument}, see --help");
                return ExitCode::from(2);
            }
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root: PathBuf = here.join("../..");
    let mut faults = Vec::new();
    let mut tables = Vec::new();
    for name in TABLES {
        match std::fs::read_to_string(here.join(name)) {
            Ok(text) => tables.push(table::parse(name, &text, &mut faults)),
            Err(error) => {
                eprintln!("rfc-coverage: tests/rfc/{name}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    for table in &tables {
        table::check(table, &mut faults);
        marks::check(&root, table, &mut faults);
        totals::print(table);
        if missing {
            list(table, |entry| entry.is_missing());
        }
        if exceptions {
            list(table, |entry| entry.not.is_some() || entry.but.is_some());
        }
    }
    for fault in &faults {
        eprintln!("rfc-coverage: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn list(table: &Table, wanted: impl Fn(&Entry) -> bool) {
    for entry in table.entries().filter(|entry| wanted(entry)) {
        println!("{} {}\n  {}", entry.id, entry.keywords.join(", "), entry.rule);
        for (name, reason) in [("but", &entry.but), ("not", &entry.not)] {
            if let Some(reason) = reason {
                println!("  {name}: {reason}");
            }
        }
    }
}
