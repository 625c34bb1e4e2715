//! What is said of far ends with which no keys could be agreed on: whom it would help, and how.

use core::net::SocketAddr;

use log::{Level, log};
use rtmfp::KeyingFailure;
use rtmfp::crypto::KeyingError;
use rtmfp_base::Time;

use super::{Destination, Listen, RelayConfig};
use crate::lines::Told;

/// Tells of those whom listeners refuse. Nobody can fill the log; more is for those who debug.
#[derive(Debug)]
pub(super) struct Refusals {
    /// [`RelayConfig::names_legacy_switch`].
    names_switch: bool,
    told: Told,
}

impl Refusals {
    pub(super) fn new(names_switch: bool) -> Self {
        Self { names_switch, told: Told::default() }
    }

    /// A listener has refused somebody.
    pub(super) fn note(&mut self, now: Time, listen: Listen, peer: SocketAddr, failure: &KeyingFailure) {
        let (level, line) = self.line(now, listen, peer, failure);
        log!(level, "{line}");
    }

    fn line(
        &mut self,
        now: Time,
        listen: Listen,
        peer: SocketAddr,
        failure: &KeyingFailure,
    ) -> (Level, String) {
        let line = format!("{peer}: refused on {listen}: {failure}");
        if listen.legacy || !may_be_old(failure) || !self.told.is_worth_a_line(now, peer.ip()) {
            return (Level::Debug, line);
        }
        let least = Listen { legacy: true, ..listen };
        let switch = if self.names_switch { "--legacy, or " } else { "" };
        let comma = if self.names_switch { "," } else { "" };
        (Level::Warn, format!("{line}; {switch}--listen {least}{comma} lets old programs in"))
    }
}

/// What to tell of a destination with which keying did not work out so far: what is wrong, and what may help.
pub(super) fn hint(config: &RelayConfig, failure: &KeyingFailure) -> Option<String> {
    let to = &config.to;
    let helps = !to.legacy && may_be_old(failure);
    let least = Destination { legacy: true, ..to.clone() };
    let switch = if config.names_legacy_switch { "--legacy or " } else { "" };
    helps.then(|| format!("{failure}; if it is an old program, {switch}--to {least} helps"))
}

/// Whether the far end may be of the installed base, and not just broken or hostile.
fn may_be_old(failure: &KeyingFailure) -> bool {
    match failure {
        // A destination of the installed base answers in group 2, whatever it was asked for.
        KeyingFailure::Refused(error) => {
            matches!(error, KeyingError::Policy(_) | KeyingError::NothingInCommon | KeyingError::AnotherGroup)
        }
        KeyingFailure::Unanswered | KeyingFailure::OnlyOffered(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::Protocol;
    use crate::lines::AGAIN;

    const ONLY_OFFERED: KeyingFailure = KeyingFailure::OnlyOffered("HMAC");

    fn listen(legacy: bool) -> Listen {
        Listen { protocol: Protocol::Rtmfp, address: ([10, 0, 0, 1], 1935).into(), legacy }
    }

    fn peer(number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        ([10, 1, high, low], 5000).into()
    }

    #[test]
    fn the_line_names_the_peer_what_it_lacked_and_the_switch_that_lets_it_in() {
        for (failure, lacks) in [
            (KeyingError::Policy("HMAC").into(), "required here: HMAC"),
            (KeyingError::NothingInCommon.into(), "no Diffie-Hellman group in common"),
            (KeyingError::Policy("HMAC and sequence numbers").into(), "here: HMAC and sequence numbers"),
            (KeyingFailure::OnlyOffered("HMAC"), "only offered what is required here, HMAC,"),
        ] {
            let (level, line) = Refusals::new(true).line(Time::ZERO, listen(false), peer(1), &failure);
            assert_eq!(level, Level::Warn);
            for word in ["10.1.0.1:5000", lacks, "--legacy", "--listen rtmfp://10.0.0.1:1935?legacy=1"] {
                assert!(line.contains(word), "{word}: {line}");
            }
        }
    }

    #[test]
    fn no_switch_is_named_that_is_on_or_would_not_help() {
        let refused = KeyingFailure::from(KeyingError::NothingInCommon);
        for (legacy, failure) in [(true, refused), (false, KeyingError::BadCertificate.into())] {
            let (level, line) = Refusals::new(true).line(Time::ZERO, listen(legacy), peer(1), &failure);
            assert_eq!(level, Level::Debug);
            assert!(!line.contains("--legacy"), "{line}");
        }
    }

    #[test]
    fn a_switch_that_is_given_already_or_overruled_is_not_named() {
        let (level, line) = Refusals::new(false).line(Time::ZERO, listen(false), peer(1), &ONLY_OFFERED);
        assert_eq!(level, Level::Warn);
        assert!(line.ends_with("; --listen rtmfp://10.0.0.1:1935?legacy=1 lets old programs in"), "{line}");
    }

    #[test]
    fn a_peer_gets_one_line_in_ten_minutes_and_all_peers_together_few() {
        let mut refusals = Refusals::new(true);
        let mut warns = |now: Time, number| {
            refusals.line(now, listen(false), peer(number), &ONLY_OFFERED).0 == Level::Warn
        };
        let mut now = Time::from_secs(1);
        assert_eq!((0..100).filter(|_| warns(now, 1)).count(), 1);
        assert_eq!((2..1000).filter(|&number| warns(now, number)).count(), 19);
        now += AGAIN - Duration::from_secs(1);
        assert!(!warns(now, 1));
        assert!(warns(now + Duration::from_secs(1), 1));
    }

    #[test]
    fn a_destination_that_may_be_old_is_told_of_with_its_setting() {
        let to = Destination {
            protocol: Protocol::Rtmfp,
            host: "server.example".to_owned(),
            port: 1935,
            legacy: false,
        };
        let config = |to: &Destination| RelayConfig::new(Vec::new(), to.clone(), [0; 32]);
        let with = |to: &Destination, failure: &KeyingFailure| hint(&config(to), failure);
        for failure in [KeyingFailure::Unanswered, KeyingError::Policy("HMAC").into()] {
            let hint = with(&to, &failure).unwrap();
            assert!(hint.contains("--legacy or --to rtmfp://server.example:1935?legacy=1"), "{hint}");
        }
        let overruled = RelayConfig { names_legacy_switch: false, ..config(&to) };
        let hint = hint(&overruled, &KeyingFailure::Unanswered).unwrap();
        assert!(hint.ends_with("program, --to rtmfp://server.example:1935?legacy=1 helps"), "{hint}");
        assert_eq!(with(&to, &KeyingError::BadPublicKey.into()), None);
        assert_eq!(with(&Destination { legacy: true, ..to }, &KeyingFailure::Unanswered), None);
    }
}
