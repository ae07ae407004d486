//! A growing array in small pages of one size.
//!
//! Thousands of arrays grow side by side. Arrays that double leave up to half of their memory unused, and arrays that
//! grow in small steps leave gaps in which no other array fits. Both need twice the memory of the table (measured). A
//! page of one size fits wherever another was freed.

use std::ops::{Index, IndexMut};

use crate::memory::prefetch::prefetch;

/// An array of pages; the last one is filled up with `T::default()`.
pub(crate) struct Pages<T, const PAGE: usize> {
    pages: Vec<Box<[T; PAGE]>>,
    len: usize,
}

impl<T, const PAGE: usize> Default for Pages<T, PAGE> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T: Default + Copy, const PAGE: usize> Pages<T, PAGE> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Add an item at the end.
    pub(crate) fn push(&mut self, item: T) {
        if self.len == self.pages.len() * PAGE {
            reserve(&mut self.pages);
            self.pages.push(Box::new([T::default(); PAGE]));
        }
        self.len += 1;
        let last = self.len - 1;
        self[last] = item;
    }

    /// Drop the items from `len` on, and the pages that are empty then.
    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.pages.truncate(len.div_ceil(PAGE));
            self.pages.shrink_to_fit();
        }
    }

    /// The items from `start` to the end of its page.
    pub(crate) fn run(&self, start: usize) -> &[T] {
        &self.pages[start / PAGE][start % PAGE..]
    }

    /// [`Pages::run`], to change them.
    pub(crate) fn run_mut(&mut self, start: usize) -> &mut [T] {
        &mut self.pages[start / PAGE][start % PAGE..]
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        Some(&self.pages.get(index / PAGE)?[index % PAGE])
    }

    /// Prefetch the pointer to an item's page. [`Pages::prefetch`] needs it.
    #[inline]
    pub(crate) fn prefetch_page(&self, index: usize) {
        prefetch(&self.pages, index / PAGE);
    }

    /// Prefetch the cache line of an item.
    #[inline]
    pub(crate) fn prefetch(&self, index: usize) {
        if let Some(page) = self.pages.get(index / PAGE) {
            prefetch(page.as_slice(), index % PAGE);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter()).take(self.len)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pages.iter_mut().flat_map(|page| page.iter_mut()).take(self.len)
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * PAGE * size_of::<T>() + self.pages.capacity() * size_of::<Box<[T; PAGE]>>()
    }
}

/// Reserve room for one more item, in steps of an eighth: a table of five million names must not reserve room for five
/// million more.
pub(crate) fn reserve<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 8 + 4);
    }
}

/// Extend to `len` items, the new ones being `with`. If the items have to move, room for an eighth more is reserved.
pub(crate) fn extend_to<T: Copy>(items: &mut Vec<T>, len: usize, with: T) {
    if len > items.capacity() {
        items.reserve_exact(len + len / 8 - items.len());
    }
    if len > items.len() {
        items.resize(len, with);
    }
}

impl<T, const PAGE: usize> Index<usize> for Pages<T, PAGE> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.pages[index / PAGE][index % PAGE]
    }
}

impl<T, const PAGE: usize> IndexMut<usize> for Pages<T, PAGE> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.pages[index / PAGE][index % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth_is_spare_at_most() {
        let mut items = Vec::new();
        for len in 1..2_000 {
            extend_to(&mut items, len, 7);
            assert!(items.len() == len && items.capacity() <= len + len / 8, "{} of {len}", items.capacity());
        }
        extend_to(&mut items, 5, 8);
        assert!(items.len() == 1_999 && items.iter().all(|&item| item == 7));
    }

    #[test]
    fn growing_keeps_what_is_there_and_shrinking_returns_pages() {
        let mut pages = Pages::<u64, 64>::default();
        (0..2_000).for_each(|item| pages.push(item));
        assert!((0..2_000).all(|index| pages[index] == index as u64));
        assert_eq!((pages.len(), pages[999], pages.get(5_000)), (2_000, 999, None));
        let full = pages.bytes();
        pages.truncate(65);
        assert!(pages.iter_mut().map(|item| *item).eq(0..65) && pages.bytes() < full / 4);
        pages.push(7);
        assert_eq!((pages.len(), pages[65]), (66, 7));
    }
}
