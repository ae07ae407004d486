//! Readers: a user on an instance, under one number for as long as the user is there.
//!
//! A channel names its readers by these numbers alone, in four bytes, and who they are is looked up here. What a number
//! means never changes while any channel names it, and is read without a lock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A reader's number.
pub(crate) type Reader = u32;

/// No reader: stands in the unused places of rows, and is on no instance.
pub(crate) const NOBODY: Reader = 0;

/// Page `n` holds `FIRST << n` readers, so that growing never moves one.
const FIRST: usize = 1024;
const FIRST_BITS: u32 = FIRST.trailing_zeros();
const PAGES: usize = 22;

/// Who the readers are.
#[derive(Default)]
pub(crate) struct Readers {
    pages: [OnceLock<Page>; PAGES],
}

/// Side by side rather than in pairs: counting a channel's instances reads nothing of its users.
struct Page {
    instances: Box<[AtomicU32]>,
    users: Box<[AtomicU32]>,
}

/// The numbers in use.
#[derive(Default)]
pub(crate) struct Numbers {
    last: Reader,
    free: Vec<Reader>,
}

impl Numbers {
    /// A number that no reader has.
    pub(crate) fn take(&mut self) -> Reader {
        self.free.pop().unwrap_or_else(|| {
            self.last += 1;
            self.last
        })
    }

    pub(crate) fn give_back(&mut self, reader: Reader) {
        self.free.push(reader);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.free.capacity() * size_of::<Reader>()
    }
}

impl Readers {
    /// Say who a reader is. No channel names it yet.
    pub(crate) fn set(&self, reader: Reader, instance: u32, user: u32) {
        let (page, place) = place_of(reader);
        let page = self.pages[page].get_or_init(|| Page::new(FIRST << page));
        page.instances[place].store(instance, Ordering::Relaxed);
        page.users[place].store(user, Ordering::Relaxed);
    }

    /// The reader's instance.
    pub(crate) fn instance(&self, reader: Reader) -> u32 {
        let (page, place) = place_of(reader);
        self.pages[page].get().map_or(u32::MAX, |page| page.instances[place].load(Ordering::Relaxed))
    }

    /// The reader's user.
    pub(crate) fn user(&self, reader: Reader) -> u32 {
        let (page, place) = place_of(reader);
        self.pages[page].get().map_or(u32::MAX, |page| page.users[place].load(Ordering::Relaxed))
    }

    pub(crate) fn bytes(&self) -> usize {
        let pages = self.pages.iter().filter_map(OnceLock::get);
        pages.map(|page| page.instances.len() * 2 * size_of::<AtomicU32>()).sum()
    }
}

impl Page {
    fn new(readers: usize) -> Self {
        let column = || (0..readers).map(|_| AtomicU32::new(u32::MAX)).collect();
        Self { instances: column(), users: column() }
    }
}

fn place_of(reader: Reader) -> (usize, usize) {
    let shifted = reader as usize + FIRST;
    let page = shifted.ilog2() - FIRST_BITS;
    (page as usize, shifted - (FIRST << page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_has_a_place_of_its_own() {
        let readers = Readers::default();
        let all = [0, 1, 1023, 1024, 3071, 3072, 500_000];
        for reader in all {
            readers.set(reader, reader + 1, reader + 2);
        }
        for reader in all {
            assert_eq!((readers.instance(reader), readers.user(reader)), (reader + 1, reader + 2));
        }
        assert_eq!(place_of(u32::MAX).0, PAGES);
    }

    #[test]
    fn numbers_are_used_again() {
        let mut numbers = Numbers::default();
        let (a, b) = (numbers.take(), numbers.take());
        numbers.give_back(a);
        assert_eq!((numbers.take(), numbers.take()), (a, b + 1));
    }
}
