//! The reads. Long answers are read in parts, each of which begins where the last one ended. So an entry that exists
//! during the whole read is in the answer, and a writer never waits long for a reader.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use crate::engine::core::Engine;
use crate::error::Result;
use crate::names::ids::{Id, Ids};
use crate::table::channel_rows::{InstanceIds, View};
use crate::table::presence_sets::{Digest, PresenceSets};
use crate::table::subscriptions::{Subscription, Subscriptions};
use crate::table::users::User;

/// A name taken out of the table.
pub type Name = CompactString;

/// The number of names that are looked up under one lock.
const SLICE: usize = if cfg!(shuttle) { 2 } else { 256 };

impl Engine {
    /// The instances that hold online members of the channel.
    pub fn instances(&self, channel: &str) -> Result<Vec<Name>> {
        let channel = Id::new(channel, "channel")?;
        let table = &self.table;
        let answer = table.channels.read(channel.packed(), |view| {
            let mut targets = InstanceIds::new();
            view.instances(table.instances.subscriptions(), &mut targets);
            let names = table.instances.names();
            targets.iter().map(|&instance| names.name(instance)).collect()
        });
        Ok(answer.unwrap_or_default())
    }

    /// How many instances hold online members of each channel.
    #[must_use]
    pub fn widths(&self, channels: Ids) -> Vec<usize> {
        let mut widths = vec![0; channels.len()];
        let subscriptions = self.table.instances.subscriptions();
        self.table.channels.read_many(channels, |index, view| widths[index] = view.width(subscriptions));
        widths
    }

    /// The channel's online members by instance.
    pub fn members(&self, channel: &str) -> Result<BTreeMap<Name, BTreeSet<Name>>> {
        let channel = Id::new(channel, "channel")?;
        let mut members = BTreeMap::<Name, BTreeSet<Name>>::new();
        let mut last = None;
        loop {
            let slice = self.table.channels.read(channel.packed(), |view| {
                let (subscriptions, more) = slice_of(&view, last, self.table.instances.subscriptions());
                for subscription in subscriptions {
                    self.name_member(subscription, &mut members);
                }
                more
            });
            match slice {
                Some(more @ Some(_)) => last = more,
                _ => return Ok(members),
            }
        }
    }

    /// The channels of an online user, in no order.
    pub fn channels(&self, user: &str) -> Result<Vec<Name>> {
        let (user, mut names, mut last) = (Id::new(user, "user")?, Vec::new(), None);
        let mut now = self.table.users.online_list(&user);
        while let Some(list) = now {
            let ids = list.after(last);
            let slice = self.table.channels.names(&ids);
            now = self.table.users.online_list(&user);
            // If the list is still the user's, it has named the channels in the meantime; if not, the numbers may belong
            // to others.
            if now.as_ref().is_some_and(|now| now.is_same(&list)) {
                if ids.is_empty() {
                    return Ok(names);
                }
                names.extend(slice);
                last = ids.last().copied();
            }
        }
        Ok(Vec::new())
    }

    /// The number of channels in a user's list, in the table or the cache. It is the cost of adding or removing the
    /// user.
    pub fn membership_count(&self, user: &str) -> Result<usize> {
        Ok(self.table.users.list_len(&Id::new(user, "user")?))
    }

    /// Whether a change of the user takes some microseconds: nobody else changes the user now, and at most so many
    /// channels are known of the user.
    pub fn is_brief(&self, user: &str, channels: usize) -> Result<bool> {
        Ok(self.table.users.is_brief(&Id::new(user, "user")?, channels))
    }

    /// The instances on which the user is.
    pub fn locations(&self, user: &str) -> Result<Vec<Name>> {
        let user = Id::new(user, "user")?;
        let names = self.table.instances.names();
        let name_all = |locations: &crate::table::users::Locations| {
            locations.iter().map(|location| names.name(location.instance)).collect()
        };
        Ok(self.table.users.ask_locations(&user, name_all).unwrap_or_default())
    }

    /// Whether the user is online and a member of the channel.
    pub fn is_member(&self, user: &str, channel: &str) -> Result<bool> {
        let (user, channel) = (Id::new(user, "user")?, Id::new(channel, "channel")?);
        let answer = self.table.channels.read(channel.packed(), |view| {
            self.table
                .users
                .ask_locations(&user, |locations| locations.iter().any(|location| view.contains(location.subscription)))
        });
        Ok(answer.flatten().unwrap_or_default())
    }

    /// The users on the instance.
    pub fn users(&self, instance: &str) -> Result<BTreeSet<Name>> {
        let (mut names, mut last) = (BTreeSet::new(), None);
        loop {
            let (page, more) = self.users_page(instance, last)?;
            names.extend(page);
            if more.is_none() {
                return Ok(names);
            }
            last = more;
        }
    }

    /// A page of the users on the instance, in the order of their numbers, and the number after which the next page
    /// begins; None after the last page.
    pub fn users_page(&self, instance: &str, after: Option<User>) -> Result<(Vec<Name>, Option<User>)> {
        let (instance, mut names) = (Id::new(instance, "instance")?, Vec::new());
        let name = |user: &User| names.extend(self.table.users.name(*user));
        let slice =
            |presence: &PresenceSets, instance| presence.users_after(instance, after).take(SLICE).inspect(name).last();
        let last = self.table.instances.ask(&instance, slice).flatten();
        Ok((names, last))
    }

    /// The instances that hold a user.
    #[must_use]
    pub fn occupied_instances(&self) -> Vec<Name> {
        let occupied = self.table.instances.occupied();
        let names = self.table.instances.names();
        // An instance that has just lost its last user may have no name any more.
        occupied.into_iter().map(|instance| names.name(instance)).filter(|name| !name.is_empty()).collect()
    }

    /// How many users the instance holds, and a hash of them.
    pub fn digest(&self, instance: &str) -> Result<Digest> {
        let digest = self.table.instances.ask(&Id::new(instance, "instance")?, PresenceSets::digest);
        Ok(digest.unwrap_or_default())
    }

    /// Counts, and bytes by structure, by the names of `_core.pyi`.
    #[must_use]
    pub fn stats(&self) -> Vec<(&'static str, usize)> {
        let mut stats = self.outbox_stats();
        stats.extend(self.table_stats());
        let bytes = stats.iter().filter(|(name, _)| name.starts_with("bytes_")).map(|(_, bytes)| bytes).sum();
        stats.push(("bytes_total", bytes));
        stats
    }

    /// Online users, channels with an entry, occupied instances, and events that wait: what costs little to count.
    #[must_use]
    pub fn summary(&self) -> [(&'static str, usize); 4] {
        let table = &self.table;
        [
            ("users", table.users.online()),
            ("channels", table.channels.occupied()),
            ("instances", table.instances.occupied().len()),
            ("pending_events", self.outbox.lock().pending().0),
        ]
    }

    /// The size that the batches which wait will have when they are written, in bytes.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.outbox.lock().pending().1
    }

    fn outbox_stats(&self) -> Vec<(&'static str, usize)> {
        let outbox = self.outbox.lock();
        let (events, bytes) = outbox.pending();
        vec![
            ("pending_events", events),
            ("pending_bytes", bytes),
            ("routed", outbox.routed),
            ("flushes", outbox.flushes),
            ("copied_bytes", outbox.copied),
        ]
    }

    fn table_stats(&self) -> [(&'static str, usize); 9] {
        let table = &self.table;
        let (channel_names, rows) = table.channels.bytes();
        let (user_names, lists) = table.users.bytes();
        let (instance_names, presence) = table.instances.bytes();
        let (cached, cache_bytes) = {
            let cache = table.cache.lock();
            (cache.len(), cache.bytes())
        };
        [
            ("users", table.users.online()),
            ("channels", table.channels.occupied()),
            ("instances", table.instances.occupied().len()),
            ("entries", table.channels.entries()),
            ("cached_users", cached),
            ("bytes_ids", channel_names + user_names + instance_names),
            ("bytes_placements", rows + presence),
            ("bytes_memberships", lists),
            ("bytes_cache", cache_bytes),
        ]
    }

    /// Name a subscription's user while its channel is locked for reading, so that the subscription still belongs to
    /// that user.
    fn name_member(&self, subscription: Subscription, members: &mut BTreeMap<Name, BTreeSet<Name>>) {
        let subscriptions = self.table.instances.subscriptions();
        let instance = self.table.instances.names().name(subscriptions.instance(subscription));
        members.entry(instance).or_default().extend(self.table.users.name(subscriptions.user(subscription)));
    }
}

/// The next part of the subscriptions after one, or the first part; and the last of them if there may be more.
fn slice_of(
    view: &View,
    last: Option<Subscription>,
    subscriptions: &Subscriptions,
) -> (Vec<Subscription>, Option<Subscription>) {
    match view {
        View::Few(head, tail) => (head.iter().chain(*tail).copied().collect(), None),
        View::Many(bitmap) => {
            let slice: Vec<Subscription> = bitmap.subscriptions_after(last, subscriptions).take(SLICE).collect();
            let more = slice.last().copied();
            (slice, more)
        }
    }
}
