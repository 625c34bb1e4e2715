//! Counts what is kept and what is not.

use crate::table::{Entry, Level, Table};

/// How many entries are kept, kept with a difference, not kept for a reason, and missing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Count([usize; 4]);

impl Count {
    fn of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Self {
        let mut count = Self::default();
        for entry in entries {
            let column = match (entry.is_kept(), &entry.but, &entry.not) {
                (true, None, _) => 0,
                (true, Some(_), _) => 1,
                (false, _, Some(_)) => 2,
                (false, _, None) => 3,
            };
            count.0[column] += 1;
        }
        count
    }
}

pub(crate) fn print(table: &Table) {
    let heading = format!("RFC {}", table.rfc);
    println!("{heading:<64}{:>10}{:>10}{:>10}{:>10}", "kept", "differs", "excepted", "missing");
    for (name, level) in [("MUST", Level::Must), ("SHOULD", Level::Should), ("MAY", Level::May)] {
        line(name, Count::of(table.entries().filter(|entry| entry.level == level)));
    }
    for section in &table.sections {
        let name = format!("{:<11}{}", section.number, section.title);
        line(&name, Count::of(section.entries.iter()));
    }
    println!();
}

fn line(name: &str, Count(columns): Count) {
    print!("  {name:<62}");
    for count in columns {
        print!("{:>10}", if count == 0 { "-".to_owned() } else { count.to_string() });
    }
    println!();
}
