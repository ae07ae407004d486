//! What is asked of a channel's readers.

use smallvec::SmallVec;

use crate::table::bitmap_subscribers::Crowd;
use crate::table::subscriptions::{Reader, Readers};

/// Instances, by number.
pub(crate) type InstanceIds = SmallVec<[u32; 16]>;

/// The readers of one channel.
pub(crate) enum View<'a> {
    /// Few, in no order.
    Few(&'a [Reader], &'a [Reader]),
    /// Many.
    Many(&'a Crowd),
}

impl View<'_> {
    /// The instances of the readers, each once, into `found`, which is empty.
    pub(crate) fn instances(&self, readers: &Readers, found: &mut InstanceIds) {
        match self {
            View::Few(head, tail) => distinct(head.iter().chain(*tail).map(|&reader| readers.instance(reader)), found),
            View::Many(crowd) => found.extend(crowd.instances()),
        }
    }

    /// How many instances the readers are on.
    pub(crate) fn width(&self, readers: &Readers) -> usize {
        let (head, tail) = match self {
            View::Few(head, tail) => (head, tail),
            View::Many(crowd) => return crowd.width(),
        };
        let (mut seen, mut width) = (Seen::default(), 0);
        for &reader in head.iter().chain(*tail) {
            let Some(is_new) = seen.add(readers.instance(reader)) else { return self.width_by_list(readers) };
            // Without a branch: which reader shares its instance cannot be foreseen.
            width += usize::from(is_new);
        }
        width
    }

    #[cold]
    fn width_by_list(&self, readers: &Readers) -> usize {
        let mut found = InstanceIds::new();
        self.instances(readers, &mut found);
        found.len()
    }

    /// Whether a reader is among them.
    pub(crate) fn contains(&self, reader: Reader) -> bool {
        match self {
            View::Few(head, tail) => head.contains(&reader) || tail.contains(&reader),
            View::Many(crowd) => crowd.contains(reader),
        }
    }

    /// Whether one of the readers is on an instance.
    pub(super) fn is_on(&self, instance: u32, readers: &Readers) -> bool {
        match self {
            View::Few(head, tail) => is_any_on(head, instance, readers) || is_any_on(tail, instance, readers),
            View::Many(crowd) => crowd.is_on(instance),
        }
    }
}

/// Whether one of some readers is on an instance.
pub(super) fn is_any_on(some: &[Reader], instance: u32, readers: &Readers) -> bool {
    some.iter().any(|&reader| readers.instance(reader) == instance)
}

/// Which of the instances with low numbers, which nearly all have, were seen.
#[derive(Default)]
struct Seen([u64; 16]);

impl Seen {
    /// Note an instance; whether it is new, None where its number is too high to tell.
    #[inline]
    fn add(&mut self, instance: u32) -> Option<bool> {
        let (word, bit) = (self.0.get_mut(instance as usize / 64)?, instance % 64);
        let is_new = *word >> bit & 1 == 0;
        *word |= 1 << bit;
        Some(is_new)
    }
}

/// Each instance once. Those whose numbers are too high to be noted are rare, and sorted.
fn distinct(instances: impl Iterator<Item = u32>, found: &mut InstanceIds) {
    let (mut seen, mut has_high) = (Seen::default(), false);
    for instance in instances {
        let is_new = seen.add(instance);
        has_high |= is_new.is_none();
        if is_new.unwrap_or(true) {
            found.push(instance);
        }
    }
    if has_high {
        found.sort_unstable();
        found.dedup();
    }
}
