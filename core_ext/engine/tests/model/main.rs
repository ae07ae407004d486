//! Compares the engine with a plain model: sets of sets, and lists of records.

mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use fanout_engine::{
    BatchEvent, Config, Decoder, Engine, Error, Ids, Moment, Name as EngineName, StoredEvent, StoredKind,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use reference::{Lane, Model, Sent};

const USERS: [&str; 4] = ["ann", "ben", "cat", "dan"];
const CHANNELS: [&str; 4] = ["c1", "c2", "c3", "a-channel-with-a-name-that-is-no-longer-inline"];
const INSTANCES: [&str; 3] = ["i1", "i2", "i3"];
const CACHE_USERS: usize = 2;
const CACHE_TTL: u64 = 20;
const EVENT: &[u8] = b"{}";

type Name = &'static str;

#[derive(Debug, Clone)]
enum Call {
    Online(Name, Name, Option<Vec<Name>>),
    Offline(Name, Name),
    Drop(Name),
    Join(Name, Name),
    Leave(Name, Name),
    Forget(Name),
    Wait(u64),
    Route(Name, Option<Name>, Option<Name>),
    RouteUser(Name),
    Open(u32),
    Close(u32),
    Stored(u32, u64, Name, Option<Name>),
    Advance(u32, u64),
    Suspend(Name),
    Resume(Name),
    Mark,
    Drain,
    Restart(u64),
}

fn name(names: &'static [Name]) -> impl Strategy<Value = Name> {
    prop::sample::select(names)
}

fn calls() -> impl Strategy<Value = Call> {
    let (user, channel, instance) = (|| name(&USERS), || name(&CHANNELS), || name(&INSTANCES));
    prop_oneof![
        4 => (user(), instance(), option::of(vec(channel(), 0..6))).prop_map(|(u, i, c)| Call::Online(u, i, c)),
        2 => (user(), instance()).prop_map(|(u, i)| Call::Offline(u, i)),
        1 => instance().prop_map(Call::Drop),
        2 => (user(), channel()).prop_map(|(u, c)| Call::Join(u, c)),
        2 => (user(), channel()).prop_map(|(u, c)| Call::Leave(u, c)),
        1 => user().prop_map(Call::Forget),
        1 => (1..15_u64).prop_map(Call::Wait),
        2 => (channel(), option::of(instance()), option::of(user())).prop_map(|(c, i, u)| Call::Route(c, i, u)),
        1 => user().prop_map(Call::RouteUser),
        2 => (1..3_u32).prop_map(Call::Open),
        1 => (1..3_u32).prop_map(Call::Close),
        8 => (1..3_u32, 1..4_u64, channel(), option::of(user())).prop_map(|(l, s, c, u)| Call::Stored(l, s, c, u)),
        1 => (1..3_u32, 0..4_u64).prop_map(|(l, s)| Call::Advance(l, s)),
        1 => instance().prop_map(Call::Suspend),
        2 => instance().prop_map(Call::Resume),
        1 => Just(Call::Mark),
        1 => Just(Call::Drain),
        1 => (0..15_u64).prop_map(Call::Restart),
    ]
}

const CONFIG: Config = Config {
    flush_interval: 0,
    flush_events: 1,
    max_batch: 1 << 20,
    cache_users: CACHE_USERS,
    cache_ttl: CACHE_TTL,
    seed: None,
};

/// The engine, and the model.
struct Pair {
    engine: Engine,
    model: Model,
    file: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let file = std::env::temp_dir().join(format!("fanout-model-{}.snapshot", std::process::id()));
        Self { engine: Engine::new(CONFIG).unwrap(), model: Model::default(), file }
    }

    fn run(&mut self, call: Call) {
        match call {
            Call::Restart(later) => self.restart(later),
            other => run(&self.engine, &mut self.model, other),
        }
    }

    fn restart(&mut self, later: u64) {
        let moment = |model: &Model| Moment { now: model.now, unix: model.now };
        let note = self.model.now.to_le_bytes();
        self.engine.snapshot(&self.file, &note, moment(&self.model)).unwrap();
        self.model.restart(later);
        self.engine = Engine::restore(&self.file, CONFIG, moment(&self.model)).unwrap();
        assert_eq!(self.engine.snapshot_note(), note);
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

fn drained(engine: &Engine) -> BTreeMap<String, Vec<Sent>> {
    let mut sent = BTreeMap::<String, Vec<Sent>>::new();
    for (instance, payload) in engine.drain(0, true) {
        let records = Decoder::new(&payload).unwrap().map(|record| strip(&record.unwrap()));
        sent.entry(instance.into()).or_default().extend(records);
    }
    sent
}

fn strip(record: &BatchEvent) -> Sent {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    (record.lane, record.epoch, record.prev, record.seq, owned(record.channel), owned(record.user))
}

fn run(engine: &Engine, model: &mut Model, call: Call) {
    match call {
        Call::Online(user, instance, channels) => {
            let expected = model.go_online(user, instance, channels.as_deref());
            let expected = expected.ok_or_else(|| Error::MembershipUnknown(user.to_owned()));
            let names = channels.map(|names| Ids::of(names, "channel").unwrap());
            assert_eq!(engine.user_online(user, instance, names, model.now), expected);
        }
        Call::Offline(user, instance) => {
            assert_eq!(engine.user_offline(user, instance), Ok(model.go_offline(user, instance)));
        }
        Call::Drop(instance) => assert_eq!(engine.drop_instance(instance), Ok(model.drop_instance(instance))),
        Call::Join(user, channel) => {
            let online = model.change(user, |list| {
                list.insert(channel);
            });
            assert_eq!(engine.join(user, channel), Ok(online));
        }
        Call::Leave(user, channel) => {
            let online = model.change(user, |list| {
                list.remove(channel);
            });
            assert_eq!(engine.leave(user, channel), Ok(online));
        }
        Call::Forget(user) => {
            model.forget(user);
            assert_eq!(engine.forget(user), Ok(()));
        }
        Call::Wait(time) => model.now += time,
        other => run_route(engine, model, other),
    }
}

fn run_route(engine: &Engine, model: &mut Model, call: Call) {
    let owned = |name: Option<Name>| name.map(str::to_owned);
    match call {
        Call::Route(channel, exclude, actor) => {
            let mut targets = model.instances(channel);
            targets.retain(|target| Some(*target) != exclude);
            let expected = model.send(&targets, &(0, 0, 0, 0, owned(Some(channel)), owned(actor)));
            assert_eq!(engine.route(channel, EVENT, exclude, actor, model.now), Ok(expected));
        }
        Call::RouteUser(user) => {
            let targets = model.locations(user);
            let expected = model.send(&targets, &(0, 0, 0, 0, None, owned(Some(user))));
            assert_eq!(engine.route_user(user, EVENT, model.now), Ok(expected));
        }
        Call::Mark => assert_eq!(engine.mark(model.now), model.mark()),
        Call::Drain => assert_drained(engine, model),
        other => run_lane(engine, model, other),
    }
}

fn run_lane(engine: &Engine, model: &mut Model, call: Call) {
    match call {
        Call::Open(lane) => {
            let (epoch, position) = (model.now + 7, model.now * 3);
            model.lanes.insert(lane, Lane { epoch, position, last_seqs: BTreeMap::new() });
            assert_eq!(engine.open_lane(lane, epoch, position), Ok(()));
        }
        Call::Close(lane) => {
            model.lanes.remove(&lane);
            engine.close_lane(lane);
        }
        Call::Stored(lane, step, channel, also) => {
            let seq = model.lanes.get(&lane).map_or(0, |lane| lane.position) + step;
            let expected = model.send_stored(lane, step, channel, also).ok_or(Error::LaneNotOpen(lane));
            let event = StoredEvent { seq, channel, payload: EVENT, also };
            let refused = engine.route_stored(StoredKind::Member, lane, 0, &[event], model.now);
            assert_eq!(refused, expected.map(|_| Vec::new()));
        }
        Call::Advance(lane, step) => {
            let seq = model.lanes.get_mut(&lane).map(|lane| {
                lane.position += step;
                lane.position
            });
            let expected = seq.map(|_| ()).ok_or(Error::LaneNotOpen(lane));
            assert_eq!(engine.advance(lane, seq.unwrap_or(step)), expected);
        }
        Call::Suspend(instance) => {
            model.suspend(instance);
            assert_eq!(engine.suspend(instance), Ok(()));
        }
        Call::Resume(instance) => assert_eq!(engine.resume(instance), Ok(model.suspended.remove(instance))),
        other => unreachable!("{other:?} is no call of a lane"),
    }
}

fn assert_drained(engine: &Engine, model: &mut Model) {
    let expected = std::mem::take(&mut model.sent).into_iter().map(|(name, sent)| (name.to_owned(), sent));
    assert_eq!(drained(engine), expected.collect());
}

fn assert_same(engine: &Engine, model: &Model) {
    for channel in CHANNELS {
        let found: BTreeSet<String> = engine.instances(channel).unwrap().into_iter().map(Into::into).collect();
        assert_eq!(found, model.instances(channel).into_iter().map(Into::into).collect());
        assert_eq!(owned(engine.members(channel).unwrap()), model.members(channel));
    }
    for user in USERS {
        let mut channels = engine.channels(user).unwrap();
        channels.sort_unstable();
        let expected = model.lists.get(user).filter(|_| model.online(user)).cloned().unwrap_or_default();
        assert!(channels.iter().map(EngineName::as_str).eq(expected));
    }
    assert_counts(engine, model);
}

fn owned(members: BTreeMap<EngineName, BTreeSet<EngineName>>) -> BTreeMap<String, BTreeSet<String>> {
    members.into_iter().map(|(name, users)| (name.into(), users.into_iter().map(Into::into).collect())).collect()
}

fn assert_counts(engine: &Engine, model: &Model) {
    let stats: BTreeMap<_, _> = engine.stats().into_iter().collect();
    let entries = model.entries();
    assert_eq!(stats["entries"], entries.len());
    assert_eq!(stats["channels"], entries.iter().map(|entry| entry.0).collect::<BTreeSet<_>>().len());
    assert_eq!(stats["users"], model.locations.len());
    assert_eq!(stats["instances"], model.locations.values().flatten().collect::<BTreeSet<_>>().len());
    assert_eq!(stats["cached_users"], model.cache.len());
    assert_eq!(stats["pending_events"], model.sent.values().map(Vec::len).sum::<usize>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_the_model_does(calls in vec(calls(), 1..100)) {
        let mut pair = Pair::new();
        for call in calls {
            pair.run(call);
            assert_same(&pair.engine, &pair.model);
        }
        assert_drained(&pair.engine, &mut pair.model);
    }
}
