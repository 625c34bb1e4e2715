//! A clip as an encoder sends it: metadata, configurations, frames, end of sequence.

use std::time::Duration;

use bytes::Bytes;
use rtmfp_media::TcMessage;
use rtmfp_media::amf0::Value;
use rtmfp_media::data;
use rtmfp_media::message::kind;

/// The messages of a clip, in order, with stream id 0.
#[derive(Clone)]
pub(crate) struct Clip(pub(crate) Vec<TcMessage>);

fn message(kind: u8, timestamp: u32, head: &[u8], length: usize) -> TcMessage {
    let mut payload = head.to_vec();
    let seed = u64::from(timestamp) * 31 + u64::from(kind);
    payload.extend((0..length as u64).map(|index| (index.wrapping_mul(7).wrapping_add(seed) >> 2) as u8));
    TcMessage { kind, timestamp, stream_id: 0, payload: Bytes::from(payload) }
}

impl Clip {
    /// 30 pictures a second, a key frame every two seconds, and AAC at 48 kHz: about 0.9 Mbit/s.
    pub(crate) fn new(pictures: u32) -> Self {
        let metadata = data::payload("@setDataFrame", |values| {
            values
                .put("onMetaData")
                .value()
                .ecma_array(|object| _ = object.put("width", Value::Number(640.0)));
        });
        let metadata = TcMessage { kind: kind::DATA, timestamp: 0, stream_id: 0, payload: metadata };
        let mut all = vec![
            metadata,
            message(kind::VIDEO, 0, b"\x17\0\0\0\0config", 30),
            message(kind::AUDIO, 0, b"\xaf\0\x11\x90", 0),
        ];
        let mut samples = 0;
        let mut frame = 0;
        let mut end = 0;
        while frame < pictures {
            let audio_at = samples / 48;
            let video_at = frame * 1000 / 30;
            end = audio_at.max(video_at);
            if audio_at <= video_at {
                all.push(message(kind::AUDIO, audio_at, b"\xaf\x01", 200));
                samples += 1024;
            } else {
                let key = frame.is_multiple_of(60);
                let (head, length) = if key {
                    (b"\x17\x01\0\0\0", 12_000)
                } else {
                    (b"\x27\x01\0\0\0", 2000 + frame as usize % 900)
                };
                all.push(message(kind::VIDEO, video_at, head, length));
                frame += 1;
            }
        }
        for n in 0..3 {
            all.push(message(kind::AUDIO, end + 21 * (n + 1), b"\xaf\x01", 200));
        }
        all.push(message(kind::VIDEO, end + 33, b"\x17\x02\0\0\0", 0));
        Self(all)
    }

    /// The messages of one type.
    pub(crate) fn of(&self, kind: u8) -> Vec<TcMessage> {
        of(&self.0, kind)
    }

    /// When a message is sent, from the clip's beginning.
    pub(crate) fn time(message: &TcMessage) -> Duration {
        Duration::from_millis(message.timestamp.into())
    }
}

/// The messages of one type, with stream id 0.
pub(crate) fn of(messages: &[TcMessage], kind: u8) -> Vec<TcMessage> {
    let messages = messages.iter().filter(|message| message.kind == kind);
    messages.map(|message| TcMessage { stream_id: 0, ..message.clone() }).collect()
}
