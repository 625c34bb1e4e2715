/// Receives one counter at a time: its name and its value.
pub type Visit<'a> = dyn FnMut(&'static str, u64) + 'a;

/// Things that count. Names are in `snake_case`, stable, and end in their unit where it is not "how many"
/// (`_bytes`, `_micros`).
pub trait Counters {
    /// Hands each counter to `visit`.
    fn visit(&self, visit: &mut Visit<'_>);

    /// All counters in a list, for logs and tests.
    fn to_list(&self) -> Vec<(&'static str, u64)> {
        let mut list = Vec::new();
        self.visit(&mut |name, value| list.push((name, value)));
        list
    }
}
