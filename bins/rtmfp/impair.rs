//! `rtmfp impair`: runs the proxy of `rtmfp-netsim` on real sockets.

use std::cell::Cell;
use std::fmt::Write as _;
use std::fs;
use std::rc::Rc;

use clap::CommandFactory;
use clap::error::ErrorKind;
use rtmfp_base::Counters;
use rtmfp_cli::{Impair, ImpairLimits, RouteSpec, StepsError, Toolbox};
use rtmfp_netsim::impair::{Config, Direction, Figures, Limits, Route, RouteFigures, Traffic, Transport};
use rtmfp_runtime::run;

use crate::show::{Json, Show};
use crate::{OPEN_FILES, open_files, program};

/// Bytes of kernel buffer for each UDP socket and direction, as far as the system allows: it is the links that are to
/// lose datagrams.
const UDP_BUFFER: usize = 2 << 20;

pub(crate) fn impair(options: Impair) -> Result<(), String> {
    let file = match &options.schedule {
        Some(path) => fs::read_to_string(path)
            .map_err(|error| format!("cannot read the schedule {}: {error}", path.display()))?,
        None => String::new(),
    };
    let schedule = match options.schedule(&file) {
        Err(error @ (StepsError::At { .. } | StepsError::Order(_))) => {
            Toolbox::command().error(ErrorKind::ValueValidation, error).exit()
        }
        result => result.map_err(|error| error.to_string())?,
    };
    let [up, down] = options.settings();
    let Impair { udp, tcp, seed, stats, json, limits, .. } = options;
    let clients = limits.max_clients as usize;
    // Those of TCP have two connections each, those of UDP a socket, and another one for a while after a rebinding.
    let transports = usize::from(!udp.is_empty()) + usize::from(!tcp.is_empty());
    let others = udp.len() + tcp.len() + OPEN_FILES;
    open_files::allow(
        2 * clients * transports + others,
        "--max-clients",
        limits.max_clients != ImpairLimits::MAX_CLIENTS,
    );
    let config = Config {
        routes: routes(Transport::Udp, udp).chain(routes(Transport::Tcp, tcp)).collect(),
        up,
        down,
        schedule,
        seed: seed.map_or_else(new_seed, Ok)?,
        limits: Limits {
            udp_clients: clients,
            tcp_clients: clients,
            idle: limits.idle_timeout,
            held_bytes: limits.max_memory.0,
            ..Limits::default()
        },
        report_every: stats,
    };
    let unwritten = Rc::new(Cell::new(None));
    let keep = Rc::clone(&unwritten);
    // What passes is more important than figures that cannot be written: that is told at the end.
    let report = Box::new(move |figures: &Figures| {
        if let Err(error) = figures.print(json) {
            keep.set(Some(error));
        }
    });
    let service = rtmfp_netsim::impair::Impair::new(config, report);
    let host =
        rtmfp_runtime::Config { crypto_threads: 0, udp_buffer: Some(UDP_BUFFER), ..Default::default() };
    run(Box::new(service), host).map_err(|error| error.to_string())?;
    unwritten.take().map_or(Ok(()), Err)
}

fn routes(transport: Transport, specs: Vec<RouteSpec>) -> impl Iterator<Item = Route> {
    specs.into_iter().map(move |RouteSpec { listen, host, port }| Route { transport, listen, host, port })
}

/// A seed by chance, told so that the run can be had again.
fn new_seed() -> Result<u64, String> {
    let mut seed = [0; 4];
    program::randomness(&mut seed)?;
    let seed = u32::from_ne_bytes(seed).into();
    program::say(format_args!("seed {seed}"));
    Ok(seed)
}

impl Show for Figures {
    fn json(&self) -> Json {
        let traffic = |traffic: &Traffic| {
            Json::object(traffic.to_list().into_iter().map(|(name, value)| (name, Json::number(value))))
        };
        let route = |route: &RouteFigures| {
            Json::object([
                ("transport", route.transport.to_string().as_str().into()),
                ("listen", route.listen.to_string().as_str().into()),
                ("clients", Json::number(route.clients)),
                ("clients_seen", Json::number(route.clients_seen)),
                ("clients_refused", Json::number(route.clients_refused)),
                ("up", traffic(&route.up)),
                ("down", traffic(&route.down)),
            ])
        };
        Json::object([
            ("elapsed_ms", Json::millis(self.elapsed)),
            ("last", self.last.into()),
            ("routes", Json::array(self.routes.iter().map(route))),
        ])
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let end = if self.last { ", the end" } else { "" };
        let _ = writeln!(out, "after {:.3} s{end}:", self.elapsed.as_secs_f64());
        for route in &self.routes {
            let RouteFigures { transport, listen, clients, clients_seen, clients_refused, up, down } = route;
            let _ = write!(out, "  {transport} {listen}: {clients} clients, {clients_seen} so far");
            if *clients_refused > 0 {
                let _ = write!(out, ", {clients_refused} refused");
            }
            out.push('\n');
            for (direction, traffic) in Direction::BOTH.into_iter().zip([up, down]) {
                let name = if direction == Direction::Up { "up" } else { "down" };
                let counts = traffic.to_list().into_iter().filter(|(_, value)| *value > 0);
                let counts: Vec<_> =
                    counts.map(|(name, value)| format!("{value} {}", name.replace('_', " "))).collect();
                let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
                let _ = writeln!(out, "    {name:<4}  {counts}");
            }
        }
        out
    }
}
