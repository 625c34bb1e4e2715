use super::{Error, Limits, ObjectWriter, Reader, Value, marker};

/// Why a member cannot be set.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The bytes do not begin with a readable value.
    #[error(transparent)]
    Amf(#[from] Error),
    /// The first value is no object, typed object or ECMA array, or there is none.
    #[error("not an object")]
    NotAnObject,
    /// The end of the object, or of the member, is not known, because of AMF3 within.
    #[error("the object holds AMF3")]
    Opaque,
    /// The key is longer than 65,535 bytes.
    #[error("the key is too long")]
    Key,
}

/// Sets a member of the object (or typed object, or ECMA array) with which `encoded` begins, and answers the new
/// bytes. Every other byte, those after the object included, stays as it is.
///
/// All members of that name are replaced, so that no reader finds an old value; if there is none, one is appended.
/// The count of an ECMA array grows with it if it was right.
///
/// # Errors
/// See [`EditError`].
pub fn set_member<'v>(
    encoded: &[u8],
    key: &str,
    value: impl Into<Value<'v>>,
    limits: &Limits,
) -> Result<Vec<u8>, EditError> {
    if key.len() > 0xffff {
        return Err(EditError::Key);
    }
    let value = value.into();
    let mut reader = Reader::new(encoded, limits);
    let first = reader.next().transpose()?.ok_or(EditError::NotAnObject)?;
    let object = first.as_object().ok_or(EditError::NotAnObject)?;
    let (all, after) = encoded.split_at(reader.position());
    let raw = object.raw();

    let mut out = Vec::with_capacity(encoded.len().saturating_add(64));
    out.extend_from_slice(all.strip_suffix(raw).ok_or(EditError::NotAnObject)?);
    let mut members = object.members();
    let (mut begin, mut count, mut found) = (0, 0_u32, false);
    while let Some((name, _)) = members.next() {
        let end = members.position();
        if name == key {
            if end == raw.len() {
                return Err(EditError::Opaque);
            }
            ObjectWriter::new(&mut out).put(name, value);
            found = true;
        } else {
            out.extend_from_slice(raw.get(begin..end).unwrap_or_default());
        }
        begin = end;
        count = count.saturating_add(1);
    }
    if !found {
        // Nothing, not even an end marker, follows the last member: it is, or ends in, AMF3.
        if begin == raw.len() {
            return Err(EditError::Opaque);
        }
        ObjectWriter::new(&mut out).put(key, value);
        if let [marker::ECMA_ARRAY, announced @ ..] = &mut out[..]
            && let Some(announced) = announced.first_chunk_mut()
            && *announced == count.to_be_bytes()
        {
            *announced = count.saturating_add(1).to_be_bytes();
        }
    }
    out.extend_from_slice(raw.get(begin..).unwrap_or_default());
    out.extend_from_slice(after);
    Ok(out)
}
