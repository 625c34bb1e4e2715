use core::time::Duration;

use rtmfp_base::Time;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The end that opened the byte stream: it speaks first.
    Client,
    /// The end that accepted it.
    Server,
}

/// How a [`Connection`](crate::Connection) behaves and what it grants its peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The chunk size to send with, in bytes, brought into 128 to 65,536. Default 4096. Smaller chunks let an
    /// audio frame pass a large video frame sooner.
    pub chunk_size: u32,
    /// The Window Acknowledgement Size to announce, in bytes (RTMP section 5.4.4). Default 250,000. A server
    /// announces ten times as much by Set Peer Bandwidth, because librtmp paces its acknowledgements by a tenth
    /// of that. Sending never waits for an acknowledgement.
    pub window_ack_size: u32,
    /// Acknowledge as if the peer had announced this window, in bytes, until it announces one. Default 2,500,000:
    /// there are encoders that stop when nobody acknowledges, though they announced nothing. Not less, because an
    /// encoder that closes with an acknowledgement unread loses what it has not sent yet.
    pub default_ack_window: u32,
    /// Answer ping requests (RTMP section 7.1.7) instead of handing them out. Default true.
    pub answer_pings: bool,
    /// Leave out header fields that repeat (chunk formats 1 to 3 for new messages). Default true.
    pub compress_headers: bool,
    /// Let a message pass an unfinished one of lower priority at a chunk's end. Default true.
    pub interleave: bool,
    /// Give up a message in its middle, by Abort (RTMP section 5.4.2), when it expires or is abandoned. Default
    /// true; false for players that cannot cope: then a message that has begun is always finished.
    pub abandon_started: bool,
    /// How long the handshake may take from the connection's creation. Default 10 s.
    pub handshake_timeout: Duration,
    /// How much may wait for the peer, in bytes, each message's record counted in. Default 32 MiB. Above it,
    /// messages with a deadline are dropped, nearest deadline first.
    pub max_queued_bytes: usize,
    /// How many chunk streams the peer may use. Default 64.
    pub max_chunk_streams: usize,
    /// What is granted to a peer until [`Connection::set_trusted`](crate::Connection::set_trusted). The defaults
    /// keep the connection's memory for receiving below 256 KiB: messages of 64 KiB, 240 KiB for unfinished ones.
    pub untrusted: ReceiveLimits,
    /// What is granted from then on. The defaults keep the memory below 8 MiB: messages of 6 MiB, 16 KiB less
    /// than 8 MiB for unfinished ones.
    pub trusted: ReceiveLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chunk_size: 4096,
            window_ack_size: 250_000,
            default_ack_window: 2_500_000,
            answer_pings: true,
            compress_headers: true,
            interleave: true,
            abandon_started: true,
            handshake_timeout: Duration::from_secs(10),
            max_queued_bytes: 32 << 20,
            max_chunk_streams: 64,
            untrusted: ReceiveLimits { message_bytes: 64 << 10, partial_bytes: (256 << 10) - REST },
            trusted: ReceiveLimits { message_bytes: 6 << 20, partial_bytes: (8 << 20) - REST },
        }
    }
}

impl Config {
    /// The plainest RTMP that there is, for peers with bugs: large chunks, all headers in full, a message's
    /// chunks in one run, and no message left unfinished. What the peer may send is not restricted.
    pub fn simple() -> Self {
        Self::default().simplified()
    }

    /// These settings, but for what [`Config::simple`] has plainer.
    #[must_use]
    pub const fn simplified(mut self) -> Self {
        self.chunk_size = MAX_CHUNK_SIZE;
        self.compress_headers = false;
        self.interleave = false;
        self.abandon_started = false;
        self
    }
}

/// What a peer's unfinished and finished messages may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReceiveLimits {
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// The buffers of all unfinished messages together, in bytes, unused capacity counted in. No buffer is
    /// larger than its message's announced length, nor more than twice as large as what has arrived of it (above
    /// a minimum of 512 bytes), so a peer never meets this limit while the lengths of the messages that it
    /// interleaves sum up to less.
    pub partial_bytes: usize,
}

/// How a message is to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendOptions {
    /// 0 (lowest) to 7, larger values count as 7. A chunk of a higher priority always goes first. Messages of
    /// one type on one stream never pass each other: one with a higher priority lends it to those before it.
    pub priority: u8,
    /// Drop the message when it was not begun by then. [`Time::MAX`]: no such deadline.
    pub start_by: Time,
    /// Drop the message when it was not finished by then. [`Time::MAX`]: no such deadline.
    pub finish_by: Time,
    /// The group of pictures, or the like, that the message belongs to: a run of messages of one type on one
    /// stream of which each needs those before it. When one is dropped, so are all later ones, also those that
    /// are not sent yet. The application chooses a new number for each group of the connection.
    pub group: Option<u64>,
    /// Tell by [`Event::Sent`](crate::Event::Sent) or [`Event::Dropped`](crate::Event::Dropped) how it ended.
    pub notify: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { priority: 0, start_by: Time::MAX, finish_by: Time::MAX, group: None, notify: false }
    }
}

/// The smallest chunk size to send with: what both ends begin with (RTMP section 5.4.1).
pub(crate) const MIN_CHUNK_SIZE: u32 = 128;
/// The largest chunk size to send with: some peers refuse larger ones.
pub(crate) const MAX_CHUNK_SIZE: u32 = 65_536;
/// What a connection may take besides the unfinished messages, when nothing is queued for sending.
const REST: usize = 16 << 10;
