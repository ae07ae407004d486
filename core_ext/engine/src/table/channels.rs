//! Channel -> subscriptions, in shards by the hash of the channel's name.
//!
//! A shard has everything of its channels behind one lock: the names, the number of lists that name each
//! channel, and the subscriptions. A channel's id has its shard in the upper bits and its number in the shard in the
//! lower bits. So a sorted list of ids goes from shard to shard.
//!
//! Bulk work goes through the shards in a [`prefetch_pipeline`], which locks only the shards that it is working on.

pub(crate) mod filling;
pub(crate) mod pinning;
mod prefetch_pipeline;

use compact_str::CompactString;

use crate::names::hash_index::LOCAL_BITS;
use crate::names::hash_index::Local;
use crate::names::hashed_name::{Key, NameHasher};
use crate::names::ids::{Ids, Packed};
use crate::names::name_table::Names;
use crate::sync::{AtomicUsize, Ordering, RwLock};
use crate::table::channel_rows::{ChannelRow, Overflow, Tally, View};
use crate::table::shard_order::{SHARD_BITS, ShardOrder, shard_of, sort_run};
use crate::table::subscriptions::{Subscription, Subscriptions};

/// A channel's number in the engine.
pub(crate) type Channel = u32;

const SHARDS: usize = 1 << SHARD_BITS;

/// All channels that are in a membership list.
pub(crate) struct Channels {
    hasher: NameHasher,
    shards: Box<[RwLock<Shard>]>,
    entries: AtomicUsize,
    occupied: AtomicUsize,
    bytes_of_names: AtomicUsize,
    bytes_of_rows: AtomicUsize,
}

/// The fields that every lookup reads are first.
#[derive(Default)]
#[repr(C)]
struct Shard {
    rows: Names<ChannelRow>,
    overflow: Overflow,
    /// While a snapshot is written: the channels that no list names any more, which keep their numbers.
    unreferenced: Option<Vec<Local>>,
}

/// The changes to some channels when a user leaves an instance or a list ends.
#[derive(Clone, Copy)]
pub(crate) struct Exit {
    /// The subscription that is removed.
    pub(crate) subscription: Option<Subscription>,
    /// Whether one list no longer names the channels.
    pub(crate) remove_reference: bool,
}

impl Channels {
    pub(crate) fn new(hasher: NameHasher) -> Self {
        let zero = || AtomicUsize::new(0);
        Self {
            hasher,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            entries: zero(),
            occupied: zero(),
            bytes_of_names: zero(),
            bytes_of_rows: zero(),
        }
    }

    /// Add the references of one more list to channels, and add a subscription to each. Returns their ids, sorted and each once, and
    /// the number of new entries.
    pub(crate) fn add_references(
        &self,
        names: Ids,
        subscription: Option<Subscription>,
        subscriptions: &Subscriptions,
    ) -> (Vec<Channel>, usize) {
        let (order, mut tally) = (ShardOrder::of(names, &self.hasher), Tally::default());
        let mut ids = Vec::with_capacity(order.hashed_names().len());
        let mut locals = Vec::new();
        self.write(order.hashed_names(), |shard, state, hashed_names, candidates| {
            locals.clear();
            locals.extend(
                hashed_names.iter().zip(candidates).map(|(&hashed, &local)| state.intern(order.key(hashed), local)),
            );
            ids.extend(locals.iter().map(|&local| id_of(shard, local)));
            tally += state.each_row(&locals, |state, local| state.enter(local, subscription, subscriptions));
        });
        self.count(tally, usize::wrapping_add);
        self.settle(&mut ids, subscriptions);
        (ids, tally.entries)
    }

    /// Add a subscription to channels that a list names, given by sorted ids. Returns the number of new entries.
    pub(crate) fn enter(&self, ids: &[Channel], subscription: Subscription, subscriptions: &Subscriptions) -> usize {
        let tally = self.each(ids, |state, local| state.add(local, subscription, subscriptions));
        self.count(tally, usize::wrapping_add);
        tally.entries
    }

    /// Remove a subscription from channels, given by sorted ids, and end a list's references to them. Returns the number of
    /// entries removed.
    pub(crate) fn exit(&self, ids: &[Channel], exit: Exit, subscriptions: &Subscriptions) -> usize {
        let tally = self.each(ids, |state, local| state.exit(local, exit, subscriptions));
        self.count(tally, usize::wrapping_sub);
        tally.entries
    }

    /// The id of a channel that a list names.
    pub(crate) fn find(&self, name: Packed) -> Option<Channel> {
        let key = self.hasher.key(name);
        let shard = shard_of(key.hashed);
        self.shards[shard].read().rows.find(key).map(|local| id_of(shard, local))
    }

    /// Call `ask` with a channel's subscriptions while the channel is locked; None if no list names the channel.
    pub(crate) fn read<R>(&self, name: Packed, ask: impl FnOnce(View) -> R) -> Option<R> {
        let key = self.hasher.key(name);
        let shard = self.shards[shard_of(key.hashed)].read();
        shard.rows.find(key).map(|local| ask(shard.view(local)))
    }

    /// [`Channels::read`] for many, in the order of the shards: `ask` gets the index of the name.
    pub(crate) fn read_many(&self, names: Ids, mut ask: impl FnMut(usize, View)) {
        let order = ShardOrder::indexed(names, &self.hasher);
        let mut indices = order.indices();
        self.read_each(order.hashed_names(), |state, hashed_names, candidates| {
            for &local in candidates {
                state.prefetch_overflow(local);
            }
            for ((&hashed, &candidate), index) in hashed_names.iter().zip(candidates).zip(&mut indices) {
                if let Some(local) = state.find(order.key(hashed), candidate) {
                    ask(index, state.view(local));
                }
            }
        });
    }

    /// The names of channels, given by sorted ids. A channel that is no longer named is left out.
    pub(crate) fn names(&self, ids: &[Channel]) -> Vec<CompactString> {
        let mut names = Vec::with_capacity(ids.len());
        self.read_each(ids, |state, _, locals| {
            names.extend(locals.iter().filter_map(|&local| state.rows.name(&self.hasher, local)));
        });
        names
    }

    /// The number of (channel, instance) entries.
    pub(crate) fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// The number of channels that have a subscription.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }

    /// The number of channels that a list names.
    #[cfg(test)]
    pub(crate) fn referenced(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().rows.len()).sum()
    }

    /// Bytes of memory for names, and for subscriptions.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let shards = self.shards.len() * size_of::<RwLock<Shard>>();
        (self.bytes_of_names.load(Ordering::Relaxed), self.bytes_of_rows.load(Ordering::Relaxed) + shards)
    }

    fn each(&self, ids: &[Channel], mut work: impl FnMut(&mut Shard, Local) -> Tally) -> Tally {
        let mut tally = Tally::default();
        self.write(ids, |_, state, _, locals| tally += state.each_row(locals, &mut work));
        tally
    }

    /// Sort ids, and remove the references of channels that were given, and so referenced, more than once.
    fn settle(&self, ids: &mut Vec<Channel>, subscriptions: &Subscriptions) {
        let named = ids.len();
        ids.chunk_by_mut(|&a, &b| shard_of_id(a) == shard_of_id(b)).for_each(sort_run);
        let doubles: Vec<Channel> = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        ids.dedup();
        debug_assert_eq!(named, ids.len() + doubles.len());
        self.exit(&doubles, Exit { subscription: None, remove_reference: true }, subscriptions);
    }

    fn count(&self, tally: Tally, change: impl Fn(usize, usize) -> usize) {
        self.entries.fetch_add(change(0, tally.entries), Ordering::Relaxed);
        self.occupied.fetch_add(change(0, tally.channels), Ordering::Relaxed);
    }
}

impl Shard {
    /// The number of a name; it is most likely `candidate`.
    fn find(&self, key: Key, candidate: Local) -> Option<Local> {
        if self.rows.is(candidate, key) { Some(candidate) } else { self.rows.find(key) }
    }

    fn intern(&mut self, key: Key, candidate: Local) -> Local {
        self.find(key, candidate).unwrap_or_else(|| self.rows.insert(key))
    }

    fn view(&self, local: Local) -> View<'_> {
        self.overflow.view(self.rows.record(local))
    }

    fn add(&mut self, local: Local, subscription: Subscription, subscriptions: &Subscriptions) -> Tally {
        self.overflow.add(self.rows.record_mut(local), subscription, subscriptions)
    }

    fn enter(&mut self, local: Local, subscription: Option<Subscription>, subscriptions: &Subscriptions) -> Tally {
        self.rows.record_mut(local).add_reference();
        subscription.map_or_else(Tally::default, |subscription| self.add(local, subscription, subscriptions))
    }

    fn exit(&mut self, local: Local, exit: Exit, subscriptions: &Subscriptions) -> Tally {
        let row = self.rows.record_mut(local);
        let tally = exit
            .subscription
            .map_or_else(Tally::default, |subscription| self.overflow.remove(row, subscription, subscriptions));
        if exit.remove_reference && row.remove_reference() {
            match &mut self.unreferenced {
                Some(unreferenced) => unreferenced.push(local),
                None => self.rows.remove(local),
            }
        }
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

#[cfg(test)]
#[path = "channels_tests.rs"]
mod tests;
