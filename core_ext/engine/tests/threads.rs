//! Every kind of call, each from its own thread: each returns, and the table is consistent afterwards.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use fanout_engine::{Config, Engine, Error, Ids, StoredEvent, StoredKind};

const ROUNDS: u64 = 40_000;
const CHANNELS: [&str; 3] = ["c1", "c2", "c3"];
const EVENT: &[u8] = b"{}";

type Job = fn(&Engine, u64) -> Result<usize, Error>;

fn ids(count: usize) -> Ids {
    Ids::of(CHANNELS[..count].iter().copied(), "channel").unwrap()
}

const JOBS: [Job; 9] = [
    |engine, round| engine.user_online("ann", "i1", Some(ids((round % 3) as usize)), 0),
    |engine, round| {
        if round % 8 == 0 { engine.drop_instance("i1") } else { engine.user_online("ben", "i1", Some(ids(3)), 0) }
    },
    |engine, round| engine.join("ben", CHANNELS[(round % 3) as usize]).and(engine.leave("ann", "c2")).map(usize::from),
    |engine, round| engine.route(CHANNELS[(round % 3) as usize], EVENT, None, None, 0),
    |engine, round| {
        let event = StoredEvent { seq: round + 1, channel: "c1", payload: EVENT, also: Some("ann") };
        engine.route_stored(StoredKind::Member, 1, 0, &[event], 0).map(|refused| refused.len())
    },
    |engine, round| {
        if round % 8 == 0 { engine.drop_instance("i1") } else { engine.user_online("cat", "i1", Some(ids(2)), 0) }
    },
    |engine, _| Ok(engine.mark(0)),
    |engine, round| Ok(engine.drain(0, round % 2 == 0).len()),
    |engine, _| engine.members("c1").map(|members| members.len() + engine.stats().len()),
];

#[test]
fn no_mixture_of_calls_waits_for_ever() {
    let engine = Engine::new(Config {
        flush_interval: 0,
        flush_events: 1,
        max_batch: 1 << 20,
        cache_users: 1,
        cache_ttl: 10,
        seed: None,
    })
    .unwrap();
    engine.open_lane(1, 1, 0).unwrap();
    let (engine, start, (done, finished)) = (Arc::new(engine), Arc::new(Barrier::new(JOBS.len())), channel());
    for job in JOBS {
        let (engine, start, done) = (engine.clone(), start.clone(), done.clone());
        thread::spawn(move || {
            start.wait();
            (0..ROUNDS).for_each(|round| assert!(job(&engine, round).is_ok()));
            done.send(()).unwrap();
        });
    }
    drop(done);
    for _ in JOBS {
        let ended = finished.recv_timeout(Duration::from_secs(60));
        assert_ne!(ended, Err(RecvTimeoutError::Timeout), "calls wait for each other");
        ended.expect("no call fails");
    }
    engine.drop_instance("i1").unwrap();
    assert!(CHANNELS.iter().all(|channel| engine.instances(channel).unwrap().is_empty()));
    assert!(engine.drain(0, true).is_empty());
}
