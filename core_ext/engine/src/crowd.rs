//! The readers of a channel that has very many, with how many are on each instance.

use roaring::RoaringBitmap;

use crate::readers::Reader;

/// A channel's readers in rising order, and their instances.
#[derive(Default)]
pub(crate) struct Crowd {
    readers: RoaringBitmap,
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
        if self.readers.insert(reader) {
            match self.place(instance) {
                Ok(place) => self.counts[place].1 += 1,
                Err(place) => self.counts.insert(place, (instance, 1)),
            }
        }
    }

    /// Remove a reader; whether its instance has no other.
    pub(crate) fn remove(&mut self, reader: Reader, instance: u32) -> bool {
        let Some(place) = self.place(instance).ok().filter(|_| self.readers.remove(reader)) else { return false };
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
        self.readers.contains(reader)
    }

    /// The instances, in rising order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = u32> {
        self.counts.iter().map(|&(instance, _)| instance)
    }

    /// The readers after one, or all; in rising order.
    pub(crate) fn readers_after(&self, last: Option<Reader>) -> impl Iterator<Item = Reader> {
        let from = last.map_or(0, |last| last.saturating_add(1));
        self.readers.range(from..)
    }

    /// How many readers.
    pub(crate) fn len(&self) -> usize {
        self.counts.iter().map(|&(_, count)| count as usize).sum()
    }

    /// Bytes held, nearly.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.readers.serialized_size() + self.counts.capacity() * size_of::<(u32, u32)>()
    }

    fn place(&self, instance: u32) -> Result<usize, usize> {
        self.counts.binary_search_by_key(&instance, |&(other, _)| other)
    }
}
