//! Calls at the same time have the answers and the final table of some order of the calls, one after the other.

use super::recount::{self, Set, list_of, set};
use super::{CHANNELS, USERS, choose, engine, explore, ids, login, together};
use crate::engine::core::Engine;
use crate::error::Result;
use crate::sync::Mutex;

const THREADS: usize = 3;
const CALLS: usize = 2;

type Call = fn(&Engine) -> Result<usize>;
type Script = [Call; CALLS];
/// The answers of each thread's calls, in the thread's order.
type Said = [Vec<Result<usize>>; THREADS];
/// Ann's locations, her list, and whether it is cached.
type Left = (Set, Option<Set>, usize);

/// A drop is one of the calls, because Ann is the only user; a drop of several users is a call for each.
const ABOUT_ANN: [Call; 9] = [
    |engine| engine.user_online("ann", "i0", Some(ids(&CHANNELS[..3])), 0),
    |engine| engine.user_online("ann", "i1", Some(ids(&CHANNELS[1..])), 0),
    |engine| engine.user_online("ann", "i0", None, 5),
    |engine| engine.user_online("ann", "i1", None, 15),
    |engine| engine.user_offline("ann", "i0"),
    |engine| engine.drop_instance("i0"),
    |engine| engine.join("ann", CHANNELS[3]).map(usize::from),
    |engine| engine.leave("ann", CHANNELS[1]).map(usize::from),
    |engine| engine.forget("ann").map(|()| 0),
];

fn begin(cache_users: usize) -> Engine {
    let engine = engine(cache_users);
    login(&engine, "ann", "i0", &CHANNELS[..2]);
    engine
}

fn left(engine: &Engine) -> Left {
    let cached = engine.stats().into_iter().find(|(name, _)| *name == "cached_users").map_or(0, |(_, cached)| cached);
    (set(engine.locations("ann").unwrap()), list_of(engine, "ann"), cached)
}

fn run_together(engine: &Engine, scripts: &[Script; THREADS]) -> Said {
    let said = [(); THREADS].map(|()| Mutex::new(Vec::new()));
    let run = |thread: usize| scripts[thread].iter().for_each(|call| said[thread].lock().push(call(engine)));
    together(&[&|| run(0), &|| run(1), &|| run(2)]);
    said.map(|said| said.lock().clone())
}

fn run_in_order(cache_users: usize, scripts: &[Script; THREADS], order: &[usize]) -> (Said, Left) {
    let (engine, mut said) = (begin(cache_users), [(); THREADS].map(|()| Vec::new()));
    for &thread in order {
        let call = scripts[thread][said[thread].len()];
        said[thread].push(call(&engine));
    }
    let left = left(&engine);
    (said, left)
}

/// Every order of the threads' calls that keeps the order of each thread's own.
fn orders(order: Vec<usize>) -> Vec<Vec<usize>> {
    if order.len() == THREADS * CALLS {
        return vec![order];
    }
    let has_calls = |thread: &usize| order.iter().filter(|other| *other == thread).count() < CALLS;
    (0..THREADS).filter(has_calls).flat_map(|thread| orders([&order[..], &[thread]].concat())).collect()
}

fn check_that_some_order_does_the_same(cache_users: usize) {
    let scripts: [Script; THREADS] = [(); THREADS].map(|()| [choose(&ABOUT_ANN), choose(&ABOUT_ANN)]);
    let engine = begin(cache_users);
    let said = run_together(&engine, &scripts);
    recount::check(&engine);
    let happened = (said, left(&engine));
    let explains = |order: &Vec<usize>| run_in_order(cache_users, &scripts, order) == happened;
    assert!(orders(Vec::new()).iter().any(explains), "no order does what happened: {happened:?}");
}

#[test]
fn calls_about_one_user_do_what_they_do_in_some_order() {
    explore(|| check_that_some_order_does_the_same(0));
}

#[test]
fn calls_about_a_user_whose_list_is_cached_do_what_they_do_in_some_order() {
    explore(|| check_that_some_order_does_the_same(1));
}

#[test]
fn a_user_whom_the_cache_has_no_room_for_is_forgotten_once() {
    explore(|| {
        let engine = engine(1);
        let visit = |user: &str| {
            for list in [&CHANNELS[..2], &CHANNELS[1..4]] {
                login(&engine, user, "i0", list);
                engine.user_offline(user, "i0").unwrap();
            }
        };
        together(&[&|| visit(USERS[0]), &|| visit(USERS[1]), &|| visit(USERS[2])]);
        assert_eq!(engine.table.users.known(), 1, "the one who is cached");
        assert_eq!(engine.table.channels.referenced(), 3);
        recount::check_that_all_goes(&engine);
    });
}
