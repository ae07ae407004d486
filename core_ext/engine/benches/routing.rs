//! Benchmarks of routing: bulk calls of 200 events of 300 bytes, each to 6 of 20 instances, and the drain of the
//! batches.
//!
//! Each case first runs once, and its result is checked record by record. Batches are written as for a publisher.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use fanout_engine::{Batch, Config, Decoder, Engine, Ids, StoredEvent, StoredKind};

const CHANNELS: usize = 10_000;
const INSTANCES: usize = 20;
const TARGETS: usize = 6;
const EVENTS: usize = 200;
const LENGTH: usize = 300;
const LANE: u32 = 1;

/// (channel, event), the argument of `route_many`, and (channel, payload) of stored messages.
struct Events {
    ephemeral: Vec<(String, Vec<u8>)>,
    stored: Vec<(String, Vec<u8>)>,
}

impl Events {
    fn new() -> Self {
        let channels: Vec<String> = (0..EVENTS).map(|event| channel(event * 7919 % CHANNELS)).collect();
        let with = |event: fn(usize, &str) -> String| {
            let events = channels.iter().enumerate();
            events.map(|(number, channel)| (channel.clone(), event(number, channel).into_bytes())).collect()
        };
        Self { ephemeral: with(typing), stored: with(message) }
    }

    fn ephemeral(&self) -> Vec<(&str, &[u8])> {
        self.ephemeral.iter().map(|(channel, event)| (channel.as_str(), event.as_slice())).collect()
    }

    fn stored(&self, first: u64) -> Vec<StoredEvent<'_>> {
        let numbered = (first..).zip(&self.stored);
        numbered.map(|(seq, (channel, payload))| StoredEvent { seq, channel, payload, also: None }).collect()
    }
}

fn channel(number: usize) -> String {
    format!("channel-{number:08}")
}

fn typing(number: usize, channel: &str) -> String {
    let head = format!(r#"{{"type":"typing","channel_id":"{channel}","user_id":"user-{number:06}","note":""#);
    format!("{head}{}\"}}", "x".repeat(LENGTH - head.len() - 2))
}

fn message(number: usize, channel: &str) -> String {
    let head = format!(
        r#"{{"event_id":"evt_{number:026}","type":"message.new","channel_id":"{channel}","message":{{"message_id":"#
    ) + &format!(r#""msg_{number:026}","channel_id":"{channel}","sender_id":"user-{number:06}","text":""#);
    let tail = r#"","sent_at":"2024-01-01T00:00:00.000Z"}}"#;
    format!("{head}{}{tail}", "x".repeat(LENGTH - head.len() - tail.len()))
}

/// An engine in which every channel has a reader on each of its targets.
fn engine() -> Engine {
    let config =
        Config { flush_interval: 0, flush_events: 1, max_batch: 1 << 20, cache_users: 0, cache_ttl: 0, seed: None };
    let engine = Engine::new(config).expect("the configuration is sound");
    for instance in 0..INSTANCES {
        let reads = |number: &usize| (number + instance * 7) % INSTANCES < TARGETS;
        let channels: Vec<String> = (0..CHANNELS).filter(reads).map(channel).collect();
        let channels = Ids::of(channels.iter().map(String::as_str), "channel").expect("they are ids");
        let expected = Ok(channels.len());
        let placed = engine.user_online(&format!("user-{instance}"), &format!("notif-{instance}"), Some(channels), 0);
        assert_eq!(placed, expected);
    }
    engine.open_lane(LANE, 1, 0).expect("the lane is not 0");
    engine
}

/// Check that every event is in the batches of its targets, with the right content.
fn check(engine: &Engine, expected: impl Fn(&str, &[u8]) -> bool) {
    let mut targets = BTreeMap::new();
    for (_, payload) in engine.drain(0, true) {
        for record in Decoder::new(&payload).expect("a batch") {
            let record = record.expect("a record");
            assert!(expected(record.channel.expect("a channel's event"), record.event));
            *targets.entry(record.event.to_vec()).or_insert(0) += 1;
        }
    }
    assert_eq!(targets.len(), EVENTS);
    assert!(targets.values().all(|&count| count == TARGETS));
}

fn check_all(engine: &Engine, events: &Events) -> u64 {
    assert_eq!(engine.route_many(&events.ephemeral(), 0), Ok(EVENTS * TARGETS));
    check(engine, |channel, event| events.ephemeral.iter().any(|(c, e)| c == channel && e == event));
    let first = 1;
    assert_eq!(engine.route_stored(StoredKind::Message, LANE, 0, &events.stored(first), 0), Ok(Vec::new()));
    check(engine, |channel, event| {
        let inner = |stored: &str| stored.split_once(r#""message":"#).expect("a message").1.to_owned();
        let ends = |stored: &[u8]| event.ends_with(inner(&String::from_utf8_lossy(stored)).as_bytes());
        event.len() <= LENGTH && events.stored.iter().any(|(c, e)| c == channel && ends(e))
    });
    first + EVENTS as u64
}

/// Take all batches, and write each into the same buffer. Otherwise the system's allocator would be measured.
fn drain(engine: &Engine, payload: &mut Vec<u8>) -> usize {
    let write = |batch: &Batch| {
        payload.resize(payload.len().max(batch.len()), 0);
        batch.write(&mut payload[..batch.len()]);
        black_box(&payload).len()
    };
    engine.take(0, true).iter().map(|(_, batch)| batch).map(write).sum()
}

fn routing(criterion: &mut Criterion) {
    let (engine, events) = (engine(), Events::new());
    let (mut next, mut payload) = (check_all(&engine, &events), Vec::new());
    let mut group = criterion.benchmark_group("200 events of 300 bytes to 6 targets");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("route_stored and drain", |bencher| {
        bencher.iter_batched(
            || {
                next += EVENTS as u64;
                events.stored(next)
            },
            |stored| {
                let refused = engine.route_stored(StoredKind::Message, LANE, 0, &stored, 0).expect("the seq rises");
                assert!(refused.is_empty());
                drain(&engine, &mut payload)
            },
            BatchSize::PerIteration,
        );
    });
    let ephemeral = events.ephemeral();
    group.bench_function("route_many and drain", |bencher| {
        bencher.iter(|| (engine.route_many(black_box(&ephemeral), 0), drain(&engine, &mut payload)));
    });
    group.bench_function("drain", |bencher| {
        let route = || engine.route_many(&ephemeral, 0).expect("the events are sound");
        bencher.iter_batched(route, |_| drain(&engine, &mut payload), BatchSize::PerIteration);
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    routing(&mut criterion);
    criterion.final_summary();
}
