//! The free numbers of a table; the lowest is used first.

/// A bit for each number; empty while no number is free.
#[derive(Default)]
pub(crate) struct FreeNumbers {
    words: Vec<u64>,
    len: usize,
}

impl FreeNumbers {
    /// How many are free.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Free a number that is in use.
    pub(crate) fn put(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.words.len() <= word {
            self.words.reserve_exact(word + 1 - self.words.len());
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
        self.len += 1;
    }

    /// Remove and return the lowest number.
    pub(crate) fn take_lowest(&mut self) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let (start, word) = (0..).step_by(64).zip(&mut self.words).find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        self.len -= 1;
        if self.len == 0 {
            self.words = Vec::new();
        }
        Some(start + bit)
    }

    /// Forget the numbers from `bound` on.
    pub(crate) fn truncate(&mut self, bound: usize) {
        self.words.truncate(bound.div_ceil(64));
        if let Some(last) = self.words.get_mut(bound / 64) {
            *last &= (1 << (bound % 64)) - 1;
        }
        self.len = self.words.iter().map(|word| word.count_ones() as usize).sum();
        if self.len == 0 {
            self.words = Vec::new();
        }
    }

    /// The number of consecutive free numbers directly below `bound`.
    pub(crate) fn run_below(&self, bound: usize) -> usize {
        let is_free = |number: usize| self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1);
        (0..bound).rev().take_while(|&number| is_free(number)).count()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_a_set(numbers in vec(0..700_u32, 0..300), bound in 0..700_usize) {
            let (mut free, mut model) = (FreeNumbers::default(), BTreeSet::new());
            for number in numbers {
                if model.insert(number) {
                    free.put(number);
                } else {
                    prop_assert_eq!(free.take_lowest(), model.pop_first());
                }
                prop_assert_eq!(free.len(), model.len());
            }
            let gap = (0..700).rev().position(|number| !model.contains(&number));
            prop_assert_eq!(Some(free.run_below(700)), gap);
            free.truncate(bound);
            model.retain(|&number| (number as usize) < bound);
            prop_assert!(std::iter::from_fn(|| free.take_lowest()).eq(model));
            prop_assert_eq!(free.bytes(), 0);
        }
    }
}
