//! What is said of far ends with which no keys could be agreed on: whom it would help, and how.

use core::net::SocketAddr;

use log::{Level, log};
use rtmfp::KeyingFailure;
use rtmfp::crypto::KeyingError;
use rtmfp_base::Time;

use super::{Destination, Listen};
use crate::lines::Told;

/// Tells of those whom listeners refuse. Nobody can fill the log; more is for those who debug.
#[derive(Debug, Default)]
pub(super) struct Refusals(Told);

impl Refusals {
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
        if listen.legacy || !may_be_old(failure) || !self.0.is_worth_a_line(now, peer.ip()) {
            return (Level::Debug, line);
        }
        let least = Listen { legacy: true, ..listen };
        (Level::Warn, format!("{line}; --legacy, or --listen {least}, lets old programs in"))
    }
}

/// What to tell of a destination with which keying did not work out so far: what is wrong, and what may help.
pub(super) fn hint(to: &Destination, failure: &KeyingFailure) -> Option<String> {
    let helps = !to.legacy && may_be_old(failure);
    let least = Destination { legacy: true, ..to.clone() };
    helps.then(|| format!("{failure}; if it is an old program, --legacy or --to {least} helps"))
}

/// Whether the far end may be of the installed base, and not just broken or hostile.
fn may_be_old(failure: &KeyingFailure) -> bool {
    match failure {
        // A destination of the installed base answers in group 2, whatever it was asked for.
        KeyingFailure::Refused(error) => {
            matches!(error, KeyingError::Policy(_) | KeyingError::NothingInCommon | KeyingError::AnotherGroup)
        }
        KeyingFailure::Unanswered | KeyingFailure::OnlyOffered => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::Protocol;
    use crate::lines::AGAIN;

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
            (KeyingFailure::OnlyOffered, "only offered what is required"),
        ] {
            let (level, line) = Refusals::default().line(Time::ZERO, listen(false), peer(1), &failure);
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
            let (level, line) = Refusals::default().line(Time::ZERO, listen(legacy), peer(1), &failure);
            assert_eq!(level, Level::Debug);
            assert!(!line.contains("--legacy"), "{line}");
        }
    }

    #[test]
    fn a_peer_gets_one_line_in_ten_minutes_and_all_peers_together_few() {
        let mut refusals = Refusals::default();
        let mut warns = |now: Time, number| {
            refusals.line(now, listen(false), peer(number), &KeyingFailure::OnlyOffered).0 == Level::Warn
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
        for failure in [KeyingFailure::Unanswered, KeyingError::Policy("HMAC").into()] {
            let hint = hint(&to, &failure).unwrap();
            assert!(hint.contains("--to rtmfp://server.example:1935?legacy=1"), "{hint}");
        }
        assert_eq!(hint(&to, &KeyingError::BadPublicKey.into()), None);
        assert_eq!(hint(&Destination { legacy: true, ..to }, &KeyingFailure::Unanswered), None);
    }
}
