//! What is logged in a test, at the levels that people see.

use std::cell::RefCell;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    // Each test has a thread.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Journal;

impl Log for Journal {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        LINES.with_borrow_mut(|lines| lines.push(format!("{} {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

/// Notes what is logged from now on.
pub(crate) fn begin() {
    // Another test may have done so.
    let _ = log::set_logger(&Journal);
    log::set_max_level(LevelFilter::Info);
    LINES.with_borrow_mut(Vec::clear);
}

/// The lines so far: the level and the text.
pub(crate) fn lines() -> Vec<String> {
    LINES.with_borrow(Vec::clone)
}

/// Those of them that are there without `-v`.
pub(crate) fn warnings() -> Vec<String> {
    lines().into_iter().filter(|line| line.starts_with("WARN") || line.starts_with("ERROR")).collect()
}
