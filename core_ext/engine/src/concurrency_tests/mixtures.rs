//! Random calls at the same time: each returns, none fails, and the table is consistent afterwards.

use shuttle::rand::{Rng, thread_rng};

use super::{CHANNELS, EVENT, INSTANCES, USERS, choose, engine, explore, ids, login, recount, together};
use crate::engine::core::Engine;
use crate::error::Error;
use crate::events::stored::{StoredEvent, StoredKind};

const THREADS: usize = 3;
const CALLS: usize = 4;
const LANE: u32 = 1;

/// The arguments of a call, each chosen by other bits.
#[derive(Clone, Copy)]
struct Subject(usize);

impl Subject {
    fn user(self) -> &'static str {
        USERS[self.0 % USERS.len()]
    }

    fn instance(self) -> &'static str {
        INSTANCES[(self.0 >> 8) % INSTANCES.len()]
    }

    fn channel(self) -> &'static str {
        CHANNELS[(self.0 >> 16) % CHANNELS.len()]
    }

    /// Some channels, in any order, some of them given twice.
    fn channels(self) -> Vec<&'static str> {
        let count = (self.0 >> 24) % (CHANNELS.len() + 2);
        CHANNELS.into_iter().cycle().skip((self.0 >> 16) % CHANNELS.len()).take(count).collect()
    }

    fn is_even(self) -> bool {
        self.0 >> 40 & 1 == 0
    }

    fn seq(self) -> u64 {
        1 + (self.0 >> 32) as u64 % 100
    }
}

type Call = fn(&Engine, Subject) -> Result<(), Error>;

const UPDATES: [Call; 8] = [
    |engine, it| engine.user_online(it.user(), it.instance(), Some(ids(&it.channels())), 0).map(drop),
    |engine, it| engine.user_online(it.user(), it.instance(), Some(ids(&it.channels())), it.seq()).map(drop),
    |engine, it| match engine.user_online(it.user(), it.instance(), None, it.seq() % 12) {
        Err(Error::MembershipUnknown(_)) => Ok(()),
        other => other.map(drop),
    },
    |engine, it| engine.user_offline(it.user(), it.instance()).map(drop),
    |engine, it| engine.drop_instance(it.instance()).map(drop),
    |engine, it| engine.join(it.user(), it.channel()).map(drop),
    |engine, it| engine.leave(it.user(), it.channel()).map(drop),
    |engine, it| engine.forget(it.user()),
];

const OTHERS: [Call; 17] = [
    |engine, it| engine.route(it.channel(), EVENT, Some(it.instance()), Some(it.user()), 0).map(drop),
    |engine, it| {
        engine.route_many(&it.channels().into_iter().map(|name| (name, EVENT)).collect::<Vec<_>>(), 0).map(drop)
    },
    |engine, it| engine.route_user(it.user(), EVENT, 0).map(drop),
    |engine, it| route_stored(engine, StoredKind::Member, it, Some(it.user())),
    |engine, it| route_stored(engine, StoredKind::Message, it, None),
    |engine, it| fine_unless_lane(engine.advance(LANE, it.seq())),
    |engine, it| engine.open_lane(LANE, it.seq(), 0),
    |engine, it| {
        if it.is_even() {
            engine.close_lane(LANE);
        }
        assert!(engine.mark(0) <= INSTANCES.len());
        Ok(())
    },
    |engine, it| if it.is_even() { engine.suspend(it.instance()) } else { engine.resume(it.instance()).map(drop) },
    |engine, it| {
        assert!(engine.drain(0, it.is_even()).iter().all(|(instance, _)| INSTANCES.contains(&instance.as_str())));
        assert!(engine.next_due(0).is_none_or(|wait| wait == 0) && !engine.stats().is_empty());
        Ok(())
    },
    |engine, it| engine.instances(it.channel()).map(drop),
    |engine, it| {
        assert!(engine.widths(ids(&it.channels())).iter().all(|&width| width <= INSTANCES.len()));
        Ok(())
    },
    |engine, it| engine.members(it.channel()).map(drop),
    |engine, it| engine.channels(it.user()).map(drop),
    |engine, it| engine.locations(it.user()).map(drop),
    |engine, it| engine.is_member(it.user(), it.channel()).map(drop),
    |engine, it| engine.users(it.instance()).and(engine.digest(it.instance())).map(drop),
];

fn route_stored(engine: &Engine, kind: StoredKind, it: Subject, also: Option<&str>) -> Result<(), Error> {
    let event = StoredEvent { seq: it.seq(), channel: it.channel(), payload: EVENT, also };
    fine_unless_lane(engine.route_stored(kind, LANE, 0, &[event], 0).map(drop))
}

/// Accept errors about the lane, because other threads open, close and advance it.
fn fine_unless_lane(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::LaneNotOpen(_) | Error::InvalidArgument(_)) => Ok(()),
        other => other,
    }
}

fn call_some(engine: &Engine, calls: &[&[Call]]) {
    for round in 0..CALLS {
        let (call, subject) = (choose(calls[round % calls.len()]), Subject(thread_rng().gen_range(0..usize::MAX)));
        call(engine, subject).expect("no call fails");
    }
}

fn mix(cache_users: usize, calls: &[&[Call]]) {
    let engine = engine(cache_users);
    engine.open_lane(LANE, 1, 0).unwrap();
    login(&engine, USERS[0], INSTANCES[0], &CHANNELS[..3]);
    login(&engine, USERS[1], INSTANCES[0], &CHANNELS[2..]);
    together(&[&(|| call_some(&engine, calls)) as &(dyn Fn() + Sync); THREADS]);
    recount::check(&engine);
    recount::check_that_all_goes(&engine);
}

#[test]
fn updates_of_every_kind_leave_a_sound_table() {
    explore(|| mix(0, &[&UPDATES]));
}

#[test]
fn updates_beside_a_small_cache_leave_a_sound_table() {
    explore(|| mix(1, &[&UPDATES]));
}

#[test]
fn questions_that_look_from_one_part_of_the_table_into_another_end() {
    explore(|| {
        let engine = engine(0);
        login(&engine, USERS[0], INSTANCES[0], &CHANNELS[..1]);
        let change = || {
            login(&engine, USERS[1], INSTANCES[1], &CHANNELS[..1]);
            engine.drop_instance(INSTANCES[1]).unwrap();
        };
        let channel_first = || drop((engine.members(CHANNELS[0]), engine.instances(CHANNELS[0])));
        let user_first = || drop((engine.is_member(USERS[0], CHANNELS[0]), engine.locations(USERS[0])));
        let instance_first = || drop((engine.users(INSTANCES[0]), engine.digest(INSTANCES[0])));
        together(&[&change, &channel_first, &user_first, &instance_first]);
    });
}

#[test]
fn calls_of_every_kind_end_and_leave_a_sound_table() {
    explore(|| mix(2, &[&UPDATES, &OTHERS]));
}
