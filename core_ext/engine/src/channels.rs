//! Channel -> readers, in shards by the hash of the channel's name.
//!
//! A shard has all that there is of its channels behind one lock: the names, how many lists hold each, the readers. A
//! channel's id is its shard above its number there, so that a sorted list of ids is a walk from shard to shard.
//!
//! Bulk work goes along the shards by windows: it locks the few shards of the next [`WINDOW`] channels, works on them,
//! and unlocks them, some microseconds later. So a lookup never waits for a bulk write, only now and then for a window.
//! Within a window the misses of the cache overlap: what will be needed is read in passes whose reads do not wait for
//! one another, first the slots, then the rows, then the blocks; the work comes last. (A login by name into
//! five million channels takes a third of the time that it takes channel by channel.)
//!
//! Windows lock their shards in rising order, whoever reads and whoever writes, so they never wait in a circle.

pub(crate) mod filling;
pub(crate) mod pinning;

use std::ops::Deref;

use compact_str::CompactString;
use smallvec::SmallVec;

use crate::course::{Course, SHARD_BITS, Stop, WINDOW, shard_of, sort_run};
use crate::ids::{Ids, Packed};
use crate::names::{Key, LOCAL_BITS, Local, NameHasher, Names};
use crate::prefetch::prefetch_whole;
use crate::readers::{Reader, Readers};
use crate::rows::{Overflow, Row, Tally, View};
use crate::sync::{AtomicUsize, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A channel's number in the engine.
pub(crate) type Channel = u32;

const SHARDS: usize = 1 << SHARD_BITS;
const LOCAL_MASK: u32 = (1 << LOCAL_BITS) - 1;

/// All channels that a list names.
pub(crate) struct Channels {
    hasher: NameHasher,
    shards: Box<[RwLock<Shard>]>,
    entries: AtomicUsize,
    occupied: AtomicUsize,
    bytes_of_names: AtomicUsize,
    bytes_of_rows: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    rows: Names<Row>,
    overflow: Overflow,
    /// While a snapshot is written: the numbers that lists let go of, each still its channel's.
    unheld: Option<Vec<Local>>,
}

/// What becomes of the readers and the lists of some channels.
#[derive(Clone, Copy)]
pub(crate) struct Exit {
    /// This reader leaves.
    pub(crate) reader: Option<Reader>,
    /// One list no longer names the channels.
    pub(crate) release: bool,
}

impl Channels {
    pub(crate) fn new() -> Self {
        let zero = || AtomicUsize::new(0);
        Self {
            hasher: NameHasher::random(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            entries: zero(),
            occupied: zero(),
            bytes_of_names: zero(),
            bytes_of_rows: zero(),
        }
    }

    /// Hold channels for one more list, and add a reader to each. Their ids, sorted and each once; entries begun.
    pub(crate) fn hold(&self, names: &Ids, reader: Option<Reader>, readers: &Readers) -> (Vec<Channel>, usize) {
        let (course, mut tally) = (Course::of(names, self.hasher), Tally::default());
        let mut ids = Vec::with_capacity(names.len());
        for (window, next) in with_next(course.windows()) {
            tally += self.write(window, Stop::shard, |shards| {
                self.prefetch_shards(next, Stop::shard);
                let mut candidates = prefetch_names(shards).into_iter();
                let mut tally = Tally::default();
                for (shard, state, stops) in shards {
                    for (stop, candidate) in stops.iter().zip(&mut candidates) {
                        let local = state.intern(self.hasher, course.key(stop), candidate);
                        tally += state.enter(local, reader, readers);
                        ids.push(id_of(*shard, local));
                    }
                }
                tally
            });
        }
        self.count(tally, usize::wrapping_add);
        self.settle(&mut ids, readers);
        (ids, tally.entries)
    }

    /// Add a reader to channels that a list holds, by sorted ids. The number of entries begun.
    pub(crate) fn enter(&self, ids: &[Channel], reader: Reader, readers: &Readers) -> usize {
        let tally = self.each(ids, |state, local| state.add(local, reader, readers));
        self.count(tally, usize::wrapping_add);
        tally.entries
    }

    /// Take a reader off channels, and end a list's hold on them, by sorted ids. The number of entries ended.
    pub(crate) fn exit(&self, ids: &[Channel], exit: Exit, readers: &Readers) -> usize {
        let tally = self.each(ids, |state, local| state.exit(self.hasher, local, exit, readers));
        self.count(tally, usize::wrapping_sub);
        tally.entries
    }

    /// The id of a channel that a list holds.
    pub(crate) fn find(&self, name: Packed) -> Option<Channel> {
        let key = Key::new(self.hasher, name);
        let shard = shard_of(key.hash);
        self.shards[shard].read().rows.find(key).map(|local| id_of(shard, local))
    }

    /// What a channel's readers are asked for; None for a channel that no list holds.
    pub(crate) fn read<R>(&self, name: Packed, ask: impl FnOnce(View) -> R) -> Option<R> {
        let key = Key::new(self.hasher, name);
        let shard = self.shards[shard_of(key.hash)].read();
        shard.rows.find(key).map(|local| ask(shard.view(local)))
    }

    /// [`Channels::read`] for many, in the order of the shards: `ask` gets the index of the name.
    pub(crate) fn read_many(&self, names: &Ids, mut ask: impl FnMut(usize, View)) {
        let course = Course::of(names, self.hasher);
        for (window, next) in with_next(course.windows()) {
            let shards = self.read_all(window, Stop::shard);
            self.prefetch_shards(next, Stop::shard);
            let mut candidates = prefetch_names(&shards).into_iter();
            for (_, state, stops) in &shards {
                for (stop, candidate) in stops.iter().zip(&mut candidates) {
                    if let Some(local) = state.find(course.key(stop), candidate) {
                        ask(stop.name(), state.view(local));
                    }
                }
            }
        }
    }

    /// The names of channels, by sorted ids. One that is no longer held is left out.
    pub(crate) fn names(&self, ids: &[Channel]) -> Vec<CompactString> {
        let mut names = Vec::with_capacity(ids.len());
        for window in ids.chunks(WINDOW) {
            for (_, state, group) in self.read_all(window, |&id| shard_of_id(id)) {
                names.extend(group.iter().filter_map(|&id| state.rows.name(id & LOCAL_MASK)));
            }
        }
        names
    }

    /// How many (channel, instance) entries there are.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// How many channels have a reader.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    /// How many channels a list holds.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().rows.len()).sum()
    }

    /// Bytes held for names, and for readers.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let shards = self.shards.len() * size_of::<RwLock<Shard>>();
        (self.bytes_of_names.load(Ordering::Relaxed), self.bytes_of_rows.load(Ordering::Relaxed) + shards)
    }

    fn each(&self, ids: &[Channel], mut work: impl FnMut(&mut Shard, Local) -> Tally) -> Tally {
        let mut tally = Tally::default();
        let shard = |&id: &Channel| shard_of_id(id);
        for (window, next) in with_next(ids.chunks(WINDOW)) {
            tally += self.write(window, shard, |shards| {
                self.prefetch_shards(next, shard);
                prefetch_rows(shards);
                let mut tally = Tally::default();
                for (_, state, group) in shards {
                    group.iter().for_each(|&id| tally += work(state, id & LOCAL_MASK));
                }
                tally
            });
        }
        tally
    }

    /// Bring ids into order, and let go of those that were named, and so held, more than once.
    fn settle(&self, ids: &mut Vec<Channel>, readers: &Readers) {
        let named = ids.len();
        ids.chunk_by_mut(|&a, &b| shard_of_id(a) == shard_of_id(b)).for_each(sort_run);
        let doubles: Vec<Channel> = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        ids.dedup();
        debug_assert_eq!(named, ids.len() + doubles.len());
        self.exit(&doubles, Exit { reader: None, release: true }, readers);
    }

    /// Work on a window with its shards locked.
    fn write<'a, T, R>(
        &'a self,
        window: &'a [T],
        shard: impl Fn(&T) -> usize,
        work: impl FnOnce(&mut Window<'a, RwLockWriteGuard<'a, Shard>, T>) -> R,
    ) -> R {
        let mut shards = lock(window, shard, |shard| self.shards[shard].write());
        let (names, rows) = bytes_of(&shards);
        let result = work(&mut shards);
        let (names_now, rows_now) = bytes_of(&shards);
        self.bytes_of_names.fetch_add(names_now.wrapping_sub(names), Ordering::Relaxed);
        self.bytes_of_rows.fetch_add(rows_now.wrapping_sub(rows), Ordering::Relaxed);
        result
    }

    /// Lock the shards of a window to read.
    fn read_all<'a, T>(
        &'a self,
        window: &'a [T],
        shard: impl Fn(&T) -> usize,
    ) -> Window<'a, RwLockReadGuard<'a, Shard>, T> {
        lock(window, shard, |shard| self.shards[shard].read())
    }

    fn prefetch_shards<T>(&self, window: &[T], shard: impl Fn(&T) -> usize) {
        let groups = window.chunk_by(|a, b| shard(a) == shard(b));
        groups.for_each(|group| prefetch_whole(&self.shards[shard(&group[0])]));
    }

    fn count(&self, tally: Tally, change: impl Fn(usize, usize) -> usize) {
        self.entries.fetch_add(change(0, tally.entries), Ordering::Relaxed);
        self.occupied.fetch_add(change(0, tally.channels), Ordering::Relaxed);
    }
}

/// The shards of a window, locked, each with its number and its part of the window.
type Window<'a, G, T> = SmallVec<[(usize, G, &'a [T]); WINDOW]>;

fn lock<G, T>(window: &[T], shard: impl Fn(&T) -> usize, lock: impl Fn(usize) -> G) -> Window<'_, G, T> {
    let groups = window.chunk_by(|a, b| shard(a) == shard(b));
    groups.map(|group| (shard(&group[0]), lock(shard(&group[0])), group)).collect()
}

fn bytes_of<G: Deref<Target = Shard>, T>(shards: &Window<G, T>) -> (usize, usize) {
    shards.iter().fold((0, 0), |(names, rows), (_, state, _)| {
        let of_names = state.rows.bytes_of_names();
        (names + of_names, rows + state.rows.bytes() - of_names + state.overflow.bytes())
    })
}

/// Ask for what the work on these channels needs.
fn prefetch_rows<G: Deref<Target = Shard>>(shards: &Window<G, Channel>) {
    for (_, state, ids) in shards {
        ids.iter().for_each(|&id| state.rows.prefetch(id & LOCAL_MASK));
    }
    for (_, state, ids) in shards {
        ids.iter().for_each(|&id| state.overflow.prefetch(state.rows.record(id & LOCAL_MASK)));
    }
}

/// Ask for what finding these names needs, and the work on them. The numbers that they have, if they have one.
fn prefetch_names<G: Deref<Target = Shard>>(shards: &Window<G, Stop>) -> SmallVec<[Local; WINDOW]> {
    for (_, state, stops) in shards {
        stops.iter().for_each(|stop| state.rows.prefetch_slot(stop.hash));
    }
    let mut candidates = SmallVec::<[Local; WINDOW]>::new();
    for (_, state, stops) in shards {
        for stop in *stops {
            let local = state.rows.candidate(stop.hash).unwrap_or(Local::MAX);
            state.rows.prefetch(local);
            candidates.push(local);
        }
    }
    let mut rest = candidates.iter();
    for (_, state, stops) in shards {
        for &local in rest.by_ref().take(stops.len()).filter(|&&local| local != Local::MAX) {
            state.overflow.prefetch(state.rows.record(local));
        }
    }
    candidates
}

/// Each window, and the next one or an empty one.
fn with_next<'a, T: 'a>(windows: impl Iterator<Item = &'a [T]> + Clone) -> impl Iterator<Item = (&'a [T], &'a [T])> {
    windows.clone().zip(windows.skip(1).chain([&[][..]]))
}

impl Shard {
    /// The number of a name that is most likely the candidate's.
    fn find(&self, key: Key, candidate: Local) -> Option<Local> {
        if self.rows.is(candidate, key) { Some(candidate) } else { self.rows.find(key) }
    }

    fn intern(&mut self, hasher: NameHasher, key: Key, candidate: Local) -> Local {
        self.find(key, candidate).unwrap_or_else(|| self.rows.insert(hasher, key))
    }

    fn view(&self, local: Local) -> View<'_> {
        self.overflow.view(self.rows.record(local))
    }

    fn add(&mut self, local: Local, reader: Reader, readers: &Readers) -> Tally {
        let tally = self.overflow.add(self.rows.record_mut(local), reader, readers);
        self.compact();
        tally
    }

    fn enter(&mut self, local: Local, reader: Option<Reader>, readers: &Readers) -> Tally {
        self.rows.record_mut(local).hold();
        reader.map_or_else(Tally::default, |reader| self.add(local, reader, readers))
    }

    fn exit(&mut self, hasher: NameHasher, local: Local, exit: Exit, readers: &Readers) -> Tally {
        let row = self.rows.record_mut(local);
        let tally = exit.reader.map_or_else(Tally::default, |reader| self.overflow.remove(row, reader, readers));
        if exit.release && row.release() {
            match &mut self.unheld {
                Some(unheld) => unheld.push(local),
                None => self.rows.remove(hasher, local),
            }
        }
        self.compact();
        tally
    }

    fn compact(&mut self) {
        if self.overflow.is_sparse() {
            self.overflow.compact(self.rows.records_mut());
        }
    }
}

fn shard_of_id(id: Channel) -> usize {
    (id >> LOCAL_BITS) as usize
}

#[expect(clippy::cast_possible_truncation, reason = "below SHARDS")]
fn id_of(shard: usize, local: Local) -> Channel {
    (shard as u32) << LOCAL_BITS | local
}
