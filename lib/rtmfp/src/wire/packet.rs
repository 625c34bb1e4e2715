use super::{Reader, WireError};

/// Who marked a packet (RFC 7016 section 2.2.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// The initiator of the session.
    Initiator = 1,
    /// The responder of the session.
    Responder = 2,
    /// Either end, while the session starts.
    Startup = 3,
}

/// The header of a clear packet (RFC 7016 section 2.2.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PacketHeader {
    /// Who marked the packet.
    pub mode: Mode,
    /// Time Critical Forward Notification: the packet carries real-time user data.
    pub time_critical: bool,
    /// Time Critical Reverse Notification: the sender is receiving time-critical packets in other sessions.
    pub time_critical_reverse: bool,
    /// The sender's clock, 4 ms a tick.
    pub timestamp: Option<u16>,
    /// What the sender takes the receiver's clock to be, 4 ms a tick.
    pub timestamp_echo: Option<u16>,
}

impl PacketHeader {
    /// Reads the header of a clear packet; answers it and the chunks, padding included, that follow it.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when it does not fit, [`WireError::BadRange`] when the mode is 0.
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let mut bytes = Reader::new(packet);
        let flags = bytes.u8()?;
        let mode = match flags & MODE {
            1 => Mode::Initiator,
            2 => Mode::Responder,
            3 => Mode::Startup,
            _ => return Err(WireError::BadRange("packet mode 0")),
        };
        let timestamp = if flags & TIMESTAMP == 0 { None } else { Some(bytes.u16()?) };
        let timestamp_echo = if flags & TIMESTAMP_ECHO == 0 { None } else { Some(bytes.u16()?) };
        let header = Self {
            mode,
            time_critical: flags & TIME_CRITICAL != 0,
            time_critical_reverse: flags & TIME_CRITICAL_REVERSE != 0,
            timestamp,
            timestamp_echo,
        };
        Ok((header, bytes.rest()))
    }

    /// How many bytes [`PacketHeader::write`] appends: 1, 3 or 5.
    pub const fn encoded_len(&self) -> usize {
        match (self.timestamp, self.timestamp_echo) {
            (None, None) => 1,
            (Some(_), Some(_)) => 5,
            _ => 3,
        }
    }

    /// Appends the header.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut flags = self.mode as u8;
        for (bit, set) in [
            (TIME_CRITICAL, self.time_critical),
            (TIME_CRITICAL_REVERSE, self.time_critical_reverse),
            (TIMESTAMP, self.timestamp.is_some()),
            (TIMESTAMP_ECHO, self.timestamp_echo.is_some()),
        ] {
            if set {
                flags |= bit;
            }
        }
        out.push(flags);
        for timestamp in [self.timestamp, self.timestamp_echo].into_iter().flatten() {
            out.extend_from_slice(&timestamp.to_be_bytes());
        }
    }
}

/// The chunks of a packet as type and payload, up to the padding (RFC 7016 sections 2.2.4 and 2.3).
///
/// Padding begins where fewer than three bytes are left, or where a chunk is longer than what is left.
#[derive(Clone, Debug)]
pub struct Chunks<'a>(Reader<'a>);

impl<'a> Chunks<'a> {
    /// Starts at the first byte after the packet's header.
    pub const fn new(chunks: &'a [u8]) -> Self {
        Self(Reader::new(chunks))
    }

    fn read(&mut self) -> Result<(u8, &'a [u8]), WireError> {
        let kind = self.0.u8()?;
        let len = self.0.u16()?;
        Ok((kind, self.0.take(usize::from(len))?))
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.read().ok();
        if chunk.is_none() {
            self.0.rest();
        }
        chunk
    }
}

impl core::iter::FusedIterator for Chunks<'_> {}

/// Writes the scrambled session id in front of an encrypted packet (RFC 7016 section 2.2.2).
///
/// `datagram` is room for the id, 4 bytes, and the encrypted packet; the big-endian bytes of `session_id` are those
/// that the far end sent in its keying chunk. A datagram without that room is left alone.
pub fn scramble(session_id: u32, datagram: &mut [u8]) {
    if let Some((id, packet)) = datagram.split_first_chunk_mut() {
        *id = (session_id ^ mask(packet)).to_be_bytes();
    }
}

/// The session id that a datagram is addressed to (RFC 7016 section 2.2.2); `None` when it is shorter than an id.
pub fn unscramble(datagram: &[u8]) -> Option<u32> {
    let (id, packet) = datagram.split_first_chunk()?;
    Some(u32::from_be_bytes(*id) ^ mask(packet))
}

/// The exclusive-or of the first two words of an encrypted packet, which counts as padded with zeros.
fn mask(packet: &[u8]) -> u32 {
    let mut words = [0; 8];
    for (word, byte) in words.iter_mut().zip(packet) {
        *word = *byte;
    }
    let words = u64::from_be_bytes(words);
    (words >> 32) as u32 ^ words as u32
}

const TIME_CRITICAL: u8 = 0x80;
const TIME_CRITICAL_REVERSE: u8 = 0x40;
const TIMESTAMP: u8 = 0x08;
const TIMESTAMP_ECHO: u8 = 0x04;
const MODE: u8 = 0x03;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_refused() {
        assert_eq!(PacketHeader::parse(&[]), Err(WireError::Truncated));
        assert_eq!(PacketHeader::parse(&[0x0b, 0x00]), Err(WireError::Truncated));
        assert_eq!(PacketHeader::parse(&[0x0d, 0x00, 0x01, 0x02]), Err(WireError::Truncated));
        for flags in [0x00, 0x80, 0x30, 0xfc] {
            assert_eq!(PacketHeader::parse(&[flags, 1, 2, 3, 4]), Err(WireError::BadRange("packet mode 0")));
        }
    }

    #[test]
    fn reserved_header_bits_are_ignored() {
        let (header, rest) = PacketHeader::parse(&[0x71, 0xaa]).unwrap();
        assert_eq!(
            (header.mode, header.time_critical, header.time_critical_reverse),
            (Mode::Initiator, false, true)
        );
        assert_eq!(rest, [0xaa]);
    }

    #[test]
    fn an_echo_may_come_without_a_timestamp() {
        let (header, rest) = PacketHeader::parse(&[0x06, 0x01, 0x02]).unwrap();
        assert_eq!((header.timestamp, header.timestamp_echo, rest), (None, Some(0x0102), &[][..]));
    }

    #[test]
    fn padding_ends_the_chunks() {
        let chunks = |bytes| Chunks::new(bytes).collect::<Vec<(u8, &[u8])>>();
        assert_eq!(chunks(&[]), []);
        assert_eq!(chunks(&[0x0c, 0, 0, 0xff, 0xff]), [(0x0c, &[][..])]);
        assert_eq!(chunks(&[0x01, 0, 2, 8, 9, 0xff, 0xff, 0xff, 0xff, 0xff]), [(0x01, &[8, 9][..])]);
        assert_eq!(chunks(&[0x01, 0, 3, 8, 9]), []);
        assert_eq!(
            chunks(&[0x00, 0, 1, 0xff, 0x0c, 0, 0, 0xff, 0xff, 0xff]),
            [(0x00, &[0xff][..]), (0x0c, &[][..])],
            "a padding chunk that fits is a chunk"
        );
    }

    #[test]
    fn there_is_nothing_after_padding() {
        let mut chunks = Chunks::new(&[0x01, 0, 9, 0x0c, 0, 0, 0x0c, 0, 0]);
        assert_eq!((chunks.next(), chunks.next()), (None, None));
    }

    #[test]
    fn session_ids_of_known_datagrams() {
        // A packet for the session id 12 34 56 78, and an Initiator Hello.
        let mut data = [0x73, 0xde, 0x93, 0x09, 0x40, 0xec, 0xcf, 0x38, 0x21, 0x06, 0x0a, 0x49, 0x10, 0xdd];
        assert_eq!(unscramble(&data), Some(0x1234_5678));
        let hello = [0xe8, 0x28, 0x2a, 0x22, 0xfe, 0x15, 0x22, 0x82, 0x16, 0x3d, 0x08, 0xa0, 0x89];
        assert_eq!(unscramble(&hello), Some(0));

        data[..4].fill(0);
        scramble(0x1234_5678, &mut data);
        assert_eq!(data[..4], [0x73, 0xde, 0x93, 0x09]);
    }

    #[test]
    fn short_packets_are_scrambled_as_if_padded_with_zeros() {
        assert_eq!(unscramble(&[1, 2, 3]), None);
        assert_eq!(unscramble(&[1, 2, 3, 4]), Some(0x0102_0304));
        assert_eq!(unscramble(&[1, 2, 3, 4, 0x10, 0, 0, 0, 0x02]), Some(0x1302_0304));
        for len in 4..16 {
            let mut datagram: Vec<u8> = (0..len).map(|byte| byte * 17).collect();
            scramble(0x8900_00ab, &mut datagram);
            assert_eq!(unscramble(&datagram), Some(0x8900_00ab), "{len} bytes");
        }
        let mut tiny = [1, 2, 3];
        scramble(7, &mut tiny);
        assert_eq!(tiny, [1, 2, 3]);
    }
}
