//! A user's channels: sorted ids in one to two bytes each. The list is stored once, whether the user is online, cached or
//! both.
//!
//! An id is coded by its distance from the one before, as a Golomb-Rice code (R. F. Rice, "Some practical universal
//! noiseless coding techniques", 1979). Hashes spread channels evenly, so distances are geometrically distributed, and
//! for that distribution this code is the shortest. The list has blocks, so that a change codes one block again and not
//! the whole list.
//!
//! A list is one allocation, because most lists are short and an allocation takes as much memory as a dozen ids. It has
//! a directory with an entry for each block, then the codes of all blocks. The number of entries is not stored: the
//! last entry is marked, and has no length, because its block has all the remaining bytes.

use std::iter::repeat_n;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::memory::rice;
use crate::names::hash_index::LOCAL_BITS;
use crate::table::channels::Channel;

/// The number of ids in a block of a new list. A block of twice as many is divided.
const BLOCK: usize = 512;
const LOCALS: u32 = 1 << LOCAL_BITS;

/// The bytes of an entry, with the length behind it.
const HEAD: usize = 8;
const LENGTH: usize = 2;

/// The position of the fields of an entry, above the first id.
const MORE: u32 = 32;
const LOW_BITS: u32 = 42;
const LAST: u32 = 47;
const SPAN: u32 = 48;

/// The bytes that an `Arc` allocates in front of the content; the whole is rounded up to a multiple of the same.
const COUNTS: usize = 2 * size_of::<usize>();
const ALIGNMENT: usize = align_of::<usize>();

/// Sorted ids, each once. A clone shares the memory until one of the two is changed.
#[derive(Default, Clone)]
pub(crate) struct MembershipList(Arc<[u8]>);

/// A block of a list.
pub(crate) struct ListBlock<'a> {
    entry: Entry,
    codes: &'a [u8],
}

/// The directory's entry of a block.
#[derive(Clone, Copy)]
struct Entry {
    first: Channel,
    /// The number of ids after the first.
    more: u16,
    /// The number of lower bits of a distance, which are written unchanged.
    low_bits: u8,
    span: Span,
    /// The bytes of the block's codes.
    length: usize,
}

type Entries = SmallVec<[Entry; 1]>;

/// A bound that is above all numbers of channels in their shards, as twelve bits and an exponent. Ids are coded without
/// the unused numbers above it, so that distances are small.
#[derive(Clone, Copy)]
struct Span(u16);

impl MembershipList {
    /// A list of sorted ids, each once.
    pub(crate) fn of(ids: &[Channel]) -> Self {
        let chunks = ids.chunks(BLOCK);
        let entries: Entries = chunks.clone().map(Entry::of).collect();
        Self::fill(&entries, |codes| write(&entries, chunks, codes))
    }

    /// The number of ids.
    pub(crate) fn len(&self) -> usize {
        self.blocks().map(|block| block.len()).sum()
    }

    /// Whether two lists share their memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The blocks of the list.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = ListBlock<'_>> {
        let (directory, mut codes) = self.0.split_at(self.directory_size());
        directory.chunks(HEAD + LENGTH).map(move |bytes| {
            let entry = Entry::read(bytes, codes.len());
            let (own, rest) = codes.split_at(entry.length);
            codes = rest;
            ListBlock { entry, codes: own }
        })
    }

    /// Call `work` with each id, without a copy of the whole list; `ids` is used as a buffer.
    pub(crate) fn each(&self, ids: &mut Vec<Channel>, mut work: impl FnMut(Channel)) {
        for block in self.blocks() {
            ids.clear();
            block.read(ids);
            for &id in &*ids {
                work(id);
            }
        }
    }

    /// All ids.
    pub(crate) fn ids(&self) -> Vec<Channel> {
        let mut ids = Vec::with_capacity(self.len());
        self.blocks().for_each(|block| block.read(&mut ids));
        ids
    }

    /// Some of the ids after a given one, or the first ones; none at the end.
    pub(crate) fn after(&self, last: Option<Channel>) -> Vec<Channel> {
        let (from, is_after) = (last.map_or(0, |last| self.position_of(last)), |id: &Channel| last < Some(*id));
        let mut slices = self.blocks().skip(from).map(|block| block.ids().into_iter().filter(is_after).collect());
        slices.find(|ids: &Vec<Channel>| !ids.is_empty()).unwrap_or_default()
    }

    /// Add an id. Returns whether it is new.
    pub(crate) fn insert(&mut self, id: Channel) -> bool {
        self.change(id, |ids| ids.binary_search(&id).map_err(|position| ids.insert(position, id)).is_err())
    }

    /// Remove an id. Returns whether it was in the list.
    pub(crate) fn remove(&mut self, id: Channel) -> bool {
        self.change(id, |ids| ids.binary_search(&id).map(|position| ids.remove(position)).is_ok())
    }

    /// Bytes allocated: none for an empty list.
    pub(crate) fn bytes(&self) -> usize {
        if self.0.is_empty() { 0 } else { (COUNTS + self.0.len()).next_multiple_of(ALIGNMENT) }
    }

    fn change(&mut self, id: Channel, work: impl FnOnce(&mut Vec<Channel>) -> bool) -> bool {
        let position = self.position_of(id);
        let mut ids = self.blocks().nth(position).map(|block| block.ids()).unwrap_or_default();
        let changed = work(&mut ids);
        if changed {
            *self = self.with(position, &ids);
        }
        changed
    }

    /// The block in which an id is or would be.
    fn position_of(&self, id: Channel) -> usize {
        self.blocks().take_while(|block| block.entry.first <= id).count().saturating_sub(1)
    }

    /// A copy of the list with other ids in one block. The codes of the other blocks are copied unchanged.
    fn with(&self, position: usize, ids: &[Channel]) -> Self {
        let chunks = ids.chunks(if ids.len() < 2 * BLOCK { ids.len().max(1) } else { BLOCK });
        let new: Entries = chunks.clone().map(Entry::of).collect();
        let old: Entries = self.blocks().map(|block| block.entry).collect();
        let (before, after) = (&old[..position], old.get(position + 1..).unwrap_or_default());
        let (_, kept) = self.0.split_at(self.directory_size());
        Self::fill(&[before, &new, after].concat(), |codes| {
            let (before, after) = (length(before), length(after));
            let (head, rest) = codes.split_at_mut(before);
            let (changed, tail) = rest.split_at_mut(rest.len() - after);
            head.copy_from_slice(&kept[..before]);
            write(&new, chunks, changed);
            tail.copy_from_slice(&kept[kept.len() - after..]);
        })
    }

    /// A list with these entries; `put` writes the codes into their bytes, which are zero.
    fn fill(entries: &[Entry], put: impl FnOnce(&mut [u8])) -> Self {
        let Some((last, others)) = entries.split_last() else { return Self::default() };
        let directory_size = others.len() * (HEAD + LENGTH) + HEAD;
        let mut bytes: Arc<[u8]> = repeat_n(0, directory_size + length(entries)).collect();
        let (directory, codes) = Arc::get_mut(&mut bytes).expect("nobody else has it yet").split_at_mut(directory_size);
        let (directory, end) = directory.split_at_mut(directory_size - HEAD);
        for (bytes, entry) in directory.chunks_mut(HEAD + LENGTH).zip(others) {
            bytes.copy_from_slice(&entry.written());
        }
        end.copy_from_slice(&last.written_last());
        put(codes);
        Self(bytes)
    }

    fn directory_size(&self) -> usize {
        let mut entries = self.0.chunks(HEAD + LENGTH);
        entries.position(|bytes| head(bytes) >> LAST & 1 == 1).map_or(0, |last| last * (HEAD + LENGTH) + HEAD)
    }
}

impl ListBlock<'_> {
    /// Append the ids of the block to `ids`.
    pub(crate) fn read(&self, ids: &mut Vec<Channel>) {
        let Entry { first, low_bits, span, .. } = self.entry;
        let start = ids.len();
        ids.resize(start + self.len(), first);
        let distances = &mut ids[start + 1..];
        rice::read(self.codes, low_bits, distances);
        let (mut code, id_of) = (span.code_of(first), span.ids());
        for id in distances {
            code += *id + 1;
            *id = id_of(code);
        }
    }

    fn ids(&self) -> Vec<Channel> {
        let mut ids = Vec::with_capacity(self.len());
        self.read(&mut ids);
        ids
    }

    fn len(&self) -> usize {
        usize::from(self.entry.more) + 1
    }
}

impl Entry {
    /// The entry of a block of ids, which must not be empty.
    fn of(ids: &[Channel]) -> Self {
        let (first, last, more) = (ids[0], ids[ids.len() - 1], ids.len() - 1);
        let span = Span::over(ids.iter().fold(0, |largest, id| largest.max(id % LOCALS)));
        #[expect(clippy::cast_possible_truncation, reason = "a block is short")]
        let more = more as u16;
        let sum = span.code_of(last) - span.code_of(first) - u32::from(more);
        let low_bits = rice::low_bits(more.into(), sum);
        Self { first, more, low_bits, span, length: rice::size(span.distances(ids), low_bits) }
    }

    /// Read an entry from its bytes. `left` is the number of bytes that remain for the codes of the last block.
    #[expect(clippy::cast_possible_truncation, reason = "the fields of a word")]
    fn read(bytes: &[u8], left: usize) -> Self {
        let (head, length) = (head(bytes), bytes[HEAD..].first_chunk());
        Self {
            first: head as u32,
            more: (head >> MORE) as u16 % (1 << (LOW_BITS - MORE)),
            low_bits: (head >> LOW_BITS) as u8 % (1 << (LAST - LOW_BITS)),
            span: Span((head >> SPAN) as u16),
            length: length.map_or(left, |length| u16::from_le_bytes(*length).into()),
        }
    }

    fn written(&self) -> [u8; HEAD + LENGTH] {
        let length = u16::try_from(self.length).expect("codes of few ids, of 34 bits each at most");
        let mut bytes = [0; HEAD + LENGTH];
        bytes[..HEAD].copy_from_slice(&self.head().to_le_bytes());
        bytes[HEAD..].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    fn written_last(&self) -> [u8; HEAD] {
        (self.head() | 1 << LAST).to_le_bytes()
    }

    fn head(&self) -> u64 {
        let [more, low_bits, span] = [self.more, self.low_bits.into(), self.span.0].map(u64::from);
        u64::from(self.first) | more << MORE | low_bits << LOW_BITS | span << SPAN
    }
}

impl Span {
    /// The lowest bound above a number. It is at least two, as [`Span::ids`] requires.
    fn over(local: u32) -> Self {
        let local = local.max(1);
        let exponent = (u32::BITS - local.leading_zeros()).saturating_sub(12);
        #[expect(clippy::cast_possible_truncation, reason = "twelve bits and four")]
        let span = (local >> exponent << 4 | exponent) as u16;
        Self(span)
    }

    fn bound(self) -> u32 {
        (u32::from(self.0 >> 4) + 1) << (self.0 % 16)
    }

    /// The number of numbers in each shard from the bound on.
    fn unused(self) -> u32 {
        LOCALS - self.bound()
    }

    /// The code of an id: the id, counted without the unused numbers.
    fn code_of(self, id: Channel) -> u32 {
        id - (id >> LOCAL_BITS) * self.unused()
    }

    /// Computes an id from its code. The division is a multiplication by 2^64 divided by the bound and rounded up,
    /// which is exact for 32 bits (D. Lemire et al., "Faster remainder by direct computation", 2019).
    fn ids(self) -> impl Fn(u32) -> Channel {
        let (unused, inverse) = (self.unused(), u128::from(u64::MAX / u64::from(self.bound()) + 1));
        #[expect(clippy::cast_possible_truncation, reason = "the quotient is a shard")]
        move |code| code + ((u128::from(code) * inverse) >> 64) as u32 * unused
    }

    /// The distances between the codes of consecutive ids.
    fn distances(self, ids: &[Channel]) -> impl ExactSizeIterator<Item = u32> + Clone {
        let unused = self.unused();
        ids.windows(2).map(move |pair| {
            let shards = (pair[1] >> LOCAL_BITS) - (pair[0] >> LOCAL_BITS);
            pair[1] - pair[0] - shards * unused - 1
        })
    }
}

/// Write the codes of all blocks.
fn write<'a>(entries: &[Entry], chunks: impl Iterator<Item = &'a [Channel]>, mut codes: &mut [u8]) {
    for (entry, ids) in entries.iter().zip(chunks) {
        let (own, rest) = codes.split_at_mut(entry.length);
        rice::write(entry.span.distances(ids), entry.low_bits, own);
        codes = rest;
    }
}

fn length(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.length).sum()
}

fn head(entry: &[u8]) -> u64 {
    u64::from_le_bytes(*entry.first_chunk().expect("an entry begins with its head"))
}

#[cfg(test)]
#[path = "membership_lists_tests.rs"]
mod tests;
