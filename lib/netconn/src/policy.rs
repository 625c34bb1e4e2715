//! The real-time policy: how long each message may wait, and what goes first.

use core::time::Duration;

use rtmfp::Priority;
use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::classify::{Class, Media};
use rtmfp_media::message::kind;

/// How long media may wait to be sent. What a decoder or an application can't do without (configuration, metadata,
/// ends of sequences, silence, data and commands) waits as long as it must.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lifetimes {
    /// A frame of video is dropped when it was not begun after this. Default 2 s.
    pub video: Duration,
    /// The same for audio. Default 2.2 s.
    pub audio: Duration,
    /// What was begun is given up when it was not delivered so long after that. Default 100 ms.
    pub finish_margin: Duration,
    /// When a key frame comes, what is left of the pictures before it has so long to be delivered; `None`: as long as
    /// without it. Default 100 ms.
    pub previous_group: Option<Duration>,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            video: Duration::from_secs(2),
            audio: Duration::from_millis(2200),
            finish_margin: Duration::from_millis(100),
            previous_group: Some(Duration::from_millis(100)),
        }
    }
}

/// What carries a message: messages of one lane of a stream keep their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Lane {
    /// Commands, data, and all that is not media.
    Data = 0,
    Audio = 1,
    Video = 2,
}

impl Lane {
    pub(crate) const ALL: [Self; 3] = [Self::Data, Self::Audio, Self::Video];

    pub(crate) const fn of(kind: u8) -> Self {
        match kind {
            kind::AUDIO => Self::Audio,
            kind::VIDEO => Self::Video,
            _ => Self::Data,
        }
    }

    pub(crate) const fn priority(self) -> Priority {
        match self {
            Self::Data | Self::Audio => Priority::Immediate,
            Self::Video => Priority::Priority,
        }
    }
}

/// Deadlines of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Deadlines {
    pub(crate) start_by: Time,
    pub(crate) finish_by: Time,
}

impl Deadlines {
    pub(crate) const NEVER: Self = Self { start_by: Time::MAX, finish_by: Time::MAX };

    pub(crate) fn are_never(self) -> bool {
        self == Self::NEVER
    }

    /// The nearer ones of each.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { start_by: self.start_by.min(other.start_by), finish_by: self.finish_by.min(other.finish_by) }
    }
}

/// The place of a frame of video in its group of pictures: a key frame and what needs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Picture {
    pub(crate) track: u8,
    pub(crate) begins_group: bool,
}

/// How a message is to be treated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Treatment {
    pub(crate) lane: Lane,
    pub(crate) deadlines: Deadlines,
    pub(crate) picture: Option<Picture>,
}

impl Lifetimes {
    /// How a message that is to be sent at `now` is to be treated.
    pub(crate) fn treat(&self, now: Time, message: &TcMessage) -> Treatment {
        let lane = Lane::of(message.kind);
        let media = Media::of(message).filter(Media::may_expire);
        let Some(media) = media else {
            return Treatment { lane, deadlines: Deadlines::NEVER, picture: None };
        };
        let start_by = now + if lane == Lane::Audio { self.audio } else { self.video };
        let picture = match media.class {
            // Tracks that share messages share their groups: a message is in the group of its first track.
            Class::KeyFrame | Class::InterFrame | Class::DisposableFrame => Some(Picture {
                track: media.tracks().map(|track| track.id).next().unwrap_or(0),
                begins_group: media.is_keyframe(),
            }),
            _ => None,
        };
        Treatment {
            lane,
            deadlines: Deadlines { start_by, finish_by: start_by + self.finish_margin },
            picture,
        }
    }

    /// The deadlines of what is left of a group when the next one begins.
    pub(crate) fn of_previous_group(&self, now: Time) -> Deadlines {
        self.previous_group
            .map_or(Deadlines::NEVER, |rest| Deadlines { start_by: now + rest, finish_by: now + rest })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const NOW: Time = Time::from_secs(10);

    fn treat(kind: u8, payload: &'static [u8]) -> Treatment {
        let message = TcMessage { kind, timestamp: 0, stream_id: 1, payload: Bytes::from_static(payload) };
        Lifetimes::default().treat(NOW, &message)
    }

    #[test]
    fn frames_expire_and_what_decoders_need_does_not() {
        let video = Deadlines { start_by: Time::from_millis(12_000), finish_by: Time::from_millis(12_100) };
        let audio = Deadlines { start_by: Time::from_millis(12_200), finish_by: Time::from_millis(12_300) };
        let picture = |begins_group| Some(Picture { track: 0, begins_group });
        let key = Treatment { lane: Lane::Video, deadlines: video, picture: picture(true) };
        assert_eq!(treat(9, b"\x17\x01\0\0\0key"), key);
        let inter = Treatment { picture: picture(false), ..key };
        assert_eq!(treat(9, b"\x27\x01\0\0\0inter"), inter);
        assert_eq!(
            treat(8, b"\xaf\x01audio"),
            Treatment { lane: Lane::Audio, deadlines: audio, picture: None }
        );
        for (lane, kind, payload) in [
            (Lane::Video, 9, &b"\x17\0\0\0\0config"[..]),
            (Lane::Video, 9, b"\x17\x02\0\0\0"),
            (Lane::Video, 9, b""),
            (Lane::Audio, 8, b"\xaf\0config"),
            (Lane::Audio, 8, b""),
            (Lane::Data, 18, b"\x02\0\x01a"),
            (Lane::Data, 20, b""),
            (Lane::Data, 4, b"\0\0\0\0\0\x01"),
            (Lane::Data, 19, b""),
        ] {
            let forever = Treatment { lane, deadlines: Deadlines::NEVER, picture: None };
            assert_eq!(treat(kind, payload), forever, "{kind} {payload:?}");
        }
    }

    #[test]
    fn tracks_have_groups_of_their_own() {
        // Multitrack, one track, coded frames, avc1, track 5.
        let message = treat(9, b"\x96\x01avc1\x05body");
        assert_eq!(message.picture, Some(Picture { track: 5, begins_group: true }));
    }
}
