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
    let lines: Vec<&str> = source.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let (owner, name) = match item.split_once("::") {
        Some((owner, name)) => (Some(owner), name),
        None => (None, item.as_str()),
    };
    let has_owner = owner.is_none_or(|owner| {
        lines.iter().any(|line| {
            let words: Vec<&str> = words(line).collect();
            (words.first() == Some(&"impl") && words.contains(&owner)) || defines(line, owner)
        })
    });
    let places: Vec<usize> = (0..lines.len()).filter(|&at| defines(lines[at], name)).collect();
    if !has_owner || places.is_empty() {
        return Some(format!("{path} has no {item}"));
    }
    if is_test && !places.iter().any(|&at| is_run(&lines[..at])) {
        return Some(format!("{item} in {path} is no test, or one that is not run"));
    }
    None
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
        for item in ["LIMIT", "Thing", "keep", "Thing::keep", "helper", "it_is_kept"] {
            assert_eq!(told(item, false), None);
        }
        for item in ["it_is_kept", "always"] {
            assert_eq!(told(item, true), None);
        }
    }

    #[test]
    fn what_is_not_there_dangles() {
        for item in ["gone", "kee", "Other::keep", "Thing::lose", "impl"] {
            assert_eq!(told(item, false), Some(format!("a.rs has no {item}")));
        }
        for item in ["helper", "not_run", "keep"] {
            assert_eq!(told(item, true), Some(format!("{item} in a.rs is no test, or one that is not run")));
        }
        let mark = Mark { path: "b.rs".into(), item: "x".into() };
        assert_eq!(dangles(None, &mark, false), Some("there is no b.rs".into()));
    }
}
