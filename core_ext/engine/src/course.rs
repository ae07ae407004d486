//! The way of bulk work along the shards.

use crate::ids::Ids;
use crate::names::{Cell, Key, LOCAL_BITS, NameHasher, head_of, is_long};

/// Channels that are handled under their locks at a time.
pub(crate) const WINDOW: usize = if cfg!(shuttle) { 2 } else { 64 };

/// The top bits of a hash are the shard.
pub(crate) const SHARD_BITS: u32 = if cfg!(any(shuttle, miri)) { 2 } else { u32::BITS - LOCAL_BITS };

/// From so many hashes on counting is faster than comparing.
const MANY: usize = 1024;

/// From so many numbers on a set of bits is faster than comparing.
const LONG_RUN: usize = 24;

/// How far apart the numbers of such a run may be, for each of them.
const MOST_BITS_EACH: usize = 256;

/// A name on the way along the shards, with all that most tables are asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stop {
    head: Cell,
    pub(crate) hash: u64,
    name: u32,
}

/// Names in the order of their shards.
///
/// What a stop needs moves there with it: reading hashes and names through an index of the order costs as many misses
/// again as the table itself.
pub(crate) struct Course<'a> {
    names: &'a Ids,
    stops: Vec<Stop>,
}

impl<'a> Course<'a> {
    pub(crate) fn of(names: &'a Ids, keyed: NameHasher) -> Self {
        let hashes: Vec<u64> = (0..names.len()).map(|name| keyed.hash(names.get(name))).collect();
        #[expect(clippy::cast_possible_truncation, reason = "`Ids` holds fewer than 2^32")]
        let number = |name: usize| name as u32;
        let head = |name: usize| head_of(hashes[name], names.get(name));
        let stop = |name: usize| Stop { hash: hashes[name], head: head(name), name: number(name) };
        Self {
            names,
            stops: if hashes.len() < MANY { by_comparing(&hashes, stop) } else { by_counting(&hashes, stop) },
        }
    }

    pub(crate) fn windows(&self) -> impl Iterator<Item = &[Stop]> + Clone {
        self.stops.chunks(WINDOW)
    }

    pub(crate) fn key(&self, stop: &Stop) -> Key<'a> {
        let rest = if is_long(stop.head) { &self.names.get(stop.name as usize).words[1..] } else { &[] };
        Key { hash: stop.hash, head: stop.head, rest }
    }
}

impl Stop {
    pub(crate) fn shard(&self) -> usize {
        shard_of(self.hash)
    }

    /// The name's index.
    pub(crate) fn name(&self) -> usize {
        self.name as usize
    }
}

/// The upper bits, which the tables of names do not use.
pub(crate) fn shard_of(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

fn by_comparing(hashes: &[u64], stop: impl Fn(usize) -> Stop) -> Vec<Stop> {
    let mut stops: Vec<Stop> = (0..hashes.len()).map(stop).collect();
    stops.sort_unstable_by_key(Stop::shard);
    stops
}

fn by_counting(hashes: &[u64], stop: impl Fn(usize) -> Stop) -> Vec<Stop> {
    let mut ends = vec![0; (1 << SHARD_BITS) + 1];
    for &hash in hashes {
        ends[shard_of(hash) + 1] += 1;
    }
    (1..ends.len()).for_each(|shard| ends[shard] += ends[shard - 1]);
    let mut stops = vec![Stop::default(); hashes.len()];
    for (name, &hash) in hashes.iter().enumerate() {
        let end = &mut ends[shard_of(hash)];
        stops[*end] = stop(name);
        *end += 1;
    }
    stops
}

/// Sort numbers of which most are near each other.
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
    let mut sorted = ones(&bits).map(|place| first + place).chain(doubles.iter().copied());
    numbers.iter_mut().zip(&mut sorted).for_each(|(place, number)| *place = number);
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
        fn a_course_has_every_name_once_and_goes_from_shard_to_shard(names in vec("[a-z]{1,30}", 0..3_000)) {
            let ids = Ids::of(names.iter().map(String::as_str), "channel").unwrap();
            let course = Course::of(&ids, NameHasher::random());
            prop_assert!(course.stops.is_sorted_by_key(Stop::shard));
            let mut all: Vec<usize> = course.windows().flatten().map(Stop::name).collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..names.len()));
        }
    }
}
