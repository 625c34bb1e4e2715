//! Reads a table and checks it in itself.

use std::collections::{BTreeMap, BTreeSet};

/// How much an RFC insists.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    /// MUST, MUST NOT, SHALL, REQUIRED and REQUIRES.
    Must,
    /// SHOULD, SHOULD NOT and RECOMMENDED.
    Should,
    /// MAY and OPTIONAL.
    May,
}

impl Level {
    fn of(keyword: &str) -> Option<Self> {
        Some(match keyword {
            "MUST" | "MUST NOT" | "SHALL" | "SHALL NOT" | "REQUIRED" | "REQUIRES" => Self::Must,
            "SHOULD" | "SHOULD NOT" | "RECOMMENDED" | "NOT RECOMMENDED" => Self::Should,
            "MAY" | "OPTIONAL" => Self::May,
            _ => return None,
        })
    }
}

/// A file, and something in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) path: String,
    /// `name`, or `Type::name`.
    pub(crate) item: String,
}

/// What an RFC asks for in one place.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) id: String,
    pub(crate) keywords: Vec<String>,
    pub(crate) level: Level,
    pub(crate) rule: String,
    pub(crate) code: Vec<Mark>,
    pub(crate) test: Vec<Mark>,
    pub(crate) but: Option<String>,
    pub(crate) not: Option<String>,
}

impl Entry {
    pub(crate) fn is_kept(&self) -> bool {
        !self.code.is_empty() && !self.test.is_empty()
    }

    pub(crate) fn is_missing(&self) -> bool {
        !self.is_kept() && self.not.is_none()
    }
}

/// A section of an RFC.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    line: usize,
    pub(crate) number: String,
    pub(crate) title: String,
    /// How often the RFC's section has each keyword.
    keywords: BTreeMap<String, usize>,
    pub(crate) entries: Vec<Entry>,
}

/// The table of one RFC.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// Its number, as in the ids.
    pub(crate) rfc: String,
    pub(crate) sections: Vec<Section>,
}

impl Table {
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sections.iter().flat_map(|section| &section.entries)
    }
}

/// Where a continued line goes.
#[derive(Clone, Copy, Debug)]
enum Part {
    Rule,
    But,
    Not,
    Other,
}

/// Reads a table; what makes no sense is told in `faults` and left out.
pub(crate) fn parse(name: &str, text: &str, faults: &mut Vec<String>) -> Table {
    let rfc = name.trim_start_matches("rfc").trim_end_matches(".txt").to_owned();
    let mut table = Table { name: name.to_owned(), rfc, sections: Vec::new() };
    let mut part = Part::Other;
    for (line, text) in (1..).zip(text.lines()) {
        let mut fault = |what: &str| faults.push(format!("{name}:{line}: {what}"));
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        if let Some(heading) = text.strip_prefix("== ") {
            match parse_heading(line, heading) {
                Some(section) => table.sections.push(section),
                None => fault("not `== NUMBER TITLE (COUNT KEYWORD, ...)`"),
            }
            continue;
        }
        let Some(section) = table.sections.last_mut() else {
            fault("before the first section");
            continue;
        };
        if !text.starts_with(' ') {
            match parse_entry(line, text) {
                Some(entry) => section.entries.push(entry),
                None => fault("not `ID KEYWORD, ...`"),
            }
            part = Part::Rule;
            continue;
        }
        let Some(entry) = section.entries.last_mut() else {
            fault("before the first entry");
            continue;
        };
        match text.trim().split_once(": ").filter(|_| !text.starts_with("   ")) {
            Some(("code", mark)) => entry.code.extend(parse_mark(mark, &mut fault)),
            Some(("test", mark)) => entry.test.extend(parse_mark(mark, &mut fault)),
            Some(("but", reason)) => (entry.but, part) = (Some(reason.to_owned()), Part::But),
            Some(("not", reason)) => (entry.not, part) = (Some(reason.to_owned()), Part::Not),
            _ => {
                let to = match part {
                    Part::Rule => Some(&mut entry.rule),
                    Part::But => entry.but.as_mut(),
                    Part::Not => entry.not.as_mut(),
                    Part::Other => None,
                };
                if let Some(to) = to {
                    if !to.is_empty() {
                        to.push(' ');
                    }
                    to.push_str(text.trim());
                }
            }
        }
    }
    table
}

fn parse_heading(line: usize, text: &str) -> Option<Section> {
    let (text, counts) = text.strip_suffix(')')?.rsplit_once(" (")?;
    let (number, title) = text.split_once(' ')?;
    let mut keywords = BTreeMap::new();
    for count in counts.split(", ") {
        let (count, keyword) = count.split_once(' ')?;
        Level::of(keyword)?;
        keywords.insert(keyword.to_owned(), count.parse().ok()?);
    }
    let (number, title) = (number.to_owned(), title.to_owned());
    Some(Section { line, number, title, keywords, entries: Vec::new() })
}

fn parse_entry(line: usize, text: &str) -> Option<Entry> {
    let (id, keywords) = text.split_once(' ')?;
    let keywords: Vec<String> = keywords.split(", ").map(str::to_owned).collect();
    let levels: Option<Vec<Level>> = keywords.iter().map(|keyword| Level::of(keyword)).collect();
    let level = levels?.into_iter().min()?;
    Some(Entry {
        line,
        id: id.to_owned(),
        keywords,
        level,
        rule: String::new(),
        code: Vec::new(),
        test: Vec::new(),
        but: None,
        not: None,
    })
}

fn parse_mark(text: &str, fault: &mut impl FnMut(&str)) -> Option<Mark> {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(path), Some(item), None) => Some(Mark { path: path.to_owned(), item: item.to_owned() }),
        _ => {
            fault("a mark is a path and a name");
            None
        }
    }
}

/// Checks ids, counts of keywords, and that nothing obligatory is missing.
pub(crate) fn check(table: &Table, faults: &mut Vec<String>) {
    let mut ids = BTreeSet::new();
    let mut fault = |line: usize, what: String| faults.push(format!("{}:{line}: {what}", table.name));
    for section in &table.sections {
        let mut found = BTreeMap::new();
        for (number, entry) in (1..).zip(&section.entries) {
            let expected = format!("{}-{}-{number}", table.rfc, section.number);
            if !ids.insert(&entry.id) {
                fault(entry.line, format!("{} is there twice", entry.id));
            } else if entry.id != expected {
                fault(entry.line, format!("{} should be {expected}", entry.id));
            }
            for keyword in &entry.keywords {
                *found.entry(keyword.clone()).or_insert(0) += 1;
            }
            if entry.rule.is_empty() {
                fault(entry.line, format!("{} does not say what is asked for", entry.id));
            }
            if entry.is_kept() && entry.not.is_some() {
                fault(entry.line, format!("{} is kept and has a reason why it is not", entry.id));
            }
            if entry.is_missing() && entry.level == Level::Must {
                fault(entry.line, format!("{} has neither code with a test nor a reason", entry.id));
            }
        }
        if found != section.keywords {
            let (has, wants) = (&found, &section.keywords);
            fault(section.line, format!("section {} has {has:?}, the RFC {wants:?}", section.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# A comment.

== 2.1 Things (1 MUST, 2 SHOULD)

9-2.1-1 MUST, SHOULD
  A thing is kept
  as it was.
  code: lib/a.rs keep
  test: lib/a.rs it_is_kept
  but: not on
    Sundays.

9-2.1-2 SHOULD
  It is polished.
  not: it shines.
";

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let table = parse("rfc9.txt", text, &mut faults);
        check(&table, &mut faults);
        faults
    }

    #[test]
    fn a_table_is_read() {
        let mut faults = Vec::new();
        let table = parse("rfc9.txt", GOOD, &mut faults);
        check(&table, &mut faults);
        assert_eq!(faults, [] as [String; 0]);
        let entries: Vec<&Entry> = table.entries().collect();
        assert_eq!(entries[0].rule, "A thing is kept as it was.");
        assert_eq!(entries[0].but.as_deref(), Some("not on Sundays."));
        assert_eq!((entries[0].level, entries[1].level), (Level::Must, Level::Should));
        assert_eq!(entries[0].code, [Mark { path: "lib/a.rs".into(), item: "keep".into() }]);
        assert!(entries[0].is_kept() && !entries[1].is_kept() && !entries[1].is_missing());
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (from, to, told) in [
            ("9-2.1-2 SHOULD", "9-2.1-1 SHOULD", "rfc9.txt:13: 9-2.1-1 is there twice"),
            ("9-2.1-2 SHOULD", "9-2.2-2 SHOULD", "rfc9.txt:13: 9-2.2-2 should be 9-2.1-2"),
            ("1 MUST, 2 SHOULD", "1 MUST, 3 SHOULD", "section 2.1 has"),
            ("  test: lib/a.rs it_is_kept\n", "", "9-2.1-1 has neither code with a test nor a reason"),
            ("  but: not on", "  not: not on", "is kept and has a reason why it is not"),
            ("code: lib/a.rs keep", "code: lib/a.rs", "a mark is a path and a name"),
            ("9-2.1-2 SHOULD", "9-2.1-2 WILL", "rfc9.txt:13: not `ID KEYWORD, ...`"),
            ("  It is polished.\n", "", "9-2.1-2 does not say what is asked for"),
        ] {
            assert!(GOOD.contains(from));
            let faults = faults(&GOOD.replace(from, to));
            assert!(faults.iter().any(|fault| fault.contains(told)), "{told}: {faults:?}");
        }
    }

    #[test]
    fn only_what_is_obligatory_has_to_be_there() {
        assert_eq!(faults(&GOOD.replace("  not: it shines.\n", "")), [] as [String; 0]);
    }
}
