use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::events::bodies::BlockWriter;
use crate::events::coding::put_text;

fn decode(payload: &[u8]) -> Result<Vec<BatchEvent<'_>>> {
    Decoder::new(payload)?.collect()
}

fn encode(records: &[BatchEvent]) -> Vec<u8> {
    let mut batch = Batch::default();
    for record in records {
        if record.kind == RecordKind::Unknown { push_unknown(&mut batch, record) } else { push(&mut batch, record) }
    }
    assert_eq!(batch.records(), records.len());
    batch.to_vec()
}

/// A record that a newer version might add; its body is long enough to look like records.
fn push_unknown(batch: &mut Batch, record: &BatchEvent) {
    const BODY: [u8; 200] = [EPHEMERAL; 200];
    let code = 0x40 | (record.seq % 0x40) as u8;
    if record.lane == 0 {
        batch.begin();
        batch.heads.push(code);
    } else {
        let link = ChainLink { lane: record.lane, epoch: record.epoch, prev: record.prev };
        batch.enter_lane(link);
        batch.heads.push(STORED | code);
        put_number(&mut batch.heads, record.seq - record.prev);
        batch.link = Some(ChainLink { prev: record.seq, ..link });
    }
    put_text(&mut batch.heads, &BODY[..(record.seq % 201) as usize]);
    batch.records += 1;
}

fn push(batch: &mut Batch, record: &BatchEvent) {
    let kind = if record.lane == 0 { EPHEMERAL } else { STORED | StoredKind::Member.code() };
    let (block, range) = BlockWriter::of_one(kind, record.channel, record.user, record.event);
    let link = ChainLink { lane: record.lane, epoch: record.epoch, prev: record.prev };
    match (record.lane, record.event) {
        (0, _) => batch.push(BodyRef { block: &block, range }),
        (_, b"") => batch.push_mark(link, record.seq),
        _ => batch.push_in_lane(link, record.seq, BodyRef { block: &block, range }),
    }
}

fn stored(seq: u64, prev: u64) -> BatchEvent<'static> {
    BatchEvent {
        kind: RecordKind::Stored(StoredKind::Member),
        lane: 5,
        epoch: 2,
        prev,
        seq,
        channel: Some("c"),
        user: None,
        event: b"{}",
    }
}

fn lane_headers(payload: &[u8]) -> usize {
    payload.split(|&byte| byte == LANE).count() - 1
}

#[test]
fn a_run_of_one_lane_has_one_header() {
    let run = [stored(1_000, 900), stored(1_003, 1_000), stored(1_009, 1_003)];
    let payload = encode(&run);
    assert_eq!(lane_headers(&payload), 1);
    assert_eq!(payload.len(), 1 + 6 + 3 * 8);
    assert_eq!(decode(&payload).unwrap(), run);
}

#[test]
fn a_gap_or_another_epoch_begins_a_new_header() {
    let records = [stored(10, 5), stored(20, 15), BatchEvent { epoch: 3, ..stored(30, 20) }];
    assert_eq!(decode(&encode(&records)).unwrap(), records);
}

#[test]
fn a_mark_leaves_the_chain() {
    let mark = BatchEvent { kind: RecordKind::Mark, channel: None, event: b"", ..stored(9, 3) };
    let records = [stored(3, 1), mark, stored(12, 3)];
    let payload = encode(&records);
    assert_eq!(lane_headers(&payload), 1);
    assert_eq!(decode(&payload).unwrap(), records);
}

#[test]
fn foreign_bytes_are_refused() {
    let cases: [&[u8]; 15] = [
        b"",
        b"\x01",
        b"{}",
        &[2, MARK],
        &[2, STORED | 1, 1, 2, b'{', b'}'],
        &[2, MARK, 1, 1],
        &[2, LANE, 3, 0, 1, 1, MARK, 1, 1],
        &[2, LANE, 2, 1, 1],
        &[2, LANE, 3, 1, 1, 1],
        &[2, LANE, 3, 1, 1, 1, STORED | 1, 1, 3, USER, 1, b'u', b'{', b'}'],
        &[2, EPHEMERAL, 5, CHANNEL, 1, b'.', b'{', b'}'],
        &[2, EPHEMERAL, 3, CHANNEL, 1, b'c'],
        &[2, EPHEMERAL, 3, 0, b'{', b'}'],
        &[2, EPHEMERAL, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[2, 0x7f, 3, 1, 1],
    ];
    for payload in cases {
        assert!(matches!(decode(payload), Err(Error::InvalidBatch(_))), "{payload:?}");
    }
}

#[test]
fn a_seq_does_not_wrap() {
    let mut payload = vec![2, LANE, 12, 1, 1];
    put_number(&mut payload, u64::MAX);
    payload.extend([MARK, 1, 0, MARK, 1, 1]);
    let records: Vec<_> = Decoder::new(&payload).unwrap().collect();
    assert_eq!(records[0].as_ref().unwrap().seq, u64::MAX);
    assert_eq!(records[1], Err(Error::InvalidBatch("a seq out of range")));
    assert_eq!(records.len(), 2);
}

#[test]
fn a_record_that_is_longer_than_what_is_known_of_it_is_read_as_far_as_that() {
    let payload = [2, LANE, 5, 1, 1, 7, 0, 0, MARK, 3, 2, 0, 0];
    let mark = BatchEvent { kind: RecordKind::Mark, lane: 1, epoch: 1, prev: 7, seq: 9, ..BatchEvent::default() };
    assert_eq!(decode(&payload).unwrap(), [mark]);
}

#[test]
fn an_event_with_a_flag_that_is_not_known_is_stepped_over() {
    let payload = [2, EPHEMERAL, 5, CHANNEL | 4, 1, b'c', b'{', b'}', EPHEMERAL, 5, CHANNEL, 1, b'c', b'{', b'}'];
    let records = decode(&payload).unwrap();
    assert_eq!((records.len(), records[0]), (2, BatchEvent { kind: RecordKind::Unknown, ..BatchEvent::default() }));
    assert_eq!((records[1].channel, records[1].event), (Some("c"), b"{}".as_slice()));
}

#[derive(Debug, Clone)]
struct Owned {
    is_known: bool,
    lane: u32,
    epoch: u64,
    prev: u64,
    step: u64,
    channel: Option<String>,
    user: Option<String>,
    event: Vec<u8>,
}

impl Owned {
    /// Make a valid record from arbitrary parts, as close to them as possible.
    fn record(&self) -> BatchEvent<'_> {
        let event = if self.event.is_empty() && self.lane == 0 { b"{}" } else { self.event.as_slice() };
        let mark = event.is_empty();
        let (channel, user) = (self.channel.as_deref(), self.user.as_deref());
        let user = if mark { None } else { user };
        let needs_channel = self.lane != 0 || user.is_none();
        let channel = channel.or(needs_channel.then_some("c")).filter(|_| !mark);
        let (lane, event) = (self.lane, event);
        if !self.is_known {
            return self.unknown();
        }
        if lane == 0 {
            return BatchEvent { channel, user, event, ..BatchEvent::default() };
        }
        let kind = if mark { RecordKind::Mark } else { RecordKind::Stored(StoredKind::Member) };
        BatchEvent {
            kind,
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

impl Owned {
    fn unknown(&self) -> BatchEvent<'_> {
        let unknown = BatchEvent { kind: RecordKind::Unknown, ..BatchEvent::default() };
        if self.lane == 0 {
            return unknown;
        }
        let (lane, epoch, prev, seq) = (self.lane, self.epoch, self.prev, self.prev.saturating_add(self.step));
        BatchEvent { lane, epoch, prev, seq, ..unknown }
    }
}

prop_compose! {
    fn records()(
        is_known in prop::bool::weighted(0.7), lane in 0..3_u32, epoch in any::<u64>(), prev in any::<u64>(), step in 0..300_u64,
        channel in option::of("[A-Za-z0-9_-]{1,128}"), user in option::of("[a-z]{1,9}"), event in vec(any::<u8>(), 0..300),
    ) -> Owned {
        Owned { is_known, lane, epoch, prev, step, channel, user, event }
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
    fn a_batch_that_is_cut_at_any_byte_never_passes_for_whole(owned in vec(records(), 1..5)) {
        let records: Vec<BatchEvent> = owned.iter().map(Owned::record).collect();
        let payload = encode(&records);
        for end in 0..payload.len() {
            let read: Vec<_> = Decoder::new(&payload[..end]).map(Iterator::collect).unwrap_or_default();
            let sound: Vec<BatchEvent> = read.into_iter().map_while(Result::ok).collect();
            prop_assert!(sound.len() < records.len() && sound == records[..sound.len()]);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(mut payload in vec(any::<u8>(), 0..400), kind in vec(0..9_u8, 0..400)) {
        let _ = decode(&payload);
        payload.insert(0, VERSION);
        let _ = decode(&payload);
        let _ = decode(&[&[VERSION], kind.as_slice()].concat());
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
