//! What is said in the log of clients and destinations.

use core::net::IpAddr;

use log::Level;
use rtmfp_base::Time;
use rtmfp_netconn::LinkError;
use rtmfp_rtmp::{Error as RtmpError, Foreign};

use crate::lines::{Lines, Told};

/// What is said of clients and destinations.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Destinations that could not be reached.
    pub(super) failures: Lines,
    /// Destinations that do not want a client.
    pub(super) refusals: Lines,
    /// Destinations that were lost.
    pub(super) losses: Lines,
    /// Clients that send too much.
    pub(super) floods: Lines,
    /// Clients that speak something else.
    foreign: Told,
}

impl Notices {
    /// How loudly to tell of a client that has ended so. An encoder that is set to RTMPS, or a browser, is worth a line at
    /// the default level: who has set that up looks for what is wrong. Probes do it every few seconds.
    pub(super) fn level_of_end(&mut self, now: Time, ip: IpAddr, error: &LinkError) -> Level {
        match error {
            LinkError::Rtmp(RtmpError::NotRtmp(Foreign::Tls | Foreign::Http))
                if self.foreign.is_worth_a_line(now, ip) =>
            {
                Level::Warn
            }
            _ => Level::Info,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::AGAIN;

    #[test]
    fn those_who_speak_something_else_are_worth_one_line_each_and_others_none_at_this_level() {
        let mut notices = Notices::default();
        let now = Time::from_secs(1);
        let mut level =
            |now, last, error: LinkError| notices.level_of_end(now, [10, 0, 0, last].into(), &error);
        let foreign = |foreign| LinkError::Rtmp(RtmpError::NotRtmp(foreign));
        assert_eq!(level(now, 1, foreign(Foreign::Tls)), Level::Warn);
        assert_eq!(level(now, 1, foreign(Foreign::Tls)), Level::Info);
        assert_eq!(level(now, 2, foreign(Foreign::Http)), Level::Warn);
        assert_eq!(level(now + AGAIN, 1, foreign(Foreign::Tls)), Level::Warn);
        assert_eq!(level(now, 3, foreign(Foreign::Unknown)), Level::Info);
        assert_eq!(level(now, 4, LinkError::EarlyEnd), Level::Info);
    }
}
