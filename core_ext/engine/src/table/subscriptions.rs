//! A subscription is a user on an instance. It has the same number for as long as the user is there.
//!
//! A channel row has only these numbers, of four bytes; this table has the user and the instance of each. The meaning
//! of a number never changes while a channel names it, so it is read without a lock.
//!
//! An instance gets numbers by pages of 32, and keeps them as long as it has a user. So the instances of a hundred
//! thousand subscriptions are a table of 12 KB, which stays in the first-level cache. The upper bits of a number are a
//! *tag* of its instance: for nearly all channels of a login, a few comparisons of tags show that no other user on the
//! same instance reads them. The other bits are its *index*.

use std::sync::OnceLock;

use crate::sync::{AtomicU32, Ordering};

/// A subscription's number.
pub(crate) type Subscription = u32;

/// No subscription: the value of unused words in rows.
pub(crate) const NO_SUBSCRIPTION: Subscription = 0;

const TAG_BITS: u32 = 6;
const INDEX_BITS: u32 = u32::BITS - TAG_BITS;
/// Masks the index, the bits of a number that are not the tag. Two subscriptions with the same other bits may be on the
/// same instance; a number without other bits is no subscription.
pub(crate) const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

const PAGE_BITS: u32 = if cfg!(shuttle) { 1 } else { 5 };
const PAGE: Subscription = 1 << PAGE_BITS;
const NO_ONE: u32 = u32::MAX;

/// The number of pages, including the first one, which belongs to no instance.
const MOST_PAGES: u32 = 1 << (INDEX_BITS - PAGE_BITS);

const FIRST_OWNERS: usize = if cfg!(shuttle) { 2 } else { 8192 };
const FIRST_USERS: usize = if cfg!(shuttle) { 2 } else { 1024 };

/// Who the subscriptions are.
#[derive(Default)]
pub(crate) struct Subscriptions {
    /// The instance of each page.
    owners: Column<FIRST_OWNERS>,
    users: Column<FIRST_USERS>,
}

impl Subscriptions {
    /// Set the instance of a page. No channel may name a number of the page.
    fn set_owner(&self, page: u32, instance: u32) {
        self.owners.set(page, instance);
    }

    /// Set the user of a subscription. No channel may name it yet.
    fn set_user(&self, subscription: Subscription, user: u32) {
        self.users.set(index_of(subscription), user);
    }

    /// The subscription's instance.
    #[inline]
    pub(crate) fn instance(&self, subscription: Subscription) -> u32 {
        self.owners.get(index_of(subscription) >> PAGE_BITS)
    }

    /// The subscription with an index.
    pub(crate) fn with_index(&self, index: u32) -> Subscription {
        tag_of(self.instance(index)) | index
    }

    /// The subscription's user.
    pub(crate) fn user(&self, subscription: Subscription) -> u32 {
        self.users.get(index_of(subscription))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.owners.bytes() + self.users.bytes()
    }
}

/// The bits of a number that identify the subscription.
#[inline]
pub(crate) fn index_of(subscription: Subscription) -> u32 {
    subscription & INDEX_MASK
}

/// The tag of an instance; never that of [`NO_SUBSCRIPTION`].
fn tag_of(instance: u32) -> u32 {
    (instance % ((1 << TAG_BITS) - 1) + 1) << INDEX_BITS
}

/// Allocates the numbers, by instance.
#[derive(Default)]
pub(crate) struct SubscriptionIds {
    pages: u32,
    free_pages: Vec<u32>,
    instances: Vec<Own>,
}

/// An instance's pages, and its numbers that are free.
#[derive(Default)]
struct Own {
    pages: Vec<u32>,
    free: Vec<Subscription>,
}

impl SubscriptionIds {
    /// Allocate a number for a user on an instance; None if all are in use.
    pub(crate) fn take(&mut self, instance: u32, user: u32, subscriptions: &Subscriptions) -> Option<Subscription> {
        if self.instances.len() <= instance as usize {
            self.instances.resize_with(instance as usize + 1, Own::default);
        }
        if self.instances[instance as usize].free.is_empty() {
            self.add_page(instance, subscriptions)?;
        }
        let subscription = self.instances[instance as usize].free.pop()?;
        subscriptions.set_user(subscription, user);
        Some(subscription)
    }

    /// Free the number of a subscription, which no channel names any more.
    pub(crate) fn give_back(&mut self, instance: u32, subscription: Subscription) {
        self.instances[instance as usize].free.push(subscription);
    }

    /// Free all pages of an instance that has no subscription any more.
    pub(crate) fn give_back_all(&mut self, instance: u32) {
        if let Some(own) = self.instances.get_mut(instance as usize) {
            self.free_pages.extend(std::mem::take(own).pages);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let own = |own: &Own| (own.pages.capacity() + own.free.capacity()) * size_of::<u32>() + size_of::<Own>();
        self.instances.iter().map(own).sum::<usize>() + self.free_pages.capacity() * size_of::<u32>()
    }

    fn add_page(&mut self, instance: u32, subscriptions: &Subscriptions) -> Option<()> {
        let page = self.free_pages.pop().or_else(|| self.fresh_page())?;
        subscriptions.set_owner(page, instance);
        let own = &mut self.instances[instance as usize];
        own.pages.push(page);
        own.free.extend((0..PAGE).rev().map(|offset| tag_of(instance) | page << PAGE_BITS | offset));
        Some(())
    }

    fn fresh_page(&mut self) -> Option<u32> {
        self.pages = Some(self.pages + 1).filter(|&page| page < MOST_PAGES)?; // the first page is nobody's
        Some(self.pages)
    }

    /// For tests: behave as if this was the last page.
    #[cfg(test)]
    pub(crate) fn exhaust(&mut self) {
        self.pages = MOST_PAGES - 1;
    }
}

/// A growing array that is read without a lock: the first `FIRST` items, then pages, each twice as large as the one
/// before.
struct Column<const FIRST: usize> {
    first: Box<[AtomicU32]>,
    pages: [OnceLock<Box<[AtomicU32]>>; 22],
}

impl<const FIRST: usize> Default for Column<FIRST> {
    fn default() -> Self {
        Self { first: items(FIRST), pages: Default::default() }
    }
}

impl<const FIRST: usize> Column<FIRST> {
    #[inline]
    fn get(&self, index: u32) -> u32 {
        match self.first.get(index as usize) {
            Some(item) => item.load(Ordering::Relaxed),
            None => self.get_far(index),
        }
    }

    fn set(&self, index: u32, value: u32) {
        if let Some(item) = self.first.get(index as usize) {
            item.store(value, Ordering::Relaxed);
        } else {
            let (page, offset) = Self::page_and_offset(index);
            self.pages[page].get_or_init(|| items(FIRST << page))[offset].store(value, Ordering::Relaxed);
        }
    }

    #[cold]
    fn get_far(&self, index: u32) -> u32 {
        let (page, offset) = Self::page_and_offset(index);
        self.pages[page].get().map_or(NO_ONE, |page| page[offset].load(Ordering::Relaxed))
    }

    fn page_and_offset(index: u32) -> (usize, usize) {
        let page = (index as usize / FIRST).ilog2() as usize;
        (page, index as usize - (FIRST << page))
    }

    fn bytes(&self) -> usize {
        let pages: usize = self.pages.iter().filter_map(OnceLock::get).map(|page| page.len()).sum();
        (self.first.len() + pages) * size_of::<AtomicU32>()
    }
}

fn items(count: usize) -> Box<[AtomicU32]> {
    (0..count).map(|_| AtomicU32::new(NO_ONE)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;
    use crate::sync::Mutex;

    fn take(numbers: &mut SubscriptionIds, instance: u32, user: u32, subscriptions: &Subscriptions) -> Subscription {
        numbers.take(instance, user, subscriptions).expect("there are numbers left")
    }

    fn are_alike(one: Subscription, another: Subscription) -> bool {
        (one ^ another) & !INDEX_MASK == 0
    }

    #[test]
    fn every_item_has_a_place_of_its_own() {
        let column = Column::<4>::default();
        let all: Vec<u32> = (0..1_000).collect();
        for &index in &all {
            column.set(index, index + 1);
        }
        assert!(all.iter().all(|&index| column.get(index) == index + 1));
        assert_eq!(column.get(5_000), NO_ONE);
        let last: fn(u32) -> (usize, usize) = Column::<1024>::page_and_offset;
        assert_eq!(last(u32::MAX), (21, (1024 << 21) - 1));
    }

    #[test]
    fn readers_are_who_they_were_said_to_be() {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        let placed: Vec<(Subscription, u32, u32)> = (0..100_u32)
            .flat_map(|user| (0..3_u32).map(move |instance| (user, instance)))
            .map(|(user, instance)| (take(&mut numbers, instance, user, &subscriptions), instance, user))
            .collect();
        assert_eq!(placed.iter().map(|placed| placed.0).collect::<HashSet<_>>().len(), 300);
        assert!(
            placed
                .iter()
                .all(|&(subscription, i, u)| (subscriptions.instance(subscription), subscriptions.user(subscription))
                    == (i, u))
        );
        assert!(
            placed.iter().all(|&(subscription, ..)| subscriptions.with_index(index_of(subscription)) == subscription)
        );
        assert_eq!(subscriptions.instance(NO_SUBSCRIPTION), NO_ONE);
    }

    #[test]
    fn readers_on_one_instance_are_alike_and_nobody_is_like_a_reader() {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        for instance in 0..300 {
            let (one, another) =
                (take(&mut numbers, instance, 1, &subscriptions), take(&mut numbers, instance, 2, &subscriptions));
            assert!(are_alike(one, another) && !are_alike(one, NO_SUBSCRIPTION));
        }
        let (one, another) = (take(&mut numbers, 7, 3, &subscriptions), take(&mut numbers, 8, 3, &subscriptions));
        assert!(!are_alike(one, another));
    }

    #[test]
    fn numbers_and_pages_are_used_again() {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        let first = take(&mut numbers, 0, 7, &subscriptions);
        numbers.give_back(0, first);
        assert_eq!(take(&mut numbers, 0, 8, &subscriptions), first);
        numbers.give_back(0, first);
        numbers.give_back_all(0);
        let next = take(&mut numbers, 5, 9, &subscriptions);
        assert_eq!(index_of(next) >> PAGE_BITS, index_of(first) >> PAGE_BITS);
        assert_eq!((subscriptions.instance(next), numbers.pages), (5, 1));
    }

    #[test]
    fn where_no_number_is_left_one_that_is_given_back_is_taken() {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        let mine = take(&mut numbers, 1, 0, &subscriptions);
        numbers.exhaust();
        (1..PAGE).for_each(|user| assert_ne!(take(&mut numbers, 1, user, &subscriptions), mine));
        assert_eq!((numbers.take(1, 9, &subscriptions), numbers.take(2, 9, &subscriptions)), (None, None));
        numbers.give_back(1, mine);
        assert_eq!(numbers.take(1, 9, &subscriptions), Some(mine));
        numbers.give_back_all(1);
        assert!(numbers.take(2, 9, &subscriptions).is_some());
    }

    #[test]
    fn who_a_reader_is_comes_with_the_lock_of_what_names_it() {
        let (subscriptions, row) = (Subscriptions::default(), Mutex::new((NO_SUBSCRIPTION, NO_ONE)));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut numbers = SubscriptionIds::default();
                for instance in 0..100 {
                    let subscription = take(&mut numbers, instance, instance, &subscriptions);
                    *row.lock() = (subscription, instance);
                }
            });
            loop {
                let named = row.lock();
                assert_eq!(subscriptions.instance(named.0), named.1);
                if named.1 == 99 {
                    break;
                }
            }
        });
    }
}
