//! Adds very many lists to an empty table at once, by one thread while no other thread uses the table.
//!
//! The lists of some thousand users name nearly every channel once, all over the table. So they are added in the order
//! of the shards: the work goes through the table once, and the rows of a shard stay in the processor's cache
//! meanwhile.

use super::{Channel, Channels, SHARDS, Shard, id_of, shard_of_id};
use crate::names::hash_index::LOCAL_MASK;
use crate::names::hash_index::Local;
use crate::names::ids::Ids;
use crate::table::channel_rows::Tally;
use crate::table::shard_order::ShardOrder;
use crate::table::subscriptions::{Subscription, Subscriptions};

/// The number of rows that are prefetched ahead of the work.
const AHEAD: usize = 32;

/// The lists to add, and the subscriptions of each.
#[derive(Default)]
pub(crate) struct Filling {
    channels: Vec<Channel>,
    lists: Vec<ListEnd>,
    subscriptions: Vec<Subscription>,
}

/// The ends of a list's channels and of its subscriptions; they begin where those of the list before end.
struct ListEnd {
    channels: usize,
    subscriptions: usize,
}

impl Filling {
    /// Add a list of these channels, each once, and the subscriptions of its user, if any.
    pub(crate) fn push(&mut self, channels: &[Channel], subscriptions: impl Iterator<Item = Subscription>) {
        self.channels.extend_from_slice(channels);
        self.subscriptions.extend(subscriptions);
        self.lists.push(ListEnd { channels: self.channels.len(), subscriptions: self.subscriptions.len() });
    }

    /// The number of channels in the lists; a channel in two lists counts twice.
    pub(crate) fn len(&self) -> usize {
        self.channels.len()
    }

    /// Forget all lists, and keep the memory.
    pub(crate) fn clear(&mut self) {
        self.channels.clear();
        self.lists.clear();
        self.subscriptions.clear();
    }

    fn subscriptions_of(&self, list: usize) -> &[Subscription] {
        let from = list.checked_sub(1).map_or(0, |before| self.lists[before].subscriptions);
        &self.subscriptions[from..self.lists[list].subscriptions]
    }

    /// Each channel with its list, by the channel's shard.
    fn by_shard(&self) -> Vec<(Channel, u32)> {
        let mut ends = vec![0; SHARDS + 1];
        self.channels.iter().for_each(|&channel| ends[shard_of_id(channel) + 1] += 1);
        (1..ends.len()).for_each(|shard| ends[shard] += ends[shard - 1]);
        let mut sorted = vec![(0, 0); self.channels.len()];
        let mut from = 0;
        for (number, list) in (0..).zip(&self.lists) {
            for &channel in &self.channels[from..list.channels] {
                let end = &mut ends[shard_of_id(channel)];
                sorted[*end] = (channel, number);
                *end += 1;
            }
            from = list.channels;
        }
        sorted
    }
}

impl Channels {
    /// Make room for so many names.
    pub(crate) fn reserve(&self, names: usize) {
        (0..SHARDS).for_each(|shard| self.write_shard(shard, |shard| shard.rows.reserve(names.div_ceil(SHARDS))));
    }

    /// Give numbers to new channels: `found` gets the index of each name and its channel. Returns whether all names were
    /// new.
    pub(crate) fn number(&self, names: Ids, mut found: impl FnMut(usize, Channel)) -> bool {
        let (order, mut new) = (ShardOrder::indexed(names, &self.hasher), true);
        let mut indices = order.indices();
        self.write(order.hashed_names(), |shard, state, hashed_names, candidates| {
            for ((&hashed, &candidate), index) in hashed_names.iter().zip(candidates).zip(&mut indices) {
                let before = state.rows.len();
                let local = state.intern(order.key(hashed), candidate);
                new &= state.rows.len() > before;
                found(index, id_of(shard, local));
            }
        });
        new
    }

    /// Add the references of these lists, and add the subscriptions of each.
    pub(crate) fn fill(&self, filling: &Filling, subscriptions: &Subscriptions) {
        let sorted = filling.by_shard();
        for entered in sorted.chunk_by(|a, b| shard_of_id(a.0) == shard_of_id(b.0)) {
            let tally =
                self.write_shard(shard_of_id(entered[0].0), |shard| shard.fill(entered, filling, subscriptions));
            self.count(tally, usize::wrapping_add);
        }
    }

    /// Remove the channels that no list names.
    pub(crate) fn sweep(&self) {
        (0..SHARDS).for_each(|shard| self.write_shard(shard, Shard::sweep));
    }
}

impl Shard {
    fn fill(&mut self, entered: &[(Channel, u32)], filling: &Filling, subscriptions: &Subscriptions) -> Tally {
        let mut tally = Tally::default();
        for (at, &(channel, list)) in entered.iter().enumerate() {
            if let Some((ahead, _)) = entered.get(at + AHEAD) {
                self.rows.prefetch(ahead & LOCAL_MASK);
            }
            let local = channel & LOCAL_MASK;
            self.rows.record_mut(local).add_reference();
            for &subscription in filling.subscriptions_of(list as usize) {
                tally += self.add(local, subscription, subscriptions);
            }
        }
        tally
    }

    fn sweep(&mut self) {
        let all = 0..Local::try_from(self.rows.bound()).expect("a number for each");
        let is_unreferenced = |&local: &Local| self.rows.is_used(local) && !self.rows.record(local).is_referenced();
        let unreferenced: Vec<Local> = all.filter(is_unreferenced).collect();
        for local in unreferenced {
            self.rows.remove(local);
        }
    }
}
