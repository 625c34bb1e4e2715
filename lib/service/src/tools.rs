//! What the toolbox does: publishers and players of RTMP that measure, and the comparison of recordings.
//!
//! [`publish`], [`play`] and [`measure`] make services. A service hands its result out once, before it finishes.

mod client;
mod compare;
mod figures;
mod frames;
mod measure;
mod play;
mod publish;
mod task;

use core::time::Duration;

use rtmfp_base::Time;
use rtmfp_media::TcMessage;
use rtmfp_media::uri::StreamUri;

pub use compare::{Comparison, Difference, compare, is_compared};
pub use figures::Figures;
pub use frames::{AUDIO_RATE, Frames, VIDEO_RATE};
pub use measure::{MeasureOptions, Measured, Measurement, measure};
pub use play::{Ending, PlayOptions, Played, Received, Sink, play};
pub use publish::{Published, publish};

/// What a publisher sends, in order; an error ends it. Timestamps pace it.
pub type Source = Box<dyn Iterator<Item = Result<TcMessage, String>>>;

/// Takes a service's result.
pub type Report<T> = Box<dyn FnOnce(T)>;

/// A stream at a server.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where it is. RTMP is spoken, in its plainest form if the scheme is `rtmp-simple`; else the scheme is not looked at.
    pub uri: StreamUri,
    /// Give up when the server has not answered for so long.
    pub timeout: Duration,
    /// Makes connections differ; no secret rests on it.
    pub seed: u64,
}

/// The earlier of two times, where there are any.
fn earlier(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
