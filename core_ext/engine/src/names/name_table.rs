//! Names as dense numbers: one table, small enough that growing it is bounded work.

use compact_str::CompactString;

use crate::memory::free::FreeNumbers;
use crate::memory::pages::Pages;
use crate::names::hash_index::{HashIndex, LOCAL_BITS, Local};
use crate::names::hashed_name::{HashedName, Key, NameHasher};
use crate::names::ids::Packed;

/// So many numbers there are, without the two highest: in the highest shard these are no channels.
const MAX_NUMBERS: usize = (1 << LOCAL_BITS) - 2;

const PAGE: usize = 64;
/// Below this a page is kept, or one name that comes and goes would allocate it each time.
const MIN_UNUSED: usize = 16;

/// Names <-> numbers. A freed number is used again, the lowest first, so that what is above the highest can be
/// returned.
///
/// What every lookup needs stands first, in one or two lines of memory.
#[repr(C)]
pub(crate) struct Names<R> {
    index: HashIndex,
    records: Pages<R, PAGE>,
    free: FreeNumbers,
    /// The words of long names.
    words: Vec<u64>,
    garbage: usize,
}

/// What a table holds of each name: the hashed name, and whatever else is wanted in the same line of memory.
pub(crate) trait NameRecord: Copy + Default {
    fn hashed(&self) -> HashedName;
    fn set_hashed(&mut self, hashed: HashedName);
}

impl NameRecord for HashedName {
    fn hashed(&self) -> HashedName {
        *self
    }

    fn set_hashed(&mut self, hashed: HashedName) {
        *self = hashed;
    }
}

impl<R: NameRecord> Default for Names<R> {
    fn default() -> Self {
        Self {
            index: HashIndex::default(),
            records: Pages::default(),
            free: FreeNumbers::default(),
            words: Vec::new(),
            garbage: 0,
        }
    }
}

impl<R: NameRecord> Names<R> {
    /// The number of a name.
    pub(crate) fn find(&self, key: Key) -> Option<Local> {
        self.index.find(key.hashed.hash(), |local| self.is(local, key))
    }

    /// The number that a name has, if it has one, nearly always; reads no record.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Local> {
        self.index.candidate(hash)
    }

    /// Ask for what [`Names::candidate`] needs, ahead of its use.
    #[inline]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Whether a number has this name.
    #[inline]
    pub(crate) fn is(&self, local: Local, key: Key) -> bool {
        let Some(hashed) = self.records.get(local as usize).map(NameRecord::hashed) else { return false };
        if key.words.is_empty() {
            hashed == key.hashed
        } else {
            hashed.bare() == key.hashed && self.words(hashed) == key.words
        }
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
        if self.index.is_full() {
            self.rebuild_index(self.len() + 1);
        }
        let local = self.free.take_lowest().unwrap_or_else(|| self.fresh());
        let hashed = self.store(key);
        self.records[local as usize].set_hashed(hashed);
        self.index.put(hashed.hash(), local);
        local
    }

    /// Make room for so many names in all, so that the table need not grow by steps.
    pub(crate) fn reserve(&mut self, names: usize) {
        if !self.index.has_room_for(names) {
            self.rebuild_index(names);
        }
    }

    /// Free a number.
    pub(crate) fn remove(&mut self, local: Local) {
        let hashed = self.records[local as usize].hashed();
        self.index.remove(hashed.hash(), local);
        self.garbage += hashed.words_elsewhere();
        self.records[local as usize] = R::default();
        self.free.put(local);
        self.give_back();
    }

    /// The name of a number, if it is in use.
    pub(crate) fn name(&self, hasher: &NameHasher, local: Local) -> Option<CompactString> {
        let packed = self.packed(hasher, local)?;
        let mut name = CompactString::with_capacity(packed.length.into());
        packed.write(&mut name);
        Some(name)
    }

    /// The name of a number, packed, if it is in use.
    pub(crate) fn packed(&self, hasher: &NameHasher, local: Local) -> Option<Packed<'_>> {
        let found = self.records.get(local as usize).map(NameRecord::hashed).filter(|name| !name.is_free())?;
        Some(hasher.name(found, self.words(found)))
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

    /// [`Names::record`], to change all but its hashed name.
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
        self.records.get(local as usize).is_some_and(|record| !record.hashed().is_free())
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

    /// Bytes held without what the records hold beside their hashed names.
    pub(crate) fn bytes_of_names(&self) -> usize {
        self.records.bytes() / size_of::<R>() * size_of::<HashedName>() + self.bytes_of_tables()
    }

    fn bytes_of_tables(&self) -> usize {
        self.index.bytes() + self.words.capacity() * size_of::<u64>() + self.free.bytes()
    }

    /// The words of a long name; none of a short one.
    fn words(&self, hashed: HashedName) -> &[u64] {
        hashed.words(&self.words)
    }

    fn fresh(&mut self) -> Local {
        assert!(self.records.len() < MAX_NUMBERS, "a table of names is full");
        self.records.push(R::default());
        #[expect(clippy::cast_possible_truncation, reason = "below MAX_NUMBERS")]
        let local = self.records.len() as u32 - 1;
        local
    }

    /// Hash a name that is new, and keep its words.
    fn store(&mut self, key: Key) -> HashedName {
        if key.words.is_empty() {
            return key.hashed;
        }
        let start = self.words.len();
        if self.words.capacity() < start + key.words.len() {
            self.words.reserve_exact(start / 8 + key.words.len());
        }
        self.words.extend_from_slice(key.words);
        key.hashed.at(start)
    }

    fn rebuild_index(&mut self, names: usize) {
        self.index = HashIndex::with_room(names);
        for (local, record) in (0..).zip(self.records.iter()) {
            if !record.hashed().is_free() {
                self.index.put(record.hashed().hash(), local);
            }
        }
    }

    /// Return memory that is unused. What this costs was paid for by as many removals.
    fn give_back(&mut self) {
        // Few long names among many short ones: going through all names for each would not be paid for.
        if self.garbage * 2 > self.words.len() && self.garbage * 8 > self.records.len() {
            self.compact_words();
        }
        if self.len() == 0 {
            *self = Self::default();
        } else if self.index.is_sparse_with(self.len()) {
            self.rebuild_index(self.len());
        }
        let bound = self.records.len() - self.free.run_below(self.records.len());
        if self.records.len() - bound >= MIN_UNUSED && bound.div_ceil(PAGE) < self.records.len().div_ceil(PAGE) {
            self.records.truncate(bound);
            self.free.truncate(bound);
        }
    }

    fn compact_words(&mut self) {
        let mut words = Vec::with_capacity(self.words.len() - self.garbage);
        for record in self.records.iter_mut().filter(|record| record.hashed().is_long()) {
            let (hashed, moved) = (record.hashed(), words.len());
            words.extend_from_slice(hashed.words(&self.words));
            record.set_hashed(hashed.at(moved));
        }
        (self.words, self.garbage) = (words, 0);
    }
}

#[cfg(test)]
#[path = "name_table_tests.rs"]
mod tests;
