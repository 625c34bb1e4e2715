//! Several workers behind the addresses of one relay.

use rtmfp_cli::PortRange;
use rtmfp_runtime::{Config, Error, HeldPort, Member, Report, SignalHook, TcpOptions, run_group};
use rtmfp_service::{Advertise, Front, Listen, Protocol, Relay, RelayConfig, WorkerConfig, Workers};

use crate::profiles::FlashProfiles;

/// How the work is divided.
pub(crate) struct Plan {
    /// How many workers there are, more than one.
    pub(crate) count: usize,
    pub(crate) ports: Option<PortRange>,
    pub(crate) advertise: Vec<Advertise>,
}

/// Runs workers, each on a thread of its own, and what sends RTMFP clients to them.
///
/// # Errors
/// When the addresses or ports do not do for that.
pub(crate) fn run(
    mut config: RelayConfig,
    plan: &Plan,
    profiles: &FlashProfiles,
    host: impl Fn() -> Config,
    hook: SignalHook,
) -> Result<Result<Report, Error>, String> {
    let _held = hold_ports(&mut config.listen)?;
    let workers = Workers::new(plan.count, config.listen.len());
    let mut ports = Ports(plan.ports);
    let mut members = Vec::new();
    for number in 0..plan.count {
        let mut config = config.clone();
        config.seed = crate::seed()?;
        let ports = config.listen.iter().map(|listen| ports.next(listen)).collect();
        config.worker = Some(WorkerConfig { worker: workers.worker(number), ports });
        let profiles = profiles.clone();
        let host = host();
        let host = Config { tcp: TcpOptions { share_ports: true, ..host.tcp.clone() }, ..host };
        let make = move || Box::new(Relay::new(config, Box::new(profiles))) as _;
        members.push(Member::new(format!("worker {}", number + 1), make, host));
    }
    let front = Front::new(&config, plan.advertise.clone(), workers, profiles.front()?);
    let host = Config { crypto_threads: 0, ..host() };
    members.push(Member::new("front", move || Box::new(front) as _, host));
    Ok(run_group(members, Some(hook)))
}

/// Takes the ports that the workers' RTMP listeners share.
fn hold_ports(listen: &mut [Listen]) -> Result<Vec<HeldPort>, String> {
    let mut held = Vec::new();
    for listen in listen.iter_mut().filter(|listen| listen.protocol != Protocol::Rtmfp) {
        let port = HeldPort::take(listen.address).map_err(|error| listen.failure(&error))?;
        listen.address = port.address();
        held.push(port);
    }
    Ok(held)
}

/// Hands out the workers' UDP ports, of which there are enough.
struct Ports(Option<PortRange>);

impl Ports {
    /// 0: any free one.
    fn next(&mut self, listen: &Listen) -> u16 {
        match &mut self.0 {
            Some(range) if listen.protocol == Protocol::Rtmfp => {
                let port = range.first;
                range.first = port.saturating_add(1);
                port
            }
            _ => 0,
        }
    }
}
