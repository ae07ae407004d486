//! Instances: their names, the users on each, and the subscription ids.

use compact_str::CompactString;

use crate::error::{Error, Result};
use crate::names::hashed_name::NameHasher;
use crate::names::ids::Id;
use crate::names::interner::Interner;
use crate::sync::{RwLock, RwLockReadGuard};
use crate::table::presence_sets::PresenceSets;
use crate::table::subscriptions::{SubscriptionIds, Subscriptions};
use crate::table::users::{Location, User};

/// A user, by number and by name.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) user: User,
    pub(crate) name: &'a str,
}

/// The known instances: those that have had a user and were not dropped since then.
pub(crate) struct Instances {
    state: RwLock<State>,
    subscriptions: Subscriptions,
}

struct State {
    names: Interner,
    presence: PresenceSets,
    numbers: SubscriptionIds,
}

impl State {
    fn retire(&mut self, instance: u32) {
        if self.presence.is_empty(instance) {
            self.names.remove(instance);
        }
    }
}

/// The names of instances, locked so that they do not change.
pub(crate) struct InstanceNames<'a>(RwLockReadGuard<'a, State>);

impl InstanceNames<'_> {
    /// The name of an instance that is known.
    pub(crate) fn name(&self, instance: u32) -> CompactString {
        self.0.names.name(instance).unwrap_or_default()
    }
}

impl Instances {
    pub(crate) fn new(hasher: NameHasher) -> Self {
        let (presence, numbers) = (PresenceSets::default(), SubscriptionIds::default());
        let state = State { names: Interner::new(hasher), presence, numbers };
        Self { state: RwLock::new(state), subscriptions: Subscriptions::default() }
    }

    /// The user and instance of each subscription.
    pub(crate) fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// The number of an instance that is known.
    pub(crate) fn find(&self, name: &Id) -> Option<u32> {
        self.state.read().names.find(name)
    }

    /// The number of an instance. The instance is known from now on, though it has no user.
    pub(crate) fn reach(&self, name: &Id) -> u32 {
        let state = &mut *self.state.write();
        let instance = state.names.intern(name);
        state.presence.reach(instance);
        instance
    }

    /// Lock the names of instances, to read several of them.
    pub(crate) fn names(&self) -> InstanceNames<'_> {
        InstanceNames(self.state.read())
    }

    /// Add a user to an instance, where the user is not yet. It is an error if no subscription id is left.
    pub(crate) fn place(&self, instance: &Id, named: Named) -> Result<Location> {
        let state = &mut *self.state.write();
        let known = state.names.find(instance);
        let instance = state.names.intern(instance);
        state.presence.reach(instance);
        let Some(subscription) = state.numbers.take(instance, named.user, &self.subscriptions) else {
            if known.is_none() {
                state.names.remove(instance);
            }
            return Err(Error::Full);
        };
        state.presence.add(instance, named.user, named.name);
        Ok(Location { instance, subscription })
    }

    /// Remove a user from an instance. No channel may name the subscription any more.
    pub(crate) fn withdraw(&self, location: Location, named: Named) {
        let State { presence, numbers, .. } = &mut *self.state.write();
        presence.remove(location.instance, named.user, named.name);
        numbers.give_back(location.instance, location.subscription);
        if presence.is_empty(location.instance) {
            numbers.give_back_all(location.instance);
        }
    }

    /// Forget an instance, unless it has a user. Its number may then be given to another instance.
    pub(crate) fn retire(&self, instance: u32) {
        self.state.write().retire(instance);
    }

    /// At most `count` users of an instance after a given one, or the first ones, in rising order.
    pub(crate) fn users_after(&self, instance: u32, last: Option<User>, count: usize) -> Vec<User> {
        self.state.read().presence.users_after(instance, last).take(count).collect()
    }

    /// Call `ask` with the presence sets and the number of an instance, while both are locked; None if the instance is
    /// not known.
    pub(crate) fn ask<R>(&self, instance: &Id, ask: impl FnOnce(&PresenceSets, u32) -> R) -> Option<R> {
        let State { names, presence, .. } = &*self.state.read();
        Some(ask(presence, names.find(instance)?))
    }

    /// The instances that hold a user, in rising order.
    pub(crate) fn occupied(&self) -> Vec<u32> {
        self.state.read().presence.instances().collect()
    }

    /// For tests: behave as if all subscription ids were in use.
    #[cfg(test)]
    pub(crate) fn exhaust(&self) {
        self.state.write().numbers.exhaust();
    }

    /// The number of known instances.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.state.read().names.names().len()
    }

    /// Bytes of memory for names, and for presence and subscriptions.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        let state = self.state.read();
        (state.names.names().bytes(), state.presence.bytes() + state.numbers.bytes() + self.subscriptions.bytes())
    }
}
