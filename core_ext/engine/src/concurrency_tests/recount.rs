//! Compares everything that the engine answers with a recount of its parts. No thread may change it meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{CHANNELS, INSTANCES, USERS};
use crate::engine::core::Engine;
use crate::names::ids::Id;
use crate::table::presence_sets::Digest;

pub(super) type Set = BTreeSet<String>;

pub(super) fn set(names: impl IntoIterator<Item = impl Into<String>>) -> Set {
    names.into_iter().map(Into::into).collect()
}

/// Check that counts, answers and names in use agree with each other.
pub(super) fn check(engine: &Engine) {
    check_memberships(engine);
    check_instances(engine);
    check_names(engine);
}

/// Check that nothing is left after all users went offline, not even memory.
pub(super) fn check_that_all_goes(engine: &Engine) {
    let online = stats(engine)["users"];
    let dropped: usize = INSTANCES.iter().map(|instance| engine.drop_instance(instance).unwrap()).sum();
    assert!(dropped >= online);
    assert!(USERS.iter().all(|user| engine.forget(user).is_ok()));
    check(engine);
    let table = &engine.table;
    assert_eq!([table.users.known(), table.channels.referenced(), table.instances.known()], [0; 3], "names in use");
    let (left, none) = (stats(engine), stats(&super::engine(0)));
    for count in ["users", "channels", "instances", "entries", "cached_users", "bytes_ids", "bytes_memberships"] {
        assert_eq!(left[count], none[count], "{count}");
    }
}

/// The user's list, whether the user is online or cached.
pub(super) fn list_of(engine: &Engine, user: &str) -> Option<Set> {
    let turn = engine.table.users.turn_of_known(&Id::new(user, "user").unwrap())?;
    Some(set(engine.table.channels.names(&turn.list().expect("a user without a list is forgotten").ids())))
}

fn stats(engine: &Engine) -> BTreeMap<&'static str, usize> {
    engine.stats().into_iter().collect()
}

fn check_memberships(engine: &Engine) {
    let (stats, mut entries, mut occupied) = (stats(engine), 0, 0);
    for channel in CHANNELS {
        let members = engine.members(channel).unwrap();
        assert_eq!(set(members.keys().cloned()), set(engine.instances(channel).unwrap()));
        for (user, instance) in USERS.iter().flat_map(|user| INSTANCES.map(|instance| (user, instance))) {
            let expected = set(engine.channels(user).unwrap()).contains(channel)
                && set(engine.locations(user).unwrap()).contains(instance);
            assert_eq!(members.get(instance).is_some_and(|users| users.contains(*user)), expected);
        }
        entries += members.len();
        occupied += usize::from(!members.is_empty());
    }
    assert_eq!((stats["entries"], stats["channels"]), (entries, occupied));
}

fn check_instances(engine: &Engine) {
    let stats = stats(engine);
    for instance in INSTANCES {
        let users = set(engine.users(instance).unwrap());
        let there = |user: &&&str| engine.locations(user).unwrap().iter().any(|location| location == instance);
        assert_eq!(users, set(USERS.iter().filter(there).copied()));
        assert_eq!(engine.digest(instance).unwrap(), Digest::of(users.iter().map(String::as_str)));
    }
    let online = USERS.iter().filter(|user| !engine.locations(user).unwrap().is_empty()).count();
    let occupied = INSTANCES.iter().filter(|instance| !engine.users(instance).unwrap().is_empty()).count();
    assert_eq!((stats["users"], stats["instances"]), (online, occupied));
}

/// Check that each name is used by a list or a location, and by nothing else.
fn check_names(engine: &Engine) {
    let lists: Vec<Set> = USERS.iter().filter_map(|user| list_of(engine, user)).collect();
    assert_eq!(engine.table.users.known(), lists.len());
    assert_eq!(engine.table.channels.referenced(), lists.into_iter().flatten().collect::<Set>().len());
}
