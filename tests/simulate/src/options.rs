//! The command line. Its help is that of scripts/simulate.

use crate::scenario::Scenario;

/// What is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) seeds: u64,
    /// One seed only.
    pub(crate) seed: Option<u64>,
    pub(crate) scenario: Option<Scenario>,
    pub(crate) jobs: usize,
    /// Grids instead of seeds; only those of the test run; written instead of compared.
    pub(crate) grids: bool,
    pub(crate) short: bool,
    pub(crate) bless: bool,
}

pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options =
        Options { seeds: 1000, seed: None, scenario: None, jobs, grids: false, short: false, bless: false };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} wants a value"));
        match name.as_str() {
            "--seeds" => options.seeds = number(&name, &value()?)?,
            "--seed" => options.seed = Some(number(&name, &value()?)?),
            "--jobs" => options.jobs = number(&name, &value()?)?.clamp(1, 1024) as usize,
            "--grids" => options.grids = true,
            "--short" => options.short = true,
            "--bless" => options.bless = true,
            "--scenario" => {
                let value = value()?;
                let names: Vec<&str> = Scenario::names().collect();
                let unknown = || format!("no scenario {value}, there are {}", names.join(", "));
                options.scenario = Some(Scenario::find(&value).ok_or_else(unknown)?);
            }
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{name} wants a number, not {value}"))
}
