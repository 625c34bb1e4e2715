//! Networks that are too slow for the stream.

use std::time::Duration;

use rtmfp_media::TcMessage;
use rtmfp_media::classify::{Class, Media};
use rtmfp_media::message::kind;
use rtmfp_netsim::LinkConfig;

use crate::clip::{Clip, of};
use crate::encoder::{End, TAIL, Task};
use crate::publish::assert_ended;
use crate::world::Chain;

/// How many pictures came without the one before them, which they need.
fn orphans(got: &[TcMessage], sent: &[TcMessage]) -> usize {
    let place =
        |message: &TcMessage| sent.iter().position(|other| other == message).expect("one of those sent");
    let class = |message: &TcMessage| Media::video(&message.payload).class;
    let frames: Vec<_> =
        got.iter().filter(|m| matches!(class(m), Class::KeyFrame | Class::InterFrame)).collect();
    let orphan =
        |pair: &&[&TcMessage]| class(pair[1]) != Class::KeyFrame && place(pair[1]) != place(pair[0]) + 1;
    frames.windows(2).filter(orphan).count()
}

/// Publishes through a bottleneck; gives the messages of video and audio that arrived.
fn squeeze(
    protocols: &[&str],
    lifetime: Duration,
    narrow: impl Fn(&mut Chain),
    clip: &Clip,
) -> (Vec<TcMessage>, Vec<TcMessage>) {
    let mut chain = Chain::with(1, protocols, Chain::friendly(), |_, config| {
        config.link.lifetimes.video = lifetime;
    });
    narrow(&mut chain);
    chain.add_client(Task::Publish(clip.clone(), End::Delete));
    chain.network.run_for(Duration::from_secs(30) + TAIL);
    let session = chain.server().all().next().expect("the publisher was relayed");
    assert_ended(&chain, session, End::Delete);
    let received = session.messages();
    (of(&received, kind::VIDEO), of(&received, kind::AUDIO))
}

/// Whether what has arrived is what should: less video, but all audio.
fn assert_rest(clip: &Clip, video: &[TcMessage], audio: &[TcMessage], most_orphans: usize) {
    let (all, sent) = (clip.of(kind::AUDIO), clip.of(kind::VIDEO));
    println!("{} of {} video messages, {} orphans", video.len(), sent.len(), orphans(video, &sent));
    assert!(audio == all, "{} of {} audio messages", audio.len(), all.len());
    assert!((200..560).contains(&video.len()), "{} of {} video messages", video.len(), sent.len());
    assert!(orphans(video, &sent) <= most_orphans, "{} orphans", orphans(video, &sent));
    assert_eq!(video.first(), sent.first(), "the configuration");
    assert_eq!(video.last(), sent.last(), "the end of the sequence");
}

/// Longer and shorter than a group.
const LIFETIMES: [Duration; 2] = [Duration::from_secs(2), Duration::from_millis(700)];

#[test]
fn a_slow_network_between_relays_drops_video_by_groups_and_keeps_all_audio() {
    let clip = Clip::new(600);
    // The clip needs about 95,000 bytes a second.
    let narrow = |chain: &mut Chain| {
        let link = LinkConfig {
            rate: Some(70_000),
            queue: 30_000,
            ..LinkConfig::with_delay(Duration::from_millis(20))
        };
        chain.network.set_links(chain.relays[0], chain.relays[1], link);
    };
    for lifetime in LIFETIMES {
        let (video, audio) = squeeze(&["rtmp", "rtmfp", "rtmp"], lifetime, narrow, &clip);
        assert_rest(&clip, &video, &audio, 5);
    }
}

#[test]
fn a_slow_rtmp_destination_drops_video_by_groups_and_keeps_all_audio() {
    let clip = Clip::new(600);
    let narrow = |chain: &mut Chain| {
        let link = LinkConfig { rate: Some(70_000), ..LinkConfig::with_delay(Duration::from_millis(20)) };
        let last = chain.relays[chain.relays.len() - 1];
        chain.network.set_links(last, chain.server, link);
    };
    for protocols in [&["rtmp", "rtmp"][..], &["rtmp", "rtmfp", "rtmp"]] {
        for lifetime in LIFETIMES {
            let (video, audio) = squeeze(protocols, lifetime, narrow, &clip);
            assert_rest(&clip, &video, &audio, 0);
        }
    }
}
