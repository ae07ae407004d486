//! The routing table: the three kinds of ids and what relates them. Each method is one bounded piece of work.

use crate::ids::Interner;
use crate::memberships::{Memberships, Places};
use crate::placements::Placements;
use crate::rosters::Rosters;

/// Who reads what, and where.
pub(crate) struct Table {
    pub(crate) users: Interner,
    pub(crate) channels: Interner,
    pub(crate) instances: Interner,
    pub(crate) memberships: Memberships,
    pub(crate) placements: Placements,
    pub(crate) rosters: Rosters,
}

impl Table {
    pub(crate) fn new(memberships: Memberships) -> Self {
        Self {
            users: Interner::default(),
            channels: Interner::default(),
            instances: Interner::default(),
            memberships,
            placements: Placements::default(),
            rosters: Rosters::default(),
        }
    }

    /// A user to hold a list for. The table is the one holder of a user's id, as long as the list is held.
    pub(crate) fn hold_user(&mut self, name: &str) -> u32 {
        if let Some(user) = self.users.get(name) {
            return user;
        }
        let user = self.users.acquire(name);
        self.memberships.reach(user);
        user
    }

    /// A channel's id, for one more list.
    pub(crate) fn acquire_channel(&mut self, name: &str) -> u32 {
        let channel = self.channels.acquire(name);
        self.placements.reach(channel);
        channel
    }

    /// An instance to place users on. Its id lasts until it is dropped, so batches may refer to it.
    pub(crate) fn hold_instance(&mut self, name: &str) -> u32 {
        if let Some(instance) = self.instances.get(name) {
            return instance;
        }
        let instance = self.instances.acquire(name);
        self.rosters.reach(instance);
        instance
    }

    /// Note that a user is on an instance; the entries follow.
    pub(crate) fn place(&mut self, user: u32, instance: u32) {
        self.memberships.place(user, instance);
        self.rosters.add(instance, user, self.users.name(user));
    }

    /// Note that a user left an instance; the entries follow.
    pub(crate) fn displace(&mut self, user: u32, instance: u32) {
        self.memberships.displace(user, instance);
        self.rosters.remove(instance, user, self.users.name(user));
    }

    /// Let a user go whose list nobody wants any more; the list, whose channels lose a holder.
    pub(crate) fn discard_unless_held(&mut self, user: u32) -> Vec<u32> {
        if self.memberships.is_held(user) {
            return Vec::new();
        }
        self.users.release(user);
        self.memberships.replace(user, Vec::new())
    }

    /// A copy of the user's channels, unless a condition holds for the instances that the user is on.
    pub(crate) fn channels_unless(&self, user: u32, condition: impl FnOnce(&Places) -> bool) -> Option<Vec<u32>> {
        let unmet = !condition(self.memberships.places(user));
        unmet.then(|| self.memberships.channels(user).to_vec())
    }

    /// The user of that name, if online.
    pub(crate) fn online(&self, name: &str) -> Option<u32> {
        self.users.get(name).filter(|&user| self.memberships.is_online(user))
    }
}
