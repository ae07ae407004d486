//! Compares channel rows with a plain model: the subscriptions of one channel, and their instances.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::table::subscriptions::SubscriptionIds;

/// Instances of which some have one tag (0, 63 and 126), and one whose number is too high to be noted as a bit.
const INSTANCES: [u32; 6] = [0, 1, 63, 64, 126, 2_000];
const USERS: u32 = 60;
/// Instances with one subscription each, which come and go while there are many others.
const LONELY: std::ops::Range<u32> = 3_000..3_020;

/// A channel, and the subscriptions that it should have.
struct Pair {
    subscriptions: Subscriptions,
    overflow: Overflow,
    row: ChannelRow,
    /// All possible subscriptions, with their instances.
    all: Vec<(Subscription, u32)>,
    model: BTreeMap<Subscription, u32>,
}

impl Pair {
    fn new() -> Self {
        let (subscriptions, mut numbers) = (Subscriptions::default(), SubscriptionIds::default());
        let all = (0..USERS)
            .flat_map(|user| INSTANCES.map(|instance| (user, instance)))
            .chain(LONELY.map(|instance| (0, instance)))
            .map(|(user, instance)| (numbers.take(instance, user, &subscriptions).expect("one of few"), instance))
            .collect();
        Self { subscriptions, overflow: Overflow::default(), row: ChannelRow::default(), all, model: BTreeMap::new() }
    }

    fn toggle(&mut self, subscription: usize) {
        let (subscription, instance) = self.all[subscription];
        let tally = if self.model.contains_key(&subscription) {
            assert_eq!(
                self.overflow.add(&mut self.row, subscription, &self.subscriptions),
                Tally::default(),
                "it is there"
            );
            self.model.remove(&subscription);
            self.overflow.remove(&mut self.row, subscription, &self.subscriptions)
        } else {
            assert_eq!(
                self.overflow.remove(&mut self.row, subscription, &self.subscriptions),
                Tally::default(),
                "it is not"
            );
            let tally = self.overflow.add(&mut self.row, subscription, &self.subscriptions);
            self.model.insert(subscription, instance);
            tally
        };
        let others = || self.model.iter().filter(|&(&other, _)| other != subscription);
        let expected = Tally {
            entries: usize::from(others().all(|(_, &other)| other != instance)),
            channels: usize::from(others().next().is_none()),
        };
        assert_eq!(tally, expected, "{subscription:x} on {instance} beside {} others", others().count());
    }

    fn check(&self) {
        let view = self.overflow.view(&self.row);
        assert!(
            self.all
                .iter()
                .all(|(subscription, _)| view.contains(*subscription) == self.model.contains_key(subscription))
        );
        let (mut found, expected) = (InstanceIds::new(), self.model.values().copied().collect::<BTreeSet<u32>>());
        view.instances(&self.subscriptions, &mut found);
        assert_eq!((found.len(), view.width(&self.subscriptions)), (expected.len(), expected.len()));
        assert_eq!(found.into_iter().collect::<BTreeSet<u32>>(), expected);
    }
}

/// Subscriptions that come and go: first few, so that they stay in the row, then enough for a block, and for a bitmap;
/// and back.
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
    fn the_begin_and_end_of_entries_are_returned_as_readers_come_and_go(visits in visits()) {
        let mut pair = Pair::new();
        for (step, &subscription) in visits.iter().enumerate() {
            pair.toggle(subscription);
            if step % 16 == 0 {
                pair.check();
            }
        }
        pair.check();
        let left: Vec<Subscription> = pair.model.keys().copied().collect();
        for subscription in left {
            pair.toggle(pair.all.iter().position(|&(other, _)| other == subscription).unwrap());
        }
        prop_assert!(pair.row == ChannelRow::default() && pair.overflow.bytes() == 0, "{} bytes", pair.overflow.bytes());
    }
}

#[test]
fn instances_with_one_tag_are_distinguished_across_the_border_of_the_row() {
    for count in 0..=15 {
        let mut pair = Pair::new();
        let of = |pair: &Pair, instance: u32| -> Vec<usize> {
            (0..pair.all.len()).filter(|&subscription| pair.all[subscription].1 == instance).collect()
        };
        let (zero, next, third) = (of(&pair, 0), of(&pair, 63), of(&pair, 126));
        (0..count).for_each(|position| pair.toggle(if position % 2 == 0 { zero[position] } else { next[position] }));
        for subscription in [third[0], third[1], zero[20], third[0], third[1], next[20], zero[20], next[20]] {
            pair.toggle(subscription);
            pair.check();
        }
    }
}

#[test]
fn bitmaps_of_several_channels_are_counted_and_their_indices_used_again() {
    let Pair { subscriptions, mut overflow, all, .. } = Pair::new();
    let some: Vec<Subscription> = all.iter().map(|&(subscription, _)| subscription).collect();
    let enter = |overflow: &mut Overflow, row: &mut ChannelRow| {
        for &subscription in &some {
            overflow.add(row, subscription, &subscriptions);
        }
    };
    let leave = |overflow: &mut Overflow, row: &mut ChannelRow, from: usize| {
        for &subscription in &some[from..] {
            overflow.remove(row, subscription, &subscriptions);
        }
    };
    let mut rows = [ChannelRow::default(); 3];
    for row in &mut rows {
        enter(&mut overflow, row);
    }
    let three = overflow.bytes();
    assert!(three > 3 * some.len() * size_of::<u16>(), "{three} bytes");
    leave(&mut overflow, &mut rows[1], 0);
    assert!(overflow.bytes() < three * 3 / 4 && overflow.bitmaps.len() == 3);
    enter(&mut overflow, &mut rows[1]);
    assert_eq!((overflow.bitmaps.len(), overflow.bytes()), (3, three));
    for row in &mut rows {
        leave(&mut overflow, row, FEWEST_IN_BITMAP);
        assert!(
            matches!(overflow.view(row), View::Many(_)),
            "one that comes and goes must not cost a bitmap each time"
        );
        leave(&mut overflow, row, 0);
    }
    assert_eq!(overflow.bytes(), 0);
}
