//! The subscriptions of a very large channel: a compressed bitmap, and the number of subscriptions on each instance.

use roaring::RoaringBitmap;

use crate::table::subscriptions::{Subscription, Subscriptions, index_of};

/// The bytes of a container: the bitmap has one for each range of 65,536 numbers that is not empty.
const BYTES_OF_A_CONTAINER: usize = 40;

/// The bytes of a container's content if it holds more than 4,096 numbers, as a set of bits.
const BYTES_OF_A_BITSET: usize = 8192;

/// A channel's subscriptions, and their instances.
#[derive(Default)]
pub(crate) struct BitmapSubscribers {
    /// The indices of the subscriptions. Whole subscriptions would be in as many containers as they have tags.
    indices: RoaringBitmap,
    counts: Vec<(u32, u32)>,
}

impl BitmapSubscribers {
    /// Make a bitmap of (subscription, instance).
    pub(crate) fn of(subscriptions: impl Iterator<Item = (Subscription, u32)>) -> Self {
        let mut bitmap = Self::default();
        subscriptions.for_each(|(subscription, instance)| bitmap.add(subscription, instance));
        bitmap
    }

    /// Add a subscription.
    pub(crate) fn add(&mut self, subscription: Subscription, instance: u32) {
        if self.indices.insert(index_of(subscription)) {
            match self.position(instance) {
                Ok(position) => self.counts[position].1 += 1,
                Err(position) => self.counts.insert(position, (instance, 1)),
            }
        }
    }

    /// Remove a subscription. Returns whether its instance has no other one.
    pub(crate) fn remove(&mut self, subscription: Subscription, instance: u32) -> bool {
        let Some(position) = self.position(instance).ok().filter(|_| self.indices.remove(index_of(subscription)))
        else {
            return false;
        };
        self.counts[position].1 -= 1;
        let gone = self.counts[position].1 == 0;
        if gone {
            self.counts.remove(position);
        }
        gone
    }

    /// Whether there is a subscription on an instance.
    pub(crate) fn is_on(&self, instance: u32) -> bool {
        self.position(instance).is_ok()
    }

    /// Whether a subscription is there.
    pub(crate) fn contains(&self, subscription: Subscription) -> bool {
        self.indices.contains(index_of(subscription))
    }

    /// The instances, in rising order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = u32> {
        self.counts.iter().map(|&(instance, _)| instance)
    }

    /// The subscriptions after one, or all of them, in the order of their indices.
    pub(crate) fn subscriptions_after(
        &self,
        last: Option<Subscription>,
        subscriptions: &Subscriptions,
    ) -> impl Iterator<Item = Subscription> {
        let from = last.map_or(0, |last| index_of(last) + 1);
        self.indices.range(from..).map(|index| subscriptions.with_index(index))
    }

    /// The number of subscriptions.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.indices.len()).unwrap_or(usize::MAX)
    }

    /// The number of instances.
    pub(crate) fn width(&self) -> usize {
        self.counts.len()
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> usize {
        let indices = self.indices.statistics();
        let [containers, bitsets] = [indices.n_containers, indices.n_bitset_containers].map(|count| count as usize);
        // The crate reports four bytes for each item of its arrays, which have two.
        let arrays = usize::try_from(indices.n_bytes_array_containers / 2).unwrap_or(usize::MAX);
        let bitmap = containers * BYTES_OF_A_CONTAINER + bitsets * BYTES_OF_A_BITSET + arrays;
        size_of::<Self>() + bitmap + self.counts.capacity() * size_of::<(u32, u32)>()
    }

    fn position(&self, instance: u32) -> Result<usize, usize> {
        self.counts.binary_search_by_key(&instance, |&(other, _)| other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::subscriptions::SubscriptionIds;

    #[test]
    fn readers_on_many_instances_are_near_each_other() {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        let all: Vec<(Subscription, u32)> = (0..200_u32)
            .flat_map(|instance| (0..100).map(move |user| (instance, user)))
            .map(|(instance, user)| (numbers.take(instance, user, &subscriptions).expect("one of many"), instance))
            .collect();
        let bitmap = BitmapSubscribers::of(all.iter().copied());
        let mut listed: Vec<Subscription> = bitmap.subscriptions_after(None, &subscriptions).collect();
        assert!(all.iter().all(|&(subscription, _)| bitmap.contains(subscription)) && listed.len() == all.len());
        assert!(listed.is_sorted_by_key(|&subscription| index_of(subscription)));
        assert!(bitmap.subscriptions_after(Some(listed[7]), &subscriptions).eq(listed.drain(8..)));
        // A set of bits for 65,536 numbers of which 20,000 are used, and how many are on each instance.
        assert!((8192 + 200 * 8..8192 + 200 * 8 * 2 + 200).contains(&bitmap.bytes()), "{}", bitmap.bytes());
    }

    #[test]
    fn what_a_shrunken_array_keeps_is_counted() {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        let all: Vec<Subscription> =
            (0..4_000).map(|user| numbers.take(7, user, &subscriptions).expect("one of many")).collect();
        let mut bitmap = BitmapSubscribers::of(all.iter().map(|&subscription| (subscription, 7)));
        let full = bitmap.bytes();
        assert!(full > 4_000 * size_of::<u16>());
        let gone = all[130..].iter().filter(|&&subscription| bitmap.remove(subscription, 7)).count();
        assert_eq!((gone, bitmap.len(), bitmap.width(), bitmap.bytes()), (0, 130, 1, full));
    }
}
