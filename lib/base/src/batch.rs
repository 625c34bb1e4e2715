use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

/// A place that datagrams leave from and arrive at: in our programs one UDP socket.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InterfaceId(pub u32);

/// The two bits of Explicit Congestion Notification in the IP header (RFC 3168).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotEct = 0,
    /// ECN-capable transport, codepoint 1.
    Ect1 = 1,
    /// ECN-capable transport, codepoint 0: what RTMFP marks user data with.
    Ect0 = 2,
    /// Congestion experienced.
    Ce = 3,
}

impl Ecn {
    /// From the low two bits of a byte.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }
}

/// Where a datagram came from and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RecvMeta {
    /// The interface it arrived at.
    pub interface: InterfaceId,
    /// The sender's address.
    pub from: SocketAddr,
    /// The local address it was sent to, where the host knows it.
    pub dst_ip: Option<IpAddr>,
    /// Its ECN mark.
    pub ecn: Ecn,
}

/// One send: one datagram, or several of equal length (the last may be shorter) to one address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transmit {
    /// The interface to send from.
    pub interface: InterfaceId,
    /// The receiver.
    pub to: SocketAddr,
    /// The local address to send from, where it matters.
    pub src_ip: Option<IpAddr>,
    /// The ECN mark to send with.
    pub ecn: Ecn,
    /// The differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// It must not be fragmented on its way: it probes how large a datagram the path takes. Where it cannot be sent so,
    /// it is not sent. Others may be fragmented where the system sees that they are longer than the path takes.
    pub dont_fragment: bool,
    /// Where the bytes are in the batch's buffer.
    pub bytes: Range<usize>,
    /// Length of each datagram but the last; `None`: it is one datagram.
    pub segment_size: Option<usize>,
}

/// Datagrams to send, in one reusable buffer.
#[derive(Debug)]
pub struct Batch {
    /// The bytes; [`Transmit::bytes`] are ranges of it.
    pub buffer: Vec<u8>,
    /// The sends, in order.
    pub transmits: Vec<Transmit>,
    max_bytes: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new(64 * 1024)
    }
}

impl Batch {
    /// A batch that counts as full from `max_bytes` on. The last datagram may reach over it.
    pub fn new(max_bytes: usize) -> Self {
        Self { buffer: Vec::new(), transmits: Vec::new(), max_bytes }
    }

    /// Whether enough is in it. Whoever fills a batch stops here and is asked again.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= self.max_bytes
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.transmits.is_empty()
    }

    /// Forgets all; keeps the memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.transmits.clear();
    }

    /// Appends one datagram, joining it to the send before where that is to the same address from the same
    /// interface with the same marks and segmentation allows (equal lengths, only the last shorter).
    ///
    /// `bytes` must be the end of the buffer and not empty: datagrams without bytes are neither sent nor
    /// delivered. A run holds at most 64 datagrams and 65,000 bytes, what one segmented UDP send takes.
    pub fn push(&mut self, transmit: Transmit) {
        debug_assert_eq!(transmit.bytes.end, self.buffer.len());
        let len = transmit.bytes.len();
        if let Some(last) = self.transmits.last_mut() {
            let segment = last.segment_size.unwrap_or_else(|| last.bytes.len());
            let joins = last.interface == transmit.interface
                && last.to == transmit.to
                && last.src_ip == transmit.src_ip
                && last.ecn == transmit.ecn
                && last.dscp == transmit.dscp
                && last.dont_fragment == transmit.dont_fragment
                && last.bytes.end == transmit.bytes.start
                && segment > 0
                && last.bytes.len() % segment == 0
                && len <= segment
                && last.bytes.len() / segment < 64
                && last.bytes.len() + len <= 65_000;
            if joins {
                last.segment_size = Some(segment);
                last.bytes.end = transmit.bytes.end;
                return;
            }
        }
        self.transmits.push(transmit);
    }

    /// Each datagram by itself: the send it belongs to and its bytes, at least one. A send without bytes holds
    /// no datagram.
    pub fn datagrams(&self) -> impl Iterator<Item = (&Transmit, &[u8])> {
        self.transmits.iter().flat_map(|transmit| {
            let bytes = &self.buffer[transmit.bytes.clone()];
            bytes.chunks(transmit.segment_size.unwrap_or(bytes.len()).max(1)).map(move |one| (transmit, one))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(batch: &mut Batch, port: u16, len: usize) {
        let start = batch.buffer.len();
        batch.buffer.resize(start + len, port as u8);
        batch.push(Transmit {
            interface: InterfaceId(0),
            to: SocketAddr::from(([127, 0, 0, 1], port)),
            src_ip: None,
            ecn: Ecn::NotEct,
            dscp: 0,
            dont_fragment: false,
            bytes: start..start + len,
            segment_size: None,
        });
    }

    #[test]
    fn runs_of_equal_length_to_one_peer_become_one_send() {
        let mut batch = Batch::default();
        for (port, len) in [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (2, 61), (1, 61)] {
            push(&mut batch, port, len);
        }
        let shape: Vec<_> =
            batch.transmits.iter().map(|t| (t.to.port(), t.bytes.len(), t.segment_size)).collect();
        assert_eq!(shape, [(1, 260, Some(100)), (1, 60, None), (2, 60, None), (2, 61, None), (1, 61, None)]);
        let lens: Vec<_> = batch.datagrams().map(|(t, bytes)| (t.to.port(), bytes.len())).collect();
        assert_eq!(lens, [(1, 100), (1, 100), (1, 60), (1, 60), (2, 60), (2, 61), (1, 61)]);
    }

    #[test]
    fn a_run_ends_at_64_datagrams() {
        let mut batch = Batch::new(usize::MAX);
        for _ in 0..70 {
            push(&mut batch, 1, 10);
        }
        assert_eq!(batch.transmits.iter().map(|t| t.bytes.len()).collect::<Vec<_>>(), [640, 60]);
    }
}
