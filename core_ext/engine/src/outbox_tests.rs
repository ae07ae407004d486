use super::*;
use crate::batch::Decoder;

const DUE: Due = Due { interval: 100, events: 3 };

struct Post {
    outbox: Outbox,
    names: [CompactString; 2],
}

impl Post {
    fn new() -> Self {
        Self { outbox: Outbox::new(DUE), names: ["a", "b"].map(CompactString::from) }
    }

    fn target(names: &[CompactString], instance: u32) -> Target<'_> {
        Target { instance, name: &names[instance as usize] }
    }

    fn send(&mut self, instance: u32, event: &[u8], now: u64) {
        let record = Record { channel: Some("c"), event, ..Record::default() };
        self.outbox.send(Self::target(&self.names, instance), &record, now);
    }

    fn send_in_lane(&mut self, lane: u32, seq: u64, instances: &[u32]) {
        let record = Record { lane, seq, channel: Some("c"), event: b"{}", ..Record::default() };
        for &instance in instances {
            self.outbox.send_in_lane(Self::target(&self.names, instance), &record, 0);
        }
        self.outbox.advance(lane, seq).unwrap();
    }

    fn mark(&mut self, instance: u32) -> bool {
        self.outbox.mark(Self::target(&self.names, instance), 0)
    }

    /// (lane, epoch, prev, seq) of what waits for the first instance.
    fn chain(&mut self) -> Vec<(u32, u64, u64, u64)> {
        let batches = self.outbox.drain(0, true);
        let payload = &batches.iter().find(|(name, _)| name == "a").unwrap().1;
        Decoder::new(payload).unwrap().map(Result::unwrap).map(|r| (r.lane, r.epoch, r.prev, r.seq)).collect()
    }
}

#[test]
fn a_batch_is_due_after_its_interval() {
    let mut post = Post::new();
    assert_eq!(post.outbox.next_due(0), None);
    post.send(0, b"{}", 1_000);
    assert_eq!(post.outbox.next_due(1_040), Some(60));
    assert!(post.outbox.drain(1_099, false).is_empty());
    assert_eq!(post.outbox.drain(1_100, false).len(), 1);
    assert_eq!((post.outbox.next_due(1_100), post.outbox.pending()), (None, (0, 0)));
}

#[test]
fn a_batch_is_due_at_its_count() {
    let mut post = Post::new();
    post.send(1, b"{}", 1_000);
    (0..3).for_each(|_| post.send(0, b"{}", 1_000));
    assert_eq!(post.outbox.next_due(1_000), Some(0));
    let batches = post.outbox.drain(1_000, false);
    assert_eq!(batches.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(post.outbox.pending().0, 1);
}

#[test]
fn what_would_be_too_long_is_split_in_order() {
    let mut post = Post::new();
    let event = vec![b'x'; MAX_BATCH / 4];
    (0..5).for_each(|_| post.send(0, &event, 1_000));
    assert_eq!(post.outbox.next_due(1_000), Some(0));
    let first = post.outbox.drain(1_000, false);
    assert_eq!(first.len(), 1);
    assert!(first[0].1.len() <= MAX_BATCH);
    assert_eq!(post.outbox.pending().0, 2);
    assert_eq!(post.outbox.drain(1_000, true).len(), 1);
}

#[test]
fn an_event_longer_than_a_batch_goes_alone() {
    let mut post = Post::new();
    for length in [10, MAX_BATCH, 10] {
        post.send(0, &vec![b'x'; length], 0);
    }
    let lengths: Vec<usize> = post.outbox.drain(0, true).iter().map(|(_, batch)| batch.len()).collect();
    assert_eq!(lengths.len(), 3);
    assert!(lengths[1] > MAX_BATCH);
}

#[test]
fn a_chain_starts_where_the_lane_stood_and_links_each_event() {
    let mut post = Post::new();
    post.outbox.open_lane(1, 9, 10);
    post.send_in_lane(1, 12, &[1]);
    post.send_in_lane(1, 15, &[0, 1]);
    post.send_in_lane(1, 16, &[1]);
    post.send_in_lane(1, 20, &[0]);
    assert_eq!(post.chain(), [(1, 9, 12, 15), (1, 9, 15, 20)]);
}

#[test]
fn the_chain_goes_on_through_batches() {
    let mut post = Post::new();
    post.outbox.open_lane(1, 0, 0);
    post.send_in_lane(1, 1, &[0]);
    post.chain();
    post.send_in_lane(1, 5, &[0]);
    assert_eq!(post.chain(), [(1, 0, 1, 5)]);
}

#[test]
fn a_mark_says_how_far_each_lane_has_come() {
    let mut post = Post::new();
    assert!(!post.mark(0));
    post.outbox.open_lane(1, 0, 10);
    post.outbox.open_lane(2, 3, 7);
    post.send_in_lane(1, 11, &[0]);
    post.outbox.advance(1, 15).unwrap();
    assert!(post.mark(0));
    post.outbox.advance(2, 9).unwrap();
    post.send_in_lane(1, 16, &[0]);
    post.send_in_lane(2, 12, &[0]);
    let expected = [(1, 0, 10, 11), (1, 0, 11, 15), (2, 3, 7, 7), (1, 0, 11, 16), (2, 3, 7, 12)];
    assert_eq!(post.chain(), expected);
}

#[test]
fn opened_again_or_dropped_a_chain_begins_anew() {
    let mut post = Post::new();
    post.outbox.open_lane(1, 0, 0);
    post.send_in_lane(1, 3, &[0]);
    post.outbox.open_lane(1, 1, 5);
    post.send_in_lane(1, 6, &[0]);
    assert_eq!(post.chain(), [(1, 0, 0, 3), (1, 1, 5, 6)]);
    post.send_in_lane(1, 7, &[0]);
    post.outbox.drop_instance(0);
    assert_eq!(post.outbox.pending(), (0, 0));
    post.outbox.advance(1, 8).unwrap();
    post.send_in_lane(1, 9, &[0]);
    assert_eq!(post.chain(), [(1, 1, 8, 9)]);
}

#[test]
fn a_closed_lane_takes_nothing() {
    let mut post = Post::new();
    post.outbox.open_lane(1, 0, 4);
    assert!(post.outbox.check_rises(1, 5).is_ok());
    assert!(matches!(post.outbox.check_rises(1, 4), Err(Error::InvalidArgument(_))));
    post.outbox.advance(1, 2).unwrap();
    assert!(post.outbox.check_rises(1, 4).is_err());
    post.outbox.close_lane(1);
    assert_eq!(post.outbox.check_rises(1, 5), Err(Error::LaneNotOpen(1)));
    assert_eq!(post.outbox.advance(1, 5), Err(Error::LaneNotOpen(1)));
}

#[test]
fn a_batch_that_was_split_names_its_lane_again() {
    let mut post = Post::new();
    post.outbox.open_lane(1, 9, 10);
    let event = vec![b'x'; MAX_BATCH / 2];
    for seq in [11, 14, 15] {
        let record = Record { lane: 1, seq, channel: Some("c"), event: &event, ..Record::default() };
        post.outbox.send_in_lane(Post::target(&post.names, 0), &record, 0);
        post.outbox.advance(1, seq).unwrap();
    }
    let batches = post.outbox.drain(0, true);
    let records = batches.iter().flat_map(|(_, batch)| Decoder::new(batch).unwrap().map(Result::unwrap));
    assert_eq!(
        records.map(|r| (r.lane, r.epoch, r.prev, r.seq)).collect::<Vec<_>>(),
        [(1, 9, 10, 11), (1, 9, 11, 14), (1, 9, 14, 15)]
    );
    assert_eq!(batches.len(), 3);
}

#[test]
fn the_longest_names_and_numbers_take_no_more_than_is_kept_for_them() {
    let mut post = Post::new();
    let (name, event) = ("n".repeat(128), vec![b'x'; MAX_BATCH]);
    post.outbox.open_lane(u32::MAX, u64::MAX, 1 << 63);
    let record = Record {
        lane: u32::MAX,
        seq: u64::MAX,
        channel: Some(&name),
        user: Some(&name),
        event: &event,
        ..Record::default()
    };
    post.outbox.send_in_lane(Post::target(&post.names, 0), &record, 0);
    assert!(post.outbox.pending().1 - event.len() <= MAX_OVERHEAD);
}
