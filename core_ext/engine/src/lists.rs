//! A user's channels: sorted ids in some 1.3 to 3 bytes each, held once whether the user is online, cached or both.
//!
//! Ids are coded by their distance from the one before. Within a shard that is one number, mostly one byte of a long
//! list; else it is how many shards to go and the channel's number there. Blocks keep a change from touching all.

use crate::channels::Channel;
use crate::names::LOCAL_BITS;

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
    len: u32,
    /// The ids after the first.
    rest: Box<[u8]>,
}

impl List {
    /// A list of sorted ids, each once.
    pub(crate) fn of(ids: &[Channel]) -> Self {
        let mut bytes = Vec::new();
        Self { blocks: ids.chunks(BLOCK).map(|chunk| Block::of(chunk, &mut bytes)).collect() }
    }

    /// How many ids.
    pub(crate) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.len as usize).sum()
    }

    /// All ids.
    pub(crate) fn ids(&self) -> Vec<Channel> {
        let mut ids = Vec::with_capacity(self.len());
        self.blocks.iter().for_each(|block| block.read(&mut ids));
        ids
    }

    /// Ids from the `part`-th block on; None past the end.
    pub(crate) fn part(&self, part: usize) -> Option<Vec<Channel>> {
        let mut ids = Vec::new();
        self.blocks.get(part)?.read(&mut ids);
        Some(ids)
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
        let place = self.blocks.partition_point(|block| block.first <= id).saturating_sub(1);
        let mut ids = self.part(place).unwrap_or_default();
        let changed = work(&mut ids);
        if changed {
            self.put(place, &ids);
        }
        changed
    }

    fn put(&mut self, place: usize, ids: &[Channel]) {
        let mut bytes = Vec::new();
        let chunk = if ids.len() < 2 * BLOCK { ids.len().max(1) } else { BLOCK };
        let new = ids.chunks(chunk).map(|chunk| Block::of(chunk, &mut bytes));
        let mut blocks = std::mem::take(&mut self.blocks).into_vec();
        let end = blocks.len().min(place + 1);
        blocks.splice(place..end, new);
        self.blocks = blocks.into_boxed_slice();
    }
}

impl Block {
    fn of(ids: &[Channel], bytes: &mut Vec<u8>) -> Self {
        bytes.clear();
        ids.windows(2).for_each(|pair| put(bytes, pair[0], pair[1]));
        #[expect(clippy::cast_possible_truncation, reason = "a block is short")]
        Self { first: ids[0], len: ids.len() as u32, rest: bytes.as_slice().into() }
    }

    fn read(&self, ids: &mut Vec<Channel>) {
        let (mut id, mut bytes) = (self.first, self.rest.iter());
        ids.push(id);
        for _ in 1..self.len {
            let step = number(&mut bytes);
            id = if step & 1 == 0 {
                id + (step >> 1)
            } else {
                ((id >> LOCAL_BITS) + (step >> 1)) << LOCAL_BITS | number(&mut bytes)
            };
            ids.push(id);
        }
    }
}

fn put(bytes: &mut Vec<u8>, from: Channel, to: Channel) {
    let shards = (to >> LOCAL_BITS) - (from >> LOCAL_BITS);
    if shards == 0 {
        put_number(bytes, (to - from) << 1);
    } else {
        put_number(bytes, shards << 1 | 1);
        put_number(bytes, to & LOCAL_MASK);
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn number(bytes: &mut std::slice::Iter<u8>) -> u32 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = u32::from(*bytes.next().expect("a block has its bytes"));
        number |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
            prop_assert!(list.ids().into_iter().eq(model));
        }
    }

    #[test]
    fn blocks_are_cut_as_they_grow_and_go_when_empty() {
        let mut list = List::default();
        for id in 0..5_000 {
            assert!(list.insert(id * 7));
        }
        assert!(list.blocks.len() > 4 && list.blocks.iter().all(|block| (block.len as usize) < 2 * BLOCK));
        assert!((0..5_000).all(|id| list.remove(id * 7)));
        assert_eq!(list.bytes(), 0);
    }
}
