//! The way of bulk work along the shards.

use smallvec::SmallVec;

use crate::names::hash_index::LOCAL_BITS;
use crate::names::hashed_name::{Cell, HASH_BITS, Key, Mixer};
use crate::names::ids::Ids;

/// The top bits of a hash are the shard.
pub(crate) const SHARD_BITS: u32 = if cfg!(any(shuttle, miri)) { 2 } else { u32::BITS - LOCAL_BITS };

const SHARDS: usize = 1 << SHARD_BITS;

/// From so many numbers on a set of bits is faster than comparing.
const LONG_RUN: usize = 24;

/// How far apart the numbers of such a run may be, for each of them.
const MOST_BITS_EACH: usize = 256;

/// From so many names on counting is faster than comparing.
const MANY: usize = 128;

/// Names in the order of their shards.
///
/// The cells move there whole: reading names through an index of the order costs as many misses again as the table
/// itself.
pub(crate) struct Course {
    /// Those of long names say where their words are.
    cells: Vec<Cell>,
    words: Vec<u64>,
    /// The index of each name, if it is wanted.
    indices: Vec<u32>,
}

impl Course {
    pub(crate) fn of(names: Ids, mixer: &Mixer) -> Self {
        let (unordered, words) = mixed(names, mixer);
        let mut cells = vec![Cell::default(); unordered.len()];
        along_shards(&unordered, |place, _, cell| cells[place] = cell);
        Self { cells, words, indices: Vec::new() }
    }

    /// A course that knows which name is where.
    pub(crate) fn indexed(names: Ids, mixer: &Mixer) -> Self {
        let (unordered, words) = mixed(names, mixer);
        let (mut cells, mut indices) = (vec![Cell::default(); unordered.len()], vec![0; unordered.len()]);
        along_shards(&unordered, |place, index, cell| (cells[place], indices[place]) = (cell, index));
        Self { cells, words, indices }
    }

    /// The names in the order of their shards.
    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The index of each name in that order.
    pub(crate) fn indices(&self) -> impl Iterator<Item = usize> {
        self.indices.iter().map(|&index| index as usize)
    }

    #[inline]
    pub(crate) fn key(&self, cell: Cell) -> Key<'_> {
        Key { cell: cell.bare(), words: cell.words(&self.words) }
    }
}

/// The shard of a name.
#[inline]
pub(crate) fn shard_of(cell: Cell) -> usize {
    (cell.hash() >> (HASH_BITS - SHARD_BITS)) as usize
}

/// The cells of names, in the memory where the names were, and the words of long ones.
fn mixed(names: Ids, mixer: &Mixer) -> (Vec<Cell>, Vec<u64>) {
    let (heads, words) = names.into_parts();
    (heads.into_iter().map(|head| mixer.cell(head, &words)).collect(), words)
}

/// Say of each cell its place in the order of the shards, its index, and what it is.
fn along_shards(cells: &[Cell], mut say: impl FnMut(usize, u32, Cell)) {
    let indexed = || (0_u32..).zip(cells.iter().copied());
    if cells.len() < MANY {
        let mut sorted: SmallVec<[(u32, Cell); 4]> = indexed().collect();
        sorted.sort_unstable_by_key(|&(_, cell)| shard_of(cell));
        return sorted.into_iter().enumerate().for_each(|(place, (index, cell))| say(place, index, cell));
    }
    let mut places = [0_u32; SHARDS + 1];
    for &cell in cells {
        places[shard_of(cell) + 1] += 1;
    }
    (1..places.len()).for_each(|shard| places[shard] += places[shard - 1]);
    for (index, cell) in indexed() {
        let place = &mut places[shard_of(cell)];
        say(*place as usize, index, cell);
        *place += 1;
    }
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
            let mixer = Mixer::random();
            let course = Course::indexed(ids.clone(), &mixer);
            prop_assert!(course.cells.is_sorted_by_key(|&cell| shard_of(cell)));
            for (&cell, index) in course.cells().iter().zip(course.indices()) {
                let (key, expected) = (course.key(cell), mixer.key(ids.get(index)));
                prop_assert_eq!((key.cell, key.words), (expected.cell, expected.words));
            }
            let mut all: Vec<usize> = course.indices().collect();
            all.sort_unstable();
            prop_assert!(all.into_iter().eq(0..names.len()));
        }
    }
}
