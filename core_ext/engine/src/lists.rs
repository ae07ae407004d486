//! A user's channels: sorted ids in one to two bytes each, held once whether the user is online, cached or both.
//!
//! Ids are coded by their distance from the one before, as a Golomb-Rice code (R. F. Rice, "Some practical universal
//! noiseless coding techniques", 1979): hashes spread channels evenly, so distances are geometrically distributed, for
//! which this code is the shortest there is. Blocks keep a change from touching the whole list.

use crate::channels::Channel;
use crate::names::LOCAL_BITS;
use crate::rice;

/// Ids in a block when a list is made; a block of twice as many is cut.
const BLOCK: usize = 512;
const LOCAL_MASK: u32 = (1 << LOCAL_BITS) - 1;

/// Sorted ids, each once.
#[derive(Default, Clone)]
pub(crate) struct List {
    blocks: Box<[Block]>,
}

#[derive(Clone)]
struct Block {
    first: Channel,
    len: u16,
    /// Bits that the channels' numbers in their shards take here: without the unused ones ids are near each other.
    local_bits: u8,
    /// Bits of a distance that are written as they are.
    low_bits: u8,
    /// The ids after the first.
    rest: Box<[u8]>,
}

impl List {
    /// A list of sorted ids, each once.
    pub(crate) fn of(ids: &[Channel]) -> Self {
        Self { blocks: ids.chunks(BLOCK).map(Block::of).collect() }
    }

    /// How many ids.
    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(|block| usize::from(block.len)).sum()
    }

    /// Go through the ids without a copy of all of them.
    pub(crate) fn each(&self, ids: &mut Vec<Channel>, mut work: impl FnMut(Channel)) {
        for block in &self.blocks {
            ids.clear();
            block.read(ids);
            for &id in &*ids {
                work(id);
            }
        }
    }

    /// All ids.
    pub(crate) fn ids(&self) -> Vec<Channel> {
        let mut ids = Vec::with_capacity(self.len());
        self.blocks.iter().for_each(|block| block.read(&mut ids));
        ids
    }

    /// The ids of a block; None past the end.
    fn part(&self, part: usize) -> Option<Vec<Channel>> {
        let mut ids = Vec::new();
        self.blocks.get(part)?.read(&mut ids);
        Some(ids)
    }

    /// Some of the ids after one, or the first ones; none at the end.
    pub(crate) fn after(&self, last: Option<Channel>) -> Vec<Channel> {
        let (from, is_after) = (last.map_or(0, |last| self.place_of(last)), |id: &Channel| last < Some(*id));
        let mut slices =
            (from..).map_while(|part| self.part(part)).map(|ids| ids.into_iter().filter(is_after).collect());
        slices.find(|ids: &Vec<Channel>| !ids.is_empty()).unwrap_or_default()
    }

    /// Add an id; whether it is new.
    pub(crate) fn insert(&mut self, id: Channel) -> bool {
        self.change(id, |ids| ids.binary_search(&id).map_err(|place| ids.insert(place, id)).is_err())
    }

    /// Remove an id; whether it was there.
    pub(crate) fn remove(&mut self, id: Channel) -> bool {
        self.change(id, |ids| ids.binary_search(&id).map(|place| ids.remove(place)).is_ok())
    }

    /// Bytes held beside the list itself.
    pub(crate) fn bytes(&self) -> usize {
        let rest: usize = self.blocks.iter().map(|block| block.rest.len()).sum();
        self.blocks.len() * size_of::<Block>() + rest
    }

    fn change(&mut self, id: Channel, work: impl FnOnce(&mut Vec<Channel>) -> bool) -> bool {
        let place = self.place_of(id);
        let mut ids = self.part(place).unwrap_or_default();
        let changed = work(&mut ids);
        if changed {
            self.put(place, &ids);
        }
        changed
    }

    /// The block where an id is, or would be.
    fn place_of(&self, id: Channel) -> usize {
        self.blocks.partition_point(|block| block.first <= id).saturating_sub(1)
    }

    fn put(&mut self, place: usize, ids: &[Channel]) {
        let chunk = if ids.len() < 2 * BLOCK { ids.len().max(1) } else { BLOCK };
        let new = ids.chunks(chunk).map(Block::of);
        let mut blocks = std::mem::take(&mut self.blocks).into_vec();
        let end = blocks.len().min(place + 1);
        blocks.splice(place..end, new);
        self.blocks = blocks.into_boxed_slice();
    }
}

impl Block {
    fn of(ids: &[Channel]) -> Self {
        let largest = ids.iter().fold(0, |largest, id| largest.max(id & LOCAL_MASK));
        #[expect(clippy::cast_possible_truncation, reason = "at most 32, and a block is short")]
        let (local_bits, len) = ((u32::BITS - largest.leading_zeros()) as u8, ids.len() as u16);
        let codes = ids.iter().map(|&id| dense(id, local_bits));
        let distances = codes.clone().zip(codes.skip(1)).map(|(from, to)| to - from - 1);
        let low_bits = rice::low_bits(distances.clone());
        Self { first: ids[0], len, local_bits, low_bits, rest: rice::write(distances, low_bits) }
    }

    fn read(&self, ids: &mut Vec<Channel>) {
        let mut code = dense(self.first, self.local_bits);
        let mut distances = rice::Reader::new(&self.rest, self.low_bits);
        ids.push(self.first);
        ids.extend((1..self.len).map(|_| {
            code += distances.next() + 1;
            sparse(code, self.local_bits)
        }));
    }
}

/// An id without the bits that no channel's number has.
fn dense(id: Channel, local_bits: u8) -> u32 {
    (id >> LOCAL_BITS) << local_bits | id & LOCAL_MASK
}

fn sparse(code: u32, local_bits: u8) -> Channel {
    (code >> local_bits) << LOCAL_BITS | code & ((1 << local_bits) - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::iter::successors;

    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = Channel> {
        prop_oneof![0..50_u32, any::<u32>(), (0..4096_u32).prop_map(|shard| shard << LOCAL_BITS)]
    }

    proptest! {
        #[test]
        fn a_list_is_a_sorted_set(start in btree_set(id(), 0..2_000), changes in vec((id(), any::<bool>()), 0..200)) {
            let mut list = List::of(&start.iter().copied().collect::<Vec<_>>());
            let mut model: BTreeSet<Channel> = start;
            for (id, insert) in changes {
                let changed = if insert { model.insert(id) } else { model.remove(&id) };
                prop_assert_eq!(if insert { list.insert(id) } else { list.remove(id) }, changed);
            }
            prop_assert_eq!(list.len(), model.len());
            let slices = successors(Some(list.after(None)), |slice| slice.last().map(|&last| list.after(Some(last))));
            prop_assert!(slices.flatten().eq(model.iter().copied()));
            prop_assert!(list.ids().into_iter().eq(model));
        }
    }

    #[test]
    fn blocks_are_cut_as_they_grow_and_go_when_empty() {
        let mut list = List::default();
        for id in 0..5_000 {
            assert!(list.insert(id * 7));
        }
        assert!(list.blocks.len() > 4 && list.blocks.iter().all(|block| usize::from(block.len) < 2 * BLOCK));
        assert!((0..5_000).all(|id| list.remove(id * 7)));
        assert_eq!(list.bytes(), 0);
    }
}
