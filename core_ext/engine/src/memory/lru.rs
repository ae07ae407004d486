//! The order of last use over dense ids, as a ring of links.

use crate::memory::pages::extend_to;

/// Ids in order of use; each operation is constant work.
pub(crate) struct Recency {
    links: Vec<Link>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Link {
    older: u32,
    newer: u32,
}

/// Index 0 is the ring's anchor, so that the ends need no special case. The index of an id is the id plus one.
const ANCHOR: u32 = 0;
const APART: Link = Link { older: u32::MAX, newer: u32::MAX };

impl Default for Recency {
    fn default() -> Self {
        Self { links: vec![Link { older: ANCHOR, newer: ANCHOR }], len: 0 }
    }
}

impl Recency {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Link>()
    }

    /// The id that was used least recently.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.link(ANCHOR).newer.checked_sub(1)
    }

    /// Whether `id` is in the ring.
    pub(crate) fn contains(&self, id: u32) -> bool {
        self.links.get(id as usize + 1).is_some_and(|link| link.older != APART.older)
    }

    /// Make `id` the most recently used one.
    pub(crate) fn touch(&mut self, id: u32) {
        self.remove(id);
        let position = id + 1;
        extend_to(&mut self.links, position as usize + 1, APART);
        let newest = self.link(ANCHOR).older;
        self.links[position as usize] = Link { older: newest, newer: ANCHOR };
        self.links[newest as usize].newer = position;
        self.links[ANCHOR as usize].older = position;
        self.len += 1;
    }

    /// Remove `id`. Returns whether it was in the ring.
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let position = id as usize + 1;
        let Some(link) = self.links.get(position).copied().filter(|link| link.older != APART.older) else {
            return false;
        };
        self.links[link.older as usize].newer = link.newer;
        self.links[link.newer as usize].older = link.older;
        self.links[position] = APART;
        self.len -= 1;
        true
    }

    fn link(&self, position: u32) -> Link {
        self.links[position as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(mut order: Recency) -> Vec<u32> {
        std::iter::from_fn(|| order.oldest().inspect(|&id| assert!(order.remove(id)))).collect()
    }

    #[test]
    fn the_least_recently_used_comes_first() {
        let mut order = Recency::default();
        for id in [3, 0, 7, 3, 1] {
            order.touch(id);
        }
        assert_eq!(order.len(), 4);
        assert_eq!(drained(order), [0, 7, 3, 1]);
    }

    #[test]
    fn what_is_not_in_cannot_be_removed() {
        let mut order = Recency::default();
        order.touch(5);
        assert!(!order.remove(4));
        assert!(!order.remove(500));
        assert!(order.remove(5));
        assert!(!order.remove(5));
        assert_eq!(order.oldest(), None);
    }
}
