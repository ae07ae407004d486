//! Channels whose numbers stay theirs while a snapshot is written.
//!
//! A list that was read names channels by number, and the names are read later. In between the last list could let go
//! of a channel, and its number become another's: the list would then say what was never true. So channels that nobody
//! holds any more stay, as long as the pin does, with their number and their name.

use super::{Channel, Channels, shard_of_id};
use crate::names::hash_index::LOCAL_MASK;
use crate::names::hash_index::Local;
use crate::names::ids::Packed;

/// Names that are read under one lock.
const SLICE: usize = 256;

/// Channels that are removed under one lock.
const TIDIED: usize = if cfg!(shuttle) { 2 } else { 64 };

/// While it lives no channel's number becomes another's. There is one at a time.
pub(crate) struct Pin<'a>(&'a Channels);

impl Channels {
    /// Keep each channel's number what it is.
    pub(crate) fn pin(&self) -> Pin<'_> {
        for shard in &self.shards {
            shard.write().unheld = Some(Vec::new());
        }
        Pin(self)
    }

    /// Remove the channels of a shard that no list holds, at most some; whether there may be more.
    fn tidy(&self, shard: usize) -> bool {
        self.write_shard(shard, |shard| {
            let Some(unheld) = &mut shard.unheld else { return false };
            let slice = unheld.split_off(unheld.len().saturating_sub(TIDIED));
            let more = !unheld.is_empty();
            if !more {
                shard.unheld = None;
            }
            // One may be there twice, or be held again.
            for local in slice {
                if shard.rows.is_used(local) && !shard.rows.record(local).is_held() {
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

    /// The names of a shard's numbers below a bound, in order; none of a number which no channel has.
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
