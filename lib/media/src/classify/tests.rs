use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

const AVC1: Codec = Codec::FourCc(*b"avc1");
const HVC1: Codec = Codec::FourCc(*b"hvc1");

fn video(payload: &[u8]) -> (Class, Option<Codec>) {
    let media = Media::video(payload);
    (media.class, media.codec)
}

fn audio(payload: &[u8]) -> (Class, Option<Codec>) {
    let media = Media::audio(payload);
    (media.class, media.codec)
}

fn tracks<'a>(media: &Media<'a>) -> Vec<(u8, Codec, &'a [u8])> {
    media.tracks().map(|track| (track.id, track.codec, track.body)).collect()
}

#[test]
fn legacy_video_is_classified_by_frame_type_and_avc_by_its_second_byte() {
    let avc = Some(Codec::Video(7));
    assert_eq!(video(b"\x17\0\0\0\0config"), (Class::Config, avc));
    assert_eq!(video(b"\x17\x01\0\0\0key"), (Class::KeyFrame, avc));
    assert_eq!(video(b"\x27\x01\0\0\0inter"), (Class::InterFrame, avc));
    assert_eq!(video(b"\x37\x01\0\0\0disposable"), (Class::DisposableFrame, avc));
    assert_eq!(video(b"\x47\x01\0\0\0made by a server"), (Class::KeyFrame, avc));
    assert_eq!(video(b"\x17\x02\0\0\0"), (Class::End, avc));
    assert_eq!(video(b"\x17\x09\0\0\0"), (Class::Other, avc));
    assert_eq!(video(b"\x1c\0\0\0\0config"), (Class::Config, Some(Codec::Video(12))));
    for id in [2, 3, 4, 5, 6] {
        let codec = Some(Codec::Video(id));
        assert_eq!(video(&[0x10 | id, 0, 9]), (Class::KeyFrame, codec));
        assert_eq!(video(&[0x20 | id]), (Class::InterFrame, codec));
        assert_eq!(video(&[0x30 | id]), (Class::DisposableFrame, codec));
    }
    assert_eq!(video(b"\x17"), (Class::Malformed, None));
    assert_eq!(video(b""), (Class::End, None));
}

#[test]
fn video_commands_are_found_in_every_header() {
    assert_eq!(video(&CHECKPOINT), (Class::Command(CHECKPOINT_COMMAND), None));
    assert_eq!(video(b"\x52\x01"), (Class::Command(1), None));
    assert_eq!(video(b"\x57\x01\0\0\0\x03"), (Class::Command(3), None));
    assert_eq!(video(b"\x57\x03"), (Class::Command(3), None));
    assert_eq!(video(b"\xd1\x03"), (Class::Command(3), None));
    assert_eq!(video(b"\xd6\x03"), (Class::Command(3), None));
    assert_eq!(video(b"\xd4hvc1 amf"), (Class::Metadata, Some(HVC1)));
    assert_eq!(video(b"\x50"), (Class::Malformed, None));
    assert_eq!(video(b"\xd1"), (Class::Malformed, None));
    assert_eq!(Media::video(&CHECKPOINT).tracks().next(), None);
}

#[test]
fn extended_video_is_classified_by_packet_type() {
    let hevc = Some(HVC1);
    assert_eq!(video(b"\x90hvc1config"), (Class::Config, hevc));
    assert_eq!(video(b"\x95hvc1config"), (Class::Config, hevc));
    assert_eq!(video(b"\x91hvc1\0\0\0frame"), (Class::KeyFrame, hevc));
    assert_eq!(video(b"\x93hvc1frame"), (Class::KeyFrame, hevc));
    assert_eq!(video(b"\xa1hvc1\0\0\0frame"), (Class::InterFrame, hevc));
    assert_eq!(video(b"\xb3hvc1frame"), (Class::DisposableFrame, hevc));
    assert_eq!(video(b"\x92hvc1"), (Class::End, hevc));
    assert_eq!(video(b"\x94hvc1amf"), (Class::Metadata, hevc));
    assert_eq!(video(b"\x9fhvc1"), (Class::Other, hevc));
    assert_eq!(video(b"\x90hvc"), (Class::Malformed, None));
    assert_eq!(tracks(&Media::video(b"\x93hvc1frame")), [(0, HVC1, &b"frame"[..])]);
}

#[test]
fn audio_is_classified_by_format_and_packet_type() {
    let aac = Some(Codec::Audio(10));
    assert_eq!(audio(b"\xaf\0\x12\x10"), (Class::Config, aac));
    assert_eq!(audio(b"\xaf\x01frame"), (Class::AudioFrame, aac));
    assert_eq!(audio(b"\xaf\x05"), (Class::Other, aac));
    assert_eq!(audio(b"\xaf"), (Class::Malformed, None));
    assert_eq!(audio(b"\x2fframe"), (Class::AudioFrame, Some(Codec::Audio(2))));
    assert_eq!(audio(b"\xb6"), (Class::AudioFrame, Some(Codec::Audio(11))));
    assert_eq!(audio(b""), (Class::Silence, None));
    let opus = Some(Codec::FourCc(*b"Opus"));
    assert_eq!(audio(b"\x90OpusOpusHead"), (Class::Config, opus));
    assert_eq!(audio(b"\x91Opusframe"), (Class::AudioFrame, opus));
    assert_eq!(audio(b"\x92Opus"), (Class::End, opus));
    assert_eq!(audio(b"\x94Opus\x01\x02"), (Class::MultichannelConfig, opus));
    assert_eq!(audio(b"\x93Opus"), (Class::Other, opus));
    assert_eq!(audio(b"\x91Opu"), (Class::Malformed, None));
}

#[test]
fn mod_ex_wrappers_are_looked_through() {
    // 3 bytes of nanoseconds, then coded frames of an inter frame.
    let media = Media::video(b"\xa7\x02\x01\xe2\x40\x03av01frame");
    assert_eq!((media.class, media.codec), (Class::InterFrame, Some(Codec::FourCc(*b"av01"))));
    assert_eq!(media.nanoseconds, 123_456);
    assert!(media.may_expire());
    // An unknown wrapper of one byte around that of the time around a key frame.
    let media = Media::video(b"\x97\x00x\x17\x02\x00\x00\x05\x01avc1frame");
    assert_eq!((media.class, media.nanoseconds), (Class::KeyFrame, 5));
    // A size of 256 or more is in two bytes more.
    let long = [&b"\x97\x07......."[..], b".\x10", b"avc1config"].concat();
    assert_eq!(video(&long), (Class::Config, Some(AVC1)));
    let long = [&b"\x97\xff\x01\x00"[..], &[0; 257], b"\x10avc1config"].concat();
    assert_eq!(video(&long), (Class::Config, Some(AVC1)));
    // An offset of a millisecond or more is none.
    assert_eq!(Media::video(b"\xa7\x02\x0f\x42\x40\x03av01frame").nanoseconds, 0);
    assert_eq!(Media::video(b"\xa7\x02\x0f\x42\x3f\x03av01frame").nanoseconds, 999_999);
    // Audio by the same scheme, and a command within.
    let media = Media::audio(b"\x97\x02\x00\x00\x07\x01Opusframe");
    assert_eq!((media.class, media.nanoseconds), (Class::AudioFrame, 7));
    let media = Media::video(b"\xd7\x02\x00\x00\x07\x01\x03");
    assert_eq!((media.class, media.nanoseconds), (Class::Command(3), 7));
    for cut in
        [&b"\x97"[..], b"\x97\x02\x00\x00", b"\x97\x02\x00\x00\x07", b"\x97\xff\x01", b"\x97\xff\xff\xffx"]
    {
        assert_eq!(video(cut), (Class::Malformed, None));
        assert_eq!(audio(cut), (Class::Malformed, None));
    }
}

#[test]
fn a_message_of_nothing_but_wrappers_is_refused_after_a_few() {
    assert_eq!(video(&[&b"\x97"[..], &b"\0\0\x07".repeat(5_000_000)].concat()), (Class::Malformed, None));
    let many = [&b"\x97"[..], &b"\0\0\x07".repeat(14), b"\0\0\x01avc1"].concat();
    assert_eq!(video(&many), (Class::KeyFrame, Some(AVC1)));
}

#[test]
fn multitrack_messages_are_classified_by_their_inner_packet_type() {
    let one = Media::video(b"\x96\x00avc1\x05config");
    assert_eq!((one.class, one.codec), (Class::Config, Some(AVC1)));
    assert_eq!(tracks(&one), [(5, AVC1, &b"config"[..])]);

    let same = Media::video(b"\xa6\x13avc1\x00\0\0\x03abc\x01\0\0\x00\x02\0\0\x01z");
    assert_eq!((same.class, same.codec), (Class::InterFrame, Some(AVC1)));
    assert_eq!(tracks(&same), [(0, AVC1, &b"abc"[..]), (1, AVC1, b""), (2, AVC1, b"z")]);

    let many = Media::video(b"\x96\x20avc1\x00\0\0\x02abhvc1\x07\0\0\x01z");
    assert_eq!((many.class, many.codec), (Class::Config, Some(AVC1)));
    assert!(many.is_config() && !many.may_expire());
    assert_eq!(tracks(&many), [(0, AVC1, &b"ab"[..]), (7, HVC1, b"z")]);

    let sound = Media::audio(b"\x95\x20Opus\x01\0\0\x01xmp4a\x02\0\0\x01y");
    assert_eq!(sound.class, Class::Config);
    assert_eq!(sound.tracks().map(|track| track.id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(audio(b"\x95\x01Opus\x01frame"), (Class::AudioFrame, Some(Codec::FourCc(*b"Opus"))));
    // A size that needs all of its three bytes.
    let large = [&b"\x96\x11avc1\x00\x01\x02\x03"[..], &[0; 0x1_0203], b"\x01\0\0\0"].concat();
    let lengths: Vec<_> = Media::video(&large).tracks().map(|track| track.body.len()).collect();
    assert_eq!(lengths, [0x1_0203, 0]);
    // With a wrapper outside.
    assert_eq!(video(b"\x97\0x\x16\x01avc1\x05frame"), (Class::KeyFrame, Some(AVC1)));
}

#[test]
fn multitrack_messages_that_contradict_themselves_are_malformed_or_end_early() {
    for bad in [
        &b"\x96"[..],
        b"\x96\x06avc1\x05",
        b"\x96\x07avc1\x05",
        b"\x96\x31avc1\x05",
        b"\x96\x01avc1",
        b"\x96\x11avc1\x05\0\0\x02a",
        b"\x96\x21avc1\x05\0\0",
    ] {
        assert_eq!(video(bad), (Class::Malformed, None), "{}", bad.escape_ascii());
    }
    let cut = Media::video(b"\x96\x11avc1\x00\0\0\x01a\x01\0\0\x09cut");
    assert_eq!(tracks(&cut), [(0, AVC1, &b"a"[..])]);
}

#[test]
fn only_frames_and_what_nobody_can_use_may_expire() {
    for (payload, may_expire, is_keyframe, is_config) in [
        (&b"\x17\0"[..], false, false, true),
        (b"\x17\x01", true, true, false),
        (b"\x27\x01", true, false, false),
        (b"\x17\x02", false, false, false),
        (b"", false, false, false),
        (b"\x50\x03", false, false, false),
        (b"\x94hvc1", false, false, false),
        (b"\x96\x00avc1\x00", false, false, true),
        (b"\x96\x01avc1\x00", true, true, false),
        (b"\x97\x00x\x01avc1", true, true, false),
        (b"\x17", true, false, false),
    ] {
        let media = Media::video(payload);
        let outcome = (media.may_expire(), media.is_keyframe(), media.is_config());
        assert_eq!(outcome, (may_expire, is_keyframe, is_config), "{}", payload.escape_ascii());
    }
    assert!(!Media::audio(b"\x90fLaCconfig").may_expire());
    assert!(!Media::audio(b"\x94Opus").may_expire());
    assert!(!Media::audio(b"").may_expire());
    assert!(Media::audio(b"\xaf\x01").may_expire());
}

#[test]
fn the_end_of_a_sequence_is_classified_as_one() {
    for codec in [Codec::Video(2), Codec::Video(7), Codec::Video(12), HVC1] {
        let end = codec.video_end();
        assert_eq!(Media::video(&end).class, Class::End, "{codec}");
    }
    assert_eq!(Codec::Video(7).video_end(), b"\x17\x02\0\0\0"[..]);
    assert_eq!(AVC1.video_end(), b"\x92avc1"[..]);
}

#[test]
fn messages_are_classified_by_their_type() {
    let message =
        |kind| TcMessage { kind, timestamp: 0, stream_id: 1, payload: Bytes::from_static(b"\xaf\0") };
    assert_eq!(Media::of(&message(kind::AUDIO)).unwrap().class, Class::Config);
    assert_eq!(Media::of(&message(kind::VIDEO)).unwrap().class, Class::Malformed);
    assert_eq!(Media::of(&message(kind::DATA)), None);
}

#[test]
fn codecs_print_as_people_know_them() {
    let names = [
        AVC1,
        Codec::Video(7),
        Codec::Video(9),
        Codec::Audio(10),
        Codec::Audio(0),
        Codec::FourCc(*b"\x1b[0m"),
    ];
    assert_eq!(
        names.map(|codec| codec.to_string()),
        ["avc1", "AVC", "video 9", "AAC", "audio 0", "\\x1b[0m"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(0xe_47f9),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_can_be_classified(
        first in prop_oneof![any::<u8>(), Just(0x96), Just(0x95), Just(0x97), Just(0xd7)],
        rest in prop::collection::vec(prop_oneof![2 => 0..8_u8, 1 => 0x10..0x30_u8, 1 => any::<u8>()], 0..60),
    ) {
        let payload = [&[first], &rest[..]].concat();
        for media in [Media::video(&payload), Media::audio(&payload)] {
            let tracks: Vec<_> = media.tracks().collect();
            prop_assert_eq!(media.codec, tracks.first().map(|track| track.codec));
            prop_assert!(tracks.iter().map(|track| track.body.len()).sum::<usize>() < payload.len());
            prop_assert!(media.nanoseconds < 1_000_000);
            prop_assert!(!(media.is_config() && media.may_expire()));
        }
    }
}
