use core::net::{IpAddr, SocketAddr};

use super::{Reader, WireError};

/// How an address came to be known (RFC 7016 section 2.1.5).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Origin {
    /// Unknown, unspecified or other.
    #[default]
    Unknown = 0,
    /// The endpoint itself reported it as the address of one of its interfaces.
    Reported = 1,
    /// A packet was received from it.
    Observed = 2,
    /// It belongs to a relay, proxy or introducer.
    Relayed = 3,
}

/// An Internet socket address with its origin (RFC 7016 section 2.1.5).
///
/// Two addresses name the same place when their `addr` are equal, whatever their origins. The scope and the flow
/// label of IPv6 are not part of the encoding: they are not written, and 0 when read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// How it came to be known.
    pub origin: Origin,
    /// Where it is.
    pub addr: SocketAddr,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`WireError::BadAddress`] when it does not fit.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut ahead = bytes.clone();
        let address = Self::read_fields(&mut ahead).map_err(|_| WireError::BadAddress)?;
        *bytes = ahead;
        Ok(address)
    }

    fn read_fields(bytes: &mut Reader<'_>) -> Result<Self, WireError> {
        let flags = bytes.u8()?;
        let origin = match flags & ORIGIN {
            1 => Origin::Reported,
            2 => Origin::Observed,
            3 => Origin::Relayed,
            _ => Origin::Unknown,
        };
        let ip = if flags & INET6 == 0 {
            IpAddr::from(bytes.array::<4>()?)
        } else {
            IpAddr::from(bytes.array::<16>()?)
        };
        Ok(Self { origin, addr: SocketAddr::new(ip, bytes.u16()?) })
    }

    /// How many bytes [`Address::write`] appends: 7 or 19.
    pub const fn encoded_len(&self) -> usize {
        match self.addr {
            SocketAddr::V4(_) => 7,
            SocketAddr::V6(_) => 19,
        }
    }

    /// Appends the address.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self.addr.ip() {
            IpAddr::V4(ip) => {
                out.push(self.origin as u8);
                out.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(INET6 | self.origin as u8);
                out.extend_from_slice(&ip.octets());
            }
        }
        out.extend_from_slice(&self.addr.port().to_be_bytes());
    }
}

/// The addresses of a [`Redirect`](super::Redirect), in order.
#[derive(Clone, Debug)]
pub struct Addresses<'a>(Reader<'a>);

impl<'a> Addresses<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(Reader::new(bytes))
    }
}

impl Iterator for Addresses<'_> {
    type Item = Address;

    fn next(&mut self) -> Option<Address> {
        Address::read(&mut self.0).ok()
    }
}

const INET6: u8 = 0x80;
const ORIGIN: u8 = 0x03;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(origin: Origin, addr: &str) -> Address {
        Address { origin, addr: addr.parse().unwrap() }
    }

    fn written(address: Address) -> Vec<u8> {
        let mut out = Vec::new();
        address.write(&mut out);
        assert_eq!(out.len(), address.encoded_len());
        out
    }

    #[test]
    fn known_addresses_read_back() {
        let v4 = address(Origin::Observed, "192.0.2.129:50001");
        assert_eq!(written(v4), [0x02, 0xc0, 0x00, 0x02, 0x81, 0xc3, 0x51]);
        let v6 = address(Origin::Reported, "[2001:db8:1::2]:50002");
        assert_eq!(
            written(v6),
            [0x81, 0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xc3, 0x52]
        );
        for address in
            [v4, v6, Address { origin: Origin::Relayed, ..v4 }, Address { origin: Origin::Unknown, ..v6 }]
        {
            let bytes = written(address);
            assert_eq!(Address::read(&mut Reader::new(&bytes)), Ok(address));
            for len in 0..bytes.len() {
                let mut reader = Reader::new(&bytes[..len]);
                assert_eq!(Address::read(&mut reader), Err(WireError::BadAddress));
                assert_eq!(reader.remaining(), len);
            }
        }
    }

    #[test]
    fn reserved_bits_are_ignored() {
        let mut reader = Reader::new(&[0x7e, 192, 0, 2, 1, 0x07, 0x8f]);
        assert_eq!(Address::read(&mut reader), Ok(address(Origin::Observed, "192.0.2.1:1935")));
    }
}
