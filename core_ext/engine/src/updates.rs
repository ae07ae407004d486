//! The writes: who is where, and who is a member of what. Each is one turn of the writer, in bounded slices.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ids::check;
use crate::sync::Writer;
use crate::table::Table;

type Turn<'a> = Writer<'a, Table>;

impl Engine {
    /// Place a user on an instance; see `_core.pyi`. The number of (channel, instance) entries that are new.
    pub fn user_online(&self, user: &str, instance: &str, channels: Option<&[&str]>, now: u64) -> Result<usize> {
        check(user, "user")?;
        check(instance, "instance")?;
        channels.unwrap_or_default().iter().try_for_each(|channel| check(channel, "channel"))?;
        let mut turn = self.table.writer();
        let (user, replaced) = match channels {
            Some(names) => replace_list(&mut turn, user, names),
            None => (recall(&mut turn, user, now)?, 0),
        };
        let placed = place(&mut turn, user, instance);
        if channels.is_some() {
            cache(&mut turn, user, now);
        }
        Ok(replaced + placed)
    }

    /// Take a user off one instance; the number of (channel, instance) entries evicted.
    pub fn user_offline(&self, user: &str, instance: &str) -> Result<usize> {
        check(user, "user")?;
        check(instance, "instance")?;
        let mut turn = self.table.writer();
        let (user, instance) = {
            let table = turn.read();
            (table.users.get(user), table.instances.get(instance))
        };
        Ok(user.zip(instance).map_or(0, |(user, instance)| evict(&mut turn, user, instance)))
    }

    /// Evict an instance whole, with its undelivered batch; the number of users evicted.
    pub fn drop_instance(&self, instance: &str) -> Result<usize> {
        check(instance, "instance")?;
        let mut turn = self.table.writer();
        let Some(instance) = turn.read().instances.get(instance) else { return Ok(0) };
        let users: Vec<u32> = turn.read().rosters.users_after(instance, None).collect();
        for &user in &users {
            evict(&mut turn, user, instance);
        }
        self.outbox.lock().drop_instance(instance);
        turn.once(|table| table.instances.release(instance));
        Ok(users.len())
    }

    /// A user became a member; whether the user is online.
    pub fn join(&self, user: &str, channel: &str) -> Result<bool> {
        self.change_membership(user, channel, |table, user| {
            let channel = table.acquire_channel(channel);
            if table.memberships.insert(user, channel) {
                for &instance in table.memberships.places(user) {
                    table.placements.add(channel, instance, user);
                }
            } else {
                table.channels.release(channel);
            }
        })
    }

    /// A user is a member no more; whether the user is online.
    pub fn leave(&self, user: &str, channel: &str) -> Result<bool> {
        self.change_membership(user, channel, |table, user| {
            let Some(channel) = table.channels.get(channel) else { return };
            if table.memberships.remove(user, channel) {
                for &instance in table.memberships.places(user) {
                    table.placements.remove(channel, instance, user);
                }
                table.channels.release(channel);
            }
        })
    }

    /// Drop a user's list from the membership cache; an online user stays placed.
    pub fn forget(&self, user: &str) -> Result<()> {
        check(user, "user")?;
        let mut turn = self.table.writer();
        let user = turn.read().users.get(user);
        if let Some(user) = user {
            turn.once(|table| table.memberships.forget(user));
            discard_unless_held(&mut turn, user);
        }
        Ok(())
    }

    fn change_membership(&self, user: &str, channel: &str, change: impl FnOnce(&mut Table, u32)) -> Result<bool> {
        check(user, "user")?;
        check(channel, "channel")?;
        Ok(self.table.writer().once(|table| {
            let user = table.users.get(user);
            user.inspect(|&user| change(table, user)).is_some_and(|user| table.memberships.is_online(user))
        }))
    }
}

/// Give a user a new list of channels, wherever the user is. The user, and how many entries are new.
fn replace_list(turn: &mut Turn, user: &str, names: &[&str]) -> (u32, usize) {
    let list = acquire_channels(turn, names);
    let user = turn.once(|table| table.hold_user(user));
    let old = turn.once(|table| table.memberships.replace(user, list));
    let new = if turn.read().memberships.is_online(user) { follow_list(turn, user, &old) } else { 0 };
    release_channels(turn, &old);
    (user, new)
}

/// Bring the entries of an online user from an old list to the present one. How many entries are new.
fn follow_list(turn: &mut Turn, user: u32, old: &[u32]) -> usize {
    let (places, added, removed) = {
        let table = turn.read();
        let list = table.memberships.channels(user);
        (table.memberships.places(user).clone(), difference(list, old), difference(old, list))
    };
    let mut new = 0;
    for instance in places {
        new += add_entries(turn, &added, instance, user);
        remove_entries(turn, &removed, instance, user);
    }
    new
}

/// A user whose list is in the table or the cache.
fn recall(turn: &mut Turn, name: &str, now: u64) -> Result<u32> {
    let found = turn.read().users.get(name);
    let known = found
        .filter(|&user| turn.once(|table| table.memberships.recall(user, now) || table.memberships.is_online(user)));
    if let (None, Some(user)) = (known, found) {
        discard_unless_held(turn, user);
    }
    known.ok_or_else(|| Error::MembershipUnknown(name.to_owned()))
}

/// Put a user on an instance. How many entries are new.
fn place(turn: &mut Turn, user: u32, instance: &str) -> usize {
    let instance = turn.once(|table| table.hold_instance(instance));
    let Some(channels) = turn.read().channels_unless(user, |places| places.contains(&instance)) else {
        return 0;
    };
    turn.once(|table| table.place(user, instance));
    add_entries(turn, &channels, instance, user)
}

/// Take a user off an instance. How many entries went.
fn evict(turn: &mut Turn, user: u32, instance: u32) -> usize {
    let Some(channels) = turn.read().channels_unless(user, |places| !places.contains(&instance)) else {
        return 0;
    };
    turn.once(|table| table.displace(user, instance));
    let gone = remove_entries(turn, &channels, instance, user);
    discard_unless_held(turn, user);
    gone
}

fn cache(turn: &mut Turn, user: u32, now: u64) {
    if let Some(victim) = turn.once(|table| table.memberships.cache(user, now)) {
        discard_unless_held(turn, victim);
    }
}

fn discard_unless_held(turn: &mut Turn, user: u32) {
    let list = turn.once(|table| table.discard_unless_held(user));
    release_channels(turn, &list);
}

fn add_entries(turn: &mut Turn, channels: &[u32], instance: u32, user: u32) -> usize {
    let mut new = 0;
    turn.each(channels, |table, &channel| new += usize::from(table.placements.add(channel, instance, user)));
    new
}

fn remove_entries(turn: &mut Turn, channels: &[u32], instance: u32, user: u32) -> usize {
    let mut gone = 0;
    turn.each(channels, |table, &channel| {
        gone += usize::from(table.placements.remove(channel, instance, user));
    });
    gone
}

/// The ids of channels, sorted, each once, and each with one more holder.
fn acquire_channels(turn: &mut Turn, names: &[&str]) -> Vec<u32> {
    let mut list = Vec::with_capacity(names.len());
    turn.each(names, |table, name| list.push(table.acquire_channel(name)));
    list.sort_unstable();
    let doubles: Vec<u32> = list.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    list.dedup();
    list.shrink_to_fit();
    release_channels(turn, &doubles);
    list
}

fn release_channels(turn: &mut Turn, channels: &[u32]) {
    turn.each(channels, |table, &channel| table.channels.release(channel));
}

/// What is in one list and not in the other; both rise, and so does the answer.
fn difference(list: &[u32], other: &[u32]) -> Vec<u32> {
    let mut rest = other.iter().peekable();
    let absent = |channel: &u32| {
        while rest.next_if(|other| *other < channel).is_some() {}
        rest.peek() != Some(&channel)
    };
    list.iter().copied().filter(absent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Config;
    use crate::ids::Interner;

    fn engine(cache_users: usize) -> Engine {
        Engine::new(Config { flush_interval: 0, flush_events: 1, cache_users, cache_ttl: 10 }).unwrap()
    }

    fn names_in_use(engine: &Engine) -> [usize; 3] {
        let table = engine.table.read();
        [&table.users, &table.channels, &table.instances].map(Interner::in_use)
    }

    #[test]
    fn a_name_is_held_as_long_as_somebody_needs_it() -> Result<()> {
        let engine = engine(1);
        engine.user_online("ann", "i1", Some(&["a", "b", "a"]), 0)?;
        engine.user_online("ann", "i2", Some(&["b", "c"]), 0)?;
        assert_eq!(names_in_use(&engine), [1, 2, 2]);
        engine.user_online("ben", "i1", Some(&["c", "d"]), 0)?;
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
    fn membership_changes_hold_and_release_the_channel() -> Result<()> {
        let engine = engine(1);
        engine.user_online("ann", "i1", Some(&["a"]), 0)?;
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
        engine.user_online("ann", "i1", Some(&["a"]), 0)?;
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
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(engine.user_online("ann", "i1", Some(&names), 0)?, 1_000);
        assert_eq!(engine.user_online("ann", "i1", Some(&names[..900]), 0)?, 0);
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
}
