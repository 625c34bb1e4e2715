use super::{OpenChunk, Reader, WireError, kind, write_field};

/// An Initiator Initial Keying chunk (RFC 7016 section 2.3.7), as received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IIKeying<'a> {
    /// The session id that the responder has to use towards the initiator; its big-endian bytes are those sent.
    pub session_id: u32,
    /// The cookie of the Responder Hello.
    pub cookie: &'a [u8],
    /// The initiator's certificate.
    pub certificate: &'a [u8],
    /// The session key initiator component.
    pub component: &'a [u8],
    /// The initiator's signature over [`signed`](Self::signed).
    pub signature: &'a [u8],
    /// The initiator signed parameters exactly as they were sent: all that is in front of the signature. When the
    /// chunk is written again these bytes are written, not the fields above.
    pub signed: &'a [u8],
}

impl<'a> IIKeying<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        let session_id = bytes.u32()?;
        let (cookie, certificate, component) = (bytes.field()?, bytes.field()?, bytes.field()?);
        let (signed, signature) = split_signature(payload, &bytes)?;
        Ok(Self { session_id, cookie, certificate, component, signature, signed })
    }

    /// Appends the initiator signed parameters, which a signature makes into a chunk with [`IIKeying::write_to`].
    pub fn write_parameters(
        session_id: u32,
        cookie: &[u8],
        certificate: &[u8],
        component: &[u8],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&session_id.to_be_bytes());
        write_field(cookie, out);
        write_field(certificate, out);
        write_field(component, out);
    }

    /// Appends a whole chunk, header included; nothing when it would be too long for a chunk.
    pub fn write_to(parameters: &[u8], signature: &[u8], out: &mut Vec<u8>) {
        write_signed(kind::IIKEYING, parameters, signature, out);
    }

    pub(super) const fn payload_len(&self) -> usize {
        self.signed.len().saturating_add(self.signature.len())
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.signed);
        out.extend_from_slice(self.signature);
    }
}

/// A Responder Initial Keying chunk (RFC 7016 section 2.3.8), as received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RIKeying<'a> {
    /// The session id that the initiator has to use towards the responder; its big-endian bytes are those sent.
    pub session_id: u32,
    /// The session key responder component.
    pub component: &'a [u8],
    /// The responder's signature over [`signed`](Self::signed) followed by the session key initiator component.
    pub signature: &'a [u8],
    /// The responder signed parameters portion exactly as it was sent: all that is in front of the signature. When
    /// the chunk is written again these bytes are written, not the fields above.
    pub signed: &'a [u8],
}

impl<'a> RIKeying<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, WireError> {
        let mut bytes = Reader::new(payload);
        let session_id = bytes.u32()?;
        let component = bytes.field()?;
        let (signed, signature) = split_signature(payload, &bytes)?;
        Ok(Self { session_id, component, signature, signed })
    }

    /// Appends the responder signed parameters portion, which a signature makes into a chunk with
    /// [`RIKeying::write_to`].
    pub fn write_parameters(session_id: u32, component: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&session_id.to_be_bytes());
        write_field(component, out);
    }

    /// Appends a whole chunk, header included; nothing when it would be too long for a chunk.
    pub fn write_to(parameters: &[u8], signature: &[u8], out: &mut Vec<u8>) {
        write_signed(kind::RIKEYING, parameters, signature, out);
    }

    pub(super) const fn payload_len(&self) -> usize {
        self.signed.len().saturating_add(self.signature.len())
    }

    pub(super) fn write_payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.signed);
        out.extend_from_slice(self.signature);
    }
}

/// Splits the payload of a keying chunk where the signature, all that is left to read, begins.
fn split_signature<'a>(payload: &'a [u8], left: &Reader<'_>) -> Result<(&'a [u8], &'a [u8]), WireError> {
    let signed = payload.len().saturating_sub(left.remaining());
    payload.split_at_checked(signed).ok_or(WireError::Truncated)
}

fn write_signed(kind: u8, parameters: &[u8], signature: &[u8], out: &mut Vec<u8>) {
    let chunk = OpenChunk::begin(kind, out);
    out.extend_from_slice(parameters);
    out.extend_from_slice(signature);
    chunk.finish(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_part_is_kept_as_it_was_sent() {
        // The length of the cookie is one byte longer than necessary.
        let payload = [0x12, 0x34, 0x56, 0x78, 0x80, 0x01, 0xcc, 0x01, 0xce, 0x01, 0xc0, 0x58];
        let keying = IIKeying::parse(&payload).unwrap();
        assert_eq!(keying.session_id, 0x1234_5678);
        assert_eq!(
            (keying.cookie, keying.certificate, keying.component),
            (&[0xcc][..], &[0xce][..], &[0xc0][..])
        );
        assert_eq!((keying.signed, keying.signature), (&payload[..11], &[0x58][..]));
        let mut out = Vec::new();
        keying.write_payload(&mut out);
        assert_eq!(out, payload);
    }

    #[test]
    fn a_signature_may_be_empty() {
        let mut parameters = Vec::new();
        RIKeying::write_parameters(0x0200_0000, &[9; 3], &mut parameters);
        let keying = RIKeying::parse(&parameters).unwrap();
        assert_eq!((keying.session_id, keying.component), (0x0200_0000, &[9; 3][..]));
        assert_eq!((keying.signed, keying.signature), (&parameters[..], &[][..]));
        assert_eq!(RIKeying::parse(&parameters[..7]), Err(WireError::Truncated));
    }
}
