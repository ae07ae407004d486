//! The engine against a plain model: sets of sets, and lists of records.

use std::collections::{BTreeMap, BTreeSet};

use fanout_engine::{Config, Decoder, Engine, Error, Ids, Name as EngineName, Record};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

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
    Hold(Name),
    Release(Name),
    Mark,
    Drain,
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
        1 => instance().prop_map(Call::Hold),
        2 => instance().prop_map(Call::Release),
        1 => Just(Call::Mark),
        1 => Just(Call::Drain),
    ]
}

/// A record without its event, which is always the same: lane, epoch, prev, seq, channel, user.
type Sent = (u32, u64, u64, u64, Option<String>, Option<String>);

#[derive(Default)]
struct Lane {
    epoch: u64,
    position: u64,
    told: BTreeMap<Name, u64>,
}

#[derive(Default)]
struct Model {
    now: u64,
    lists: BTreeMap<Name, BTreeSet<Name>>,
    places: BTreeMap<Name, BTreeSet<Name>>,
    cache: Vec<(Name, u64)>,
    lanes: BTreeMap<u32, Lane>,
    held: BTreeSet<Name>,
    sent: BTreeMap<Name, Vec<Sent>>,
}

impl Model {
    fn online(&self, user: Name) -> bool {
        self.places.contains_key(user)
    }

    fn entries(&self) -> BTreeSet<(Name, Name)> {
        let of = |(user, places): (&Name, &BTreeSet<Name>)| {
            let list = self.lists[user].clone();
            places
                .iter()
                .flat_map(move |&instance| list.clone().into_iter().map(move |c| (c, instance)))
                .collect::<Vec<_>>()
        };
        self.places.iter().flat_map(of).collect()
    }

    fn instances(&self, channel: Name) -> BTreeSet<Name> {
        self.entries().into_iter().filter(|entry| entry.0 == channel).map(|entry| entry.1).collect()
    }

    fn members(&self, channel: Name) -> BTreeMap<String, BTreeSet<String>> {
        let mut members = BTreeMap::<String, BTreeSet<String>>::new();
        for (user, places) in self.places.iter().filter(|(user, _)| self.lists[*user].contains(channel)) {
            for instance in places {
                members.entry((*instance).to_owned()).or_default().insert((*user).to_owned());
            }
        }
        members
    }

    fn locations(&self, user: Name) -> BTreeSet<Name> {
        self.places.get(user).cloned().unwrap_or_default()
    }

    fn cached(&self, user: Name) -> Option<usize> {
        self.cache.iter().position(|(cached, _)| *cached == user)
    }

    /// Use the cached list, if it is there and not too old.
    fn recall(&mut self, user: Name) -> bool {
        let Some(entry) = self.cached(user).map(|place| self.cache.remove(place)) else { return false };
        let fresh = self.now - entry.1 < CACHE_TTL;
        if fresh {
            self.cache.push(entry);
        }
        fresh
    }

    fn tidy(&mut self) {
        while self.cache.len() > CACHE_USERS {
            self.cache.remove(0);
        }
        let held: Vec<Name> = USERS.into_iter().filter(|u| self.online(u) || self.cached(u).is_some()).collect();
        self.lists.retain(|user, _| held.contains(user));
    }

    fn go_online(&mut self, user: Name, instance: Name, channels: Option<&[Name]>) -> Option<usize> {
        let before = self.entries();
        if let Some(channels) = channels {
            self.lists.insert(user, channels.iter().copied().collect());
            self.cache.retain(|(cached, _)| *cached != user);
            self.cache.push((user, self.now));
        } else {
            let known = self.recall(user) || self.online(user);
            self.tidy();
            known.then_some(())?;
        }
        self.places.entry(user).or_default().insert(instance);
        self.tidy();
        Some(self.entries().difference(&before).count())
    }

    fn go_offline(&mut self, user: Name, instance: Name) -> usize {
        let before = self.entries();
        if let Some(places) = self.places.get_mut(user) {
            places.remove(instance);
        }
        self.places.retain(|_, places| !places.is_empty());
        let gone = before.difference(&self.entries()).count();
        self.tidy();
        gone
    }

    fn drop_instance(&mut self, instance: Name) -> usize {
        let users: Vec<Name> = USERS.into_iter().filter(|u| self.locations(u).contains(instance)).collect();
        for user in &users {
            self.go_offline(user, instance);
        }
        self.sent.remove(instance);
        self.forget_told(instance);
        users.len()
    }

    fn hold(&mut self, instance: Name) {
        self.held.insert(instance);
        self.forget_told(instance);
    }

    fn forget_told(&mut self, instance: Name) {
        for lane in self.lanes.values_mut() {
            lane.told.remove(instance);
        }
    }

    fn change(&mut self, user: Name, change: impl FnOnce(&mut BTreeSet<Name>)) -> bool {
        if let Some(list) = self.lists.get_mut(user) {
            change(list);
        }
        self.online(user)
    }

    fn forget(&mut self, user: Name) {
        self.cache.retain(|(cached, _)| *cached != user);
        self.tidy();
    }

    fn send(&mut self, targets: &BTreeSet<Name>, sent: &Sent) -> usize {
        for target in targets {
            self.sent.entry(target).or_default().push(sent.clone());
        }
        targets.len()
    }

    fn send_stored(&mut self, number: u32, step: u64, channel: Name, also: Option<Name>) -> Option<usize> {
        let mut targets = self.instances(channel);
        targets.extend(also.into_iter().flat_map(|user| self.locations(user)));
        let lane = self.lanes.get_mut(&number)?;
        let seq = lane.position + step;
        for target in targets.difference(&self.held) {
            let prev = lane.told.insert(target, seq).unwrap_or(lane.position);
            let sent = (number, lane.epoch, prev, seq, Some(channel.to_owned()), also.map(str::to_owned));
            self.sent.entry(target).or_default().push(sent);
        }
        lane.position = seq;
        Some(targets.len())
    }

    fn mark(&mut self) -> usize {
        let targets: BTreeSet<Name> = self.places.values().flatten().copied().collect();
        let targets: BTreeSet<Name> = targets.difference(&self.held).copied().collect();
        for (&number, lane) in &mut self.lanes {
            for target in &targets {
                let prev = *lane.told.entry(target).or_insert(lane.position);
                self.sent.entry(target).or_default().push((number, lane.epoch, prev, lane.position, None, None));
            }
        }
        if self.lanes.is_empty() { 0 } else { targets.len() }
    }
}

fn engine() -> Engine {
    let config = Config { flush_interval: 0, flush_events: 1, cache_users: CACHE_USERS, cache_ttl: CACHE_TTL };
    Engine::new(config).unwrap()
}

fn drained(engine: &Engine) -> BTreeMap<String, Vec<Sent>> {
    let mut sent = BTreeMap::<String, Vec<Sent>>::new();
    for (instance, payload) in engine.drain(0, true) {
        let records = Decoder::new(&payload).unwrap().map(|record| strip(&record.unwrap()));
        sent.entry(instance.into()).or_default().extend(records);
    }
    sent
}

fn strip(record: &Record) -> Sent {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    (record.lane, record.epoch, record.prev, record.seq, owned(record.channel), owned(record.user))
}

fn run(engine: &Engine, model: &mut Model, call: Call) {
    match call {
        Call::Online(user, instance, channels) => {
            let expected = model.go_online(user, instance, channels.as_deref());
            let expected = expected.ok_or_else(|| Error::MembershipUnknown(user.to_owned()));
            let names = channels.map(|names| Ids::of(names, "channel").unwrap());
            assert_eq!(engine.user_online(user, instance, names.as_ref(), model.now), expected);
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
            model.lanes.insert(lane, Lane { epoch, position, told: BTreeMap::new() });
            assert_eq!(engine.open_lane(lane, epoch, position), Ok(()));
        }
        Call::Close(lane) => {
            model.lanes.remove(&lane);
            engine.close_lane(lane);
        }
        Call::Stored(lane, step, channel, also) => {
            let seq = model.lanes.get(&lane).map_or(0, |lane| lane.position) + step;
            let expected = model.send_stored(lane, step, channel, also).ok_or(Error::LaneNotOpen(lane));
            assert_eq!(engine.route_stored(lane, seq, channel, EVENT, also, model.now), expected);
        }
        Call::Advance(lane, step) => {
            let seq = model.lanes.get_mut(&lane).map(|lane| {
                lane.position += step;
                lane.position
            });
            let expected = seq.map(|_| ()).ok_or(Error::LaneNotOpen(lane));
            assert_eq!(engine.advance(lane, seq.unwrap_or(step)), expected);
        }
        Call::Hold(instance) => {
            model.hold(instance);
            assert_eq!(engine.hold(instance), Ok(()));
        }
        Call::Release(instance) => assert_eq!(engine.release(instance), Ok(model.held.remove(instance))),
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
    assert_eq!(stats["users"], model.places.len());
    assert_eq!(stats["instances"], model.places.values().flatten().collect::<BTreeSet<_>>().len());
    assert_eq!(stats["cached_users"], model.cache.len());
    assert_eq!(stats["pending_events"], model.sent.values().map(Vec::len).sum::<usize>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_does_what_the_model_does(calls in vec(calls(), 1..100)) {
        let (engine, mut model) = (engine(), Model::default());
        for call in calls {
            run(&engine, &mut model, call);
            assert_same(&engine, &model);
        }
        assert_drained(&engine, &mut model);
    }
}
