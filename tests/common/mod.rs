//! What the end-to-end tests share: programs that are started and ended, clips, recordings.
//!
//! External programs give no events, so some things are polled, by [`wait_until`] only and always with a limit.
#![allow(dead_code, unused_imports, reason = "no test file uses everything")]

pub(crate) mod nginx;
pub(crate) mod process;
pub(crate) mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use rtmfp_media::TcMessage;
use rtmfp_media::flv::Reader;
use rtmfp_service::tools::{Comparison, compare};

pub(crate) use nginx::Nginx;
pub(crate) use process::{Process, Relay};

/// How long anything may take that should take no time at all. Long, because machines are busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After `limit`.
pub(crate) fn wait_until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(now() < deadline, "still not after {limit:?}: {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "a limit for external programs, which give no events")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "external programs give no events to wait for")]
fn pause() {
    thread::sleep(Duration::from_millis(20));
}

/// An address of the loopback for this test alone: nobody is there unless the test starts it, and it stays so, because
/// the port is none that the system hands out.
pub(crate) fn own_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(64);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    (Ipv4Addr::new(127, NEXT.fetch_add(1, Ordering::Relaxed), high, low), 7016).into()
}

/// A program that must be there.
///
/// # Panics
/// When it is not, with the Debian package that has it.
pub(crate) fn command(program: &str, package: &str) -> Command {
    let path = env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    let Some(file) = found else {
        panic!("{program} is missing: install the package {package}, or run scripts/test, which does");
    };
    Command::new(file)
}

/// ffmpeg, quiet and not reading the terminal.
pub(crate) fn ffmpeg() -> Command {
    let mut ffmpeg = command("ffmpeg", "ffmpeg");
    ffmpeg.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]);
    ffmpeg
}

/// ffmpeg that publishes a clip, in real time.
pub(crate) fn ffmpeg_publish(clip: &Path, url: &str) -> Command {
    ffmpeg_publish_with(clip, &[], url)
}

/// The same, with options of the output.
pub(crate) fn ffmpeg_publish_with(clip: &Path, options: &[&str], url: &str) -> Command {
    let mut ffmpeg = ffmpeg();
    ffmpeg.arg("-re").arg("-i").arg(clip);
    ffmpeg.args(["-c", "copy", "-flvflags", "no_sequence_end"]).args(options).args(["-f", "flv", url]);
    ffmpeg
}

/// A clip of so many seconds: H.264 with a key frame every two seconds, and AAC. One of 20 s has 600 video and 939
/// audio packets.
pub(crate) fn clip(seconds: u32) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let clip = folder.join(format!("clip-{seconds}.flv"));
    if !clip.exists() {
        fs::create_dir_all(folder).expect("a folder for clips");
        // Tests that run at the same time make one each; the last one wins, they are all equal.
        let scratch = Scratch::new();
        let made = scratch.path("clip.flv");
        let mut ffmpeg = ffmpeg();
        ffmpeg.args(["-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30"]);
        ffmpeg.args([
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000",
            "-t",
            &seconds.to_string(),
        ]);
        ffmpeg.args(["-c:v", "libx264", "-threads", "1", "-preset", "veryfast", "-profile:v", "main"]);
        ffmpeg.args(["-pix_fmt", "yuv420p", "-b:v", "1M", "-maxrate", "1M", "-bufsize", "1M", "-g", "60"]);
        ffmpeg.args(["-keyint_min", "60", "-sc_threshold", "0", "-bf", "0", "-c:a", "aac", "-b:a", "96k"]);
        ffmpeg.args(["-ar", "48000", "-flvflags", "no_sequence_end", "-f", "flv"]).arg(&made);
        assert!(ffmpeg.status().expect("ffmpeg runs").success(), "ffmpeg made no clip");
        let beside = folder.join(format!("clip-{seconds}.{}", scratch.name()));
        fs::copy(&made, &beside).and_then(|_| fs::rename(&beside, &clip)).expect("a clip is kept");
    }
    clip
}

/// The messages of an FLV file, as far as it is written.
pub(crate) fn read_flv(path: &Path) -> Vec<TcMessage> {
    let mut reader = Reader::default();
    reader.feed(&fs::read(path).unwrap_or_default());
    let mut messages = Vec::new();
    while let Some(message) = reader.next_tag().expect("an FLV file") {
        messages.push(message);
    }
    messages
}

/// Waits until a recording is equal to what was sent.
///
/// # Panics
/// When it still is not after a while.
pub(crate) fn wait_for_recording(sent: &Path, recording: &Path) -> Comparison {
    let sent = read_flv(sent);
    let mut last = Comparison::default();
    let deadline = now() + SOON;
    loop {
        last = if recording.exists() { compare(&sent, &read_flv(recording)) } else { last };
        if last.is_equal() {
            return last;
        }
        assert!(now() < deadline, "{} differs: {last:?}", recording.display());
        pause();
    }
}

/// A folder that goes away with the value, unless the test fails.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rtmfp-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a scratch folder");
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !thread::panicking() {
            fs::remove_dir_all(&self.0).ok();
        }
    }
}
