use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

/// Names a kind of [`Id`], for `Debug`: `"s"` prints as `s3.7` (index 3, generation 7).
pub trait IdKind {
    /// The short prefix.
    const PREFIX: &'static str;
}

/// A generational id: the index of a slot in an [`Arena`] and the generation of its content.
///
/// An id of something that has gone stays invalid for ever (until 2³² reuses of one slot), so it can be kept
/// anywhere without a reference.
pub struct Id<K> {
    index: u32,
    generation: u32,
    kind: PhantomData<fn() -> K>,
}

impl<K> Id<K> {
    /// The index of the slot.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The generation of the slot's content.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// Puts an id together from its two parts.
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Self { index, generation, kind: PhantomData }
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
        self.generation.hash(state);
    }
}
impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}", K::PREFIX, self.index, self.generation)
    }
}
impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[derive(Debug)]
enum Slot<T> {
    Full(T),
    /// The next free slot of the chain.
    Free(Option<u32>),
}

/// Values by generational [`Id`]: constant-time insertion, look-up and removal.
#[derive(Debug)]
pub struct Arena<K, T> {
    slots: Vec<(u32, Slot<T>)>,
    free: Option<u32>,
    len: usize,
    kind: PhantomData<fn() -> K>,
}

impl<K, T> Default for Arena<K, T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, T> Arena<K, T> {
    /// An empty arena. Allocates nothing.
    pub const fn new() -> Self {
        Self { slots: Vec::new(), free: None, len: 0, kind: PhantomData }
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts a value in.
    ///
    /// # Panics
    /// When 2³² values are there already.
    pub fn insert(&mut self, value: T) -> Id<K> {
        self.insert_with(|_| value)
    }

    /// Puts in a value that needs to know its own id.
    ///
    /// # Panics
    /// When 2³² values are there already.
    pub fn insert_with(&mut self, make: impl FnOnce(Id<K>) -> T) -> Id<K> {
        self.len += 1;
        if let Some(index) = self.free {
            let (generation, slot) = &mut self.slots[index as usize];
            let id = Id::from_parts(index, *generation);
            if let Slot::Free(next) = *slot {
                self.free = next;
            }
            *slot = Slot::Full(make(id));
            id
        } else {
            let index = u32::try_from(self.slots.len()).expect("fewer than 2^32 values");
            let id = Id::from_parts(index, 0);
            self.slots.push((0, Slot::Full(make(id))));
            id
        }
    }

    /// The value, if it is still there.
    pub fn get(&self, id: Id<K>) -> Option<&T> {
        match self.slots.get(id.index as usize) {
            Some((generation, Slot::Full(value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value, if it is still there.
    pub fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        match self.slots.get_mut(id.index as usize) {
            Some((generation, Slot::Full(value))) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The id of what the slot `index` holds now.
    pub fn id_at(&self, index: u32) -> Option<Id<K>> {
        match self.slots.get(index as usize) {
            Some((generation, Slot::Full(_))) => Some(Id::from_parts(index, *generation)),
            _ => None,
        }
    }

    /// Takes the value out; its id is dead from now on.
    pub fn remove(&mut self, id: Id<K>) -> Option<T> {
        let free = self.free;
        let (generation, slot) = self.slots.get_mut(id.index as usize)?;
        if *generation != id.generation || matches!(slot, Slot::Free(_)) {
            return None;
        }
        *generation = generation.wrapping_add(1);
        let old = core::mem::replace(slot, Slot::Free(free));
        self.free = Some(id.index);
        self.len -= 1;
        match old {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// All values with their ids, in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (Id<K>, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, (generation, slot))| match slot {
            Slot::Full(value) => Some((Id::from_parts(index as u32, *generation), value)),
            Slot::Free(_) => None,
        })
    }

    /// All values with their ids, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<K>, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, (generation, slot))| match slot {
            Slot::Full(value) => Some((Id::from_parts(index as u32, *generation), value)),
            Slot::Free(_) => None,
        })
    }

    /// All ids, collected, for loops that change the arena.
    pub fn ids(&self) -> Vec<Id<K>> {
        self.iter().map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kind;
    impl IdKind for Kind {
        const PREFIX: &'static str = "k";
    }

    #[test]
    fn a_stale_id_finds_nothing_after_its_slot_is_reused() {
        let mut arena: Arena<Kind, &str> = Arena::new();
        let a = arena.insert("a");
        let b = arena.insert("b");
        assert_eq!(arena.remove(a), Some("a"));
        assert_eq!(arena.remove(a), None);
        let c = arena.insert("c");
        assert_eq!(c.index(), a.index());
        assert_eq!(arena.get(a), None);
        assert_eq!(arena.get(c), Some(&"c"));
        assert_eq!(arena.get(b), Some(&"b"));
        assert_eq!(arena.len(), 2);
        assert_eq!(format!("{c:?}"), "k0.1");
        assert_eq!(arena.ids(), [c, b]);
    }
}
