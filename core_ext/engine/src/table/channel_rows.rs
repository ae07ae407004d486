//! A channel's subscriptions: a row of 64 bytes for each channel of a shard, and more where a channel has more.
//!
//! Up to eleven subscriptions are in the row itself, beside the channel's name, so that a login touches one cache line
//! for most channels. If there are more, the row has nine and a block has the others. If there are very many, they are
//! in a [`BitmapSubscribers`], which counts them by instance.

mod row;
mod view;

pub(crate) use self::row::ChannelRow;
use self::row::{BITMAP, BLOCK, BLOCK_START, HEAD, INLINE, ONLY_HEAD, SIZE};
use self::view::is_any_on;
pub(crate) use self::view::{InstanceIds, View};
use crate::memory::blocks::Blocks;
use crate::memory::prefetch::prefetch_whole;
use crate::table::bitmap_subscribers::BitmapSubscribers;
use crate::table::subscriptions::{NO_SUBSCRIPTION, Subscription, Subscriptions};

/// The result of a change, over any number of channels.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The number of (channel, instance) entries that were added or removed.
    pub(crate) entries: usize,
    /// The number of channels that got their first subscription or lost their last one.
    pub(crate) channels: usize,
}

const MOST_IN_BLOCK: usize = if cfg!(shuttle) { 6 } else { 256 };
const FEWEST_IN_BITMAP: usize = if cfg!(shuttle) { 5 } else { 128 };

/// The blocks and bitmaps of a shard: the subscriptions that its rows do not hold themselves.
#[derive(Default)]
pub(crate) struct Overflow {
    blocks: Blocks,
    bitmaps: Vec<Option<Box<BitmapSubscribers>>>,
    bitmap_bytes: usize,
}

impl Overflow {
    /// Prefetch the block or bitmap of a row. Returns whether the row has one.
    #[inline]
    pub(crate) fn prefetch(&self, row: &ChannelRow) -> bool {
        let has_more = row.kind() >= BLOCK;
        if has_more {
            self.prefetch_more(row);
        }
        has_more
    }

    fn prefetch_more(&self, row: &ChannelRow) {
        match row.kind() {
            BLOCK => self.blocks.prefetch(row.block()),
            _ => self.bitmaps[row.bitmap()].as_deref().into_iter().for_each(prefetch_whole),
        }
    }

    /// Add a subscription. One that exists already changes nothing.
    #[inline]
    pub(crate) fn add(
        &mut self,
        row: &mut ChannelRow,
        subscription: Subscription,
        subscriptions: &Subscriptions,
    ) -> Tally {
        let len = row.kind() as usize;
        if len >= INLINE {
            return self.add_beyond(row, subscription, subscriptions);
        }
        let likeness = row.compare(subscription);
        if likeness.is_there {
            return Tally::default();
        }
        let beside =
            likeness.has_like && is_any_on(&row.words[1..], subscriptions.instance(subscription), subscriptions);
        row.words[len + 1] = subscription;
        row.words[0] += 1;
        Tally { entries: usize::from(!beside), channels: usize::from(len == 0) }
    }

    /// Remove a subscription. One that does not exist changes nothing.
    #[inline]
    pub(crate) fn remove(
        &mut self,
        row: &mut ChannelRow,
        subscription: Subscription,
        subscriptions: &Subscriptions,
    ) -> Tally {
        let len = row.kind() as usize;
        if len > INLINE {
            return self.remove_from_many(row, subscription, subscriptions);
        }
        let likeness = row.compare(subscription);
        if !likeness.is_there {
            return Tally::default();
        }
        row.take_out(len, subscription);
        let beside =
            likeness.has_like && is_any_on(&row.words[1..], subscriptions.instance(subscription), subscriptions);
        Tally { entries: usize::from(!beside), channels: usize::from(len == 1) }
    }

    /// The subscriptions of a row.
    pub(crate) fn view<'a>(&'a self, row: &'a ChannelRow) -> View<'a> {
        match row.kind() {
            BLOCK => View::Few(row.head(), self.blocks.get(row.block(), row.tail())),
            BITMAP => self.bitmaps[row.bitmap()].as_deref().map_or(View::Few(&[], &[]), View::Many),
            inline => View::Few(&row.words[1..=inline as usize], &[]),
        }
    }

    /// Whether [`Overflow::compact`] would free half of the blocks' memory.
    pub(crate) fn is_sparse(&self) -> bool {
        self.blocks.is_sparse()
    }

    /// Move the blocks of all rows together, and free the memory between them.
    pub(crate) fn compact<'a>(&mut self, rows: impl Iterator<Item = &'a mut ChannelRow>) {
        let mut compact = Blocks::default();
        for row in rows.filter(|row| row.kind() == BLOCK) {
            let moved = compact.allocate(self.blocks.get(row.block(), row.tail()));
            row.set_block(moved, HEAD + row.tail());
        }
        self.blocks = compact;
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.bytes() + self.bitmaps.capacity() * size_of::<Option<Box<BitmapSubscribers>>>() + self.bitmap_bytes
    }

    /// Add a subscription to a row that is full.
    #[cold]
    fn add_beyond(&mut self, row: &mut ChannelRow, subscription: Subscription, subscriptions: &Subscriptions) -> Tally {
        let (view, instance) = (self.view(row), subscriptions.instance(subscription));
        if view.contains(subscription) {
            return Tally::default();
        }
        let beside = view.is_on(instance, subscriptions);
        match row.kind() {
            BLOCK => self.add_to_block(row, subscription, subscriptions),
            BITMAP => self.with_bitmap(row, |bitmap| bitmap.add(subscription, instance)),
            _ => self.make_block(row, subscription),
        }
        Tally { entries: usize::from(!beside), channels: 0 }
    }

    #[cold]
    fn remove_from_many(
        &mut self,
        row: &mut ChannelRow,
        subscription: Subscription,
        subscriptions: &Subscriptions,
    ) -> Tally {
        let gone = match row.kind() {
            BLOCK => self.remove_from_block(row, subscription),
            _ => self.remove_from_bitmap(row, subscription, subscriptions),
        };
        let beside = gone && self.view(row).is_on(subscriptions.instance(subscription), subscriptions);
        Tally { entries: usize::from(gone && !beside), channels: 0 }
    }

    fn make_block(&mut self, row: &mut ChannelRow, subscription: Subscription) {
        let block = self.blocks.allocate(&[row.words[INLINE - 1], row.words[INLINE], subscription]);
        row.words[HEAD + 1..].fill(NO_SUBSCRIPTION);
        row.set_block(block, INLINE + 1);
    }

    fn add_to_block(&mut self, row: &mut ChannelRow, subscription: Subscription, subscriptions: &Subscriptions) {
        let tail = row.tail();
        if HEAD + tail == MOST_IN_BLOCK {
            return self.make_bitmap(row, subscription, subscriptions);
        }
        let block = self.blocks.push(row.block(), tail, subscription);
        row.set_block(block, HEAD + tail + 1);
    }

    fn remove_from_block(&mut self, row: &mut ChannelRow, subscription: Subscription) -> bool {
        let (block, tail) = (row.block(), row.tail());
        let last = self.blocks.get(block, tail)[tail - 1];
        if let Some(position) = position_of(row.head(), subscription) {
            row.words[1 + position] = last;
        } else if let Some(position) = position_of(self.blocks.get(block, tail), subscription) {
            self.blocks.set(block, position, last);
        } else {
            return false;
        }
        if let Some(block) = self.blocks.pop(block, tail) {
            row.set_block(block, HEAD + tail - 1);
        } else {
            (row.words[SIZE], row.words[BLOCK_START]) = (NO_SUBSCRIPTION, NO_SUBSCRIPTION);
            row.set_kind(ONLY_HEAD);
        }
        true
    }

    #[expect(clippy::cast_possible_truncation, reason = "no more bitmaps than rows")]
    fn make_bitmap(&mut self, row: &mut ChannelRow, subscription: Subscription, subscriptions: &Subscriptions) {
        let block = row.block();
        let all = row.head().iter().chain(self.blocks.get(block, row.tail())).chain([&subscription]);
        let bitmap =
            BitmapSubscribers::of(all.map(|&subscription| (subscription, subscriptions.instance(subscription))));
        self.blocks.free(block);
        let position = self.bitmaps.iter().position(Option::is_none).unwrap_or_else(|| {
            self.bitmaps.push(None);
            self.bitmaps.len() - 1
        });
        self.bitmap_bytes += bitmap.bytes();
        self.bitmaps[position] = Some(Box::new(bitmap));
        row.words[1] = position as u32;
        row.set_kind(BITMAP);
    }

    fn remove_from_bitmap(
        &mut self,
        row: &mut ChannelRow,
        subscription: Subscription,
        subscriptions: &Subscriptions,
    ) -> bool {
        let instance = subscriptions.instance(subscription);
        let (gone, len) = self.with_bitmap(row, |bitmap| (bitmap.remove(subscription, instance), bitmap.len()));
        if len < FEWEST_IN_BITMAP {
            self.end_bitmap(row, subscriptions);
        }
        gone
    }

    fn end_bitmap(&mut self, row: &mut ChannelRow, subscriptions: &Subscriptions) {
        let Some(bitmap) = self.bitmaps[row.bitmap()].take() else { return };
        self.bitmap_bytes -= bitmap.bytes();
        let left: Vec<Subscription> = bitmap.subscriptions_after(None, subscriptions).collect();
        while self.bitmaps.last().is_some_and(Option::is_none) {
            self.bitmaps.pop();
        }
        self.bitmaps.shrink_to(2 * self.bitmaps.len());
        row.words[1..=HEAD].copy_from_slice(&left[..HEAD]);
        let block = self.blocks.allocate(&left[HEAD..]);
        row.set_block(block, left.len());
    }

    fn with_bitmap<R>(&mut self, row: &ChannelRow, change: impl FnOnce(&mut BitmapSubscribers) -> R) -> R {
        let bitmap = self.bitmaps[row.bitmap()].as_mut().expect("a row that says so has a bitmap");
        self.bitmap_bytes -= bitmap.bytes();
        let result = change(bitmap);
        self.bitmap_bytes += bitmap.bytes();
        result
    }
}

fn position_of(some: &[Subscription], subscription: Subscription) -> Option<usize> {
    some.iter().position(|&other| other == subscription)
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.channels += other.channels;
    }
}

#[cfg(test)]
mod tests;
