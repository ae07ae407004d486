//! Rows against a plain model: the readers of one channel, and their instances.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::table::subscriptions::Numbers;

/// Instances of which some have one tag (0, 63 and 126), and one whose number is too high to be noted as a bit.
const INSTANCES: [u32; 6] = [0, 1, 63, 64, 126, 2_000];
const USERS: u32 = 60;
/// Instances with one reader each, who may come and go while there are many others.
const LONELY: std::ops::Range<u32> = 3_000..3_020;

/// A channel, and what it is to hold.
struct Pair {
    readers: Readers,
    overflow: Overflow,
    row: Row,
    /// All readers that there may be, with their instances.
    all: Vec<(Reader, u32)>,
    model: BTreeMap<Reader, u32>,
}

impl Pair {
    fn new() -> Self {
        let (readers, mut numbers) = (Readers::default(), Numbers::default());
        let all = (0..USERS)
            .flat_map(|user| INSTANCES.map(|instance| (user, instance)))
            .chain(LONELY.map(|instance| (0, instance)))
            .map(|(user, instance)| (numbers.take(instance, user, &readers).expect("one of few"), instance))
            .collect();
        Self { readers, overflow: Overflow::default(), row: Row::default(), all, model: BTreeMap::new() }
    }

    fn toggle(&mut self, reader: usize) {
        let (reader, instance) = self.all[reader];
        let tally = if self.model.contains_key(&reader) {
            assert_eq!(self.overflow.add(&mut self.row, reader, &self.readers), Tally::default(), "it is there");
            self.model.remove(&reader);
            self.overflow.remove(&mut self.row, reader, &self.readers)
        } else {
            assert_eq!(self.overflow.remove(&mut self.row, reader, &self.readers), Tally::default(), "it is not");
            let tally = self.overflow.add(&mut self.row, reader, &self.readers);
            self.model.insert(reader, instance);
            tally
        };
        let others = || self.model.iter().filter(|&(&other, _)| other != reader);
        let expected = Tally {
            entries: usize::from(others().all(|(_, &other)| other != instance)),
            channels: usize::from(others().next().is_none()),
        };
        assert_eq!(tally, expected, "{reader:x} on {instance} beside {} others", others().count());
    }

    fn check(&self) {
        let view = self.overflow.view(&self.row);
        assert!(self.all.iter().all(|(reader, _)| view.contains(*reader) == self.model.contains_key(reader)));
        let (mut found, expected) = (InstanceIds::new(), self.model.values().copied().collect::<BTreeSet<u32>>());
        view.instances(&self.readers, &mut found);
        assert_eq!((found.len(), view.width(&self.readers)), (expected.len(), expected.len()));
        assert_eq!(found.into_iter().collect::<BTreeSet<u32>>(), expected);
    }
}

/// Readers that come and go: first few, so that they stay in the row, then enough for a block, and for a crowd; and back.
fn visits() -> impl Strategy<Value = Vec<usize>> {
    let all: Vec<usize> = (0..USERS as usize * INSTANCES.len() + LONELY.len()).collect();
    let some = |most: usize, len: usize| vec(0..most, 0..len);
    let nearly_all = || prop::sample::subsequence(all.clone(), 290..all.len()).prop_shuffle();
    (some(14, 60), some(40, 80), nearly_all(), nearly_all(), some(40, 80))
        .prop_map(|(few, more, many, back, last)| [few, more, many, back, last].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 128 }))]

    #[test]
    fn what_begins_and_ends_is_told_as_readers_come_and_go(visits in visits()) {
        let mut pair = Pair::new();
        for (step, &reader) in visits.iter().enumerate() {
            pair.toggle(reader);
            if step % 16 == 0 {
                pair.check();
            }
        }
        pair.check();
        let left: Vec<Reader> = pair.model.keys().copied().collect();
        for reader in left {
            pair.toggle(pair.all.iter().position(|&(other, _)| other == reader).unwrap());
        }
        prop_assert!(pair.row == Row::default() && pair.overflow.bytes() == 0, "{} bytes", pair.overflow.bytes());
    }
}

#[test]
fn instances_with_one_tag_are_told_apart_across_the_border_of_the_row() {
    for count in 0..=15 {
        let mut pair = Pair::new();
        let of = |pair: &Pair, instance: u32| -> Vec<usize> {
            (0..pair.all.len()).filter(|&reader| pair.all[reader].1 == instance).collect()
        };
        let (zero, next, third) = (of(&pair, 0), of(&pair, 63), of(&pair, 126));
        (0..count).for_each(|place| pair.toggle(if place % 2 == 0 { zero[place] } else { next[place] }));
        for reader in [third[0], third[1], zero[20], third[0], third[1], next[20], zero[20], next[20]] {
            pair.toggle(reader);
            pair.check();
        }
    }
}

#[test]
fn crowds_of_several_channels_are_counted_and_their_places_used_again() {
    let Pair { readers, mut overflow, all, .. } = Pair::new();
    let some: Vec<Reader> = all.iter().map(|&(reader, _)| reader).collect();
    let enter = |overflow: &mut Overflow, row: &mut Row| {
        for &reader in &some {
            overflow.add(row, reader, &readers);
        }
    };
    let leave = |overflow: &mut Overflow, row: &mut Row, from: usize| {
        for &reader in &some[from..] {
            overflow.remove(row, reader, &readers);
        }
    };
    let mut rows = [Row::default(); 3];
    for row in &mut rows {
        enter(&mut overflow, row);
    }
    let three = overflow.bytes();
    assert!(three > 3 * some.len() * size_of::<u16>(), "{three} bytes");
    leave(&mut overflow, &mut rows[1], 0);
    assert!(overflow.bytes() < three * 3 / 4 && overflow.crowds.len() == 3);
    enter(&mut overflow, &mut rows[1]);
    assert_eq!((overflow.crowds.len(), overflow.bytes()), (3, three));
    for row in &mut rows {
        leave(&mut overflow, row, FEWEST_IN_CROWD);
        assert!(matches!(overflow.view(row), View::Many(_)), "one that comes and goes must not cost a crowd each time");
        leave(&mut overflow, row, 0);
    }
    assert_eq!(overflow.bytes(), 0);
}
