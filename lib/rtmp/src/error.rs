use core::time::Duration;

/// Why a connection has ended: what the peer did. It cannot be used any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first bytes are those of another protocol.
    #[error("the peer does not speak RTMP: {0}")]
    NotRtmp(Foreign),
    /// The handshake's version byte is below 3 (RTMP section 5.2.2).
    #[error("RTMP version {version} is not supported, 3 is the lowest")]
    Version {
        /// What the peer asked for.
        version: u8,
    },
    /// The handshake was not complete in time ([`Config::handshake_timeout`](crate::Config::handshake_timeout)).
    #[error("no complete RTMP handshake after {after:?}, {received} of 3073 bytes came")]
    HandshakeTimeout {
        /// The time it had.
        after: Duration,
        /// How many bytes of it came.
        received: usize,
    },
    /// The first header of a chunk stream leaves fields out that nothing came before to take from.
    #[error("chunk stream {chunk_stream} begins with a header of format {format}")]
    FreshChunkStream {
        /// The chunk stream.
        chunk_stream: u32,
        /// 2 or 3.
        format: u8,
    },
    /// More chunk streams than [`Config::max_chunk_streams`](crate::Config::max_chunk_streams).
    #[error("chunk stream {chunk_stream} is one more than the {limit} that are allowed")]
    ChunkStreams {
        /// The one too many.
        chunk_stream: u32,
        /// The limit.
        limit: usize,
    },
    /// A message is longer than [`ReceiveLimits::message_bytes`](crate::ReceiveLimits::message_bytes).
    #[error("a message of type {kind} announces {length} bytes, {limit} are allowed")]
    MessageLength {
        /// The message's type.
        kind: u8,
        /// What its header announces.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The unfinished messages need more than [`ReceiveLimits::partial_bytes`](crate::ReceiveLimits::partial_bytes).
    #[error("the unfinished messages need more than the {limit} bytes that are allowed")]
    PartialMessages {
        /// The limit.
        limit: usize,
    },
    /// Set Chunk Size with a value of 0 or above 2³¹ - 1 (RTMP section 5.4.1).
    #[error("a chunk size of {size} is not allowed")]
    ChunkSize {
        /// The value.
        size: u32,
    },
    /// A message of the chunk layer on a message stream other than 0 (RTMP section 5.4).
    #[error("a control message of type {kind} came on stream {stream_id} instead of 0")]
    ControlStream {
        /// The message's type.
        kind: u8,
        /// The stream it came on.
        stream_id: u32,
    },
    /// A message of the chunk layer that is too short for its type.
    #[error("a control message of type {kind} has {length} bytes only")]
    ControlLength {
        /// The message's type.
        kind: u8,
        /// Its length.
        length: usize,
    },
}

/// What came instead of an RTMP handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Foreign {
    /// An HTTP request or response.
    #[error("HTTP came, which needs another port")]
    Http,
    /// A TLS record.
    #[error("TLS came: this is a plain RTMP port (rtmp://), not one for RTMPS (rtmps://)")]
    Tls,
    /// Other text.
    #[error("text came")]
    Text,
    /// Other bytes.
    #[error("bytes of an unknown protocol came")]
    Unknown,
}

/// Why a message was not taken for sending.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The type is one of the chunk layer, which the connection sends by itself.
    #[error("messages of type {kind} are the chunk layer's own")]
    ChunkLayer {
        /// The message's type.
        kind: u8,
    },
    /// The payload is longer than the 24-bit length field can say.
    #[error("a payload of {length} bytes is longer than an RTMP message can be")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// The queue is full of messages without a deadline, and so is this one. The peer does not read: the
    /// connection is best closed.
    #[error("{queued} bytes wait for the peer already, {limit} are allowed")]
    QueueFull {
        /// What the queue holds, in bytes, the cost of each message's record included.
        queued: usize,
        /// [`Config::max_queued_bytes`](crate::Config::max_queued_bytes).
        limit: usize,
    },
}
