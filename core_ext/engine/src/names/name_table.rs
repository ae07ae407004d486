//! A table that gives names dense numbers. It is one shard of a larger one, so growing it takes little time.

use compact_str::CompactString;

use crate::memory::free::FreeNumbers;
use crate::memory::pages::Pages;
use crate::names::hash_index::{HashIndex, LOCAL_BITS, Local};
use crate::names::hashed_name::{HashedName, Key, NameHasher};
use crate::names::ids::Packed;

/// The number of numbers, without the two highest: in the highest shard, these would be values that stand for no
/// channel.
const MAX_NUMBERS: usize = (1 << LOCAL_BITS) - 2;

const PAGE: usize = 64;
/// The number of unused numbers up to which memory is kept; otherwise one name that comes and goes would allocate a
/// page each time.
const MIN_UNUSED: usize = 16;

/// Names and their numbers. The lowest freed number is used again first, so that memory above the highest number can be
/// freed.
///
/// The fields that every lookup reads are first, in one or two cache lines.
#[repr(C)]
pub(crate) struct Names<R> {
    index: HashIndex,
    records: Pages<R, PAGE>,
    free: FreeNumbers,
    /// The words of long names.
    words: Vec<u64>,
    garbage: usize,
}

/// The record of a name: the hashed name, and other data that is needed in the same cache line.
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

    /// The number that a name most likely has, if the name is in the table. It reads no record.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<Local> {
        self.index.candidate(hash)
    }

    /// Prefetch the memory that [`Names::candidate`] reads.
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

    /// Prefetch the pointer to the page of a number's record. [`Names::prefetch`] needs it.
    #[inline]
    pub(crate) fn prefetch_page(&self, local: Local) {
        self.records.prefetch_page(local as usize);
    }

    /// Prefetch a number's record.
    #[inline]
    pub(crate) fn prefetch(&self, local: Local) {
        self.records.prefetch(local as usize);
    }

    /// Give a number to a name that has none.
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

    /// Reserve room for this number of names in all, so that the table need not grow in steps.
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

    /// A number's record, if the number exists, in use or not.
    #[inline]
    pub(crate) fn get(&self, local: Local) -> Option<&R> {
        self.records.get(local as usize)
    }

    /// The record of a number that exists.
    #[inline]
    pub(crate) fn record(&self, local: Local) -> &R {
        &self.records[local as usize]
    }

    /// [`Names::record`], to change everything but its hashed name.
    #[inline]
    pub(crate) fn record_mut(&mut self, local: Local) -> &mut R {
        &mut self.records[local as usize]
    }

    /// All records, including those of free numbers.
    pub(crate) fn records_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.records.iter_mut()
    }

    /// Whether a number belongs to a name.
    pub(crate) fn is_used(&self, local: Local) -> bool {
        self.records.get(local as usize).is_some_and(|record| !record.hashed().is_free())
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// A number above every number in use.
    pub(crate) fn bound(&self) -> usize {
        self.records.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.records.bytes() + self.bytes_of_tables()
    }

    /// Bytes of memory, without the data of the records beside their hashed names.
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

    /// Free unused memory. Its cost is proportional to the removals before it.
    fn give_back(&mut self) {
        // The second condition: with few long names among many short ones, few removals would not justify going through
        // all names.
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
