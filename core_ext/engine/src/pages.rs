//! A growing array in pages: growth never moves what is there, so one step of it costs one page at most.

use std::ops::{Index, IndexMut};

const PAGE: usize = 1024;

/// An array indexed by dense ids; places never written hold `T::default()`.
pub(crate) struct Pages<T> {
    pages: Vec<Box<[T]>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T: Default> Pages<T> {
    /// Make the place of `id` exist.
    pub(crate) fn reach(&mut self, id: u32) {
        while self.pages.len() * PAGE <= id as usize {
            self.pages.push((0..PAGE).map(|_| T::default()).collect());
        }
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        Some(&self.pages.get(id as usize / PAGE)?[id as usize % PAGE])
    }

    /// Bytes of the pages themselves, without what their items own.
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * (PAGE * size_of::<T>() + size_of::<Box<[T]>>())
    }
}

impl<T> Index<u32> for Pages<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        &self.pages[id as usize / PAGE][id as usize % PAGE]
    }
}

impl<T> IndexMut<u32> for Pages<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.pages[id as usize / PAGE][id as usize % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_keeps_what_is_there() {
        let mut pages = Pages::<u64>::default();
        pages.reach(0);
        pages[0] = 7;
        pages.reach(5_000);
        pages[5_000] = 9;
        assert_eq!((pages[0], pages[4_999], pages[5_000]), (7, 0, 9));
        assert_eq!(pages.get(1_000_000), None);
    }
}
