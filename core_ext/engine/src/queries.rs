//! The reads. Long answers are gathered in slices, each from where the last one ended: what was there all the while
//! is in the answer, and no reader holds a writer back for long.

use std::collections::{BTreeMap, BTreeSet};

use compact_str::CompactString;

use crate::engine::Engine;
use crate::error::Result;
use crate::ids::check;
use crate::placements::{instance_of, user_of};
use crate::rosters::Digest;
use crate::sync::SLICE;
use crate::table::Table;

/// A name taken out of the table.
pub type Name = CompactString;

impl Engine {
    /// The instances that hold online members of the channel.
    pub fn instances(&self, channel: &str) -> Result<Vec<Name>> {
        check(channel, "channel")?;
        let table = self.table.read();
        let Some(channel) = table.channels.get(channel) else { return Ok(Vec::new()) };
        Ok(table.placements.instances(channel).map(|instance| table.instances.name(instance).clone()).collect())
    }

    /// The channel's online members by instance.
    pub fn members(&self, channel: &str) -> Result<BTreeMap<Name, BTreeSet<Name>>> {
        check(channel, "channel")?;
        let mut members = BTreeMap::<Name, BTreeSet<Name>>::new();
        self.sweep(|table, last| {
            let slice = head(table.placements.readers_after(table.channels.get(channel)?, last));
            for &reader in slice {
                let users = members.entry(table.instances.name(instance_of(reader)).clone()).or_default();
                users.insert(table.users.name(user_of(reader)).clone());
            }
            slice.last().copied()
        });
        Ok(members)
    }

    /// The channels of an online user, in no order.
    pub fn channels(&self, user: &str) -> Result<Vec<Name>> {
        check(user, "user")?;
        let mut names = Vec::new();
        self.sweep(|table, last| {
            let channels = table.memberships.channels(table.online(user)?);
            let from = channels.partition_point(|&channel| last.is_some_and(|last| channel <= last));
            let slice = head(&channels[from..]);
            names.extend(slice.iter().map(|&channel| table.channels.name(channel).clone()));
            slice.last().copied()
        });
        Ok(names)
    }

    /// The instances on which the user is.
    pub fn locations(&self, user: &str) -> Result<Vec<Name>> {
        check(user, "user")?;
        let table = self.table.read();
        let Some(user) = table.online(user) else { return Ok(Vec::new()) };
        let places = table.memberships.places(user);
        Ok(places.iter().map(|&instance| table.instances.name(instance).clone()).collect())
    }

    /// Whether the user is online and a member of the channel.
    pub fn is_member(&self, user: &str, channel: &str) -> Result<bool> {
        check(user, "user")?;
        check(channel, "channel")?;
        let table = self.table.read();
        let pair = table.online(user).zip(table.channels.get(channel));
        Ok(pair.is_some_and(|(user, channel)| table.memberships.has(user, channel)))
    }

    /// The users on the instance.
    pub fn users(&self, instance: &str) -> Result<BTreeSet<Name>> {
        check(instance, "instance")?;
        let mut names = BTreeSet::new();
        self.sweep(|table, last| {
            let instance = table.instances.get(instance)?;
            let slice: Vec<u32> = table.rosters.users_after(instance, last).take(SLICE).collect();
            names.extend(slice.iter().map(|&user| table.users.name(user).clone()));
            slice.last().copied()
        });
        Ok(names)
    }

    /// How many users the instance holds, and a hash of them.
    pub fn digest(&self, instance: &str) -> Result<Digest> {
        check(instance, "instance")?;
        let table = self.table.read();
        Ok(table.instances.get(instance).map_or_else(Digest::default, |instance| table.rosters.digest(instance)))
    }

    /// Counts, and bytes held by structure, by the names of `_core.pyi`.
    #[must_use]
    pub fn stats(&self) -> Vec<(&'static str, usize)> {
        let mut stats = self.outbox_stats();
        stats.extend(table_stats(&self.table.read()));
        let bytes = stats.iter().filter(|(name, _)| name.starts_with("bytes_")).map(|(_, bytes)| bytes).sum();
        stats.push(("bytes_total", bytes));
        stats
    }

    fn outbox_stats(&self) -> Vec<(&'static str, usize)> {
        let outbox = self.outbox.lock();
        let (events, bytes) = outbox.pending();
        vec![
            ("pending_events", events),
            ("pending_bytes", bytes),
            ("routed", outbox.routed),
            ("flushes", outbox.flushes),
        ]
    }

    /// Read in slices: each gets where the last one ended, and says where it ends itself, or None at the end.
    fn sweep<C>(&self, mut slice: impl FnMut(&Table, Option<C>) -> Option<C>) {
        let mut last = None;
        loop {
            last = slice(&self.table.read(), last);
            if last.is_none() {
                break;
            }
        }
    }
}

fn table_stats(table: &Table) -> [(&'static str, usize); 9] {
    let ids = [&table.users, &table.channels, &table.instances];
    [
        ("users", table.memberships.online()),
        ("channels", table.placements.occupied()),
        ("instances", table.rosters.instances().count()),
        ("entries", table.placements.entries()),
        ("cached_users", table.memberships.cached()),
        ("bytes_ids", ids.iter().map(|ids| ids.bytes()).sum()),
        ("bytes_placements", table.placements.bytes() + table.rosters.bytes()),
        ("bytes_memberships", table.memberships.bytes()),
        ("bytes_cache", table.memberships.cache_bytes()),
    ]
}

fn head<T>(items: &[T]) -> &[T] {
    &items[..items.len().min(SLICE)]
}
