use super::{Reader, WireError, vlu};

/// A Packet Fragment chunk (RFC 7016 section 2.3.1): a part of a clear packet that is larger than the path takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketFragment<'a> {
    /// Whether more fragments of the packet follow.
    pub more: bool,
    /// Which packet it belongs to.
    pub packet_id: u64,
    /// Which fragment of the packet it is, from 0.
    pub index: u64,
    /// The bytes of the packet; never empty.
    pub data: &'a [u8],
}

impl<'a> PacketFragment<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        let flags = bytes.u8()?;
        let fragment = Self {
            more: flags & MORE_FRAGMENTS != 0,
            packet_id: bytes.vlu()?,
            index: bytes.vlu()?,
            data: bytes.rest(),
        };
        if fragment.data.is_empty() {
            return Err(WireError::BadRange("empty packet fragment"));
        }
        Ok(fragment)
    }

    pub(super) fn payload_len(&self) -> usize {
        [1, vlu::len(self.packet_id), vlu::len(self.index), self.data.len()].into_iter().sum()
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        out.push(if self.more { MORE_FRAGMENTS } else { 0 });
        vlu::write(self.packet_id, out);
        vlu::write(self.index, out);
        out.extend_from_slice(self.data);
    }
}

const MORE_FRAGMENTS: u8 = 0x80;
