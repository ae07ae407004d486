//! Names as dense numbers: one table, small enough that growing it is bounded work.

use compact_str::CompactString;

use crate::memory::free::FreeNumbers;
use crate::memory::pages::Pages;
use crate::names::hash_index::{LOCAL_BITS, Local, Slots};
use crate::names::hashed_name::{Cell, Key, Mixer};
use crate::names::ids::Packed;

/// So many numbers there are, without the two highest: in the highest shard these are no channels.
const MAX_NUMBERS: usize = (1 << LOCAL_BITS) - 2;

const PAGE: usize = 64;
/// Below this a page is kept, or one name that comes and goes would allocate it each time.
const MIN_UNUSED: usize = 16;

/// Names <-> numbers. A freed number is used again, the lowest first, so that what is above the highest can be returned.
///
/// What every lookup needs stands first, in one or two lines of memory.
#[repr(C)]
pub(crate) struct Names<R> {
    slots: Slots,
    records: Pages<R, PAGE>,
    free: FreeNumbers,
    /// The words of long names.
    words: Vec<u64>,
    garbage: usize,
}

/// What a table holds of each name: its cell, and whatever else is wanted in the same place of memory.
pub(crate) trait Record: Copy + Default {
    fn cell(&self) -> Cell;
    fn set_cell(&mut self, cell: Cell);
}

impl Record for Cell {
    fn cell(&self) -> Cell {
        *self
    }

    fn set_cell(&mut self, cell: Cell) {
        *self = cell;
    }
}

impl<R: Record> Default for Names<R> {
    fn default() -> Self {
        Self {
            slots: Slots::default(),
            records: Pages::default(),
            free: FreeNumbers::default(),
            words: Vec::new(),
            garbage: 0,
        }
    }
}

impl<R: Record> Names<R> {
    /// The number of a name.
    pub(crate) fn find(&self, key: Key) -> Option<Local> {
        self.slots.find(key.cell.hash(), |local| self.is(local, key))
    }

    /// The number that a name has, if it has one, nearly always; reads no record.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Local> {
        self.slots.candidate(hash)
    }

    /// Ask for what [`Names::candidate`] needs, ahead of its use.
    #[inline]
    pub(crate) fn prefetch_slot(&self, hash: u64) {
        self.slots.prefetch(hash);
    }

    /// Whether a number has this name.
    #[inline]
    pub(crate) fn is(&self, local: Local, key: Key) -> bool {
        let Some(cell) = self.records.get(local as usize).map(Record::cell) else { return false };
        if key.words.is_empty() { cell == key.cell } else { cell.bare() == key.cell && self.words(cell) == key.words }
    }

    /// Ask for what says where a number's record is, ahead of [`Names::prefetch`].
    #[inline]
    pub(crate) fn prefetch_page(&self, local: Local) {
        self.records.prefetch_page(local as usize);
    }

    /// Ask for a number's record ahead of its use.
    #[inline]
    pub(crate) fn prefetch(&self, local: Local) {
        self.records.prefetch(local as usize);
    }

    /// Number a name that has none.
    pub(crate) fn insert(&mut self, key: Key) -> Local {
        if self.slots.is_full() {
            self.rebuild_slots(self.len() + 1);
        }
        let local = self.free.take_lowest().unwrap_or_else(|| self.fresh());
        let cell = self.store(key);
        self.records[local as usize].set_cell(cell);
        self.slots.put(cell.hash(), local);
        local
    }

    /// Make room for so many names in all, so that the table need not grow by steps.
    pub(crate) fn reserve(&mut self, names: usize) {
        if !self.slots.has_room_for(names) {
            self.rebuild_slots(names);
        }
    }

    /// Free a number.
    pub(crate) fn remove(&mut self, local: Local) {
        let cell = self.records[local as usize].cell();
        self.slots.remove(cell.hash(), local);
        self.garbage += cell.words_elsewhere();
        self.records[local as usize] = R::default();
        self.free.put(local);
        self.give_back();
    }

    /// The name of a number, if it is in use.
    pub(crate) fn name(&self, mixer: &Mixer, local: Local) -> Option<CompactString> {
        let packed = self.packed(mixer, local)?;
        let mut name = CompactString::with_capacity(packed.length.into());
        packed.write(&mut name);
        Some(name)
    }

    /// The name of a number, packed, if it is in use.
    pub(crate) fn packed(&self, mixer: &Mixer, local: Local) -> Option<Packed<'_>> {
        let cell = self.records.get(local as usize).map(Record::cell).filter(|cell| !cell.is_free())?;
        Some(mixer.name(cell, self.words(cell)))
    }

    /// A number's record, if there is such a number, in use or not.
    #[inline]
    pub(crate) fn get(&self, local: Local) -> Option<&R> {
        self.records.get(local as usize)
    }

    /// The record of a number that there is.
    #[inline]
    pub(crate) fn record(&self, local: Local) -> &R {
        &self.records[local as usize]
    }

    /// [`Names::record`], to change all but its cell.
    #[inline]
    pub(crate) fn record_mut(&mut self, local: Local) -> &mut R {
        &mut self.records[local as usize]
    }

    /// All records, those of free numbers too.
    pub(crate) fn records_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.records.iter_mut()
    }

    /// Whether a number is some name's.
    pub(crate) fn is_used(&self, local: Local) -> bool {
        self.records.get(local as usize).is_some_and(|record| !record.cell().is_free())
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// One more than the highest number in use, at least.
    pub(crate) fn bound(&self) -> usize {
        self.records.len()
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.records.bytes() + self.bytes_of_tables()
    }

    /// Bytes held without what the records hold beside their cells.
    pub(crate) fn bytes_of_names(&self) -> usize {
        self.records.bytes() / size_of::<R>() * size_of::<Cell>() + self.bytes_of_tables()
    }

    fn bytes_of_tables(&self) -> usize {
        self.slots.bytes() + self.words.capacity() * size_of::<u64>() + self.free.bytes()
    }

    /// The words of a long name; none of a short one.
    fn words(&self, cell: Cell) -> &[u64] {
        cell.words(&self.words)
    }

    fn fresh(&mut self) -> Local {
        assert!(self.records.len() < MAX_NUMBERS, "a table of names is full");
        self.records.push(R::default());
        #[expect(clippy::cast_possible_truncation, reason = "below MAX_NUMBERS")]
        let local = self.records.len() as u32 - 1;
        local
    }

    /// The cell of a name that has none, its words kept.
    fn store(&mut self, key: Key) -> Cell {
        if key.words.is_empty() {
            return key.cell;
        }
        let start = self.words.len();
        if self.words.capacity() < start + key.words.len() {
            self.words.reserve_exact(start / 8 + key.words.len());
        }
        self.words.extend_from_slice(key.words);
        key.cell.at(start)
    }

    fn rebuild_slots(&mut self, names: usize) {
        self.slots = Slots::with_room(names);
        for (local, record) in (0..).zip(self.records.iter()) {
            if !record.cell().is_free() {
                self.slots.put(record.cell().hash(), local);
            }
        }
    }

    /// Return memory that is unused. What this costs was paid for by as many removals.
    fn give_back(&mut self) {
        // Few long names among many short ones: going through all cells for each would not be paid for.
        if self.garbage * 2 > self.words.len() && self.garbage * 8 > self.records.len() {
            self.compact_words();
        }
        if self.len() == 0 {
            *self = Self::default();
        } else if self.slots.is_sparse_with(self.len()) {
            self.rebuild_slots(self.len());
        }
        let bound = self.records.len() - self.free.run_below(self.records.len());
        if self.records.len() - bound >= MIN_UNUSED && bound.div_ceil(PAGE) < self.records.len().div_ceil(PAGE) {
            self.records.truncate(bound);
            self.free.truncate(bound);
        }
    }

    fn compact_words(&mut self) {
        let mut words = Vec::with_capacity(self.words.len() - self.garbage);
        for record in self.records.iter_mut().filter(|record| record.cell().is_long()) {
            let (cell, moved) = (record.cell(), words.len());
            words.extend_from_slice(cell.words(&self.words));
            record.set_cell(cell.at(moved));
        }
        (self.words, self.garbage) = (words, 0);
    }
}

#[cfg(test)]
#[path = "name_table_tests.rs"]
mod tests;
