//! A name in sixteen bytes, of which the first word is its hash.
//!
//! A name of up to 20 characters is two words of 60 bits. They are stored *mixed*: first one word, then the other is
//! combined with a keyed hash of its partner (a Feistel network; H. Feistel, "Cryptography and computer privacy",
//! 1973). Undoing the steps in reverse order restores the words, and the first mixed word is a hash of both. So the
//! hash needs no memory of its own, a table that grows need not compute it again, and two short names are equal if
//! their hashed names are equal.

use crate::names::ids::{Head, Packed, WORD_BITS, WORD_MASK, is_long, words_of};
use crate::sync::random;

/// The constants of wyrand (W. Yi, "wyhash", 2019), whose output passes the usual tests of randomness.
const WYRAND: [u64; 2] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db];

/// The bits of a hash.
pub(crate) const HASH_BITS: u32 = WORD_BITS;

/// A name's length and hash, and a second word: the rest of a short name, or the position of a long name's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct HashedName(Head);

impl HashedName {
    /// The number of characters of the name.
    pub(crate) fn length(self) -> u8 {
        self.0.length()
    }

    pub(crate) fn is_free(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn hash(self) -> u64 {
        self.0.words()[0]
    }

    /// Whether the name is long, so that its words are stored elsewhere.
    pub(crate) fn is_long(self) -> bool {
        is_long(self.length())
    }

    /// The words of a long name, out of the words of all names; empty for a short name.
    #[inline]
    pub(crate) fn words(self, all: &[u64]) -> &[u64] {
        self.0.long(all)
    }

    /// The number of words that are stored elsewhere.
    pub(crate) fn words_elsewhere(self) -> usize {
        if self.is_long() { words_of(self.length()) } else { 0 }
    }

    /// A long name whose words begin at `start`.
    pub(crate) fn at(self, start: usize) -> Self {
        Self(self.0.with_second(start as u64))
    }

    /// The same without the position of a long name's words.
    #[inline]
    pub(crate) fn bare(self) -> Self {
        if self.is_long() { self.at(0) } else { self }
    }
}

/// Where the keys of hashers come from. Nobody outside can guess random keys; those of a seed are always the same.
pub(crate) enum Keys {
    Random,
    Seeded(u64),
}

impl Keys {
    pub(crate) fn of(seed: Option<u64>) -> Self {
        seed.map_or(Self::Random, Self::Seeded)
    }

    fn next(&mut self) -> u64 {
        let Self::Seeded(state) = self else { return random() };
        *state = state.wrapping_add(WYRAND[0]);
        fold(*state, *state ^ WYRAND[1])
    }
}

/// Mixes the names of a table with keys of its own, so that names which collide in one table do not collide in
/// another.
#[derive(Clone, Copy)]
pub(crate) struct NameHasher {
    salts: [u64; 2],
    factors: [u64; 2],
}

impl NameHasher {
    pub(crate) fn new(keys: &mut Keys) -> Self {
        // The highest and the lowest bit are set, because a factor with few bits would mix too little.
        let mut factor = || keys.next() | 1 << 63 | 1;
        let factors = [factor(), factor()];
        Self { salts: [keys.next(), keys.next()], factors }
    }

    /// For tests: a hasher with random keys.
    #[cfg(test)]
    pub(crate) fn random() -> Self {
        Self::new(&mut Keys::Random)
    }

    /// A name to look up in a table.
    pub(crate) fn key<'a>(&self, name: Packed<'a>) -> Key<'a> {
        Key { hashed: self.mixed(name.length, name.short, name.long).bare(), words: name.long }
    }

    /// Hash an id. `words` are the words of all long ids; the position of this id's words stays as it is.
    #[inline]
    pub(crate) fn hashed(&self, head: Head, words: &[u64]) -> HashedName {
        self.mixed(head.length(), head.words(), head.long(words))
    }

    #[inline]
    fn mixed(&self, length: u8, short: [u64; 2], long: &[u64]) -> HashedName {
        let mixed = if is_long(length) { [self.hash_of(length, long), short[1]] } else { self.mix(length, short) };
        HashedName(Head::of(length, mixed))
    }

    /// Restore a name; `words` are the words of a long name.
    pub(crate) fn name<'a>(&self, hashed: HashedName, words: &'a [u64]) -> Packed<'a> {
        let length = hashed.length();
        let short = if hashed.is_long() { [0; 2] } else { self.unmix(length, hashed.0.words()) };
        Packed { length, short, long: words }
    }

    #[inline]
    fn mix(&self, length: u8, [first, second]: [u64; 2]) -> [u64; 2] {
        let tail = second ^ self.of_first(length, first);
        [first ^ self.of_tail(tail), tail]
    }

    fn unmix(&self, length: u8, [hash, tail]: [u64; 2]) -> [u64; 2] {
        let first = hash ^ self.of_tail(tail);
        [first, tail ^ self.of_first(length, first)]
    }

    #[inline]
    fn of_first(&self, length: u8, first: u64) -> u64 {
        fold(first ^ self.of_length(length), self.factors[0]) & WORD_MASK
    }

    /// It is folded twice: the tails of names with the same beginning differ in few bits, and their products rise by
    /// equal steps.
    #[inline]
    fn of_tail(&self, tail: u64) -> u64 {
        fold(fold(tail ^ self.salts[1], self.factors[1]), self.factors[0]) & WORD_MASK
    }

    fn hash_of(&self, length: u8, words: &[u64]) -> u64 {
        let from = self.of_length(length);
        let all = words.iter().fold(from, |hash, &word| fold(hash ^ word, self.factors[0]).rotate_left(23));
        self.of_tail(all)
    }

    /// A salt for the length. Characters may pack to zeros, so names of different lengths may have the same words, and
    /// a word has no free bits for the length. So the salt is rotated by the length.
    #[inline]
    fn of_length(&self, length: u8) -> u64 {
        self.salts[0].rotate_left(length.into())
    }
}

/// Combine both halves of the product. Each bit of `value` changes about half of the result's bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
fn fold(value: u64, factor: u64) -> u64 {
    let product = u128::from(value) * u128::from(factor);
    product as u64 ^ (product >> 64) as u64
}

/// A name to look up in a table.
#[derive(Clone, Copy)]
pub(crate) struct Key<'a> {
    /// Without the position of a long name's words.
    pub(crate) hashed: HashedName,
    /// The words of a long name; none of a short one.
    pub(crate) words: &'a [u64],
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::names::ids::Ids;

    proptest! {
        #[test]
        fn words_come_out_as_they_went_in(length in 1..=20_u8, first in 0..=WORD_MASK, second in 0..=WORD_MASK) {
            let hasher = NameHasher::random();
            prop_assert_eq!(hasher.unmix(length, hasher.mix(length, [first, second])), [first, second]);
        }
    }

    #[test]
    fn a_seed_gives_the_same_keys_each_time_and_each_table_others() {
        let first_two = |seed| {
            let mut keys = Keys::of(seed);
            [NameHasher::new(&mut keys), NameHasher::new(&mut keys)].map(|hasher| (hasher.salts, hasher.factors))
        };
        assert_eq!(first_two(Some(7)), first_two(Some(7)));
        let all: HashSet<_> = [Some(0), Some(7), Some(8), None, None].into_iter().flat_map(first_two).collect();
        assert_eq!(all.len(), 10);
    }

    #[test]
    fn names_that_differ_little_are_spread_evenly() {
        for keys in [Keys::Random, Keys::Seeded(0)] {
            check_spread(&NameHasher::new(&mut { keys }));
        }
    }

    fn check_spread(hasher: &NameHasher) {
        for pattern in ["{}", "channel-0000000-{}", "{}-channel-0000000", "a-name-of-more-than-twenty-{}"] {
            let names: Vec<String> = (0..4096).map(|n| pattern.replace("{}", &format!("{n:04}"))).collect();
            let ids = Ids::of(names.iter().map(String::as_str), "channel").unwrap();
            for shift in [0, 18, HASH_BITS - 12] {
                let positions: HashSet<u64> =
                    ids.iter().map(|name| hasher.key(name).hashed.hash() >> shift & 0xfff).collect();
                // Thrown at random into 4,096 places, 4,096 things fall into 2,589, give or take 24.
                assert!(positions.len() > 2_400, "{pattern}: {} positions by the bits from {shift}", positions.len());
            }
        }
    }

    #[test]
    fn one_more_character_is_another_name_even_where_it_packs_to_nothing() {
        let names: Vec<String> = (1..=128).map(|length| "A".repeat(length)).collect();
        assert_eq!(hashes_of(&names).len(), 128);
    }

    #[test]
    fn a_first_character_does_not_make_up_for_a_length() {
        let names = |rest: usize| (0..64).map(move |code| format!("{}{}", char_of(code), "A".repeat(rest)));
        let all: Vec<String> = [9, 14, 19, 20, 31, 32, 33].into_iter().flat_map(names).collect();
        assert_eq!(hashes_of(&all).len(), all.len());
    }

    fn char_of(code: u64) -> char {
        let mut name = String::new();
        Packed { length: 1, short: [code, 0], long: &[] }.write(&mut name);
        name.pop().unwrap()
    }

    fn hashes_of(names: &[String]) -> HashSet<u64> {
        let (hasher, ids) = (NameHasher::random(), Ids::of(names.iter().map(String::as_str), "channel").unwrap());
        ids.iter().map(|name| hasher.key(name).hashed.hash()).collect()
    }
}
