//! A channel's readers: a row of 64 bytes for each channel of a shard, and more where a channel has more.
//!
//! Up to eleven readers stand in the row itself, beside the channel's name, so that a login touches one line of memory
//! for most channels, found by name or not. More stand in a block behind the first nine; far more in a [`Crowd`], which
//! counts them by instance.

use crate::blocks::{Block, Blocks};
use crate::crowd::Crowd;
use crate::names::{Cell, Record};
use crate::prefetch::prefetch_whole;
use crate::readers::{NOBODY, Reader, Readers};

/// Instances, by number.
pub(crate) type InstanceIds = smallvec::SmallVec<[u32; 16]>;

/// What a change did, over any number of channels.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// (channel, instance) entries begun or ended.
    pub(crate) entries: usize,
    /// Channels that got their first reader or lost their last.
    pub(crate) channels: usize,
}

const INLINE: usize = if cfg!(shuttle) { 3 } else { 11 };
const HEAD: usize = INLINE - 2;
/// The kind of a row whose block just went.
#[expect(clippy::cast_possible_truncation, reason = "nine")]
const ONLY_HEAD: u32 = HEAD as u32;
const MOST_IN_BLOCK: usize = if cfg!(shuttle) { 6 } else { 256 };
const FEWEST_IN_CROWD: usize = if cfg!(shuttle) { 5 } else { 128 };

/// One line of memory for each channel, its name's cell included.
///
/// The first word counts the lists that name the channel, above four bits that say what the others hold: 0 to 11
/// readers; or nine readers, the number of all of them with the size of their block, and the block; or a crowd.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Row {
    cell: Cell,
    words: [u32; 12],
}

const KIND_BITS: u32 = 4;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;
const BLOCK: u32 = 12;
const CROWD: u32 = 13;
const SIZE: usize = 10;
const PLACE: usize = 11;

/// What the rows of a shard do not hold themselves.
#[derive(Default)]
pub(crate) struct Overflow {
    blocks: Blocks,
    crowds: Vec<Option<Box<Crowd>>>,
    crowd_bytes: usize,
}

/// The readers of one channel.
pub(crate) enum View<'a> {
    /// Few, in no order.
    Few(&'a [Reader], &'a [Reader]),
    /// Many, in rising order.
    Many(&'a Crowd),
}

impl Record for Row {
    fn cell(&self) -> Cell {
        self.cell
    }

    fn set_cell(&mut self, cell: Cell) {
        self.cell = cell;
    }
}

impl Row {
    /// One more list names the channel.
    pub(crate) fn hold(&mut self) {
        self.words[0] = self.words[0].checked_add(1 << KIND_BITS).expect("fewer than 2^28 lists name one channel");
    }

    /// Whether a list names the channel.
    pub(crate) fn is_held(&self) -> bool {
        self.words[0] >> KIND_BITS != 0
    }

    /// One list less names the channel; whether it was the last.
    pub(crate) fn release(&mut self) -> bool {
        self.words[0] -= 1 << KIND_BITS;
        self.words[0] >> KIND_BITS == 0
    }

    fn kind(&self) -> u32 {
        self.words[0] & KIND_MASK
    }

    fn set_kind(&mut self, kind: u32) {
        self.words[0] = self.words[0] & !KIND_MASK | kind;
    }

    fn head(&self) -> &[Reader] {
        &self.words[1..=HEAD]
    }

    fn block(&self) -> Block {
        #[expect(clippy::cast_possible_truncation, reason = "written by set_block")]
        let class = (self.words[SIZE] >> 16) as u8;
        Block { start: self.words[PLACE], class }
    }

    /// How many readers are in the block.
    fn tail(&self) -> usize {
        (self.words[SIZE] & 0xffff) as usize - HEAD
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MOST_IN_BLOCK")]
    fn set_block(&mut self, block: Block, len: usize) {
        (self.words[SIZE], self.words[PLACE]) = (len as u32 | u32::from(block.class) << 16, block.start);
        self.set_kind(BLOCK);
    }

    fn crowd(&self) -> usize {
        self.words[1] as usize
    }
}

impl Overflow {
    /// Ask for the block or crowd of a row that has one.
    pub(crate) fn prefetch(&self, row: &Row) {
        match row.kind() {
            BLOCK => self.blocks.prefetch(row.block()),
            CROWD => self.crowds[row.crowd()].as_deref().into_iter().for_each(prefetch_whole),
            _ => {}
        }
    }

    /// Add a reader; one that is there already changes nothing.
    pub(crate) fn add(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> Tally {
        let instance = readers.instance(reader);
        let len = row.kind() as usize;
        if len > INLINE {
            return self.add_to_many(row, reader, instance, readers);
        }
        let found = Found::among(&row.words[1..], reader, instance, readers);
        if found.reader {
            return Tally::default();
        }
        if len == INLINE {
            let block = self.blocks.allocate(&[row.words[INLINE - 1], row.words[INLINE], reader]);
            row.words[HEAD + 1..].fill(NOBODY);
            row.set_block(block, INLINE + 1);
        } else {
            row.words[len + 1] = reader;
            row.words[0] += 1;
        }
        Tally { entries: usize::from(!found.instance), channels: usize::from(len == 0) }
    }

    /// Remove a reader; one that is not there changes nothing.
    pub(crate) fn remove(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> Tally {
        let instance = readers.instance(reader);
        let len = row.kind() as usize;
        if len > INLINE {
            return self.remove_from_many(row, reader, instance, readers);
        }
        let Some(place) = place_of(&row.words[1..], reader) else { return Tally::default() };
        row.words[1 + place] = row.words[len];
        row.words[len] = NOBODY;
        row.words[0] -= 1;
        let found = Found::among(&row.words[1..], reader, instance, readers);
        Tally { entries: usize::from(!found.instance), channels: usize::from(len == 1) }
    }

    /// The readers of a row.
    pub(crate) fn view<'a>(&'a self, row: &'a Row) -> View<'a> {
        match row.kind() {
            BLOCK => View::Few(row.head(), self.blocks.get(row.block(), row.tail())),
            CROWD => self.crowds[row.crowd()].as_deref().map_or(View::Few(&[], &[]), View::Many),
            inline => View::Few(&row.words[1..=inline as usize], &[]),
        }
    }

    /// Whether [`Overflow::compact`] would return half of the blocks' memory.
    pub(crate) fn is_sparse(&self) -> bool {
        self.blocks.is_sparse()
    }

    /// Move the blocks of all rows together.
    pub(crate) fn compact<'a>(&mut self, rows: impl Iterator<Item = &'a mut Row>) {
        let mut compact = Blocks::default();
        for row in rows.filter(|row| row.kind() == BLOCK) {
            let moved = compact.allocate(self.blocks.get(row.block(), row.tail()));
            row.set_block(moved, HEAD + row.tail());
        }
        self.blocks = compact;
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.bytes() + self.crowds.capacity() * size_of::<Option<Box<Crowd>>>() + self.crowd_bytes
    }

    fn add_to_many(&mut self, row: &mut Row, reader: Reader, instance: u32, readers: &Readers) -> Tally {
        let (present, beside) = match self.view(row) {
            View::Few(head, tail) => {
                let found =
                    Found::among(head, reader, instance, readers) | Found::among(tail, reader, instance, readers);
                (found.reader, found.instance)
            }
            View::Many(crowd) => (crowd.contains(reader), crowd.is_on(instance)),
        };
        if present {
            return Tally::default();
        }
        match row.kind() {
            BLOCK => self.add_to_block(row, reader, readers),
            _ => self.with_crowd(row, |crowd| crowd.add(reader, instance)),
        }
        Tally { entries: usize::from(!beside), channels: 0 }
    }

    fn remove_from_many(&mut self, row: &mut Row, reader: Reader, instance: u32, readers: &Readers) -> Tally {
        let gone = match row.kind() {
            BLOCK => {
                let removed = self.remove_from_block(row, reader);
                let View::Few(head, tail) = self.view(row) else { return Tally::default() };
                let among = |part| Found::among(part, reader, instance, readers).instance;
                removed && !(among(head) | among(tail))
            }
            _ => self.remove_from_crowd(row, reader, instance),
        };
        Tally { entries: usize::from(gone), channels: 0 }
    }

    fn add_to_block(&mut self, row: &mut Row, reader: Reader, readers: &Readers) {
        let tail = row.tail();
        if HEAD + tail == MOST_IN_BLOCK {
            return self.make_crowd(row, reader, readers);
        }
        let block = self.blocks.push(row.block(), tail, reader);
        row.set_block(block, HEAD + tail + 1);
    }

    fn remove_from_block(&mut self, row: &mut Row, reader: Reader) -> bool {
        let (block, tail) = (row.block(), row.tail());
        let last = self.blocks.get(block, tail)[tail - 1];
        if let Some(place) = place_of(row.head(), reader) {
            row.words[1 + place] = last;
        } else if let Some(place) = place_of(self.blocks.get(block, tail), reader) {
            self.blocks.set(block, place, last);
        } else {
            return false;
        }
        if let Some(block) = self.blocks.pop(block, tail) {
            row.set_block(block, HEAD + tail - 1);
        } else {
            (row.words[SIZE], row.words[PLACE]) = (NOBODY, NOBODY);
            row.set_kind(ONLY_HEAD);
        }
        true
    }

    #[expect(clippy::cast_possible_truncation, reason = "no more crowds than rows")]
    fn make_crowd(&mut self, row: &mut Row, reader: Reader, readers: &Readers) {
        let block = row.block();
        let all = row.head().iter().chain(self.blocks.get(block, row.tail())).chain([&reader]);
        let crowd = Crowd::of(all.map(|&reader| (reader, readers.instance(reader))));
        self.blocks.free(block);
        let place = self.crowds.iter().position(Option::is_none).unwrap_or_else(|| {
            self.crowds.push(None);
            self.crowds.len() - 1
        });
        self.crowd_bytes += crowd.bytes();
        self.crowds[place] = Some(Box::new(crowd));
        row.words[1] = place as u32;
        row.set_kind(CROWD);
    }

    fn remove_from_crowd(&mut self, row: &mut Row, reader: Reader, instance: u32) -> bool {
        let (gone, len) = self.with_crowd(row, |crowd| (crowd.remove(reader, instance), crowd.len()));
        if len < FEWEST_IN_CROWD {
            self.end_crowd(row);
        }
        gone
    }

    fn end_crowd(&mut self, row: &mut Row) {
        let Some(crowd) = self.crowds[row.crowd()].take() else { return };
        self.crowd_bytes -= crowd.bytes();
        let readers: Vec<Reader> = crowd.readers_after(None).collect();
        while self.crowds.last().is_some_and(Option::is_none) {
            self.crowds.pop();
        }
        row.words[1..=HEAD].copy_from_slice(&readers[..HEAD]);
        let block = self.blocks.allocate(&readers[HEAD..]);
        row.set_block(block, readers.len());
    }

    fn with_crowd<R>(&mut self, row: &Row, change: impl FnOnce(&mut Crowd) -> R) -> R {
        let crowd = self.crowds[row.crowd()].as_mut().expect("a row that says so has a crowd");
        self.crowd_bytes -= crowd.bytes();
        let result = change(crowd);
        self.crowd_bytes += crowd.bytes();
        result
    }
}

impl View<'_> {
    /// The instances of the readers, each once, into `found`, which is empty.
    pub(crate) fn instances(&self, readers: &Readers, found: &mut InstanceIds) {
        match self {
            View::Few(head, tail) => distinct(head.iter().chain(*tail).map(|&reader| readers.instance(reader)), found),
            View::Many(crowd) => found.extend(crowd.instances()),
        }
    }

    /// Whether a reader is among them.
    pub(crate) fn contains(&self, reader: Reader) -> bool {
        match self {
            View::Few(head, tail) => head.contains(&reader) || tail.contains(&reader),
            View::Many(crowd) => crowd.contains(reader),
        }
    }
}

/// Each number once. Bits say which of the low numbers were seen; numbers beyond them are rare, and sorted.
fn distinct(numbers: impl Iterator<Item = u32>, found: &mut InstanceIds) {
    let (mut seen, mut beyond) = ([0_u64; 16], false);
    for number in numbers {
        let bit = 1 << (number % 64);
        match seen.get_mut(number as usize / 64) {
            Some(word) if *word & bit != 0 => {}
            Some(word) => {
                *word |= bit;
                found.push(number);
            }
            None => {
                beyond = true;
                found.push(number);
            }
        }
    }
    if beyond {
        found.sort_unstable();
        found.dedup();
    }
}

/// Whether a reader, and another one on the same instance, is among some.
#[derive(Default, Clone, Copy)]
struct Found {
    reader: bool,
    instance: bool,
}

impl Found {
    /// Looks at all of them, unused places too, since a loop that stops early is mispredicted for nearly every row.
    fn among(some: &[Reader], reader: Reader, instance: u32, readers: &Readers) -> Self {
        some.iter().fold(Self::default(), |found, &other| {
            found | Self { reader: other == reader, instance: readers.instance(other) == instance }
        })
    }
}

impl std::ops::BitOr for Found {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { reader: self.reader | other.reader, instance: self.instance | other.instance }
    }
}

/// Where a reader is, found without stopping early; see [`Found::among`].
fn place_of(some: &[Reader], reader: Reader) -> Option<usize> {
    let last = some.iter().enumerate().fold(usize::MAX, |at, (place, &other)| if other == reader { place } else { at });
    (last != usize::MAX).then_some(last)
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.channels += other.channels;
    }
}
