//! Tests of threads that use one engine, under a checker that chooses their order; see `sync`.
//!
//! `SHUTTLE_ROUNDS` is the number of orders of each kind that a test tries. A test that fails prints the order, which
//! `shuttle::replay` runs again.

mod answers;
mod mixtures;
mod orders;
mod recount;
mod turns;
mod windows;

use std::env;

use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config as Checker, Runner, thread};

use crate::engine::core::{Config, Engine};
use crate::names::ids::Ids;

const USERS: [&str; 3] = ["ann", "ben", "cat-whose-name-is-no-longer-inline"];
/// They are more than one window, with several of each shard in it, so that some shards are unlocked while others are
/// not locked yet.
const CHANNELS: [&str; 10] =
    ["c0", "c1", "c2", "c3", "a-channel-with-a-name-that-is-no-longer-inline", "c5", "c6", "c7", "c8", "c9"];
const INSTANCES: [&str; 2] = ["i0", "i1"];
const EVENT: &[u8] = b"{}";

/// The most changes of the running thread in the second kind of order, which places them where errors are most likely.
const DEPTH: usize = 3;
const ROUNDS: usize = 300;
const STACK: usize = 1 << 18;

/// Run a scenario in many orders of its threads.
fn explore(scenario: impl Fn() + Clone + Send + Sync + 'static) {
    let rounds = env::var("SHUTTLE_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    let checker = || {
        let mut checker = Checker::new();
        (checker.stack_size, checker.silence_warnings) = (STACK, true);
        checker
    };
    Runner::new(RandomScheduler::new(rounds), checker()).run(scenario.clone());
    Runner::new(PctScheduler::new(DEPTH, rounds), checker()).run(scenario);
}

/// Do each job in its own thread, and wait for all.
fn together(jobs: &[&(dyn Fn() + Sync)]) {
    thread::scope(|scope| {
        for &job in jobs {
            scope.spawn(job);
        }
    });
}

fn engine(cache_users: usize) -> Engine {
    Engine::new(Config {
        flush_interval: 0,
        flush_events: 1,
        max_batch: 1 << 20,
        cache_users,
        cache_ttl: 10,
        seed: None,
    })
    .unwrap()
}

/// Let the checker choose one of some items.
fn choose<T: Copy>(some: &[T]) -> T {
    some[thread_rng().gen_range(0..some.len())]
}

fn ids(names: &[&str]) -> Ids {
    Ids::of(names.iter().copied(), "channel").unwrap()
}

fn login(engine: &Engine, user: &str, instance: &str, channels: &[&str]) {
    engine.user_online(user, instance, Some(ids(channels)), 0).unwrap();
}
