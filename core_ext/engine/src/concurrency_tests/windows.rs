//! A bulk write delays a reader by one window, not by the whole write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CHANNELS, engine, explore, login, together};
use crate::engine::core::Engine;

/// Whether a reader of one channel after the other finds the write done in one, and not done in a later one.
fn finds_it_half_done(engine: &Engine, written: bool) -> bool {
    let is_done = |channel: &str| engine.instances(channel).unwrap().contains(&"i0".into()) == written;
    CHANNELS.iter().skip_while(|channel| !is_done(channel)).any(|channel| !is_done(channel))
}

/// In some order a reader must find the write half done. There would be no such order if the write locked readers out
/// until its end.
fn check_that_a_reader_gets_in_between(prepare: fn(&Engine), write: fn(&Engine), written: bool) {
    let found = Arc::new(AtomicBool::new(false));
    let in_between = found.clone();
    explore(move || {
        let engine = engine(2);
        prepare(&engine);
        together(&[&|| write(&engine), &|| {
            in_between.fetch_or(finds_it_half_done(&engine, written), Ordering::SeqCst);
        }]);
    });
    assert!(found.load(Ordering::SeqCst));
}

#[test]
fn a_reader_gets_in_between_the_windows_of_a_login_by_name() {
    check_that_a_reader_gets_in_between(|_| (), |engine| login(engine, "ann", "i0", &CHANNELS), true);
}

#[test]
fn a_reader_gets_in_between_the_windows_of_a_login_with_the_cached_list() {
    let prepare = |engine: &Engine| {
        login(engine, "ann", "i0", &CHANNELS);
        engine.drop_instance("i0").unwrap();
    };
    check_that_a_reader_gets_in_between(
        prepare,
        |engine| assert_eq!(engine.user_online("ann", "i0", None, 0), Ok(CHANNELS.len())),
        true,
    );
}

#[test]
fn a_reader_gets_in_between_the_windows_of_a_new_list() {
    let write = |engine: &Engine| login(engine, "ann", "i0", &CHANNELS[..0]);
    check_that_a_reader_gets_in_between(|engine| login(engine, "ann", "i0", &CHANNELS), write, false);
}

#[test]
fn a_reader_gets_in_between_the_windows_of_a_logout() {
    let write = |engine: &Engine| assert_eq!(engine.user_offline("ann", "i0"), Ok(CHANNELS.len()));
    check_that_a_reader_gets_in_between(|engine| login(engine, "ann", "i0", &CHANNELS), write, false);
}

#[test]
fn a_reader_gets_in_between_the_windows_of_a_drop() {
    let write = |engine: &Engine| assert_eq!(engine.drop_instance("i0"), Ok(1));
    check_that_a_reader_gets_in_between(|engine| login(engine, "ann", "i0", &CHANNELS), write, false);
}
