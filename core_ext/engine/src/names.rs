//! Names as dense numbers: one open-addressed table, small enough that growing it is bounded work.
//!
//! A number's name is a cell of 16 bytes, which a name of up to 20 characters fills by itself. A slot is four bytes: a
//! number, and ten bits of the name's hash, so that a probe reads nearly always no cell but the right one.

use std::hash::{BuildHasher, Hasher};

use compact_str::CompactString;
use foldhash::fast::FixedState;

use crate::free::FreeNumbers;
use crate::ids::{MAX_LENGTH, PER_WORD, Packed, words_of};
use crate::pages::Pages;
use crate::prefetch::prefetch;
use crate::sync::random;

/// A name's number in its table.
pub(crate) type Local = u32;

/// Numbers have so many bits; the others of a slot are the tag.
pub(crate) const LOCAL_BITS: u32 = 22;

const MAX_NAMES: usize = (1 << LOCAL_BITS) - 2;
const LOCAL_MASK: u32 = (1 << LOCAL_BITS) - 1;
const EMPTY: u32 = u32::MAX;
const REMOVED: u32 = u32::MAX - 1;
const MIN_SLOTS: usize = 8;
const PAGE: usize = 128;
/// Below this a page is kept, or one name that comes and goes would allocate it each time.
const MIN_UNUSED: usize = 16;

/// The hash of names, keyed so that nobody outside can choose names that collide.
#[derive(Clone, Copy)]
pub(crate) struct NameHasher(pub(crate) u64);

impl NameHasher {
    pub(crate) fn random() -> Self {
        Self(random())
    }

    pub(crate) fn hash(self, name: Packed) -> u64 {
        let mut hasher = FixedState::with_seed(self.0).build_hasher();
        name.words.iter().for_each(|&word| hasher.write_u64(word));
        hasher.write_u8(name.length);
        hasher.finish()
    }
}

/// A name as a table is asked for it.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    pub(crate) hash: u64,
    pub(crate) head: Cell,
    /// The words of a long name after its first; none of a short one.
    pub(crate) rest: &'a [u64],
}

impl<'a> Key<'a> {
    pub(crate) fn new(hasher: NameHasher, name: Packed<'a>) -> Self {
        let hash = hasher.hash(name);
        let rest = if name.words.len() > 2 { &name.words[1..] } else { &[] };
        Self { hash, head: head_of(hash, name), rest }
    }
}

/// Names <-> numbers. A freed number is used again, the lowest first, so that what is above the highest can be returned.
pub(crate) struct Names<R> {
    slots: Vec<u32>,
    taken: usize,
    records: Pages<R, PAGE>,
    /// The words of long names after their first.
    rest: Vec<u64>,
    garbage: usize,
    free: FreeNumbers,
}

/// From the top: 8 bits of length (0: free), 60 of the first word, 60 of the second; of a name that has more than two
/// words, 32 bits where the others begin and 28 of its hash stand in the place of the second.
pub(crate) type Cell = u128;

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
            slots: Vec::new(),
            taken: 0,
            records: Pages::default(),
            rest: Vec::new(),
            garbage: 0,
            free: FreeNumbers::default(),
        }
    }
}

const WORD_BITS: u32 = 60;
const TAIL_MASK: u128 = (1 << WORD_BITS) - 1;
const HASH_BITS: u32 = 28;
const HASH_MASK: u64 = (1 << HASH_BITS) - 1;

impl<R: Record> Names<R> {
    /// The number of a name.
    pub(crate) fn find(&self, key: Key) -> Option<Local> {
        let (tag, mut at) = (tag_of(key.hash), start_of(key.hash, self.slots.len()));
        loop {
            let local = self.next_candidate(tag, &mut at)?;
            if self.is(local, key) {
                return Some(local);
            }
        }
    }

    /// The number that a name has, if it has one; reads no cell.
    pub(crate) fn candidate(&self, hash: u64) -> Option<Local> {
        self.next_candidate(tag_of(hash), &mut start_of(hash, self.slots.len()))
    }

    /// Ask for the slot where a name's probe begins, ahead of its use.
    pub(crate) fn prefetch_slot(&self, hash: u64) {
        prefetch(&self.slots, start_of(hash, self.slots.len()));
    }

    /// Whether a number in use has this name.
    pub(crate) fn is(&self, local: Local, key: Key) -> bool {
        let Some(cell) = self.records.get(local as usize).map(Record::cell) else { return false };
        if key.rest.is_empty() {
            return cell == key.head;
        }
        cell & !(u128::from(u32::MAX) << HASH_BITS) == key.head && self.tail(cell) == key.rest
    }

    /// Ask for a number's record ahead of its use.
    pub(crate) fn prefetch(&self, local: Local) {
        self.records.prefetch(local as usize);
    }

    /// Number a name that has none.
    pub(crate) fn insert(&mut self, hasher: NameHasher, key: Key) -> Local {
        if (self.taken + 1) * 5 > self.slots.len() * 4 {
            self.rebuild_slots(hasher, self.len() + 1);
        }
        let local = self.free.take_lowest().unwrap_or_else(|| self.fresh());
        let cell = self.cell(key);
        self.records[local as usize].set_cell(cell);
        self.put(key.hash, local);
        local
    }

    /// Make room for so many names in all, so that the table need not grow by steps.
    pub(crate) fn reserve(&mut self, hasher: NameHasher, names: usize) {
        if names * 5 > self.slots.len() * 4 {
            self.rebuild_slots(hasher, names);
        }
    }

    /// Free a number.
    pub(crate) fn remove(&mut self, hasher: NameHasher, local: Local) {
        let hash = self.with_words(local, |name| hasher.hash(name));
        let at = self.slot_of(hash, local);
        let next = self.slots[(at + 1) % self.slots.len()];
        self.slots[at] = if next == EMPTY { EMPTY } else { REMOVED };
        self.taken -= usize::from(next == EMPTY);
        self.garbage += tail_words(self.records[local as usize].cell());
        self.records[local as usize] = R::default();
        self.free.put(local);
        self.give_back(hasher);
    }

    /// The name of a number, if it is in use.
    pub(crate) fn name(&self, local: Local) -> Option<CompactString> {
        let cell = self.records.get(local as usize).map(Record::cell).filter(|&cell| cell != 0)?;
        let mut name = CompactString::with_capacity(length_of(cell).into());
        self.with_words(local, |packed| packed.write(&mut name));
        Some(name)
    }

    /// A number's record.
    pub(crate) fn record(&self, local: Local) -> &R {
        &self.records[local as usize]
    }

    /// [`Names::record`], to change all but its cell.
    pub(crate) fn record_mut(&mut self, local: Local) -> &mut R {
        &mut self.records[local as usize]
    }

    /// All records, those of free numbers too.
    pub(crate) fn records_mut(&mut self) -> impl Iterator<Item = &mut R> {
        self.records.iter_mut()
    }

    /// Whether a number is some name's.
    pub(crate) fn is_used(&self, local: Local) -> bool {
        self.records.get(local as usize).is_some_and(|record| record.cell() != 0)
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
        self.slots.capacity() * size_of::<u32>() + self.rest.capacity() * size_of::<u64>() + self.free.bytes()
    }

    fn next_candidate(&self, tag: u32, at: &mut usize) -> Option<Local> {
        loop {
            let slot = *self.slots.get(*at)?;
            *at = if *at + 1 == self.slots.len() { 0 } else { *at + 1 };
            if slot == EMPTY {
                return None;
            }
            if slot >> LOCAL_BITS == tag && slot != REMOVED {
                return Some(slot & LOCAL_MASK);
            }
        }
    }

    fn tail(&self, cell: Cell) -> &[u64] {
        &self.rest[tail_start(cell)..][..tail_words(cell)]
    }

    fn fresh(&mut self) -> Local {
        assert!(self.records.len() < MAX_NAMES, "a table of names is full");
        self.records.push(R::default());
        #[expect(clippy::cast_possible_truncation, reason = "below MAX_NAMES")]
        let local = self.records.len() as u32 - 1;
        local
    }

    fn cell(&mut self, key: Key) -> Cell {
        if key.rest.is_empty() {
            return key.head;
        }
        let start = self.rest.len();
        if self.rest.capacity() < start + key.rest.len() {
            self.rest.reserve_exact(start / 8 + key.rest.len());
        }
        self.rest.extend_from_slice(key.rest);
        key.head | (start as u128) << HASH_BITS
    }

    fn put(&mut self, hash: u64, local: Local) {
        let len = self.slots.len();
        let mut at = start_of(hash, len);
        while self.slots[at] != EMPTY && self.slots[at] != REMOVED {
            at = if at + 1 == len { 0 } else { at + 1 };
        }
        self.taken += usize::from(self.slots[at] == EMPTY);
        self.slots[at] = tag_of(hash) << LOCAL_BITS | local;
    }

    fn slot_of(&self, hash: u64, local: Local) -> usize {
        let (slot, len) = (tag_of(hash) << LOCAL_BITS | local, self.slots.len());
        let mut at = start_of(hash, len);
        while self.slots[at] != slot {
            at = if at + 1 == len { 0 } else { at + 1 };
        }
        at
    }

    fn rebuild_slots(&mut self, hasher: NameHasher, names: usize) {
        self.slots = vec![EMPTY; MIN_SLOTS.max(names * 7 / 5 + 1)];
        self.taken = 0;
        for local in 0..self.records.len() {
            #[expect(clippy::cast_possible_truncation, reason = "below MAX_NAMES")]
            let number = local as Local;
            if self.records[local].cell() != 0 {
                let hash = self.with_words(number, |name| hasher.hash(name));
                self.put(hash, number);
            }
        }
    }

    /// Return memory that is unused. What this costs was paid for by as many removals.
    fn give_back(&mut self, hasher: NameHasher) {
        // Few long names among many short ones: going through all cells for each would not be paid for.
        if self.garbage * 2 > self.rest.len() && self.garbage * 8 > self.records.len() {
            self.compact_rest();
        }
        if self.len() == 0 {
            *self = Self::default();
        } else if self.slots.len() > MIN_SLOTS && self.len() * 9 / 5 < self.slots.len() {
            self.rebuild_slots(hasher, self.len());
        }
        let bound = self.records.len() - self.free.run_below(self.records.len());
        if self.records.len() - bound >= MIN_UNUSED && bound.div_ceil(PAGE) < self.records.len().div_ceil(PAGE) {
            self.records.truncate(bound);
            self.free.truncate(bound);
        }
    }

    fn compact_rest(&mut self) {
        let mut rest = Vec::with_capacity(self.rest.len() - self.garbage);
        for record in self.records.iter_mut().filter(|record| is_long(record.cell())) {
            let (start, words) = (tail_start(record.cell()), tail_words(record.cell()));
            let moved = rest.len() as u128;
            record.set_cell(record.cell() & !(u128::from(u32::MAX) << HASH_BITS) | moved << HASH_BITS);
            rest.extend_from_slice(&self.rest[start..start + words]);
        }
        (self.rest, self.garbage) = (rest, 0);
    }

    /// Ask about a number's name; that of a free number has no characters.
    pub(crate) fn with_words<A>(&self, local: Local, use_it: impl FnOnce(Packed) -> A) -> A {
        let cell = self.records[local as usize].cell();
        let length = length_of(cell);
        let mut words = [0; MAX_LENGTH.div_ceil(PER_WORD)];
        words[0] = low(cell >> WORD_BITS) & low(TAIL_MASK);
        if is_long(cell) {
            words[1..words_of(length)].copy_from_slice(self.tail(cell));
        } else {
            words[1] = low(cell & TAIL_MASK);
        }
        use_it(Packed { length, words: &words[..words_of(length)] })
    }
}

/// Room for one more, in steps of an eighth: a table of five million names must not hold room for five more.
pub(crate) fn reserve<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 8 + 4);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn low(cell: u128) -> u64 {
    cell as u64
}

pub(crate) fn head_of(hash: u64, name: Packed) -> Cell {
    let tail = match name.words {
        [_] => 0,
        [_, second] => u128::from(*second),
        _ => u128::from(hash & HASH_MASK),
    };
    u128::from(name.length) << (2 * WORD_BITS) | u128::from(name.words[0]) << WORD_BITS | tail
}

fn length_of(cell: Cell) -> u8 {
    (cell >> (2 * WORD_BITS)) as u8
}

pub(crate) fn is_long(cell: Cell) -> bool {
    words_of(length_of(cell)) > 2
}

fn tail_words(cell: Cell) -> usize {
    if is_long(cell) { words_of(length_of(cell)) - 1 } else { 0 }
}

fn tail_start(cell: Cell) -> usize {
    (low(cell) >> HASH_BITS) as usize & u32::MAX as usize
}

fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32 & (u32::MAX >> LOCAL_BITS)
}

/// The lower half of the hash spread over the slots.
fn start_of(hash: u64, slots: usize) -> usize {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]) as usize * slots) >> 32
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
