use proptest::prelude::*;

use super::*;
use crate::engine::core::Config;
use crate::names::ids::Ids;
use crate::replay::chunk::WIDTH;

const PARTITIONS: u32 = 3;
const CHANNELS: [&str; 5] = ["c0", "c1", "c2", "c3", "c4"];
const ALL: u64 = 1 << 40;
const NO_POINTS: [u64; 3] = [0; 3];

fn engine_with(user: &str, channels: &[&str]) -> Engine {
    let engine = Engine::new(Config {
        flush_interval: 0,
        flush_events: 1,
        max_batch: 1 << 20,
        cache_users: 1,
        cache_ttl: 0,
        seed: None,
    })
    .unwrap();
    engine.user_online(user, "session", Some(Ids::of(channels.iter().copied(), "channel").unwrap()), 0).unwrap();
    engine
}

/// An event of the log of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Logged {
    seq: u64,
    channel: &'static str,
    payload: String,
}

impl Logged {
    fn new(seq: u64, channel: &'static str, text: &str) -> Self {
        let message = format!(
            r#"{{"message_id":"msg_{:026}","channel_id":"{channel}","sender_id":"u","text":"{text}","sent_at":""}}"#,
            seq % 10
        );
        let payload =
            format!(r#"{{"event_id":"e","type":"message.new","channel_id":"{channel}","message":{message}}}"#);
        Self { seq, channel, payload }
    }

    /// When it was stored.
    fn time(&self) -> u64 {
        self.seq * 10
    }

    fn stored(&self) -> (StoredEvent<'_>, u64) {
        (
            StoredEvent { seq: self.seq, channel: self.channel, payload: self.payload.as_bytes(), also: None },
            self.time(),
        )
    }

    fn part(&self) -> u32 {
        partition_of(self.channel, PARTITIONS)
    }

    fn frame(&self) -> Vec<u8> {
        let json = StoredKind::Message.client_event(self.part(), &self.stored().0).unwrap();
        [text_frame_head(json.len()).as_ref(), &json].concat()
    }

    fn is_wanted(&self, wanted: &Wanted, channels: &[&str]) -> bool {
        let mut spans = wanted.spans.iter().filter(|span| span.channel == self.channel).peekable();
        channels.contains(&self.channel)
            && self.seq > wanted.points[self.part() as usize]
            && (spans.peek().is_none() || spans.any(|span| (span.from..span.until).contains(&self.time())))
    }
}

/// Read what is missing, as the owner of a cache does, in pages of a few events.
fn read(cache: &LogCache, log: &[Logged], after: u64, upto: u64, with_frames: bool) -> usize {
    let mut readings = 0;
    while let Some((mut start, end)) = cache.missing(after, upto, with_frames) {
        assert!(end - start <= MOST_CHUNKS * WIDTH && start < end, "{start} {end}");
        let events: Vec<_> = log.iter().filter(|event| start < event.seq && event.seq <= end).collect();
        for page in events.chunks(3) {
            let last = page.last().unwrap().seq;
            assert_eq!(cache.add(start, last, page.iter().map(|event| event.stored())), 0);
            start = last;
        }
        cache.add(start, end, []);
        readings += 1;
    }
    readings
}

/// All frames that a client gets, and their number.
fn replay(
    cache: &LogCache,
    log: &[Logged],
    engine: &Engine,
    wanted: &Wanted,
    upto: u64,
    most: usize,
) -> (Vec<u8>, usize) {
    let (mut after, mut bytes, mut count) = (0, Vec::new(), 0);
    while after < upto {
        let frames = cache.next(engine, wanted, after, upto, most).unwrap();
        assert!(frames.upto <= upto && (frames.count <= 1 || frames.bytes.len() <= most));
        if frames.upto == after && frames.count == 0 {
            read(cache, log, after, after + 1, true);
            continue;
        }
        bytes.extend(frames.bytes);
        (after, count) = (frames.upto, count + frames.count);
    }
    (bytes, count)
}

fn log_of(seqs: impl IntoIterator<Item = u64>) -> Vec<Logged> {
    seqs.into_iter().map(|seq| Logged::new(seq, CHANNELS[usize::try_from(seq).unwrap() % 5], "x")).collect()
}

#[test]
fn a_range_is_missing_until_it_was_read() {
    let (cache, log) = (LogCache::new(PARTITIONS, 1 << 20).unwrap(), log_of(1..100));
    assert_eq!(cache.missing(20, 20, true), None);
    assert_eq!(cache.missing(20, 60, true), Some((16, 60)));
    assert_eq!(read(&cache, &log, 20, 30, true), 1);
    assert_eq!(cache.missing(16, 30, true), None);
    assert_eq!((cache.missing(15, 30, true), cache.missing(16, 31, false)), (Some((8, 16)), Some((30, 31))));
    assert_eq!(cache.missing(0, 1_000, false), Some((0, 16)));
    assert_eq!(cache.missing(30, 1_000, false), Some((30, 24 + 16 * WIDTH)));
    cache.add(40, 44, log[40..44].iter().map(Logged::stored));
    assert_eq!(cache.missing(30, 44, true), Some((30, 40)), "what is not read from its chunk's beginning on is no use");
    assert_eq!(cache.missing(40, 44, true), None);
}

#[test]
fn a_client_gets_the_events_of_its_channels_after_its_points() {
    let (cache, log) = (LogCache::new(PARTITIONS, 1 << 20).unwrap(), log_of(1..50));
    let engine = engine_with("ann", &["c1", "c3"]);
    read(&cache, &log, 0, 49, true);
    let part = partition_of("c1", PARTITIONS) as usize;
    let mut points = [7; 3];
    points[part] = 30;
    let wanted = Wanted { user: "ann", points: &points, spans: &[] };
    let expected: Vec<_> = log.iter().filter(|event| event.is_wanted(&wanted, &["c1", "c3"])).collect();
    assert_eq!(cache.count(&engine, &wanted, 49), Ok(expected.len()));
    assert_eq!(cache.count(&engine, &wanted, 30), Ok(expected.iter().filter(|event| event.seq <= 30).count()));
    let whole = cache.next(&engine, &wanted, 0, 49, 1 << 20).unwrap();
    let bytes: Vec<u8> = expected.iter().flat_map(|event| event.frame()).collect();
    assert_eq!(whole, Frames { bytes, count: expected.len(), upto: 49 });
    let first = cache.next(&engine, &wanted, 0, 49, 0).unwrap();
    assert_eq!((first.count, first.upto), (1, expected[1].seq - 1));
    for stranger in ["bob", "eve"] {
        let wanted = Wanted { user: stranger, ..wanted };
        assert_eq!(cache.next(&engine, &wanted, 0, 49, 1 << 20), Ok(Frames { upto: 49, ..Frames::default() }));
    }
    assert!(cache.count(&engine, &Wanted { user: "a b", ..wanted }, 49).is_err());
}

#[test]
fn a_client_gets_what_was_stored_while_the_user_was_a_member() {
    let (cache, log) = (LogCache::new(PARTITIONS, 1 << 20).unwrap(), log_of(1..50));
    let engine = engine_with("ann", &["c1", "c2", "c3"]);
    read(&cache, &log, 0, 49, true);
    let span = |channel, from: u64, until: u64| Span { channel, from: from * 10, until: until * 10 };
    let spans = [span("c1", 0, 11), span("c1", 21, 26), span("c2", 0, 0), span("c4", 0, ALL)];
    let wanted = Wanted { user: "ann", points: &NO_POINTS, spans: &spans };
    let (frames, count) = replay(&cache, &log, &engine, &wanted, 49, 1 << 20);
    let expected: Vec<_> = log.iter().filter(|event| event.is_wanted(&wanted, &["c1", "c2", "c3"])).collect();
    assert_eq!(count, expected.len());
    assert_eq!(frames, expected.iter().flat_map(|event| event.frame()).collect::<Vec<_>>());
    let seqs: Vec<_> = expected.iter().filter(|event| event.channel == "c1").map(|event| event.seq).collect();
    assert_eq!(seqs, [1, 6, 21]);
}

#[test]
fn frames_that_were_used_longest_ago_are_dropped_and_read_again() {
    let log = log_of(1..200);
    let chunk_bytes: usize = log[..8].iter().map(|event| event.frame().len()).sum();
    let (cache, engine) = (LogCache::new(PARTITIONS, 3 * chunk_bytes).unwrap(), engine_with("ann", &CHANNELS));
    let wanted = Wanted { user: "ann", points: &NO_POINTS, spans: &[] };
    read(&cache, &log, 0, 199, false);
    assert!(cache.sizes().0 <= 4 * chunk_bytes);
    assert_eq!((cache.missing(0, 199, false), cache.missing(0, 199, true)), (None, Some((0, 8))));
    assert_eq!(cache.count(&engine, &wanted, 199), Ok(199));
    assert_eq!(cache.next(&engine, &wanted, 0, 199, 1 << 20).unwrap(), Frames::default());
    let (frames, count) = replay(&cache, &log, &engine, &wanted, 199, 1_000);
    assert_eq!(count, 199);
    assert_eq!(frames, log.iter().flat_map(Logged::frame).collect::<Vec<_>>());
    assert!(cache.sizes().0 <= 4 * chunk_bytes);
}

#[test]
fn what_is_old_is_forgotten_and_a_log_that_went_back_whole() {
    let (cache, log, engine) =
        (LogCache::new(PARTITIONS, 1 << 20).unwrap(), log_of(1..50), engine_with("ann", &CHANNELS));
    let wanted = Wanted { user: "ann", points: &NO_POINTS, spans: &[] };
    read(&cache, &log, 0, 49, true);
    assert_eq!([8, 9, 49].map(|seq| cache.time_upto(seq)), [Some(80), Some(90), Some(490)]);
    cache.forget(7);
    assert_eq!(cache.missing(0, 49, true), None);
    cache.forget(20);
    assert_eq!((cache.missing(0, 49, true), cache.missing(16, 49, true)), (Some((0, 16)), None));
    assert_eq!((cache.count(&engine, &wanted, 49), cache.time_upto(9)), (Ok(33), None));
    cache.forget(1_000);
    assert_eq!(cache.sizes(), (0, 0, 0));
    read(&cache, &log, 0, 49, true);
    cache.clear();
    assert_eq!(cache.sizes(), (0, 0, 0));
}

#[test]
fn events_that_no_client_can_be_given_are_left_out_and_counted() {
    let (cache, engine) = (LogCache::new(PARTITIONS, 1 << 20).unwrap(), engine_with("ann", &CHANNELS));
    let (sound, broken) = (Logged::new(1, "c1", "x"), Logged { payload: "{}".to_owned(), ..Logged::new(2, "c1", "x") });
    assert!(LogCache::new(0, 1).is_err());
    let foreign = Logged { channel: "", ..Logged::new(3, "c1", "x") };
    assert_eq!(cache.add(0, 4, [&sound, &broken, &foreign].map(Logged::stored)), 2);
    let wanted = Wanted { user: "ann", points: &NO_POINTS, spans: &[] };
    assert_eq!(cache.next(&engine, &wanted, 0, 4, 99).unwrap(), Frames { bytes: sound.frame(), count: 1, upto: 4 });
    assert_eq!(cache.missing(0, 4, true), None);
}

#[derive(Debug, Clone)]
enum Step {
    Read(u64, u64, bool),
    Ask(u64, usize),
    Forget(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0u64..150, 0u64..150, any::<bool>()).prop_map(|(after, upto, whole)| Step::Read(after, upto, whole)),
        3 => (0u64..150, 0usize..900).prop_map(|(upto, most)| Step::Ask(upto, most)),
        1 => (0u64..150).prop_map(Step::Forget),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..25)
}

proptest! {
    /// Clients with any points, channels and spans get exactly what the log has for them, whatever was cached before,
    /// and however little memory there is.
    #[test]
    fn every_client_gets_exactly_what_it_wants(
        gaps in prop::collection::vec((1u64..4, 0usize..5, 0usize..30), 0..80),
        member_of in prop::collection::vec(any::<bool>(), 5),
        points in prop::collection::vec(0u64..120, 3),
        spans in prop::collection::vec((0usize..5, 0u64..1_200, 0u64..600), 0..3),
        most_bytes in 0usize..6_000,
        steps in steps(),
    ) {
        let mut seq = 0;
        let log: Vec<_> = gaps.into_iter().map(|(gap, channel, length)| {
            seq += gap;
            Logged::new(seq, CHANNELS[channel], &"x".repeat(length))
        }).collect();
        let channels: Vec<_> = CHANNELS.into_iter().zip(member_of).filter(|(_, is)| *is).map(|(name, _)| name).collect();
        let spans: Vec<_> = spans.into_iter()
            .map(|(channel, from, length)| Span { channel: CHANNELS[channel], from, until: from + length })
            .collect();
        let wanted = Wanted { user: "ann", points: &points, spans: &spans };
        let (engine, cache) = (engine_with("ann", &channels), LogCache::new(PARTITIONS, most_bytes).unwrap());
        for step in steps {
            match step {
                Step::Read(after, upto, with_frames) => {
                    // With too little memory, frames may be dropped as soon as they are there.
                    read(&cache, &log, after, if with_frames { (after + 1).min(upto) } else { upto }, with_frames);
                }
                Step::Ask(upto, most) => {
                    let low = points.iter().copied().min().unwrap();
                    read(&cache, &log, low, upto, false);
                    let expected: Vec<_> =
                        log.iter().filter(|event| event.seq <= upto && event.is_wanted(&wanted, &channels)).collect();
                    prop_assert_eq!(cache.count(&engine, &wanted, upto).unwrap(), expected.len());
                    let (frames, count) = replay(&cache, &log, &engine, &wanted, upto, most);
                    prop_assert_eq!(count, expected.len());
                    prop_assert_eq!(frames, expected.iter().flat_map(|event| event.frame()).collect::<Vec<_>>());
                }
                Step::Forget(upto) => cache.forget(upto),
                Step::Clear => cache.clear(),
            }
        }
    }
}
