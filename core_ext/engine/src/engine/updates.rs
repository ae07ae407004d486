//! The writes: on which instances a user is, and in which channels. Each write holds the *turn* of its user.

use crate::engine::core::Engine;
use crate::error::{Error, Result};
use crate::names::ids::{Id, Ids};
use crate::table::channels::{Channel, Exit};
use crate::table::core::Table;
use crate::table::instances::Named;
use crate::table::membership_lists::MembershipList;
use crate::table::users::{Location, Turn};

/// The number of users of a dropped instance that are looked up at a time.
const SLICE: usize = if cfg!(shuttle) { 1 } else { 256 };

impl Engine {
    /// Add a user to an instance; see `_core.pyi`. Returns the number of new (channel, instance) entries.
    pub fn user_online(&self, user: &str, instance: &str, channels: Option<Ids>, now: u64) -> Result<usize> {
        let (id, instance) = (Id::new(user, "user")?, Id::new(instance, "instance")?);
        match channels {
            Some(names) => {
                let turn = self.table.users.turn(&id);
                let new = Update::of(&self.table, &turn, user).list_and_place(names, &instance)?;
                self.cache(turn, now);
                Ok(new)
            }
            None => self.recall(&id, now).map_or_else(
                || Err(Error::MembershipUnknown(user.to_owned())),
                |turn| Update::of(&self.table, &turn, user).place(&instance),
            ),
        }
    }

    /// Remove a user from one instance. Returns the number of (channel, instance) entries removed.
    pub fn user_offline(&self, user: &str, instance: &str) -> Result<usize> {
        let (id, instance) = (Id::new(user, "user")?, Id::new(instance, "instance")?);
        let Some(turn) = self.table.users.turn_of_known(&id) else { return Ok(0) };
        let Some(instance) = self.table.instances.find(&instance) else { return Ok(0) };
        Ok(Update::of(&self.table, &turn, user).evict(instance).unwrap_or_default())
    }

    /// Evict an instance: remove its users and its batches. Returns the number of users removed.
    pub fn drop_instance(&self, instance: &str) -> Result<usize> {
        let (id, table) = (Id::new(instance, "instance")?, &self.table);
        let _turn = self.drops.lock();
        let Some(instance) = table.instances.find(&id) else { return Ok(0) };
        let (mut evicted, mut last) = (0, None);
        loop {
            let users = table.instances.users_after(instance, last, SLICE);
            evicted += users.iter().filter(|&&user| self.evict(user, instance)).count();
            last = users.last().copied();
            if last.is_none() {
                break;
            }
        }
        let mut outbox = self.outbox.lock();
        outbox.drop_instance(instance);
        table.instances.retire(instance);
        Ok(evicted)
    }

    /// Add a channel to the user's list. Returns whether the user is online.
    pub fn join(&self, user: &str, channel: &str) -> Result<bool> {
        let (id, channel) = (Id::new(user, "user")?, Ids::one(channel, "channel")?);
        let known = self.table.users.turn_of_known(&id);
        Ok(known.is_some_and(|turn| Update::of(&self.table, &turn, user).join(channel)))
    }

    /// Remove a channel from the user's list. Returns whether the user is online.
    pub fn leave(&self, user: &str, channel: &str) -> Result<bool> {
        let (id, channel) = (Id::new(user, "user")?, Id::new(channel, "channel")?);
        let known = self.table.users.turn_of_known(&id);
        Ok(known.is_some_and(|turn| Update::of(&self.table, &turn, user).leave(&channel)))
    }

    /// Drop a user's list from the membership cache; the table keeps an online user.
    pub fn forget(&self, user: &str) -> Result<()> {
        let id = Id::new(user, "user")?;
        if let Some(turn) = self.table.users.turn_of_known(&id) {
            self.table.cache.lock().forget(turn.user());
            self.table.discard_unless_online_or_cached(&turn);
        }
        Ok(())
    }

    /// Drop every list from the membership cache and return their number; the table keeps online users.
    pub fn forget_cached(&self) -> usize {
        let mut forgotten = 0;
        loop {
            let popped = self.table.cache.lock().pop();
            let Some(user) = popped else { return forgotten };
            forgotten += 1;
            if let Some(turn) = self.table.users.turn_of_number(user) {
                self.table.discard_unless_online_or_cached(&turn);
            }
        }
    }

    /// The turn of a user whose list is in the table or the cache.
    fn recall(&self, id: &Id, now: u64) -> Option<Turn<'_>> {
        let turn = self.table.users.turn_of_known(id)?;
        let usable = self.table.cache.lock().recall(turn.user(), now);
        if usable || !turn.locations().is_empty() {
            return Some(turn);
        }
        self.table.discard_unless_online_or_cached(&turn);
        None
    }

    /// Cache the user's list, and discard the list for which there is no more room.
    fn cache(&self, turn: Turn, now: u64) {
        let victim = self.table.cache.lock().put(turn.user(), now);
        drop(turn); // who waits for a turn has none
        if let Some(turn) = victim.and_then(|victim| self.table.users.turn_of_number(victim)) {
            self.table.discard_unless_online_or_cached(&turn);
        }
    }

    /// Remove the user who has this number now from an instance. Returns whether the user was there.
    fn evict(&self, user: u32, instance: u32) -> bool {
        let Some(turn) = self.table.users.turn_of_number(user) else { return false };
        let name = self.table.users.name(user).unwrap_or_default();
        Update::of(&self.table, &turn, &name).evict(instance).is_some()
    }
}

impl Table {
    /// Discard a user's list unless the user is online or cached.
    pub(crate) fn discard_unless_online_or_cached(&self, turn: &Turn) {
        if !turn.locations().is_empty() || self.cache.lock().contains(turn.user()) {
            return;
        }
        if let Some(list) = turn.list() {
            self.channels.exit(
                &list.ids(),
                Exit { subscription: None, remove_reference: true },
                self.instances.subscriptions(),
            );
            turn.set_list(None);
        }
    }
}

/// A change of one user, in the user's turn.
struct Update<'a> {
    table: &'a Table,
    turn: &'a Turn<'a>,
    named: Named<'a>,
}

impl<'a> Update<'a> {
    fn of(table: &'a Table, turn: &'a Turn<'a>, name: &'a str) -> Self {
        Self { table, turn, named: Named { user: turn.user(), name } }
    }

    /// Replace the user's list for all instances, and add the user to an instance. Returns the number of new entries.
    fn list_and_place(&self, names: Ids, instance: &Id) -> Result<usize> {
        let locations = self.turn.locations();
        if locations.is_empty() {
            return self.begin(names, instance);
        }
        let location = if self.is_at(instance) { None } else { Some(self.arrive(instance)?) };
        Ok(self.follow(names, &locations, location))
    }

    /// Bring a user online who is on no instance. Each channel is visited once, to count the list and to add the
    /// subscription.
    fn begin(&self, names: Ids, instance: &Id) -> Result<usize> {
        let location = self.arrive(instance)?;
        let (ids, new) = self.table.channels.add_references(
            names,
            Some(location.subscription),
            self.table.instances.subscriptions(),
        );
        let old = self.turn.list();
        self.turn.set_list(Some(MembershipList::of(&ids)));
        if let Some(old) = old {
            self.exit(&old.ids(), None, true);
        }
        Ok(new)
    }

    /// Replace an online user's list: change the entries at the given locations, and add those of a new location.
    /// Returns the number of new entries.
    fn follow(&self, names: Ids, locations: &[Location], new_location: Option<Location>) -> usize {
        let (ids, _) = self.table.channels.add_references(names, None, self.table.instances.subscriptions());
        let old = self.turn.list().map(|list| list.ids()).unwrap_or_default();
        let (added, removed) = (difference(&ids, &old), difference(&old, &ids));
        let mut new = 0;
        for &location in locations {
            new += self.enter(&added, location);
            self.exit(&removed, Some(location), false);
        }
        new += new_location.map_or(0, |location| self.enter(&ids, location));
        self.turn.set_list(Some(MembershipList::of(&ids)));
        self.exit(&old, None, true);
        new
    }

    /// Add the user to an instance with the present list. Returns the number of new entries.
    fn place(&self, instance: &Id) -> Result<usize> {
        if self.is_at(instance) {
            return Ok(0);
        }
        let location = self.arrive(instance)?;
        let ids = self.turn.list().map(|list| list.ids()).unwrap_or_default();
        Ok(self.enter(&ids, location))
    }

    /// Remove the user from an instance. Returns the number of entries removed; None if the user was not there.
    fn evict(&self, instance: u32) -> Option<usize> {
        let locations = self.turn.locations();
        let location = *locations.iter().find(|location| location.instance == instance)?;
        let ids = self.turn.list().map(|list| list.ids()).unwrap_or_default();
        let unwanted = locations.len() == 1 && !self.table.cache.lock().contains(self.named.user);
        if unwanted {
            self.turn.set_list(None); // first, since the numbers in it may soon be other channels'
        }
        let gone = self.exit(&ids, Some(location), unwanted);
        self.turn.depart(location);
        self.table.instances.withdraw(location, self.named);
        Some(gone)
    }

    fn join(&self, channel: Ids) -> bool {
        let locations = self.turn.locations();
        let (ids, _) = self.table.channels.add_references(channel, None, self.table.instances.subscriptions());
        if self.turn.change_list(|list| list.insert(ids[0])) {
            for &location in &locations {
                self.enter(&ids, location);
            }
        } else {
            self.exit(&ids, None, true);
        }
        !locations.is_empty()
    }

    fn leave(&self, channel: &Id) -> bool {
        let locations = self.turn.locations();
        if let Some(id) = self.table.channels.find(channel.packed())
            && self.turn.change_list(|list| list.remove(id))
        {
            for &location in &locations {
                self.exit(&[id], Some(location), false);
            }
            self.exit(&[id], None, true);
        }
        !locations.is_empty()
    }

    fn is_at(&self, instance: &Id) -> bool {
        let known = self.table.instances.find(instance);
        self.turn.locations().iter().any(|location| Some(location.instance) == known)
    }

    fn arrive(&self, instance: &Id) -> Result<Location> {
        let location = self.table.instances.place(instance, self.named)?;
        self.turn.arrive(location);
        Ok(location)
    }

    fn enter(&self, ids: &[Channel], location: Location) -> usize {
        self.table.channels.enter(ids, location.subscription, self.table.instances.subscriptions())
    }

    fn exit(&self, ids: &[Channel], location: Option<Location>, remove_reference: bool) -> usize {
        let exit = Exit { subscription: location.map(|location| location.subscription), remove_reference };
        self.table.channels.exit(ids, exit, self.table.instances.subscriptions())
    }
}

/// The ids of one list that are not in the other. Both lists and the answer are in rising order.
fn difference(list: &[Channel], other: &[Channel]) -> Vec<Channel> {
    let mut rest = other.iter().peekable();
    let absent = |channel: &Channel| {
        while rest.next_if(|other| *other < channel).is_some() {}
        rest.peek() != Some(&channel)
    };
    list.iter().copied().filter(absent).collect()
}

#[cfg(test)]
#[path = "updates_tests.rs"]
mod tests;
