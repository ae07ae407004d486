//! Pins the numbers of channels while a snapshot is written.
//!
//! A snapshot reads lists, which have the numbers of channels, and reads the names of these channels later. In between,
//! a channel could lose its last reference, and its number could be given to another channel: the snapshot would then
//! have a wrong membership. So while a pin exists, channels that no list names any more keep their number and their
//! name.

use super::{Channel, Channels, shard_of_id};
use crate::names::hash_index::LOCAL_MASK;
use crate::names::hash_index::Local;
use crate::names::ids::Packed;

/// The number of names that are read under one lock.
const SLICE: usize = 256;

/// The number of channels that are removed under one lock.
const TIDIED: usize = if cfg!(shuttle) { 2 } else { 64 };

/// While it exists, no channel's number is given to another channel. There is at most one.
pub(crate) struct Pin<'a>(&'a Channels);

impl Channels {
    /// Pin the numbers of all channels.
    pub(crate) fn pin(&self) -> Pin<'_> {
        for shard in &self.shards {
            shard.write().unreferenced = Some(Vec::new());
        }
        Pin(self)
    }

    /// Remove some channels of a shard that no list names. Returns whether there may be more.
    fn tidy(&self, shard: usize) -> bool {
        self.write_shard(shard, |shard| {
            let Some(unreferenced) = &mut shard.unreferenced else { return false };
            let slice = unreferenced.split_off(unreferenced.len().saturating_sub(TIDIED));
            let more = !unreferenced.is_empty();
            if !more {
                shard.unreferenced = None;
            }
            // A channel may be listed twice, or be referenced again.
            for local in slice {
                if shard.rows.is_used(local) && !shard.rows.record(local).is_referenced() {
                    shard.rows.remove(local);
                }
            }
            more
        })
    }
}

impl Pin<'_> {
    /// The shard of a channel, and its number there.
    pub(crate) fn split(channel: Channel) -> (usize, usize) {
        (shard_of_id(channel), (channel & LOCAL_MASK) as usize)
    }

    /// For each shard, one more than the highest number of a channel there.
    pub(crate) fn bounds(&self) -> Vec<usize> {
        self.0.shards.iter().map(|shard| shard.read().rows.bound()).collect()
    }

    /// Call `put` with the name of each number of a shard below a bound, in order; None for a number without a channel.
    pub(crate) fn names(&self, shard: usize, bound: usize, mut put: impl FnMut(Option<Packed>)) {
        let bound = Local::try_from(bound).expect("a number for each");
        for from in (0..bound).step_by(SLICE) {
            let state = self.0.shards[shard].read();
            (from..bound).take(SLICE).for_each(|local| put(state.rows.packed(&self.0.hasher, local)));
        }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        for shard in 0..self.0.shards.len() {
            while self.0.tidy(shard) {}
        }
    }
}
