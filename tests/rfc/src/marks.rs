//! Looks for what the marks name.

use std::collections::HashMap;
use std::path::Path;

use crate::table::{Mark, Table};

/// Tells of each mark whose file, item or test is not there.
pub(crate) fn check(root: &Path, table: &Table, faults: &mut Vec<String>) {
    let mut files: HashMap<String, Option<String>> = HashMap::new();
    for entry in table.entries() {
        let code = entry.code.iter().map(|mark| (mark, false));
        for (mark, is_test) in code.chain(entry.test.iter().map(|mark| (mark, true))) {
            let read = || std::fs::read_to_string(root.join(&mark.path)).ok();
            let source = files.entry(mark.path.clone()).or_insert_with(read);
            if let Some(what) = dangles(source.as_deref(), mark, is_test) {
                faults.push(format!("{}:{}: {}: {what}", table.name, entry.line, entry.id));
            }
        }
    }
}

fn dangles(source: Option<&str>, mark: &Mark, is_test: bool) -> Option<String> {
    let Mark { path, item } = mark;
    let Some(source) = source else { return Some(format!("there is no {path}")) };
    let lines: Vec<&str> = code(source).map(str::trim).collect();
    let (owner, name) = match item.split_once("::") {
        Some((owner, name)) => (Some(owner), name),
        None => (None, item.as_str()),
    };
    let belongs = |at: usize| owner.is_none_or(|owner| blocks(source).any(|block| block.owns(owner, at)));
    let places: Vec<usize> = (0..lines.len()).filter(|&at| defines(lines[at], name) && belongs(at)).collect();
    if places.is_empty() {
        return Some(format!("{path} has no {item}"));
    }
    if is_test && !places.iter().any(|&at| is_run(&lines[..at])) {
        return Some(format!("{item} in {path} is no test, or one that is not run"));
    }
    None
}

/// The lines that are more than a comment.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Something in braces that others can belong to: where it begins and ends, counted in lines of [`code`].
struct Block<'a> {
    head: &'a str,
    from: usize,
    to: usize,
}

impl Block<'_> {
    /// Whether this is an `impl` for a type, or its definition, and has that line in it.
    fn owns(&self, owner: &str, at: usize) -> bool {
        let names: Vec<&str> = words(self.head).collect();
        // `impl Trait for Type` belongs to the type, and `impl<T: Bound> Type<T>` to no bound.
        let of = names.iter().position(|word| *word == "for").map_or(&names[..], |at| &names[at + 1..]);
        let is_impl = names.first() == Some(&"impl") && of.contains(&owner);
        (self.from..=self.to).contains(&at) && (is_impl || defines(self.head, owner))
    }
}

/// The blocks of a file as rustfmt leaves it: the first line after the head's indentation that closes a brace ends it.
fn blocks(source: &str) -> impl Iterator<Item = Block<'_>> {
    const HEADS: [&str; 5] = ["impl", "struct", "enum", "trait", "mod"];
    let lines: Vec<&str> = code(source).collect();
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let heads = (0..lines.len()).filter(|&at| words(lines[at]).any(|word| HEADS.contains(&word)));
    let found: Vec<Block<'_>> = heads
        .map(|from| {
            let depth = indentation(lines[from]);
            let is_end = |line: &str| line.trim_start().starts_with('}') && indentation(line) == depth;
            let to = (from..lines.len()).find(|&at| is_end(lines[at])).unwrap_or(from);
            Block { head: lines[from].trim(), from, to }
        })
        .collect();
    found.into_iter()
}

/// The identifiers of a line, keywords included.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|char: char| !char.is_alphanumeric() && char != '_').filter(|word| !word.is_empty())
}

/// Whether a line begins the definition of something with this name.
fn defines(line: &str, name: &str) -> bool {
    const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "const", "static", "type", "mod"];
    let words: Vec<&str> = words(line).collect();
    words.windows(2).any(|pair| KINDS.contains(&pair[0]) && pair[1] == name)
}

/// Whether the attributes that end these lines make what follows a test.
fn is_run(before: &[&str]) -> bool {
    let attributes = || before.iter().rev().take_while(|line| line.is_empty() || line.starts_with("#["));
    attributes().any(|line| *line == "#[test]") && !attributes().any(|line| line.starts_with("#[ignore"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
pub(crate) const LIMIT: usize = 3;
struct Thing;
impl Thing {
    pub(crate) fn keep(&self) {}
}
struct Other {
    field: u8,
}
impl Keeper for Other {
    fn hold(&self) {}
}
// fn gone() {}
fn helper() {}
#[test]
#[cfg(unix)]
fn it_is_kept() {}
proptest! {
    #[test]
    fn always(x in 0..3) {}
}
#[test]
#[ignore = \"slow\"]
fn not_run() {}
";

    fn told(item: &str, is_test: bool) -> Option<String> {
        dangles(Some(SOURCE), &Mark { path: "a.rs".into(), item: item.into() }, is_test)
    }

    #[test]
    fn what_is_there_is_found() {
        for item in ["LIMIT", "Thing", "keep", "Thing::keep", "Other::hold", "helper", "it_is_kept"] {
            assert_eq!(told(item, false), None);
        }
        for item in ["it_is_kept", "always"] {
            assert_eq!(told(item, true), None);
        }
    }

    #[test]
    fn what_is_not_there_dangles() {
        for item in ["gone", "kee", "Other::keep", "Keeper::hold", "Thing::hold", "Thing::lose", "impl"] {
            assert_eq!(told(item, false), Some(format!("a.rs has no {item}")));
        }
        for item in ["helper", "not_run", "keep"] {
            assert_eq!(told(item, true), Some(format!("{item} in a.rs is no test, or one that is not run")));
        }
        let mark = Mark { path: "b.rs".into(), item: "x".into() };
        assert_eq!(dangles(None, &mark, false), Some("there is no b.rs".into()));
    }
}
