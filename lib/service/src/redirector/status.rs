//! What an operator wants to know.

use core::fmt::Write;

use rtmfp_base::{Counters, Time};
use rtmfp_redirect::{Fixed, Server, TargetInfo, TargetState};

/// Bytes of an identity that are shown.
const SHOWN: usize = 8;

pub(super) fn of_server(server: &Server, now: Time) -> String {
    let mut targets: Vec<TargetInfo> = server.targets().map(|(_, info)| info).collect();
    targets.sort_by_key(|info| info.address);
    let active = targets.iter().filter(|info| info.state == TargetState::Active).count();
    let stats = server.stats();
    let mut text = String::new();
    // Nothing can go wrong with text.
    let _ = writeln!(
        text,
        "{}, {active} of them active; {}, {}, {} of {} hellos not answered",
        counted(targets.len() as u64, "target"),
        counted(stats.redirects, "redirect"),
        counted(stats.forwards, "forwarded hello"),
        stats.limited_hellos + stats.ignored_hellos + stats.unanswered_hellos,
        stats.hellos,
    );
    for info in &targets {
        let _ = write!(
            text,
            "  {} {} {}, load {}, {}, {}, for {} s",
            info.address,
            hex(&info.identity),
            word(info.state),
            info.load,
            counted(info.redirects, "redirect"),
            counted(info.forwards, "forwarded hello"),
            now.since(info.since).as_secs(),
        );
        if !info.users.is_empty() {
            let users: Vec<_> = info.users.iter().map(|user| user.escape_ascii().to_string()).collect();
            let _ = write!(text, ", as {}", users.join(", "));
        }
        let mut addresses: Vec<String> =
            info.settings.addresses.iter().map(|address| address.addr.to_string()).collect();
        if info.settings.reflexive {
            addresses.insert(0, info.address.to_string());
        }
        let _ = writeln!(
            text,
            ", at {}",
            if addresses.is_empty() { "no address".into() } else { addresses.join(" ") }
        );
    }
    // Without pools the first line has said it.
    for (name, active) in server.pools().filter(|_| server.pools().count() > 1) {
        let name = if name.is_empty() { "no pool".to_owned() } else { format!("pool {name}") };
        let _ = writeln!(text, "  {name}: {}", counted(active as u64, "active target"));
    }
    for (name, value) in stats.to_list().into_iter().filter(|(_, value)| *value > 0) {
        let _ = writeln!(text, "  {name}: {value}");
    }
    text
}

pub(super) fn of_fixed(fixed: &Fixed) -> String {
    let redirects = counted(fixed.redirects(), "redirect");
    format!("{redirects}, {} not answered\n", counted(fixed.limited(), "hello"))
}

fn word(state: TargetState) -> &'static str {
    match state {
        TargetState::Active => "active",
        TargetState::Unreachable => "without address",
        TargetState::Full => "full",
        TargetState::Silent => "silent",
        TargetState::Draining => "draining",
        TargetState::Refused => "refused",
        _ => "new",
    }
}

fn counted(count: u64, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect()
}
