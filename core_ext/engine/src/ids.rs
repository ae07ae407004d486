//! Ids: the check of the contract, and interning into dense numbers.

use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::error::{Error, Result};
use crate::pages::Pages;

const MAX_LENGTH: usize = 128;

/// A rehash is the one step of interning that is not constant; over this many tables it stays short.
const SHARDS: usize = 256;

const ALLOWED: [bool; 256] = allowed();

const fn allowed() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        byte += 1;
    }
    table
}

/// Whether `name` may be an id: `[A-Za-z0-9_-]{1,128}`.
#[must_use]
pub fn is_id(name: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&name.len()) && name.iter().all(|&byte| ALLOWED[byte as usize])
}

/// Refuse a name that is no id; `what` names the field in the error.
pub fn check(name: &str, what: &'static str) -> Result<()> {
    if is_id(name.as_bytes()) { Ok(()) } else { Err(Error::InvalidId(what)) }
}

/// Names as dense numbers from 0. Each name counts its holders; without one its number is free for another name.
#[derive(Default)]
pub(crate) struct Interner {
    hasher: DefaultHashBuilder,
    shards: Vec<HashTable<u32>>,
    slots: Pages<Slot>,
    next: u32,
    free: Vec<u32>,
    heap: usize,
}

#[derive(Default)]
struct Slot {
    name: CompactString,
    holders: u32,
}

impl Interner {
    /// The number of a name that has a holder.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        let shard = self.shards.get(shard_of(hash))?;
        shard.find(hash, |&id| self.slots[id].name == name).copied()
    }

    /// The number of a name, which gains a holder.
    pub(crate) fn acquire(&mut self, name: &str) -> u32 {
        let id = self.get(name).unwrap_or_else(|| self.add(name));
        self.slots[id].holders += 1;
        id
    }

    /// One holder less; the last one frees the number.
    pub(crate) fn release(&mut self, id: u32) {
        let slot = &mut self.slots[id];
        slot.holders -= 1;
        if slot.holders == 0 {
            self.remove(id);
        }
    }

    /// The name of a number that is in use.
    pub(crate) fn name(&self, id: u32) -> &CompactString {
        &self.slots[id].name
    }

    /// Bytes held, names that do not fit their slot included.
    pub(crate) fn bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + self.slots.bytes() + self.free.capacity() * size_of::<u32>() + self.heap
    }

    /// How many names have a holder.
    #[cfg(test)]
    pub(crate) fn in_use(&self) -> usize {
        self.next as usize - self.free.len()
    }

    fn add(&mut self, name: &str) -> u32 {
        let id = self.free.pop().unwrap_or_else(|| self.fresh());
        self.slots[id].name = CompactString::new(name);
        self.heap += heap_bytes(&self.slots[id].name);
        self.shards.resize_with(SHARDS, HashTable::new);
        let hash = self.hasher.hash_one(name);
        let (hasher, slots) = (&self.hasher, &self.slots);
        let rehash = |&id: &u32| hasher.hash_one(slots[id].name.as_str());
        self.shards[shard_of(hash)].insert_unique(hash, id, rehash);
        id
    }

    fn fresh(&mut self) -> u32 {
        let id = self.next;
        self.next = id.checked_add(1).expect("fewer than 2^32 names are in use");
        self.slots.reach(id);
        id
    }

    fn remove(&mut self, id: u32) {
        let name = std::mem::take(&mut self.slots[id].name);
        self.heap -= heap_bytes(&name);
        let hash = self.hasher.hash_one(name.as_str());
        if let Ok(entry) = self.shards[shard_of(hash)].find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.free.push(id);
    }
}

/// Bits that the tables inside do not choose by.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}

fn heap_bytes(name: &CompactString) -> usize {
    if name.is_heap_allocated() { name.capacity() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_the_contract() {
        for good in ["a", "Z9_-", &"x".repeat(128)] {
            assert_eq!(check(good, "user"), Ok(()));
        }
        for bad in ["", "a.b", "a b", "a:b", "*", ">", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(check(bad, "user"), Err(Error::InvalidId("user")), "{bad:?}");
        }
    }

    #[test]
    fn one_name_has_one_number_until_its_last_holder_goes() {
        let mut ids = Interner::default();
        let (a, b) = (ids.acquire("a"), ids.acquire("b"));
        assert_ne!(a, b);
        assert_eq!(ids.acquire("a"), a);
        ids.release(a);
        assert_eq!(ids.get("a"), Some(a));
        ids.release(a);
        assert_eq!(ids.get("a"), None);
        assert_eq!(ids.get("b"), Some(b));
    }

    #[test]
    fn a_free_number_is_used_again() {
        let mut ids = Interner::default();
        let first = ids.acquire("first");
        ids.release(first);
        assert_eq!(ids.acquire("second"), first);
        assert_eq!(ids.name(first), "second");
    }

    #[test]
    fn many_names_keep_their_numbers_through_growth() {
        let mut ids = Interner::default();
        let long = "n".repeat(40);
        let numbers: Vec<u32> = (0..20_000).map(|n| ids.acquire(&format!("{long}{n}"))).collect();
        let found: Vec<u32> = (0..20_000).map(|n| ids.get(&format!("{long}{n}")).unwrap()).collect();
        assert_eq!(numbers, found);
        assert!(ids.bytes() > 20_000 * 40);
        for id in numbers {
            ids.release(id);
        }
        assert_eq!(ids.heap, 0);
    }
}
