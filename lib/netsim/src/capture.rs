use core::fmt;
use core::net::{IpAddr, SocketAddr};
use std::io::Write;

use rtmfp_base::{Ecn, Time};

/// A datagram as it is at some place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// The same for copies and at other places.
    pub(crate) number: u32,
    pub(crate) hop_limit: u8,
    pub(crate) dscp: u8,
    pub(crate) ecn: Ecn,
    pub(crate) bytes: &'a [u8],
}

/// Packet captures of datagrams, in the format of libpcap with packets that begin with the IP header.
#[derive(Default)]
pub(crate) struct Captures {
    sinks: Vec<Box<dyn Write>>,
    record: Vec<u8>,
}

impl Captures {
    /// # Panics
    /// Here and in [`Captures::record`], when a sink does not take it.
    pub(crate) fn add(&mut self, mut sink: Box<dyn Write>) {
        write(&mut sink, &FILE_HEADER);
        self.sinks.push(sink);
    }

    pub(crate) fn record(&mut self, now: Time, seen: Seen<'_>) {
        if self.sinks.is_empty() {
            return;
        }
        let record = &mut self.record;
        record.clear();
        for word in [now.as_secs(), now.as_micros() % 1_000_000, 0, 0] {
            record.extend_from_slice(&(word as u32).to_le_bytes());
        }
        ip_packet(record, seen);
        let len = ((record.len() - RECORD_HEADER) as u32).to_le_bytes();
        record[8..12].copy_from_slice(&len);
        record[12..16].copy_from_slice(&len);
        for sink in &mut self.sinks {
            write(sink, record);
        }
    }
}

fn write(sink: &mut Box<dyn Write>, bytes: &[u8]) {
    if let Err(error) = sink.write_all(bytes) {
        panic!("the capture cannot be written: {error}");
    }
}

/// Appends the datagram with its headers.
fn ip_packet(out: &mut Vec<u8>, seen: Seen<'_>) {
    let Seen { from, to, number, hop_limit, dscp, ecn, bytes } = seen;
    let class = dscp << 2 | ecn as u8;
    let udp_len = (UDP_HEADER + bytes.len()) as u16;
    // What the UDP checksum covers besides the datagram: addresses, protocol, length.
    let mut pseudo = Sum::default();
    pseudo.words(&[PROTOCOL_UDP.into(), udp_len]);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let start = out.len();
            out.extend_from_slice(&[4 << 4 | 5, class]);
            out.extend_from_slice(&(20 + udp_len).to_be_bytes());
            out.extend_from_slice(&(number as u16).to_be_bytes());
            // Don't fragment.
            out.extend_from_slice(&[1 << 6, 0, hop_limit, PROTOCOL_UDP, 0, 0]);
            out.extend_from_slice(&from.octets());
            out.extend_from_slice(&to.octets());
            pseudo.bytes(&out[start + 12..]);
            let mut header = Sum::default();
            header.bytes(&out[start..]);
            out[start + 10..start + 12].copy_from_slice(&header.finish().to_be_bytes());
        }
        (from, to) => {
            let label = number & 0xf_ffff;
            out.extend_from_slice(&(6 << 28 | u32::from(class) << 20 | label).to_be_bytes());
            out.extend_from_slice(&udp_len.to_be_bytes());
            out.extend_from_slice(&[PROTOCOL_UDP, hop_limit]);
            let addresses = out.len();
            for ip in [from, to] {
                let six = match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                    IpAddr::V6(ip) => ip,
                };
                out.extend_from_slice(&six.octets());
            }
            pseudo.bytes(&out[addresses..]);
        }
    }
    let udp = out.len();
    for word in [from.port(), to.port(), udp_len, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    out.extend_from_slice(bytes);
    pseudo.bytes(&out[udp..]);
    let checksum = match pseudo.finish() {
        // Zero would mean that there is none.
        0 => u16::MAX,
        sum => sum,
    };
    out[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
}

/// The checksum of IP and UDP (RFC 1071).
#[derive(Debug, Default)]
struct Sum(u64);

impl Sum {
    fn words(&mut self, words: &[u16]) {
        self.0 += words.iter().map(|word| u64::from(*word)).sum::<u64>();
    }

    /// Bytes, padded to whole words.
    fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<2>();
        for word in words {
            self.0 += u64::from(u16::from_be_bytes(*word));
        }
        if let [last] = rest {
            self.0 += u64::from(u16::from_be_bytes([*last, 0]));
        }
    }

    fn finish(mut self) -> u16 {
        while self.0 > 0xffff {
            self.0 = (self.0 & 0xffff) + (self.0 >> 16);
        }
        !(self.0 as u16)
    }
}

const RECORD_HEADER: usize = 16;
const UDP_HEADER: usize = 8;
const PROTOCOL_UDP: u8 = 17;

/// Magic number of captures in microseconds, version 2.4, time zone and accuracy 0, longest packet
/// 262,144 bytes, link type 101 ("raw IP"); all in little-endian order.
const FILE_HEADER: [u8; 24] =
    [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];

impl fmt::Debug for Captures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Captures({})", self.sinks.len())
    }
}
