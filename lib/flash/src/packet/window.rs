/// Which sequence numbers were received: all that are [`WINDOW`] or more below the highest count as received.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplayWindow {
    /// The highest number, once there is one.
    highest: Option<u64>,
    /// A ring: number `n` has bit `n % 64` of word `n / 64 % WORDS`.
    words: [u64; WORDS as usize],
}

/// How late a packet may come, in packets that overtook it; RFC 7425 section 4.7.3.3 asks for 32 at least. At
/// 1 Gbit/s this is 10 ms.
pub(crate) const WINDOW: u64 = 64 * (WORDS - 1);
/// One more than the window takes, because it seldom begins where a word does.
const WORDS: u64 = 17;

impl ReplayWindow {
    /// Whether a number was not received yet.
    pub(crate) fn is_new(&self, number: u64) -> bool {
        match self.highest {
            Some(highest) if number <= highest => {
                let word = self.words.get(place(number)).copied().unwrap_or_default();
                highest.saturating_sub(number) < WINDOW && word & bit(number) == 0
            }
            _ => true,
        }
    }

    /// Takes note of a number that is new.
    pub(crate) fn record(&mut self, number: u64) {
        match self.highest {
            Some(highest) if number <= highest => {}
            Some(highest) => {
                let later = (highest / 64..number / 64).map(|word| word.saturating_add(1));
                for word in later.rev().take(self.words.len()) {
                    if let Some(word) = self.words.get_mut((word % WORDS) as usize) {
                        *word = 0;
                    }
                }
                self.highest = Some(number);
            }
            None => self.highest = Some(number),
        }
        if let Some(word) = self.words.get_mut(place(number)) {
            *word |= bit(number);
        }
    }
}

/// Which word a number has its bit in.
fn place(number: u64) -> usize {
    (number / 64 % WORDS) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn take(window: &mut ReplayWindow, number: u64) -> bool {
        let new = window.is_new(number);
        if new {
            window.record(number);
        }
        new
    }

    #[test]
    fn late_numbers_are_new_once_and_only_within_the_window() {
        let mut window = ReplayWindow::default();
        assert!(take(&mut window, WINDOW));
        assert!(!take(&mut window, 0), "too old");
        assert!(take(&mut window, 1));
        assert!(!take(&mut window, 1) && !take(&mut window, WINDOW));
        assert!(take(&mut window, u64::MAX));
        assert!(!take(&mut window, u64::MAX) && !take(&mut window, u64::MAX - WINDOW));
        assert!(take(&mut window, u64::MAX - WINDOW + 1));
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set_does(steps in prop::collection::vec((0_u64..4, 0_u64..2500), 1..500)) {
            let (mut window, mut set) = (ReplayWindow::default(), BTreeSet::new());
            let mut centre = 1000_u64;
            for (kind, offset) in steps {
                let number = match kind {
                    0 => { centre += offset; centre }
                    1 => centre + 1 + offset % 3,
                    _ => centre.saturating_sub(offset % 1200),
                };
                let highest = set.last().copied().unwrap_or(0_u64);
                let expected = number + WINDOW > highest && set.insert(number);
                prop_assert_eq!(take(&mut window, number), expected);
            }
        }
    }
}
