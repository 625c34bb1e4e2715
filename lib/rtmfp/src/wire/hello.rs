use super::address::Addresses;
use super::{Address, OpenChunk, Reader, WireError, field_len, kind, write_field};

/// An Initiator Hello chunk (RFC 7016 section 2.3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IHello<'a> {
    /// The Endpoint Discriminator of the identity that the initiator wants to talk with.
    pub epd: &'a [u8],
    /// What the answer has to echo.
    pub tag: &'a [u8],
}

impl<'a> IHello<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        Ok(Self { epd: bytes.field()?, tag: bytes.rest() })
    }

    pub(super) fn payload_len(&self) -> usize {
        field_len(self.epd.len()).saturating_add(self.tag.len())
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        write_field(self.epd, out);
        out.extend_from_slice(self.tag);
    }
}

/// A Forwarded Initiator Hello chunk (RFC 7016 section 2.3.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FIHello<'a> {
    /// The Endpoint Discriminator, copied from the Initiator Hello.
    pub epd: &'a [u8],
    /// Where to answer: the address from which the forwarder got the Initiator Hello.
    pub reply: Address,
    /// The tag, copied from the Initiator Hello.
    pub tag: &'a [u8],
}

impl<'a> FIHello<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        Ok(Self { epd: bytes.field()?, reply: Address::read(&mut bytes)?, tag: bytes.rest() })
    }

    pub(super) fn payload_len(&self) -> usize {
        [field_len(self.epd.len()), self.reply.encoded_len(), self.tag.len()].into_iter().sum()
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        write_field(self.epd, out);
        self.reply.write(out);
        out.extend_from_slice(self.tag);
    }
}

/// A Responder Hello chunk (RFC 7016 section 2.3.4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RHello<'a> {
    /// The tag of the Initiator Hello.
    pub tag_echo: &'a [u8],
    /// What the initiator has to echo in its keying chunk.
    pub cookie: &'a [u8],
    /// The responder's certificate.
    pub certificate: &'a [u8],
}

impl<'a> RHello<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        Ok(Self { tag_echo: bytes.field()?, cookie: bytes.field()?, certificate: bytes.rest() })
    }

    pub(super) fn payload_len(&self) -> usize {
        [field_len(self.tag_echo.len()), field_len(self.cookie.len()), self.certificate.len()]
            .into_iter()
            .sum()
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        write_field(self.tag_echo, out);
        write_field(self.cookie, out);
        out.extend_from_slice(self.certificate);
    }
}

/// A Responder Redirect chunk (RFC 7016 section 2.3.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Redirect<'a> {
    /// The tag of the Initiator Hello.
    pub tag_echo: &'a [u8],
    /// The addresses as they are encoded; all of them parse.
    encoded: &'a [u8],
}

impl<'a> Redirect<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        let tag_echo = bytes.field()?;
        let encoded = bytes.clone().rest();
        while !bytes.is_empty() {
            Address::read(&mut bytes)?;
        }
        Ok(Self { tag_echo, encoded })
    }

    /// The addresses to try. None at all is an Implied Redirect: the address that the packet came from is meant.
    pub const fn addresses(&self) -> Addresses<'a> {
        Addresses::new(self.encoded)
    }

    /// Appends a whole Redirect chunk, header included; nothing when it would be too long for a chunk.
    pub fn write_to(tag_echo: &[u8], addresses: &[Address], out: &mut Vec<u8>) {
        let chunk = OpenChunk::begin(kind::REDIRECT, out);
        write_field(tag_echo, out);
        for address in addresses {
            address.write(out);
        }
        chunk.finish(out);
    }

    pub(super) fn payload_len(&self) -> usize {
        field_len(self.tag_echo.len()).saturating_add(self.encoded.len())
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        write_field(self.tag_echo, out);
        out.extend_from_slice(self.encoded);
    }
}

/// An RHello Cookie Change chunk (RFC 7016 section 2.3.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CookieChange<'a> {
    /// The cookie that the initiator used.
    pub old: &'a [u8],
    /// The cookie that it has to use instead.
    pub new: &'a [u8],
}

impl<'a> CookieChange<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        Ok(Self { old: bytes.field()?, new: bytes.rest() })
    }

    pub(super) fn payload_len(&self) -> usize {
        field_len(self.old.len()).saturating_add(self.new.len())
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        write_field(self.old, out);
        out.extend_from_slice(self.new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_address_spoils_a_redirect() {
        let good = [0x01, 0xaa, 0x02, 192, 0, 2, 1, 0x07, 0x8f];
        assert_eq!(Redirect::parse(&good).unwrap().addresses().count(), 1);
        let bad = [&good[..], &[0x82, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
        assert_eq!(Redirect::parse(&bad), Err(WireError::BadAddress));
    }

    #[test]
    fn an_implied_redirect_has_no_address() {
        let mut out = Vec::new();
        Redirect::write_to(b"tag", &[], &mut out);
        assert_eq!(out, b"\x71\x00\x04\x03tag");
        let redirect = Redirect::parse(&out[3..]).unwrap();
        assert_eq!((redirect.tag_echo, redirect.addresses().next()), (&b"tag"[..], None));
    }

    #[test]
    fn a_forwarded_hello_needs_its_address() {
        assert_eq!(FIHello::parse(&[0x01, 0xee, 0x00, 127, 0, 0]), Err(WireError::BadAddress));
        assert_eq!(FIHello::parse(&[0x02, 0xee]), Err(WireError::Truncated));
    }
}
