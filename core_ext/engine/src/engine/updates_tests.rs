use super::*;
use crate::engine::core::Config;

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

fn ids<const N: usize>(names: [&str; N]) -> Ids {
    Ids::of(names, "channel").unwrap()
}

fn names_in_use(engine: &Engine) -> [usize; 3] {
    let table = &engine.table;
    [table.users.known(), table.channels.referenced(), table.instances.known()]
}

#[test]
fn a_name_is_kept_as_long_as_it_is_needed() -> Result<()> {
    let engine = engine(1);
    engine.user_online("ann", "i1", Some(ids(["a", "b", "a"])), 0)?;
    engine.user_online("ann", "i2", Some(ids(["b", "c"])), 0)?;
    assert_eq!(names_in_use(&engine), [1, 2, 2]);
    engine.user_online("ben", "i1", Some(ids(["c", "d"])), 0)?;
    engine.user_offline("ann", "i1")?;
    assert_eq!(names_in_use(&engine), [2, 3, 2]);
    engine.user_offline("ann", "i2")?;
    assert_eq!(names_in_use(&engine), [1, 2, 2], "the cache has room for one list");
    engine.drop_instance("i1")?;
    assert_eq!(names_in_use(&engine), [1, 2, 1], "the list of ben is cached");
    engine.forget("ben")?;
    engine.drop_instance("i2")?;
    assert_eq!(names_in_use(&engine), [0, 0, 0]);
    Ok(())
}

#[test]
fn a_list_that_is_given_again_replaces_the_cached_one() -> Result<()> {
    let engine = engine(1);
    engine.user_online("ann", "i1", Some(ids(["a", "b"])), 0)?;
    engine.user_offline("ann", "i1")?;
    engine.user_online("ann", "i1", Some(ids(["b", "c"])), 0)?;
    assert_eq!(names_in_use(&engine), [1, 2, 1]);
    engine.user_online("ann", "i1", Some(ids(["d"])), 0)?;
    assert_eq!(names_in_use(&engine), [1, 1, 1]);
    Ok(())
}

#[test]
fn membership_changes_add_and_remove_references_of_the_channel() -> Result<()> {
    let engine = engine(1);
    engine.user_online("ann", "i1", Some(ids(["a"])), 0)?;
    for _ in 0..2 {
        assert!(engine.join("ann", "b")?);
    }
    assert_eq!(names_in_use(&engine)[1], 2);
    for _ in 0..2 {
        assert!(engine.leave("ann", "b")?);
    }
    assert!(!engine.join("ben", "x")? && !engine.leave("ben", "y")?);
    assert_eq!(names_in_use(&engine), [1, 1, 1]);
    Ok(())
}

#[test]
fn a_list_too_old_is_let_go_when_it_is_asked_for() -> Result<()> {
    let engine = engine(1);
    engine.user_online("ann", "i1", Some(ids(["a"])), 0)?;
    engine.user_offline("ann", "i1")?;
    assert_eq!(engine.user_online("ann", "i1", None, 9), Ok(1));
    engine.user_offline("ann", "i1")?;
    assert_eq!(engine.user_online("ann", "i1", None, 10), Err(Error::MembershipUnknown("ann".to_owned())));
    assert_eq!(names_in_use(&engine), [0, 0, 1]);
    Ok(())
}

#[test]
fn a_long_list_is_placed_in_slices_like_a_short_one() -> Result<()> {
    let engine = engine(1);
    let names: Vec<String> = (0..1_000).map(|n| format!("c{n}")).collect();
    let names = |count: usize| Ids::of(names[..count].iter().map(String::as_str), "channel").unwrap();
    assert_eq!(engine.user_online("ann", "i1", Some(names(1_000)), 0)?, 1_000);
    assert_eq!(engine.user_online("ann", "i1", Some(names(900)), 0)?, 0);
    assert_eq!(engine.channels("ann")?.len(), 900);
    assert_eq!(engine.user_offline("ann", "i1")?, 900);
    Ok(())
}

#[test]
fn differences_of_sorted_lists() {
    assert_eq!(difference(&[1, 3, 5, 7], &[0, 3, 4, 7, 9]), [1, 5]);
    assert_eq!(difference(&[], &[1]), [] as [u32; 0]);
    assert_eq!(difference(&[1], &[]), [1]);
}

#[test]
fn a_table_without_a_number_for_one_more_reader_says_so_and_changes_nothing() -> Result<()> {
    let engine = engine(1);
    engine.user_online("ann", "i1", Some(ids(["a"])), 0)?;
    engine.table.instances.exhaust();
    assert_eq!(engine.user_online("ben", "i2", Some(ids(["b"])), 0), Err(Error::Full));
    assert_eq!(engine.user_online("ann", "i2", None, 0), Err(Error::Full));
    assert_eq!(engine.user_online("ann", "i2", Some(ids(["b", "c"])), 0), Err(Error::Full));
    assert_eq!((names_in_use(&engine), engine.channels("ann")?), ([1, 1, 1], vec!["a".into()]));
    assert_eq!(engine.user_online("ben", "i1", Some(ids(["b"])), 0), Ok(1), "ann's instance has some to spare");
    Ok(())
}
