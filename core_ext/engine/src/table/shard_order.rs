//! The shard order, in which bulk work goes through the table.

use smallvec::SmallVec;

use crate::names::hash_index::LOCAL_BITS;
use crate::names::hashed_name::{HASH_BITS, HashedName, Key, NameHasher};
use crate::names::ids::Ids;

/// The number of bits that select the shard, from the top of a hash.
pub(crate) const SHARD_BITS: u32 = if cfg!(any(shuttle, miri)) { 2 } else { u32::BITS - LOCAL_BITS };

const SHARDS: usize = 1 << SHARD_BITS;

/// The length of a run from which sorting by a set of bits is faster than by comparing.
const LONG_RUN: usize = 24;

/// The most bits for each number of such a run, which limits how far apart the numbers may be.
const MOST_BITS_EACH: usize = 256;

/// The number of names from which a counting sort is faster than comparing.
const MANY: usize = 128;

/// Names in the order of their shards.
///
/// The hashed names themselves are moved into that order: reading them through an index would cause as many cache
/// misses as the table itself.
pub(crate) struct ShardOrder {
    /// The hashed name of a long name has the position of its words.
    hashed_names: Vec<HashedName>,
    words: Vec<u64>,
    /// The index of each name, if it was asked for.
    indices: Vec<u32>,
}

impl ShardOrder {
    pub(crate) fn of(names: Ids, hasher: &NameHasher) -> Self {
        let (unordered, words) = mixed(names, hasher);
        let mut hashed_names = vec![HashedName::default(); unordered.len()];
        along_shards(&unordered, |position, _, hashed| hashed_names[position] = hashed);
        Self { hashed_names, words, indices: Vec::new() }
    }

    /// An order that has the index of each name.
    pub(crate) fn indexed(names: Ids, hasher: &NameHasher) -> Self {
        let (unordered, words) = mixed(names, hasher);
        let (mut hashed_names, mut indices) = (vec![HashedName::default(); unordered.len()], vec![0; unordered.len()]);
        along_shards(&unordered, |position, index, hashed| {
            (hashed_names[position], indices[position]) = (hashed, index);
        });
        Self { hashed_names, words, indices }
    }

    /// The names in the order of their shards.
    pub(crate) fn hashed_names(&self) -> &[HashedName] {
        &self.hashed_names
    }

    /// The indices of the names, in the order of their shards.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        self.indices.iter().map(|&index| index as usize)
    }

    #[inline]
    pub(crate) fn key(&self, hashed: HashedName) -> Key<'_> {
        Key { hashed: hashed.bare(), words: hashed.words(&self.words) }
    }
}

/// The shard of a name.
#[inline]
pub(crate) fn shard_of(hashed: HashedName) -> usize {
    (hashed.hash() >> (HASH_BITS - SHARD_BITS)) as usize
}

/// The hashed names, in the memory of the given names, and the words of long ones.
fn mixed(names: Ids, hasher: &NameHasher) -> (Vec<HashedName>, Vec<u64>) {
    let (heads, words) = names.into_parts();
    (heads.into_iter().map(|head| hasher.hashed(head, &words)).collect(), words)
}

/// Call `say` for each hashed name with its position in the shard order, its index, and itself.
fn along_shards(hashed_names: &[HashedName], mut say: impl FnMut(usize, u32, HashedName)) {
    let indexed = || (0_u32..).zip(hashed_names.iter().copied());
    if hashed_names.len() < MANY {
        let mut sorted: SmallVec<[(u32, HashedName); 4]> = indexed().collect();
        sorted.sort_unstable_by_key(|&(_, hashed)| shard_of(hashed));
        return sorted.into_iter().enumerate().for_each(|(position, (index, hashed))| say(position, index, hashed));
    }
    let mut positions = [0_u32; SHARDS + 1];
    for &hashed in hashed_names {
        positions[shard_of(hashed) + 1] += 1;
    }
    (1..positions.len()).for_each(|shard| positions[shard] += positions[shard - 1]);
    for (index, hashed) in indexed() {
        let position = &mut positions[shard_of(hashed)];
        say(*position as usize, index, hashed);
        *position += 1;
    }
}

/// Sort numbers, most of which are close to each other.
pub(crate) fn sort_run(numbers: &mut [u32]) {
    let (first, last) = numbers.iter().fold((u32::MAX, 0), |(first, last), &n| (first.min(n), last.max(n)));
    let span = (last.saturating_sub(first)) as usize + 1;
    if numbers.len() < LONG_RUN || span > numbers.len() * MOST_BITS_EACH {
        return numbers.sort_unstable();
    }
    let mut bits = vec![0_u64; span.div_ceil(64)];
    let mut doubles = Vec::new();
    for &number in &*numbers {
        let (word, bit) = ((number - first) as usize / 64, 1 << ((number - first) % 64));
        if bits[word] & bit != 0 {
            doubles.push(number);
        }
        bits[word] |= bit;
    }
    let mut sorted = ones(&bits).map(|position| first + position).chain(doubles.iter().copied());
    numbers.iter_mut().zip(&mut sorted).for_each(|(position, number)| *position = number);
    if !doubles.is_empty() {
        numbers.sort_unstable();
    }
}

fn ones(bits: &[u64]) -> impl Iterator<Item = u32> {
    (0..).step_by(64).zip(bits).flat_map(|(start, &word)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(start + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_is_sorted(mut numbers in vec(prop_oneof![9 => 500..3_000_u32, 1 => any::<u32>()], 0..300)) {
            let mut expected = numbers.clone();
            expected.sort_unstable();
            sort_run(&mut numbers);
            prop_assert_eq!(numbers, expected);
        }

        #[test]
        fn an_order_has_every_name_once_and_goes_from_shard_to_shard(names in vec("[a-z]{1,30}", 0..3_000)) {
            let ids = Ids::of(names.iter().map(String::as_str), "channel").unwrap();
            let hasher = NameHasher::random();
            let order = ShardOrder::indexed(ids.clone(), &hasher);
            prop_assert!(order.hashed_names.is_sorted_by_key(|&hashed| shard_of(hashed)));
            for (&hashed, index) in order.hashed_names().iter().zip(order.indices()) {
                let (key, expected) = (order.key(hashed), hasher.key(ids.get(index)));
                prop_assert_eq!((key.hashed, key.words), (expected.hashed, expected.words));
            }
            let mut all: Vec<usize> = order.indices().collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..names.len()));
        }
    }
}
