//! Sequences of a stream as positions that never go back.
//!
//! A stream that was restored gives sequences again that it gave before. A *lift* is added to the sequences from a
//! certain one on, so that their positions are above every position that was given before.

/// (first sequence, lift), rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifts(Vec<(u64, u64)>);

impl Lifts {
    /// Make lifts of (first sequence, number that is added to it and to all sequences after it), in any order.
    #[must_use]
    pub fn new(mut lifts: Vec<(u64, u64)>) -> Self {
        lifts.sort_unstable();
        Self(lifts)
    }

    /// The position of a sequence; below the first lift it is the sequence itself.
    #[must_use]
    pub fn position(&self, seq: u64) -> u64 {
        let above = self.0.partition_point(|&(first, _)| first <= seq);
        above.checked_sub(1).map_or(seq, |at| seq.saturating_add(self.0[at].1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sequence_has_the_lift_of_the_last_that_begins_before_it() {
        let lifts = Lifts::new(vec![(51, 1_000), (10, 5)]);
        let positions: Vec<_> = [1, 9, 10, 50, 51, 60].map(|seq| lifts.position(seq)).into();
        assert_eq!(positions, [1, 9, 15, 55, 1_051, 1_060]);
        assert_eq!(Lifts::default().position(7), 7);
        assert_eq!(Lifts::new(vec![(0, u64::MAX)]).position(7), u64::MAX);
    }
}
