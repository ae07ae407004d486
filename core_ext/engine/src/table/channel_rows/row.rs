//! A channel row: one cache line for each channel.

use wide::u32x4;

use crate::memory::blocks::Block;
use crate::names::hashed_name::HashedName;
use crate::names::name_table::NameRecord;
use crate::table::subscriptions::{INDEX_MASK, NO_SUBSCRIPTION, Subscription};

pub(super) const INLINE: usize = if cfg!(shuttle) { 3 } else { 11 };
pub(super) const HEAD: usize = INLINE - 2;
/// The kind of a row whose block was just freed.
#[expect(clippy::cast_possible_truncation, reason = "nine")]
pub(super) const ONLY_HEAD: u32 = HEAD as u32;

/// A channel's hashed name and subscriptions, in one cache line.
///
/// The first word has the number of lists that name the channel, above four bits that give the kind of the other words:
/// 0 to 11 subscriptions; or nine subscriptions, the number of all of them with the size of their block, and the block;
/// or a bitmap.
#[derive(Clone, Copy, Default, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct ChannelRow {
    hashed: HashedName,
    pub(super) words: [u32; 12],
}

const KIND_BITS: u32 = 4;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;
/// The most lists that are counted; with more, the word could look like a subscription.
const MOST_REFERENCES: u32 = INDEX_MASK & !KIND_MASK;
pub(super) const BLOCK: u32 = 12;
pub(super) const BITMAP: u32 = 13;
pub(super) const SIZE: usize = 10;
pub(super) const BLOCK_START: usize = 11;

/// The result of comparing a row with a subscription.
pub(super) struct Likeness {
    pub(super) is_there: bool,
    /// Another subscription may be on the same instance.
    pub(super) has_like: bool,
}

impl NameRecord for ChannelRow {
    fn hashed(&self) -> HashedName {
        self.hashed
    }

    fn set_hashed(&mut self, hashed: HashedName) {
        self.hashed = hashed;
    }
}

impl ChannelRow {
    /// One more list names the channel.
    #[inline]
    pub(crate) fn add_reference(&mut self) {
        if self.words[0] < MOST_REFERENCES {
            self.words[0] += 1 << KIND_BITS;
        }
    }

    /// Whether a list names the channel.
    pub(crate) fn is_referenced(&self) -> bool {
        self.words[0] >> KIND_BITS != 0
    }

    /// One list less names the channel. Returns whether it was the last one. A channel in more than four million lists
    /// is never removed, because their number is not known.
    #[inline]
    pub(crate) fn remove_reference(&mut self) -> bool {
        if self.words[0] < MOST_REFERENCES {
            self.words[0] -= 1 << KIND_BITS;
        }
        self.words[0] >> KIND_BITS == 0
    }

    #[inline]
    pub(super) fn kind(&self) -> u32 {
        self.words[0] & KIND_MASK
    }

    pub(super) fn set_kind(&mut self, kind: u32) {
        self.words[0] = self.words[0] & !KIND_MASK | kind;
    }

    pub(super) fn head(&self) -> &[Subscription] {
        &self.words[1..=HEAD]
    }

    pub(super) fn block(&self) -> Block {
        #[expect(clippy::cast_possible_truncation, reason = "written by set_block")]
        let class = (self.words[SIZE] >> 16) as u8;
        Block { start: self.words[BLOCK_START], class }
    }

    /// The number of subscriptions in the block.
    pub(super) fn tail(&self) -> usize {
        (self.words[SIZE] & 0xffff) as usize - HEAD
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most MOST_IN_BLOCK")]
    pub(super) fn set_block(&mut self, block: Block, len: usize) {
        (self.words[SIZE], self.words[BLOCK_START]) = (len as u32 | u32::from(block.class) << 16, block.start);
        self.set_kind(BLOCK);
    }

    pub(super) fn bitmap(&self) -> usize {
        self.words[1] as usize
    }

    /// Compare a subscription with a row that holds all of its subscriptions itself.
    ///
    /// All words are compared, four at a time, including those that are no subscriptions and equal none: the processor
    /// mispredicts a loop that stops early for nearly every row.
    #[inline]
    pub(super) fn compare(&self, subscription: Subscription) -> Likeness {
        let [mut is_there, mut has_like] = [u32x4::ZERO; 2];
        for four in self.fours() {
            let difference = four ^ u32x4::splat(subscription);
            let equal = difference.simd_eq(u32x4::ZERO);
            is_there |= equal;
            has_like |= (difference & u32x4::splat(!INDEX_MASK)).simd_eq(u32x4::ZERO) & !equal;
        }
        Likeness { is_there: is_there.any(), has_like: has_like.any() }
    }

    /// Remove one of `len` subscriptions by moving the last one to its position.
    #[inline]
    pub(super) fn take_out(&mut self, len: usize, subscription: Subscription) {
        let (head, last) = (self.words[0], self.words[len]);
        let fours = self.fours();
        for (words, four) in self.words.chunks_exact_mut(4).zip(fours) {
            let left = four.simd_eq(u32x4::splat(subscription)).select(u32x4::splat(last), four);
            words.copy_from_slice(&left.to_array());
        }
        (self.words[0], self.words[len]) = (head - 1, NO_SUBSCRIPTION);
    }

    #[inline]
    fn fours(&self) -> [u32x4; 3] {
        let (fours, _) = self.words.as_chunks();
        [u32x4::new(fours[0]), u32x4::new(fours[1]), u32x4::new(fours[2])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_very_many_lists_named_stays_referenced() {
        let mut row = ChannelRow::default();
        row.words[0] = MOST_REFERENCES - (2 << KIND_BITS);
        row.add_reference();
        assert!(!row.remove_reference() && row.words[0] == MOST_REFERENCES - (2 << KIND_BITS));
        (0..9).for_each(|_| row.add_reference());
        assert!(
            !row.remove_reference() && row.words[0] == MOST_REFERENCES && row.words[0] <= INDEX_MASK,
            "still like no subscription"
        );
    }

    #[test]
    fn a_row_knows_a_reader_and_one_that_is_like_it() {
        let (tag, other_tag) = (1 << 31, 1 << 30);
        let mut row = ChannelRow::default();
        row.words[1..4].copy_from_slice(&[tag | 7, other_tag | 7, other_tag | 8]);
        row.set_kind(3);
        let likeness = |subscription| (row.compare(subscription).is_there, row.compare(subscription).has_like);
        assert_eq!(likeness(tag | 7), (true, false));
        assert_eq!(likeness(tag | 9), (false, true));
        assert_eq!(likeness(other_tag | 8), (true, true));
        assert_eq!(likeness(tag | other_tag | 7), (false, false));
        row.take_out(3, tag | 7);
        assert_eq!((&row.words[1..4], row.kind()), (&[other_tag | 8, other_tag | 7, NO_SUBSCRIPTION][..], 2));
    }
}
