//! A channel's readers: a row of 64 bytes for each channel of a shard, and more where a channel has more.
//!
//! Up to eleven readers stand in the row itself, beside the channel's name, so that a login touches one line of memory
//! for most channels, found by name or not. More stand in a block behind the first nine; far more in a [`Crowd`], which
//! counts them by instance.

mod row;
mod view;

pub(crate) use self::row::Row;
use self::row::{BLOCK, CROWD, HEAD, INLINE, ONLY_HEAD, PLACE, SIZE};
use self::view::is_any_on;
pub(crate) use self::view::{InstanceIds, View};
use crate::memory::blocks::Blocks;
use crate::memory::prefetch::prefetch_whole;
use crate::table::bitmap_subscribers::Crowd;
use crate::table::subscriptions::{NOBODY, Reader, Readers};

/// What a change did, over any number of channels.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// (channel, instance) entries begun or ended.
    pub(crate) entries: usize,
    /// Channels that got their first reader or lost their last.
    pub(crate) channels: usize,
}

const MOST_IN_BLOCK: usize = if cfg!(shuttle) { 6 } else { 256 };
const FEWEST_IN_CROWD: usize = if cfg!(shuttle) { 5 } else { 128 };

/// What the rows of a shard do not hold themselves.
#[derive(Default)]
pub(crate) struct Overflow {
    blocks: Blocks,
    crowds: Vec<Option<Box<Crowd>>>,
    crowd_bytes: usize,
}

impl Overflow {
    /// Ask for the block or crowd of a row that has one; whether it has.
    #[inline]
    pub(crate) fn prefetch(&self, row: &Row) -> bool {
        let has_more = row.kind() >= BLOCK;
        if has_more {
            self.prefetch_more(row);
        }
        has_more
    }

    fn prefetch_more(&self, row: &Row) {
        match row.kind() {
            BLOCK => self.blocks.prefetch(row.block()),
            _ => self.crowds[row.crowd()].as_deref().into_iter().for_each(prefetch_whole),
        }
    }

    /// Add a reader; one that is there already changes nothing.
    #[inline]
    pub(crate) fn add(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> Tally {
        let len = row.kind() as usize;
        if len >= INLINE {
            return self.add_beyond(row, reader, readers);
        }
        let likeness = row.compare(reader);
        if likeness.is_there {
            return Tally::default();
        }
        let beside = likeness.has_like && is_any_on(&row.words[1..], readers.instance(reader), readers);
        row.words[len + 1] = reader;
        row.words[0] += 1;
        Tally { entries: usize::from(!beside), channels: usize::from(len == 0) }
    }

    /// Remove a reader; one that is not there changes nothing.
    #[inline]
    pub(crate) fn remove(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> Tally {
        let len = row.kind() as usize;
        if len > INLINE {
            return self.remove_from_many(row, reader, readers);
        }
        let likeness = row.compare(reader);
        if !likeness.is_there {
            return Tally::default();
        }
        row.take_out(len, reader);
        let beside = likeness.has_like && is_any_on(&row.words[1..], readers.instance(reader), readers);
        Tally { entries: usize::from(!beside), channels: usize::from(len == 1) }
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

    /// Add a reader to a row that has no room of its own.
    #[cold]
    fn add_beyond(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> Tally {
        let (view, instance) = (self.view(row), readers.instance(reader));
        if view.contains(reader) {
            return Tally::default();
        }
        let beside = view.is_on(instance, readers);
        match row.kind() {
            BLOCK => self.add_to_block(row, reader, readers),
            CROWD => self.with_crowd(row, |crowd| crowd.add(reader, instance)),
            _ => self.make_block(row, reader),
        }
        Tally { entries: usize::from(!beside), channels: 0 }
    }

    #[cold]
    fn remove_from_many(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> Tally {
        let gone = match row.kind() {
            BLOCK => self.remove_from_block(row, reader),
            _ => self.remove_from_crowd(row, reader, readers),
        };
        let beside = gone && self.view(row).is_on(readers.instance(reader), readers);
        Tally { entries: usize::from(gone && !beside), channels: 0 }
    }

    fn make_block(&mut self, row: &mut Row, reader: Reader) {
        let block = self.blocks.allocate(&[row.words[INLINE - 1], row.words[INLINE], reader]);
        row.words[HEAD + 1..].fill(NOBODY);
        row.set_block(block, INLINE + 1);
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

    fn remove_from_crowd(&mut self, row: &mut Row, reader: Reader, readers: &Readers) -> bool {
        let instance = readers.instance(reader);
        let (gone, len) = self.with_crowd(row, |crowd| (crowd.remove(reader, instance), crowd.len()));
        if len < FEWEST_IN_CROWD {
            self.end_crowd(row, readers);
        }
        gone
    }

    fn end_crowd(&mut self, row: &mut Row, readers: &Readers) {
        let Some(crowd) = self.crowds[row.crowd()].take() else { return };
        self.crowd_bytes -= crowd.bytes();
        let left: Vec<Reader> = crowd.readers_after(None, readers).collect();
        while self.crowds.last().is_some_and(Option::is_none) {
            self.crowds.pop();
        }
        self.crowds.shrink_to(2 * self.crowds.len());
        row.words[1..=HEAD].copy_from_slice(&left[..HEAD]);
        let block = self.blocks.allocate(&left[HEAD..]);
        row.set_block(block, left.len());
    }

    fn with_crowd<R>(&mut self, row: &Row, change: impl FnOnce(&mut Crowd) -> R) -> R {
        let crowd = self.crowds[row.crowd()].as_mut().expect("a row that says so has a crowd");
        self.crowd_bytes -= crowd.bytes();
        let result = change(crowd);
        self.crowd_bytes += crowd.bytes();
        result
    }
}

fn place_of(some: &[Reader], reader: Reader) -> Option<usize> {
    some.iter().position(|&other| other == reader)
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.channels += other.channels;
    }
}

#[cfg(test)]
mod tests;
