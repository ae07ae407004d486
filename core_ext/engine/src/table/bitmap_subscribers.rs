//! The readers of a channel that has very many, with how many are on each instance.

use roaring::RoaringBitmap;

use crate::table::subscriptions::{Reader, Readers, index_of};

/// What the bitmap has for each 65,536 numbers among which there are some: which they are, and where the others are.
const BYTES_OF_A_CONTAINER: usize = 40;

/// With more than 4,096 of those the others are a set of bits.
const BYTES_OF_A_BITSET: usize = 8192;

/// A channel's readers, and their instances.
#[derive(Default)]
pub(crate) struct Crowd {
    /// By index: with their tags, readers would lie in as many containers as they have tags.
    indices: RoaringBitmap,
    counts: Vec<(u32, u32)>,
}

impl Crowd {
    /// A crowd of (reader, instance).
    pub(crate) fn of(readers: impl Iterator<Item = (Reader, u32)>) -> Self {
        let mut crowd = Self::default();
        readers.for_each(|(reader, instance)| crowd.add(reader, instance));
        crowd
    }

    /// Add a reader.
    pub(crate) fn add(&mut self, reader: Reader, instance: u32) {
        if self.indices.insert(index_of(reader)) {
            match self.place(instance) {
                Ok(place) => self.counts[place].1 += 1,
                Err(place) => self.counts.insert(place, (instance, 1)),
            }
        }
    }

    /// Remove a reader; whether its instance has no other.
    pub(crate) fn remove(&mut self, reader: Reader, instance: u32) -> bool {
        let Some(place) = self.place(instance).ok().filter(|_| self.indices.remove(index_of(reader))) else {
            return false;
        };
        self.counts[place].1 -= 1;
        let gone = self.counts[place].1 == 0;
        if gone {
            self.counts.remove(place);
        }
        gone
    }

    /// Whether there is a reader on an instance.
    pub(crate) fn is_on(&self, instance: u32) -> bool {
        self.place(instance).is_ok()
    }

    /// Whether a reader is there.
    pub(crate) fn contains(&self, reader: Reader) -> bool {
        self.indices.contains(index_of(reader))
    }

    /// The instances, in rising order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = u32> {
        self.counts.iter().map(|&(instance, _)| instance)
    }

    /// The readers after one, or all; in the order of their indices.
    pub(crate) fn readers_after(&self, last: Option<Reader>, readers: &Readers) -> impl Iterator<Item = Reader> {
        let from = last.map_or(0, |last| index_of(last) + 1);
        self.indices.range(from..).map(|index| readers.with_index(index))
    }

    /// How many readers.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.indices.len()).unwrap_or(usize::MAX)
    }

    /// How many instances.
    pub(crate) fn width(&self) -> usize {
        self.counts.len()
    }

    /// Bytes held, nearly.
    pub(crate) fn bytes(&self) -> usize {
        let indices = self.indices.statistics();
        let [containers, bitsets] = [indices.n_containers, indices.n_bitset_containers].map(|count| count as usize);
        // The crate says four bytes for each place of its arrays, which has two.
        let arrays = usize::try_from(indices.n_bytes_array_containers / 2).unwrap_or(usize::MAX);
        let bitmap = containers * BYTES_OF_A_CONTAINER + bitsets * BYTES_OF_A_BITSET + arrays;
        size_of::<Self>() + bitmap + self.counts.capacity() * size_of::<(u32, u32)>()
    }

    fn place(&self, instance: u32) -> Result<usize, usize> {
        self.counts.binary_search_by_key(&instance, |&(other, _)| other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::subscriptions::Numbers;

    #[test]
    fn readers_on_many_instances_are_near_each_other() {
        let (readers, mut numbers) = (Readers::default(), Numbers::default());
        let all: Vec<(Reader, u32)> = (0..200_u32)
            .flat_map(|instance| (0..100).map(move |user| (instance, user)))
            .map(|(instance, user)| (numbers.take(instance, user, &readers).expect("one of many"), instance))
            .collect();
        let crowd = Crowd::of(all.iter().copied());
        let mut listed: Vec<Reader> = crowd.readers_after(None, &readers).collect();
        assert!(all.iter().all(|&(reader, _)| crowd.contains(reader)) && listed.len() == all.len());
        assert!(listed.is_sorted_by_key(|&reader| index_of(reader)));
        assert!(crowd.readers_after(Some(listed[7]), &readers).eq(listed.drain(8..)));
        // A set of bits for 65,536 numbers of which 20,000 are used, and how many are on each instance.
        assert!((8192 + 200 * 8..8192 + 200 * 8 * 2 + 200).contains(&crowd.bytes()), "{}", crowd.bytes());
    }

    #[test]
    fn what_a_shrunken_array_keeps_is_counted() {
        let (readers, mut numbers) = (Readers::default(), Numbers::default());
        let all: Vec<Reader> = (0..4_000).map(|user| numbers.take(7, user, &readers).expect("one of many")).collect();
        let mut crowd = Crowd::of(all.iter().map(|&reader| (reader, 7)));
        let full = crowd.bytes();
        assert!(full > 4_000 * size_of::<u16>());
        let gone = all[130..].iter().filter(|&&reader| crowd.remove(reader, 7)).count();
        assert_eq!((gone, crowd.len(), crowd.width(), crowd.bytes()), (0, 130, 1, full));
    }
}
