//! Snapshots of an engine that is changing: the state of each user in a file must be that of some moment.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fanout_engine::{Config, Engine, Ids, Moment};

const USERS: usize = 40;
const SNAPSHOTS: usize = 25;
const CONFIG: Config =
    Config { flush_interval: 0, flush_events: 1, max_batch: 1 << 20, cache_users: 5, cache_ttl: 1 << 60, seed: None };
const MOMENT: Moment = Moment { now: 0, unix: 0 };

/// Channels that only this user is in, and two more that exist only during a visit, so that their numbers are used
/// again.
fn channels(user: usize, visit: usize) -> Vec<String> {
    let steady = (0..3).map(|channel| format!("{user}-steady-{channel}"));
    steady.chain((0..2).map(|channel| format!("{user}-visit-{visit}-{channel}"))).collect()
}

fn come_and_go(engine: &Engine, part: usize, stop: &AtomicBool) {
    for visit in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for user in (part..USERS).step_by(2) {
            let (name, instance) = (user.to_string(), format!("i{}", visit % 3));
            let ids = Ids::of(channels(user, visit).iter().map(String::as_str), "channel").unwrap();
            engine.user_online(&name, &instance, Some(ids), 0).unwrap();
            engine.leave(&name, &format!("{user}-visit-{visit}-0")).unwrap();
            engine.join(&name, &format!("{user}-visit-{visit}-0")).unwrap();
            if user % 4 > 0 {
                engine.user_offline(&name, &instance).unwrap();
            }
        }
    }
}

/// Check that the list of a user is that of one visit, complete but for a channel that was just left, and that the
/// channels have this user.
fn assert_sound(engine: &Engine) {
    for user in 0..USERS {
        let mut found: Vec<String> =
            engine.channels(&user.to_string()).unwrap().into_iter().map(String::from).collect();
        assert_eq!(found.is_empty(), engine.locations(&user.to_string()).unwrap().is_empty());
        let Some(visit) = found.iter().find_map(|name| name.split("-visit-").nth(1)?.split('-').next()?.parse().ok())
        else {
            continue;
        };
        let whole = channels(user, visit);
        assert!(found.iter().all(|channel| engine.is_member(&user.to_string(), channel).unwrap()));
        if found.len() < whole.len() {
            found.push(format!("{user}-visit-{visit}-0"));
        }
        assert_eq!(sorted(found), sorted(whole));
    }
}

/// Ends the visits, also if an assertion fails, because the test waits for the threads.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_snapshot_beside_logins_says_what_was_true() {
    let file = File(std::env::temp_dir().join(format!("fanout-busy-{}.snapshot", std::process::id())));
    let (engine, stop) = (Engine::new(CONFIG).unwrap(), AtomicBool::new(false));
    thread::scope(|scope| {
        let _ends = Ends(&stop);
        for part in 0..2 {
            let (engine, stop) = (&engine, &stop);
            scope.spawn(move || come_and_go(engine, part, stop));
        }
        let mut seen = 0;
        for _ in 0..SNAPSHOTS {
            engine.snapshot(&file.0, b"", MOMENT).unwrap();
            let restored = Engine::restore(&file.0, CONFIG, MOMENT).unwrap();
            assert_sound(&restored);
            seen += restored.users("i0").unwrap().len();
        }
        assert!(seen > 0, "some were online");
    });
    engine.snapshot(&file.0, b"", MOMENT).unwrap();
    let restored = Engine::restore(&file.0, CONFIG, MOMENT).unwrap();
    for user in (0..USERS).map(|user| user.to_string()) {
        assert_eq!(sorted(restored.channels(&user).unwrap()), sorted(engine.channels(&user).unwrap()));
    }
}

fn sorted<T: Ord>(mut names: Vec<T>) -> Vec<T> {
    names.sort_unstable();
    names
}
