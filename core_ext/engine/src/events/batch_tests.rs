use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::events::payloads::Payloads;

fn decode(payload: &[u8]) -> Result<Vec<BatchEvent<'_>>> {
    Decoder::new(payload)?.collect()
}

fn encode(records: &[BatchEvent]) -> Vec<u8> {
    let mut batch = Batch::default();
    for record in records {
        push(&mut batch, record);
    }
    assert_eq!(batch.records(), records.len());
    batch.to_vec()
}

fn push(batch: &mut Batch, record: &BatchEvent) {
    let (block, payload) = Payloads::of_one(record.channel, record.user, record.event);
    let link = ChainLink { lane: record.lane, epoch: record.epoch, prev: record.prev };
    match (record.lane, record.event) {
        (0, _) => batch.push(PayloadRef { block: &block, payload }),
        (_, b"") => batch.push_mark(link, record.seq),
        _ => batch.push_in_lane(link, record.seq, PayloadRef { block: &block, payload }),
    }
}

fn stored(seq: u64, prev: u64) -> BatchEvent<'static> {
    BatchEvent { lane: 5, epoch: 2, prev, seq, channel: Some("c"), user: None, event: b"{}" }
}

fn lane_headers(payload: &[u8]) -> usize {
    payload.split(|&byte| byte == LANE).count() - 1
}

#[test]
fn a_run_of_one_lane_has_one_header() {
    let run = [stored(1_000, 900), stored(1_003, 1_000), stored(1_009, 1_003)];
    let payload = encode(&run);
    assert_eq!(lane_headers(&payload), 1);
    assert_eq!(payload.len(), 1 + 5 + 3 * 7);
    assert_eq!(decode(&payload).unwrap(), run);
}

#[test]
fn a_hole_or_another_epoch_begins_a_new_header() {
    let records = [stored(10, 5), stored(20, 15), BatchEvent { epoch: 3, ..stored(30, 20) }];
    assert_eq!(decode(&encode(&records)).unwrap(), records);
}

#[test]
fn a_mark_leaves_the_chain() {
    let mark = BatchEvent { channel: None, event: b"", ..stored(9, 3) };
    let records = [stored(3, 1), mark, stored(12, 3)];
    let payload = encode(&records);
    assert_eq!(lane_headers(&payload), 1);
    assert_eq!(decode(&payload).unwrap(), records);
}

#[test]
fn foreign_bytes_are_refused() {
    let cases: [&[u8]; 12] = [
        b"",
        b"\x02",
        b"{}",
        &[1, 0],
        &[1, 4, 1, 2, b'{', b'}'],
        &[1, MARK, 1],
        &[1, LANE, 0, 1, 1, MARK, 1],
        &[1, LANE, 1, 1],
        &[1, LANE, 1, 1, 1],
        &[1, CHANNEL, 1, b'.', 2, b'{', b'}'],
        &[1, CHANNEL, 1, b'c', 0],
        &[1, CHANNEL, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ];
    for payload in cases {
        assert!(matches!(decode(payload), Err(Error::InvalidBatch(_))), "{payload:?}");
    }
}

#[test]
fn a_seq_does_not_wrap() {
    let mut payload = vec![1, LANE, 1, 1];
    put_number(&mut payload, u64::MAX);
    payload.extend([MARK, 0, MARK, 1]);
    let records: Vec<_> = Decoder::new(&payload).unwrap().collect();
    assert_eq!(records[0].as_ref().unwrap().seq, u64::MAX);
    assert_eq!(records[1], Err(Error::InvalidBatch("a seq out of range")));
    assert_eq!(records.len(), 2);
}

#[derive(Debug, Clone)]
struct Owned {
    lane: u32,
    epoch: u64,
    prev: u64,
    step: u64,
    channel: Option<String>,
    user: Option<String>,
    event: Vec<u8>,
}

impl Owned {
    /// The record nearest to these arbitrary parts that may stand in a batch.
    fn record(&self) -> BatchEvent<'_> {
        let event = if self.event.is_empty() && self.lane == 0 { b"{}" } else { self.event.as_slice() };
        let mark = event.is_empty();
        let (channel, user) = (self.channel.as_deref(), self.user.as_deref());
        let user = if mark { None } else { user };
        let needs_channel = self.lane != 0 || user.is_none();
        let channel = channel.or(needs_channel.then_some("c")).filter(|_| !mark);
        let (lane, event) = (self.lane, event);
        if lane == 0 {
            return BatchEvent { channel, user, event, ..BatchEvent::default() };
        }
        BatchEvent {
            lane,
            epoch: self.epoch,
            prev: self.prev,
            seq: self.prev.saturating_add(self.step),
            channel,
            user,
            event,
        }
    }
}

prop_compose! {
    fn records()(
        lane in 0..3_u32, epoch in any::<u64>(), prev in any::<u64>(), step in 0..300_u64,
        channel in option::of("[A-Za-z0-9_-]{1,128}"), user in option::of("[a-z]{1,9}"), event in vec(any::<u8>(), 0..300),
    ) -> Owned {
        Owned { lane, epoch, prev, step, channel, user, event }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(owned in vec(records(), 1..20)) {
        let records: Vec<BatchEvent> = owned.iter().map(Owned::record).collect();
        let payload = encode(&records);
        prop_assert_eq!(decode(&payload).unwrap(), records);
    }

    #[test]
    fn a_cut_batch_never_passes_for_whole(owned in vec(records(), 1..5), cut in any::<prop::sample::Index>()) {
        let records: Vec<BatchEvent> = owned.iter().map(Owned::record).collect();
        let payload = encode(&records);
        let cut = decode(&payload[..cut.index(payload.len())]);
        prop_assert!(cut.is_err() || cut.unwrap().len() < records.len());
    }

    #[test]
    fn no_bytes_make_it_panic(mut payload in vec(any::<u8>(), 0..400), kind in vec(0..9_u8, 0..400)) {
        let _ = decode(&payload);
        payload.insert(0, 1);
        let _ = decode(&payload);
        let _ = decode(&[&[1], kind.as_slice()].concat());
    }

    #[test]
    fn a_damaged_batch_does_not_make_it_panic(
        owned in vec(records(), 1..5), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut payload = encode(&owned.iter().map(Owned::record).collect::<Vec<_>>());
        *at.get_mut(&mut payload) = byte;
        let _ = decode(&payload);
    }
}
