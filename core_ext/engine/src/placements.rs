//! Channel -> instances, and the users on them.
//!
//! A channel's readers are one sorted run of (instance, user), so its instances are found by skipping from the first
//! reader on one to the first on the next, and two readers need no allocation at all.

use smallvec::SmallVec;

use crate::pages::Pages;

/// An instance in the upper half and a user in the lower: a reader's place in its channel.
pub(crate) type Reader = u64;

type Readers = SmallVec<[Reader; 2]>;

/// Who reads which channel where.
#[derive(Default)]
pub(crate) struct Placements {
    channels: Pages<Readers>,
    entries: usize,
    occupied: usize,
    heap: usize,
}

impl Placements {
    /// Make room for a channel that was just interned.
    pub(crate) fn reach(&mut self, channel: u32) {
        self.channels.reach(channel);
    }

    /// Add a reader; whether the instance is new to the channel.
    pub(crate) fn add(&mut self, channel: u32, instance: u32, user: u32) -> bool {
        let readers = &mut self.channels[channel];
        let Err(place) = readers.binary_search(&reader(instance, user)) else { return false };
        let new = !beside(readers, place, place, instance);
        self.occupied += usize::from(readers.is_empty());
        self.heap -= heap_bytes(readers);
        readers.insert(place, reader(instance, user));
        self.heap += heap_bytes(readers);
        self.entries += usize::from(new);
        new
    }

    /// Remove a reader; whether the channel lost the instance with it.
    pub(crate) fn remove(&mut self, channel: u32, instance: u32, user: u32) -> bool {
        let readers = &mut self.channels[channel];
        let Ok(place) = readers.binary_search(&reader(instance, user)) else { return false };
        let gone = !beside(readers, place, place + 1, instance);
        self.heap -= heap_bytes(readers);
        readers.remove(place);
        give_back(readers);
        self.heap += heap_bytes(readers);
        self.occupied -= usize::from(readers.is_empty());
        self.entries -= usize::from(gone);
        gone
    }

    /// The instances of a channel, in rising order.
    pub(crate) fn instances(&self, channel: u32) -> impl Iterator<Item = u32> {
        let mut rest = self.channels.get(channel).map_or(&[][..], SmallVec::as_slice);
        std::iter::from_fn(move || {
            let instance = instance_of(*rest.first()?);
            rest = &rest[run_length(rest, instance)..];
            Some(instance)
        })
    }

    /// The readers of a channel that come after one, or all; in rising order.
    pub(crate) fn readers_after(&self, channel: u32, last: Option<Reader>) -> &[Reader] {
        let readers = self.channels.get(channel).map_or(&[][..], SmallVec::as_slice);
        &readers[readers.partition_point(|&reader| last.is_some_and(|last| reader <= last))..]
    }

    /// How many (channel, instance) pairs there are.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// How many channels have a reader.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.channels.bytes() + self.heap
    }
}

pub(crate) fn reader(instance: u32, user: u32) -> Reader {
    u64::from(instance) << 32 | u64::from(user)
}

pub(crate) fn instance_of(reader: Reader) -> u32 {
    (reader >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is the user")]
pub(crate) fn user_of(reader: Reader) -> u32 {
    reader as u32
}

/// Whether the reader below `from`, or the one at `to`, is on the instance.
fn beside(readers: &[Reader], from: usize, to: usize, instance: u32) -> bool {
    let is_on = |reader: &Reader| instance_of(*reader) == instance;
    readers[..from].last().is_some_and(is_on) || readers.get(to).is_some_and(is_on)
}

/// How many readers at the front are on the instance: doubling steps, so that short runs cost one comparison.
fn run_length(readers: &[Reader], instance: u32) -> usize {
    let is_on = |reader: &Reader| instance_of(*reader) == instance;
    let mut bound = 1;
    while readers.get(bound).is_some_and(is_on) {
        bound *= 2;
    }
    bound / 2 + readers[bound / 2..readers.len().min(bound)].partition_point(is_on)
}

fn give_back(readers: &mut Readers) {
    if readers.spilled() && readers.len() * 4 <= readers.capacity() {
        readers.shrink_to_fit();
    }
}

fn heap_bytes(readers: &Readers) -> usize {
    if readers.spilled() { readers.capacity() * size_of::<Reader>() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placements(readers: &[(u32, u32)]) -> Placements {
        let mut placements = Placements::default();
        placements.reach(0);
        for &(instance, user) in readers {
            placements.add(0, instance, user);
        }
        placements
    }

    #[test]
    fn an_entry_lasts_from_the_first_user_to_the_last() {
        let mut placements = placements(&[]);
        assert!(placements.add(0, 7, 1));
        assert!(!placements.add(0, 7, 2));
        assert!(!placements.add(0, 7, 2));
        assert!(placements.add(0, 8, 1));
        assert_eq!((placements.entries(), placements.occupied()), (2, 1));
        assert!(!placements.remove(0, 7, 1));
        assert!(placements.remove(0, 7, 2));
        assert!(!placements.remove(0, 7, 2));
        assert!(placements.remove(0, 8, 1));
        assert_eq!((placements.entries(), placements.occupied()), (0, 0));
    }

    #[test]
    fn each_instance_is_named_once_whatever_the_runs() {
        for counts in [[1, 1, 1], [5, 1, 2], [1, 64, 1], [33, 100, 17]] {
            let readers: Vec<_> = (0..3_u32).flat_map(|i| (0..counts[i as usize]).map(move |u| (i * 9, u))).collect();
            let found: Vec<u32> = placements(&readers).instances(0).collect();
            assert_eq!(found, [0, 9, 18], "{counts:?}");
        }
    }

    #[test]
    fn a_channel_never_seen_has_no_readers() {
        assert_eq!(Placements::default().instances(5).count(), 0);
        assert!(Placements::default().readers_after(5, None).is_empty());
    }

    #[test]
    fn readers_are_listed_from_any_point() {
        let placements = placements(&[(1, 5), (1, 9), (2, 5)]);
        assert_eq!(placements.readers_after(0, None).len(), 3);
        assert_eq!(placements.readers_after(0, Some(reader(1, 7))), [reader(1, 9), reader(2, 5)]);
    }

    #[test]
    fn the_heap_is_given_back() {
        let readers: Vec<_> = (0..100).map(|user| (1, user)).collect();
        let mut placements = placements(&readers);
        assert!(placements.heap >= 800);
        for (instance, user) in readers {
            placements.remove(0, instance, user);
        }
        assert_eq!(placements.heap, 0);
    }
}
