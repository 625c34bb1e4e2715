//! The subcommands of `rtmfp`.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use rtmfp_media::uri::StreamUri;

use crate::{Impair, Seconds, Verbosity};

/// Publish, play, measure and compare streams, and make networks bad
#[derive(Clone, Debug, Parser)]
#[command(name = "rtmfp", version, disable_version_flag = true, max_term_width = 100)]
pub struct Toolbox {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How much is logged.
    #[command(flatten)]
    pub verbosity: Verbosity,

    /// Print the version
    #[arg(long, action = ArgAction::Version, display_order = 901)]
    version: Option<bool>,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Publish a stream in real time: an FLV file, or frames made up
    ///
    /// Ends when all was sent and the server has had it. Exit code 0 means that every stream was published to its end.
    Publish(Publish),
    /// Play a stream, count what arrives and keep it if asked to
    ///
    /// Ends with the stream, or when --count or --duration is reached. Exit code 0 means that something was played and
    /// that it did not end by a failure.
    Play(Play),
    /// Publish a stream, play it back, and tell how long each frame took
    ///
    /// Publisher and player are in one process, so that there is one clock. The time of a frame is that from its being
    /// handed to the publisher's connection to its being there as a whole in the player. Run it once through what is to
    /// be measured and once directly, and subtract. Exit code 0 means that all frames came back.
    Measure(Measure),
    /// Compare two FLV files message by message
    ///
    /// Audio and video are compared each by itself: same payloads in the same order, and same timestamps less the first
    /// one of the file. What configures decoders is not compared, because servers repeat it as they like. Exit code 0
    /// means that all is equal.
    Compare(Compare),
    /// Stand between two programs and make their network bad
    ///
    /// Each client of a UDP route gets a port of its own towards the target, so that replies find their way; ECN marks
    /// are kept. TCP connections feel delay, rate, blockades and resets. "Up" is from the clients to the target.
    ///
    /// It runs until SIGINT or SIGTERM and then prints what happened. Whoever can reach the address that a route
    /// listens on can use its target: an address without IP listens on the loopback only.
    Impair(Box<Impair>),
}

/// The options of `publish`.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// Where to: rtmp://HOST[:PORT]/APP/STREAM
    #[arg(value_name = "URL")]
    pub url: StreamUrl,

    /// What to publish.
    #[command(flatten)]
    pub source: SourceOptions,

    /// Publish this many streams at once; their names get -0, -1 and so on appended
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub streams: u32,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,

    /// Print the result as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `play`.
#[derive(Clone, Debug, Args)]
pub struct Play {
    /// What to play: rtmp://HOST[:PORT]/APP/STREAM
    #[arg(value_name = "URL")]
    pub url: StreamUrl,

    /// Write what arrives to this FLV file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Stop after so many audio and video messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Stop so long after the first message
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<Seconds>,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,

    /// Print the result as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `measure`.
#[derive(Clone, Debug, Args)]
pub struct Measure {
    /// Where to publish: rtmp://HOST[:PORT]/APP/STREAM
    #[arg(value_name = "PUBLISH_URL")]
    pub publish: StreamUrl,

    /// Where to play: rtmp://HOST[:PORT]/APP/STREAM
    #[arg(value_name = "PLAY_URL")]
    pub play: StreamUrl,

    /// What to publish.
    #[command(flatten)]
    pub source: SourceOptions,

    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,

    /// Print the result as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// The options of `compare`.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// What was sent
    #[arg(value_name = "SENT")]
    pub sent: PathBuf,

    /// What arrived
    #[arg(value_name = "RECEIVED")]
    pub received: PathBuf,

    /// Print the result as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// What to publish.
#[derive(Clone, Debug, Args)]
pub struct SourceOptions {
    /// Publish this FLV file, paced by its timestamps
    #[arg(long, value_name = "FILE", conflicts_with_all = ["duration", "bitrate"])]
    pub clip: Option<PathBuf>,

    /// Without --clip: how long to publish frames that are made up
    ///
    /// 30 video frames of H.264 and 47 audio frames of AAC a second, by their headers; nothing can decode them.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    pub duration: Seconds,

    /// Without --clip: how much video, in kbit/s
    #[arg(long, value_name = "KBIT", default_value = "1000", value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub bitrate: u32,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Args)]
pub struct Waiting {
    /// Give up when the server has not answered for so long, or nothing arrives any more
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    pub timeout: Seconds,
}

/// The address of a stream that can be published or played.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamUrl(pub StreamUri);

impl FromStr for StreamUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri: StreamUri = url.parse().map_err(|error| format!("{error}: write {FORM}"))?;
        match &*uri.scheme {
            "rtmp" | "rtmp-simple" => {}
            "rtmfp" | "rtmps" => {
                let scheme = uri.scheme;
                return Err(format!(
                    "{scheme}:// is not supported here yet: use {FORM}, through a relay if need be"
                ));
            }
            scheme => return Err(format!("the protocol {scheme:?} is not known here: write {FORM}")),
        }
        if uri.host.is_empty() {
            return Err(format!("the host is missing: write {FORM}"));
        }
        if uri.port == Some(0) {
            return Err("port 0 is for listening only: write the port of the server".to_owned());
        }
        if uri.app.is_empty() || uri.stream.is_empty() {
            return Err(format!("the application or the stream is missing: write {FORM}"));
        }
        Ok(Self(uri))
    }
}

/// Without what may be secret.
impl fmt::Display for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.effective_port().unwrap_or_default();
        write!(f, "{}://{}:{port}", self.0.scheme, self.0.host)
    }
}

const FORM: &str = "rtmp://HOST[:PORT]/APP/STREAM";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Toolbox::command().debug_assert();
    }

    #[test]
    fn streams_have_host_application_and_name() {
        let url: StreamUrl = "rtmp://server.example/live/key?token=1".parse().unwrap();
        assert_eq!((&*url.0.app, &*url.0.stream), ("live", "key?token=1"));
        assert_eq!(url.to_string(), "rtmp://server.example:1935");
        for (given, said) in [
            ("server.example/live/key", "no scheme"),
            ("rtmp-simple://server.example/live", "the stream is missing"),
            ("rtmps://server.example/live/key", "not supported here yet"),
            ("http://server.example/live/key", "\"http\" is not known"),
            ("rtmp:/live/key", "the host is missing"),
            ("rtmp://server.example:0/live/key", "port 0"),
            ("rtmp://server.example/live", "the stream is missing"),
            ("rtmp://server.example", "the stream is missing"),
        ] {
            let error = given.parse::<StreamUrl>().expect_err(given);
            assert!(error.contains(said), "{given}: {error}");
        }
    }

    #[test]
    fn a_clip_has_its_own_duration() {
        let parse = |arguments: &str| {
            let words = ["rtmfp", "publish", "rtmp://a/b/c"].into_iter().chain(arguments.split_whitespace());
            Toolbox::try_parse_from(words)
        };
        assert!(parse("--clip a.flv --streams 3").is_ok());
        assert!(parse("--duration 3 --bitrate 500 --json").is_ok());
        assert!(parse("--clip a.flv --duration 3").is_err());
    }
}
