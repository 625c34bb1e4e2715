use bytes::Bytes;
use rtmfp::wire::{Reader, vlu};

/// What the metadata of a flow says that carries messages (RFC 7425 section 5.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FlowMetadata {
    /// The message stream of all messages in the flow, below 2²⁴.
    pub stream_id: u32,
    /// The sender suggests to take messages as they arrive, not as they were sent.
    pub network_order: bool,
}

const SIGNATURE: &[u8; 2] = b"TC";
/// A stream id follows. There is no other form.
const HAS_STREAM_ID: u8 = 0x04;
const NETWORK_ORDER: u8 = 0x01;
/// What RTMP's chunks can say (stream ids are carried over to RTMP).
const MAX_STREAM_ID: u64 = 0xff_ffff;

impl FlowMetadata {
    /// The metadata of a flow of a stream, to be received in order.
    pub const fn new(stream_id: u32) -> Self {
        Self { stream_id, network_order: false }
    }

    /// The bytes.
    pub fn encode(self) -> Bytes {
        let flags = HAS_STREAM_ID | if self.network_order { NETWORK_ORDER } else { 0 };
        let mut bytes = [SIGNATURE.as_slice(), &[flags]].concat();
        vlu::write(self.stream_id.into(), &mut bytes);
        bytes.into()
    }

    /// Reads the bytes; what follows the stream id is ignored. `None`: such a flow carries something else.
    pub fn parse(metadata: &[u8]) -> Option<Self> {
        let (&flags, stream_id) = metadata.strip_prefix(SIGNATURE)?.split_first()?;
        let stream_id = Reader::new(stream_id).vlu().ok().filter(|id| *id <= MAX_STREAM_ID)?;
        let network_order = flags & NETWORK_ORDER != 0;
        (flags & HAS_STREAM_ID != 0).then_some(Self { stream_id: stream_id as u32, network_order })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_written_as_others_do_and_read_back() {
        assert_eq!(FlowMetadata::new(0).encode(), b"TC\x04\x00"[..]);
        assert_eq!(FlowMetadata::new(300).encode(), b"TC\x04\x82\x2c"[..]);
        for stream_id in [0, 1, 127, 128, 0xff_ffff] {
            for network_order in [false, true] {
                let metadata = FlowMetadata { stream_id, network_order };
                assert_eq!(FlowMetadata::parse(&metadata.encode()), Some(metadata));
            }
        }
        assert_eq!(
            FlowMetadata::parse(b"TC\x05\x01more"),
            Some(FlowMetadata { stream_id: 1, network_order: true })
        );
    }

    #[test]
    fn other_flows_are_not_mistaken_for_ones_with_messages() {
        for other in [
            &b""[..],
            b"TC",
            b"TC\x04",
            b"TC\x00\x01",
            b"TD\x04\x01",
            b"TC\x04\x81",
            b"TC\x04\x88\x80\x80\x00",
        ] {
            assert_eq!(FlowMetadata::parse(other), None, "{other:?}");
        }
    }
}
