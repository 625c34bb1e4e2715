//! What others say, as people read it.

use core::fmt::{self, Write as _};

/// Text that a far end has chosen, for a log or a message: cut after 200 characters, so that nobody can fill a disk with
/// it, and with escapes instead of what would move a terminal's cursor. `{:?}` puts it into quotation marks.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Shown<'a>(pub &'a str);

/// Characters that are shown.
const MOST: usize = 200;

impl Shown<'_> {
    /// What is shown of the text, and what is said of the rest.
    fn parts(&self) -> (&str, Option<usize>) {
        match self.0.char_indices().nth(MOST) {
            Some((at, _)) => (&self.0[..at], Some(self.0.len())),
            None => (self.0, None),
        }
    }
}

/// The end of text that was cut.
fn rest(len: Option<usize>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    len.map_or(Ok(()), |len| write!(f, "... ({len} bytes)"))
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (beginning, len) = self.parts();
        for char in beginning.chars() {
            match char {
                _ if char.is_control() => write!(f, "{}", char.escape_debug())?,
                _ => f.write_char(char)?,
            }
        }
        rest(len, f)
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (beginning, len) = self.parts();
        write!(f, "{beginning:?}")?;
        rest(len, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_shown_whole() {
        let text = "é".repeat(MOST);
        assert_eq!(format!("{:?}", Shown(&text)), format!("{text:?}"));
        assert_eq!(format!("{}", Shown(&text)), text);
        assert_eq!(format!("{:?} {}", Shown(""), Shown("")), r#""" "#);
    }

    #[test]
    fn long_text_is_cut_and_its_length_told() {
        let text = "é".repeat(30_000);
        let beginning = "é".repeat(MOST);
        assert_eq!(format!("{:?}", Shown(&text)), format!("{beginning:?}... (60000 bytes)"));
        assert_eq!(format!("{}", Shown(&text)), format!("{beginning}... (60000 bytes)"));
    }

    #[test]
    fn nothing_in_it_moves_a_cursor() {
        assert_eq!(format!("{}", Shown("a\r\n\x1b[2Jb")), r"a\r\n\u{1b}[2Jb");
        assert_eq!(format!("{:?}", Shown("a\n\"b\"")), r#""a\n\"b\"""#);
    }
}
