//! A channel's readers: a row of 32 bytes for each channel of a shard, and more where a channel has more.
//!
//! Up to seven readers stand in the row itself, so that a login touches one place in memory for most channels. More
//! stand in a block behind the first five; far more in a [`Crowd`], which counts them by instance.

use crate::blocks::{Block, Blocks};
use crate::crowd::Crowd;
use crate::names::Local;
use crate::pages::Pages;
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

const INLINE: usize = 7;
const HEAD: usize = 5;
/// The kind of a row whose block just went.
const ONLY_HEAD: u32 = 5;
const MOST_IN_BLOCK: usize = 256;
const FEWEST_IN_CROWD: usize = 128;

/// The first word counts the lists that name the channel, above four bits that say what the others hold:
/// 0 to 7 readers; or five readers, the number of all of them with the size of their block, and the block; or a crowd.
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
pub(crate) struct Row(pub(crate) [u32; 8]);

const KIND_BITS: u32 = 4;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;
const BLOCK: u32 = 8;
const CROWD: u32 = 9;
const SIZE: usize = 6;
const PLACE: usize = 7;

/// The rows of a shard.
#[derive(Default)]
pub(crate) struct Rows {
    all: Pages<Row, 256>,
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

impl Rows {
    /// Make a row for a channel's number.
    pub(crate) fn reach(&mut self, local: Local) {
        while self.all.len() <= local as usize {
            self.all.push(Row::default());
        }
    }

    /// No number from `bound` on is in use.
    pub(crate) fn truncate(&mut self, bound: usize) {
        self.all.truncate(bound);
    }

    /// Ask for a row ahead of its use.
    pub(crate) fn prefetch(&self, local: Local) {
        self.all.prefetch(local as usize);
    }

    /// Ask for the block of a row that has one.
    pub(crate) fn prefetch_block(&self, local: Local) {
        if let Some(Row(row)) = self.all.get(local as usize)
            && row[0] & KIND_MASK == BLOCK
        {
            self.blocks.prefetch(block_of(row));
        }
    }

    /// One more list names the channel.
    pub(crate) fn hold(&mut self, local: Local) {
        let first = &mut self.all[local as usize].0[0];
        *first = first.checked_add(1 << KIND_BITS).expect("fewer than 2^28 lists name one channel");
    }

    /// One list less names the channel; whether it was the last.
    pub(crate) fn release(&mut self, local: Local) -> bool {
        let first = &mut self.all[local as usize].0[0];
        *first -= 1 << KIND_BITS;
        *first >> KIND_BITS == 0
    }

    /// Add a reader; one that is there already changes nothing.
    pub(crate) fn add(&mut self, local: Local, reader: Reader, readers: &Readers) -> Tally {
        let instance = readers.instance(reader);
        let row = &mut self.all[local as usize];
        let len = row.0[0] & KIND_MASK;
        if len as usize > INLINE {
            return self.add_to_many(local, reader, instance, readers);
        }
        let found = Found::among(&row.0[1..], reader, instance, readers);
        if found.reader {
            return Tally::default();
        }
        if len as usize == INLINE {
            let tail = [row.0[6], row.0[7], reader];
            let block = self.blocks.allocate(&tail);
            self.set_block(local, block, INLINE + 1);
        } else {
            row.0[len as usize + 1] = reader;
            row.0[0] += 1;
        }
        Tally { entries: usize::from(!found.instance), channels: usize::from(len == 0) }
    }

    /// Remove a reader; one that is not there changes nothing.
    pub(crate) fn remove(&mut self, local: Local, reader: Reader, readers: &Readers) -> Tally {
        let instance = readers.instance(reader);
        let row = &mut self.all[local as usize];
        let len = (row.0[0] & KIND_MASK) as usize;
        if len > INLINE {
            return self.remove_from_many(local, reader, instance, readers);
        }
        let Some(place) = place_of(&row.0[1..], reader) else { return Tally::default() };
        row.0[1 + place] = row.0[len];
        row.0[len] = NOBODY;
        row.0[0] -= 1;
        let found = Found::among(&row.0[1..], reader, instance, readers);
        Tally { entries: usize::from(!found.instance), channels: usize::from(len == 1) }
    }

    /// The readers of a channel.
    pub(crate) fn view(&self, local: Local) -> View<'_> {
        let row = &self.all[local as usize].0;
        match row[0] & KIND_MASK {
            BLOCK => View::Few(&row[1..=HEAD], self.blocks.get(block_of(row), tail_length(row))),
            CROWD => self.crowds[row[1] as usize].as_deref().map_or(View::Few(&[], &[]), View::Many),
            inline => View::Few(&row[1..=inline as usize], &[]),
        }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        let crowds = self.crowds.capacity() * size_of::<Option<Box<Crowd>>>() + self.crowd_bytes;
        self.all.bytes() + self.blocks.bytes() + crowds
    }

    fn kind(&self, local: Local) -> u32 {
        self.all[local as usize].0[0] & KIND_MASK
    }

    fn set_kind(&mut self, local: Local, kind: u32) {
        let first = &mut self.all[local as usize].0[0];
        *first = *first & !KIND_MASK | kind;
    }

    fn add_to_many(&mut self, local: Local, reader: Reader, instance: u32, readers: &Readers) -> Tally {
        let (present, beside) = match self.view(local) {
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
        match self.kind(local) {
            BLOCK => self.add_to_block(local, reader, readers),
            _ => self.with_crowd(local, |crowd| crowd.add(reader, instance)),
        }
        Tally { entries: usize::from(!beside), channels: 0 }
    }

    fn remove_from_many(&mut self, local: Local, reader: Reader, instance: u32, readers: &Readers) -> Tally {
        let gone = match self.kind(local) {
            BLOCK => {
                let removed = self.remove_from_block(local, reader);
                let View::Few(head, tail) = self.view(local) else { return Tally::default() };
                let among = |part| Found::among(part, reader, instance, readers).instance;
                removed && !(among(head) | among(tail))
            }
            _ => self.remove_from_crowd(local, reader, instance),
        };
        Tally { entries: usize::from(gone), channels: 0 }
    }

    fn add_to_block(&mut self, local: Local, reader: Reader, readers: &Readers) {
        let row = self.all[local as usize].0;
        let tail = tail_length(&row);
        if HEAD + tail == MOST_IN_BLOCK {
            return self.make_crowd(local, reader, readers);
        }
        let block = self.blocks.push(block_of(&row), tail, reader);
        self.set_block(local, block, HEAD + tail + 1);
        self.compact_blocks();
    }

    fn remove_from_block(&mut self, local: Local, reader: Reader) -> bool {
        let row = self.all[local as usize].0;
        let (block, tail) = (block_of(&row), tail_length(&row));
        let last = self.blocks.get(block, tail)[tail - 1];
        if let Some(place) = place_of(&row[1..=HEAD], reader) {
            self.all[local as usize].0[1 + place] = last;
        } else if let Some(place) = place_of(self.blocks.get(block, tail), reader) {
            self.blocks.set(block, place, last);
        } else {
            return false;
        }
        if let Some(block) = self.blocks.pop(block, tail) {
            self.set_block(local, block, HEAD + tail - 1);
        } else {
            let row = &mut self.all[local as usize].0;
            (row[SIZE], row[PLACE]) = (NOBODY, NOBODY);
            self.set_kind(local, ONLY_HEAD);
        }
        self.compact_blocks();
        true
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MOST_IN_BLOCK")]
    fn set_block(&mut self, local: Local, block: Block, len: usize) {
        let row = &mut self.all[local as usize].0;
        (row[SIZE], row[PLACE]) = (len as u32 | u32::from(block.class) << 16, block.start);
        self.set_kind(local, BLOCK);
    }

    fn compact_blocks(&mut self) {
        if self.blocks.is_sparse() {
            let mut compact = Blocks::default();
            for row in self.all.iter_mut().map(|row| &mut row.0).filter(|row| row[0] & KIND_MASK == BLOCK) {
                let moved = compact.allocate(self.blocks.get(block_of(row), tail_length(row)));
                (row[SIZE], row[PLACE]) = (row[SIZE] & 0xffff | u32::from(moved.class) << 16, moved.start);
            }
            self.blocks = compact;
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "no more crowds than rows")]
    fn make_crowd(&mut self, local: Local, reader: Reader, readers: &Readers) {
        let row = self.all[local as usize].0;
        let (block, tail) = (block_of(&row), tail_length(&row));
        let all = row[1..=HEAD].iter().chain(self.blocks.get(block, tail)).chain([&reader]);
        let crowd = Crowd::of(all.map(|&reader| (reader, readers.instance(reader))));
        self.blocks.free(block);
        let place = self.crowds.iter().position(Option::is_none).unwrap_or_else(|| {
            self.crowds.push(None);
            self.crowds.len() - 1
        });
        self.crowd_bytes += crowd.bytes();
        self.crowds[place] = Some(Box::new(crowd));
        self.all[local as usize].0[1] = place as u32;
        self.set_kind(local, CROWD);
    }

    fn remove_from_crowd(&mut self, local: Local, reader: Reader, instance: u32) -> bool {
        let (gone, len) = self.with_crowd(local, |crowd| (crowd.remove(reader, instance), crowd.len()));
        if len < FEWEST_IN_CROWD {
            self.end_crowd(local);
        }
        gone
    }

    fn end_crowd(&mut self, local: Local) {
        let place = self.all[local as usize].0[1] as usize;
        let Some(crowd) = self.crowds[place].take() else { return };
        self.crowd_bytes -= crowd.bytes();
        let readers: Vec<Reader> = crowd.readers_after(None).collect();
        while self.crowds.last().is_some_and(Option::is_none) {
            self.crowds.pop();
        }
        self.all[local as usize].0[1..=HEAD].copy_from_slice(&readers[..HEAD]);
        let block = self.blocks.allocate(&readers[HEAD..]);
        self.set_block(local, block, readers.len());
    }

    fn with_crowd<R>(&mut self, local: Local, change: impl FnOnce(&mut Crowd) -> R) -> R {
        let place = self.all[local as usize].0[1] as usize;
        let crowd = self.crowds[place].as_mut().expect("a row that says so has a crowd");
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

fn block_of(row: &[u32; 8]) -> Block {
    #[expect(clippy::cast_possible_truncation, reason = "written by set_block")]
    let class = (row[SIZE] >> 16) as u8;
    Block { start: row[PLACE], class }
}

fn tail_length(row: &[u32; 8]) -> usize {
    (row[SIZE] & 0xffff) as usize - HEAD
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.channels += other.channels;
    }
}
