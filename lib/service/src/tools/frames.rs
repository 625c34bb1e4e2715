//! Frames that are made up: headers as of H.264 and AAC, and bytes that nothing can decode behind them.

use bytes::Bytes;
use rtmfp_media::TcMessage;
use rtmfp_media::data;
use rtmfp_media::message::kind;

/// Video frames a second.
pub const VIDEO_RATE: u64 = 30;
/// Audio samples a second, 1024 of which make a frame.
pub const AUDIO_RATE: u64 = 48_000;

const SAMPLES: u64 = 1024;
/// Every so many video frames there is a key frame: two seconds.
const GROUP: u64 = 60;
/// So much longer than the others on average are key frames.
const KEY_WEIGHT: u64 = 8;
/// 96 kbit/s.
const AUDIO_BYTES: usize = 256;

/// A stream that is made up: metadata, configurations, then frames in the order of their timestamps. No two frames
/// of a type are equal.
#[derive(Clone, Debug)]
pub struct Frames {
    millis: u64,
    key_bytes: usize,
    inter_bytes: usize,
    /// How many messages without frames were given.
    head: usize,
    video: u64,
    audio: u64,
}

impl Frames {
    /// Frames for so many milliseconds, with so many kbit/s of video.
    pub const fn new(millis: u64, video_kbit: u32) -> Self {
        let group = video_kbit as u64 * 1000 / 8 * GROUP / VIDEO_RATE;
        let share = group / (GROUP - 1 + KEY_WEIGHT);
        let inter_bytes = if share < MIN_FRAME { MIN_FRAME } else { share };
        Self {
            millis,
            key_bytes: (KEY_WEIGHT * inter_bytes) as usize,
            inter_bytes: inter_bytes as usize,
            head: 0,
            video: 0,
            audio: 0,
        }
    }

    fn head(&mut self) -> Option<TcMessage> {
        let (kind, payload) = match self.head {
            0 => (kind::DATA, metadata()),
            1 => (kind::VIDEO, Bytes::from_static(AVC_CONFIG)),
            2 => (kind::AUDIO, Bytes::from_static(AAC_CONFIG)),
            _ => return None,
        };
        self.head += 1;
        Some(TcMessage { kind, timestamp: 0, stream_id: 0, payload })
    }

    fn video(&mut self, timestamp: u64) -> TcMessage {
        let is_key = self.video.is_multiple_of(GROUP);
        let (length, codec, unit) =
            if is_key { (self.key_bytes, 0x17, 0x65) } else { (self.inter_bytes, 0x27, 0x41) };
        let mut payload = vec![codec, 1, 0, 0, 0];
        payload.extend_from_slice(&(length as u32 - 9).to_be_bytes());
        payload.push(unit);
        number(&mut payload, self.video);
        payload.resize(length, 0x55);
        self.video += 1;
        message(kind::VIDEO, timestamp, payload)
    }

    fn audio(&mut self, timestamp: u64) -> TcMessage {
        let mut payload = vec![0xaf, 1];
        number(&mut payload, self.audio);
        payload.resize(AUDIO_BYTES, 0x55);
        self.audio += 1;
        message(kind::AUDIO, timestamp, payload)
    }
}

impl Iterator for Frames {
    type Item = TcMessage;

    fn next(&mut self) -> Option<TcMessage> {
        if let Some(message) = self.head() {
            return Some(message);
        }
        let video_at = self.video * 1000 / VIDEO_RATE;
        let audio_at = self.audio * 1000 * SAMPLES / AUDIO_RATE;
        if video_at.min(audio_at) >= self.millis {
            None
        } else if audio_at < video_at {
            Some(self.audio(audio_at))
        } else {
            Some(self.video(video_at))
        }
    }
}

fn message(kind: u8, timestamp: u64, payload: Vec<u8>) -> TcMessage {
    TcMessage { kind, timestamp: timestamp as u32, stream_id: 0, payload: payload.into() }
}

/// Appends a number in bytes above zero, so that it cannot look like the begin of a unit.
fn number(payload: &mut Vec<u8>, number: u64) {
    payload.extend((0..10).map(|digit| 0x80 | (number >> (7 * digit)) as u8));
}

fn metadata() -> Bytes {
    data::payload(data::ON_META_DATA, |values| {
        values.value().ecma_array(|object| {
            object.put("width", 640.0).put("height", 360.0).put("framerate", VIDEO_RATE as f64);
            object.put("videocodecid", 7.0).put("audiocodecid", 10.0);
            object.put("audiosamplerate", AUDIO_RATE as f64).put("stereo", true);
        });
    })
}

/// The shortest frame, in bytes: the headers and the number.
const MIN_FRAME: u64 = 20;

/// H.264 of the constrained baseline profile, level 3, 640 by 360 pixels.
const AVC_CONFIG: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 9, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf,
    0xe5, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
];
/// AAC LC, 48 kHz, stereo.
const AAC_CONFIG: &[u8] = &[0xaf, 0, 0x11, 0x90];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rtmfp_media::classify::{Class, Media};

    use super::*;

    #[test]
    fn a_stream_has_its_rate_in_order_and_no_frame_twice() {
        let messages: Vec<_> = Frames::new(4000, 1000).collect();
        assert!(messages.is_sorted_by_key(|message| message.timestamp));
        let of = |kind| messages.iter().filter(move |message| message.kind == kind);
        let classes: Vec<_> = of(kind::VIDEO).map(|message| Media::of(message).unwrap().class).collect();
        assert_eq!(classes.len(), 1 + 120);
        assert_eq!(classes[0], Class::Config);
        let keys: Vec<_> = (1..=120).filter(|&at| classes[at] == Class::KeyFrame).collect();
        assert_eq!(keys, [1, 61]);
        assert_eq!(of(kind::AUDIO).count(), 1 + 188);
        let bytes: usize = of(kind::VIDEO).map(|message| message.payload.len()).sum();
        assert!((490_000..510_000).contains(&bytes), "{bytes}");
        let different: HashSet<_> = messages.iter().map(|message| &message.payload).collect();
        assert_eq!(different.len(), messages.len());
    }

    #[test]
    fn frames_hold_their_number_even_at_the_lowest_rate() {
        let frames: HashSet<_> = Frames::new(60_000, 1).map(|message| message.payload).collect();
        assert_eq!(frames.len(), Frames::new(60_000, 1).count());
    }
}
