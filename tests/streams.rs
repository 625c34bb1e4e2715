//! Streams through the real programs, with ffmpeg, nginx-rtmp and rtmpdump around them.

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{Nginx, Process, Relay, SOON, Scratch, clip, command, ffmpeg, ffmpeg_publish};
use common::{ffmpeg_publish_with, read_flv, wait_for_recording, wait_until};
use nix::sys::signal::Signal;
use rtmfp_media::message::kind;
use rtmfp_service::tools::is_compared;

/// A relay from RTMP to RTMFP and one back, before a server.
struct Pair {
    near: Relay,
    _far: Relay,
}

impl Pair {
    fn before(server: &str) -> Self {
        let far = Relay::start("rtmfp", server, &[]);
        let near = Relay::start("rtmp", &far.url, &[]);
        Self { near, _far: far }
    }

    fn stream(&self, name: &str) -> String {
        format!("{}/live/{name}", self.near.url)
    }
}

/// Publishes 20 s in real time and finds every packet at the server.
fn publish_all(options: &[&str]) {
    let nginx = Nginx::start();
    let pair = Pair::before(&nginx.url());
    let clip = clip(20);
    let publisher = ffmpeg_publish_with(&clip, options, &pair.stream("all"));
    Process::start(publisher).succeed(Duration::from_secs(60));
    let comparison = wait_for_recording(&clip, &nginx.recording("all"));
    assert_eq!((comparison.video.received, comparison.audio.received), (600, 939));
}

#[test]
fn ffmpeg_with_default_sockets_publishes_every_packet_through_two_relays() {
    publish_all(&[]);
}

#[test]
fn ffmpeg_with_no_delay_sockets_publishes_every_packet_through_two_relays() {
    publish_all(&["-tcp_nodelay", "1"]);
}

#[test]
fn twenty_clients_at_once_do_not_disturb_each_other() {
    let nginx = Nginx::start();
    let pair = Pair::before(&nginx.url());
    let clip = clip(5);
    let publish = |number| Process::start(ffmpeg_publish(&clip, &pair.stream(&format!("s{number}"))));
    let mut publishers: Vec<_> = (0..20).map(publish).collect();
    for publisher in &mut publishers {
        publisher.succeed(Duration::from_secs(60));
    }
    for number in 0..20 {
        wait_for_recording(&clip, &nginx.recording(&format!("s{number}")));
    }
}

#[test]
fn fifty_clients_one_after_the_other_are_all_served() {
    let nginx = Nginx::start();
    let pair = Pair::before(&nginx.url());
    let clip = clip(2);
    for number in 0..50 {
        let name = format!("s{number}");
        // As fast as it can, to save time.
        let mut ffmpeg = ffmpeg();
        ffmpeg.arg("-i").arg(&clip).args(["-c", "copy", "-flvflags", "no_sequence_end"]);
        ffmpeg.args(["-f", "flv", &pair.stream(&name)]);
        Process::start(ffmpeg).succeed(SOON);
        wait_for_recording(&clip, &nginx.recording(&name));
    }
}

#[test]
fn every_combination_of_protocols_carries_a_stream() {
    let nginx = Nginx::start();
    let rtmp_to_rtmp = Relay::start("rtmp", &nginx.url(), &[]);
    let rtmfp_to_rtmp = Relay::start("rtmfp", &rtmp_to_rtmp.url, &["--crypto-threads", "0"]);
    let rtmfp_to_rtmfp = Relay::start("rtmfp", &rtmfp_to_rtmp.url, &["--static-keys", "--dh-groups", "14"]);
    let rtmp_to_rtmfp = Relay::start("rtmp", &rtmfp_to_rtmfp.url, &["--ephemeral", "--dh-groups", "2,14"]);
    let clip = clip(5);
    let url = format!("{}/live/chain", rtmp_to_rtmfp.url);
    Process::start(ffmpeg_publish(&clip, &url)).succeed(SOON);
    wait_for_recording(&clip, &nginx.recording("chain"));
}

#[test]
fn a_stream_can_be_published_again_under_its_name() {
    let nginx = Nginx::start();
    let pair = Pair::before(&nginx.url());
    for clip in [clip(5), clip(2)] {
        // The server refuses the name until it has heard that the stream before has ended.
        wait_until("the server takes the name", SOON, || {
            let mut publisher = Process::start(ffmpeg_publish(&clip, &pair.stream("again")));
            publisher.wait(SOON).success().then_some(())
        });
        wait_for_recording(&clip, &nginx.recording("again"));
    }
}

#[test]
fn rtmpdump_plays_through_the_relays() {
    let nginx = Nginx::start();
    let pair = Pair::before(&nginx.url());
    let clip = clip(20);
    let scratch = Scratch::new();
    let played = scratch.path("played.flv");
    let mut publisher = Process::start(ffmpeg_publish(&clip, &format!("{}/live/show", nginx.url())));
    let mut player = command("rtmpdump", "rtmpdump");
    player.args(["--live", "--rtmp", &pair.stream("show"), "--flv"]).arg(&played);
    let mut player = Process::start(player);
    // More than the 60 kB that some servers let it have before its first acknowledgement.
    wait_until("rtmpdump plays", SOON, || {
        assert!(publisher.is_running(), "the stream ended before rtmpdump had played: {}", player.said());
        fs::metadata(&played).ok().filter(|file| file.len() > 400_000)
    });
    player.signal(Signal::SIGINT);
    player.wait(SOON);
    assert_excerpt(&clip, &played, 60);
}

#[test]
fn ffmpeg_plays_through_the_relays() {
    let nginx = Nginx::start();
    let pair = Pair::before(&nginx.url());
    let clip = clip(20);
    let scratch = Scratch::new();
    let played = scratch.path("played.flv");
    let _publisher = Process::start(ffmpeg_publish(&clip, &format!("{}/live/show", nginx.url())));
    wait_until("nginx records", SOON, || nginx.recording("show").exists().then_some(()));
    let mut player = ffmpeg();
    player.args(["-rtmp_live", "live", "-i", &pair.stream("show"), "-t", "5", "-c", "copy"]).arg(&played);
    Process::start(player).succeed(SOON);
    assert_excerpt(&clip, &played, 60);
}

/// Checks that what was played is a part of the clip without gaps, and long enough.
fn assert_excerpt(clip: &Path, played: &Path, video_frames: usize) {
    let (clip, played) = (read_flv(clip), read_flv(played));
    let mut offsets = HashMap::new();
    for wanted in [kind::AUDIO, kind::VIDEO] {
        let of = |messages: &[rtmfp_media::TcMessage]| -> Vec<_> {
            let wanted = messages.iter().filter(|message| message.kind == wanted && is_compared(message));
            wanted.cloned().collect()
        };
        let (clip, played) = (of(&clip), of(&played));
        // Servers and players add ends of sequences of their own; those are short.
        let played: Vec<_> = played.into_iter().filter(|message| message.payload.len() > 5).collect();
        let first = played.first().expect("something was played");
        let begin =
            clip.iter().position(|message| message.payload == first.payload).expect("a frame of the clip");
        for (sent, came) in clip[begin..].iter().zip(&played) {
            assert_eq!(sent.payload, came.payload, "after {} ms", sent.timestamp);
            *offsets.entry(came.timestamp.wrapping_sub(sent.timestamp)).or_insert(0) += 1;
        }
        assert!(played.len() <= clip.len() - begin);
        assert!(wanted == kind::AUDIO || played.len() >= video_frames, "{} video frames", played.len());
    }
    assert_eq!(offsets.len(), 1, "timestamps are shifted by different times: {offsets:?}");
}
