/// Repeatable numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The same seed, the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A new input: one of the corpus with a few changes, at most `max_len` bytes long.
pub fn mutate(corpus: &[Vec<u8>], dice: &mut Dice, max_len: usize) -> Vec<u8> {
    let mut bytes = match corpus {
        [] => Vec::new(),
        corpus => corpus[dice.below(corpus.len())].clone(),
    };
    for _ in 0..=dice.below(8) {
        change(&mut bytes, corpus, dice);
    }
    bytes.truncate(max_len);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let len = dice.below(16).min(bytes.len() - at);
    match dice.below(9) {
        0 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
        1 if at < bytes.len() => bytes[at] = dice.next() as u8,
        2 if at < bytes.len() => bytes[at] = INTERESTING[dice.below(INTERESTING.len())],
        3 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(dice.below(9) as u8).wrapping_sub(4),
        4 => drop(bytes.drain(at..at + len)),
        5 => {
            let again = bytes[at..at + len].to_vec();
            bytes.splice(at..at, again);
        }
        6 if !corpus.is_empty() => {
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            let part = &other[from..other.len().min(from + 1 + dice.below(64))];
            bytes.splice(at..at, part.iter().copied());
        }
        7 => bytes.truncate(at),
        _ => {
            // Many small numbers, so that lengths and counts often fit.
            let new: Vec<u8> = (0..=dice.below(8))
                .map(|_| if dice.below(2) == 0 { dice.below(12) as u8 } else { dice.next() as u8 })
                .collect();
            bytes.splice(at..at, new);
        }
    }
}

/// Ends of ranges, markers, and beginnings of numbers that are continued.
const INTERESTING: [u8; 16] = [0, 1, 2, 3, 4, 8, 9, 0x0a, 0x10, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xff];
