/// How many inodes are kept together. Their memory comes and goes together, and none is ever moved. The saved table has it, too.
pub(super) const CHUNK: usize = 256;

/// No slot: the end of the list of free ones.
const NONE: u32 = u32::MAX;

/// In place of the next free slot: this one has no generation left and is not used again.
pub(super) const USED_UP: u32 = u32::MAX - 1;

/// `CHUNK` places for inodes.
///
/// # Invariants
///
/// `free` is the first of a list that leads through all vacant slots, but for those whose generations are used up; slots
/// that have never been used are those that `slots` has not grown to. `used` counts the slots that are not vacant, and those
/// that are used up.
pub(super) struct Chunk<T> {
    pub(super) slots: Vec<Slot<T>>,
    pub(super) free: u32,
    pub(super) used: u32,
    /// The generation of slots that have not been used, at least since the memory was given back.
    pub(super) generation: u32,
}

pub(super) enum Slot<T> {
    /// The generation of the next inode here, and the next free slot.
    Vacant(u32, u32),
    Used(Inode<T>),
}

/// What the table knows of an inode: 24 bytes, with what tells a vacant slot.
pub(super) struct Inode<T> {
    pub(super) lookups: u64,
    pub(super) value: T,
    pub(super) generation: u32,
    pub(super) names: u32,
    pub(super) opens: u32,
    pub(super) _used: Used,
}

/// A byte of one value, where padding would be. By the others the compiler knows a vacant slot, without a word for it.
#[repr(u8)]
pub(super) enum Used {
    Used = 1,
}

impl<T> Inode<T> {
    /// Nobody can reach it any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lookups == 0 && self.names == 0 && self.opens == 0
    }
}

impl<T> Chunk<T> {
    pub(super) const fn new() -> Chunk<T> {
        Chunk {
            slots: Vec::new(),
            free: NONE,
            used: 0,
            generation: 0,
        }
    }

    pub(super) fn get(&self, slot: usize) -> Option<&Inode<T>> {
        match self.slots.get(slot)? {
            Slot::Used(inode) => Some(inode),
            Slot::Vacant(..) => None,
        }
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut Inode<T>> {
        match self.slots.get_mut(slot)? {
            Slot::Used(inode) => Some(inode),
            Slot::Vacant(..) => None,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.free != NONE || self.slots.len() < CHUNK
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Puts an inode into a free slot, and tells which. Only for a chunk that [has room](Self::has_room).
    pub(super) fn insert(&mut self, value: T) -> usize {
        let mut inode = Inode {
            lookups: 0,
            value,
            generation: self.generation,
            names: 0,
            opens: 0,
            _used: Used::Used,
        };
        self.used += 1;
        let free = self.free as usize;
        if let Some(slot) = self.slots.get_mut(free) {
            if let Slot::Vacant(generation, next) = *slot {
                inode.generation = generation;
                self.free = next;
            }
            *slot = Slot::Used(inode);
            return free;
        }
        // All at once, and once: it is not moved as it grows.
        self.slots.reserve_exact(CHUNK - self.slots.len());
        self.slots.push(Slot::Used(inode));
        self.slots.len() - 1
    }

    pub(super) fn remove(&mut self, slot: usize) -> Option<T> {
        let generation = self.get(slot)?.generation;
        // One that no generation is left for stays vacant for good.
        let vacant = match generation.checked_add(1) {
            Some(next) => {
                self.used -= 1;
                let free = u32::try_from(slot).unwrap_or(NONE);
                Slot::Vacant(next, std::mem::replace(&mut self.free, free))
            }
            None => Slot::Vacant(generation, USED_UP),
        };
        match std::mem::replace(&mut self.slots[slot], vacant) {
            Slot::Used(inode) => Some(inode.value),
            Slot::Vacant(..) => None,
        }
    }

    /// Gives the memory of an empty chunk back. What is put here later has a generation that nothing here has had.
    pub(super) fn give_back(&mut self) {
        let generations = self.slots.iter().map(|slot| match slot {
            Slot::Vacant(generation, _) => *generation,
            Slot::Used(inode) => inode.generation,
        });
        self.generation = generations.fold(self.generation, u32::max);
        self.slots = Vec::new();
        self.free = NONE;
    }

    /// The inodes, with their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Inode<T>)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, state)| match state {
            Slot::Used(inode) => Some((slot, inode)),
            Slot::Vacant(..) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<T> Chunk<T> {
        /// How many slots it has memory for.
        pub(in crate::kit::inodes) fn room(&self) -> usize {
            self.slots.capacity()
        }
    }

    #[test]
    fn an_inode_costs_24_bytes_and_itself() {
        assert_eq!(size_of::<Slot<u64>>(), 24 + 8);
        assert_eq!(size_of::<Slot<[u64; 16]>>(), 24 + 128);
    }

    #[test]
    fn a_slot_without_a_generation_left_is_not_used_again() {
        let mut chunk = Chunk::new();
        chunk.generation = u32::MAX - 1;
        assert_eq!(chunk.insert('a'), 0);
        assert_eq!(chunk.remove(0), Some('a'));
        assert_eq!(chunk.insert('b'), 0);
        assert_eq!(chunk.get(0).map(|inode| inode.generation), Some(u32::MAX));
        assert_eq!(chunk.remove(0), Some('b'));
        assert_eq!(chunk.insert('c'), 1);
        assert!(!chunk.is_empty());
        assert_eq!(chunk.remove(1), Some('c'));
        assert!(
            !chunk.is_empty(),
            "its memory would go, and the generation with it"
        );
    }
}
