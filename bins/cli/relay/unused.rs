//! Options that change nothing where they are given.

use super::{DEFAULT_GROUPS, Relay};
use crate::{Scheme, Weights};

impl Relay {
    /// What to tell people of options that change nothing, beside the others. None of them does any harm, so that one command
    /// line may serve several relays.
    pub fn without_effect(&self) -> Vec<String> {
        let listens = self.listen.iter().any(|url| url.scheme == Scheme::Rtmfp);
        let connects = self.to.scheme == Scheme::Rtmfp;
        let workers = self.workers.workers.get() > 1;
        let is_chosen = listens && (workers || !self.registration.redirectors.is_empty());
        let (security, fleet) = (&self.security, &self.fleet);
        let speaks = (listens || connects, "for rtmfp:// in --listen or --to");
        let to = (connects, "for --to rtmfp://");
        let listen = (listens, "for --listen rtmfp://");
        let several = (listens && workers, "for several --workers and for --listen rtmfp://");
        let chosen = (is_chosen, "for --redirector or several --workers, and for --listen rtmfp://");
        [
            ("--legacy", security.legacy, speaks),
            ("--allow-no-hmac", security.allow_no_hmac, speaks),
            ("--allow-no-sequence-numbers", security.allow_no_sequence_numbers, speaks),
            ("--ephemeral", security.ephemeral, to),
            ("--static-keys", security.static_keys, listen),
            ("--dh-groups", security.dh_groups.to_string() != DEFAULT_GROUPS, speaks),
            ("--max-dh-group", security.max_dh_group.is_some(), to),
            ("--worker-ports", self.workers.worker_ports.is_some(), several),
            ("--advertise", !fleet.advertise.is_empty(), chosen),
            ("--max-connections", fleet.max_connections.is_some(), chosen),
            ("--max-bitrate", fleet.max_bitrate.is_some(), chosen),
            ("--load-weights", fleet.load_weights != Weights::default(), chosen),
        ]
        .into_iter()
        .filter(|(_, is_given, (has_effect, _))| *is_given && !has_effect)
        .map(|(option, _, (_, what_for))| format!("{option} changes nothing: it is {what_for}"))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn told(options: &str) -> Vec<String> {
        let words = core::iter::once("rtmfp-relay").chain(options.split_whitespace());
        Relay::try_parse_from(words).expect("options that can be parsed").without_effect()
    }

    const SPEAKING: [&str; 4] =
        ["--legacy", "--allow-no-hmac", "--allow-no-sequence-numbers", "--dh-groups 14"];
    const CHOSEN: [&str; 4] =
        ["--advertise 192.0.2.1", "--max-connections 5", "--max-bitrate 5M", "--load-weights 1,1,0"];

    /// Checks which of the options are told of, each by itself.
    fn check(urls: &str, options: &[&str], is_told: bool) {
        for option in options {
            let name = option.split(' ').next().unwrap();
            let told = told(&format!("{urls} {option}"));
            let wanted = if is_told { format!("{name} changes nothing") } else { String::new() };
            assert_eq!(told.len(), usize::from(is_told), "{urls} {option}: {told:?}");
            assert!(told.concat().starts_with(&wanted), "{urls} {option}: {told:?}");
        }
    }

    #[test]
    fn options_for_rtmfp_are_told_where_only_rtmp_is_spoken() {
        let rtmp = "--listen rtmp://127.0.0.1 --to rtmp-simple://a";
        check(rtmp, &SPEAKING, true);
        check(rtmp, &["--ephemeral", "--static-keys", "--max-dh-group 14"], true);
        let listens = "--listen rtmp://127.0.0.1,rtmfp://127.0.0.1 --to rtmp://a";
        check(listens, &SPEAKING, false);
        check(listens, &["--static-keys"], false);
        check(listens, &["--ephemeral", "--max-dh-group 14"], true);
        let connects = "--listen rtmp://127.0.0.1 --to rtmfp://a";
        check(connects, &SPEAKING, false);
        check(connects, &["--ephemeral", "--max-dh-group 14"], false);
        check(connects, &["--static-keys"], true);
    }

    #[test]
    fn what_only_redirectors_and_the_front_of_workers_ask_for_is_told_without_them() {
        for alone in [
            "--listen rtmfp://127.0.0.1 --to rtmp://a",
            "--listen rtmp://127.0.0.1 --workers 2 --to rtmp://a",
        ] {
            check(alone, &CHOSEN, true);
            check(alone, &["--worker-ports 7-8"], true);
        }
        check("--listen rtmfp://127.0.0.1 --to rtmp://a --workers 2", &CHOSEN, false);
        check("--listen rtmfp://127.0.0.1 --to rtmp://a --workers 2", &["--worker-ports 7-8"], false);
        check("--listen rtmfp://127.0.0.1 --to rtmp://a -L lb@192.0.2.1", &CHOSEN, false);
    }

    #[test]
    fn the_defaults_are_told_of_nowhere() {
        for urls in ["--listen rtmp://127.0.0.1 --to rtmp://a", "--listen rtmfp://127.0.0.1 --to rtmfp://a"] {
            assert_eq!(told(urls), [""; 0], "{urls}");
        }
    }
}
