//! The questions about a channel's subscriptions.

use smallvec::SmallVec;

use crate::table::bitmap_subscribers::BitmapSubscribers;
use crate::table::subscriptions::{Subscription, Subscriptions};

/// Instances, by number.
pub(crate) type InstanceIds = SmallVec<[u32; 16]>;

/// The subscriptions of one channel.
pub(crate) enum View<'a> {
    /// Few subscriptions, in no order: those of the row and those of its block.
    Few(&'a [Subscription], &'a [Subscription]),
    /// Many subscriptions.
    Many(&'a BitmapSubscribers),
}

impl View<'_> {
    /// Put the instances of the subscriptions, each once, into `found`, which must be empty.
    pub(crate) fn instances(&self, subscriptions: &Subscriptions, found: &mut InstanceIds) {
        match self {
            View::Few(head, tail) => {
                distinct(head.iter().chain(*tail).map(|&subscription| subscriptions.instance(subscription)), found);
            }
            View::Many(bitmap) => found.extend(bitmap.instances()),
        }
    }

    /// The number of instances that the subscriptions are on.
    pub(crate) fn width(&self, subscriptions: &Subscriptions) -> usize {
        let (head, tail) = match self {
            View::Few(head, tail) => (head, tail),
            View::Many(bitmap) => return bitmap.width(),
        };
        let (mut seen, mut width) = (Seen::default(), 0);
        for &subscription in head.iter().chain(*tail) {
            let Some(is_new) = seen.add(subscriptions.instance(subscription)) else {
                return self.width_by_list(subscriptions);
            };
            // This has no branch, because the processor could not predict which subscription shares its instance.
            width += usize::from(is_new);
        }
        width
    }

    #[cold]
    fn width_by_list(&self, subscriptions: &Subscriptions) -> usize {
        let mut found = InstanceIds::new();
        self.instances(subscriptions, &mut found);
        found.len()
    }

    /// Whether the channel has this subscription.
    pub(crate) fn contains(&self, subscription: Subscription) -> bool {
        match self {
            View::Few(head, tail) => head.contains(&subscription) || tail.contains(&subscription),
            View::Many(bitmap) => bitmap.contains(subscription),
        }
    }

    /// Whether one of the subscriptions is on an instance.
    pub(super) fn is_on(&self, instance: u32, subscriptions: &Subscriptions) -> bool {
        match self {
            View::Few(head, tail) => {
                is_any_on(head, instance, subscriptions) || is_any_on(tail, instance, subscriptions)
            }
            View::Many(bitmap) => bitmap.is_on(instance),
        }
    }
}

/// Whether one of some subscriptions is on an instance.
pub(super) fn is_any_on(some: &[Subscription], instance: u32, subscriptions: &Subscriptions) -> bool {
    some.iter().any(|&subscription| subscriptions.instance(subscription) == instance)
}

/// The instances that were seen, as bits; nearly all instances have numbers that are low enough.
#[derive(Default)]
struct Seen([u64; 16]);

impl Seen {
    /// Note an instance. Returns whether it is new, or None if its number is too high for a bit.
    #[inline]
    fn add(&mut self, instance: u32) -> Option<bool> {
        let (word, bit) = (self.0.get_mut(instance as usize / 64)?, instance % 64);
        let is_new = *word >> bit & 1 == 0;
        *word |= 1 << bit;
        Some(is_new)
    }
}

/// Put each instance once into `found`. Instances whose numbers are too high for a bit are rare; they are sorted.
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
