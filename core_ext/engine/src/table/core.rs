//! The routing table: which user reads which channel on which instance. Each part has its own locks. Only an operation
//! on the same user waits for the whole of another operation.
//!
//! Order of the locks: a user's turn, the outbox, a shard of channels, the instances, a shard of users, the cache.

use crate::names::hashed_name::{Keys, NameHasher};
use crate::names::ids::Id;
use crate::sync::Mutex;
use crate::table::cache::Cache;
use crate::table::channel_rows::InstanceIds;
use crate::table::channels::Channels;
use crate::table::instances::Instances;
use crate::table::users::Users;

/// The routing table.
pub(crate) struct Table {
    pub(crate) users: Users,
    pub(crate) channels: Channels,
    pub(crate) instances: Instances,
    pub(crate) cache: Mutex<Cache>,
}

impl Table {
    pub(crate) fn new(cache: Cache, mut keys: Keys) -> Self {
        let mut hasher = || NameHasher::new(&mut keys);
        Self {
            users: Users::new(hasher()),
            channels: Channels::new(hasher()),
            instances: Instances::new(hasher()),
            cache: Mutex::new(cache),
        }
    }

    /// The instances of a channel, each once.
    pub(crate) fn channel_targets(&self, channel: &Id) -> InstanceIds {
        let mut targets = InstanceIds::new();
        self.channels.read(channel.packed(), |view| view.instances(self.instances.subscriptions(), &mut targets));
        targets
    }

    /// The instances that a user is on.
    pub(crate) fn user_targets(&self, user: &Id) -> InstanceIds {
        let locations = self.users.locations(user).unwrap_or_default();
        locations.iter().map(|location| location.instance).collect()
    }
}
