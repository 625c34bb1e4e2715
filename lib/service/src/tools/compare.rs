//! The comparison of what was sent with what arrived.

use std::collections::{HashMap, VecDeque};

use rtmfp_media::TcMessage;
use rtmfp_media::classify::{Class, Media};
use rtmfp_media::message::kind;

/// How two recordings differ.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Comparison {
    /// Audio.
    pub audio: Difference,
    /// Video.
    pub video: Difference,
}

impl Comparison {
    /// Whether nothing differs and there was something.
    pub const fn is_equal(&self) -> bool {
        self.audio.is_none() && self.video.is_none() && self.audio.sent + self.video.sent > 0
    }
}

/// How messages of one type differ.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Difference {
    /// How many were sent.
    pub sent: usize,
    /// How many arrived.
    pub received: usize,
    /// Sent, and not found among those that arrived after the one before.
    pub missing: usize,
    /// Arrived, and not what was to come.
    pub unexpected: usize,
    /// Arrived with another timestamp than sent, both less that of the first message of their recording.
    pub shifted: usize,
}

impl Difference {
    /// Whether nothing differs.
    pub const fn is_none(&self) -> bool {
        self.missing == 0 && self.unexpected == 0 && self.shifted == 0
    }
}

/// Whether a message counts: audio and video, but not what configures decoders or describes pictures, because
/// servers repeat that as they like.
pub fn is_compared(message: &TcMessage) -> bool {
    Media::of(message).is_some_and(|media| {
        !matches!(media.class, Class::Config | Class::MultichannelConfig | Class::Metadata)
    })
}

/// Compares two recordings; both are in the order of sending.
pub fn compare(sent: &[TcMessage], received: &[TcMessage]) -> Comparison {
    let origin = |messages: &[TcMessage]| {
        messages.iter().filter(|message| is_compared(message)).map(|message| message.timestamp).min()
    };
    let (sent_origin, received_origin) =
        (origin(sent).unwrap_or_default(), origin(received).unwrap_or_default());
    let of = |wanted: u8| {
        let pick = |messages: &'_ [TcMessage], origin: u32| -> Vec<(u32, bytes::Bytes)> {
            let wanted = messages.iter().filter(|message| message.kind == wanted && is_compared(message));
            wanted.map(|m| (m.timestamp.wrapping_sub(origin), m.payload.clone())).collect()
        };
        difference(&pick(sent, sent_origin), &pick(received, received_origin))
    };
    Comparison { audio: of(kind::AUDIO), video: of(kind::VIDEO) }
}

fn difference(sent: &[(u32, bytes::Bytes)], received: &[(u32, bytes::Bytes)]) -> Difference {
    let mut places: HashMap<&[u8], VecDeque<usize>> = HashMap::new();
    for (place, (_, payload)) in received.iter().enumerate() {
        places.entry(payload).or_default().push_back(place);
    }
    let mut result = Difference { sent: sent.len(), received: received.len(), ..Difference::default() };
    let mut next = 0;
    let mut found = 0;
    for (timestamp, payload) in sent {
        let candidates = places.get_mut(&**payload);
        let place = candidates.and_then(|places| {
            while places.front().is_some_and(|place| *place < next) {
                places.pop_front();
            }
            places.pop_front()
        });
        match place {
            Some(place) => {
                found += 1;
                next = place + 1;
                result.shifted += usize::from(received[place].0 != *timestamp);
            }
            None => result.missing += 1,
        }
    }
    result.unexpected = received.len() - found;
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::Frames;

    fn stream() -> Vec<TcMessage> {
        Frames::new(1000, 100).collect()
    }

    #[test]
    fn equal_streams_are_equal_wherever_they_begin_and_however_often_configured() {
        let sent = stream();
        let mut received = sent.clone();
        received.iter_mut().for_each(|message| message.timestamp += 5000);
        received.insert(7, TcMessage { timestamp: 1, ..sent[1].clone() });
        let comparison = compare(&sent, &received);
        assert!(comparison.is_equal(), "{comparison:?}");
        assert_eq!((comparison.video.sent, comparison.audio.received), (30, 47));
    }

    #[test]
    fn what_is_lost_doubled_or_shifted_is_counted() {
        let sent = stream();
        let at = |wanted: usize| {
            let video = |message: &TcMessage| message.kind == kind::VIDEO;
            sent.iter().enumerate().filter(|(_, message)| video(message)).nth(wanted).unwrap().0
        };
        let mut received = sent.clone();
        received[at(20)].timestamp += 1;
        received.insert(at(15), sent[at(15)].clone());
        received.remove(at(10));
        let video = compare(&sent, &received).video;
        let expected = Difference { sent: 30, received: 30, missing: 1, unexpected: 1, shifted: 1 };
        assert_eq!(video, expected);
    }

    #[test]
    fn what_arrives_in_another_order_is_missing() {
        let sent = stream();
        let mut received = sent.clone();
        let swapped: Vec<_> =
            (0..sent.len()).filter(|&at| sent[at].kind == kind::AUDIO).skip(5).take(2).collect();
        received.swap(swapped[0], swapped[1]);
        let comparison = compare(&sent, &received);
        assert_eq!((comparison.audio.missing, comparison.audio.unexpected), (1, 1));
        assert!(comparison.video.is_none());
    }

    #[test]
    fn nothing_is_not_equal_to_nothing() {
        assert!(!compare(&[], &[]).is_equal());
        assert!(!compare(&[], &stream()).is_equal());
    }
}
