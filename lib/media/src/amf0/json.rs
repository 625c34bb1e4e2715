use core::fmt::{self, Write as _};

use super::{Text, Value};

/// The value as JSON on one line, for people and logs.
///
/// What JSON cannot say: NaN and infinities, undefined and unsupported become null, the class of a typed object is
/// dropped, a date is its milliseconds, a reference becomes `{"reference":3}`, AMF3 `{"amf3Bytes":17}`, bytes that
/// are not UTF-8 become U+FFFD. Members keep their order and duplicates.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) | Self::Date { millis: number, .. } if number.is_finite() => {
                write!(f, "{number}")
            }
            Self::Number(_) | Self::Date { .. } | Self::Null | Self::Undefined | Self::Unsupported => {
                f.write_str("null")
            }
            Self::Boolean(value) => write!(f, "{value}"),
            Self::String(text) | Self::Xml(text) => quoted(f, text),
            Self::Reference(index) => write!(f, r#"{{"reference":{index}}}"#),
            Self::Amf3(rest) => write!(f, r#"{{"amf3Bytes":{}}}"#, rest.len()),
            Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject(_, object) => {
                f.write_char('{')?;
                for (n, (key, value)) in object.members().enumerate() {
                    if n > 0 {
                        f.write_char(',')?;
                    }
                    quoted(f, key)?;
                    write!(f, ":{value}")?;
                }
                f.write_char('}')
            }
            Self::StrictArray(array) => {
                f.write_char('[')?;
                for (n, value) in array.items().enumerate() {
                    if n > 0 {
                        f.write_char(',')?;
                    }
                    write!(f, "{value}")?;
                }
                f.write_char(']')
            }
        }
    }
}

fn quoted(f: &mut fmt::Formatter<'_>, text: Text<'_>) -> fmt::Result {
    f.write_char('"')?;
    write!(Escape(f), "{text}")?;
    f.write_char('"')
}

/// Escapes what JSON strings must not hold, and DEL, which terminals obey.
struct Escape<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| match c {
            '"' | '\\' => write!(self.0, "\\{c}"),
            '\n' => self.0.write_str("\\n"),
            c if c.is_control() => write!(self.0, "\\u{:04x}", u32::from(c)),
            c => self.0.write_char(c),
        })
    }
}
