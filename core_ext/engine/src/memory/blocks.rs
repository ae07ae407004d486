//! Allocates blocks of numbers in a few sizes. A freed block is used again for the next request of its size.

use crate::memory::pages::Pages;

/// The number of numbers that a block of each class holds. Sizes rise by a third to a half, so at most a quarter of a
/// block is unused, except in the smallest.
const SIZES: [usize; 12] = [4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256];

const NONE: u32 = u32::MAX;
const SPARSE_FROM: usize = PAGE + 1;

/// Four numbers. All sizes are multiples of it.
type Unit = [u32; 4];

const IN_UNIT: usize = 4;
const PAGE: usize = 128;

/// The position of a block: its first unit, and its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) start: u32,
    pub(crate) class: u8,
}

/// The blocks of a shard, each within one page.
pub(crate) struct Blocks {
    units: Pages<Unit, PAGE>,
    /// The first free block of each class; the first word of a free block is the next one.
    free: [u32; SIZES.len()],
    unused: usize,
}

impl Default for Blocks {
    fn default() -> Self {
        Self { units: Pages::default(), free: [NONE; SIZES.len()], unused: 0 }
    }
}

impl Blocks {
    /// Allocate a block with these numbers, at most as many as the largest of [`SIZES`].
    pub(crate) fn allocate(&mut self, numbers: &[u32]) -> Block {
        let block = self.take(class_for(numbers.len()));
        self.numbers_mut(block)[..numbers.len()].copy_from_slice(numbers);
        block
    }

    /// Free a block.
    pub(crate) fn free(&mut self, block: Block) {
        let class = usize::from(block.class);
        self.units[block.start as usize][0] = self.free[class];
        self.free[class] = block.start;
        self.unused += units_of(class);
        if self.unused == self.units.len() {
            *self = Self::default();
        }
    }

    /// The first `len` numbers of a block.
    pub(crate) fn get(&self, block: Block, len: usize) -> &[u32] {
        &self.units.run(block.start as usize).as_flattened()[..len]
    }

    /// Prefetch a block's first numbers.
    pub(crate) fn prefetch(&self, block: Block) {
        self.units.prefetch(block.start as usize);
    }

    /// Replace a number.
    pub(crate) fn set(&mut self, block: Block, position: usize, number: u32) {
        self.numbers_mut(block)[position] = number;
    }

    /// Add a number behind the first `len`. Returns the block, which may have moved.
    pub(crate) fn push(&mut self, block: Block, len: usize, number: u32) -> Block {
        let block = if len < SIZES[usize::from(block.class)] { block } else { self.moved(block, len, len + 1) };
        self.set(block, len, number);
        block
    }

    /// Drop the last of `len` numbers. Returns the block, which may have moved; None if it had only one number.
    pub(crate) fn pop(&mut self, block: Block, len: usize) -> Option<Block> {
        if len == 1 {
            self.free(block);
            return None;
        }
        // A block shrinks only to a class that keeps some room, so that adding and removing one number does not move it
        // each time.
        let sparse = class_for(len * 3 / 2) + 1 < block.class;
        Some(if sparse { self.moved(block, len - 1, len - 1) } else { block })
    }

    /// Whether half of the array is free blocks.
    pub(crate) fn is_sparse(&self) -> bool {
        self.units.len() >= SPARSE_FROM && self.unused * 2 > self.units.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.units.bytes()
    }

    fn numbers_mut(&mut self, block: Block) -> &mut [u32] {
        self.units.run_mut(block.start as usize).as_flattened_mut()
    }

    fn moved(&mut self, from: Block, len: usize, wanted: usize) -> Block {
        let to = self.take(class_for(wanted));
        for unit in 0..len.div_ceil(IN_UNIT) {
            self.units[to.start as usize + unit] = self.units[from.start as usize + unit];
        }
        self.free(from);
        to
    }

    fn take(&mut self, class: u8) -> Block {
        let start = self.free[usize::from(class)];
        if start == NONE {
            return self.extend(class);
        }
        self.free[usize::from(class)] = self.units[start as usize][0];
        self.unused -= units_of(usize::from(class));
        Block { start, class }
    }

    /// Allocate a block behind all others. If the page has no room for it, the rest of the page becomes smaller blocks.
    fn extend(&mut self, class: u8) -> Block {
        let units = units_of(usize::from(class));
        while PAGE - self.units.len() % PAGE < units {
            let rest = class_within((PAGE - self.units.len() % PAGE) * IN_UNIT);
            let block = self.append(rest);
            self.free(block);
        }
        self.append(class)
    }

    fn append(&mut self, class: u8) -> Block {
        let start = u32::try_from(self.units.len()).expect("fewer than 2^34 numbers in a shard");
        (0..units_of(usize::from(class))).for_each(|_| self.units.push(Unit::default()));
        Block { start, class }
    }
}

fn units_of(class: usize) -> usize {
    SIZES[class] / IN_UNIT
}

/// The smallest class that holds `len` numbers.
#[expect(clippy::cast_possible_truncation, reason = "a dozen classes")]
fn class_for(len: usize) -> u8 {
    SIZES.iter().position(|&size| size >= len).unwrap_or(SIZES.len() - 1) as u8
}

/// The largest class that holds at most `len` numbers, or the smallest class.
#[expect(clippy::cast_possible_truncation, reason = "a dozen classes")]
fn class_within(len: usize) -> u8 {
    SIZES.iter().rposition(|&size| size <= len).unwrap_or_default() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_moves_as_it_grows_and_shrinks() {
        let (mut blocks, mut block) = (Blocks::default(), Block { start: 0, class: 0 });
        for (len, number) in (0..250).enumerate() {
            block = if len == 0 { blocks.allocate(&[0]) } else { blocks.push(block, len, number) };
        }
        for len in (2..=250).rev() {
            block = blocks.pop(block, len).unwrap();
            assert!(blocks.get(block, len - 1).iter().copied().eq((0..250).take(len - 1)));
        }
        assert!(SIZES[usize::from(block.class)] <= 12);
        assert_eq!(blocks.pop(block, 1), None);
        assert_eq!(blocks.bytes(), 0);
    }

    #[test]
    fn a_free_block_is_used_again() {
        let mut blocks = Blocks::default();
        let (a, b) = (blocks.allocate(&[1; 10]), blocks.allocate(&[2; 10]));
        blocks.free(a);
        assert_eq!(blocks.allocate(&[3; 9]), a);
        assert_eq!(blocks.get(b, 10), [2; 10]);
    }
}
