//! Bulk work on channels: it goes through the shards, and prefetches the memory of the next channels.
//!
//! The work on a channel waits for its memory several times, some hundred nanoseconds each, unless the memory was
//! prefetched. So channels go through four stages in batches, and each batch is a stage ahead of the next: prefetch the
//! slots of names; look up the numbers, and prefetch the pointers to rows; prefetch the rows; do the work. The memory
//! for one stage comes while other stages are done for other batches.
//!
//! A shard is locked when its first channel enters the first stage, and unlocked some microseconds later, when the work
//! on its last channel is done. So a lookup never waits for a whole bulk write, only for the batches that are in the
//! pipeline. All threads, readers and writers, lock shards in rising order, so there is no deadlock.

use std::ops::{Deref, Range};

use smallvec::SmallVec;

use super::{Channel, Channels, Shard};
use crate::memory::prefetch::prefetch_start;
use crate::names::hash_index::LOCAL_MASK;
use crate::names::hash_index::Local;
use crate::names::hashed_name::HashedName;
use crate::sync::{Ordering, RwLock, RwLockWriteGuard};
use crate::table::channel_rows::Tally;

/// The number of channels after which all shards are unlocked, so that other threads can use a shard that has very many
/// of the channels.
const WINDOW: usize = if cfg!(shuttle) { 8 } else { 1024 };

/// The number of channels in a batch: somewhat more than the cache lines that a processor loads at the same time.
///
/// Their memory is prefetched together, because the processor may first have to look up the page of each, and it looks
/// up several at the same time only if the instructions are near each other.
const BATCH: usize = if cfg!(shuttle) { 1 } else { 16 };

/// The number of stages.
const STAGES: usize = 4;

/// The number of batches by which shards are prefetched before they are locked.
const SHARDS_AHEAD: usize = 2;

/// The bytes of a shard that nearly all lookups read: its lock, and the pointers to slots and rows.
const READ: usize = 80;

/// The number of legs and shards that need no allocation: those of a change of few channels.
const SHORT: usize = 8;

/// The number of no channel.
const NONE: Local = Local::MAX;

/// A channel, given by id or by name.
pub(super) trait Item: Copy {
    fn shard(self) -> usize;

    /// The first stage: prefetch the memory that [`Item::find`] reads.
    fn ask(items: &[Self], shard: &Shard);

    /// The second stage: the number that the item most likely has in the shard, or [`NONE`].
    fn find(self, shard: &Shard) -> Local;
}

impl Item for Channel {
    fn shard(self) -> usize {
        super::shard_of_id(self)
    }

    fn ask(_: &[Self], _: &Shard) {}

    fn find(self, _: &Shard) -> Local {
        self & LOCAL_MASK
    }
}

impl Item for HashedName {
    fn shard(self) -> usize {
        crate::table::shard_order::shard_of(self)
    }

    fn ask(items: &[Self], shard: &Shard) {
        for hashed in items {
            shard.rows.prefetch_index(hashed.hash());
        }
    }

    fn find(self, shard: &Shard) -> Local {
        shard.rows.candidate(self.hash()).unwrap_or(NONE)
    }
}

/// The items of one batch and one shard.
#[derive(Clone, Copy)]
struct Leg {
    shard: u16,
    /// The number of shards before it in the window.
    turn: u16,
    start: u16,
    end: u16,
}

impl Leg {
    /// The positions of its items.
    fn positions(self) -> Range<usize> {
        self.start.into()..self.end.into()
    }

    fn turn(self) -> usize {
        self.turn.into()
    }
}

/// A part of the items, divided into legs.
struct Window<'a, T> {
    items: &'a [T],
    legs: SmallVec<[Leg; SHORT]>,
    /// For each batch, the end of its legs.
    batches: SmallVec<[u16; SHORT]>,
}

impl Channels {
    /// Change channels: `work` gets the items of one shard at a time, and the number that each most likely has there.
    pub(super) fn write<T: Item>(&self, items: &[T], mut work: impl FnMut(usize, &mut Shard, &[T], &[Local])) {
        self.along(
            items,
            size_of::<RwLock<Shard>>(),
            Writing::of,
            |number, shard, items, locals| work(number, &mut shard.guard, items, locals),
            |shard| self.end(shard),
        );
    }

    /// Read channels: `work` gets the items of one shard at a time, and the number that each most likely has there.
    pub(super) fn read_each<T: Item>(&self, items: &[T], mut work: impl FnMut(&Shard, &[T], &[Local])) {
        self.along(items, READ, RwLock::read, |_, shard, items, locals| work(shard, items, locals), drop);
    }

    /// Change one shard.
    pub(super) fn write_shard<R>(&self, shard: usize, work: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = Writing::of(&self.shards[shard]);
        let result = work(&mut shard.guard);
        self.end(shard);
        result
    }

    fn along<'a, T: Item, G: Deref<Target = Shard>>(
        &'a self,
        items: &[T],
        wanted: usize,
        lock: impl Fn(&'a RwLock<Shard>) -> G,
        mut work: impl FnMut(usize, &mut G, &[T], &[Local]),
        unlock: impl Fn(G),
    ) {
        let mut pipeline = PrefetchPipeline {
            channels: self,
            wanted,
            lock,
            shards: SmallVec::new(),
            left: 0,
            locals: SmallVec::new(),
        };
        for items in items.chunks(WINDOW) {
            pipeline.pass(&Window::of(items), &mut work, &unlock);
        }
    }

    fn end(&self, mut shard: Writing) {
        shard.guard.compact();
        let ((names, rows), (names_now, rows_now)) = (shard.before, shard.guard.bytes());
        self.bytes_of_names.fetch_add(names_now.wrapping_sub(names), Ordering::Relaxed);
        self.bytes_of_rows.fetch_add(rows_now.wrapping_sub(rows), Ordering::Relaxed);
    }
}

/// A shard that is being changed, and the number of bytes that it had before.
struct Writing<'a> {
    guard: RwLockWriteGuard<'a, Shard>,
    before: (usize, usize),
}

impl<'a> Writing<'a> {
    fn of(shard: &'a RwLock<Shard>) -> Self {
        let guard = shard.write();
        Self { before: guard.bytes(), guard }
    }
}

impl Deref for Writing<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.guard
    }
}

impl<'a, T: Item> Window<'a, T> {
    #[expect(clippy::cast_possible_truncation, reason = "a shard's number, and at most WINDOW")]
    fn of(items: &'a [T]) -> Self {
        debug_assert!(items.is_sorted_by_key(|item| item.shard()), "a shard that comes twice is locked twice");
        let (mut legs, mut batches, mut end, mut turn) = (SmallVec::<[Leg; SHORT]>::new(), SmallVec::new(), 0, 0);
        for batch in items.chunks(BATCH) {
            for leg in batch.chunk_by(|a, b| a.shard() == b.shard()) {
                let (shard, start) = (leg[0].shard() as u16, end);
                end += leg.len() as u16;
                turn += u16::from(legs.last().is_some_and(|last| last.shard != shard));
                legs.push(Leg { shard, turn, start, end });
            }
            batches.push(legs.len() as u16);
        }
        Self { items, legs, batches }
    }

    /// The legs of a batch; none before the first batch or after the last.
    fn legs(&self, batch: Option<usize>) -> &[Leg] {
        let end = |batch: usize| usize::from(self.batches[batch]);
        match batch {
            Some(batch) if batch < self.batches.len() => &self.legs[batch.checked_sub(1).map_or(0, end)..end(batch)],
            _ => &[],
        }
    }
}

/// The state of a window: the shards that are locked now, and the numbers that were found in them.
struct PrefetchPipeline<'a, L, G> {
    channels: &'a Channels,
    /// The bytes of a shard to prefetch.
    wanted: usize,
    lock: L,
    /// By `turn`; None for a shard that was unlocked.
    shards: SmallVec<[Option<G>; SHORT]>,
    left: usize,
    locals: SmallVec<[Local; BATCH]>,
}

impl<'a, L: Fn(&'a RwLock<Shard>) -> G, G: Deref<Target = Shard>> PrefetchPipeline<'a, L, G> {
    fn pass<T: Item>(
        &mut self,
        window: &Window<T>,
        work: &mut impl FnMut(usize, &mut G, &[T], &[Local]),
        unlock: &impl Fn(G),
    ) {
        for step in 0..window.batches.len() + STAGES - 1 {
            self.announce(window.legs(Some(step + SHARDS_AHEAD)));
            self.enter(window.items, window.legs(Some(step)));
            self.find(window.items, window.legs(step.checked_sub(1)));
            self.prefetch(window.legs(step.checked_sub(2)));
            self.work(window.items, window.legs(step.checked_sub(3)), work, unlock);
        }
        self.leave(self.shards.len(), unlock);
        self.shards.clear();
        self.locals.clear();
        self.left = 0;
    }

    fn announce(&self, legs: &[Leg]) {
        for leg in legs {
            prefetch_start(&self.channels.shards[usize::from(leg.shard)], self.wanted);
        }
    }

    fn enter<T: Item>(&mut self, items: &[T], legs: &[Leg]) {
        for leg in legs {
            if leg.turn() == self.shards.len() {
                self.shards.push(Some((self.lock)(&self.channels.shards[usize::from(leg.shard)])));
            }
            T::ask(&items[leg.positions()], self.shard(*leg));
        }
    }

    fn find<T: Item>(&mut self, items: &[T], legs: &[Leg]) {
        for leg in legs {
            let shard = self.shards[leg.turn()].as_ref().expect(LOCKED);
            self.locals.extend(items[leg.positions()].iter().map(|item| {
                let local = item.find(shard);
                shard.rows.prefetch_page(local);
                local
            }));
        }
    }

    fn prefetch(&self, legs: &[Leg]) {
        for leg in legs {
            let rows = &self.shard(*leg).rows;
            for &local in &self.locals[leg.positions()] {
                rows.prefetch(local);
            }
        }
    }

    fn work<T: Item>(
        &mut self,
        items: &[T],
        legs: &[Leg],
        work: &mut impl FnMut(usize, &mut G, &[T], &[Local]),
        unlock: &impl Fn(G),
    ) {
        for leg in legs {
            self.leave(leg.turn(), unlock);
            let shard = self.shards[leg.turn()].as_mut().expect(LOCKED);
            work(leg.shard.into(), shard, &items[leg.positions()], &self.locals[leg.positions()]);
        }
    }

    /// Unlock the shards before a turn.
    fn leave(&mut self, turn: usize, unlock: &impl Fn(G)) {
        self.shards[self.left..turn].iter_mut().filter_map(Option::take).for_each(unlock);
        self.left = turn;
    }

    fn shard(&self, leg: Leg) -> &G {
        self.shards[leg.turn()].as_ref().expect(LOCKED)
    }
}

const LOCKED: &str = "a shard is locked until its last channel was worked on";

impl Shard {
    /// Do the work for rows. Rows with a block or bitmap come last, which is prefetched meanwhile.
    #[inline]
    pub(super) fn each_row(&mut self, locals: &[Local], mut work: impl FnMut(&mut Self, Local) -> Tally) -> Tally {
        let (mut late, mut tally) = (SmallVec::<[Local; BATCH]>::new(), Tally::default());
        for &local in locals {
            if self.prefetch_overflow(local) { late.push(local) } else { tally += work(self, local) }
        }
        late.into_iter().for_each(|local| tally += work(self, local));
        tally
    }

    /// Prefetch a row's block or bitmap. Returns whether it has one.
    #[inline]
    pub(super) fn prefetch_overflow(&self, local: Local) -> bool {
        self.rows.get(local).is_some_and(|row| self.overflow.prefetch(row))
    }

    /// Bytes of memory for names, and for subscriptions.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let names = self.rows.bytes_of_names();
        (names, self.rows.bytes() - names + self.overflow.bytes())
    }
}
