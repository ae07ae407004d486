//! A hash index: finds the number of a name by the name's hash.
//!
//! A slot has four bytes: a number of 22 bits, and a *tag* of ten bits of the hash. Sixteen slots are a line, which is
//! one cache line. All slots of a line are compared at once, because the processor mispredicts a loop that ends where
//! the name is found for most names. A name is in the line that its hash selects, or in one of the next if that line is
//! full.

use wide::u32x4;

use crate::memory::prefetch::prefetch;
use crate::names::hashed_name::HASH_BITS;

/// A name's number in its table.
pub(crate) type Local = u32;

/// The bits of a slot that are the number; the others are the tag.
pub(crate) const LOCAL_BITS: u32 = 22;

/// Masks the number of a slot.
pub(crate) const LOCAL_MASK: u32 = (1 << LOCAL_BITS) - 1;
const TAG_BITS: u32 = u32::BITS - LOCAL_BITS;
const EMPTY: u32 = u32::MAX;
/// A slot whose number was removed while its line was full: a name may be in a later line.
const REMOVED: u32 = u32::MAX - 1;
const IN_LINE: usize = 16;

/// The number of lines that a search for a candidate reads. In a table that is nearly full, one name of forty is in the
/// third line or a later one, and one of seven hundred is behind these eight.
const MOST_LINES: usize = 8;

/// The highest tag, which no name has, so that no name has the tag of [`EMPTY`] or [`REMOVED`].
const NO_TAG: u32 = (1 << TAG_BITS) - 1;

/// The lowest bit of the hash that selects the line. The bits below it are the tag's, those above the line's bits the
/// shard's.
const START_SHIFT: u32 = HASH_BITS - 10 - 32;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; IN_LINE]);

impl Line {
    /// The first slot with a tag.
    #[inline]
    fn with_tag(&self, tag: u32) -> Option<u32> {
        let (wanted, mut positions) = (u32x4::splat(tag << LOCAL_BITS), 0);
        for (first, four) in (0..).step_by(4).zip(self.0.as_chunks().0) {
            let has_tag = ((u32x4::new(*four) ^ wanted) & u32x4::splat(!LOCAL_MASK)).simd_eq(u32x4::ZERO);
            positions |= has_tag.to_bitmask() << first;
        }
        (positions != 0).then(|| self.0[positions.trailing_zeros() as usize % IN_LINE])
    }

    fn has_empty(&self) -> bool {
        self.0.contains(&EMPTY)
    }
}

/// The index. At least one slot is empty, so that every search ends.
#[derive(Default)]
pub(crate) struct HashIndex {
    lines: Vec<Line>,
    /// The number of slots that are not empty.
    taken: usize,
}

impl HashIndex {
    /// An index that is three quarters full with this number of numbers.
    pub(crate) fn with_room(numbers: usize) -> Self {
        Self { lines: vec![Line([EMPTY; IN_LINE]); lines_for(numbers)], taken: 0 }
    }

    /// Whether one more number would fill more than seven eighths of the slots.
    pub(crate) fn is_full(&self) -> bool {
        (self.taken + 1) * 8 > self.len() * 7
    }

    /// Whether this number of numbers fills less than half of the slots, and an index made for them has fewer lines.
    pub(crate) fn is_sparse_with(&self, numbers: usize) -> bool {
        lines_for(numbers) < self.lines.len() && numbers * 2 < self.len()
    }

    /// Whether the index has room for this number of numbers in all.
    pub(crate) fn has_room_for(&self, numbers: usize) -> bool {
        numbers * 8 <= self.len() * 7
    }

    /// The number that a name most likely has, if the name is in the index. The tag alone is compared, so if two names
    /// of a line have the same tag, the answer is the number of one of them. The search ends after [`MOST_LINES`].
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Local> {
        let (tag, mut at) = (tag_of(hash), start_of(hash, self.lines.len()));
        for _ in 0..MOST_LINES {
            let line = self.lines.get(at)?;
            if let Some(slot) = line.with_tag(tag) {
                return Some(slot & LOCAL_MASK);
            }
            if line.has_empty() {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// The number of a name: one with the tag of this hash, for which `is_right` is true.
    pub(crate) fn find(&self, hash: u64, mut is_right: impl FnMut(Local) -> bool) -> Option<Local> {
        let tag = tag_of(hash);
        for line in self.lines_from(hash) {
            let mut candidates = line.0.iter().filter(|&&slot| slot >> LOCAL_BITS == tag).map(|slot| slot & LOCAL_MASK);
            if let Some(local) = candidates.find(|&local| is_right(local)) {
                return Some(local);
            }
            if line.has_empty() {
                return None;
            }
        }
        None
    }

    /// Add a number. The caller has made sure that there is room.
    pub(crate) fn put(&mut self, hash: u64, local: Local) {
        let mut at = start_of(hash, self.lines.len());
        let free = loop {
            if let Some(free) = self.lines[at].0.iter_mut().find(|slot| **slot >= REMOVED) {
                break free;
            }
            at = self.after(at);
        };
        self.taken += usize::from(*free == EMPTY);
        *free = tag_of(hash) << LOCAL_BITS | local;
    }

    /// Remove a number, which is in the index.
    pub(crate) fn remove(&mut self, hash: u64, local: Local) {
        let (slot, mut at) = (tag_of(hash) << LOCAL_BITS | local, start_of(hash, self.lines.len()));
        while !self.lines[at].0.contains(&slot) {
            at = self.after(at);
        }
        let was_full = !self.lines[at].has_empty();
        let line = &mut self.lines[at].0;
        self.taken -= usize::from(!was_full);
        line.iter_mut().filter(|other| **other == slot).for_each(|slot| *slot = if was_full { REMOVED } else { EMPTY });
    }

    /// Prefetch the line of a name.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        prefetch(&self.lines, start_of(hash, self.lines.len()));
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.capacity() * size_of::<Line>()
    }

    fn len(&self) -> usize {
        self.lines.len() * IN_LINE
    }

    fn after(&self, line: usize) -> usize {
        if line + 1 == self.lines.len() { 0 } else { line + 1 }
    }

    fn lines_from(&self, hash: u64) -> impl Iterator<Item = &Line> {
        let (before, after) = self.lines.split_at(start_of(hash, self.lines.len()));
        after.iter().chain(before)
    }
}

/// The number of lines of which this number of numbers fills three quarters.
fn lines_for(numbers: usize) -> usize {
    (numbers * 4).div_ceil(3 * IN_LINE).max(1)
}

/// The tag of a hash: from 0 to one below [`NO_TAG`].
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "cut to its bits")]
fn tag_of(hash: u64) -> u32 {
    ((hash as u32 & NO_TAG) * NO_TAG) >> TAG_BITS
}

/// The first line for a hash: 32 bits of it, scaled to the number of lines.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "cut to its bits, and below `lines`")]
fn start_of(hash: u64, lines: usize) -> usize {
    ((u64::from((hash >> START_SHIFT) as u32) * lines as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A few hashes many times, so that lines fill up and tags are alike.
    fn hash() -> impl Strategy<Value = u64> {
        prop_oneof![4 => 0..1_u64 << HASH_BITS, 3 => 0..4_u64, 2 => (0..4_u64).prop_map(|n| n << START_SHIFT)]
    }

    proptest! {
        #[test]
        fn every_number_is_found_until_it_is_removed(hashes in vec(hash(), 0..200), order in vec(any::<u32>(), 0..200)) {
            let mut slots = HashIndex::with_room(hashes.len());
            let mut model = HashMap::<Local, u64>::new();
            for (local, (&hash, turn)) in (0..).zip(hashes.iter().zip(order)) {
                slots.put(hash, local);
                model.insert(local, hash);
                if let Some(&gone) = model.keys().filter(|_| turn % 3 == 0).min() {
                    slots.remove(model.remove(&gone).unwrap(), gone);
                }
                let taken = slots.lines.iter().flat_map(|line| line.0).filter(|&slot| slot != EMPTY).count();
                prop_assert!(slots.taken == taken && taken >= model.len() && taken < slots.len());
                for (local, &hash) in (0..).zip(&hashes) {
                    let expected = (model.get(&local) == Some(&hash)).then_some(local);
                    prop_assert_eq!(slots.find(hash, |found| found == local), expected);
                }
            }
            for (local, hash) in model {
                slots.remove(hash, local);
            }
            prop_assert!(slots.lines.iter().all(|line| line.0.iter().all(|&slot| slot >= REMOVED)));
        }
    }

    #[test]
    fn what_has_just_room_enough_is_neither_sparse_nor_full() {
        for numbers in 0..500 {
            let slots = HashIndex::with_room(numbers);
            assert!(!slots.is_sparse_with(numbers) && !slots.is_full(), "{numbers}");
        }
        assert!(HashIndex::with_room(500).is_sparse_with(200));
    }

    #[test]
    fn a_slot_that_is_left_in_a_line_with_room_is_empty_again() {
        let mut slots = HashIndex::with_room(16);
        slots.put(1, 7);
        slots.remove(1, 7);
        assert!(slots.taken == 0 && slots.lines.iter().all(|line| line.0 == [EMPTY; IN_LINE]));
    }

    #[test]
    fn an_eighth_of_the_slots_stays_empty() {
        let mut slots = HashIndex::with_room(1_000);
        let mut numbers = 0..;
        while !slots.is_full() {
            slots.put(numbers.next().unwrap() << START_SHIFT, 7);
        }
        assert!(slots.has_room_for(slots.taken) && !slots.has_room_for(slots.taken + 2));
        let empty = slots.lines.iter().flat_map(|line| line.0).filter(|&slot| slot == EMPTY).count();
        assert!((slots.len() / 8..=slots.len() / 8 + 1).contains(&empty), "{empty} of {}", slots.len());
    }

    #[test]
    fn candidates_are_found_in_the_lines_after_full_ones() {
        let mut slots = HashIndex::with_room(200);
        let fitting = Local::try_from(MOST_LINES * IN_LINE).unwrap();
        // Of one line, with tags of their own.
        let hash = |local: Local| u64::from(local) + 1;
        (0..=fitting).for_each(|local| slots.put(hash(local), local));
        assert!((0..fitting).all(|local| slots.candidate(hash(local)) == Some(local)));
        assert_eq!(slots.candidate(hash(fitting)), None, "it is behind those");
        assert_eq!(slots.find(hash(fitting), |local| local == fitting), Some(fitting));
    }

    #[test]
    fn a_candidate_is_what_has_the_hash() {
        let mut slots = HashIndex::with_room(4);
        assert_eq!(HashIndex::default().candidate(7), None);
        assert_eq!(slots.candidate(7), None);
        for hash in [7, u64::from(NO_TAG), (1 << HASH_BITS) - 1] {
            slots.put(hash, 3);
            assert_eq!(slots.candidate(hash), Some(3));
            slots.remove(hash, 3);
            assert_eq!(slots.candidate(hash), None);
        }
    }
}
