use proptest::prelude::*;

use super::*;
use crate::events::batch::Decoder;
use crate::events::bodies::BlockWriter;
use crate::events::coding::{EPHEMERAL, STORED};
use crate::outbox::instance_queues::MAX_HEAD;

/// Bytes. Batches are closed before they grow beyond this.
const MAX_BATCH: usize = 512 << 10;

/// The kind of the stored events in these tests.
const EVENT: u8 = STORED | 1;

const DUE: Due = Due { interval: 100, events: 3 };

struct Rig {
    outbox: Outbox,
}

impl Rig {
    fn new() -> Self {
        Self { outbox: Outbox::new(DUE, MAX_BATCH) }
    }

    fn send(&mut self, instance: u32, event: &[u8], now: u64) {
        let (block, range) = BlockWriter::of_one(EPHEMERAL, Some("c"), None, event);
        self.outbox.send(to(&[instance]), BodyRef { block: &block, range }, now);
    }

    fn send_in_lane(&mut self, lane: u32, seq: u64, instances: &[u32]) {
        self.send_long_in_lane(lane, seq, instances, b"{}");
    }

    fn send_long_in_lane(&mut self, lane: u32, seq: u64, instances: &[u32], event: &[u8]) {
        let (block, range) = BlockWriter::of_one(EVENT, Some("c"), None, event);
        self.outbox.send_in_lane(to(instances), lane, seq, BodyRef { block: &block, range }, 0).unwrap();
    }

    fn mark(&mut self, instance: u32) -> bool {
        self.outbox.mark(to(&[instance]), 0) == 1
    }

    fn drain(&mut self, now: u64, force: bool) -> Vec<(CompactString, Vec<u8>)> {
        self.outbox.take(now, force).into_iter().map(|(name, batch)| (name, batch.to_vec())).collect()
    }

    /// (lane, epoch, prev, seq) of the records that wait for the first instance.
    fn chain(&mut self) -> Vec<(u32, u64, u64, u64)> {
        let batches = self.drain(0, true);
        let payload = &batches.iter().find(|(name, _)| name == "a").unwrap().1;
        Decoder::new(payload).unwrap().map(Result::unwrap).map(|r| (r.lane, r.epoch, r.prev, r.seq)).collect()
    }
}

/// The instances 0, 1, ... are named "a", "b", ...
fn to(instances: &[u32]) -> Targets<'_> {
    Targets { instances, name: &|instance| CompactString::new(&"abcdef"[instance as usize..=instance as usize]) }
}

#[test]
fn a_batch_is_due_after_its_interval() {
    let mut rig = Rig::new();
    assert_eq!(rig.outbox.next_due(0), None);
    rig.send(0, b"{}", 1_000);
    assert_eq!(rig.outbox.next_due(1_040), Some(60));
    assert!(rig.drain(1_099, false).is_empty());
    assert_eq!(rig.drain(1_100, false).len(), 1);
    assert_eq!((rig.outbox.next_due(1_100), rig.outbox.pending()), (None, (0, 0)));
}

#[test]
fn a_batch_is_due_at_its_count() {
    let mut rig = Rig::new();
    rig.send(1, b"{}", 1_000);
    (0..3).for_each(|_| rig.send(0, b"{}", 1_000));
    assert_eq!(rig.outbox.next_due(1_000), Some(0));
    let batches = rig.drain(1_000, false);
    assert_eq!(batches.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(rig.outbox.pending().0, 1);
}

#[test]
fn what_would_be_too_long_is_split_in_order() {
    let mut rig = Rig::new();
    let event = vec![b'x'; MAX_BATCH / 4];
    (0..5).for_each(|_| rig.send(0, &event, 1_000));
    assert_eq!(rig.outbox.next_due(1_000), Some(0));
    let first = rig.drain(1_000, false);
    assert_eq!(first.len(), 1);
    assert!(first[0].1.len() <= MAX_BATCH);
    assert_eq!(rig.outbox.pending().0, 2);
    assert_eq!(rig.drain(1_000, true).len(), 1);
}

#[test]
fn batches_follow_a_limit_that_changes() {
    let mut rig = Rig::new();
    let event = vec![b'x'; 1_000];
    (0..8).for_each(|_| rig.send(0, &event, 0));
    rig.outbox.close_at(4_000);
    (0..8).for_each(|_| rig.send(0, &event, 0));
    let lengths: Vec<usize> = rig.drain(0, true).iter().map(|(_, batch)| batch.len()).collect();
    assert!(lengths[0] > 8_000, "what waited is not taken apart");
    assert!(lengths.len() == 4 && lengths[1..].iter().all(|&length| length <= 4_000), "{lengths:?}");
}

#[test]
fn an_event_longer_than_a_batch_goes_alone() {
    let mut rig = Rig::new();
    for length in [10, MAX_BATCH, 10] {
        rig.send(0, &vec![b'x'; length], 0);
    }
    let lengths: Vec<usize> = rig.drain(0, true).iter().map(|(_, batch)| batch.len()).collect();
    assert_eq!(lengths.len(), 3);
    assert!(lengths[1] > MAX_BATCH);
}

#[test]
fn a_chain_starts_where_the_lane_stood_and_links_each_event() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 9, 10);
    rig.send_in_lane(1, 12, &[1]);
    rig.send_in_lane(1, 15, &[0, 1]);
    rig.send_in_lane(1, 16, &[1]);
    rig.send_in_lane(1, 20, &[0]);
    assert_eq!(rig.chain(), [(1, 9, 12, 15), (1, 9, 15, 20)]);
}

#[test]
fn the_chain_goes_on_through_batches() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 0, 0);
    rig.send_in_lane(1, 1, &[0]);
    rig.chain();
    rig.send_in_lane(1, 5, &[0]);
    assert_eq!(rig.chain(), [(1, 0, 1, 5)]);
}

#[test]
fn a_mark_says_how_far_each_lane_has_come() {
    let mut rig = Rig::new();
    assert!(!rig.mark(0));
    rig.outbox.open_lane(1, 0, 10);
    rig.outbox.open_lane(2, 3, 7);
    rig.send_in_lane(1, 11, &[0]);
    rig.outbox.advance(1, 15).unwrap();
    assert!(rig.mark(0));
    rig.outbox.advance(2, 9).unwrap();
    rig.send_in_lane(1, 16, &[0]);
    rig.send_in_lane(2, 12, &[0]);
    let expected = [(1, 0, 10, 11), (1, 0, 11, 15), (2, 3, 7, 7), (1, 0, 11, 16), (2, 3, 7, 12)];
    assert_eq!(rig.chain(), expected);
}

#[test]
fn opened_again_or_dropped_a_chain_starts_again() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 0, 0);
    rig.send_in_lane(1, 3, &[0]);
    rig.outbox.open_lane(1, 1, 5);
    rig.send_in_lane(1, 6, &[0]);
    assert_eq!(rig.chain(), [(1, 0, 0, 3), (1, 1, 5, 6)]);
    rig.send_in_lane(1, 7, &[0]);
    rig.outbox.drop_instance(0);
    assert_eq!(rig.outbox.pending(), (0, 0));
    rig.outbox.advance(1, 8).unwrap();
    rig.send_in_lane(1, 9, &[0]);
    assert_eq!(rig.chain(), [(1, 1, 8, 9)]);
}

#[test]
fn a_closed_lane_takes_nothing() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 0, 4);
    assert!(rig.outbox.check_rises(1, 5).is_ok());
    assert!(matches!(rig.outbox.check_rises(1, 4), Err(Error::InvalidArgument(_))));
    rig.outbox.advance(1, 2).unwrap();
    assert!(rig.outbox.check_rises(1, 4).is_err());
    rig.outbox.close_lane(1);
    assert_eq!(rig.outbox.check_rises(1, 5), Err(Error::LaneNotOpen(1)));
    assert_eq!(rig.outbox.advance(1, 5), Err(Error::LaneNotOpen(1)));
}

#[test]
fn a_batch_that_was_split_names_its_lane_again() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 9, 10);
    for seq in [11, 14, 15] {
        rig.send_long_in_lane(1, seq, &[0], &vec![b'x'; MAX_BATCH / 2]);
    }
    let batches = rig.drain(0, true);
    let records = batches.iter().flat_map(|(_, batch)| Decoder::new(batch).unwrap().map(Result::unwrap));
    assert_eq!(
        records.map(|r| (r.lane, r.epoch, r.prev, r.seq)).collect::<Vec<_>>(),
        [(1, 9, 10, 11), (1, 9, 11, 14), (1, 9, 14, 15)]
    );
    assert_eq!(batches.len(), 3);
}

#[test]
fn a_seq_that_does_not_rise_is_enqueued_nowhere() {
    let mut rig = Rig::new();
    let (block, range) = BlockWriter::of_one(EVENT, Some("c"), None, b"{}");
    let body = BodyRef { block: &block, range };
    assert_eq!(rig.outbox.send_in_lane(to(&[0]), 1, 5, body, 0), Err(Error::LaneNotOpen(1)));
    rig.outbox.open_lane(1, 0, 5);
    assert!(matches!(rig.outbox.send_in_lane(to(&[0]), 1, 5, body, 0), Err(Error::InvalidArgument(_))));
    assert_eq!(rig.outbox.pending(), (0, 0));
}

#[test]
fn the_name_is_asked_for_once_until_the_instance_is_dropped() {
    let mut rig = Rig::new();
    let asked = std::cell::Cell::new(0);
    let name = |_| {
        asked.set(asked.get() + 1);
        CompactString::new("a")
    };
    let (block, range) = BlockWriter::of_one(EPHEMERAL, Some("c"), None, b"{}");
    for dropped in [false, true, false] {
        for _ in 0..3 {
            rig.outbox.send(Targets { instances: &[4], name: &name }, BodyRef { block: &block, range }, 0);
            rig.outbox.take(0, true);
        }
        if dropped {
            rig.outbox.drop_instance(4);
        }
    }
    assert_eq!(asked.get(), 2);
}

#[test]
fn a_dropped_instance_leaves_nothing_to_the_next_of_its_number() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 0, 10);
    for (seq, length) in [(11, MAX_BATCH), (12, 2)] {
        rig.send_long_in_lane(1, seq, &[0, 1], &vec![b'x'; length]);
    }
    rig.outbox.drop_instance(0);
    rig.outbox.drop_instance(5);
    assert_eq!(rig.outbox.pending().0, 2);
    rig.outbox.suspend("z", None);
    let name = |_| CompactString::new("z");
    rig.outbox.mark(Targets { instances: &[0], name: &name }, 0);
    assert!(rig.outbox.resume("z", Some(0)));
    rig.outbox.mark(Targets { instances: &[0], name: &name }, 0);
    let batches = rig.drain(0, true);
    assert_eq!(batches.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["z", "b", "b"]);
    let mark = Decoder::new(&batches[0].1).unwrap().next().unwrap().unwrap();
    assert_eq!((mark.prev, mark.seq), (12, 12));
}

#[test]
fn what_waited_before_a_suspension_goes_on_and_the_chain_starts_again_after_it() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(1, 0, 0);
    rig.send_in_lane(1, 1, &[0]);
    rig.outbox.suspend("a", Some(0));
    rig.send_in_lane(1, 2, &[0, 1]);
    assert!(!rig.mark(0));
    rig.send(0, b"{}", 0);
    assert_eq!(rig.outbox.routed, 3);
    assert!(rig.outbox.resume("a", Some(0)) && !rig.outbox.resume("a", Some(0)));
    rig.send_in_lane(1, 3, &[0]);
    assert_eq!(rig.chain(), [(1, 0, 0, 1), (0, 0, 0, 0), (1, 0, 2, 3)]);
}

#[test]
fn batches_come_by_instance_in_whatever_order_they_were_begun() {
    let mut rig = Rig::new();
    for instance in [3, 0, 2, 3, 1] {
        rig.send(instance, b"{}", 0);
    }
    rig.outbox.drop_instance(2);
    let names: Vec<_> = rig.drain(0, true).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "d"]);
}

#[test]
fn the_bodies_of_a_block_are_freed_with_the_last_batch_that_holds_one() {
    let mut rig = Rig::new();
    let (block, range) = BlockWriter::of_one(EPHEMERAL, Some("c"), None, b"{}");
    rig.outbox.send(to(&[0, 1, 2]), BodyRef { block: &block, range }, 0);
    rig.outbox.send(to(&[0, 1]), BodyRef { block: &block, range }, 0);
    assert_eq!(std::sync::Arc::strong_count(&block), 4);
    rig.outbox.drop_instance(1);
    assert_eq!(std::sync::Arc::strong_count(&block), 3);
    rig.drain(0, true);
    assert_eq!(std::sync::Arc::strong_count(&block), 1);
}

#[test]
fn the_longest_names_and_numbers_take_no_more_than_is_kept_for_them() {
    let mut rig = Rig::new();
    let name = "n".repeat(128);
    rig.outbox.open_lane(u32::MAX, u64::MAX, 1 << 63);
    let (block, range) = BlockWriter::of_one(EVENT, Some(&name), Some(&name), &vec![b'x'; MAX_BATCH]);
    let body = BodyRef { block: &block, range };
    rig.outbox.send_in_lane(to(&[0]), u32::MAX, u64::MAX, body, 0).unwrap();
    assert!(rig.outbox.pending().1 - body.len() <= MAX_HEAD);
    assert!(block.capacity() <= MAX_BATCH + 2 * 128 + 12);
}

/// Numbers of every length in a batch, and those around which the length changes.
fn numbers() -> impl Strategy<Value = u64> {
    (0..=64_u32, -1..=1_i64).prop_map(|(bits, step)| {
        let power = 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
        power.saturating_add_signed(step)
    })
}

proptest! {
    #[test]
    fn no_head_takes_more_than_is_kept_for_it(
        lane in numbers(), epoch in numbers(), position in numbers(), distance in numbers(), is_mark in any::<bool>(),
    ) {
        let lane = u32::try_from(lane).unwrap_or(u32::MAX).max(1);
        let seq = position.saturating_add(distance.max(1));
        prop_assume!(seq > position);
        let mut rig = Rig::new();
        rig.outbox.open_lane(lane, epoch, position);
        let body = if is_mark {
            rig.mark(0);
            rig.drain(0, true);
            rig.outbox.advance(lane, seq).unwrap();
            rig.mark(0);
            0
        } else {
            let (block, range) = BlockWriter::of_one(EVENT, Some("c"), None, b"{}");
            let body = BodyRef { block: &block, range };
            rig.outbox.send_in_lane(to(&[0]), lane, seq, body, 0).unwrap();
            body.len()
        };
        prop_assert!(rig.outbox.pending().1 - body <= MAX_HEAD);
        prop_assert_eq!(rig.chain(), [(lane, epoch, position, seq)]);
    }
}

#[test]
fn the_longest_head_is_that_of_a_mark_far_behind_an_event() {
    let mut rig = Rig::new();
    rig.outbox.open_lane(u32::MAX, u64::MAX, (1 << 63) - 1);
    rig.mark(0);
    rig.drain(0, true);
    rig.outbox.advance(u32::MAX, u64::MAX).unwrap();
    rig.mark(0);
    assert_eq!(rig.outbox.pending().1, MAX_HEAD);
}
